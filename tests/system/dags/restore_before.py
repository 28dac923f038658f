"""A restore whose time no form has checked."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableFromBackupOperator

with DAG("restore_before", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    DynamoDBRestoreTableFromBackupOperator(
        task_id="restore",
        table_name="orders",
        before="{{ dag_run.conf['before'] }}",
        target_table_name="orders-restored",
    )
