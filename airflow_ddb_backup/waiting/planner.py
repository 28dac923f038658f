"""What a watcher asks AWS next, and how fast it may. Pure: the calls are made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from airflow_ddb_backup.models import BackupArn

# ListBackups is eventually consistent (assumed, not documented). A backup not listed after 10 s does not exist.
LISTING_LAG = 10.0
# Documented, per second, for an account and region: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/
# API_DescribeBackup.html and API_ListBackups.html.
DESCRIBE_RATE = 10.0
LIST_RATE = 5.0
PAGE = 100
# What a watcher takes of each rate: as much again is left to a second triggerer, or to everyone else.
SHARE = 0.5
# What backups there may be that nobody waits for: one a night of each of the 2,500 tables that an account has.
_OTHERS_PER_SECOND = 2500 / timedelta(days=1).total_seconds()
# The bounds are on the time of the request, in whole seconds; the ARN has the time of the creation.
_MARGIN = timedelta(seconds=2)
# As many as the pace allows in 4 s: less than the usual time between looks. No round keeps the others waiting.
DESCRIBED_PER_ROUND = 20


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
        """How long a time it covers."""
        return (self.upper - self.lower).total_seconds()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask in one round.

    :param describe: the backups to describe, each with a call
    :param sweep: the sweep for all others, if any
    """

    describe: Sequence[BackupArn]
    sweep: Sweep | None = None


class Traffic:
    """How many backups there are that nobody waits for, as far as sweeps have shown."""

    def __init__(self) -> None:
        self.others_per_second = _OTHERS_PER_SECOND

    def learn(self, sweep: Sweep, others: int) -> None:
        """Take in what a sweep has shown. Quiet hours say nothing of the time before them.

        :param sweep: what was swept
        :param others: the backups in it that nobody waits for
        """
        self.others_per_second = max(_OTHERS_PER_SECOND, others / sweep.seconds)

    def pages(self, sweep: Sweep, waiting: int) -> int:
        """Return how many pages a sweep is likely to have.

        :param waiting: the backups in it that are waited for
        """
        return max(1, ceil((waiting + self.others_per_second * sweep.seconds) / PAGE))


def plan_round(due: Sequence[BackupArn], waiting: Collection[BackupArn], traffic: Traffic) -> Plan:
    """Return the cheapest way to look at all backups that are due, in seconds of AWS's documented rates.

    Either each is described, or the oldest are and one sweep shows the rest: how far back it reaches is what a sweep
    costs.

    :param due: the backups to look at, those longest due first
    :param waiting: all that are waited for: a sweep shows them too
    :param traffic: what else there is
    """
    oldest_first = sorted(due, key=_creation)
    newest_first = sorted(map(_creation, waiting), reverse=True)
    upper = newest_first[0] + _MARGIN
    cost, described, best = len(due) / DESCRIBE_RATE, len(due), None
    for older, arn in enumerate(oldest_first):
        sweep = Sweep(arn.created_hint - _MARGIN, upper)
        while newest_first[-1] < sweep.lower:
            newest_first.pop()
        seconds = older / DESCRIBE_RATE + traffic.pages(sweep, len(newest_first)) / LIST_RATE
        if seconds < cost:
            cost, described, best = seconds, older, sweep
    chosen = set(oldest_first[:described])
    return Plan([arn for arn in due if arn in chosen], best)


def missed(unseen: Iterable[BackupArn], now: datetime) -> Sequence[BackupArn]:
    """Return the backups that are described, since a sweep should have shown them.

    ListBackups may be behind: what is very young is left to the next sweep. So is what is too much for one round.

    :param unseen: the backups that it did not show, those longest due first
    :param now: when it began
    """
    listed_by_now = now - timedelta(seconds=LISTING_LAG)
    return [arn for arn in unseen if arn.created_hint <= listed_by_now][:DESCRIBED_PER_ROUND]


class AdaptiveRate:
    """How fast one operation may be called: half as fast after each throttled call, and back, slowly.

    :param rate: the documented calls per second
    """

    #: at the slowest, a call takes as many times its share
    slowest: ClassVar[int] = 16
    #: so many calls must pass before the pace doubles
    recovery: ClassVar[int] = 20

    def __init__(self, rate: float) -> None:
        #: seconds of one slot
        self.slot = 1 / (rate * SHARE)
        #: slots that a call takes
        self.slots = 1
        self._passed = 0

    def throttled(self) -> None:
        """Take in that a call was throttled."""
        self.slots, self._passed = min(self.slots * 2, self.slowest), 0

    def passed(self) -> None:
        """Take in that a call was not throttled."""
        self._passed += 1
        if self._passed >= self.recovery:
            self.slots, self._passed = max(self.slots // 2, 1), 0


def _creation(arn: BackupArn) -> datetime:
    return arn.created_hint
