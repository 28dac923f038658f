"""The table is broken: restore its last good backup beside it, check it, and point its readers to the new one.

Trigger it in Airflow's UI with the table, the time of the damage and a new name. The log of the task `restore` says
which backup it is, and what to do next. Nothing of the old table changes.

To make it yours, change the DAG's ID, the owner, the settings, and the tasks `check` and `point_readers_to`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param, Variable, task

from airflow_ddb_backup.exceptions import ErrorContext
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableFromBackupOperator


@task
def check(table_arn: str) -> str:
    """Put your own checks here: whatever raises keeps the readers on the old table."""
    name = table_arn.rpartition("/")[2]
    # One page, up to 1 MB, is enough to tell.
    if not any(DynamoDBBackupHook().count_items(ErrorContext(name), name).items):
        message = f"table {name} is empty"
        raise AirflowFailException(message)
    return name


@task
def point_readers_to(table_name: str, params: dict[str, str] | None = None) -> None:
    """Name the new table where readers and writers look it up; the old one stays for the inquest."""
    # Without the rest of an ARN, if one was typed.
    old_name = (params or {})["table_name"].rpartition("/")[2]
    Variable.set(f"table_{old_name}", table_name)


with DAG(
    dag_id="example_dynamodb_backup_restore",
    description="Restore the last good backup of a table, from a form",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
    params={
        "table_name": Param(
            "orders",
            type="string",
            title="Table",
            description="The table that is broken, or gone. Nothing of it changes.",
        ),
        # Without a default: nobody goes back to a time that they have not chosen.
        "before": Param(
            type="string",
            format="date-time",
            title="Broken since",
            description="When the first bad write may have been made, with its offset, such as "
            "2026-11-28T02:14:00+01:00. The last backup from before it is restored.",
        ),
        "restored_table_name": Param(
            "orders-restored",
            type="string",
            title="New table",
            description="A name that no table has: a restore always makes a new one.",
        ),
    },
):
    # [START howto_operator_dynamodb_restore_table]
    restore = DynamoDBRestoreTableFromBackupOperator(
        task_id="restore",
        table_name="{{ params.table_name }}",
        # The last backup from before the damage.
        before="{{ params.before }}",
        target_table_name="{{ params.restored_table_name }}",
        # Without ttl, which would go on deleting what has expired since the backup.
        settings=["tags", "table_class", "point_in_time_recovery", "deletion_protection", "stream", "auto_scaling"],
        tags={"restored": "yes"},
        deferrable=True,
    )
    # [END howto_operator_dynamodb_restore_table]

    point_readers_to(check(restore.output))
