"""Back all tables of a tag up every night, tell of those that failed, and delete old backups behind them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBPruneBackupsOperator


@task(trigger_rule="all_failed", retries=0)
def alert(ti: Any = None) -> list[str]:
    """Put your own alert here: the report of the task that failed says which tables, and why."""
    report = ti.xcom_pull(task_ids="back_up", key="report")
    for table, reason in report["failed"].items():
        logging.getLogger(__name__).error("No backup of %s: %s", table, reason)
    return list(report["failed"])


with DAG(
    dag_id="example_dynamodb_backup_nightly",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
):
    # [START howto_operator_dynamodb_backup_tables]
    back_up = DynamoDBBackupTablesOperator(
        task_id="back_up",
        table_names=["*"],
        table_tags={"backup": "nightly"},
        max_tables=500,
        timeout=timedelta(hours=2),
        deferrable=True,
    )
    # [END howto_operator_dynamodb_backup_tables]

    # [START howto_operator_dynamodb_prune_backups]
    prune = DynamoDBPruneBackupsOperator(
        task_id="prune",
        table_names=["*"],
        table_tags={"backup": "nightly"},
        max_tables=500,
        # Only backups that this task has created, in the account of the connection aws_default, which must exist.
        created_by="back_up",
        keep_daily=7,
        keep_weekly=4,
        keep_monthly=12,
    )
    # [END howto_operator_dynamodb_prune_backups]

    # Only if every table has been backed up.
    back_up >> prune
    back_up >> alert()
