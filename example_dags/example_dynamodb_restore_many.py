"""A whole system is broken: restore the last backup of each of its tables from before one moment.

Trigger it in Airflow's UI with the tables and the moment. Each is restored beside the old one, which stays as it is.

To make it yours, change the DAG's ID and the owner.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableFromBackupOperator


@task
def targets(params: dict[str, list[str]] | None = None) -> list[dict[str, str]]:
    """Return the name of each table, with that of the new one."""
    # A name, or the end of an ARN.
    names = [(table, table.rpartition("/")[2]) for table in (params or {})["table_names"]]
    return [{"table_name": table, "target_table_name": f"{name}-restored"} for table, name in names]


with DAG(
    dag_id="example_dynamodb_restore_many",
    description="Restore the last backups of several tables, from a form",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
    params={
        "table_names": Param(
            ["orders", "customers"],
            type="array",
            items={"type": "string"},
            minItems=1,
            title="Tables",
            description="One a line. Each is restored beside the old one, with -restored at the end of its name.",
        ),
        # Without a default: nobody goes back to a time that they have not chosen.
        "before": Param(
            type="string",
            format="date-time",
            title="Broken since",
            description="When the first bad write may have been made, with its offset, such as "
            "2026-11-28T02:14:00+01:00. The last backup of each table from before it is restored.",
        ),
    },
):
    # [START howto_operator_dynamodb_restore_many]
    DynamoDBRestoreTableFromBackupOperator.partial(
        task_id="restore",
        before="{{ params.before }}",
        # One table's failure is seen by its name, and holds up no other.
        map_index_template="{{ task.table_name }}",
        deferrable=True,
    ).expand_kwargs(targets())
    # [END howto_operator_dynamodb_restore_many]
