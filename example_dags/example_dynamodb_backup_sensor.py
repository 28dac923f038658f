"""Start a backup, do other work meanwhile, and wait for the backup later.

To make it yours, change the DAG's ID, the owner, the table and the task `other_work`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, chain, task

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor


@task
def other_work() -> None:
    """Do what does not need the backup."""
    logging.getLogger(__name__).info("Working while the backup is made")


with DAG(
    dag_id="example_dynamodb_backup_sensor",
    description="Start a backup, and wait for it later",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    start_backup = DynamoDBCreateBackupOperator(
        task_id="start_backup",
        table_name="orders",
        wait_for_completion=False,
    )

    # [START howto_sensor_dynamodb_backup]
    wait_for_backup = DynamoDBBackupSensor(
        task_id="wait_for_backup",
        backup_arn=start_backup.output,
        deferrable=True,
    )
    # [END howto_sensor_dynamodb_backup]

    chain(start_backup, other_work(), wait_for_backup)
