"""The calls of a restore up to the point where AWS works on it: check, read the settings, restore.

RestoreTableFromBackup has no idempotency token, but the name of the new table works as one: AWS makes no second table
of that name, so a call that is made again can at worst be refused. Whether a table of that name is this restore is told
by its ``RestoreSummary``, which stays for as long as the table does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupError,
    BackupNotFoundError,
    BackupNotReadyError,
    BackupNotRestorableError,
    ErrorContext,
    InvalidValueError,
    RestoreLostError,
    TableInUseError,
    TableNotFoundError,
    TargetTableDeletingError,
    TargetTableExistsError,
)
from airflow_ddb_backup.models import BackupStatus, TableStatus
from airflow_ddb_backup.restoring.put_back import read_settings
from airflow_ddb_backup.restoring.request import IfTargetExists, SourceSettings
from airflow_ddb_backup.restoring.settings import SettingsOf
from airflow_ddb_backup.retries import poll_until, retrying

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import BackupArn, BackupDescription, Table
    from airflow_ddb_backup.restoring.request import RestoreRequest
    from airflow_ddb_backup.retries import Retry

# A backup whose ARN was just handed on may not be known everywhere at once.
_NOT_FOUND_LIMIT = 3
# DescribeTable is eventually consistent: right after the restore has begun it may not know the table for some seconds.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html
_DESCRIBE_LAG = 10.0
_DESCRIBE_INTERVAL = 2.5
# After so many ambiguous outcomes, each settled by DescribeTable, one more call is not likely to fare better.
_AMBIGUOUS_RETRIES = 3
# Settings that can't be read for so long, for throttling say, are an outage of their own: nothing was made yet.
_READING_SECONDS = 300.0
# The same as a backup's default timeout; a restore's is hours or days.
_BEGINNING_SECONDS = 1800.0
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html
_MOST_TAGS = 50
# AWS's clock is known from the Date headers of its responses, to about a second.
_CLOCK_TOLERANCE = timedelta(seconds=2)


def begin_restore(hook: DynamoDBBackupHook, request: RestoreRequest, log: Any) -> tuple[Table, SourceSettings]:
    """Start a restore, or find the table that an earlier try has started; return it with the settings to put back.

    Everything that can be known to fail is checked before anything is made.

    :param hook: makes the calls
    :param request: what the task asks for
    :param log: the task's log
    :raises TargetTableExistsError: there is another table of that name
    :raises BackupError: the backup can't be restored, a setting can't be read, AWS refused, or time was up
    """
    return _Restore(hook, request, log).run()


def confirm_restored(hook: DynamoDBBackupHook, arn: BackupArn, context: ErrorContext, retry: Retry) -> None:
    """Make sure that a table is there, and is the one that was waited for: time may have passed since.

    :param hook: makes the calls
    :param arn: the backup
    :param context: the table, backup and region
    :param retry: repeats a call that may yet succeed
    :raises RestoreLostError: it is gone, or another one
    """
    try:
        table = retry(hook.describe_table, context, str(context.table))
    except TableNotFoundError as error:
        detail = "The table was restored, but is gone. To restore anew, clear the task."
        raise RestoreLostError.about(context, detail) from error
    if table.restore is None or table.restore.backup_arn != arn.text:
        detail = (
            "The table was restored, but there is another table of its name now, to which nothing was done. Choose "
            "another target_table_name, or delete that table yourself."
        )
        raise RestoreLostError.about(context, detail)


class _Restore:
    def __init__(self, hook: DynamoDBBackupHook, request: RestoreRequest, log: Any) -> None:
        self._hook = hook
        self._request = request
        self._log = log
        # Until AWS works on it, the task holds a worker: a retry of Airflow's does not.
        self._give_up = request.deadline.within(_BEGINNING_SECONDS)
        self._retry: Retry = retrying(self._give_up, log)
        # When the first call began whose outcome was ambiguous.
        self._called_at: float | None = None
        self._not_found = 0
        self._ambiguous = 0

    def run(self) -> tuple[Table, SourceSettings]:
        target = self._find_target()
        description = self._describe_backup(needed=target is None) if target is None or self._asks_backup else None
        settings = self._read_settings(description)
        self._check_tags(settings)
        if target is None:
            target = self._start(description)
        return target, settings

    @property
    def _asks_backup(self) -> bool:
        return bool(self._request.settings) and self._request.settings_from is None

    def _find_target(self) -> Table | None:
        """Return the table that this restore has made already; ``None``: there is none of its name.

        :raises TargetTableExistsError: it is something else
        """
        context = self._request.context
        try:
            table = self._retry(self._hook.describe_table, context, self._request.target)
        except TableNotFoundError:
            return None
        if table.status == TableStatus.DELETING:
            raise TargetTableDeletingError.about(context, "It is DELETING.")
        if table.restore is None:
            raise TargetTableExistsError.about(context, "It was not made by a restore.")
        if table.restore.backup_arn != self._request.arn.text:
            source = f"from backup {table.restore.backup_arn!r}" if table.restore.backup_arn else "to a point in time"
            raise TargetTableExistsError.about(context, f"It was restored {source}.")
        made = f"this backup's restore, created at {table.created_at.isoformat()}"
        if self._request.if_exists is IfTargetExists.FAIL and not self._is_own(table):
            raise TargetTableExistsError.about(context, f"It is {made}, and if_exists is 'fail'.")
        self._log.info("Table %s is %s; taking it.", table.arn, made)
        if table.created_at < self._request.run_started and not self._is_own(table):
            message = "Table %s was restored before this run started, at %s: it may have been written to since."
            self._log.warning(message, table.name, self._request.run_started.isoformat())
        return table

    def _is_own(self, table: Table) -> bool:
        """Return whether this run has made the table: in an earlier try, or by a call whose response was lost."""
        since = [self._request.own_since]
        if self._called_at is not None:
            called = self._hook.clock.earliest(self._called_at) or datetime.now(tz=UTC)
            since.append(called - _CLOCK_TOLERANCE)
        return any(moment is not None and table.created_at >= moment for moment in since)

    def _describe_backup(self, *, needed: bool) -> BackupDescription | None:
        """Return the description of the backup; ``None``: it is gone, and not needed any more."""
        context = self._request.context
        try:
            description = self._retry(self._backup_once)
        except BackupError as error:
            if needed:
                raise
            self._log.warning("The table is there already, but its backup can't be described: %s", error)
            return None
        status = description.backup.status
        if not needed or status == BackupStatus.AVAILABLE:
            return description
        kind = BackupNotRestorableError if status == BackupStatus.DELETED else BackupNotReadyError
        raise kind.about(context, f"It is {status}.")

    def _backup_once(self) -> BackupDescription:
        try:
            description = self._hook.describe_backup_in_full(self._request.arn)
        except BackupNotFoundError as error:
            self._count_not_found(error)
            raise
        except BackupError:
            self._not_found = 0
            raise
        return description

    def _count_not_found(self, error: BackupNotFoundError) -> None:
        self._not_found += 1
        if self._not_found >= _NOT_FOUND_LIMIT:
            detail = f"It was not found {_NOT_FOUND_LIMIT} times in a row: {error}"
            raise BackupNotRestorableError.about(self._request.context, detail) from error

    def _read_settings(self, description: BackupDescription | None) -> SourceSettings:
        request = self._request
        if not request.settings:
            return SourceSettings(request.arn.table_arn)
        if request.settings_from is not None:
            source = self._source(request.settings_from)
            return SourceSettings(source.arn, read_settings(request.settings, source))
        known = description.features if description else {}
        values = {name: known[name] for name in request.settings if name in known}
        wanted = [name for name in request.settings if name not in values]
        if wanted and (source_of_rest := self._backed_up_table(description)):
            values |= self._read_of_backed_up_table(wanted, source_of_rest, description)
        return SourceSettings(request.arn.table_arn, values)

    def _read_of_backed_up_table(
        self, names: list[str], source: SettingsOf, description: BackupDescription | None
    ) -> dict[str, Any]:
        """Return settings of the backed up table, unless it goes, or is replaced, meanwhile."""
        refusal: TableNotFoundError | None = None
        values: dict[str, Any] = {}
        try:
            values = read_settings(names, source)
        except TableNotFoundError as error:
            refusal = error
        if self._backed_up_table(description) is None:
            return {}
        if refusal:
            raise refusal
        return values

    def _check_tags(self, settings: SourceSettings) -> None:
        """Refuse more tags than a table can have, before anything is made."""
        tags = {**(settings.values.get("tags") or {}), **self._request.more_tags}
        if len(tags) > _MOST_TAGS:
            rule = f"so few that the table has at most {_MOST_TAGS} with those of the backed up table"
            raise InvalidValueError.of("tags", dict(self._request.more_tags), rule)

    def _backed_up_table(self, description: BackupDescription | None) -> SettingsOf | None:
        """Return the table that was backed up, while it exists."""
        name = self._request.arn.table_name
        source = self._source(name)
        message = "Settings other than ttl and stream are unavailable, since %s; settings_from can name another table."
        try:
            table = source.retry(self._hook.describe_table, source.context, name)
        except TableNotFoundError:
            self._log.warning(message, f"table {name} is gone")
            return None
        if table.status == TableStatus.DELETING:
            self._log.warning(message, f"table {name} is being deleted")
            return None
        if not self._is_backed_up(table, description):
            self._log.warning(message, f"table {name} is another than the one that was backed up")
            return None
        return source

    def _is_backed_up(self, table: Table, description: BackupDescription | None) -> bool:
        if description:
            return description.backup.is_of(table)
        made = self._request.arn.created_hint
        return made is not None and table.created_at <= made

    def _source(self, name: str) -> SettingsOf:
        region = self._request.context.region
        retry = retrying(self._give_up.within(_READING_SECONDS), self._log)
        return SettingsOf(self._hook, retry, ErrorContext(name, None, region), name)

    def _start(self, description: BackupDescription | None) -> Table:
        request = self._request
        # Without a description there is a table already.
        arguments = request.overrides.arguments(description) if description else {}
        self._log.info("Restoring backup %s as table %s", request.arn.text, request.target)
        self._not_found = 0

        def attempt() -> Table:
            began_at = self._give_up.clock.monotonic()
            try:
                return self._restore_once(arguments)
            except (TargetTableExistsError, TableInUseError) as error:
                if found := self._find_target():
                    return found
                # It has gone since, or is not known everywhere yet.
                raise TableInUseError.about(
                    request.context, f"AWS knows no such table now, but said: {error}"
                ) from error
            except BackupNotFoundError as error:
                self._count_not_found(error)
                raise
            except AmbiguousOutcomeError as error:
                self._called_at = self._called_at or began_at
                self._log.warning("%s Looking for the table.", error)
                if found := self._look_for_target():
                    return found
                self._ambiguous += 1
                raise

        return retrying(self._give_up, self._log, self._must_stop)(attempt)

    def _restore_once(self, arguments: Mapping[str, Any]) -> Table:
        request = self._request
        table = self._hook.restore_table(request.context, request.arn, request.target, **arguments)
        if table.restore is None:
            raise AmbiguousOutcomeError.about(request.context, "The response does not tell of a restore.")
        return table

    def _must_stop(self) -> bool:
        return self._ambiguous > _AMBIGUOUS_RETRIES

    def _look_for_target(self) -> Table | None:
        """Describe the table until it shows, or must have shown."""
        deadline = Deadline.after(_DESCRIBE_LAG, self._give_up.clock)
        return poll_until(self._find_target, deadline, _DESCRIBE_INTERVAL)
