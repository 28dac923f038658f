"""A drill that is retried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreDrillOperator

with DAG("drill", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    DynamoDBRestoreDrillOperator(
        task_id="drill",
        table_name="drilled",
        deferrable=True,
        poll_interval=5,
        retries=3,
        retry_delay=timedelta(seconds=5),
    )
