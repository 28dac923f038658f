"""Keep a backup only for as long as a rewrite needs it.

To make it yours, change the DAG's ID, the owner, the table and the task `rewrite`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, task

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator, DynamoDBDeleteBackupOperator


@task
def rewrite(backup_arn: str) -> str:
    """Rewrite the table, and check it: a backup that is deleted does not come back."""
    logging.getLogger(__name__).info("Rewriting; to go back, restore %s", backup_arn)
    return backup_arn


with DAG(
    dag_id="example_dynamodb_backup_temporary",
    description="Back a table up, rewrite it, delete the backup",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    back_up = DynamoDBCreateBackupOperator(task_id="back_up", table_name="carts")
    rewritten = rewrite(back_up.output)

    # [START howto_operator_dynamodb_delete_backup]
    delete = DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=back_up.output)
    # [END howto_operator_dynamodb_delete_backup]

    # Only once the rewrite has succeeded.
    rewritten >> delete
