"""Time as the tests tell it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# The header that names a call of the event loop.
CALL = "X-Simulator-Call"
# Real seconds between two looks of a thread that sleeps beside an event loop.
_CHECK = 0.001


class Clock:
    """The real time, ``speed`` times as fast, from now on.

    :param speed: how many seconds pass in one
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._start = time.time()
        self._origin = time.monotonic()

    def time(self) -> float:
        """Return Unix seconds."""
        return self.monotonic()

    def monotonic(self) -> float:
        """Return seconds of a clock that nobody sets."""
        return self._start + (time.monotonic() - self._origin) * self.speed

    def sleep(self, seconds: float, until: threading.Event | None = None) -> None:
        """Let the time pass.

        :param seconds: how long
        :param until: ends the sleep early
        """
        if until:
            until.wait(seconds / self.speed)
        else:
            time.sleep(seconds / self.speed)

    @contextmanager
    def hang(self, call: str) -> Iterator[None]:
        """Tell that a call gets no response until the block ends."""
        yield

    @contextmanager
    def drive(self) -> Iterator[None]:
        """Let an event loop go by this clock until the block ends."""
        yield

    def utcnow(self) -> datetime:
        """Return the time as moto keeps it: UTC, without a time zone."""
        return datetime.fromtimestamp(self.time(), tz=UTC).replace(tzinfo=None)


class StillClock(Clock):
    """Time that passes only when somebody sleeps: hours take no time, and every number comes out exact.

    Beside an event loop, it is the loop that lets the time pass, once all that can happen has happened.
    """

    def __init__(self) -> None:
        super().__init__()
        self._slept = 0.0
        self._lock = threading.Lock()
        self._loops = 0
        self._sleepers: dict[object, float] = {}
        self._hanging: list[str] = []

    def reset(self, start: float) -> None:
        """Begin anew, at so many Unix seconds."""
        self._start, self._slept = start, 0.0

    def monotonic(self) -> float:
        """Return seconds of a clock that nobody sets."""
        return self._start + self._slept

    def sleep(self, seconds: float, until: threading.Event | None = None) -> None:
        """Let the time pass, at once, or wait for the event loop to do so."""
        if seconds < 0:
            # As the real one does.
            message = "sleep length must be non-negative"
            raise ValueError(message)
        if not self._loops:
            self.skip(seconds)
            return
        sleeper = object()
        self._sleepers[sleeper] = end = self.monotonic() + seconds
        wait = (until or threading.Event()).wait
        while self._loops and self.monotonic() < end and not wait(_CHECK):
            pass
        del self._sleepers[sleeper]

    def skip(self, seconds: float) -> None:
        """Let the time pass, at once."""
        with self._lock:
            self._slept += seconds

    def next_wakeup(self) -> float | None:
        """Return when the next thread wakes up that sleeps beside an event loop, if any does."""
        return min(self._sleepers.copy().values(), default=None)

    @contextmanager
    def drive(self) -> Iterator[None]:
        """Leave the time to an event loop until the block ends."""
        self._loops += 1
        try:
            yield
        finally:
            self._loops -= 1

    @contextmanager
    def hang(self, call: str) -> Iterator[None]:
        """Tell the event loop that a call gets no response until the block ends."""
        self._hanging.append(call)
        try:
            yield
        finally:
            self._hanging.remove(call)

    def is_hanging(self, call: str) -> bool:
        """Return whether a call gets no response; without a name, one that a thread has made."""
        return call in self._hanging
