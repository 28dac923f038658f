"""A drill: a backup is restored as a scratch table, that is checked, and dropped.

The problem: a drill leaves nothing behind and drops no other table, whatever is killed in between, and no try makes a
second table for its run. The plan: a scratch table has a name that is its run's alone, and its ``RestoreSummary`` says
from which table's backup it was restored. Only a table with both is a drill's:

* a later try goes on with the table of an earlier one, and the backup that this was restored from is its pick;
* directly before each DeleteTable both are read again, and the table's ID: it is the one that was checked;
* tables of the task's earlier runs, which were killed in their last try, are found by ListTables, and dropped by the
  same code once they are older than any drill of the task that may go on;
* another table of that name is named, and nothing is done to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_ddb_backup import exceptions, limits
from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import BackupError, ErrorContext, InvalidValueError
from airflow_ddb_backup.models import BackupArn, RestoreSource, TableStatus
from airflow_ddb_backup.parameters import LATER, check_age, check_choice, check_count, set_checked
from airflow_ddb_backup.report import Report, age_of, carried, carry, size_of
from airflow_ddb_backup.restoring.checks import PASSED, Restored
from airflow_ddb_backup.restoring.pick import eligible_and_others, none_eligible, read_backups
from airflow_ddb_backup.restoring.request import BillingMode, IfTargetExists, Overrides
from airflow_ddb_backup.restoring.restore import Restore
from airflow_ddb_backup.restoring.settings import SettingsOf
from airflow_ddb_backup.retries import poll_until, read_pages, retrying

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Backup, Table
    from airflow_ddb_backup.restoring.checks import DrillChecks
    from airflow_ddb_backup.restoring.pick import PickRequest
    from airflow_ddb_backup.restoring.request import RestoreRequest

#: what the names of all scratch tables begin with
SCRATCH = "airflow-drill-"
#: what is not the task's to choose of a drill's restore: it is on demand, without the settings that a restore drops
RESTORE: Mapping[str, Any] = {
    "source": LATER,
    "target_table_name": LATER,
    "if_exists": IfTargetExists.REUSE,
    "overrides": Overrides(billing_mode=BillingMode.PAY_PER_REQUEST),
    "settings": (),
    "settings_from": None,
    "tags": None,
    "wait_for_completion": True,
}
# What the report calls the restore itself, among the checks.
_RESTORE = "restore"
# What has become of the table of an earlier drill.
_DROPPED, _KEPT = "dropped", "kept"


class Pick(StrEnum):
    """The choices for which backup of a table is drilled."""

    LATEST = "latest"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class DrillRequest:
    """The drill that a task asks for. It checks itself.

    :param about: the backup, or the table one of whose backups is picked
    :param pick: which of the backups
    :param within: how old it is at most
    :param max_size_bytes: a larger backup is skipped, 1 or more
    :param restore: its restore, but for the backup and the scratch table's name
    :raises InvalidValueError: a value is wrong
    """

    about: PickRequest
    pick: str
    within: timedelta
    max_size_bytes: int
    restore: RestoreRequest

    def __post_init__(self) -> None:
        set_checked(
            self,
            pick=check_choice("pick", self.pick, Pick),
            within=check_age("within", self.within),
            max_size_bytes=check_count("max_size_bytes", self.max_size_bytes, 1, text=False),
        )
        if LATER not in (self.about.table_name, self.about.backup_arn) and self.about.table.startswith(SCRATCH):
            rule = f"no drill's own table, whose name begins {SCRATCH!r}"
            raise InvalidValueError.of("table_name", self.about.table, rule)

    def is_source_of(self, table: Table) -> bool:
        """Return whether a table was restored from a backup of the drilled table.

        :param table: the table
        """
        source = f"{table.arn.rpartition('/')[0]}/{self.about.table}"
        return bool(table.restore and table.restore.backup_arn and table.restore.table_arn == source)


@dataclass(slots=True)
class DrillReport(Report[str]):
    """The results of a drill so far: ``done`` are the checks that passed, and ``failed`` says why others have not.

    ``failed`` has a table too that could not be dropped, by its name.

    :param table_name: the drilled table's name
    :param restored_table_name: the scratch table's name
    :param dag_id: whose drill it is
    :param run_id: the run
    :param backup: what is known of the backup
    :param restore_seconds: seconds from the restored table's creation until the task saw that it was complete
    :param items: how many items it has
    :param checked_at: when it was checked, by AWS's clock
    :param left_overs: the tables of earlier drills, with what became of each
    """

    table_name: str = ""
    restored_table_name: str = ""
    dag_id: str = ""
    run_id: str = ""
    backup: dict[str, Any] = field(
        default_factory=lambda: dict.fromkeys(
            ("backup_arn", "backup_created_at", "backup_age_seconds", "backup_bytes", "backup_items")
        )
    )
    restore_seconds: int | None = None
    items: int | None = None
    checked_at: str | None = None
    left_overs: dict[str, str] = field(default_factory=dict)

    def knows(self, arn: BackupArn, backup: Backup | None, now: datetime) -> None:
        """Take in which backup is drilled.

        :param arn: its ARN
        :param backup: the backup, as described; ``None``: it is gone
        :param now: the time, by AWS's clock
        """
        created_at = backup.created_at if backup else arn.created_hint
        self.backup = {
            "backup_arn": arn.text,
            "backup_created_at": created_at.isoformat() if created_at else None,
            "backup_age_seconds": int((now - created_at).total_seconds()) if created_at else None,
            "backup_bytes": backup.largest_size if backup else None,
            "backup_items": (backup.table or {}).get("ItemCount") if backup else None,
        }

    @property
    def has_passed(self) -> bool:
        """Whether the backup has proved good: it was restored, and all checks passed."""
        return bool(self.done) and not self.checks_failed()

    def checks_failed(self) -> list[str]:
        """Return the names of the checks that have failed."""
        return [name for name in self.failed if not name.startswith(SCRATCH)]

    def summary(self) -> str:
        """Return how it went, a sentence for people."""
        known, seconds = self.backup, self.backup["backup_age_seconds"]
        age = age_of(timedelta(seconds=seconds)) if seconds is not None else "of unknown age"
        size = size_of(known["backup_bytes"] or 0)
        return (
            f"A backup was restored within {self.restore_seconds} s: {self.items} items; passed: "
            f"{', '.join(self.done)}. It is {age} old, {size}, of table {self.table_name}: {known['backup_arn']}."
        )

    def as_dict(self, error: BaseException | None = None) -> dict[str, Any]:
        """Return it as plain JSON values.

        :param error: why the task has failed; ``None``: it has not
        """
        return {
            **self.backup,
            "table_name": self.table_name,
            "restored_table_name": self.restored_table_name,
            "restore_seconds": self.restore_seconds,
            "items": self.items,
            "checks": dict.fromkeys(self.done, PASSED)
            | {name: str(self.failed[name]) for name in self.checks_failed()},
            "verdict": "passed" if self.has_passed else "failed",
            "checked_at": self.checked_at,
            "left_overs": self.left_overs,
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            **self.told(self.summary(), error),
        }

    def as_carried(self) -> dict[str, Any]:
        """Return it as plain JSON values, to cross a deferral."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"failed": carry(self.failed)}

    @classmethod
    def carried(cls, known: Mapping[str, Any], task: str, dag_id: str, run_id: str) -> Self:
        """Read what :meth:`as_carried` has returned before the wait. It names the table that will be dropped.

        :param known: that
        :param task: the digest of the task, which the names of its scratch tables hold
        :param dag_id: whose drill it is
        :param run_id: the run
        :raises Exception: it is something else, or of another task or run: ``AttributeError``, ``KeyError``,
            ``OverflowError``, ``TypeError`` or ``ValueError``
        """
        report = cls(**{**known, "failed": carried(known["failed"])})
        arn = BackupArn.from_response(report.backup["backup_arn"])
        # Nothing was checked yet.
        before = cls(
            table_name=arn.table_name,
            restored_table_name=report.restored_table_name,
            dag_id=dag_id,
            run_id=run_id,
            account=arn.account,
            region=arn.region,
            backup=dict.fromkeys(cls().backup) | report.backup,
            failed=report.failed,
            left_overs={str(table): str(became) for table, became in report.left_overs.items()},
        )
        own = re.fullmatch(rf"{SCRATCH}{task}-[0-9a-f]+", report.restored_table_name)
        scalars = all(value is None or isinstance(value, str | int) for value in report.backup.values())
        if report != before or not own or not scalars:
            message = f"not the report of this drill: {known!r}"
            raise ValueError(message)
        report.as_dict()
        return report


@dataclass(slots=True)
class Drill:
    """One try of a drill.

    :param hook: makes the calls
    :param checks: what the restored table must be like
    :param report: takes the results, so that they are known even if something raises; it has the names of the tables
    :param context: the scratch table and the region, for messages
    :param deadline: when the scratch table must be complete
    :param log: the task's log
    """

    hook: DynamoDBBackupHook
    checks: DrillChecks
    report: DrillReport
    context: ErrorContext
    deadline: Deadline
    log: Any

    def begin(self, request: DrillRequest, since: datetime) -> Table:
        """Pick a backup and start its restore, or find the table that an earlier try has restored.

        :param request: what the task asks for
        :param since: when the run can first have restored, by the scheduler's clock
        :raises AirflowSkipException: the backup is too large; nothing was made
        :raises ForeignTableError: another table has the scratch table's name
        :raises BackupError: there is no backup, AWS refused, or time was up
        """
        own = self._find_own(request)
        self._clear_left_overs(request)
        arn = BackupArn.from_response(_backup_of(own)) if own else request.about.backup_arn or self._pick(request)
        self.context = replace(self.context, backup=arn.text)
        wanted = replace(request.restore, source=RestoreSource.of_backup(arn), target_table_name=self.name)
        restore = Restore(self.hook, wanted, since, self.deadline, self.log)
        restore.origin.check(own)
        backup = restore.origin.backup
        self.report.knows(arn, backup, self._now())
        if own is None and backup and backup.largest_size > request.max_size_bytes:
            self._raise_for_failures("nothing was restored")
            sizes = f"It has {size_of(backup.largest_size)}, max_size_bytes is {size_of(request.max_size_bytes)}."
            message = f"Backup {arn.text} is not drilled, since a drill costs a restore. {sizes}"
            raise AirflowSkipException(message)
        try:
            return restore.begin()[0]
        except exceptions.TargetTableExistsError as error:
            if own is None:
                # DescribeTable has not shown at once what an earlier try has made.
                return self.begin(request, since)
            raise exceptions.ForeignTableError.about(self.context) from error

    def conclude(self, table_id: str | None, lost: BackupError | None) -> None:
        """Check the restored table, drop it, and judge.

        :param table_id: the ID of the table that was waited for
        :param lost: why the wait has failed; ``None``: it has not
        :raises RestoreLostError: only the wait has failed, and the restore goes on
        :raises ForeignTableError: another table has the scratch table's name
        :raises DrillFailedError: a check has failed, or a table could not be dropped
        """
        table = self._find_restored(table_id)
        if table is None and lost is None:
            detail = "The restored table no longer exists. Clear the task to drill again."
            lost = exceptions.RestoreLostError.about(self.context, detail)
        if lost and table and table.status == TableStatus.CREATING:
            raise lost
        # A poll may have been denied: the table itself tells whether the restore has failed.
        if table and (lost is None or table.is_complete):
            self._check(table)
        elif lost:
            self.report.fail(_RESTORE, lost, self.log)
        became = "is gone"
        if table and self.checks.keep_on_failure and self.report.checks_failed():
            became = "is kept: drop it yourself"
        elif table:
            try:
                self._drop(table, Deadline.after(limits.DROPPING_PATIENCE, self.hook.clock))
            except BackupError as error:
                self.report.fail(table.name, error, self.log)
                became = "is left"
        self._raise_for_failures(f"{len(self.report.done)} checks passed, table {self.name} {became}")

    @property
    def name(self) -> str:
        """The scratch table's name."""
        return self.report.restored_table_name

    def _find_own(self, request: DrillRequest) -> Table | None:
        """Return the table that an earlier try has restored; ``None``: there is none, or not any more.

        :raises ForeignTableError: there is another of its name
        """
        deadline = self.deadline.within(limits.BEGINNING_PATIENCE)

        def look() -> tuple[Table | None] | None:
            table = self._describe(self.name, deadline)
            # An earlier try was killed while it dropped the table: AWS goes on with that.
            return None if table and table.status == TableStatus.DELETING else (table,)

        seen: tuple[Table | None] | None = poll_until(look, deadline, limits.DROPPING_INTERVAL)
        if seen is None:
            raise exceptions.TableNotDroppedError.about(self.context, "It is DELETING.")
        table, wanted = seen[0], request.about.backup_arn
        if table and not (request.is_source_of(table) and (wanted is None or wanted.text == _backup_of(table))):
            asked = wanted.text if wanted else f"table {request.about.table}"
            detail = f"No restore of a backup of {asked} has made it."
            raise exceptions.ForeignTableError.about(self.context, detail)
        return table

    def _find_restored(self, table_id: str | None) -> Table | None:
        """Return the table that was waited for; ``None``: it is gone.

        :raises ForeignTableError: there is another of its name
        """
        table = self._describe(self.name, Deadline.after(limits.READING_PATIENCE, self.hook.clock))
        if table and (table.table_id != table_id or _backup_of(table) != self.context.backup):
            raise exceptions.ForeignTableError.about(self.context, "It is not the table that was waited for.")
        return table

    def _check(self, table: Table) -> None:
        """Make every check, and report each."""
        report, now = self.report, self._now()
        report.checked_at = now.isoformat(timespec="seconds")
        report.restore_seconds = max(0, ceil((now - table.created_at).total_seconds()))
        deadline = Deadline.after(self.deadline.left + limits.CHECKING_PATIENCE, self.hook.clock)
        settings = SettingsOf(self.hook, self.context, table.name, deadline, limits.READING_PATIENCE, self.log)
        restored = Restored(settings, BackupArn.from_response(self.context.backup))
        for name, error in self.checks.run(restored).items():
            if error:
                report.fail(name, error, self.log)
            else:
                report.done[name] = PASSED
        report.items = restored.items

    def _clear_left_overs(self, request: DrillRequest) -> None:
        """Drop the tables of the task's earlier runs that no drill can be about any more; those to be kept are told."""
        about = replace(self.context, table=None)
        retry = retrying(self.deadline, self.log, patience=limits.TABLE_PATIENCE)
        try:
            names = read_pages(lambda cursor: retry(self.hook.list_tables, about, cursor), about) or []
        except exceptions.AccessDeniedError as error:
            self.log.warning("Whether earlier drills have left tables is not known: %s", error)
            return
        prefix = self.name[: self.name.rindex("-") + 1]
        oldest = self._now() - timedelta(seconds=request.restore.timeout) - limits.LEFT_OVER_AGE
        deadline = self.deadline.within(limits.DROPPING_PATIENCE)
        for name in sorted(name for name in names if name.startswith(prefix) and name != self.name):
            try:
                table = self._describe(name, deadline)
                if table is None or table.created_at > oldest or not request.is_source_of(table):
                    continue
                if not self.checks.keep_on_failure:
                    self._drop(table, deadline)
                self.report.left_overs[name] = _KEPT if self.checks.keep_on_failure else _DROPPED
            except exceptions.AccountError:
                raise
            except BackupError as error:
                self.report.left_overs[name] = str(error)
                left = exceptions.LeftOverError.about(replace(about, table=name), str(error))
                self.report.fail(name, left, self.log)
        if self.report.left_overs:
            self.log.warning("Tables of earlier drills: %s", self.report.left_overs)

    def _drop(self, table: Table, deadline: Deadline) -> None:
        """Drop a scratch table, and wait until it is gone.

        :raises ForeignTableError: there is another of its name
        :raises BackupError: AWS refused, or time was up
        """
        retry = retrying(deadline, self.log)
        if poll_until(lambda: retry(self._drop_once, table) or None, deadline, limits.DROPPING_INTERVAL) is None:
            raise exceptions.TableNotDroppedError.about(replace(self.context, table=table.name), "It is DELETING.")
        self.log.info("Dropped: table %s", table.name)

    def _drop_once(self, table: Table) -> bool:
        """Return whether a scratch table is gone; drop it unless AWS is at it."""
        context = replace(self.context, table=table.name)
        try:
            present = self.hook.describe_table(context, table.name)
            if _identity(present) != _identity(table):
                raise exceptions.ForeignTableError.about(context, "It has replaced the drill's own.")
            if present.status != TableStatus.DELETING:
                self.hook.delete_table(context, table.name)
        except exceptions.TableNotFoundError:
            return True
        return False

    def _pick(self, request: DrillRequest) -> BackupArn:
        """Return one of the backups of the drilled table.

        :raises BackupNotPickedError: none will do
        """
        about, since = replace(self.context, table=request.about.table), self._now() - request.within
        deadline = self.deadline.within(limits.BEGINNING_PATIENCE)
        table, listed = read_backups(self.hook, about, str(request.about.table_name), deadline, self.log)
        found, others = eligible_and_others(table, listed, since=since, prefixes=request.about.prefixes)
        if not found:
            raise none_eligible(about, table, others)
        # The run's digest draws: a retry draws the same, unless there are others by then.
        drawn = int(self.name.rpartition("-")[2], 16) % len(found)
        picked = found[drawn if request.pick == Pick.RANDOM else 0]
        self.log.info("Picked the %s of %s backups: %s", request.pick, len(found), picked.arn.text)
        return picked.arn

    def _describe(self, name: str, deadline: Deadline) -> Table | None:
        """Return a table; ``None``: there is none of that name."""
        return retrying(deadline, self.log)(self.hook.find_table, replace(self.context, table=name), name)

    def _raise_for_failures(self, detail: str) -> None:
        self.report.raise_for_failures(exceptions.DrillFailedError, self.context, detail)

    def _now(self) -> datetime:
        """Return the earliest time that it may be by AWS's clock."""
        return self.hook.clock.earliest(self.hook.clock.monotonic())


def _backup_of(table: Table) -> str | None:
    return table.restore.backup_arn if table.restore else None


def _identity(table: Table) -> tuple[object, ...]:
    """Return what tells a table from another of its name."""
    return table.arn, table.table_id, table.created_at, table.restore and replace(table.restore, in_progress=False)
