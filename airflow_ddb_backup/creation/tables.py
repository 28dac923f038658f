"""The creation of many tables' backups: several at once, all tried, all reported, and only then judged.

Everything about one table's backup is in :mod:`.find_or_create`. Here are the threads that do it for one table after
the other, at the rate of the hook that they share, with one listing of the account for all of them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_ddb_backup import exceptions
from airflow_ddb_backup.creation.find_or_create import Creation, FindOrCreate
from airflow_ddb_backup.creation.listing import Listing
from airflow_ddb_backup.exceptions import BackupError, ErrorContext
from airflow_ddb_backup.limits import LARGEST_NUMBER, TABLE_PATIENCE, THREADS
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.report import Report, carried, carry, size_of
from airflow_ddb_backup.retries import rounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.creation.matching import TableBackup
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.selection import SelectedTable


@dataclass(slots=True)
class TablesReport(Report[BackupArn]):
    """The results of a task for many tables so far.

    ``done`` has the backup of each table that has one, also of those whose backup did not become AVAILABLE and are
    ``failed``; ``skipped`` are tables that the task does not name.

    :param table_bytes: the size of the tables in ``done``, as AWS last counted them: that of their backups comes later
    """

    table_bytes: int = 0

    def as_dict(self, error: BaseException | None = None) -> dict[str, Any]:
        """Return it as plain JSON values.

        :param error: why the task has failed; ``None``: it has not
        """
        backups = {table: arn for table, arn in self.arns().items() if table not in self.failed}
        parts = {"backups": backups, "failed": self.messages(), "skipped": dict(sorted(self.skipped.items()))}
        return {**parts, "table_bytes": self.table_bytes, **self.told(self.summary(), error)}

    def arns(self) -> dict[str, str]:
        """Return the ARN of each table's backup, AVAILABLE or not."""
        return {table: arn.text for table, arn in sorted(self.done.items())}

    def as_carried(self) -> dict[str, Any]:
        """Return it as plain JSON values, to cross a deferral."""
        known = {"backups": self.arns(), "failed": carry(self.failed), "skipped": self.skipped}
        return {**known, "table_bytes": self.table_bytes}

    @classmethod
    def carried(cls, backups: Mapping[str, str], others: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_carried` has returned.

        :param backups: its backups
        :param others: its other parts
        :raises Exception: it is something else: ``AttributeError``, ``KeyError``, ``StopIteration``, ``TypeError`` or
            ``ValueError``
        """
        arns = {table: BackupArn.from_response(arn) for table, arn in backups.items()}
        first = next(iter(arns.values()))
        if any(table != arn.table_name for table, arn in arns.items()):
            message = f"backups of other tables: {backups!r}"
            raise ValueError(message)
        skipped = {str(table): str(reason) for table, reason in others["skipped"].items()}
        known = carried(others["failed"]), skipped, first.account, first.region
        size = others.get("table_bytes", 0)
        if not isinstance(size, int) or not 0 <= size <= LARGEST_NUMBER:
            message = f"not a number of bytes: {size!r}"
            raise ValueError(message)
        return cls(arns, *known, size)

    def summary(self) -> str:
        """Return how many tables have what, and their size if AWS has told it, for people."""
        size = f" Size of the tables: {size_of(self.table_bytes)}, as AWS last counted." if self.table_bytes else ""
        return f"Tables: {self.counts()}.{size}"

    def counts(self) -> str:
        """Return how many tables have what, for the log."""
        done = len(self.done.keys() - self.failed.keys())
        return f"{done} with a backup, {len(self.failed)} failed, {len(self.skipped)} skipped"

    def conclude(self, log: Any, hint: str | None = None) -> None:
        """Log the counts, and raise if any table has failed; the log has each failure already.

        :param log: the task's log
        :param hint: the hint for a failure that is retried; ``None``: the retry does what is missing
        :raises TablesFailedError: some have failed
        """
        self.failed = dict(sorted(self.failed.items()))
        (log.error if self.failed else log.info)("%s", self.summary())
        have = f"{len(self.done.keys() - self.failed.keys())} have a backup"
        self.raise_for_failures(exceptions.TablesFailedError, ErrorContext(region=self.region), have, hint)


def create_backups(
    hook: DynamoDBBackupHook,
    tables: Mapping[SelectedTable, TableBackup],
    *,
    report: TablesReport,
    context: ErrorContext,
    deadline: Deadline,
    log: Any,
) -> None:
    """Find or create the backup of every table.

    :param hook: makes the calls
    :param tables: the tables, each with what the task asks for
    :param report: takes the results, so that they are known even if something raises
    :param context: the region, for messages
    :param deadline: when to give up
    :param log: the task's log
    """
    listing = Listing(hook, context, deadline, log)
    creations = {Creation(hook, wanted, listing, log, logging.DEBUG): table for table, wanted in tables.items()}
    work = _EachTable(creations, report, log)
    try:
        rounds(list(creations), work, deadline, log, threads=THREADS)
    except BaseException as error:
        # Airflow's, for the task's execution_timeout: the steps under way must not create anything after it.
        hook.stop()
        report.fail_others((table.name for table in tables), error)
        raise
    if reused := sum(not creation.is_missing for creation in work.backups):
        log.info("%s of %s tables had a backup for this run already.", reused, len(tables))
    # Not before all are created, so that one listing shows all: another try of this run may have made one too.
    report.table_bytes = sum(creation.table_bytes for creation in work.backups)
    listing = listing.for_at_most(TABLE_PATIENCE)
    for creation, backup in work.backups.items():
        report.done[creations[creation].name] = creation.settle(backup, listing).arn


class _EachTable(FindOrCreate):
    """Takes the steps for each table, and reports them."""

    def __init__(self, tables: Mapping[Creation, SelectedTable], report: TablesReport, log: Any) -> None:
        super().__init__()
        self._tables = tables
        self._report = report
        self._log = log

    def step(self, creation: Creation) -> None:
        """Go on with a table."""
        table = self._tables[creation]
        try:
            super().step(creation)
        except (exceptions.TableNotFoundError, exceptions.TableUnavailableError) as error:
            if table.named:
                raise
            self._report.skipped[table.name] = str(error)
            self._log.warning("Skipped, since the task does not name the table: %s", error)
        else:
            self._report.done[table.name] = self.backups[creation].arn

    def failed(self, creation: Creation, error: BackupError) -> None:
        """Report a table that has failed: the reason first, since Airflow's UI cuts lines, and the long name last."""
        told = type(error)(f"{error} For backup {creation.wanted.name!r}.")
        self._report.fail(self._tables[creation].name, told, self._log)

    def progress(self, open_items: int) -> str:
        """Return how many tables have what."""
        return f"{open_items} of {len(self._tables)} tables are open: {self._report.counts()}"
