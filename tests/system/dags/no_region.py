"""A backup by a connection that names no region."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator

with DAG("no_region", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), params={"table": ""}):
    DynamoDBCreateBackupOperator(
        task_id="back_up", table_name="{{ params.table }}", aws_conn_id="no_region", deferrable=True
    )
