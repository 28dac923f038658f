"""A restore that is retried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableFromBackupOperator

with DAG("restore", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    DynamoDBRestoreTableFromBackupOperator(
        task_id="restore",
        backup_arn="{{ dag_run.conf['backup_arn'] }}",
        target_table_name="restored",
        deferrable=True,
        poll_interval=5,
        retries=3,
        retry_delay=timedelta(seconds=5),
    )
