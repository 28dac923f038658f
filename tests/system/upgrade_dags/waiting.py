"""One deferred task of each class that every version has."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBRestoreTableFromBackupOperator,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor, DynamoDBBackupsSensor

with DAG(
    "waiting",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={"name": "", "restored": "", "awaited": ""},
    max_active_tasks=16,
    default_args={"deferrable": True},
):
    DynamoDBCreateBackupOperator(task_id="create", table_name="{{ params.name }}-one")
    DynamoDBBackupTablesOperator(task_id="tables", table_names=["{{ params.name }}-one", "{{ params.name }}-two"])
    DynamoDBRestoreTableFromBackupOperator(
        task_id="restore",
        backup_arn="{{ params.restored }}",
        target_table_name="{{ params.name }}-restored",
        poll_interval=5,
    )
    DynamoDBBackupSensor(task_id="sensor", backup_arn="{{ params.awaited }}")
    DynamoDBBackupsSensor(task_id="sensors", backup_arns=["{{ params.awaited }}"])
