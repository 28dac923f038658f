"""Typical uses, for type checkers to read: right ones pass, wrong ones are reported."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, XComArg

from airflow_ddb_backup.exceptions import BackupError, BackupTimeoutError
from airflow_ddb_backup.models import Backup, BackupArn, BackupStatus
from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBCreateBackupOperator
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupTrigger

if TYPE_CHECKING:
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook


def right(table_names: XComArg) -> None:
    """Use everything as it is meant."""
    with DAG("typical", schedule=None):
        back_up = DynamoDBCreateBackupOperator(
            task_id="back_up",
            table_name="orders",
            backup_name="orders-nightly",
            if_exists="fail",
            reuse_within=timedelta(hours=24),
            require_point_in_time_recovery=True,
            wait_for_completion=False,
            deferrable=True,
            poll_interval=30,
            timeout=timedelta(hours=1),
            aws_conn_id=None,
            region_name="us-east-1",
            verify=False,
            botocore_config={"read_timeout": 9},
            retries=3,
        )
        DynamoDBBackupTablesOperator(
            task_id="back_up_all",
            table_names=["orders", "customers-*"],
            exclude=["customers-test"],
            max_tables=500,
            if_empty="skip",
            if_exists="create",
            timeout=3600,
        )
        DynamoDBBackupSensor(task_id="wait", backup_arn=back_up.output, deferrable=True, poke_interval=30, timeout=600)
        DynamoDBCreateBackupOperator.partial(task_id="each", deferrable=True).expand(table_name=table_names)


def own_code(hook: DynamoDBBackupHook) -> str:
    """Use hook, trigger and errors in a task of one's own."""
    arn = BackupArn.parse("arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee")
    backup: Backup = hook.describe_backup(arn)
    available: bool = backup.status is BackupStatus.AVAILABLE
    trigger = DynamoDBBackupTrigger(backup_arn=arn.text, poll_interval=5, deadline=0.0)
    path: str
    kwargs: dict[str, Any]
    path, kwargs = trigger.serialize()
    error: BackupError = BackupTimeoutError(f"{available} {path} {kwargs}")
    return str(error)


def wrong() -> None:
    """Misspell and mistake: each line is marked as wrong, and a mark that is not needed is reported."""
    DynamoDBCreateBackupOperator(task_id="a", table_name=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBCreateBackupOperator(task_id="b", table_name="orders", if_exists="replace")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBCreateBackupOperator(task_id="c", table_name="orders", timeout="1h")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBCreateBackupOperator(task_id="d")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    DynamoDBBackupSensor(task_id="e", backup_arn=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBBackupTablesOperator(task_id="f", table_names=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DynamoDBBackupTablesOperator(task_id="g", table_names=["orders"], if_exists="replace")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
