"""Every morning, tell which tables have no fresh backup, and fill the page "DynamoDB backups" of Airflow's web UI.

It counts every backup, whoever made it.

To make it yours, change the DAG's ID, the owner, what is excluded, `max_age`, `alert` and `not_known`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupCoverageOperator


@task.short_circuit
def is_alarming(report: dict[str, Any]) -> bool:
    """Go on only where a table has no fresh backup, or that is not known."""
    counts = report["counts"]
    return bool(sum(counts.values()) > counts["fresh"])


@task(trigger_rule="all_failed")
def not_known() -> None:
    """Put your own chat or mail here: the check itself has failed, and its log says why."""
    logging.getLogger(__name__).error("It is not known which tables have a backup: the check has failed")


@task
def alert(report: dict[str, Any]) -> list[str]:
    """Put your own chat or mail here: the text is ready to be sent."""
    logging.getLogger(__name__).error("%s", report["text"])
    return [table["table_name"] for table in report["tables"] if table["status"] != "fresh"]


with DAG(
    dag_id="example_dynamodb_backup_coverage",
    description="Tell which tables have no fresh backup",
    doc_md=__doc__,
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    # [START howto_operator_dynamodb_backup_coverage]
    check = DynamoDBBackupCoverageOperator(
        task_id="check",
        exclude=["test-*"],
        max_age=timedelta(hours=26),
        # The page shows the report that the event of this asset carries.
        outlets=[Asset("dynamodb-backup-coverage")],
    )
    # [END howto_operator_dynamodb_backup_coverage]

    is_alarming(check.output) >> alert(check.output)
    check >> not_known()
