"""Start the backups of many tables, and wait for them where it matters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, XComArg

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupsSensor

with DAG(
    dag_id="example_dynamodb_backup_wait_for_many",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
):
    start = DynamoDBBackupTablesOperator(task_id="start", table_names=["shop-*"], wait_for_completion=False)

    # [START howto_sensor_dynamodb_backups]
    wait = DynamoDBBackupsSensor(
        task_id="wait",
        backup_arns=XComArg(start, "backup_arns"),
        timeout=timedelta(hours=2),
        deferrable=True,
    )
    # [END howto_sensor_dynamodb_backups]
