"""One backup, by its ARN or as a table's next one, waited for in every way, patiently and not."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor, DynamoDBFreshBackupSensor

PATIENCE: dict[str, dict[str, Any]] = {
    "sensor_modes": {"timeout": 600},
    "sensor_modes_hard_fail": {"timeout": 1},
    "sensor_modes_soft_fail": {"timeout": 1, "soft_fail": True},
}
MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "poke_interval": 0.5},
    # Airflow fails a task that is queued again before its scheduler has noted that it was rescheduled; a busy
    # machine's takes seconds for that. DAG.test needs no such time.
    "reschedule": {"mode": "reschedule", "poke_interval": float(os.environ.get("RESCHEDULE_AFTER", "15"))},
    "deferrable": {"deferrable": True},
}
# A busy machine's first poll may take longer than a second, and a sensor whose time is up does not defer.
PATIENCE_OF_A_DEFERRAL = 15

for dag_id, patience in PATIENCE.items():
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        params={"backup_arn": ""},
    ):
        for task_id, mode in MODES.items():
            settings = {**patience, **mode}
            if task_id == "deferrable":
                settings["timeout"] = max(settings["timeout"], PATIENCE_OF_A_DEFERRAL)
            DynamoDBBackupSensor(task_id=task_id, backup_arn="{{ params.backup_arn }}", **settings)
    with DAG(dag_id.replace("sensor", "fresh"), schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        for task_id, mode in MODES.items():
            settings = {**patience, "poke_interval": 5, **mode}
            if task_id == "deferrable":
                settings["timeout"] = max(settings["timeout"], PATIENCE_OF_A_DEFERRAL)
            DynamoDBFreshBackupSensor(task_id=task_id, table_name="orders", max_age=timedelta(hours=1), **settings)
