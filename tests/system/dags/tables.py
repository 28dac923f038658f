"""Backups of the tables that the run names: of one, or of many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator

RETRIED: dict[str, Any] = {"retries": 8, "retry_delay": timedelta(seconds=5)}
SETTINGS: dict[str, dict[str, Any]] = {
    "patient": RETRIED,
    "impatient": {"timeout": 60},
    "unretried": {},
}
START = datetime(2026, 1, 1, tzinfo=UTC)


class NameTables(BaseOperator):
    """Returns the tables that the run names."""

    def execute(self, context: Any) -> list[str]:
        """Return their names."""
        return list(context["params"]["tables"])


for name, settings in SETTINGS.items():
    with DAG(f"many_tables_{name}", schedule=None, start_date=START, params={"tables": []}, max_active_tasks=600):
        tables = NameTables(task_id="name_tables", **RETRIED)
        DynamoDBCreateBackupOperator.partial(task_id="back_up", deferrable=True, **settings).expand(
            table_name=tables.output
        )
    with DAG(f"one_table_{name}", schedule=None, start_date=START, params={"table": ""}):
        DynamoDBCreateBackupOperator(task_id="back_up", table_name="{{ params.table }}", deferrable=True, **settings)
