"""Back up some tables now, from a form: before a deployment, a migration, or a fix by hand.

Trigger it in Airflow's UI, and type the tables. The log and the returned report have the backups' ARNs.

To make it yours, change the DAG's ID and the owner. Nothing deletes these backups: delete them once nobody needs them,
or prune them by the task `back_up` of this DAG.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator

with DAG(
    dag_id="example_dynamodb_backup_now",
    description="Back up some tables now, from a form",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=1)},
    # The list of the form stays a list.
    render_template_as_native_obj=True,
    params={
        "table_names": Param(
            ["orders"],
            type="array",
            items={"type": "string"},
            minItems=1,
            title="Tables",
            description="One a line: a name, an ARN, or a pattern such as shop-*. At most 100 tables.",
        ),
    },
):
    # [START howto_operator_dynamodb_backup_now]
    DynamoDBBackupTablesOperator(
        task_id="back_up",
        table_names="{{ params.table_names }}",
        deferrable=True,
    )
    # [END howto_operator_dynamodb_backup_now]
