"""The calls of a prune, in their order: select, list, plan, check the rails, delete, judge."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    BackupError,
    BackupInUseError,
    BackupNotFoundError,
    DeletionsFailedError,
    DeletionsFailedForGoodError,
    DeletionTimeoutError,
    ErrorContext,
    PermanentError,
    TableNotFoundError,
    TooManyDeletionsError,
    TransientError,
)
from airflow_ddb_backup.models import BackupStatus
from airflow_ddb_backup.retention.plan import Plan, is_candidate, make_plan
from airflow_ddb_backup.retries import read_pages, retrying
from airflow_ddb_backup.selection import SelectedTable, select_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Backup, BackupArn, Page, Table
    from airflow_ddb_backup.retention.plan import Group
    from airflow_ddb_backup.retention.policy import RetentionPolicy
    from airflow_ddb_backup.selection import TableSelection

_P = ParamSpec("_P")
_T = TypeVar("_T")
# A restore may hold a backup for hours: the next prune deletes it.
_IN_USE_PATIENCE = 60.0
_LONGEST_BACKOFF = 30.0
_PROGRESS_INTERVAL = 30.0
# The log of a larger plan has a line for each table, and the backups at debug level.
_LARGEST_LISTED_PLAN = 500
# AWS refuses signatures that are 5 minutes off: a worker's clock is not further off than that.
_LARGEST_CLOCK_ERROR = timedelta(minutes=5)
# An exception's message names so many failures.
_NAMED = 5
# For so long at most GetResources lists the tags of a table that is gone (observed: hours).
_TAGS_OF_GHOSTS = timedelta(days=1)
# A table on its way out has as good as gone.
_GOING = frozenset({"DELETING"})


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """The prune that a task asks for.

    :param context: the region, for messages
    :param selection: which tables
    :param prefix: what the names of the backups begin with
    :param policy: what to keep
    :param dropped_tables: also prune backups of tables that do not exist any more
    :param max_deletions: refuse a plan that deletes more
    :param dry_run: plan and log only
    :param began_at: when the task began, by the monotonic clock: nothing made since then is deleted
    :param deadline: when to give up
    """

    context: ErrorContext
    selection: TableSelection
    prefix: str
    policy: RetentionPolicy
    dropped_tables: bool
    max_deletions: int
    dry_run: bool
    began_at: float
    deadline: Deadline


@dataclass(slots=True)
class PruneReport:
    """The results of a prune so far.

    :param dry_run: it was to plan and log only; ``deleted`` is what a real run would delete
    :param kept: how many backups the policy keeps
    :param deleted: the ARNs of those that were deleted, or were gone already
    :param in_use: the ARNs of those that are being restored, and are left to the next prune
    :param failed: why a backup, by its ARN, or a table, by its name, could not be done
    """

    dry_run: bool
    kept: int = 0
    deleted: list[str] = field(default_factory=list)
    in_use: list[str] = field(default_factory=list)
    failed: dict[str, BackupError] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        failed = {name: str(error) for name, error in self.failed.items()}
        return {
            "dry_run": self.dry_run,
            "kept": self.kept,
            "deleted": list(self.deleted),
            "in_use": list(self.in_use),
            "failed": failed,
        }


@dataclass(slots=True)
class _Deletion:
    """A backup that is to be deleted, and how that went so far."""

    arn: BackupArn
    error: BackupError | None = None
    in_use_since: float | None = None


class Prune:
    """A prune; ``report`` says what it has done so far, also after it has raised.

    :param hook: makes the calls
    :param request: what the task asks for
    :param log: the task's log
    """

    def __init__(self, hook: DynamoDBBackupHook, request: PruneRequest, log: Any) -> None:
        self._hook = hook
        self._request = request
        self._log = log
        self._clock = request.deadline.clock
        self._began_by_worker = datetime.now(tz=UTC) - timedelta(
            seconds=request.deadline.clock.monotonic() - request.began_at
        )
        self._began_by_aws: datetime | None = None
        self._tables: list[SelectedTable] = []
        self._without_backups: set[str] = set()
        self.report = PruneReport(request.dry_run)

    def run(self) -> None:
        """Select, list, plan, check the rails, delete, and judge.

        :raises EmptySelectionError: no table is selected
        :raises TooManyDeletionsError: the plan deletes more than it may; nothing was deleted
        :raises DeletionsFailedError: not everything could be done
        :raises BackupError: AWS refused, or time was up
        """
        plan = self._plan()
        self.report.kept = plan.kept
        deletions = plan.deletions
        request = self._request
        if len(deletions) > request.max_deletions:
            detail = (
                f"The prefix is {request.prefix!r}; it would delete {len(deletions)} and keep {plan.kept}, and "
                f"max_deletions is {request.max_deletions}."
            )
            raise TooManyDeletionsError.about(request.context, detail)
        if request.dry_run:
            self.report.deleted = [backup.arn.text for backup in deletions]
        else:
            groups = {backup.arn.text: group for group in plan.groups for backup in group.deleted}
            self._delete([backup.arn for backup in deletions], groups)
        self._judge()

    def _plan(self) -> Plan:
        """Return the plan, once every listing is read and every backup that must stay has been seen."""
        request = self._request
        self._tables = select_tables(self._hook, request.selection, request.context, self._retry)
        finds_tables = request.dropped_tables and request.selection.has_patterns
        if not finds_tables:
            request.selection.check_size((table.name for table in self._tables), request.context)
        backups = self._list(finds_tables=finds_tables)
        if finds_tables:
            request.selection.check_size((table.name for table in self._tables), request.context)
        tables = self._existing(backups)
        now = self._began_by_aws or self._began_by_worker - _LARGEST_CLOCK_ERROR
        plan = make_plan(request.policy, backups, tables, now, dropped_tables=request.dropped_tables)
        plan = replace(plan, groups=tuple(self._check_redundancy(group) for group in plan.groups))
        self._log_plan(plan, now)
        return plan

    def _list(self, *, finds_tables: bool) -> list[Backup]:
        """Return the backups that the task is about.

        ListBackups lists a table or the whole account: whichever is likely to take fewer calls. A listing of the
        account is given up after as many pages as there are tables.

        :param finds_tables: tables that are gone are selected too, of which only their backups tell
        """
        names = {table.name for table in self._tables}
        backups = self._pages(None, None if finds_tables else len(names) - 1)
        if backups is None:
            backups = [backup for name in sorted(names) for backup in self._pages(name, None) or ()]
        # A page may repeat what another has shown: what counted twice would cost a good one.
        once = {backup.arn.text: backup for backup in backups}.values()
        candidates = [backup for backup in once if is_candidate(backup, self._request.prefix)]
        if finds_tables:
            gone = {backup.arn.table_name for backup in candidates} - names
            matching = filter(self._request.selection.matches, sorted(gone))
            self._tables += [SelectedTable(name) for name in matching]
        found = {text for backup in once for text in (backup.arn.table_name, backup.arn.table_arn)}
        self._without_backups = {table.name for table in self._tables if (table.arn or table.name) not in found}
        selected = {table.name: table for table in self._tables if not table.missing}
        return [backup for backup in candidates if _is_selected(backup, selected.get(backup.arn.table_name))]

    def _pages(self, table_name: str | None, limit: int | None) -> list[Backup] | None:
        """Return the backups on all pages; ``None`` if there are more pages than the limit."""
        if limit == 0:
            return None
        context = replace(self._request.context, table=table_name)

        def page_at(cursor: str | None) -> Page[Backup]:
            return self._retry(self._hook.list_backups, context, table_name, cursor=cursor)

        return read_pages(page_at, context, limit)

    def _existing(self, backups: list[Backup]) -> dict[str, Table | None]:
        """Return the tables that exist, as far as the plan depends on it."""
        names = {backup.arn.table_name for backup in backups}
        without_id = {backup.arn.table_name for backup in backups if backup.table_id is None}
        tables: dict[str, Table | None] = {}
        for selected in self._tables:
            if self._request.dropped_tables:
                # Each table is a group of its own then, whether it exists or not. A wrong name has no backup at all.
                wrong = selected.named and selected.name in self._without_backups
                needed = wrong or selected.name in without_id
            else:
                needed = selected.named or selected.name in names
            if selected.missing:
                context = replace(self._request.context, table=selected.name)
                detail = "ListTables does not list it, so nobody knows its tags."
                self.report.failed[selected.name] = TableNotFoundError.about(context, detail)
            elif needed:
                tables[selected.name] = self._describe(selected)
        return tables

    def _describe(self, selected: SelectedTable) -> Table | None:
        context = replace(self._request.context, table=selected.name)
        try:
            table = self._retry(self._hook.describe_table, context, selected.arn or selected.name)
        except TableNotFoundError as error:
            missing = error
        else:
            if table.status not in _GOING:
                return table if self._has_tags(table, context) else None
            missing = TableNotFoundError.about(context, f"It is {table.status}.")
        known = self._request.dropped_tables and selected.name not in self._without_backups
        if selected.named and not known:
            self.report.failed[selected.name] = missing
        return None

    def _has_tags(self, table: Table, context: ErrorContext) -> bool:
        """Return whether a young table has the tags itself: GetResources may still list those of an earlier one."""
        wanted = self._request.selection.tags
        now = self._began_by_aws or datetime.now(tz=UTC)
        if not wanted or now - table.created_at > _TAGS_OF_GHOSTS:
            return True
        pages = read_pages(lambda cursor: self._retry(self._hook.list_tags, context, table.arn, cursor), context)
        has = dict(pages or ())
        if all(has.get(key) in values for key, values in wanted.items()):
            return True
        self._log.warning(
            "Table %s is left out: it has not the tags, which an earlier table of its name had.", table.name
        )
        return False

    def _check_redundancy(self, group: Group) -> Group:
        """Look at the backups that must stay before any other is deleted: a listing may be behind by seconds."""
        if not group.deleted:
            return group
        gone = []
        for backup in group.redundant:
            status = self._retry(_status, self._hook, backup.arn)
            if status != BackupStatus.AVAILABLE:
                message = "Nothing of table %s is deleted: backup %s is listed, but is %s. The next prune sees to it."
                self._log.warning(message, group, backup.arn.text, status)
                gone.append(backup)
        return group.without(gone) if gone else group

    def _log_plan(self, plan: Plan, now: datetime) -> None:
        request = self._request
        rows = plan.rows(now)
        small = len(rows) <= _LARGEST_LISTED_PLAN
        lines = rows if small else plan.summary()
        self._log.info(
            "%s: backups named %s* of %s table(s), by %s: %s kept, %s to delete%s\n%s",
            "Dry run" if request.dry_run else "Plan",
            request.prefix,
            len(self._tables),
            request.policy,
            plan.kept,
            len(plan.deletions),
            f"; {plan.untouched} are of other tables of these names, and not touched" if plan.untouched else "",
            "\n".join(lines),
        )
        if not small:
            self._log.debug("\n".join(rows))

    def _delete(self, arns: list[BackupArn], groups: Mapping[str, Group]) -> None:
        """Delete in rounds: what fails waits for the next, and holds none of the others up.

        :param arns: the backups
        :param groups: the group of each
        :raises AccessDeniedError: a deletion is denied, as the next ones would be
        """
        pending, backoff = [_Deletion(arn) for arn in arns], 1.0
        logged_at = self._clock.monotonic()
        while pending:
            later: list[_Deletion] = []
            for number, deletion in enumerate(pending, start=1):
                try:
                    if self._must_be_tried_again(deletion):
                        later.append(deletion)
                except AccessDeniedError as error:
                    for other in [*later, *pending[number:]]:
                        detail = f"It was not tried, since a deletion was denied: {deletion.arn.text}."
                        other.error = other.error or AccessDeniedError.about(other.arn.context, detail)
                        self._give_up(other)
                    raise error from error.__cause__
                if self._clock.monotonic() - logged_at >= _PROGRESS_INTERVAL:
                    logged_at = self._clock.monotonic()
                    self._log.info("%s of %s deleted so far", len(self.report.deleted), len(arns))
            pending = later
            if pending:
                self._clock.sleep(min(backoff, self._request.deadline.left))
                backoff = min(2 * backoff, _LONGEST_BACKOFF)
                pending = self._still_safe(pending, groups)

    def _still_safe(self, pending: list[_Deletion], groups: Mapping[str, Group]) -> list[_Deletion]:
        """Return the deletions whose tables still have the backups that must stay: minutes may have passed."""
        if self._request.deadline.passed:
            return pending
        safe: dict[str, bool] = {}
        for deletion in pending:
            group = groups[deletion.arn.text]
            if str(group) not in safe:
                try:
                    checked = self._check_redundancy(group)
                    safe[str(group)] = bool(checked.deleted)
                    self.report.kept -= len(group.decisions) - len(checked.decisions)
                except BackupError as error:
                    self._log.warning("Nothing more of table %s is deleted: %s", group, error)
                    safe[str(group)] = False
        doubtful = [deletion for deletion in pending if not safe[str(groups[deletion.arn.text])]]
        self.report.kept += len(doubtful)
        return [deletion for deletion in pending if deletion not in doubtful]

    def _must_be_tried_again(self, deletion: _Deletion) -> bool:
        """Try to delete a backup; return whether it is still open, and worth another try."""
        report, arn = self.report, deletion.arn
        if self._request.deadline.passed:
            self._give_up(deletion)
            return False
        try:
            self._log.info(_delete(self._hook, arn), arn.text)
        except BackupInUseError as error:
            deletion.error = error
            if deletion.in_use_since is None:
                deletion.in_use_since = self._clock.monotonic()
            if self._clock.monotonic() - deletion.in_use_since < _IN_USE_PATIENCE:
                return True
            self._give_up(deletion)
        except (TransientError, AmbiguousOutcomeError) as error:
            if str(error) != str(deletion.error):
                self._log.warning("%s It is tried again.", error)
            deletion.error = error
            return True
        except BackupError as error:
            report.failed[arn.text] = error
            if isinstance(error, AccessDeniedError):
                raise
            self._log.error("%s", error)
        else:
            report.deleted.append(arn.text)
        return False

    def _give_up(self, deletion: _Deletion) -> None:
        error, arn = deletion.error, deletion.arn
        if isinstance(error, BackupInUseError):
            self.report.in_use.append(arn.text)
            self._log.warning("Left to the next prune: %s", error)
        else:
            self.report.failed[arn.text] = error or DeletionTimeoutError.about(arn.context, "It was not tried.")

    def _judge(self) -> None:
        report = self.report
        message = "Pruned: %s kept, %s deleted, %s in use, %s failed"
        if report.dry_run:
            message = "Dry run, nothing was deleted: %s kept, %s would be deleted, %s in use, %s failed"
        self._log.info(message, report.kept, len(report.deleted), len(report.in_use), len(report.failed))
        if not report.failed:
            return
        final = all(isinstance(error, PermanentError) for error in report.failed.values())
        kind = DeletionsFailedForGoodError if final else DeletionsFailedError
        some = " ".join(f"{name}: {error}" for name, error in list(report.failed.items())[:_NAMED])
        detail = f"{len(report.failed)} failed, {len(report.deleted)} backups were deleted. {some}"
        raise kind.about(self._request.context, detail)

    def _retry(self, call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._request.deadline.passed:
            raise DeletionTimeoutError.about(self._request.context, "Nothing was deleted.")

        def attempt() -> _T:
            try:
                return call(*args, **kwargs)
            finally:
                # The earliest of all: AWS's hosts may differ, and a later response must not make anything older.
                if began := self._hook.clock.earliest(self._request.began_at):
                    self._began_by_aws = min(began, self._began_by_aws or began)

        return retrying(self._request.deadline, self._log)(attempt)


def delete_backup(hook: DynamoDBBackupHook, arn: BackupArn, deadline: Deadline, log: Any) -> None:
    """Delete one backup; one that is gone already is deleted.

    :param hook: makes the calls
    :param arn: the backup
    :param deadline: until when to wait for a backup that is in use, and to try again
    :param log: the task's log
    :raises BackupError: AWS refused, or time was up
    """
    message = retrying(deadline, log)(_delete, hook, arn)
    log.info(message, arn.text)


def _delete(hook: DynamoDBBackupHook, arn: BackupArn) -> str:
    """Delete a backup; return what the log says of it."""
    try:
        hook.delete_backup(arn)
    except BackupNotFoundError:
        # Deleted by an earlier try, by a call whose response was lost, or by somebody else.
        return "Gone already: %s"
    return "Deleted %s"


def _status(hook: DynamoDBBackupHook, arn: BackupArn) -> str:
    try:
        return hook.describe_backup(arn).status
    except BackupNotFoundError:
        return BackupStatus.DELETED


def _is_selected(backup: Backup, table: SelectedTable | None) -> bool:
    return table is not None and table.arn in {None, backup.arn.table_arn}
