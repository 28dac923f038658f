"""Time as the tests tell it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

# The header that names a call of the event loop.
CALL = "X-Simulator-Call"


class Clock:
    """The real time, ``speed`` times as fast, from now on.

    :param speed: how many seconds pass in one; tests of 7 s then take a fraction of one
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        #: the event loop's calls that get no response
        self.hanging: set[str] = set()
        self._start = time.time()
        self._origin = time.monotonic()
        self._skipped = 0.0

    def time(self) -> float:
        """Return Unix seconds."""
        return self.monotonic()

    def monotonic(self) -> float:
        """Return seconds of a clock that nobody sets."""
        return self._start + (time.monotonic() - self._origin) * self.speed + self._skipped

    def skip(self, seconds: float) -> None:
        """Let the time pass at once: only the event loop does, while nothing happens."""
        self._skipped += seconds

    def sleep(self, seconds: float, until: threading.Event | None = None) -> None:
        """Let the time pass.

        :param seconds: how long
        :param until: ends the sleep early
        """
        if until:
            until.wait(seconds / self.speed)
        else:
            time.sleep(seconds / self.speed)

    def utcnow(self) -> datetime:
        """Return the time as moto keeps it: UTC, without a time zone."""
        return datetime.fromtimestamp(self.time(), tz=UTC).replace(tzinfo=None)


class StillClock(Clock):
    """Time that passes only when somebody sleeps: hours take no time, and every number comes out exact."""

    def __init__(self) -> None:
        super().__init__()
        self._slept = 0.0
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        """Return seconds of a clock that nobody sets."""
        return self._start + self._slept

    def sleep(self, seconds: float, until: threading.Event | None = None) -> None:
        """Let the time pass, at once."""
        if seconds < 0:
            # As the real one does.
            message = "sleep length must be non-negative"
            raise ValueError(message)
        with self._lock:
            self._slept += seconds
