"""The table is broken: restore the second before the damage beside it, from a form.

It needs point-in-time recovery, and loses only what was written since that second. Where it is off, or does not reach
back so far, the task fails within seconds, makes nothing and says so: restore the last backup then.

To make it yours, change the DAG's ID, the owner and the settings.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableToPointInTimeOperator

with DAG(
    dag_id="example_dynamodb_restore_point_in_time",
    description="Restore a table to a second, from a form",
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
            description="The table that is broken. Nothing of it changes. It needs point-in-time recovery.",
        ),
        "restored_table_name": Param(
            "orders-restored",
            type="string",
            title="New table",
            description="A name that no table has: a restore always makes a new one.",
        ),
        # Without a default: nobody restores to a time that they have not chosen.
        "moment": Param(
            type="string",
            format="date-time",
            title="Last good second",
            description="The second before the first bad write, with its offset, such as 2026-11-28T02:14:00+01:00.",
        ),
    },
):
    # [START howto_operator_dynamodb_restore_point_in_time]
    DynamoDBRestoreTableToPointInTimeOperator(
        task_id="restore",
        source_table_name="{{ params.table_name }}",
        restore_date_time="{{ params.moment }}",
        target_table_name="{{ params.restored_table_name }}",
        # Without ttl, which would go on deleting.
        settings=["tags", "table_class", "point_in_time_recovery", "deletion_protection", "stream", "auto_scaling"],
        tags={"restored": "yes"},
        deferrable=True,
    )
    # [END howto_operator_dynamodb_restore_point_in_time]
