"""Back every table up that has a tag, every night, and delete the backups that a policy does not keep."""

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBPruneBackupsOperator

with DAG(
    dag_id="nightly",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2},
):
    back_up = DynamoDBBackupTablesOperator(
        task_id="back_up",
        table_names=["*"],
        table_tags={"backup": "nightly"},
        deferrable=True,
    )
    prune = DynamoDBPruneBackupsOperator(
        task_id="prune",
        table_names=["*"],
        table_tags={"backup": "nightly"},
        # Only backups that this task has made.
        created_by="back_up",
        keep_daily=7,
        keep_weekly=4,
    )
    back_up >> prune
