"""Backups of the tables that the run names, by one task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator

SETTINGS: dict[str, dict[str, Any]] = {
    "patient": {"retries": 8, "retry_delay": timedelta(seconds=5)},
    "impatient": {"timeout": 300},
}

for name, settings in SETTINGS.items():
    with DAG(
        f"all_tables_{name}",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        params={"tables": []},
        render_template_as_native_obj=True,
        max_active_runs=16,
    ):
        DynamoDBBackupTablesOperator(
            task_id="back_up", table_names="{{ params.tables }}", max_tables=2500, deferrable=True, **settings
        )
