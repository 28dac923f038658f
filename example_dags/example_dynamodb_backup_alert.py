"""Tell someone when a backup has failed."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


# [START howto_operator_dynamodb_create_backup_alert]
def alert(context: Context) -> None:
    """Put your own pager or chat here: the exception names table, backup, region and next step."""
    logging.getLogger(__name__).error("No backup: %s", context["exception"])


with DAG(
    dag_id="example_dynamodb_backup_alert",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    params={"table_name": "orders"},
):
    DynamoDBCreateBackupOperator(
        task_id="back_up",
        table_name="{{ params.table_name }}",
        retries=3,
        retry_delay=timedelta(minutes=5),
        # Called once the last retry has failed, or at once for what no retry can fix.
        on_failure_callback=alert,
        deferrable=True,
    )
    # [END howto_operator_dynamodb_create_backup_alert]
