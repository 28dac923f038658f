"""Deleting one backup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_ddb_backup import metrics
from airflow_ddb_backup.exceptions import BackupNotFoundError, InvalidValueError
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.parameters import LATER, check_timeout, is_pattern, is_table, set_checked

if TYPE_CHECKING:
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """The deletion that a task asks for. It checks itself.

    :param backup_arn: the backup; made of the ARN's text
    :param timeout: seconds, or a ``timedelta``, until the backup is deleted; 60 to 7200
    :raises RecoveryPointError: the ARN is that of a recovery point of AWS Backup
    :raises InvalidValueError: a value is wrong
    """

    backup_arn: BackupArn
    timeout: float

    def __post_init__(self) -> None:
        set_checked(self, backup_arn=_check_deletable(self.backup_arn), timeout=check_timeout(self.timeout))


def delete_backup(hook: DynamoDBBackupHook, arn: BackupArn) -> str:
    """Delete one backup; if it no longer exists, it counts as deleted. Returns a line for the log.

    :param hook: makes the call
    :param arn: the backup
    :raises BackupError: the call has failed
    """
    try:
        hook.delete_backup(arn)
    except BackupNotFoundError:
        # Deleted by an earlier try, by a call whose response was lost, or by somebody else.
        return f"Deleted already: {arn.text}"
    metrics.count(metrics.BACKUPS_DELETED, region=arn.region)
    return f"Deleted {arn.text}"


def _check_deletable(value: object) -> object:
    if value is LATER:
        return value
    arn = BackupArn.parse(value)
    # AWS may say of an ARN that can't be one's what it says of one that no longer exists.
    if not is_table(arn.table_name) or is_pattern(arn.text) or set(",{}") & set(arn.text):
        raise InvalidValueError.of("backup_arn", value, "the ARN of one backup")
    return arn
