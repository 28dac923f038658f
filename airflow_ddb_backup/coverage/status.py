"""What its backups make of a table: fresh, late or none. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from airflow_ddb_backup.models import Backup, Table

#: what marks a coverage report, for whoever finds it among other values
KIND = "dynamodb_backup_coverage"


class Status(StrEnum):
    """How a table is covered, in the order in which tables need attention."""

    UNKNOWN = "unknown"
    NONE = "none"
    LATE = "late"
    FRESH = "fresh"


@dataclass(frozen=True, slots=True)
class Coverage:
    """The backups that one very table can be restored from.

    :param newest: the newest of them; ``None``: there is none
    :param sizes: the bytes of each; 0: AWS has not told them yet
    :param point_in_time_recovery: whether it is on; ``None``: it was not asked for
    """

    newest: Backup | None = None
    sizes: tuple[int, ...] = ()
    point_in_time_recovery: bool | None = None

    @classmethod
    def of(cls, table: Table, listed: Iterable[Backup], *, point_in_time_recovery: bool | None = None) -> Self:
        """Return the coverage of a table.

        :param table: the table
        :param listed: the backups of its name, in any order; a page may repeat what another has shown
        :param point_in_time_recovery: whether it is on; ``None``: it was not asked for
        """
        backups = {backup.arn.text: backup for backup in listed if backup.protects(table)}
        newest = max(backups.values(), key=lambda backup: backup.created_at, default=None)
        sizes = tuple(backup.size_bytes for backup in backups.values())
        return cls(newest, sizes, point_in_time_recovery)

    def status(self, now: datetime, max_age: timedelta) -> Status:
        """Return how the table is covered.

        :param now: the time, by AWS's clock
        :param max_age: how old the newest backup of a fresh table is at most
        """
        if self.newest is None:
            return Status.NONE
        return Status.FRESH if now - self.newest.created_at <= max_age else Status.LATE

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        newest, recovery = self.newest, self.point_in_time_recovery
        return {
            "newest_backup_arn": newest and newest.arn.text,
            "newest_backup_at": newest and newest.created_at.isoformat(timespec="seconds"),
            "backups": len(self.sizes),
            "bytes": sum(self.sizes),
            **({} if recovery is None else {"point_in_time_recovery": recovery}),
        }
