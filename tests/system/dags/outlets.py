"""Assets: a backup on the direct and on the deferred path, without waiting, and by reference; and a check."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupCoverageOperator, DynamoDBCreateBackupOperator

PATHS: dict[str, dict[str, Any]] = {
    "direct": {"deferrable": False, "poll_interval": 0.5},
    "deferred": {"deferrable": True},
    "unwaited": {"wait_for_completion": False},
}


def asset(path: str) -> Any:
    """Return the asset of a path."""
    return Asset(f"dynamodb://backups/{path}")


with DAG("outlets", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    for path, settings in PATHS.items():
        DynamoDBCreateBackupOperator(task_id=path, table_name="orders", outlets=[asset(path)], **settings)
    if hasattr(Asset, "ref"):
        # Since Airflow 3. Another task makes the asset known.
        DynamoDBCreateBackupOperator(
            task_id="referred", table_name="orders", outlets=[Asset.ref(uri=asset("direct").uri)]
        )

with DAG("coverage_outlet", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    DynamoDBBackupCoverageOperator(task_id="check", outlets=[asset("coverage")])
