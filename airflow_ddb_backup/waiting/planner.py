"""Which calls the poller makes next. No I/O: the poller makes them, and tells the time.

Either each backup that is due is described, or one sweep of ListBackups shows them all: whichever takes fewer seconds
of the rates that there are *now*. A backup whose calls are throttled is taken to need more of them, so that one of
which only sweeps can tell is swept. While a sweep is on its way, the backups that it covers wait for it, but not for
long: once its pages fail or take too long, and for those that it did not list, the ones not asked for longest are
described. So no backup waits for a sweep that does not come. Tables have a planner of their own, and no sweeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from airflow_ddb_backup.rates import Rates


@dataclass(frozen=True, slots=True)
class Sweep:
    """A ListBackups of the account, all pages of it.

    :param lower: from when on, inclusive
    :param upper: until when, exclusive
    """

    lower: datetime
    upper: datetime

    @property
    def seconds(self) -> float:
        """The length of the time that it covers."""
        return (self.upper - self.lower).total_seconds()

    def request(self, cursor: str | None) -> dict[str, Any]:
        """Return the arguments of ListBackups.

        :param cursor: where the page starts; ``None``: the first
        """
        bounds = {"TimeRangeLowerBound": self.lower, "TimeRangeUpperBound": self.upper}
        return {"BackupType": "USER", **bounds} | ({"ExclusiveStartBackupArn": cursor} if cursor else {})

    def covers(self, created_at: datetime | None) -> bool:
        """Return whether a backup of that time is on its pages; ``None``: the time is not known."""
        return created_at is not None and self.lower <= created_at < self.upper


@dataclass(slots=True)
class Entry:
    """A backup or a table that is waited for. Times are monotonic seconds.

    :param key: tells it from others: a backup's ARN, say
    :param created_at: when a backup was created; ``None``: neither its ARN nor a response has told
    :param joined: when the first subscriber came
    :param due: when it is to be polled next
    :param polled: when it was last asked for, or joined
    :param asking: the call that describes it is under way
    :param awaited: the sweep on its way covers it, and AWS has said nothing of it since that began
    :param missed: a sweep that should have listed it did not
    :param calls: how many calls it is taken to need until one describes it
    """

    key: str
    created_at: datetime | None
    joined: float
    due: float
    polled: float
    asking: bool = False
    awaited: bool = False
    missed: bool = False
    calls: float = 1.0

    def told(self, *, answered: bool, throttled: bool = False) -> None:
        """Take in the end of a call that has asked for it.

        :param answered: whether AWS has said something of it
        :param throttled: whether the call was throttled
        """
        self.awaited = self.awaited and not answered
        if answered or throttled:
            self.calls = 1.0 if answered else 2 * self.calls


class Traffic:
    """How many backups there are that nobody waits for, as far as sweeps have shown; forgotten with time."""

    def __init__(self) -> None:
        self._surplus = 0.0
        self._learned_at = 0.0

    def learn(self, sweep: Sweep, others: int, now: float) -> None:
        """Take in what a sweep has shown. Quiet hours say nothing of the time before them.

        :param sweep: the sweep
        :param others: the backups in it that nobody waits for
        :param now: seconds
        """
        self._surplus = max(0.0, others / sweep.seconds - limits.OTHERS_PER_SECOND)
        self._learned_at = now

    def pages(self, sweep: Sweep, waiting: int, now: float) -> int:
        """Return how many pages a sweep is likely to have.

        :param sweep: the sweep
        :param waiting: the backups in it that are waited for
        :param now: seconds
        """
        surplus: float = self._surplus * 0.5 ** ((now - self._learned_at) / limits.TRAFFIC_HALF_LIFE)
        return max(1, ceil((waiting + (limits.OTHERS_PER_SECOND + surplus) * sweep.seconds) / limits.SWEEP_PAGE))


def plan_sweep(
    due: Sequence[Entry], waiting: Iterable[Entry], traffic: Traffic, rates: Rates, now: float
) -> Sweep | None:
    """Return the sweep that shows most of the due backups, if it costs less than describing each; otherwise ``None``.

    Backups older than the sweep are described beside it, since a sweep costs more the further back it reaches.

    :param due: the backups to poll
    :param waiting: all that are waited for: a sweep shows them too
    :param traffic: what else there is
    :param rates: the calls per second that there are now
    :param now: seconds
    """
    newest_first = sorted((at for entry in waiting if (at := _dated(entry))), reverse=True)
    oldest_first = sorted((at, entry.calls) for entry in due if (at := _dated(entry)))
    # Seconds of each. However often its calls were throttled, it is worth a few pages: others wait for them too.
    one = 1 / rates.describe
    most = max(one, limits.PAGES_FOR_ONE / rates.list)
    best, cost = None, sum(min(entry.calls * one, most) for entry in due)
    # What is not dated, and what is older than the sweep.
    described = cost - sum(min(calls * one, most) for _, calls in oldest_first)
    for created_at, calls in oldest_first:
        sweep = Sweep(created_at - limits.SWEEP_MARGIN, newest_first[0] + limits.SWEEP_MARGIN)
        while newest_first[-1] < sweep.lower:
            newest_first.pop()
        seconds = described + traffic.pages(sweep, len(newest_first), now) / rates.list
        if seconds < cost:
            best, cost = sweep, seconds
        described += min(calls * one, most)
    return best


def _dated(entry: Entry) -> datetime | None:
    return entry.created_at if entry.created_at and entry.created_at >= limits.FIRST_BACKUP else None


class Planner:
    """What is waited for, when it is described, and the sweep on its way, if any. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.traffic = Traffic()
        self.sweep: Sweep | None = None
        self._sweep_began = 0.0
        self._patience = 0.0
        self._page_failed = False
        self._denied_until = 0.0

    def add(self, key: str, created_at: datetime | None, due: float, now: float) -> None:
        """Wait for something, unless it is waited for already.

        :param key: tells it from others
        :param created_at: when a backup was created, as far as that is known; sweeps show no other
        :param due: when it is to be polled
        :param now: seconds
        """
        entry = self.entries.setdefault(key, Entry(key, created_at, now, due, now))
        entry.due = min(entry.due, due)

    def next_due(self) -> float:
        """Return when the next call is due; infinity where none is."""
        return min((entry.due for entry in self.entries.values() if not entry.asking), default=inf)

    def due(self, now: float) -> list[Entry]:
        """Return what is due and not being described, those that were not asked for longest first.

        :param now: seconds
        """
        due = (entry for entry in self.entries.values() if entry.due <= now and not entry.asking)
        return sorted(due, key=lambda entry: entry.polled)

    def next_described(self, rates: Rates, now: float) -> Entry | None:
        """Return what to describe now, if anything: nothing that a sweep will show.

        :param rates: the calls per second that there are now
        :param now: seconds
        """
        due = self.due(now)
        sweep = self.sweep or self._planned(due, rates, now)
        return next((entry for entry in due if sweep is None or not self._waits(entry, sweep, now)), None)

    def begin_sweep(self, rates: Rates, now: float) -> Sweep | None:
        """Return the sweep to begin now, if any.

        :param rates: the calls per second that there are now
        :param now: seconds
        """
        self.sweep = self._planned(self.due(now), rates, now)
        if self.sweep:
            for entry in self.entries.values():
                entry.awaited = self.sweep.covers(entry.created_at)
            covered = sum(entry.awaited for entry in self.entries.values())
            pages_per_second = limits.DOCUMENTED_RATES["ListBackups"] * limits.SHARE
            seconds = self.traffic.pages(self.sweep, covered, now) / pages_per_second
            self._patience = limits.LISTING_LAG + 2 * seconds
            self._sweep_began = now
            self._page_failed = False
        return self.sweep

    def is_needed(self) -> bool:
        """Return whether the rest of the sweep may show a backup that has had no answer since it began."""
        return any(entry.awaited for entry in self.entries.values())

    def page_ended(self, *, failed: bool) -> None:
        """Take in the end of a call for a page: after one that failed nothing waits for the sweep, until one succeeds.

        :param failed: whether it has failed
        """
        self._page_failed = failed

    def denied(self, now: float) -> None:
        """Take in that ListBackups is denied, and end the sweep.

        :param now: seconds
        """
        self._denied_until = now + limits.DENIED_FOR
        self.sweep = None

    def end_sweep(self, others: int | None, now: float) -> list[Entry]:
        """End the sweep; return the backups that it covers, were due, and are not old enough to be missed.

        Those that it should have listed are described next.

        :param others: the listed backups that nobody waits for; ``None``: it did not come to its end
        :param now: seconds
        """
        sweep, self.sweep = self.sweep, None
        if sweep is None or others is None:
            return []
        self.traffic.learn(sweep, others, now)
        young = []
        for entry in self.entries.values():
            if entry.due > now or not entry.awaited:
                continue
            if entry.joined <= self._sweep_began - limits.LISTING_LAG:
                entry.missed = True
            else:
                young.append(entry)
        return young

    def _planned(self, due: Sequence[Entry], rates: Rates, now: float) -> Sweep | None:
        due = [entry for entry in due if not entry.missed]
        if not due or now < self._denied_until:
            return None
        return plan_sweep(due, self.entries.values(), self.traffic, rates, now)

    def _waits(self, entry: Entry, sweep: Sweep, now: float) -> bool:
        if entry.missed or not sweep.covers(entry.created_at):
            return False
        if self.sweep is None:
            return True
        return not self._page_failed and now < max(entry.due, self._sweep_began) + self._patience
