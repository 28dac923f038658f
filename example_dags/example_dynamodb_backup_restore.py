"""The table is broken: restore its last good backup beside it, check it, and let its readers use the new one."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param, Variable, task

from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableFromBackupOperator


@task
def check(table_arn: str) -> str:
    """Put your own checks here: whatever raises keeps the readers on the old table."""
    name = table_arn.rpartition("/")[2]
    if not DynamoDBBackupHook().conn.scan(TableName=name, Limit=1)["Items"]:
        message = f"table {name} is empty"
        raise ValueError(message)
    return name


@task
def swap(table_name: str, params: dict[str, str] | None = None) -> None:
    """Name the new table where readers and writers look it up; the old one stays for the inquest."""
    Variable.set(f"table_{(params or {})['table_name']}", table_name)


with DAG(
    dag_id="example_dynamodb_backup_restore",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    params={
        "table_name": Param("orders", type="string"),
        "restored_table_name": Param("orders-restored", type="string"),
        "broken_since": Param("2100-01-01T00:00:00+00:00", type="string", format="date-time"),
    },
):
    # [START howto_operator_dynamodb_restore_table]
    restore = DynamoDBRestoreTableFromBackupOperator(
        task_id="restore",
        table_name="{{ params.table_name }}",
        # The last backup from before the damage.
        before="{{ params.broken_since }}",
        target_table_name="{{ params.restored_table_name }}",
        # Without ttl, which would go on deleting what has expired since the backup.
        settings=["tags", "table_class", "point_in_time_recovery", "deletion_protection", "stream", "auto_scaling"],
        tags={"restored": "yes"},
        deferrable=True,
    )
    # [END howto_operator_dynamodb_restore_table]

    swap(check(restore.output))
