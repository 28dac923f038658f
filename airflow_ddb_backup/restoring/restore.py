"""The calls of a restore up to the point where AWS works on it: check, read the settings, restore.

Neither RestoreTableFromBackup nor RestoreTableToPointInTime has an idempotency token, but the name of the new table
works as one: AWS makes no second table of that name, so a call that is made again can at worst be refused. Whether a
table of that name is this restore is told by its ``RestoreSummary``, which stays for as long as the table does.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup import exceptions, limits
from airflow_ddb_backup.boto_errors import map_exceptions
from airflow_ddb_backup.exceptions import BackupError, ErrorContext
from airflow_ddb_backup.models import TableStatus
from airflow_ddb_backup.restoring.origin import BackupOrigin, MomentOrigin, Origin
from airflow_ddb_backup.restoring.request import IfTargetExists, SettingsRequest
from airflow_ddb_backup.restoring.settings import SETTINGS, SettingsOf, needed_by, read_settings
from airflow_ddb_backup.retries import poll_until, retrying

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import RestoreSource, Table
    from airflow_ddb_backup.restoring.request import RestoreRequest


_LOSES_LESS = (
    "Point-in-time recovery is on: DynamoDBRestoreTableToPointInTimeOperator loses only what was written since the "
    "second before the damage. Table %s"
)


def confirm_restored(target: SettingsOf, source: RestoreSource) -> None:
    """Make sure that a table is there, and is the one that was waited for: time may have passed since.

    :param target: the table
    :param source: what it was restored from
    :raises RestoreLostError: it is gone, or another one
    """
    try:
        table = target.retry(target.hook.describe_table, target.context, target.name)
    except exceptions.TableNotFoundError as error:
        detail = "The restored table no longer exists. Clear the task to restore it again."
        raise exceptions.RestoreLostError.about(target.context, detail) from error
    if not source.made(table):
        detail = (
            "The table was restored, but there is another table of its name now, to which nothing was done. Choose "
            "another target_table_name, or delete that table yourself."
        )
        raise exceptions.RestoreLostError.about(target.context, detail)


@dataclass(slots=True)
class Restore:
    """The restore of one try of a task.

    :param hook: makes the calls
    :param request: what the task asks for
    :param since: when the run can first have restored, by the scheduler's clock: an older restore is taken over with a
        warning
    :param deadline: when to give up
    :param log: the task's log
    """

    hook: DynamoDBBackupHook
    request: RestoreRequest
    since: datetime
    deadline: Deadline
    log: Any
    #: when the first call began whose outcome was ambiguous, by the monotonic clock
    _called_at: float | None = None
    _ambiguous: int = 0

    #: the new table, what it is restored from, and region, for messages
    context: ErrorContext = field(init=False)
    #: what the table is restored from
    origin: Origin = field(init=False)

    def __post_init__(self) -> None:
        # Until AWS works on it, the task holds a worker: a retry of Airflow's does not.
        self.deadline = self.deadline.within(limits.BEGINNING_PATIENCE)
        self.context = self.request.source.context(self.request.target_table_name)
        kind: type[Origin] = BackupOrigin if self.request.source.backup_arn else MomentOrigin
        self.origin = kind(self.hook, self.request.source, self.context, self.deadline, self.log)

    def begin(self) -> tuple[Table, SettingsRequest]:
        """Start it, or find the table that an earlier try has started; return that with the settings to put back.

        Everything that can be known to fail is checked before anything is made.

        :raises TargetTableExistsError: there is another table of that name
        :raises SettingsDeniedError: a setting can't be read for want of a permission
        :raises BackupError: the source can't be restored, a setting can't be read, AWS refused, or time was up
        """
        target = self._find_target()
        self.origin.check(target)
        settings = self._read_settings()
        return target or self._start(), settings

    def _find_target(self) -> Table | None:
        """Return the table that this restore has made already; ``None``: there is none of its name.

        :raises TargetTableExistsError: it is something else
        """
        context = self.context
        table = retrying(self.deadline, self.log)(self.hook.find_table, context, self.request.target_table_name)
        if table is None:
            return None
        if table.status == TableStatus.DELETING:
            raise exceptions.TargetTableDeletingError.about(context, "It is DELETING.")
        if table.restore is None:
            raise exceptions.TargetTableExistsError.about(context, "It was not made by a restore.")
        if not self.request.source.made(table):
            raise exceptions.TargetTableExistsError.about(context, f"It was restored {table.restore}.")
        made = f"this very restore, created at {table.created_at.isoformat()}"
        is_own = self._is_own(table)
        if self.request.if_exists == IfTargetExists.FAIL and not is_own:
            raise exceptions.TargetTableExistsError.about(context, f"It is {made}, and if_exists is 'fail'.")
        self.log.info("Taking the table of %s: %s", made, table.arn)
        if table.created_at < self.since - limits.SCHEDULER_CLOCK_TOLERANCE and not is_own:
            message = "It was restored before this run started, at %s, and may have been written to since: table %s"
            self.log.warning(message, self.since.isoformat(), table.name)
        return table

    def _is_own(self, table: Table) -> bool:
        """Return whether a call of this try, whose response was lost, has made the table."""
        if self._called_at is None:
            return False
        return table.created_at >= self.hook.clock.earliest(self._called_at) - limits.AWS_CLOCK_TOLERANCE

    def _start(self) -> Table:
        """Start the restore; return the table, which a call without a response may have made."""
        overrides = self.request.overrides.arguments(self.origin.indexes)
        self.log.info("Restoring %s as table %s", self.request.source, self.request.target_table_name)
        return retrying(self.deadline, self.log)(self._start_once, overrides)

    def _start_once(self, overrides: dict[str, Any]) -> Table:
        try:
            return self.origin.start(self.request.target_table_name, overrides)
        except (exceptions.TargetTableExistsError, exceptions.TableInUseError) as error:
            if found := self._find_target():
                return found
            # It has gone since, or is not known everywhere yet.
            detail = f"AWS knows no such table now, but said: {error}"
            raise exceptions.TableInUseError.about(self.context, detail) from error
        except exceptions.AmbiguousOutcomeError as error:
            self._called_at = self._called_at or error.began_at
            self.log.warning("%s Looking for the table.", error)
            known = self.deadline.within(limits.DESCRIBE_LAG)
            if found := poll_until(self._find_target, known, limits.DESCRIBE_INTERVAL):
                return found
            self._ambiguous += 1
            error.may_call_again = self._ambiguous <= limits.AMBIGUOUS_RETRIES
            raise

    def _read_settings(self) -> SettingsRequest:
        """Read the settings: of another table, or of the backup and the table that is restored."""
        request = self.request
        values: dict[str, Any] = {}
        if request.settings and request.settings_from is not None:
            source = self._table(request.settings_from)
            values = read_settings(request.settings, source)
            self._tell_others(source)
        elif request.settings:
            values = self._of_source()
        unavailable = [name for name in request.settings if name not in values]
        if request.tags:
            values["tags"] = {**(values.get("tags") or {}), **request.tags}
        return SettingsRequest(request.source, request.target_table_name, values, unavailable)

    def _of_source(self) -> dict[str, Any]:
        """Return the settings that the backup holds, and the others if the table is there."""
        values = {name: held for name, held in self.origin.held.items() if name in self.request.settings}
        wanted = [name for name in self.request.settings if name not in values]
        source = self._table(self.request.source.table_name)
        with needed_by(wanted, source.context):
            if not wanted or not self._is_there():
                return values
        try:
            read = read_settings(wanted, source)
        except exceptions.TableNotFoundError:
            if self._is_there():
                raise
            return values
        self._tell_others(source)
        if self.request.source.backup_arn and read.get("point_in_time_recovery"):
            self.log.info(_LOSES_LESS, source.name)
        return values | read

    def _tell_others(self, source: SettingsOf) -> None:
        """Log which settings the source has that are not asked for. Each is tried once, since none is needed."""
        source, others = replace(source, patience=0), []
        for setting in SETTINGS:
            with suppress(BackupError), map_exceptions(source.context):
                if setting.name not in self.request.settings and setting.read(source).value:
                    others.append(setting.name)
        if others:
            self.log.info("Not asked for by settings: %s, which table %s also has.", ", ".join(others), source.name)

    def _is_there(self) -> bool:
        """Return whether the very table that is restored exists."""
        name = self.request.source.table_name
        source = self._table(name)
        table = source.retry(self.hook.find_table, source.context, name)
        if table is None:
            reason = "it is gone"
        elif table.status == TableStatus.DELETING:
            reason = "it is being deleted"
        elif self.origin.is_of(table):
            return True
        else:
            reason = "it is another than the one that is restored"
        message = "Settings%s of a table are unavailable, since %s; settings_from can name another than %s."
        but = f" other than {' and '.join(self.origin.held)}" if self.origin.held else ""
        self.log.warning(message, but, reason, name)
        return False

    def _table(self, name: str) -> SettingsOf:
        context = ErrorContext(name, None, self.request.source.region)
        return SettingsOf(self.hook, context, name, self.deadline, limits.READING_PATIENCE, self.log)
