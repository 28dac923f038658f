"""What differs between a restore from a backup and one to a point in time: checks, the call, and what the source tells.

A backup outlives its table and holds its indexes, stream and time to live. Continuous backups are the table's own: they
end with it, reach back to its creation at most, and all settings come from the table as it is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow_ddb_backup import exceptions, limits
from airflow_ddb_backup.boto_errors import told
from airflow_ddb_backup.exceptions import BackupError, ErrorContext
from airflow_ddb_backup.models import ENABLED, INDEX_KINDS, BackupArn, BackupStatus, TableStatus
from airflow_ddb_backup.report import size_of
from airflow_ddb_backup.restoring.pick import read_backups
from airflow_ddb_backup.retries import retrying

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Backup, RestoreSource, Table

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass
class Origin(ABC):
    """What a table is restored from.

    :param hook: makes the calls
    :param source: the backup, or the moment
    :param context: the new table, what it is restored from, and region, for messages
    :param deadline: when to give up
    :param log: the task's log
    """

    hook: DynamoDBBackupHook
    source: RestoreSource
    context: ErrorContext
    deadline: Deadline
    log: Any
    #: the backup, as described; ``None``: it is not known, or there is none
    backup: Backup | None = field(init=False, default=None)
    #: the indexes of each kind, in AWS's shape; ``None``: no response has told
    indexes: Mapping[str, Sequence[Mapping[str, Any]]] | None = field(init=False, default=None)
    #: the settings that it holds itself, by name
    held: Mapping[str, Any] = field(init=False, default_factory=dict)

    @abstractmethod
    def check(self, target: Table | None) -> None:
        """Check all that can be known to make the restore fail, and learn what the source tells.

        :param target: the table that was restored already: little can be wrong any more; ``None``: there is none
        :raises BackupNotReadyError: the backup is needed, and CREATING
        :raises BackupError: it can't be restored
        """

    @abstractmethod
    def start(self, target: str, overrides: Mapping[str, Any]) -> Table:
        """Start the restore.

        :param target: the name of the new table
        :param overrides: further arguments; never an empty structure
        :raises BackupError: it was not started, or may have been
        """

    @abstractmethod
    def is_of(self, table: Table) -> bool:
        """Return whether this very table is restored, and not a later one of its name.

        :param table: the table that has its name
        """


@dataclass
class BackupOrigin(Origin):
    """A backup, which may not be known everywhere yet if its ARN was just handed on."""

    def __post_init__(self) -> None:
        self._known = self.deadline.within(limits.DESCRIBE_LAG)
        self._not_found = 0

    def check(self, target: Table | None) -> None:
        """Describe the backup, unless that was done. One that can't be restored matters only if it is still to be."""
        if self.backup is not None:
            return
        needed, arn = target is None, BackupArn.from_response(self.source.backup_arn)
        retry = retrying(self.deadline, self.log, patience=math.inf if needed else limits.READING_PATIENCE)
        try:
            backup = retry(self._find, self.hook.describe_backup, arn)
        except BackupError as error:
            if needed:
                raise
            # That it can't be restored any more does not matter here.
            reason = error.__cause__ if isinstance(error, exceptions.BackupNotRestorableError) else error
            self.log.warning("The table is there already, but its backup can't be described: %s", reason)
            return
        size, created_at = size_of(backup.largest_size), backup.created_at.isoformat()
        self.log.info("The backup was created at %s, %s: %s, named %s", created_at, size, backup.arn.text, backup.name)
        if needed and backup.status != BackupStatus.AVAILABLE:
            is_gone = backup.status == BackupStatus.DELETED
            kind = exceptions.BackupNotRestorableError if is_gone else exceptions.BackupNotReadyError
            raise kind.about(self.context, f"It is {backup.status}.")
        self.backup, self.held = backup, backup.features
        self.indexes = backup.indexes if backup.source is not None else None

    def start(self, target: str, overrides: Mapping[str, Any]) -> Table:
        """Start the restore."""
        return self._find(self.hook.restore_table, self.context, self.source, target, **overrides)

    def is_of(self, table: Table) -> bool:
        """Return whether this very table was backed up."""
        if self.backup:
            return self.backup.is_of(table)
        made = BackupArn.from_response(self.source.backup_arn).created_hint
        return made is not None and table.created_at <= made

    def _find(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Make a call that needs the backup."""
        try:
            result = call(*args, **kwargs)
        except exceptions.BackupNotFoundError as error:
            self._not_found += 1
            if self._not_found < limits.NOT_FOUND_LIMIT or not self._known.passed:
                raise
            detail = f"It was not found {self._not_found} times in a row: {error}"
            raise exceptions.BackupNotRestorableError.about(self.context, detail) from error
        self._not_found = 0
        return result


@dataclass
class MomentOrigin(Origin):
    """The continuous backups of a table."""

    def __post_init__(self) -> None:
        self._target: Table | None = None

    def check(self, target: Table | None) -> None:
        """Make sure that the table is there, and that the time is one that AWS can restore."""
        self._target = target
        if target is None:
            retry = retrying(self.deadline, self.log)
            window = retry(self._read_window)
            self.log.info("The table %s: table %s", window, self.source.table_name)
            self._refuse(window)

    def start(self, target: str, overrides: Mapping[str, Any]) -> Table:
        """Start the restore. The table may have gone since, or been made again, and time moves the window on."""
        try:
            return self.hook.restore_table(self.context, self.source, target, **overrides)
        except exceptions.TableNotFoundError as error:
            raise self.gone() from error
        except (exceptions.RestoreTimeError, exceptions.PointInTimeRecoveryUnavailableError) as error:
            self._refuse(self._read_window(), told(error.__cause__ or error))
            raise

    def is_of(self, table: Table) -> bool:
        """Return whether the table that has the name is the one whose state is restored: no later one is as old."""
        moment = self.source.at or (self._target.created_at if self._target else None)
        return moment is None or table.created_at <= moment

    def gone(self) -> exceptions.SourceTableGoneError:
        """Return the exception for a table that is gone."""
        return table_gone(self.hook, self.context, self.source.table_name, self.deadline, self.log)

    def _read_window(self) -> Window:
        call = partial(self.hook.call, context=self.context, TableName=self.source.table_name)
        try:
            table = call("DescribeTable", needs="Table")["Table"]
            window = Window.of(call("DescribeContinuousBackups", needs="ContinuousBackupsDescription"), table)
        except exceptions.TableNotFoundError as error:
            raise self.gone() from error
        if table["TableStatus"] == TableStatus.DELETING:
            raise self.gone()
        self.indexes = {kind: tuple(table.get(kind) or ()) for kind in INDEX_KINDS}
        return window

    def _refuse(self, window: Window, answer: str = "") -> None:
        """Refuse a time that AWS can't restore.

        :param window: the times that it can
        :param answer: how AWS has refused it; empty: it was not asked
        """
        at, clock = self.source.at, self.hook.clock
        kind: type[BackupError] = exceptions.RestoreTimeError
        if not window.is_enabled:
            raise exceptions.PointInTimeRecoveryUnavailableError.about(self.context, answer)
        if at is None:
            return
        if at < window.earliest:
            reason = "That is too early"
        elif at > clock.earliest(clock.monotonic()) + limits.AWS_CLOCK_TOLERANCE:
            reason = "That is in the future, by AWS's clock"
        elif not answer:
            # AWS decides on a time that is later than the latest.
            return
        else:
            is_reached = window.latest is not None and at <= window.latest
            reason = "AWS has refused it" if is_reached else "That is later than the latest"
            kind = exceptions.RestoreTimeError if is_reached else exceptions.RestoreTimeNotReachedError
        raise kind.about(self.context, f"{reason}: the table {window}. {answer}".rstrip())


@dataclass(frozen=True, slots=True)
class Window:
    """The times to which a table can be restored.

    :param is_enabled: whether point-in-time recovery is on
    :param earliest: the first
    :param latest: the last so far; ``None``: not known
    """

    is_enabled: bool
    earliest: datetime
    latest: datetime | None

    @classmethod
    def of(cls, response: Mapping[str, Any], table: Mapping[str, Any]) -> Window:
        """Read the response of DescribeContinuousBackups; a table has no state from before it was created.

        :param response: as boto3 returns it
        :param table: the table, as DescribeTable returns it
        """
        described = response["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription") or {}
        times = described.get("EarliestRestorableDateTime"), table["CreationDateTime"]
        return cls(
            is_enabled=described.get("PointInTimeRecoveryStatus") in ENABLED,
            # In whole seconds, as AWS restores to them.
            earliest=datetime.fromtimestamp(math.ceil(max(filter(None, times)).timestamp()), UTC),
            latest=described.get("LatestRestorableDateTime"),
        )

    def __str__(self) -> str:
        latest = f"to {self.latest.astimezone(UTC).isoformat()}" if self.latest else "on"
        return f"can be restored to any time from {self.earliest.isoformat()} {latest}"


def find_table_arn(
    hook: DynamoDBBackupHook, context: ErrorContext, table_name: str, deadline: Deadline, log: Any
) -> str:
    """Return the ARN of a table by its name. If it is gone, the new table that an earlier try has restored tells.

    :param hook: makes the calls
    :param context: the new table, what it is restored from, and region
    :param table_name: the table's name
    :param deadline: when to give up
    :param log: the task's log
    :raises SourceTableGoneError: neither is there
    :raises BackupError: a call has failed
    """
    retry = retrying(deadline.within(limits.BEGINNING_PATIENCE), log)
    for name in (table_name, str(context.table)):
        if table := retry(hook.find_table, context, name):
            return f"{table.arn.rpartition('/')[0]}/{table_name}"
    raise table_gone(hook, context, table_name, deadline, log)


def table_gone(
    hook: DynamoDBBackupHook, context: ErrorContext, table_name: str, deadline: Deadline, log: Any
) -> exceptions.SourceTableGoneError:
    """Return the exception for a table that is gone, with the system backup of its last state, if there is one.

    :param hook: makes the calls
    :param context: the new table, what it is restored from, and region
    :param table_name: the table's name
    :param deadline: when to give up
    :param log: the task's log
    """
    detail = f"Table {table_name} has no system backup."
    try:
        about = ErrorContext(table_name, region=context.region)
        table, backups = read_backups(hook, about, table_name, deadline.within(limits.READING_PATIENCE), log)
    except BackupError as error:
        return exceptions.SourceTableGoneError.about(context, f"Whether it has a system backup is not known: {error}")
    system = [backup for backup in backups if backup.kind == "SYSTEM"]
    if not table and not backups:
        detail = (
            f"Nor is there any backup of a table {table_name}, so its name may be wrong: give source_table_name as the "
            "DynamoDB console lists it, under Tables."
        )
    elif system:
        newest = max(system, key=lambda backup: backup.created_at)
        detail = f"Its system backup has its last state, of {newest.created_at.isoformat()}: {newest.arn.text}."
    return exceptions.SourceTableGoneError.about(context, detail)
