"""The creation of many tables' backups: several at once, all tried, all reported, and only then judged.

Everything about one table's backup is in :mod:`.find_or_create`. Here are the threads that do it for one table after
the other, at the rate of the hook that they share, with one listing of the account for all of them.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Self

from airflow_ddb_backup.creation.find_or_create import Creation
from airflow_ddb_backup.creation.listing import SharedListing
from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupError,
    CreationTimeoutError,
    PermanentError,
    TableNotFoundError,
    TablesFailedError,
    TablesFailedForGoodError,
    TableUnavailableError,
    TransientError,
)
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.waiting.threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.creation.find_or_create import BackupRequest
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Backup
    from airflow_ddb_backup.selection import SelectedTable

# DynamoDB answers in tens of milliseconds: so many threads keep up with half of CreateBackup's rate, 25 a second.
_THREADS = 10
_PROGRESS_INTERVAL = 30.0
_TICK = 0.5
# As the retries of one table's calls: from 1 to 30 s, plus up to 2 s of jitter.
_LONGEST_BACKOFF, _JITTER = 30.0, 2.0
# A thread that waits for a table's turn sees within this time that another is first, or that the task has ended.
_LONGEST_NAP = 1.0
# The last turn is so many seconds before the deadline.
_LAST_TURN = 1.0
# An exception's message names so many failures.
_NAMED = 5


@dataclass(slots=True)
class TablesReport:
    """The results of a task for many tables so far.

    :param backups: the backup of each table that has one
    :param failed: why a table has none, or its backup did not become AVAILABLE
    :param skipped: why a table that the task does not name was left out
    """

    backups: dict[str, BackupArn] = field(default_factory=dict)
    failed: dict[str, BackupError] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, dict[str, str]]:
        """Return it as plain JSON values."""
        return {
            "backups": {table: arn.text for table, arn in sorted(self.backups.items()) if table not in self.failed},
            "failed": {table: str(error) for table, error in sorted(self.failed.items())},
            "skipped": dict(sorted(self.skipped.items())),
        }

    def as_carried(self) -> dict[str, Any]:
        """Return it as plain JSON values, with whether a retry can fix each failure."""
        failed = {
            table: {"message": str(error), "permanent": isinstance(error, PermanentError)}
            for table, error in self.failed.items()
        }
        backups = {table: arn.text for table, arn in self.backups.items()}
        return {"backups": backups, "failed": failed, "skipped": self.skipped}

    @classmethod
    def carried(cls, backups: Mapping[str, str], carried: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_carried` has returned.

        :param backups: its backups
        :param carried: its other parts
        :raises Exception: it is something else: ``AttributeError``, ``KeyError``, ``TypeError`` or ``ValueError``
        """
        failed: dict[str, BackupError] = {
            table: (PermanentError if one["permanent"] else BackupError)(one["message"])
            for table, one in carried["failed"].items()
        }
        arns = {table: BackupArn.from_response(arn) for table, arn in backups.items()}
        return cls(arns, failed, dict(carried["skipped"]))

    def counts(self) -> str:
        """Return how many tables have what, for the log."""
        done = len(self.backups.keys() - self.failed.keys())
        return f"{done} with a backup, {len(self.failed)} failed, {len(self.skipped)} skipped"

    def log(self, log: Any) -> None:
        """Write what failed as a table, or one line if nothing has.

        :param log: the task's log
        """
        counts = self.counts()
        if not self.failed:
            log.info("Tables: %s", counts)
            return
        width = max(map(len, self.failed))
        rows = [f"{table:<{width}}  {error}" for table, error in sorted(self.failed.items())]
        log.error("Tables: %s\n%s", counts, "\n".join(rows))

    def judge(self, context: ErrorContext, hint: str | None = None) -> None:
        """Raise if any table has failed.

        :param context: the region
        :param hint: the hint for a failure that is retried; ``None``: the retry does what is missing
        :raises TablesFailedForGoodError: some have failed, and no retry can fix any
        :raises TablesFailedError: some have failed
        """
        if not self.failed:
            return
        final = all(isinstance(error, PermanentError) for error in self.failed.values())
        kind = TablesFailedForGoodError if final else TablesFailedError
        failed = sorted(self.failed.items())
        some = " ".join(f"{table}: {error}" for table, error in failed[:_NAMED])
        detail = f"{len(failed)} failed, {len(set(self.backups) - set(self.failed))} have a backup. {some}"
        message = f"{kind.summarize(context, detail)} {kind.hint if final or hint is None else hint}"
        raise kind(message)


class TablesCreation:
    """The creation of many tables' backups.

    :param hook: makes the calls
    :param tables: the tables, each with what the task asks for
    :param report: takes the results, so that they are known even if something raises
    :param log: the task's log
    """

    def __init__(
        self,
        hook: DynamoDBBackupHook,
        tables: Mapping[SelectedTable, BackupRequest],
        report: TablesReport,
        log: Any,
    ) -> None:
        self._hook = hook
        self._tables = tables
        self._report = report
        self._log = log
        self._creations: dict[SelectedTable, Creation] = {}
        self._created: dict[SelectedTable, Backup] = {}
        # Why a table was to be tried again.
        self._errors: dict[SelectedTable, BackupError] = {}

    def run(self, context: ErrorContext, deadline: Deadline) -> None:
        """Try every table.

        :param context: the region, for messages
        :param deadline: when to give up,
        """
        quiet = _QuietLog(self._log)
        listing = SharedListing(self._hook, context, deadline, quiet)
        for table, request in self._tables.items():
            self._creations[table] = Creation(self._hook, request, listing, quiet, patient=False)
        self._each(list(self._creations), self._find_or_create, quiet)
        # Once for all that were created: another try of this run may have made one too.
        self._each(list(self._created), self._settle, quiet)

    def _find_or_create(self, table: SelectedTable) -> None:
        creation, context = self._creations[table], self._tables[table].context
        if self._tables[table].deadline.passed:
            raise CreationTimeoutError.about(context, "It was not tried.")
        if table.error:
            raise table.error
        if not creation.is_ready and (found := creation.find()):
            self._take(table, found)
            return
        created = creation.create()
        self._created[table] = created
        self._take(table, created)

    def _settle(self, table: SelectedTable) -> None:
        self._take(table, self._creations[table].settle(self._created[table]))

    def _take(self, table: SelectedTable, backup: Backup) -> None:
        self._report.backups[table.name] = backup.arn

    def _each(self, tables: list[SelectedTable], step: Callable[[SelectedTable], None], quiet: _QuietLog) -> None:
        """Take a step for each table, several at once."""
        turns = _Turns(tables)
        threads = {run_in_thread(lambda: self._work(turns, step, quiet)) for _ in range(min(_THREADS, len(tables)))}
        report_at = time.time() + _PROGRESS_INTERVAL
        try:
            while threads:
                ended, threads = wait(threads, _TICK, FIRST_EXCEPTION)
                for thread in ended:
                    thread.result()
                if threads and time.time() >= report_at:
                    report_at = time.time() + _PROGRESS_INTERVAL
                    self._log.info("%s of %s tables are open: %s", turns.open, len(tables), self._report.counts())
        finally:
            # Such as when the task's execution_timeout has passed: the threads start nothing more.
            turns.stop()

    def _work(self, turns: _Turns, step: Callable[[SelectedTable], None], quiet: _QuietLog) -> None:
        while (table := turns.take()) is not None:
            deadline = self._tables[table].deadline
            error = self._errors.get(table) if deadline.passed else None
            error = error or self._try(table, step)
            if error is None:
                # What has been overcome is no reason to fail in a later step.
                self._errors.pop(table, None)
                turns.end()
                continue
            self._errors[table] = error
            if turns.put_back(table, deadline):
                quiet.warning("%s It is tried again.", error)
            else:
                turns.end()
                self._fail(table, error)

    def _try(self, table: SelectedTable, step: Callable[[SelectedTable], None]) -> BackupError | None:
        """Take a step for a table; return why it has failed if it is worth another try, which holds up no other."""
        try:
            step(table)
        except (TableNotFoundError, TableUnavailableError) as error:
            vanished = isinstance(error, TableNotFoundError) or self._creations[table].table_is_going
            if table.named or not vanished:
                self._fail(table, error)
                return None
            self._report.skipped[table.name] = str(error)
            self._log.warning("Table %s is skipped, since the task does not name it: %s", table.name, error)
        except (TransientError, AmbiguousOutcomeError) as error:
            if self._creations[table].may_try_again:
                return error
            self._fail(table, error)
        except BackupError as error:
            # The reason why a table was tried again says more than that time is up now.
            reason = self._errors.get(table) if isinstance(error, CreationTimeoutError) else None
            self._fail(table, reason or error)
        except Exception as error:  # noqa: BLE001  # it is one table's, and told as such
            self._log.exception("A defect in one table; all others go on.")
            self._fail(table, BackupError.about(self._tables[table].context, f"{type(error).__name__}: {error}."))
        return None

    def _fail(self, table: SelectedTable, error: BackupError) -> None:
        self._report.failed[table.name] = error
        self._log.error("%s: %s", table.name, error)


class _Turns:
    """Whose turn it is: each table once, and again those that have to wait, for other threads or for time to pass.

    :param tables: the tables
    """

    def __init__(self, tables: Iterable[SelectedTable]) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, SelectedTable]] = []
        self._backoffs: dict[SelectedTable, float] = {}
        self._number = 0
        self.stopped = False
        for table in tables:
            self._push(0.0, table)
        #: how many tables have not ended
        self.open = self._number

    def take(self) -> SelectedTable | None:
        """Return the table whose turn it is, once it is; ``None``: there is none left."""
        while not self.stopped:
            with self._lock:
                if not self._waiting:
                    return None
                delay = self._waiting[0][0] - time.time()
                if delay <= 0:
                    return heappop(self._waiting)[2]
            time.sleep(min(delay, _LONGEST_NAP))
        return None

    def put_back(self, table: SelectedTable, deadline: Deadline) -> bool:
        """Let a table wait for another turn, longer each time; return whether there is time for one."""
        last = deadline.at - _LAST_TURN
        if self.stopped or time.time() >= last:
            return False
        backoff = self._backoffs[table] = min(2 * self._backoffs.get(table, 0.5), _LONGEST_BACKOFF)
        jitter = random.uniform(0, _JITTER)  # noqa: S311  # no secret
        with self._lock:
            self._push(min(time.time() + backoff + jitter, last), table)
        return True

    def end(self) -> None:
        """Count a table that has ended."""
        with self._lock:
            self.open -= 1

    def stop(self) -> None:
        """Give no more turns."""
        self.stopped = True

    def _push(self, at: float, table: SelectedTable) -> None:
        # The number tells those of one moment apart, and keeps their order.
        heappush(self._waiting, (at, self._number, table))
        self._number += 1


class _QuietLog:
    """A log for thousands of tables: what one of them has done is for debugging, and each kind of retry told once.

    :param log: the task's log
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._told: set[object] = set()

    def info(self, message: str, *values: object) -> None:
        self._log.debug(message, *values)

    def warning(self, message: str, *values: object) -> None:
        kind = (message, type(values[0])) if values and isinstance(values[0], BackupError) else object()
        if kind in self._told:
            self._log.debug(message, *values)
            return
        self._told.add(kind)
        self._log.warning(message, *values)
