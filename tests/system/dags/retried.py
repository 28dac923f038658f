"""Deferred tasks whose first try fails once it has come back, and whose second defers again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, AirflowException

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBCreateBackupOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

RETRIED: dict[str, Any] = {"deferrable": True, "retries": 1, "retry_delay": timedelta(seconds=1)}


class FailsOnce(DynamoDBCreateBackupOperator):
    """Fails in its first try, after the backup."""

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> str:
        """Take the event, and fail."""
        returned = super().execute_complete(context, event)
        if context["ti"].try_number == 1:
            message = "the first try fails"
            raise AirflowException(message)
        return returned


class ManyFailOnce(DynamoDBBackupTablesOperator):
    """The same, of many tables."""

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take the event, and fail."""
        returned = super().execute_complete(context, event)
        if context["ti"].try_number == 1:
            message = "the first try fails"
            raise AirflowException(message)
        return returned


with DAG("retried", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    FailsOnce(task_id="one", table_name="retried-one", if_exists="create", **RETRIED)
    ManyFailOnce(task_id="many", table_names=["retried-many"], if_exists="create", **RETRIED)
