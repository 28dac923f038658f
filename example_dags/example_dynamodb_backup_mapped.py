"""Back each of a few tables up by a task of its own, which can be cleared and retried by itself.

To make it yours, change the DAG's ID, the owner and the tables.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator

with DAG(
    dag_id="example_dynamodb_backup_mapped",
    description="Back a few tables up, each by a task of its own",
    doc_md=__doc__,
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    # [START howto_operator_dynamodb_create_backup_mapped]
    DynamoDBCreateBackupOperator.partial(
        task_id="back_up",
        timeout=timedelta(hours=2),
        # The grid shows each task by its table.
        map_index_template="{{ task.table_name }}",
        deferrable=True,
    ).expand(table_name=["orders", "customers", "invoices"])
    # [END howto_operator_dynamodb_create_backup_mapped]
