"""Backups, prunes, restores, drills and coverage of fifty tables, all of them often."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupCoverageOperator,
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBPruneBackupsOperator,
    DynamoDBRestoreDrillOperator,
    DynamoDBRestoreTableFromBackupOperator,
    DynamoDBRestoreTableToPointInTimeOperator,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor

TABLES = 50
RETRIED: dict[str, Any] = {"retries": 40, "retry_delay": timedelta(seconds=5)}
TASKS_OF_SINGLE = ("deferred", "on_worker", "unwaited")
# When the last runs are due.
ENDS = datetime.fromisoformat(os.environ.get("SOAK_ENDS", "2100-01-01T00:00:00+00:00"))
MADE_BY_TABLES = ("soak_tables", "back_up")


def dag(dag_id: str, minutes: float, **settings: Any) -> DAG:
    """Return a DAG that runs every so many minutes."""
    return DAG(
        dag_id,
        schedule=timedelta(minutes=minutes),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        end_date=ENDS,
        catchup=False,
        **{"default_args": RETRIED, "max_active_runs": 3, **settings},
    )


def table(offset: int) -> str:
    """Return a template of the name of another table in each run."""
    return f"soak-{{{{ '%02d' % ((dag_run.run_after.timestamp() // 30 + {offset}) % {TABLES}) }}}}"


with dag("soak_single", 1):
    # A backup by the triggerer's wait, by the worker's, and by a sensor's.
    DynamoDBCreateBackupOperator(task_id="deferred", table_name=table(0), deferrable=True)
    DynamoDBCreateBackupOperator(task_id="on_worker", table_name=table(13))
    unwaited = DynamoDBCreateBackupOperator(task_id="unwaited", table_name=table(29), wait_for_completion=False)
    DynamoDBBackupSensor(task_id="sensor", backup_arn=unwaited.output, deferrable=True)

with dag("soak_unretried", 2, default_args={"retries": 0}):
    # Killed or out of luck, these fail.
    DynamoDBCreateBackupOperator(task_id="back_up", table_name=table(7), timeout=60, deferrable=True)
    DynamoDBBackupCoverageOperator(
        task_id="check", table_names=["soak-*"], max_age=timedelta(minutes=4), fail_on=["late", "none"], timeout=60
    )

with dag("soak_tables", 2):
    DynamoDBBackupTablesOperator(task_id="back_up", table_names=["soak-*"], deferrable=True)


def prune() -> None:
    """Make the two prunes."""
    DynamoDBPruneBackupsOperator(
        task_id="of_tables",
        table_names=["soak-*"],
        created_by=MADE_BY_TABLES,
        keep_last=2,
        keep_within=timedelta(minutes=3),
        max_deletions=1000,
    )
    DynamoDBPruneBackupsOperator(
        task_id="of_single",
        table_names=["soak-*"],
        created_by=[("soak_single", task) for task in TASKS_OF_SINGLE],
        keep_hourly=1,
        older_than=timedelta(minutes=2),
        minimum_redundancy=2,
        max_deletions=1000,
    )


with dag("soak_prune", 2):
    prune()

with DAG("soak_last_prune", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), default_args=RETRIED):
    prune()

with dag("soak_restore", 2):
    DynamoDBRestoreTableFromBackupOperator(
        task_id="restore",
        table_name=table(0),
        created_by=MADE_BY_TABLES,
        target_table_name="restored-{{ dag_run.run_after.timestamp() | int }}",
        poll_interval=5,
        deferrable=True,
    )

with dag("soak_point_in_time", 3):
    DynamoDBRestoreTableToPointInTimeOperator(
        task_id="restore",
        source_table_name=table(17),
        restore_date_time="{{ (dag_run.run_after - macros.timedelta(minutes=6)).isoformat() }}",
        target_table_name="rewound-{{ dag_run.run_after.timestamp() | int }}",
        poll_interval=5,
        deferrable=True,
    )

with dag("soak_drill", 2, max_active_runs=1):
    DynamoDBRestoreDrillOperator(
        task_id="drill",
        table_name=table(31),
        created_by=MADE_BY_TABLES,
        pick="random",
        poll_interval=5,
        deferrable=True,
    )

with dag("soak_coverage", 3):
    DynamoDBBackupCoverageOperator(task_id="check", table_names=["soak-*"], max_age=timedelta(minutes=4))
