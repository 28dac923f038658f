"""The exception tree: what happened, to what, and what is left to do. No I/O.

Three kinds, by what is left to do: a :class:`PermanentError` is final; a :class:`TransientError` may pass, and nothing
was done; after an :class:`AmbiguousOutcomeError` AWS may or may not have done what it was asked. ``boto_errors.py``
maps the exceptions of boto to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout

from airflow_ddb_backup.limits import LONGEST_TEXT


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """The table, backup and region of a failure; ``None``: not known.

    :param table: the table's name or ARN
    :param backup: the backup's name or ARN
    :param region: the region that was asked
    :param point_in_time: the table and the time that a table is restored to, where it is not a backup
    """

    table: str | None = None
    backup: str | None = None
    region: str | None = None
    point_in_time: str | None = None

    def __str__(self) -> str:
        known = {
            "table": self.table,
            "backup": self.backup,
            "point in time": self.point_in_time,
            "region": self.region,
        }
        return ", ".join(f"{what} {value!r}" for what, value in known.items() if value is not None)


def printable(text: str) -> str:
    """Return a text without what a terminal, a log or a browser would obey: line breaks, escapes, changes of direction.

    AWS's texts, a proxy's and those of a task's parameters end up in logs, XComs and mails, where one that makes lines
    of its own could tell of what has not happened.

    :param text: a text of anybody's
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def shown(value: object) -> str:
    """Return the beginning of a value's ``repr``, for a message.

    :param value: a value of anybody's
    """
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        # Python shows no integer of more than 4,300 digits.
        text = f"a value of type {type(value).__name__} that is too deep or too long to show"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"


class BackupError(AirflowException):
    """Root of all errors of this package; Airflow retries the task."""

    summary: ClassVar[str] = "AWS refused the call"
    hint: ClassVar[str] = "The code and text above are AWS's own: look them up in the DynamoDB API reference."

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(one) if isinstance(one, str) else one for one in args))

    def __init_subclass__(cls) -> None:
        # A class with a hint of its own says what happened in its docstring, unless that has more to tell.
        if "hint" in vars(cls) and "summary" not in vars(cls):
            cls.summary = (cls.__doc__ or cls.__name__).partition("\n")[0].rstrip(".")

    @classmethod
    def about(cls, context: ErrorContext, detail: str = "") -> Self:
        """Return the exception with summary, error context, detail and hint in its message.

        :param context: the table, backup and region
        :param detail: more about what happened, a full sentence
        """
        return cls(f"{cls.summarize(context, detail)} {cls.hint}".rstrip())

    @classmethod
    def summarize(cls, context: ErrorContext, detail: str = "") -> str:
        """Return the message without its hint.

        :param context: the table, backup and region
        :param detail: more about what happened, a full sentence
        """
        summary = ": ".join(filter(None, (cls.summary, str(context))))
        return f"{summary}. {detail}".rstrip()


class PermanentError(BackupError, AirflowFailException):
    """No retry can fix it: Airflow fails the task at once."""


class TransientError(BackupError):
    """AWS did nothing, and may do it later."""


class AmbiguousOutcomeError(BackupError):
    """AWS may have done it: the response was lost, is an internal error, or is not AWS's."""

    #: when the call began, by the monotonic clock, after it had waited for its rate; the hook tells
    began_at: float
    #: whether another call may be made in this try; otherwise it could do a second time what this one has done
    may_call_again: bool = True
    summary = "The outcome of the call is not known"
    hint = "The cause is on AWS's side, or in the network or a proxy between, and usually passes."


class ConfigurationError(BackupError):
    """The AWS configuration can't be used."""

    hint = (
        "Nothing was sent. Check the Airflow connection, its profile and endpoint_url, and the worker's AWS settings."
    )


class ConnectionNotFoundError(ConfigurationError):
    """The Airflow connection is not found; the worker's own credentials may be another account's."""

    summary = "The Airflow connection is not found"
    hint = (
        "Nothing is sent without it. Correct aws_conn_id, or create the connection; a retry looks it up again, since "
        "its secrets backend may be down. To use the worker's own credentials, set aws_conn_id=None."
    )


class AccountNotCertainError(ConfigurationError):
    """It is not certain in which account something would be deleted."""

    hint = (
        "Nothing was sent. Do one of three: create the connection 'aws_default' or name another by aws_conn_id, set "
        "aws_conn_id=None for the worker's own credentials, or set account_id."
    )


class AccountError(BackupError):
    """Nothing more may be sent, since the account is another than it must be, or may be."""


class OtherAccountError(AccountError, PermanentError):
    """The account is another than it must be."""

    hint = "Check the credentials of the Airflow connection, or correct account_id."


class AccountNotConfirmedError(AccountError):
    """The Airflow connection has changed, and may be another account's."""

    hint = "Nothing more was sent. A retry begins with the connection as it is now; account_id keeps it to its account."


class InvalidValueError(PermanentError, ValueError):
    """A parameter has a value that can never work."""

    @classmethod
    def of(cls, parameter: str, value: object, rule: str, *, text: bool = False) -> Self:
        """Return the exception.

        :param parameter: the parameter's name
        :param value: the wrong value
        :param rule: the rule that it breaks
        :param text: the value must be text: where it is not, the message says so
        """
        message = f"{parameter} must be {rule}; got {shown(value)}."
        if text and not isinstance(value, str):
            kind = type(value).__name__
            message += f" That is of type {kind}, not text; where templates render to native objects, quote it."
        return cls(message)


class OtherRegionError(PermanentError):
    """The ARN names another region than the calls go to."""

    hint = "Set region_name, or the region of the Airflow connection, to the ARN's region."


class NoRegionSetError(PermanentError):
    """No AWS region is set."""

    hint = "Set region_name on the task or in the Airflow connection."


class TableNotFoundError(PermanentError):
    """No such table, or one still being created."""

    summary = "The table does not exist"
    hint = "Check the table's name, the region, and the account of the Airflow connection."


class KinesisStreamNotFoundError(PermanentError):
    """The Kinesis stream of a destination is not there."""

    summary = "The Kinesis stream does not exist"
    hint = "Create it again and clear the task, or leave 'kinesis' out of settings."


class TableNotReadyError(TransientError):
    """The table can't be backed up in its present status."""

    hint = "A retry backs it up once it is ACTIVE."


class TableUnavailableError(PermanentError):
    """The table can't be backed up, since it is being deleted."""

    hint = "Remove it from the task, or restore it from an earlier backup."


class AccessDeniedError(PermanentError):
    """Access is denied."""

    hint = "Grant that action to the connection's credentials; backups of another account need a role in that account."


class ListBackupsDeniedError(AccessDeniedError):
    """Backups can't be listed."""

    hint = (
        "Grant dynamodb:ListBackups on '*': it has no resource-level permission. Two kinds of tasks can do without it: "
        "those that restore, with backup_arn, and those that create backups, with if_exists='create' and as long as no "
        "response is lost."
    )


class SettingsDeniedError(AccessDeniedError):
    """Settings that are to be put back can't be read."""

    hint = "Grant these actions to the connection's credentials, or leave these settings out of settings."


class BackupExistsError(PermanentError):
    """A backup of that name exists already."""

    hint = "Set if_exists='reuse' to take this run's own only, or if_exists='create' to make another of the same name."


class PointInTimeRecoveryDisabledError(PermanentError):
    """Point-in-time recovery (PITR) is required, and the table's is not ENABLED."""

    hint = "Enable PITR on the table, or drop require_point_in_time_recovery: an on-demand backup does not need it."


class InvalidRequestError(PermanentError):
    """AWS finds the request invalid."""

    hint = "Check the values that the task passes."


class BackupNotFoundError(TransientError):
    """The backup does not exist."""

    hint = "Check the ARN and the account of the Airflow connection, and whether the backup was deleted."


class TableInUseError(TransientError):
    """The table is in use by another operation."""

    hint = "Retry when that operation has ended."


class BackupInUseError(TransientError):
    """A backup of the table is being created, deleted or restored."""

    hint = "Retry when that operation has ended; the restore of a large backup takes hours."


class LimitExceededError(TransientError):
    """Too many table operations run at once."""

    # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateBackup.html, LimitExceededException
    hint = (
        "Up to 500 table operations (create, update, delete, restore) may run at once, and 50 restores; retry when "
        "some have ended."
    )


class QuotaExceededError(PermanentError):
    """A quota of the account is reached."""

    hint = "Have the quota raised (Service Quotas, Amazon DynamoDB), or delete what is not needed; then clear the task."


class ContinuousBackupsUnavailableError(TransientError):
    """AWS is still turning backups on for a new table."""

    summary = "Backups are still being enabled for the table"
    hint = (
        "DynamoDB turns continuous backups on by itself soon after a table is created or restored, with or without "
        "point-in-time recovery (PITR). Try again in some minutes."
    )


class ThrottledError(TransientError):
    """AWS throttles the call."""

    hint = "Other clients of this account and region use up the rate of this call; retry, or spread the tasks."


class CredentialsError(TransientError):
    """There are no valid AWS credentials."""

    hint = "Check the Airflow connection (keys, session token, role, profile) and the worker's clock."


class UnreachableError(TransientError):
    """AWS can't be reached."""

    hint = "Check the network, the proxy, and the region and endpoint_url of the Airflow connection."


class CreationTimeoutError(BackupError):
    """The time was up before the backup was created."""

    hint = (
        "A retry finds the backup, if there is one, or creates it; with if_exists='create' it makes another. Raise "
        "timeout where AWS is slow to answer."
    )


class BackupTimeoutError(BackupError):
    """The backup was not AVAILABLE in time."""

    hint = "The backup continues: a retry finds it and waits for it. Raise timeout for large tables."


class BackupNotReusedTimeoutError(BackupTimeoutError):
    """The same with ``if_exists="create"``, when a retry does not find the backup but makes another."""

    summary = BackupTimeoutError.summary
    hint = (
        "The backup continues, but a retry makes another, since if_exists is 'create'. Raise timeout for large tables."
    )


class BackupSensorTimeoutError(BackupTimeoutError, AirflowSensorTimeout):
    """As every sensor's timeout: Airflow does not retry it."""

    summary = BackupTimeoutError.summary
    hint = "The backup continues. Raise timeout for large tables, and clear the sensor to wait for it again."


class FreshBackupTimeoutError(BackupSensorTimeoutError):
    """The table had no fresh backup in time."""

    summary = "The table had no fresh backup in time"
    hint = "Look at the task that makes it, then clear the sensor. Raise timeout or max_age where it may come later."


class TriggerFailedError(BackupError):
    """The trigger has raised, or its event is not one that this package sends."""

    summary = "The trigger has failed"
    hint = (
        "The backup or restore continues in AWS. Mostly another version of this package is on the triggerer, or has "
        "deferred the task: install the same version on workers and triggerers, restart both, and clear the task."
    )

    @classmethod
    def of_event(cls, context: ErrorContext, event: object) -> Self:
        """Return the exception for an event that this package does not send.

        :param context: the table, backup and region
        :param event: the payload
        """
        return cls.about(context, f"Its event is not one that this package sends: {shown(event)}.")


class BackupLostError(PermanentError):
    """The backup that was waited for is gone, or can't be described."""

    summary = "The wait for the backup has failed"
    hint = ""


class SystemBackupError(PermanentError):
    """A system backup can't be deleted."""

    hint = (
        "DynamoDB makes system backups when a table with point-in-time recovery (PITR) is deleted; they are free, and "
        "DynamoDB deletes them after 35 days."
    )


class RecoveryPointError(InvalidValueError):
    """The ARN is that of a recovery point of AWS Backup."""

    summary = "A recovery point of AWS Backup is no backup of DynamoDB's own"
    hint = "Use AWS Backup: StartRestoreJob restores it, DeleteRecoveryPoint or its backup plan deletes it."


class EmptySelectionError(PermanentError):
    """No table is selected."""

    hint = (
        "An empty selection never means all tables: that is ['*']. Check what table_names renders to, exclude and "
        "table_tags; if_empty='skip' skips the task instead."
    )


class TooManyTablesError(PermanentError):
    """More tables are selected than max_tables allows."""

    hint = "Nothing was done. Narrow the selection, or raise max_tables."


class TooManyDeletionsError(PermanentError):
    """The plan would delete more backups than max_deletions allows."""

    hint = (
        "Nothing was deleted. Check the plan in the log, and with plan_only=True; raise max_deletions if it is what "
        "you want."
    )


class SomeFailedError(BackupError):
    """Some of many things could not be done."""

    #: the exception for the case that no retry can fix any of the failures
    for_good: ClassVar[type[SomeFailedError]]
    #: how many
    count = 1


class DeletionsFailedError(SomeFailedError):
    """Some backups that a policy does not keep could not be deleted, or some tables not pruned."""

    summary = "Not everything was pruned"
    hint = "The others are done; a retry makes a new plan and does what is missing. XCom 'report' has all failures."


class DeletionsFailedForGoodError(DeletionsFailedError, PermanentError):
    """The same, and no retry can fix any of the failures."""

    summary = DeletionsFailedError.summary
    hint = "The others are done. No retry can fix these; XCom 'report' has all failures."


class DeletionTimeoutError(BackupError):
    """The time was up before the deletion was done."""

    hint = "A retry continues; deleting a backup twice is harmless. Raise timeout where AWS is slow to answer."


class TablesFailedError(SomeFailedError):
    """Not every table has a backup."""

    hint = "The others are done; a retry does what is missing. XCom 'report' has all failures."


class TablesFailedForGoodError(TablesFailedError, PermanentError):
    """The same, and no retry can fix any of the failures."""

    summary = TablesFailedError.summary
    hint = "The others are done. No retry can fix these; XCom 'report' has all failures."


class CoverageTimeoutError(BackupError):
    """The time was up before it was known which tables have a fresh backup."""

    hint = (
        "A retry begins anew. Raise timeout: listing takes 0.4 s for 100 backups, reading point-in-time recovery 0.2 s "
        "for a table."
    )


class TablesNotFreshError(SomeFailedError):
    """Not every table has a fresh backup."""

    hint = "Look at the tasks that make them; a retry checks again. XCom 'report' has every table."


class TablesNotFreshForGoodError(TablesNotFreshError, PermanentError):
    """The same, and no retry can fix any of the failures."""

    summary = TablesNotFreshError.summary
    hint = "No retry can fix these. XCom 'report' has every table."


class BackupNotRestorableError(PermanentError):
    """The backup is gone."""

    summary = "The backup can't be restored"
    hint = "Nothing was made. Choose another backup: ListBackups, or the table's Backups tab in the console, has them."


class PickedBackupGoneError(TransientError):
    """The same for a backup that the task has picked itself."""

    summary = BackupNotRestorableError.summary
    hint = "Nothing was made. It was deleted after it was picked: a retry picks another."


class BackupNotPickedError(PermanentError):
    """No backup of the table counts."""

    hint = "To take one of these as it is, give its ARN as backup_arn."


class BackupNotReadyError(TransientError):
    """The backup can't be restored in its present status."""

    hint = "Nothing was made. Only AVAILABLE backups can be restored: wait with DynamoDBBackupSensor, or retry."


class PointInTimeRecoveryUnavailableError(PermanentError):
    """The table can't be restored to a point in time, since its point-in-time recovery (PITR) is not ENABLED."""

    hint = (
        "Nothing was made. Restore a backup with DynamoDBRestoreTableFromBackupOperator; PITR reaches back to the "
        "moment at which it is enabled, and no further."
    )


class RestoreTimeError(PermanentError):
    """The table can't be restored to that time."""

    hint = "Nothing was made. Choose a time that it can be restored to, or an earlier backup."


class RestoreTimeNotReachedError(TransientError):
    """The table can't be restored to that time yet."""

    hint = "Nothing was made. The latest time is typically five minutes behind: a retry restores."


class SourceTableGoneError(PermanentError):
    """The table to restore no longer exists, and with it no point in time that it could be restored to."""

    hint = (
        "Nothing was made. Restore a backup with DynamoDBRestoreTableFromBackupOperator; DynamoDB keeps the system "
        "backup of a table that had point-in-time recovery (PITR) for 35 days."
    )


class TargetTableExistsError(PermanentError):
    """There is a table of the new table's name, and it is not the restore that the task asks for."""

    summary = "The table to restore to exists already"
    # It may be the very table that is to be saved: nobody is told to delete it.
    hint = (
        "A restore always makes a new table. Choose another target_table_name, such as this one with '-2' at its end."
    )


class TargetTableDeletingError(BackupError):
    """The table to restore to is being deleted."""

    hint = "Nothing was made. A retry restores once that table is gone."


class RestoreLostError(PermanentError):
    """The table that a restore was making is gone, or can't become ACTIVE."""

    summary = "The wait for the restored table has failed"
    hint = ""


class RestoreTimeoutError(BackupError):
    """The restore was not complete in time."""

    hint = "A retry takes that table, unless if_exists is 'fail', and waits for it. Raise timeout for large tables."


class DrillTimeoutError(RestoreTimeoutError):
    """The same for a drill's table, which the task itself drops."""

    summary = RestoreTimeoutError.summary
    hint = (
        "A retry goes on with that table; after the last one, the task's next run drops it. Raise timeout for large "
        "tables."
    )


class ForeignTableError(PermanentError):
    """A table has the drill's name, and the drill has not made it."""

    hint = "Nothing was done to it. If nobody needs it, delete it yourself; then clear the task."


class CheckFailedError(PermanentError):
    """The restored table is not as it must be."""

    hint = "Keep the table with keep_on_failure to look at it, and drill another backup."


class TableNotDroppedError(TransientError):
    """The drill's table is not gone yet."""

    hint = "A retry drops it, or the task's next run does."


class LeftOverError(PermanentError):
    """The table of an earlier drill could not be dropped."""

    hint = "The task's next run tries again, or delete that table yourself."


class DrillFailedError(SomeFailedError):
    """The drill has failed."""

    hint = "A retry goes on with the drill's table, if there still is one. XCom 'report' has every check."


class DrillFailedForGoodError(DrillFailedError, PermanentError):
    """The same, and no retry can fix any of the failures."""

    summary = DrillFailedError.summary
    hint = "XCom 'report' has every check. Clear the task to drill again."


class SettingNotTakenError(BackupError):
    """The setting was put back, but the table does not have it."""

    hint = "Put it back by hand, or retry: the task puts back only what differs."


class TimeToLiveChangedError(BackupError):
    """AWS takes one change of time to live an hour."""

    summary = "Time to live was changed within the last hour"
    hint = "AWS takes one change an hour: a retry after that puts it back, unless the table has it by then."


class SettingsFailedError(SomeFailedError):
    """The table is restored, but not all of its settings."""

    hint = (
        "The table stays. A retry puts back only what differs, unless if_exists is 'fail'; XCom 'settings' has every "
        "setting."
    )


class SettingsFailedForGoodError(SettingsFailedError, PermanentError):
    """The same, and no retry can fix any of the failures."""

    summary = SettingsFailedError.summary
    hint = (
        "The table stays. No retry can fix these; once they are, clear the task, which puts back only what differs, "
        "unless if_exists is 'fail'. XCom 'settings' has every setting."
    )


DeletionsFailedError.for_good = DeletionsFailedForGoodError
DrillFailedError.for_good = DrillFailedForGoodError
SettingsFailedError.for_good = SettingsFailedForGoodError
TablesFailedError.for_good = TablesFailedForGoodError
TablesNotFreshError.for_good = TablesNotFreshForGoodError
