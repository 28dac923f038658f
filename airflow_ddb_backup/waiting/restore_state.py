"""The state of one wait for a table that a restore makes. No I/O; the caller polls.

It ends when the table and all its indexes are ACTIVE and the restore is over. AWS undoes a restore that fails, so the
table vanishes then; a table that was just made may not be known everywhere at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_ddb_backup.exceptions import RestoreLostError, RestoreTimeoutError, TableNotFoundError
from airflow_ddb_backup.models import TABLE_ARN, TableStatus
from airflow_ddb_backup.waiting.state import Wait, WaitResult, WaitStatus

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.models import RestoreSource, Table

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html: no table leaves these for
# ACTIVE without somebody's doing.
_LOST = frozenset({TableStatus.DELETING, "ARCHIVED", "ARCHIVING", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"})
_REPLACED_HINT = "Choose another target_table_name, or delete that table yourself."
_STATUS_HINT = "Repair or delete the table, then clear the task."


class RestoreResult(WaitResult):
    """The end of a wait for a table; its ARN is empty where nothing is known of it."""

    __slots__ = ()

    _key = "table_arn"
    _timeout_error = RestoreTimeoutError
    _lost_error = RestoreLostError

    def _is_sound(self) -> bool:
        return self.status is not WaitStatus.SUCCESS or TABLE_ARN.fullmatch(self.found) is not None


class RestoreWait(Wait):
    """One task's wait for one table.

    :param source: what it is restored from
    :param table_name: the new table
    :param deadline: when time is up
    """

    operation = "DescribeTable"
    _not_found_error = TableNotFoundError
    _lost_error = RestoreLostError
    _timeout_error = RestoreTimeoutError
    _not_found = (
        "The table was not found {times} times in a row. AWS undoes a restore that fails: check that the credentials "
        "keep the item permissions on the new table, without a condition on aws:SourceIp, for as long as it runs, and "
        "that nobody has deleted the table. Clear the task to restore it again."
    )
    _refused_hint = "The restore itself may go on. Fix the cause and clear the task; it continues with the same table."

    def __init__(self, source: RestoreSource, table_name: str, deadline: Deadline) -> None:
        super().__init__(source.account, source.context(table_name), {"TableName": table_name}, deadline)
        self.source = source
        self._subject = f"Restore of table {table_name}"
        self._table: Table | None = None

    @property
    def key(self) -> str:
        """The same for all waits that the same polls serve."""
        return str(self.context)

    @property
    def created_at(self) -> datetime | None:
        """When the table was created, by AWS's clock; ``None``: not known."""
        return self._table.created_at if self._table else None

    def timed_out(self) -> RestoreResult:
        """Return the end of a wait whose time is up."""
        is_over = self._table and self._table.restore and not self._table.restore.in_progress
        detail = f"Last {self._describe()}{'' if is_over else ' The restore goes on.'}"
        return self._result(WaitStatus.TIMEOUT, RestoreTimeoutError.summarize(self.context, detail))

    def _observe_answer(self, answer: Table) -> WaitResult | None:
        self._table = answer
        if not self.source.made(answer):
            reason = "There is another table of that name now, which is not this restore."
            return self._lost(f"{reason} {_REPLACED_HINT}")
        if answer.status in _LOST:
            return self._lost(f"The table is {answer.status}. {_STATUS_HINT}")
        if answer.is_complete:
            return self._result(WaitStatus.SUCCESS, f"Table {answer.arn} is restored.")
        return None

    def _describe(self) -> str:
        if self._table is None:
            return f"status not known yet.{self._last_failure()}"
        waiting = [status for status in self._table.indexes if status != TableStatus.ACTIVE]
        indexes = f", {len(waiting)} of {len(self._table.indexes)} indexes not ACTIVE" if waiting else ""
        going_on = ", restore in progress" if self._table.restore and self._table.restore.in_progress else ""
        elapsed = self._elapsed(self._table.created_at)
        return f"status {self._table.status}{going_on}{indexes}{elapsed}.{self._last_failure()}"

    def _result(self, status: WaitStatus, message: str) -> RestoreResult:
        return RestoreResult(status, self._table.arn if self._table else "", message)
