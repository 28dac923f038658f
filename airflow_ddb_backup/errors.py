"""What can go wrong: the exception tree, and which of AWS's error codes each class stands for. Pure.

Three kinds, by what is left to do: a :class:`BackupRefusedError` is final, a :class:`NothingDoneError` may pass and has
left nothing behind, and after an :class:`OutcomeUnknownError` AWS may or may not have done what it was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout


@dataclass(frozen=True, slots=True)
class Subject:
    """What a failure is about; ``None`` is not known.

    :param table: the table's name or ARN
    :param backup: the backup's name or ARN
    :param region: the region that was asked
    """

    table: str | None = None
    backup: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        known = {"table": self.table, "backup": self.backup, "region": self.region}
        return ", ".join(f"{what} {value!r}" for what, value in known.items() if value is not None)


class BackupError(AirflowException):
    """Root of all errors of this package; Airflow retries the task."""

    #: AWS's error codes, and botocore's exceptions, that this class stands for
    codes: ClassVar[tuple[str, ...]] = ()
    happened: ClassVar[str] = "AWS refused the call"
    advice: ClassVar[str] = "The code and text above are AWS's own: look them up in the DynamoDB API reference."

    @classmethod
    def about(cls, subject: Subject, detail: str = "") -> Self:
        """Make the error.

        :param subject: the table, backup and region
        :param detail: more of what happened, a full sentence
        """
        happened = ": ".join(filter(None, (cls.happened, str(subject))))
        return cls(" ".join(filter(None, (f"{happened}.", detail, cls.advice))))


class BackupRefusedError(BackupError, AirflowFailException):
    """What no retry can mend: Airflow fails the task at once."""


class NothingDoneError(BackupError):
    """AWS did nothing, and may do it later."""


class OutcomeUnknownError(BackupError):
    """AWS may have done it: the response was lost or is an internal error."""

    codes = ("InternalServerError",)
    happened = "The outcome of the call is not known"
    advice = "This is AWS's side or the network. A retry looks for the backup first, unless if_exists is 'create'."


class InvalidValueError(BackupRefusedError, ValueError):
    """A parameter has a value that can never work."""

    @classmethod
    def of(cls, parameter: str, value: object, rule: str) -> Self:
        """Make the error from the parameter's name, the value and the rule that it breaks."""
        return cls(f"{parameter} must be {rule}; got {value!r}.")


class OtherRegionError(BackupRefusedError):
    """An ARN names another region than the client's."""

    happened = "The ARN names another region than the one that is asked"
    advice = "Set region_name, or the region of the Airflow connection, to the ARN's region."


class NoRegionSetError(BackupRefusedError):
    """No region is configured."""

    codes = ("NoRegionError",)
    happened = "No AWS region is set"
    advice = "Set region_name on the task or in the Airflow connection."


class TableNotFoundError(BackupRefusedError):
    """No such table, or one still being created."""

    codes = ("TableNotFoundException", "ResourceNotFoundException")
    happened = "The table does not exist"
    advice = "Check table_name, the region, and the account of the Airflow connection."


class TableNotReadyError(NothingDoneError):
    """The table is neither ACTIVE nor UPDATING."""

    happened = "The table can't be backed up in its present status"
    advice = "Only ACTIVE and UPDATING tables can; try again when it is."


class AccessDeniedError(BackupRefusedError):
    """IAM refuses a call."""

    codes: ClassVar[tuple[str, ...]] = ("AccessDeniedException", "AccessDenied")
    happened = "Access is denied"
    advice = (
        "Allow that action to the credentials of the Airflow connection; backups of other accounts need a role there."
    )


class ListBackupsDeniedError(AccessDeniedError):
    """IAM refuses ListBackups, without which a run can't find its backup again."""

    codes: ClassVar[tuple[str, ...]] = ()
    happened = "The table's backups can't be listed"
    advice = "Allow dynamodb:ListBackups on '*' (it has no resource-level permission), or set if_exists='create'."


class BackupExistsError(BackupRefusedError):
    """``if_exists="fail"``, and a backup of that name is there."""

    happened = "A backup of that name exists already"
    advice = "Set if_exists='reuse' to take it, or if_exists='create' to make another of the same name."


class PointInTimeRecoveryDisabledError(BackupRefusedError):
    """``require_point_in_time_recovery``, and the table has none."""

    happened = "Point-in-time recovery (PITR) is required, and the table's is not ENABLED"
    advice = "Enable PITR on the table, or drop require_point_in_time_recovery: an on-demand backup does not need it."


class InvalidRequestError(BackupRefusedError):
    """AWS finds the request malformed."""

    codes = ("ValidationException",)
    happened = "AWS finds the request invalid"
    advice = "Check the values that the task passes."


class BackupNotFoundError(NothingDoneError):
    """No such backup, for now."""

    codes = ("BackupNotFoundException",)
    happened = "The backup does not exist"
    advice = "Check the ARN and the account of the Airflow connection, and whether the backup was deleted."


class TableInUseError(NothingDoneError):
    """Another operation holds the table."""

    codes = ("TableInUseException",)
    happened = "The table is in use by another operation"
    advice = "Nothing was created; try again when that operation has ended."


class BackupInUseError(NothingDoneError):
    """Another control plane operation holds a backup of the table."""

    codes = ("BackupInUseException",)
    happened = "A backup of the table is being created, deleted or restored"
    advice = "Nothing was created; try again when that operation has ended."


class LimitExceededError(NothingDoneError):
    """Too many table operations at once."""

    codes = ("LimitExceededException",)
    happened = "Too many table operations run at once"
    # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateBackup.html, LimitExceededException
    advice = (
        "Up to 500 table operations (create, update, delete, restore) may run at once; try again when some have ended."
    )


class ContinuousBackupsUnavailableError(NothingDoneError):
    """AWS is still turning backups on for a new table."""

    codes = ("ContinuousBackupsUnavailableException",)
    happened = "Backups are still being enabled for the table"
    advice = (
        "DynamoDB turns continuous backups on by itself some seconds after a table is created; "
        "point-in-time recovery (PITR) is a setting on top of them and is not needed. Try again in a minute."
    )


class ThrottledError(NothingDoneError):
    """Too many calls."""

    codes = ("ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded")
    happened = "AWS throttles the call"
    advice = "Other work in this account and region uses up the rate of this call; try again, or spread the tasks."


class CredentialsError(NothingDoneError):
    """No credentials, or ones that AWS does not take now."""

    codes = (
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "NoCredentialsError",
        "PartialCredentialsError",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    )
    happened = "There are no valid AWS credentials"
    advice = "Check the Airflow connection: keys, session token, role, profile."


class UnreachableError(NothingDoneError):
    """The endpoint can't be reached."""

    codes = ("EndpointConnectionError", "ConnectTimeoutError", "SSLError")
    happened = "AWS can't be reached"
    advice = "Check the network, the proxy, and the region and endpoint_url of the Airflow connection."


class BackupTimeoutError(BackupError):
    """The time was up before the backup was AVAILABLE."""

    happened = "The backup was not AVAILABLE in time"
    advice = "It goes on without the task: a retried or cleared task waits for it. Raise timeout for large tables."


class BackupSensorTimeoutError(BackupTimeoutError, AirflowSensorTimeout):
    """As every sensor's timeout: Airflow does not retry it."""


class TriggerFailedError(BackupError):
    """The trigger has raised: a defect of this package or a triggerer that can't import it."""

    happened = "The trigger has failed"
    advice = "The backup goes on, and a retry waits for it. See the triggerer's log: it needs this package too."


class BackupLostError(BackupRefusedError):
    """The backup that was waited for is gone, or can't be looked at."""

    happened = "The wait for the backup has failed"
    advice = "Clear the task to back the table up again."
