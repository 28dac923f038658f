"""One deferred task of each class that version 72f59af does not have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBRestoreDrillOperator,
    DynamoDBRestoreTableToPointInTimeOperator,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBFreshBackupSensor

with DAG(
    "newer",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={"name": "", "restored": ""},
    max_active_tasks=16,
    default_args={"deferrable": True},
):
    DynamoDBFreshBackupSensor(
        task_id="fresh", table_name="{{ params.name }}-one", max_age=timedelta(hours=1), poke_interval=5
    )
    DynamoDBRestoreDrillOperator(task_id="drill", backup_arn="{{ params.restored }}", poll_interval=5, min_items=0)
    DynamoDBRestoreTableToPointInTimeOperator(
        task_id="point_in_time",
        source_table_name="source",
        use_latest_restorable_time=True,
        target_table_name="{{ params.name }}-moment",
        poll_interval=5,
    )
