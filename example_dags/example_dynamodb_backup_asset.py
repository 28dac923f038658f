"""Start one DAG when the backup of another is AVAILABLE.

The asset's event carries the backup's ARN, name and creation time.

To make it yours, change the IDs of both DAGs, the owner, the table and the asset's URI.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, Asset, task

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator

ORDERS_BACKUP = Asset("dynamodb://us-east-1/orders/backup")

with DAG(
    dag_id="example_dynamodb_backup_asset",
    description="Back up a table each night, and tell other DAGs",
    doc_md=__doc__,
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    # [START howto_operator_dynamodb_create_backup_asset]
    DynamoDBCreateBackupOperator(
        task_id="back_up",
        table_name="orders",
        outlets=[ORDERS_BACKUP],
        deferrable=True,
    )
    # [END howto_operator_dynamodb_create_backup_asset]


# [START howto_operator_dynamodb_create_backup_asset_reaction]
@task(inlets=[ORDERS_BACKUP])
def note_backup(*, inlet_events: Any = None) -> str:
    """Read what the newest event says of the backup."""
    events = inlet_events[ORDERS_BACKUP]
    if not events:
        message = "no run has backed the table up yet"
        raise AirflowSkipException(message)
    backup: dict[str, str] = events[-1].extra
    logging.getLogger(__name__).info("%s was created at %s", backup["backup_arn"], backup["created_at"])
    return backup["backup_arn"]


with DAG(
    dag_id="example_dynamodb_backup_asset_reaction",
    description="Begin once the table has a new backup",
    doc_md=__doc__,
    schedule=[ORDERS_BACKUP],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    note_backup()
# [END howto_operator_dynamodb_create_backup_asset_reaction]
