"""A prune that is retried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBPruneBackupsOperator

with DAG("prune", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    DynamoDBPruneBackupsOperator(
        task_id="prune",
        table_names=["pruned"],
        backup_name_prefix="nightly-",
        keep_last=10,
        retries=3,
        retry_delay=timedelta(seconds=5),
    )
