"""How fast AWS may be asked, by threads and on event loops alike."""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import dataclass
from math import sqrt

from airflow_ddb_backup.clock import Clock
from airflow_ddb_backup.limits import HALVED_AT_MOST_EVERY, LOWEST_RATE_FRACTION, RATE_RECOVERY, SHARE


@dataclass(frozen=True, slots=True)
class Rates:
    """The calls per second that each operation has now."""

    describe: float
    list: float


class AdaptiveRate:
    """The rate of one operation: half of it after a throttled call, and back with time. The caller tells the time.

    :param documented: the documented calls per second
    """

    def __init__(self, documented: float) -> None:
        #: calls per second while nothing is throttled
        self.full = documented * SHARE
        self._fraction = 1.0
        self._halved_at = float("-inf")

    def per_second(self, now: float) -> float:
        """Return the calls per second.

        :param now: seconds, of any clock that does not go back
        """
        return self.full * self._fraction_at(now)

    def interval(self, now: float) -> float:
        """Return the seconds until the call after one that is made now: the rate comes back meanwhile.

        :param now: seconds, of any clock that does not go back
        """
        fraction = self._fraction_at(now)
        recovering = RATE_RECOVERY * (sqrt(fraction**2 + 2 / (RATE_RECOVERY * self.full)) - fraction)
        return max(1 / self.full, recovering)

    def throttled(self, now: float) -> None:
        """Halve the rate, since a call was throttled.

        :param now: seconds, of any clock that does not go back
        """
        if now - self._halved_at >= HALVED_AT_MOST_EVERY:
            self._fraction = max(self._fraction_at(now) / 2, LOWEST_RATE_FRACTION)
            self._halved_at = now

    def _fraction_at(self, now: float) -> float:
        return min(1.0, self._fraction + (now - self._halved_at) / RATE_RECOVERY)


class RateLimit:
    """The limit of one operation: calls are spaced evenly, for any number of threads, or on an event loop.

    :param documented: the documented calls per second
    """

    def __init__(self, documented: float) -> None:
        self._clock = Clock()
        self._rate = AdaptiveRate(documented)
        self._next = float("-inf")
        self._lock = threading.Lock()

    def per_second(self) -> float:
        """Return the calls per second that there are now."""
        return self._rate.per_second(self._clock.monotonic())

    def reserve(self, longest: float = float("inf")) -> float | None:
        """Take the next turn; return the seconds until it.

        :param longest: the most seconds to wait; ``None`` is returned if too many others wait already
        """
        with self._lock:
            now = self._clock.monotonic()
            begin, interval = max(now, self._next), self._rate.interval(now)
            if begin - now > longest:
                return None
            if self._rate.per_second(now) < self._rate.full:
                # AWS's limit refills evenly: calls evenly spaced may find it empty each time, beside a neighbour.
                interval += random.uniform(0, 1 / self._rate.full)  # noqa: S311  # no secret
            self._next = begin + interval
            return begin - now

    def acquire(self, longest: float = float("inf")) -> bool:
        """Wait until a call may be made.

        :param longest: the most seconds to wait
        :return: whether it may be made; otherwise too many others wait already
        """
        delay = self.reserve(longest)
        if delay:
            self._clock.sleep(delay)
        return delay is not None

    async def turn(self) -> None:
        """Wait on an event loop until a call may be made."""
        await asyncio.sleep(self.reserve() or 0.0)

    def throttled(self) -> None:
        """Note that a call was throttled."""
        with self._lock:
            self._rate.throttled(self._clock.monotonic())
