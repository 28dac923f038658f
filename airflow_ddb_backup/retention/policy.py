"""Which backups of a table a policy keeps, and why. No I/O, no clock.

The rules are those of restic's ``forget``, joined by OR: https://restic.readthedocs.io/en/stable/060_forget.html. One
is left out: restic also keeps the oldest of all while a rule has not found as many as it may keep, so that one more old
backup lets it delete a newer one. Backups that ``keep_names`` keeps are not counted by the rules, since they may be
another task's: its seven newest must not be taken for this one's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, timedelta, tzinfo
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.models import Backup, BackupStatus
from airflow_ddb_backup.parameters import check_count, check_patterns, check_span, set_checked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

MINIMUM_REDUNDANCY = "minimum redundancy"
KEEP_COUNTS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")
# What tells one period of local time from another. The hour that is repeated when summer time ends is two; the last
# days of December may be in the first ISO week of the next year.
_PERIODS = {"hourly": "%Y-%m-%d %H %z", "daily": "%Y-%m-%d", "weekly": "%G-W%V", "monthly": "%Y-%m", "yearly": "%Y"}


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The rules for keeping one table's backups. It checks itself.

    :param keep_last: how many of the newest, 0 or more
    :param keep_hourly: the newest of each of this many last hours that have a backup, 0 or more; likewise days, ISO
        weeks, months and years
    :param keep_within: those made at most this long before the newest one, above 0: the present does not matter, so an
        outage of the backups themselves deletes nothing
    :param keep_names: names, or patterns such as ``release-*``, that are never deleted, and never counted
    :param older_than: delete only what is older than this, now; above 0
    :param minimum_redundancy: how many of the newest stay, whatever the rules say, 0 or more
    :param timezone: whose hours, days, weeks, months and years; made of a name in the IANA database, such as
        ``Europe/Berlin``
    :raises InvalidValueError: a value is wrong
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

    def __post_init__(self) -> None:
        for name in (*KEEP_COUNTS, "minimum_redundancy"):
            check_count(name, getattr(self, name), text=False)
        for name in ("keep_within", "older_than"):
            set_checked(self, **{name: check_span(name, getattr(self, name))})
        check_patterns("keep_names", self.keep_names)
        set_checked(self, timezone=_check_zone(self.timezone))

    @property
    def has_rules(self) -> bool:
        """Whether anything but its name and the minimum redundancy can keep a backup."""
        return any(getattr(self, name) for name in (*KEEP_COUNTS, "keep_within", "older_than"))

    def decide(self, backups: Iterable[Backup], now: datetime) -> list[Decision]:
        """Return what becomes of each AVAILABLE backup, the newest first.

        :param backups: those of one table that the policy is about
        :param now: when the task began, by AWS's clock; nothing made since then is deleted
        """
        newest_first = sorted(
            (backup for backup in backups if backup.status == BackupStatus.AVAILABLE),
            key=Backup.order,
            reverse=True,
        )
        counted = [backup for backup in newest_first if not self._keeps_name(backup.name)]
        reasons = {backup.arn.text: ["name"] if self._keeps_name(backup.name) else [] for backup in newest_first}
        for reason, kept in self._rules(counted, now):
            for backup in kept:
                reasons[backup.arn.text].append(reason)
        return [Decision(backup, tuple(reasons[backup.arn.text])) for backup in newest_first]

    def _rules(self, counted: Sequence[Backup], now: datetime) -> Iterator[tuple[str, Sequence[Backup]]]:
        """Yield the backups that each rule keeps."""
        yield MINIMUM_REDUNDANCY, counted[: self.minimum_redundancy]
        yield "last", counted[: self.keep_last]
        for reason, period in _PERIODS.items():
            yield reason, _newest_of_each(counted, getattr(self, f"keep_{reason}"), period, self.timezone)
        if self.keep_within is not None and counted:
            newest = counted[0].created_at
            yield f"within {self.keep_within}", [one for one in counted if newest - one.created_at <= self.keep_within]
        if self.older_than is not None:
            young = [one for one in counted if now - one.created_at <= self.older_than]
            yield f"not older than {self.older_than}", young
        yield "made since the task began", [one for one in counted if one.created_at >= now]

    def _keeps_name(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.keep_names)

    def __str__(self) -> str:
        shown = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "timezone"}
        rules = [f"{name}={value}" for name, value in shown.items() if value or name == "minimum_redundancy"]
        return ", ".join([*rules, f"timezone={self.timezone}"])


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a backup.

    :param backup: the backup
    :param reasons: why it is kept; none: it is deleted
    """

    backup: Backup
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether the backup stays."""
        return bool(self.reasons)


def _check_zone(name: object) -> tzinfo:
    try:
        return name if isinstance(name, tzinfo) else ZoneInfo(name)  # type: ignore[arg-type]  # refused below
    except (AttributeError, OSError, TypeError, ValueError, LookupError):
        rule = "the name of a time zone, such as 'UTC' or 'Europe/Berlin'"
        raise InvalidValueError.of("timezone", name, rule) from None


def _newest_of_each(newest_first: Iterable[Backup], count: int, period: str, timezone: tzinfo) -> list[Backup]:
    newest: dict[str, Backup] = {}
    for backup in newest_first:
        if len(newest) == count:
            break
        newest.setdefault(backup.created_at.astimezone(timezone).strftime(period), backup)
    return list(newest.values())
