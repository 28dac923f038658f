"""A prune: select, list, plan, check the rails, delete, and raise for what failed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup import exceptions, limits
from airflow_ddb_backup.exceptions import BackupError
from airflow_ddb_backup.models import Backup, BackupStatus, TableStatus
from airflow_ddb_backup.parameters import check_count, check_flag, check_name, check_timeout, set_checked
from airflow_ddb_backup.report import Report, total_of
from airflow_ddb_backup.retention.delete import delete_backup
from airflow_ddb_backup.retention.plan import is_candidate, make_plan, prefixes_of, sizes_of
from airflow_ddb_backup.retries import read_pages, retrying, rounds
from airflow_ddb_backup.selection import SelectedTable, select_tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import BackupArn, Table
    from airflow_ddb_backup.retention.plan import Group, Plan
    from airflow_ddb_backup.retention.policy import RetentionPolicy
    from airflow_ddb_backup.retries import Retry
    from airflow_ddb_backup.selection import TableSelection


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """The prune that a task asks for, as its parameters say. It checks itself.

    :param selection: which tables
    :param policy: what to keep; it has a rule
    :param prefixes: what the names of the backups begin with, 3 to 255 characters: a shorter one would mean nearly all
        backups
    :param dropped_tables: also prune backups of tables that do not exist any more
    :param max_deletions: refuse a plan that deletes more, 0 or more; ``None``: by the number of the plan's groups
    :param plan_only: plan and log only
    :param timeout: seconds, or a ``timedelta``, for all of it; 60 to 7200
    :raises InvalidValueError: a value is wrong
    """

    selection: TableSelection
    policy: RetentionPolicy
    prefixes: tuple[str, ...]
    dropped_tables: bool
    max_deletions: int | None
    plan_only: bool
    timeout: float

    def __post_init__(self) -> None:
        set_checked(
            self,
            prefixes=tuple(check_name("backup_name_prefix", prefix) for prefix in self.prefixes),
            dropped_tables=check_flag("dropped_tables", self.dropped_tables),
            max_deletions=None if self.max_deletions is None else check_count("max_deletions", self.max_deletions),
            plan_only=check_flag("plan_only", self.plan_only),
            timeout=check_timeout(self.timeout),
        )
        if not self.policy.has_rules:
            rule = "above 0, unless another keep_ rule or older_than is set: a policy without one deletes everything"
            raise exceptions.InvalidValueError.of("keep_last", self.policy.keep_last, rule)
        if self.dropped_tables and self.selection.table_tags:
            rule = "False with table_tags: a deleted table's tags can't be read"
            raise exceptions.InvalidValueError.of("dropped_tables", self.dropped_tables, rule)

    @property
    def finds_tables(self) -> bool:
        """Whether tables that no longer exist are selected too, of which only their backups tell."""
        return self.dropped_tables and self.selection.has_patterns

    def check_size(self, plan: Plan, context: ErrorContext) -> None:
        """Refuse a plan that deletes too many.

        :param plan: the whole plan
        :param context: the region, for messages
        :raises TooManyDeletionsError: it deletes more than it may
        """
        count, most = len(plan.deletions), self.max_deletions
        if most is None:
            most = max(limits.FEWEST_DELETIONS, limits.DELETIONS_PER_GROUP * len(plan.groups))
        if count > most:
            prefixes = ", ".join(map(repr, self.prefixes))
            plans = f"it would delete {count} and keep {len(plan.kept)}, and max_deletions is {most}."
            raise exceptions.TooManyDeletionsError.about(context, f"The prefix is {prefixes}; {plans}")


@dataclass(slots=True)
class PruneReport(Report[Backup]):
    """The results of a prune so far: ``done`` are the backups that were deleted, or were deleted already, by ARN.

    ``failed`` says why a backup, by its ARN, or a table, by its name, could not be done.

    :param plan_only: it was to plan and log only; ``done`` is what a real run would delete
    :param kept: those that stay, by ARN
    :param in_use: the ARNs of those that are being restored, and are left to the next prune
    """

    plan_only: bool = False
    kept: dict[str, Backup] = field(default_factory=dict)
    in_use: list[str] = field(default_factory=list)

    def deleted(self) -> str:
        """Return how many were deleted."""
        return f"{len(self.done)} backups {'would be' if self.plan_only else 'were'} deleted"

    def summary(self) -> str:
        """Return how many there are of what."""
        deleted, kept = (total_of(sizes_of(backups.values())) for backups in (self.done, self.kept))
        others = f"{len(self.in_use)} are in use, {len(self.failed)} failed"
        return f"{self.deleted()} ({deleted}), {len(self.kept)} are kept ({kept}), {others}."

    def as_dict(self, error: BaseException | None = None) -> dict[str, Any]:
        """Return it as plain JSON values.

        :param error: why the task has failed; ``None``: it has not
        """
        return {
            "plan_only": self.plan_only,
            "kept": len(self.kept),
            "deleted": list(self.done),
            "in_use": list(self.in_use),
            "failed": self.messages(),
            "kept_bytes": sum(sizes_of(self.kept.values())),
            "deleted_bytes": sum(sizes_of(self.done.values())),
            **self.told(self.summary(), error),
        }


@dataclass(slots=True)
class Prune:
    """A prune.

    :param hook: makes the calls
    :param request: what the task asks for
    :param context: the region, for messages
    :param deadline: when to give up, by the request's timeout from when the task began
    :param report: takes the results, so that they are known even if something raises
    :param log: the task's log
    """

    hook: DynamoDBBackupHook
    request: PruneRequest
    context: ErrorContext
    deadline: Deadline
    report: PruneReport
    log: Any

    def run(self) -> None:
        """Select, list, plan, check the rails, delete, and raise for what failed.

        :raises EmptySelectionError: no table is selected
        :raises TooManyDeletionsError: the plan deletes more than it may; nothing was deleted
        :raises DeletionsFailedError: not everything could be done
        :raises BackupError: AWS refused, or time was up
        """
        request, report = self.request, self.report
        tables = select_tables(
            self.hook,
            request.selection,
            report,
            context=self.context,
            deadline=self.deadline,
            too_late=self._too_late,
            log=self.log,
        )
        if not request.finds_tables:
            request.selection.check_size([*(table.name for table in tables), *report.failed], self.context)
        listed = self._backups_of(tables)
        if request.finds_tables:
            gone = {backup.arn.table_name for backup in listed if is_candidate(backup, request.prefixes)}
            gone -= {table.name for table in tables}
            tables += [SelectedTable(name) for name in sorted(filter(request.selection.matches, gone))]
            request.selection.check_size((table.name for table in tables), self.context)
        # An ARN is that of one account's table, whatever its name.
        texts = {table.arn or table.name for table in tables}
        listed = [backup for backup in listed if texts & {backup.arn.table_name, backup.arn.table_arn}]
        candidates = [backup for backup in listed if is_candidate(backup, request.prefixes)]
        for prefix in request.prefixes:
            if not any(backup.name.startswith(prefix) for backup in listed):
                self.log.warning("No backup's name begins with %r; %s.", prefix, prefixes_of(listed))
        existing = self._existing(tables, listed, candidates)
        # What is not known of one table is no reason to leave the others out, nor to delete anything of that one.
        candidates = [backup for backup in candidates if backup.arn.table_name not in report.failed]
        plan = make_plan(request.policy, candidates, existing, self._began, dropped_tables=request.dropped_tables)
        report.kept = {backup.arn.text: backup for backup in plan.kept}
        self._log_plan(plan, len(tables))
        request.check_size(plan, self.context)
        try:
            rounds(plan.deletions, _Deletions(self, plan), self.deadline, self.log)
        except BaseException as error:
            # Airflow's too, for the task's execution_timeout.
            planned = (backup.arn.text for backup in plan.deletions)
            report.fail_others((arn for arn in planned if arn not in {*report.kept, *report.in_use}), error)
            raise
        self.log.info("%s", report.summary())
        report.raise_for_failures(exceptions.DeletionsFailedError, self.context, report.deleted())

    def _backups_of(self, tables: Sequence[SelectedTable]) -> list[Backup]:
        """Return all backups of some tables, and perhaps of others, each once.

        ListBackups lists a table or the whole account: whichever is likely to take fewer calls. A listing of the
        account is given up after as many pages as there are tables, unless it is to find tables.
        """
        listed = self._pages(None, None if self.request.finds_tables else len(tables) - 1)
        if listed is None:
            listed = [backup for table in tables for backup in self._pages(table.name) or ()]
        # A page may repeat what another has shown: what counted twice would cost a good one.
        return list({backup.arn.text: backup for backup in listed}.values())

    def _pages(self, table_name: str | None, most: int | None = None) -> list[Backup] | None:
        context, retry, listing = replace(self.context, table=table_name), self._retry(), self.hook.list_backups
        return read_pages(lambda cursor: retry(listing, context, table_name, cursor=cursor), context, most)

    def _existing(
        self, tables: Sequence[SelectedTable], listed: Sequence[Backup], candidates: Sequence[Backup]
    ) -> dict[str, Table]:
        """Return the tables that exist, as far as the plan depends on it; one that must exist and does not has failed.

        With ``dropped_tables`` each very table is a group of its own, whether it exists or not. Its existence matters
        where a backup has no table ID, and where it has no backup at all: its name may be wrong.
        """
        dropped = self.request.dropped_tables
        known = {text for backup in listed if dropped for text in (backup.arn.table_name, backup.arn.table_arn)}
        about = {backup.arn.table_name for backup in candidates if not dropped or backup.table_id is None}
        existing = {}
        for table in tables:
            must_exist = table.named and (table.arn or table.name) not in known
            if must_exist or table.name in about:
                try:
                    existing[table.name] = self._describe(table)
                except (exceptions.DeletionTimeoutError, exceptions.AccountError):
                    raise
                except BackupError as error:
                    if must_exist or not isinstance(error, exceptions.TableNotFoundError):
                        self.log.warning("Nothing of this table is deleted: %s", error)
                        self.report.failed[table.name] = error
        return existing

    def _describe(self, selected: SelectedTable) -> Table:
        context = replace(self.context, table=selected.name)
        retry = self._retry(limits.TABLE_PATIENCE)
        table = retry(self.hook.describe_table, context, selected.arn or selected.name)
        # A DELETING table counts as gone.
        if table.status == TableStatus.DELETING:
            raise exceptions.TableNotFoundError.about(context, f"It is {table.status}.")
        return table

    def _retry(self, patience: float = math.inf) -> Retry:
        """Return what makes a call that the plan is made from, and retries it; none begins after the deadline."""
        return retrying(self.deadline, self.log, patience=patience, too_late=self._too_late)

    @property
    def _too_late(self) -> BackupError:
        return exceptions.DeletionTimeoutError.about(self.context, "Nothing was deleted.")

    @property
    def _began(self) -> datetime:
        """When the task began, by AWS's clock."""
        return self.hook.clock.earliest(self.deadline.ends - self.request.timeout)

    def _log_plan(self, plan: Plan, tables: int) -> None:
        rows = plan.rows(self._began)
        small = len(rows) <= limits.LARGEST_LISTED_PLAN
        self.log.info(
            "%s: %s to delete (%s), %s kept (%s)%s; account %s, region %s, by %s, of %s table(s), backups named %s\n%s",
            "Plan only" if self.request.plan_only else "Plan",
            len(plan.deletions),
            total_of(sizes_of(plan.deletions)),
            len(plan.kept),
            total_of(sizes_of(plan.kept)),
            f", {plan.untouched} of other tables of these names not touched" if plan.untouched else "",
            self.hook.account or "not known",
            self.report.region,
            self.request.policy,
            tables,
            ", ".join(f"{prefix}*" for prefix in self.request.prefixes),
            "\n".join(rows if small else plan.summary()),
        )
        if not small:
            self.log.debug("\n".join(rows))


class _Deletions:
    """Deletes what a plan does not keep; see :class:`~.retries.Work`.

    Before the first deletion of a table in each round, its tags and its ``minimum_redundancy`` newest are confirmed:
    minutes may have passed, and listings lag.
    """

    def __init__(self, prune: Prune, plan: Plan) -> None:
        self._prune, self._hook, self._report, self._log = prune, prune.hook, prune.report, prune.log
        self._groups = {backup: group for group in plan.groups for backup in group.deleted}
        # Whether a table may lose backups in this round, or why that is not known.
        self._confirmed: dict[str, bool | BackupError] = {}
        self._patience: dict[Backup, Deadline] = {}

    def step(self, backup: Backup) -> None:
        """Delete a backup, if its table may lose any."""
        group = self._groups[backup]
        if str(group) not in self._confirmed:
            self._confirmed[str(group)] = self._confirm(group)
        confirmed = self._confirmed[str(group)]
        if isinstance(confirmed, BackupError):
            raise confirmed
        if not confirmed:
            self._report.kept[backup.arn.text] = backup
            return
        try:
            if not self._prune.request.plan_only:
                self._log.info("%s", delete_backup(self._hook, backup.arn))
        except exceptions.BackupInUseError as error:
            if not self._patience.setdefault(backup, self._prune.deadline.within(limits.IN_USE_PATIENCE)).passed:
                raise
            self.failed(backup, error)
        except exceptions.AccessDeniedError as error:
            # The table's other deletions would be denied too.
            self._confirmed[str(group)] = error
            raise
        else:
            self._report.done[backup.arn.text] = backup

    def failed(self, backup: Backup, error: BackupError) -> None:
        """Leave a backup that is in use to the next prune; anything else is a failure."""
        if isinstance(error, exceptions.BackupInUseError):
            self._report.in_use.append(backup.arn.text)
            self._log.warning("%s The next prune tries again.", error)
            return
        if error not in self._report.failed.values():
            # The backups of a table may share it.
            self._log.error("%s", error)
        self._report.failed[backup.arn.text] = error

    def untried(self, backup: Backup) -> BackupError:
        """Return why a backup was not deleted that time was up for."""
        return exceptions.DeletionTimeoutError.about(backup.arn.context, "It was not tried.")

    def confirm(self, backups: list[Backup]) -> list[Backup]:
        """Have each table confirmed again in the next round."""
        self._confirmed.clear()
        return backups

    def progress(self, _: int) -> str:
        """Return a line for the log."""
        return f"{len(self._report.done)} of {len(self._groups)} deleted so far"

    def _confirm(self, group: Group) -> bool | BackupError:
        """Return whether a table may lose backups: it has the tags, and the newest that must stay are there."""
        try:
            if not self._has_tags(group.decisions[0].backup.arn):
                self._log.warning("Nothing is deleted, since it lacks the tags: table %s", group)
                return False
            statuses = {backup.arn.text: self._status(backup.arn) for backup in group.redundant}
        except BackupError as error:
            return error
        gone = {arn: status for arn, status in statuses.items() if status != BackupStatus.AVAILABLE}
        for arn, status in gone.items():
            message = (
                "Nothing is deleted of a table whose backup is listed, but is %s. The next prune tries again: table "
                "%s, backup %s"
            )
            self._log.warning(message, status, group, arn)
            self._report.kept.pop(arn, None)
        return not gone

    def _has_tags(self, arn: BackupArn) -> bool:
        if not self._prune.request.selection.table_tags:
            return True
        context = replace(arn.context, backup=None)
        tags = read_pages(lambda cursor: self._hook.list_tags(context, arn.table_arn, cursor), context)
        return self._prune.request.selection.has_tags(tags or ())

    def _status(self, arn: BackupArn) -> str:
        try:
            return self._hook.describe_backup(arn).status
        except exceptions.BackupNotFoundError:
            return BackupStatus.DELETED
