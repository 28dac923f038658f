"""The state of one wait for a table that a restore makes. No I/O, no clock; the caller polls.

It ends when the table and all its indexes are ACTIVE and the restore is over. AWS undoes a restore that fails, so the
table vanishes then; a table that was just made may not be known everywhere at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_ddb_backup.exceptions import (
    BackupError,
    ErrorContext,
    PermanentError,
    RestoreLostError,
    RestoreTimeoutError,
    TableNotFoundError,
    TriggerFailedError,
)
from airflow_ddb_backup.models import TABLE_ARN, TableStatus
from airflow_ddb_backup.waiting.state import NOT_FOUND_LIMIT, Wait, WaitStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ddb_backup.models import BackupArn, Table

# DescribeTable is eventually consistent: right after the restore has begun it may not know the table for some seconds.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html
_SHORTEST_ABSENCE = 10.0
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html: no table leaves these for
# ACTIVE without somebody's doing.
_LOST = frozenset({TableStatus.DELETING, "ARCHIVED", "ARCHIVING", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"})
_VANISHED_HINT = (
    "AWS undoes a restore that fails: check that the credentials keep the item permissions on the new table, without a "
    "condition on aws:SourceIp, for as long as it runs, and that nobody has deleted the table. To restore anew, clear "
    "the task."
)
_REPLACED_HINT = "Choose another target_table_name, or delete that table yourself."
_STATUS_HINT = "See to the table; once it is ACTIVE, or gone, clear the task."
_REFUSED_HINT = "The restore itself may go on: mend that, and clear the task, which takes the same table."


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The end of a wait.

    :param status: how it ended
    :param table_arn: the new table; empty where nothing is known of it
    :param message: what happened; for a timeout without a hint
    """

    status: WaitStatus
    table_arn: str
    message: str

    def as_event(self) -> dict[str, Any]:
        """Return the payload of the trigger's event."""
        return {"status": self.status.value, "table_arn": self.table_arn, "message": self.message}

    @classmethod
    def from_event(cls, event: Mapping[str, Any] | None, context: ErrorContext) -> Self:
        """Read the payload of a trigger's event. Nothing unknown or incomplete is a success.

        :param event: the payload
        :param context: the table, backup and region, for messages
        :raises TriggerFailedError: it is not one that this package sends
        """
        try:
            payload: Mapping[str, Any] = event or {}
            result = cls(WaitStatus(payload["status"]), str(payload["table_arn"]), str(payload["message"]))
            if result.status is WaitStatus.SUCCESS:
                _check_arn(result.table_arn)
        except (KeyError, TypeError, ValueError) as error:
            detail = f"Its event is not one that this package sends: {event!r}."
            raise TriggerFailedError.about(context, detail) from error
        return result

    def unwrap(self) -> str:
        """Return the new table's ARN if the table is complete.

        :raises RestoreTimeoutError: the time was up
        :raises RestoreLostError: the restore has failed
        """
        if self.status is WaitStatus.SUCCESS:
            return self.table_arn
        if self.status is WaitStatus.TIMEOUT:
            message = f"{self.message} {RestoreTimeoutError.hint}"
            raise RestoreTimeoutError(message)
        raise RestoreLostError(self.message)


class RestoreWait(Wait["Table | BackupError", RestoreResult]):
    """One task's wait for one table.

    :param arn: the backup that it is restored from
    :param table_name: the new table
    :param deadline: when time is up, in Unix seconds
    :param now: the present, in Unix seconds
    """

    operation = "DescribeTable"

    def __init__(self, arn: BackupArn, table_name: str, deadline: float, now: float) -> None:
        super().__init__(ErrorContext(table_name, arn.text, arn.region), deadline, now, deadline)
        self._arn = arn
        self._table: Table | None = None
        self._absences = 0
        self._absent_since = 0.0
        self._without_summary = 0

    def observe(self, observation: Table | BackupError, now: float) -> RestoreResult | None:
        """Take in what a poll says of the table.

        :param observation: the table, or an exception
        :param now: Unix seconds
        :return: the end of the wait, or ``None`` if it goes on
        """
        if isinstance(observation, BackupError):
            ended = self._observe_failure(observation, now)
        else:
            ended = self._observe_table(observation)
        return ended or self._time_up(now)

    def progress(self, now: float) -> str:
        """Return a line on the progress.

        :param now: Unix seconds
        """
        return f"Restore of table {self.context.table}: {self._describe(now)}"

    def _observe_table(self, table: Table) -> RestoreResult | None:
        self._table, self._failure, self._absences = table, None, 0
        if table.restore is None:
            # One response without it may be incomplete.
            self._without_summary += 1
            return self._replaced() if self._without_summary >= NOT_FOUND_LIMIT else None
        self._without_summary = 0
        if table.restore.backup_arn != self._arn.text:
            return self._replaced()
        if table.status in _LOST:
            return self._lost(f"The table is {table.status}. {_STATUS_HINT}")
        if table.is_complete:
            return self._result(WaitStatus.SUCCESS, f"Table {table.arn} is restored.")
        return None

    def _observe_failure(self, error: BackupError, now: float) -> RestoreResult | None:
        self._failure = error
        if not isinstance(error, TableNotFoundError):
            return self._lost(f"{error} {_REFUSED_HINT}") if isinstance(error, PermanentError) else None
        if not self._absences:
            self._absent_since = now
        self._absences += 1
        if self._absences >= NOT_FOUND_LIMIT and now >= self._absent_since + _SHORTEST_ABSENCE:
            return self._lost(f"The table was not found {self._absences} times in a row. {_VANISHED_HINT}")
        return None

    def _describe(self, now: float) -> str:
        if self._table is None:
            return f"status not known yet.{self._last_failure()}"
        elapsed = max(0, int(now - self._table.created_at.timestamp()))
        waiting = [status for status in self._table.indexes if status != TableStatus.ACTIVE]
        indexes = f", {len(waiting)} of {len(self._table.indexes)} indexes not ACTIVE" if waiting else ""
        going_on = ", restore in progress" if self._table.restore and self._table.restore.in_progress else ""
        status = f"status {self._table.status}{going_on}{indexes}"
        return f"{status}, {elapsed} s after it was started.{self._last_failure()}"

    def _timed_out(self, now: float) -> RestoreResult:
        is_over = self._table and self._table.restore and not self._table.restore.in_progress
        detail = f"Last {self._describe(now)}{'' if is_over else ' The restore goes on.'}"
        message = RestoreTimeoutError.summarize(self.context, detail)
        return self._result(WaitStatus.TIMEOUT, message)

    def _replaced(self) -> RestoreResult:
        reason = "There is another table of that name now, which is not this backup's restore."
        return self._lost(f"{reason} {_REPLACED_HINT}")

    def _lost(self, reason: str) -> RestoreResult:
        return self._result(WaitStatus.ERROR, RestoreLostError.summarize(self.context, reason))

    def _result(self, status: WaitStatus, message: str) -> RestoreResult:
        return RestoreResult(status, self._table.arn if self._table else "", message)


def _check_arn(table_arn: str) -> None:
    if not TABLE_ARN.fullmatch(table_arn):
        message = f"a success without a table: {table_arn!r}"
        raise ValueError(message)
