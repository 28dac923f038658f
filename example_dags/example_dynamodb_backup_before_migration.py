"""Migrate one day after the other, on top of one backup, however many days are backfilled.

A run takes the newest backup of the table, whoever made it, if it is at most a day old. Otherwise it makes one.

To make it yours, change the DAG's ID, the owner, the table and the task `migrate`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, task

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator


@task
def migrate(backup_arn: str) -> None:
    """Put your own migration here: it knows the backup to go back to."""
    logging.getLogger(__name__).info("Migrating; to go back, restore %s", backup_arn)


with DAG(
    dag_id="example_dynamodb_backup_before_migration",
    description="Migrate a table day by day, on top of one backup",
    doc_md=__doc__,
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    # [START howto_operator_dynamodb_create_backup_reuse]
    back_up = DynamoDBCreateBackupOperator(
        task_id="back_up",
        # No other DAG deletes backups of this table: any of them may be the one that is reused.
        table_name="invoices",
        reuse_within=timedelta(hours=24),
        # The first run creates the backup, and the others find it.
        max_active_tis_per_dag=1,
        deferrable=True,
    )
    # [END howto_operator_dynamodb_create_backup_reuse]

    migrate(back_up.output)
