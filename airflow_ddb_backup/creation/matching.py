"""One backup per run: which of a table's backups is this run's. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.models import Backup, BackupStatus, Table

if TYPE_CHECKING:
    from collections.abc import Iterable

# Airflow's clocks and AWS's may differ by as much.
CLOCK_TOLERANCE = timedelta(minutes=1)


class IfExists(StrEnum):
    """What to do when a run has its backup already."""

    REUSE = "reuse"
    FAIL = "fail"
    CREATE = "create"


@dataclass(frozen=True, slots=True)
class BackupMatcher:
    """Which of a table's backups a run may take for its own.

    :param table: the very table: a backup of an earlier one of the same name does not count
    :param name: the backup's name
    :param made_since: when the run was due, for a name that other runs may bear; ``None``: the name is this run's alone
    :param reuse_within: how old any other backup may be that does as well; ``None``: no other does
    """

    table: Table
    name: str
    made_since: datetime | None = None
    reuse_within: timedelta | None = None

    def own(self, backups: Iterable[Backup]) -> Backup | None:
        """Return the run's backup: the oldest, which holds the state before whatever an earlier try went on to do.

        :param backups: what ListBackups has shown, in any order
        """
        since = self.made_since - CLOCK_TOLERANCE if self.made_since else self.table.created_at
        mine = (backup for backup in self.namesakes(backups) if backup.created_at >= since)
        return min(mine, key=_age, default=None)

    def usable(self, backups: Iterable[Backup], now: datetime) -> Backup | None:
        """Return the run's own backup or, failing that, the newest that is young enough.

        :param backups: what ListBackups has shown, in any order
        :param now: the present
        """
        backups = list(backups)
        if (own := self.own(backups)) or self.reuse_within is None:
            return own
        young = (backup for backup in self._of_this_table(backups) if now - backup.created_at <= self.reuse_within)
        return max(young, key=_age, default=None)

    def namesakes(self, backups: Iterable[Backup]) -> Iterable[Backup]:
        """Return all backups of the table that bear the name, however old."""
        return (backup for backup in self._of_this_table(backups) if backup.name == self.name)

    def latest(self, backups: Iterable[Backup], since: datetime) -> Backup | None:
        """Return what a call has made, among namesakes of the same run.

        :param backups: what ListBackups has shown, in any order
        :param since: when the call began
        """
        made = (backup for backup in self.namesakes(backups) if backup.created_at >= since - CLOCK_TOLERANCE)
        return max(made, key=_age, default=None)

    def _of_this_table(self, backups: Iterable[Backup]) -> Iterable[Backup]:
        return (backup for backup in backups if backup.status is not BackupStatus.DELETED and self._fits(backup))

    def _fits(self, backup: Backup) -> bool:
        if backup.table_id and self.table.table_id:
            return backup.table_id == self.table.table_id
        return backup.created_at >= self.table.created_at


def run_due(dag_run: Any) -> datetime:
    """Return the time before which a DAG run can't have made a backup.

    Airflow 3 has ``run_after``; on Airflow 2 it is the end of the data interval or, for a run by hand, the moment it
    was asked for. A backfilled run is due long before it exists, so one that was never cleared counts from its start.

    :param dag_run: the DAG run of the task's context
    """
    due: datetime = getattr(dag_run, "run_after", None) or max(dag_run.data_interval_end, dag_run.logical_date)
    never_cleared = getattr(dag_run, "clear_number", None) == 0
    started: datetime | None = dag_run.start_date
    return max(due, started) if never_cleared and started else due


def _age(backup: Backup) -> tuple[datetime, str]:
    # The ARN decides between two of the same millisecond: every try decides alike.
    return backup.created_at, backup.arn.text
