"""Back tables of several regions up, each by a task of its own."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator

with DAG(
    dag_id="example_dynamodb_backup_regions",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
):
    # [START howto_operator_dynamodb_create_backup_regions]
    DynamoDBCreateBackupOperator.partial(
        task_id="back_up",
        deferrable=True,
    ).expand_kwargs(
        [
            {"table_name": "orders", "region_name": "us-east-1"},
            {"table_name": "orders", "region_name": "eu-west-1"},
            {"table_name": "invoices", "region_name": "eu-west-1"},
        ]
    )
    # [END howto_operator_dynamodb_create_backup_regions]
