"""Delete the backups that tests have left behind in a test account.

It deletes even the last backup of a table, and those of tables that are gone.

To make it yours, change the DAG's ID, the owner and the prefix, and see its plan with `plan_only=True` first.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBPruneBackupsOperator

with DAG(
    dag_id="example_dynamodb_backup_sweep",
    description="Delete the backups that tests have left",
    doc_md=__doc__,
    schedule="0 4 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    # [START howto_operator_dynamodb_prune_backups_sweep]
    DynamoDBPruneBackupsOperator(
        task_id="sweep",
        table_names=["*"],
        backup_name_prefix="integration-test-",
        older_than=timedelta(days=1),
        minimum_redundancy=0,
        dropped_tables=True,
        max_tables=2500,
        max_deletions=5000,
        # Also when the account is empty.
        if_empty="skip",
    )
    # [END howto_operator_dynamodb_prune_backups_sweep]
