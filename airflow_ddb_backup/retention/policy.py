"""Which backups of a table a policy keeps, and why. No I/O, no clock.

The rules are those of restic's ``forget``, joined by OR: https://restic.readthedocs.io/en/stable/060_forget.html. One
is left out: restic also keeps the oldest of all while a rule has not found as many as it may keep, so that one more old
backup lets it delete a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from airflow_ddb_backup.models import BackupStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime, tzinfo

    from airflow_ddb_backup.models import Backup


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What to keep of one table's backups. Without any rule, all that ``older_than`` allows is deleted.

    :param keep_last: so many of the newest, 0 or more
    :param keep_hourly: the newest of each of the last so many hours that have a backup, 0 or more; likewise days, ISO
        weeks, months and years
    :param keep_within: those made at most so long before the newest one: the present does not matter, so an outage of
        the backups themselves deletes nothing
    :param keep_names: names, or patterns such as ``release-*``, that are never deleted
    :param older_than: delete only what is older than this, now
    :param minimum_redundancy: so many of the newest stay, whatever the rules say, 0 or more
    :param timezone: whose hours, days, weeks, months and years
    """

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: timedelta | None = None
    keep_names: Collection[str] = ()
    older_than: timedelta | None = None
    minimum_redundancy: int = 1
    timezone: tzinfo = UTC

    def decide(self, backups: Iterable[Backup], now: datetime) -> list[Decision]:
        """Return what becomes of each AVAILABLE backup, the newest first.

        :param backups: those of one table that the policy is about
        :param now: the present, by AWS's clock
        """
        # By ARN where two were made in the same instant, so that every plan of them is the same.
        newest_first = sorted(
            (backup for backup in backups if backup.status == BackupStatus.AVAILABLE),
            key=lambda backup: (backup.created_at, backup.arn.text),
            reverse=True,
        )
        reasons: dict[str, list[str]] = {backup.arn.text: [] for backup in newest_first}
        for backup in newest_first[: self.minimum_redundancy]:
            reasons[backup.arn.text].append("minimum redundancy")
        for backup in newest_first[: self.keep_last]:
            reasons[backup.arn.text].append("last")
        for count, reason, period in self._periods():
            for backup in _newest_of_each(newest_first, period, self.timezone)[:count]:
                reasons[backup.arn.text].append(reason)
        for backup in newest_first:
            if self.keep_within is not None and newest_first[0].created_at - backup.created_at <= self.keep_within:
                reasons[backup.arn.text].append(f"within {self.keep_within}")
            if any(fnmatchcase(backup.name, pattern) for pattern in self.keep_names):
                reasons[backup.arn.text].append("name")
            if self.older_than is not None and now - backup.created_at <= self.older_than:
                reasons[backup.arn.text].append(f"not older than {self.older_than}")
        return [Decision(backup, tuple(reasons[backup.arn.text])) for backup in newest_first]

    def _periods(self) -> Sequence[tuple[int, str, Callable[[datetime], object]]]:
        return (
            (self.keep_hourly, "hourly", _hour),
            (self.keep_daily, "daily", _day),
            (self.keep_weekly, "weekly", _week),
            (self.keep_monthly, "monthly", _month),
            (self.keep_yearly, "yearly", _year),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a backup.

    :param backup: the backup
    :param reasons: why it is kept; none: it is deleted
    """

    backup: Backup
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether the backup stays."""
        return bool(self.reasons)


def _newest_of_each(
    newest_first: Iterable[Backup], period: Callable[[datetime], object], timezone: tzinfo
) -> list[Backup]:
    newest: dict[object, Backup] = {}
    for backup in newest_first:
        newest.setdefault(period(backup.created_at.astimezone(timezone)), backup)
    return list(newest.values())


def _hour(local: datetime) -> object:
    # The hour that is repeated when summer time ends is two.
    return local.year, local.month, local.day, local.hour, local.utcoffset()


def _day(local: datetime) -> object:
    return local.year, local.month, local.day


def _week(local: datetime) -> object:
    # The ISO year: the last days of December may be in the first week of the next.
    return local.isocalendar()[:2]


def _month(local: datetime) -> object:
    return local.year, local.month


def _year(local: datetime) -> object:
    return local.year
