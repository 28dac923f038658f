"""How fast AWS may be asked."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass

# Per second, for an account and region. Documented for each operation in
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/, and for GetResources in
# https://docs.aws.amazon.com/general/latest/gr/arg.html. DescribeTable and ListTables have the control plane's, of
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-control-plane.html.
DOCUMENTED_RATES = {
    "CreateBackup": 50.0,
    "DeleteBackup": 10.0,
    "DescribeBackup": 10.0,
    "DescribeContinuousBackups": 10.0,
    "DescribeTable": 2500.0,
    "GetResources": 15.0,
    "ListBackups": 5.0,
    "ListTables": 2500.0,
    "ListTagsOfResource": 10.0,
    "RestoreTableFromBackup": 10.0,
    "TagResource": 5.0,
}
# Fraction of each documented rate that one poller or task uses; the rest is for other clients.
SHARE = 0.5
# A burst of throttled calls is one sign of load, not many.
_HALVED_AT_MOST_EVERY = 1.0
# Seconds in which the rate comes back from nothing to its share. Five pollers whose shares make up 2.5 times the rate
# then settle at about the whole of it, with one call in five throttled.
_RECOVERY = 16.0
_LOWEST_FRACTION = 1 / 32


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
        self._halved_at: float | None = None

    def per_second(self, now: float) -> float:
        """Return the calls per second.

        :param now: seconds, of any clock that does not go back
        """
        return self.full * self._fraction_at(now)

    def slots(self, now: float) -> int:
        """Return how many slots of the full rate one call takes.

        :param now: seconds, of any clock that does not go back
        """
        return max(1, round(1 / self._fraction_at(now)))

    def throttled(self, now: float) -> None:
        """Halve the rate, since a call was throttled.

        :param now: seconds, of any clock that does not go back
        """
        if self._halved_at is not None and now - self._halved_at < _HALVED_AT_MOST_EVERY:
            return
        self._fraction = max(self._fraction_at(now) / 2, _LOWEST_FRACTION)
        self._halved_at = now

    def _fraction_at(self, now: float) -> float:
        if self._halved_at is None:
            return self._fraction
        return min(1.0, self._fraction + (now - self._halved_at) / _RECOVERY)


class RateLimit:
    """The limit of one operation on a worker, for any number of threads.

    :param documented: the documented calls per second
    """

    def __init__(self, documented: float) -> None:
        self._rate = AdaptiveRate(documented)
        self._next = float("-inf")
        self._lock = threading.Lock()

    def acquire(self, longest: float = float("inf")) -> bool:
        """Wait until a call may be made.

        :param longest: the most seconds to wait
        :return: whether it may be made; otherwise too many others wait already
        """
        with self._lock:
            now = time.monotonic()
            begin, interval = max(now, self._next), 1 / self._rate.per_second(now)
            if begin - now > longest:
                return False
            if self._rate.slots(now) > 1:
                # AWS's limit refills evenly: calls evenly spaced may find it empty each time, beside a neighbour.
                interval += random.uniform(0, 1 / self._rate.full)  # noqa: S311  # no secret
            self._next = begin + interval
        if begin > now:
            time.sleep(begin - now)
        return True

    def throttled(self) -> None:
        """Take in that a call was throttled."""
        with self._lock:
            self._rate.throttled(time.monotonic())
