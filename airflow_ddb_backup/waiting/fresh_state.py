"""The state of one wait for a fresh backup of a table, whoever makes it.

A poll is two calls: DescribeTable tells the table from an earlier one of its name, and ListBackups has its backups that
are young enough. The wait ends with the first poll at which one counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupLostError,
    ErrorContext,
    FreshBackupTimeoutError,
    InvalidRequestError,
    OtherAccountError,
    TableNotFoundError,
)
from airflow_ddb_backup.limits import FIRST_BACKUP, SWEEP_MARGIN
from airflow_ddb_backup.models import TABLE_ARN, Backup, BackupStatus, TableBackups, TableStatus
from airflow_ddb_backup.parameters import check_age, check_name, check_table, set_checked
from airflow_ddb_backup.report import age_of
from airflow_ddb_backup.waiting.state import Wait, WaitResult, WaitStatus

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.waiting.client import Client


@dataclass(frozen=True, slots=True)
class FreshRequest:
    """The fresh backup that a task waits for, as its parameters say. It checks itself.

    :param table_name: the table's name or ARN
    :param max_age: how old the backup is at most, above 0
    :param backup_name_prefix: what its name begins with, 3 to 255 characters; ``None``: any name
    :raises InvalidValueError: a value is wrong
    """

    table_name: str
    max_age: timedelta
    backup_name_prefix: str | None = None

    def __post_init__(self) -> None:
        check_table("table_name", self.table_name)
        set_checked(self, max_age=check_age("max_age", self.max_age))
        if self.backup_name_prefix is not None:
            check_name("backup_name_prefix", self.backup_name_prefix)

    @property
    def arn(self) -> str | None:
        """The table's ARN, if it is named by it."""
        return self.table_name if TABLE_ARN.fullmatch(self.table_name) else None


class FreshWait(Wait):
    """One task's wait for a fresh backup of one table.

    :param wanted: the backup that it waits for
    :param account: the AWS account; ``None``: not known
    :param region: the region of the calls
    :param deadline: when time is up
    """

    operation = "ListBackups"
    _not_found_error = TableNotFoundError
    _lost_error = BackupLostError
    _timeout_error = FreshBackupTimeoutError
    _not_found = "The table was not found {times} times in a row: {error}"

    def __init__(self, wanted: FreshRequest, account: str | None, region: str, deadline: Deadline) -> None:
        context = ErrorContext(wanted.table_name, None, region)
        super().__init__(account, context, {"TableName": wanted.table_name}, deadline)
        self._wanted = wanted
        self._subject = f"Table {wanted.table_name}"
        self._backup: Backup | None = None
        # How many backups don't count, by the reason; None: AWS has not answered yet.
        self._others: Counter[str] | None = None

    @property
    def key(self) -> str:
        """The same for all waits that the same polls serve."""
        return f"{self._wanted.table_name}, {self._wanted.max_age}"

    async def poll(self, client: Client) -> TableBackups:
        """Describe the table, and list its backups.

        :param client: makes the calls
        :raises BackupError: a call has failed
        """
        table = await client.call("DescribeTable", self.context, **self.request)
        if table.status == TableStatus.DELETING:
            # As good as gone, and may be made again.
            raise TableNotFoundError.about(self.context, f"It is {table.status}.")
        since = max(client.now() - self._wanted.max_age, FIRST_BACKUP) - SWEEP_MARGIN
        listing = {**self.request, "BackupType": "ALL", "TimeRangeLowerBound": since}
        listed: list[Backup] = []
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            try:
                page = await client.call(self.operation, self.context, **listing)
            except InvalidRequestError as error:
                if cursor is None:
                    raise
                # The backup that the cursor names was deleted: the next poll begins anew.
                raise AmbiguousOutcomeError(str(error)) from error
            listed += page.items
            if (cursor := page.cursor) is None:
                return TableBackups(table, tuple(listed), client.now())
            if cursor in seen:
                raise AmbiguousOutcomeError.about(self.context, f"AWS returned the cursor {cursor!r} twice.")
            seen.add(cursor)
            listing["ExclusiveStartBackupArn"] = cursor
            await client.limits[self.operation].turn()

    def _observe_answer(self, answer: TableBackups) -> WaitResult | None:
        if self.account not in {None, answer.table.account}:
            reason = f"The calls go to account {answer.table.account!r}, and not to {self.account!r}."
            return self._lost(f"{reason} {OtherAccountError.hint}")
        reasons = {backup: self._why_not(backup, answer) for backup in answer.backups}
        self._others = Counter(reason for reason in reasons.values() if reason)
        good = [backup for backup, reason in reasons.items() if reason is None]
        self._backup = max(good, key=lambda backup: backup.created_at, default=None)
        if self._backup is None:
            return None
        age = age_of(answer.at - self._backup.created_at)
        return self._result(WaitStatus.SUCCESS, f"Backup {self._backup.arn.text} is {age} old.")

    def _why_not(self, backup: Backup, answer: TableBackups) -> str | None:
        """Return why a backup does not count; ``None``: it does."""
        reasons = {
            "of an earlier table of this name": not backup.is_of(answer.table),
            "of another name": not backup.name.startswith(self._wanted.backup_name_prefix or ""),
            backup.status: backup.status != BackupStatus.AVAILABLE,
            "of DynamoDB's own": not backup.protects(answer.table),
            "too old": answer.at - backup.created_at > self._wanted.max_age,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _describe(self) -> str:
        if self._others is None:
            return f"its backups are not known yet.{self._last_failure()}"
        others = ", ".join(f"{count} {reason}" for reason, count in self._others.items()) or "there is none at all"
        return f"no backup of the last {age_of(self._wanted.max_age)} counts: {others}.{self._last_failure()}"

    def _result(self, status: WaitStatus, message: str) -> WaitResult:
        return WaitResult(status, self._backup and self._backup.as_dict(), message)
