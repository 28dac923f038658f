"""Tasks that are set up wrongly."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator

SETTINGS: dict[str, dict[str, Any]] = {
    "missing_connection": {"aws_conn_id": "nowhere"},
    "wrong_region": {"region_name": "eu-west-1"},
    "expired_credentials": {"aws_conn_id": "expired"},
    "no_control_plane": {"aws_conn_id": "unreachable"},
}

with DAG("broken", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    for task_id, settings in SETTINGS.items():
        DynamoDBCreateBackupOperator(
            task_id=task_id, table_name="orders", backup_name="first", deferrable=True, timeout=60, **settings
        )
