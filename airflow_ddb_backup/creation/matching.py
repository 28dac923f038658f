"""Which of a table's backups is this run's. No I/O.

A backup counts only if it is of this very table. Times of backups are AWS's; those of a run are set by Airflow's
scheduler. A wrong backup is worse than one too many, so in doubt none is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_ddb_backup.creation.request import IfExists
from airflow_ddb_backup.limits import FIRST_BACKUP, SCHEDULER_CLOCK_TOLERANCE
from airflow_ddb_backup.models import Backup, BackupStatus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.creation.request import BackupRequest
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.models import Table


@dataclass(frozen=True, slots=True)
class Run:
    """One try of a task in one DAG run.

    :param due: when the run was due, by the scheduler's clock
    :param started: when the run last started, by the scheduler's clock; clearing a finished run starts it again
    :param try_number: 1 for a task that never started in its run before
    :param clear_number: how often tasks of a run that had finished were cleared
    """

    due: datetime
    started: datetime
    try_number: int
    clear_number: int = 0

    @classmethod
    def from_context(cls, dag_run: Any, try_number: int) -> Self:
        """Read a task's context.

        Airflow 3 has ``run_after``; on Airflow 2 a run is due at the end of its data interval or, by hand, at its
        logical date.

        :param dag_run: the DAG run
        :param try_number: the try's number
        """
        due: datetime = getattr(dag_run, "run_after", None) or max(dag_run.data_interval_end, dag_run.logical_date)
        return cls(due, dag_run.start_date or due, try_number, getattr(dag_run, "clear_number", 0))

    @property
    def cleared(self) -> bool:
        """Whether the run may have done something before; until 3.2 only the try tells of a clear while it goes on."""
        return self.clear_number > 0 or self.try_number > 1

    @property
    def earliest(self) -> datetime:
        """When the run can first have done something: it may have been started again since, or ahead of its time."""
        return min(self.due, self.started)


@dataclass(frozen=True, slots=True)
class BackupMatcher:
    """Tells which backups are a run's.

    :param request: what the task asks for
    :param name: the backup's name
    :param run: the try
    """

    request: BackupRequest
    name: str
    run: Run

    @property
    def own_since(self) -> datetime | None:
        """The earliest time at which this run can have made its backup; ``None``: it has none, or takes none.

        A run that was cleared may have started again since: then only a derived name, which no other run has, tells its
        backup from theirs. For a given name the scheduler's clock gets no tolerance: another run's is worse than none.
        """
        run, derived, if_exists = self.run, self.request.is_derived, self.request.if_exists
        refuses = if_exists is IfExists.FAIL
        may_have_own = run.cleared if derived and not refuses else run.try_number > 1
        if not may_have_own or if_exists is IfExists.CREATE:
            return None
        if not derived:
            return run.started
        return (run.started if refuses else run.earliest) - SCHEDULER_CLOCK_TOLERANCE

    @property
    def listed_since(self) -> datetime | None:
        """The time since which all backups that matter were made, of any table; ``None``: none matters."""
        refused = FIRST_BACKUP if self.request.if_exists is IfExists.FAIL else None
        return min(filter(None, (self.own_since, self.reusable_since, refused)), default=None)

    @property
    def reusable_since(self) -> datetime | None:
        """The earliest time at which any other backup may have been made that does as well; ``None``: no other does."""
        within = self.request.reuse_within
        return None if within is None else self.run.started - within

    def find_own(self, table: Table | None, backups: Iterable[Backup]) -> Backup | None:
        """Return the run's backup: the oldest, which holds the state before anything that an earlier try went on to do.

        :param table: the table; ``None``: it is gone, and the last of its name counts
        :param backups: what ListBackups has shown, in any order
        """
        own = self.own(table, backups)
        return next((backup for backup in own if table or backup.table_id == own[-1].table_id), None)

    def own(self, table: Table | None, backups: Iterable[Backup]) -> list[Backup]:
        """Return all backups that may be this run's, oldest first.

        :param table: the table; ``None``: any of its name
        :param backups: what ListBackups has shown, in any order
        """
        return self.made_since(self.own_since, table, backups) if self.own_since else []

    def made_since(self, since: datetime, table: Table | None, backups: Iterable[Backup]) -> list[Backup]:
        """Return the backups of the name that were made since then, oldest first.

        :param since: the time, by AWS's clock
        :param table: the table; ``None``: any of its name
        :param backups: what ListBackups has shown, in any order
        """
        same = (backup for backup in of_table(table, backups) if backup.name == self.name)
        return sorted((backup for backup in same if backup.created_at >= since), key=Backup.order)

    def find_reusable(self, table: Table, backups: Iterable[Backup]) -> Backup | None:
        """Return the newest backup, of whatever name, that was young enough when the run started.

        In a cleared run it is the oldest such: a newer one may hold what the run has begun to change.

        :param table: the table
        :param backups: what ListBackups has shown, in any order
        """
        if (since := self.reusable_since) is None:
            return None
        young = [backup for backup in of_table(table, backups) if backup.created_at >= since]
        return (min if self.run.cleared else max)(young, key=Backup.order, default=None)

    def find_foreign(self, table: Table, backups: Iterable[Backup]) -> Backup | None:
        """Return a backup of the name that this run has not made.

        :param table: the table
        :param backups: what ListBackups has shown, in any order
        """
        own = self.own(table, backups)
        same = self.made_since(table.created_at, table, backups)
        return next((backup for backup in same if backup not in own), None)


@dataclass(frozen=True, slots=True)
class TableBackup(BackupMatcher):
    """The backup of one table that one try of a task is to have.

    :param context: the table, backup name and region, for messages
    :param deadline: when to give up
    """

    context: ErrorContext
    deadline: Deadline

    @property
    def table(self) -> str:
        """The table's name, without the ARN."""
        return self.request.table_name.rpartition("/")[2]


def of_table(table: Table | None, backups: Iterable[Backup]) -> list[Backup]:
    """Return the backups of this very table that are CREATING or AVAILABLE.

    :param table: the table; ``None``: it is gone, and any table of its name will do
    :param backups: what ListBackups has shown, in any order
    """
    usable = {BackupStatus.CREATING, BackupStatus.AVAILABLE}
    return [backup for backup in backups if backup.status in usable and (table is None or backup.is_of(table))]
