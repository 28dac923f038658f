"""Every month: restore a random backup, look at its data, drop it, and keep the report for the auditor.

To make it yours, change the DAG's ID, the owner, the table, `look_at_data` and `alert`. A drill costs a restore:
`max_size_bytes` skips larger backups.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Asset, task

from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreDrillOperator


def look_at_data(client: Any, table_name: str) -> None:
    """Put your own checks here: whatever raises fails the drill."""
    (item,) = client.scan(TableName=table_name, Limit=1)["Items"]
    if "total" not in item:
        message = f"an order without a total: {item['id']}"
        raise ValueError(message)


@task(trigger_rule="all_failed")
def alert(ti: Any = None) -> None:
    """Put your own pager or chat here: the text says what failed, of which backup, and where."""
    report = ti.xcom_pull(task_ids="drill", key="report") or {}
    text = report.get("text", "There is no report: the task was killed, or did not begin.")
    logging.getLogger(__name__).error("The restore drill has failed: %s", text)
    # A run is green if its last task is.
    message = "the drill has failed"
    raise AirflowFailException(message)


with DAG(
    dag_id="example_dynamodb_backup_restore_drill",
    description="Prove that a backup of the table restores",
    doc_md=__doc__,
    schedule="0 4 1 * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    # Each run drops what killed ones have left: two must not run at once.
    max_active_runs=1,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    # [START howto_operator_dynamodb_restore_drill]
    drill = DynamoDBRestoreDrillOperator(
        task_id="drill",
        table_name="orders",
        pick="random",
        within=timedelta(days=35),
        min_items=1,
        validate=look_at_data,
        max_size_bytes=100 * 1024**3,
        # The report is kept with the asset's events.
        outlets=[Asset("restore-drills-of-orders")],
        deferrable=True,
    )
    # [END howto_operator_dynamodb_restore_drill]

    drill >> alert()
