"""Rewrite a table only once it has a fresh backup, which another DAG, team or person makes.

To make it yours, change the DAG's ID, the owner, the table, `max_age` and the task `rewrite_table`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_ddb_backup.sensors.dynamodb import DynamoDBFreshBackupSensor


@task
def rewrite_table(backup: dict[str, Any]) -> str:
    """Put your own rewrite here: it knows the backup that it rests on."""
    message = "Rewriting the table; to go back, restore %s, made at %s"
    logging.getLogger(__name__).info(message, backup["backup_arn"], backup["created_at"])
    return str(backup["backup_arn"])


with DAG(
    dag_id="example_dynamodb_backup_fresh",
    description="Rewrite a table once it has a fresh backup",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    # [START howto_sensor_dynamodb_fresh_backup]
    wait_for_backup = DynamoDBFreshBackupSensor(
        task_id="wait_for_backup",
        table_name="orders",
        max_age=timedelta(hours=6),
        timeout=timedelta(hours=3),
        deferrable=True,
    )
    # [END howto_sensor_dynamodb_fresh_backup]

    rewrite_table(wait_for_backup.output)
