"""A backup as an asset, on the direct and on the deferred path, and without waiting."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator

PATHS: dict[str, dict[str, Any]] = {
    "direct": {"deferrable": False, "poll_interval": 0.5},
    "deferred": {"deferrable": True},
    "unwaited": {"wait_for_completion": False},
}

with DAG("outlets", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    for path, settings in PATHS.items():
        DynamoDBCreateBackupOperator(
            task_id=path, table_name="orders", outlets=[Asset(f"dynamodb://backups/{path}")], **settings
        )
