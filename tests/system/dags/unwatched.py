"""One backup, waited for by sensors whose deferral Airflow itself ends, hard and soft."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor


class ImpatientSensor(DynamoDBBackupSensor):
    """Has Airflow end the deferral soon, and not a minute after the deadline, until when the trigger may report."""

    def defer(self, **kwargs: Any) -> Any:
        """Defer for half a minute: by then the scheduler has recorded the deferral, or it fails the task itself."""
        return super().defer(**kwargs | {"timeout": timedelta(seconds=30)})


with DAG("unwatched", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), params={"backup_arn": ""}):
    for task_id, soft_fail in {"hard": False, "soft": True}.items():
        ImpatientSensor(
            task_id=task_id, backup_arn="{{ params.backup_arn }}", deferrable=True, soft_fail=soft_fail, timeout=60
        )
