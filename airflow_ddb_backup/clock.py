"""The time: the worker's, and AWS's as far as its responses tell; and the deadlines that tasks go by."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ddb_backup.limits import LARGEST_CLOCK_ERROR, LARGEST_DRIFT

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the header that AWS's own responses have
REQUEST_ID = "x-amzn-requestid"


def headers_of(response: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the headers of a response, as boto3 returns it."""
    return (response.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}


class Clock:
    """The worker's clock, and AWS's, as far as the ``Date`` headers of its responses tell.

    A header has whole seconds, and its response some time to travel: each bounds the difference between the two clocks
    from both sides, and the narrowest bounds of all responses hold. They widen with their age, since the clocks drift
    apart. AWS's clock is compared with a monotonic one, since a machine's time may be set at any moment.
    """

    #: has ``time()``, ``monotonic()`` and ``sleep()``; the tests have one of their own
    source: ClassVar[Any] = time

    def __init__(self) -> None:
        #: AWS's clock less the monotonic one, at the least and at the most, and when that was
        self._bounds: tuple[float, float, float] | None = None

    def time(self) -> float:
        """Return Unix seconds: for what crosses to another process, and for the log."""
        return float(self.source.time())

    def monotonic(self) -> float:
        """Return seconds of a clock that is never set: for durations."""
        return float(self.source.monotonic())

    def sleep(self, seconds: float) -> None:
        """Let the time pass.

        :param seconds: how long; none below 0
        """
        self.source.sleep(max(0.0, seconds))

    def observe(self, date: str | None, called_at: float, received_at: float) -> None:
        """Use the ``Date`` header of a response of AWS.

        :param date: the header; ``None`` or unreadable: it says nothing
        :param called_at: seconds by the monotonic clock
        :param received_at: seconds by the monotonic clock
        """
        try:
            seconds = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return
        lowest, highest = seconds - received_at, seconds + 1 - called_at
        if self._bounds:
            least, most, at = self._bounds
            drift = LARGEST_DRIFT * abs(received_at - at)
            if max(lowest, least - drift) <= min(highest, most + drift):
                lowest, highest = max(lowest, least - drift), min(highest, most + drift)
        # Otherwise AWS's hosts differ by that much, and the newest response counts.
        self._bounds = lowest, highest, received_at

    def observe_response(self, response: Mapping[str, Any], called_at: float) -> None:
        """Use the ``Date`` header of a response that has just come.

        :param response: as boto3 returns it
        :param called_at: seconds by the monotonic clock
        """
        # A proxy's response has a date too, by the proxy's clock.
        if REQUEST_ID in (headers := headers_of(response)):
            self.observe(headers.get("date"), called_at, self.monotonic())

    def earliest(self, moment: float) -> datetime:
        """Return the earliest time that AWS's clock may have shown, in whole milliseconds, as AWS gives its times.

        Until a response has told, it is the worker's, less the most by which the two may differ.

        :param moment: seconds by the monotonic clock
        """
        if self._bounds:
            least, _, at = self._bounds
            lowest = least - LARGEST_DRIFT * abs(moment - at)
        else:
            lowest = self.time() - self.monotonic() - LARGEST_CLOCK_ERROR
        return datetime.fromtimestamp(math.floor((moment + lowest) * 1000) / 1000, tz=UTC)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When time is up. On this machine it goes by the monotonic clock; only ``at`` crosses to another.

    :param at: Unix seconds
    :param clock: tells the time
    :param ends: the same by the monotonic clock
    """

    at: float
    clock: Clock
    ends: float

    @classmethod
    def after(cls, seconds: float, clock: Clock | None = None) -> Deadline:
        """Return the deadline that is this many seconds ahead.

        :param seconds: from now on
        :param clock: tells the time
        """
        clock = clock or Clock()
        return cls(clock.time() + seconds, clock, clock.monotonic() + seconds)

    @classmethod
    def at_time(cls, at: float) -> Deadline:
        """Return a deadline that another process has set.

        :param at: Unix seconds
        """
        return cls(at, clock := Clock(), clock.monotonic() + at - clock.time())

    @classmethod
    def latest(cls, seconds: float) -> float:
        """Return the latest Unix seconds at which a deadline of another process can be, whose clock may be ahead.

        :param seconds: from when it was set
        """
        return Clock().time() + seconds + 2 * LARGEST_CLOCK_ERROR

    @property
    def left(self) -> float:
        """The seconds that are left, 0 or more."""
        return max(0.0, self.ends - self.clock.monotonic())

    @property
    def passed(self) -> bool:
        """Whether time is up."""
        return self.clock.monotonic() >= self.ends

    def within(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and the one that is this many seconds ahead.

        :param seconds: from now on
        """
        return min(self, Deadline.after(seconds, self.clock), key=lambda one: one.ends)

    def sleep(self, seconds: float) -> None:
        """Sleep, but no longer than the deadline.

        :param seconds: how long
        """
        self.clock.sleep(min(seconds, self.left))
