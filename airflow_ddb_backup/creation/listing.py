"""Listings of backups: of one table, or one of the whole account that all tables of a task share.

ListBackups allows a few calls a second, so a task for many tables can't list each of them. A listing is as good for one
table as for another; it only has to have begun late enough to show what that table's question is about.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from airflow_ddb_backup.exceptions import CreationTimeoutError, PermanentError
from airflow_ddb_backup.models import TABLE_ARN
from airflow_ddb_backup.retries import read_pages, retrying

if TYPE_CHECKING:
    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Backup, Page


class Listing(Protocol):
    """Lists the backups of a table."""

    def backups(self, context: ErrorContext, table_name: str, since: datetime, begun_after: float) -> list[Backup]:
        """Return the backups of a table, of whatever name; others may be among them.

        :param context: the table, backup and region, for messages
        :param table_name: name or ARN
        :param since: leave out what was requested earlier, by AWS's clock
        :param begun_after: when the listing must have begun at the earliest, by the monotonic clock
        :raises BackupError: it has failed
        """


class TableListing:
    """Lists the backups of a table whenever it is asked.

    :param hook: makes the calls
    :param deadline: when to give up
    :param log: the task's log
    """

    def __init__(self, hook: DynamoDBBackupHook, deadline: Deadline, log: Any) -> None:
        self._pages = _Pages(hook, deadline, log)

    def backups(self, context: ErrorContext, table_name: str, since: datetime, begun_after: float) -> list[Backup]:
        """Return the backups of a table, of whatever name."""
        del begun_after
        return self._pages.read(context, table_name, since)


class SharedListing:
    """Lists the backups of the account, once for all threads that ask meanwhile.

    :param hook: makes the calls
    :param context: the region, for messages
    :param deadline: when to give up
    :param log: the task's log
    """

    def __init__(self, hook: DynamoDBBackupHook, context: ErrorContext, deadline: Deadline, log: Any) -> None:
        self._pages = _Pages(hook, deadline, log)
        self._context = context
        self._deadline = deadline
        self._lock = threading.Lock()
        self._since: datetime | None = None
        self._began = float("-inf")
        self._by_table: dict[str, list[Backup]] = {}
        self._refusal: PermanentError | None = None

    def backups(self, context: ErrorContext, table_name: str, since: datetime, begun_after: float) -> list[Backup]:
        """Return the backups of all tables of that name, of whatever name."""
        match = TABLE_ARN.fullmatch(table_name)
        name = match["table"] if match else table_name
        # Whoever waits here for a listing under way takes it, if it began late enough.
        with self._lock:
            if self._refusal:
                # It would be refused for each table alike.
                raise self._refusal
            if self._since is None or since < self._since or self._began < begun_after:
                if self._deadline.passed:
                    raise CreationTimeoutError.about(context, "The backups could not be listed in time.")
                self._list(self._reach(since))
            return list(self._by_table.get(name, ()))

    def _reach(self, since: datetime) -> datetime:
        # Twice as far as before, at least: thousands of tables might each reach back a little further.
        if self._since is None or since >= self._since:
            return min(since, self._since or since)
        return min(since, self._since - (datetime.now(tz=UTC) - self._since))

    def _list(self, since: datetime) -> None:
        began = self._deadline.clock.monotonic()
        by_table: defaultdict[str, list[Backup]] = defaultdict(list)
        try:
            for backup in self._pages.read(self._context, None, since):
                by_table[backup.arn.table_name].append(backup)
        except PermanentError as error:
            self._refusal = error
            raise
        self._since, self._began, self._by_table = since, began, by_table


class _Pages:
    """Reads all pages of a listing; those behind the first only until the deadline."""

    def __init__(self, hook: DynamoDBBackupHook, deadline: Deadline, log: Any) -> None:
        self._hook = hook
        self._deadline = deadline
        self._retry = retrying(deadline, log)

    def read(self, context: ErrorContext, table_name: str | None, since: datetime) -> list[Backup]:
        def page_at(cursor: str | None) -> Page[Backup]:
            if cursor is not None and self._deadline.passed:
                raise CreationTimeoutError.about(context, "The backups could not be listed in time.")
            return self._retry(self._hook.list_backups, context, table_name, created_since=since, cursor=cursor)

        return read_pages(page_at, context) or []
