"""Listings of backups: of one table, or one of the whole account that all tables of a task share.

ListBackups allows a few calls a second, so a task for many tables can't list each of them. A listing is as good for one
table as for another; it only has to have begun late enough to show what that table's question is about.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.exceptions import CreationTimeoutError, PermanentError
from airflow_ddb_backup.limits import SWEEP_MARGIN
from airflow_ddb_backup.retries import read_pages, retrying

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Backup


class Listing:
    """Lists backups, once for all threads that ask meanwhile, and keeps the last listing.

    :param hook: makes the calls
    :param context: the table, backup name and region, for messages
    :param deadline: when to give up
    :param log: the task's log
    :param table_name: name or ARN of the one table that it is about; ``None``: all of the account and region
    """

    def __init__(
        self,
        hook: DynamoDBBackupHook,
        context: ErrorContext,
        deadline: Deadline,
        log: Any,
        table_name: str | None = None,
    ) -> None:
        self._hook = hook
        self._context = context
        self._deadline = deadline
        self._log = log
        too_late = CreationTimeoutError.about(context, "The backups could not be listed in time.")
        self._retry = retrying(deadline, log, too_late=too_late)
        self._table_name = table_name
        self._lock = threading.Lock()
        self._since: datetime | None = None
        self._began = float("-inf")
        self._by_table: dict[str, list[Backup]] = {}
        self._refusal: PermanentError | None = None

    def backups(self, table: str, since: datetime, begun_after: float) -> list[Backup]:
        """Return the backups of all tables of a name, whatever their own names; older ones may be among them.

        :param table: the table's name
        :param since: leave out what was created earlier, by AWS's clock
        :param begun_after: when the listing must have begun at the earliest, by the monotonic clock
        :raises CreationTimeoutError: time was up before the last page
        :raises BackupError: it has failed
        """
        # Whoever waits here for a listing under way takes it, if it began late enough.
        with self._lock:
            if self._refusal:
                # It would be refused for each table alike.
                raise self._refusal
            if self._since is None or since < self._since or self._began < begun_after:
                # As far back as anyone has asked: the next may ask for as much.
                self._list(min(since, self._since or since))
            return list(self._by_table.get(table, ()))

    def for_at_most(self, seconds: float) -> Listing:
        """Return a listing of the same backups that gives up after so long.

        :param seconds: from now on, within the deadline
        """
        return Listing(self._hook, self._context, self._deadline.within(seconds), self._log, self._table_name)

    def _list(self, since: datetime) -> None:
        began = self._deadline.clock.monotonic()
        since_request = since - SWEEP_MARGIN
        listing = partial(self._hook.list_backups, self._context, self._table_name, created_since=since_request)
        by_table: defaultdict[str, list[Backup]] = defaultdict(list)
        try:
            for backup in read_pages(lambda cursor: self._retry(listing, cursor=cursor), self._context) or ():
                by_table[backup.arn.table_name].append(backup)
        except PermanentError as error:
            self._refusal = error
            raise
        self._since, self._began, self._by_table = since, began, by_table
