"""The check: select the tables, list the backups of all, ask each table for its ID, report, and raise if asked to."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.coverage.status import KIND, Coverage, Status
from airflow_ddb_backup.exceptions import (
    BackupError,
    CoverageTimeoutError,
    InvalidValueError,
    ListBackupsDeniedError,
    OtherAccountError,
    TableNotFoundError,
    TablesNotFreshError,
)
from airflow_ddb_backup.limits import LARGEST_REPORT, NAMED_IN_TEXT, REPORT_VERSION, THREADS
from airflow_ddb_backup.models import TableStatus
from airflow_ddb_backup.parameters import check_age, check_flag, check_texts, check_timeout, set_checked
from airflow_ddb_backup.report import Report, age_of, total_of
from airflow_ddb_backup.retries import read_pages, retrying, rounds
from airflow_ddb_backup.selection import select_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Backup
    from airflow_ddb_backup.selection import SelectedTable, TableSelection

# The statuses of a table that can fail the task.
_FAILING = ("late", "none", "unknown")
_UNKNOWN: Mapping[str, None] = dict.fromkeys(("newest_backup_arn", "newest_backup_at", "backups", "bytes"))


@dataclass(frozen=True, slots=True)
class CoverageRequest:
    """The check that a task asks for, as its parameters say. It checks itself.

    :param selection: which tables
    :param max_age: how old the newest backup of a fresh table is at most, above 0
    :param fail_on: the statuses that fail the task
    :param point_in_time_recovery: read each table's point-in-time recovery too
    :param timeout: seconds, or a ``timedelta``, for all of it; 60 to 7200
    :raises InvalidValueError: a value is wrong
    """

    selection: TableSelection
    max_age: timedelta
    fail_on: Sequence[str]
    point_in_time_recovery: bool
    timeout: float

    def __post_init__(self) -> None:
        if isinstance(self.fail_on, str):
            raise InvalidValueError.of("fail_on", self.fail_on, "a list of statuses, also of one")
        rule = f"a list of {', '.join(map(repr, _FAILING))}"
        set_checked(
            self,
            max_age=check_age("max_age", self.max_age),
            fail_on=check_texts("fail_on", self.fail_on, rule, _FAILING.__contains__),
            point_in_time_recovery=check_flag("point_in_time_recovery", self.point_in_time_recovery),
            timeout=check_timeout(self.timeout),
        )


@dataclass(slots=True)
class CoverageReport(Report[Coverage]):
    """The results of a check so far: ``done`` has the tables of which it is known, ``failed`` why not, by name.

    :param checked_at: when it was known, by AWS's clock
    :param max_age: how old the newest backup of a fresh table is at most; ``None``: the request was refused
    """

    checked_at: datetime = field(kw_only=True)
    max_age: timedelta | None = None

    def by_status(self) -> dict[Status, list[str]]:
        """Return the names of the tables of each status, in their order."""
        found: dict[Status, list[str]] = {status: [] for status in Status}
        for name in sorted({*self.done, *self.failed}):
            found[self._status(name)].append(name)
        return found

    def why(self, name: str) -> BackupError:
        """Return why a table is not fresh.

        :param name: its name
        """
        if name in self.failed:
            return self.failed[name]
        age = self._newest_age(name)
        return BackupError(f"Its newest backup is {age} old." if age else "It has no AVAILABLE backup.")

    def conclude(self, fail_on: Sequence[str], context: ErrorContext) -> None:
        """Raise if a table has one of these statuses.

        :param fail_on: the statuses
        :param context: the region, for messages
        :raises TablesNotFreshError: one has; the message names the first, and how many there are
        """
        names = self.by_status()
        judged = Report[str](failed={name: self.why(name) for status in fail_on for name in names[Status(status)]})
        judged.raise_for_failures(TablesNotFreshError, context, f"{len(names[Status.FRESH])} are fresh")

    def summary(self) -> str:
        """Return what a person wants to read in the morning: a line for each status that needs attention."""
        names, sizes = self.by_status(), self._sizes()
        total, fresh = sum(map(len, names.values())), len(names[Status.FRESH])
        young = f"a backup that is at most {age_of(self.max_age)} old" if self.max_age else "a fresh backup"
        late = [f"{name} (its newest backup is {self._newest_age(name)} old)" for name in names[Status.LATE]]
        unknown = [f"{name} ({self.failed[name]})" for name in names[Status.UNKNOWN][:1]] + names[Status.UNKNOWN][1:]
        lines = [
            f"{fresh} of {total} tables have {young}.",
            _line("Without an AVAILABLE backup", names[Status.NONE]),
            _line("Late", late),
            _line("Not known", unknown),
            f"{len(sizes)} backups, {total_of(sizes)}.",
        ]
        return "\n".join(filter(None, lines))

    def as_dict(self, error: BaseException | None = None) -> dict[str, Any]:
        """Return it as plain JSON values; a large one without ARNs.

        :param error: why the task has failed; ``None``: it has not
        """
        names, sizes = self.by_status(), self._sizes()
        told = self.told(self.summary(), error)
        if isinstance(error, TablesNotFreshError):
            # The summary says the same, and names more of them.
            told["text"] = self.told(self.summary(), None)["text"]
        rows = [self._row(name) for name in sorted({*self.done, *self.failed})]
        if len(json.dumps(rows)) > LARGEST_REPORT:
            for row in rows:
                del row["newest_backup_arn"]
        return {
            "kind": KIND,
            "version": REPORT_VERSION,
            "checked_at": self.checked_at.isoformat(timespec="seconds"),
            "max_age_seconds": int(self.max_age.total_seconds()) if self.max_age else None,
            "counts": {status.value: len(names[status]) for status in reversed(Status)},
            "backups": len(sizes),
            "bytes": sum(sizes),
            "tables": rows,
            **told,
        }

    def _sizes(self) -> list[int]:
        """Return the bytes of each backup."""
        return [size for known in self.done.values() for size in known.sizes]

    def _row(self, name: str) -> dict[str, Any]:
        known = self.done.get(name)
        return {"table_name": name, "status": self._status(name).value, **(known.as_dict() if known else _UNKNOWN)}

    def _status(self, name: str) -> Status:
        if name in self.failed:
            return Status.UNKNOWN
        return self.done[name].status(self.checked_at, self.max_age or timedelta(0))

    def _newest_age(self, name: str) -> str | None:
        newest = self.done[name].newest
        return age_of(self.checked_at - newest.created_at) if newest else None


@dataclass(slots=True)
class CoverageCheck:
    """A check.

    :param hook: makes the calls
    :param request: what the task asks for
    :param context: the region, for messages
    :param deadline: when to give up
    :param report: takes the results, so that they are known even if something raises
    :param log: the task's log
    """

    hook: DynamoDBBackupHook
    request: CoverageRequest
    context: ErrorContext
    deadline: Deadline
    report: CoverageReport
    log: Any

    def run(self) -> None:
        """Select, list, look at each table, and raise for what the request does not put up with.

        :raises EmptySelectionError: no table is selected
        :raises TablesNotFreshError: a table has one of the statuses that fail the task
        :raises BackupError: AWS refused, or time was up
        """
        request, report = self.request, self.report
        tables = select_tables(
            self.hook,
            request.selection,
            report,
            context=self.context,
            deadline=self.deadline,
            too_late=CoverageTimeoutError.about(self.context, "The tables could not be selected in time."),
            log=self.log,
        )
        request.selection.check_size([*(table.name for table in tables), *report.failed], self.context)
        try:
            rounds(tables, _EachTable(self, self._listed(tables)), self.deadline, self.log, threads=THREADS)
        except BaseException as error:
            # Airflow's too, for the task's execution_timeout: the threads must not go on.
            self.hook.stop()
            report.fail_others((table.name for table in tables), error)
            raise
        finally:
            report.checked_at = self.hook.clock.earliest(self.deadline.clock.monotonic())
        if not (report.done or report.failed):
            # All that patterns and tags have selected are gone.
            request.selection.check_size((), self.context)
        self.log.info("%s", report.summary())
        report.conclude(request.fail_on, self.context)

    def _listed(self, tables: Sequence[SelectedTable]) -> Mapping[str, list[Backup]] | None:
        """Return the account's backups, by the table's name; ``None``: a listing of each table takes fewer calls."""
        too_late = CoverageTimeoutError.about(self.context, "The backups could not be listed in time.")
        retry = retrying(self.deadline, self.log, too_late=too_late)
        listing = partial(self.hook.list_backups, self.context, None, kind="ALL")
        listed = read_pages(lambda cursor: retry(listing, cursor=cursor), self.context, len(tables) - 1)
        if listed is None:
            return None
        by_table: defaultdict[str, list[Backup]] = defaultdict(list)
        for backup in listed:
            by_table[backup.arn.table_name].append(backup)
        return by_table


class _EachTable:
    """Looks at each table; see :class:`~.retries.Work`.

    :param check: the check
    :param listed: the backups of all tables; ``None``: each is listed
    """

    def __init__(self, check: CoverageCheck, listed: Mapping[str, list[Backup]] | None) -> None:
        self._check, self._hook, self._report, self._log = check, check.hook, check.report, check.log
        self._listed = listed

    def step(self, selected: SelectedTable) -> None:
        """Look at a table: whether it exists, which it is, and what backups it has."""
        context = replace(self._check.context, table=selected.name)
        try:
            # By its name, as backups are listed: a policy may let an ARN's table of another account be described.
            table = self._hook.describe_table(context, selected.name)
            if selected.arn not in {None, table.arn}:
                detail = f"The calls go to account {table.account!r}, and not to that of {selected.arn!r}."
                raise OtherAccountError.about(context, detail)
            if table.status == TableStatus.DELETING:
                raise TableNotFoundError.about(context, f"It is {table.status}.")
            recovery = self._recovery(context, table.name) if self._check.request.point_in_time_recovery else None
        except TableNotFoundError as error:
            if selected.named:
                raise
            self._report.skipped[selected.name] = str(error)
            self._log.warning("Skipped, since the task does not name the table: %s", error)
            return
        backups = self._backups(context, table.name)
        self._report.done[selected.name] = Coverage.of(table, backups, point_in_time_recovery=recovery)

    def failed(self, selected: SelectedTable, error: BackupError) -> None:
        """Note that it is not known how a table is covered, nor will be of any if the listing is denied."""
        if isinstance(error, ListBackupsDeniedError):
            raise error
        self._report.fail(selected.name, error, self._log)

    def untried(self, selected: SelectedTable) -> BackupError:
        """Return why a table was not looked at that time was up for."""
        context = replace(self._check.context, table=selected.name)
        return CoverageTimeoutError.about(context, "It was not looked at.")

    def confirm(self, tables: list[SelectedTable]) -> list[SelectedTable]:
        """Return those that the next round is about."""
        return tables

    def progress(self, open_tables: int) -> str:
        """Return a line for the log."""
        return f"{open_tables} tables are open, {len(self._report.done)} are known, {len(self._report.failed)} failed"

    def _backups(self, context: ErrorContext, name: str) -> Iterable[Backup]:
        if self._listed is not None:
            return self._listed.get(name, ())
        listing = self._hook.list_backups
        return read_pages(lambda cursor: listing(context, name, cursor=cursor, kind="ALL"), context) or ()

    def _recovery(self, context: ErrorContext, name: str) -> bool:
        operation, needed = "DescribeContinuousBackups", "ContinuousBackupsDescription"
        described = self._hook.call(operation, context, needs=needed, TableName=name)[needed]
        return (described.get("PointInTimeRecoveryDescription") or {}).get("PointInTimeRecoveryStatus") == "ENABLED"


def _line(title: str, names: Sequence[str]) -> str:
    """Return a line with the first of some names; nothing, if there is none."""
    more = len(names) - NAMED_IN_TEXT
    return f"{title}: {', '.join(names[:NAMED_IN_TEXT])}{f' and {more} more' if more > 0 else ''}." if names else ""
