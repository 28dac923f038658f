"""Start the backups of many tables, and wait for them where it matters.

To make it yours, change the DAG's ID, the owner and the pattern.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, XComArg

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupsSensor

with DAG(
    dag_id="example_dynamodb_backup_wait_for_many",
    description="Start many backups, and wait for them later",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
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
