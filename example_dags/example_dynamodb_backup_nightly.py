"""Back several tables up every night, each by a task of its own, and delete old backups behind them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator, DynamoDBPruneBackupsOperator

TABLES = ["orders", "customers", "invoices"]

with DAG(
    dag_id="example_dynamodb_backup_nightly",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
):
    # [START howto_operator_dynamodb_create_backup_mapped]
    back_up = DynamoDBCreateBackupOperator.partial(
        task_id="back_up",
        timeout=timedelta(hours=2),
        deferrable=True,
    ).expand(table_name=TABLES)
    # [END howto_operator_dynamodb_create_backup_mapped]

    # [START howto_operator_dynamodb_prune_backups]
    prune = DynamoDBPruneBackupsOperator(
        task_id="prune",
        table_names=TABLES,
        # A derived name begins with the DAG's and the task's ID.
        backup_name_prefix="example_dynamodb_backup_nightly.back_up.",
        keep_daily=7,
        keep_weekly=4,
        keep_monthly=12,
    )
    # [END howto_operator_dynamodb_prune_backups]

    # Only if every table has been backed up.
    back_up >> prune
