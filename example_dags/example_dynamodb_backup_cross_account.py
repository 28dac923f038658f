"""Back a table of another account up, by a role there."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator

with DAG(
    dag_id="example_dynamodb_backup_cross_account",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
):
    # [START howto_operator_dynamodb_create_backup_cross_account]
    DynamoDBCreateBackupOperator(
        task_id="back_up",
        table_name="orders",
        # Its extra holds the role: {"role_arn": "arn:aws:iam::210987654321:role/table-backups"}
        aws_conn_id="aws_shop_account",
        deferrable=True,
    )
    # [END howto_operator_dynamodb_create_backup_cross_account]
