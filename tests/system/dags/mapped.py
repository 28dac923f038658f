"""Tasks that are mapped over another task's output, which has a None."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator, DynamoDBPruneBackupsOperator

with DAG("mapped", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):

    @task
    def find_nothing() -> list[None]:
        """Return the tags of no team, or the connection of none."""
        return [None]

    @task
    def find_settings() -> list[dict[str, Any]]:
        """Return the parameters of a task for each table."""
        return [{"table_name": "orders", "backup_name": None}]

    nothing = find_nothing()
    policy: dict[str, Any] = {"table_names": ["*"], "backup_name_prefix": "nightly-", "keep_last": 1}
    DynamoDBPruneBackupsOperator.partial(task_id="prune", **policy).expand(table_tags=nothing)
    DynamoDBCreateBackupOperator.partial(task_id="connection", table_name="orders").expand(aws_conn_id=nothing)
    DynamoDBCreateBackupOperator.partial(task_id="settings").expand_kwargs(find_settings())
    # What the author has written is meant.
    DynamoDBPruneBackupsOperator.partial(task_id="literal", table_tags=None, plan_only=True, **policy).expand(
        timezone=["UTC"]
    )
