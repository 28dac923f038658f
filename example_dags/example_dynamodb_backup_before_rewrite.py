"""Back a table up, and rewrite it only once the backup is AVAILABLE.

If the backup fails, nothing is rewritten. A retry, and a run that is cleared, keep the backup from before the rewrite.

To make it yours, change the DAG's ID, the owner and the task `rewrite_table`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator


@task
def rewrite_table(backup_arn: str) -> None:
    """Put your own rewrite here: it runs only after the backup, and knows its ARN."""
    logging.getLogger(__name__).info("Rewriting the table; to go back, restore %s", backup_arn)


with DAG(
    dag_id="example_dynamodb_backup_before_rewrite",
    description="Back a table up, then rewrite it",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
    params={
        "table_name": Param(
            "orders", type="string", title="Table", description="The table to back up, then to rewrite."
        ),
    },
):
    # [START howto_operator_dynamodb_create_backup]
    back_up = DynamoDBCreateBackupOperator(
        task_id="back_up",
        table_name="{{ params.table_name }}",
        deferrable=True,
    )
    # [END howto_operator_dynamodb_create_backup]

    rewrite_table(back_up.output)
