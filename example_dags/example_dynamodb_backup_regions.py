"""Back up the tables of several regions and accounts each night, and prune their old backups.

One mapped task for each place: an account's connection, a region, and the account that this must be. A connection that
suddenly leads to another account fails the task before anything is made or deleted there.

To make it yours, change the DAG's ID, the owner, the places, the tag and the policy. Add places at the end of the list:
a task is known by its position.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import DAG, task
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBPruneBackupsOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

MAX_TABLES = 2500


def mail(context: Context) -> None:
    """Mail the report of a task that has failed for good. Any other notifier of Airflow's takes the same text."""
    SmtpNotifier(
        from_email="airflow@example.com",
        to="on-call@example.com",
        subject="{{ ti.dag_id }}: {{ ti.task_id }} failed in {{ task.region_name }}",
        # A task that was killed has left no report.
        html_content="""
            {% set report = ti.xcom_pull(task_ids=ti.task_id, key="report", map_indexes=ti.map_index) %}
            <p>{{ report["text"] | e if report else "There is no report: the task was killed, or did not begin." }}</p>
            <p>Run {{ run_id | e }}. <a href="{{ ti.log_url | e }}">The task's log</a></p>
        """,
    )(context)


@task(retries=0)
def all_is_well() -> None:
    """Tell your dead man's switch that tonight's run is done. It also keeps the run of a failed backup from green."""


with DAG(
    dag_id="example_dynamodb_backup_regions",
    description="Back up and prune the tables with the tag backup=nightly in several regions and accounts",
    doc_md=__doc__,
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={
        "owner": "data-platform",
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "on_failure_callback": mail,
    },
):
    # [START howto_operator_dynamodb_backup_regions]
    places = [
        {"aws_conn_id": "aws_default", "region_name": "us-east-1", "account_id": "123456789012"},
        {"aws_conn_id": "aws_default", "region_name": "eu-west-1", "account_id": "123456789012"},
        # Its extra holds the role: {"role_arn": "arn:aws:iam::210987654321:role/table-backups"}
        {"aws_conn_id": "aws_shop_account", "region_name": "eu-west-1", "account_id": "210987654321"},
    ]

    back_up = DynamoDBBackupTablesOperator.partial(
        task_id="back_up",
        table_names=["*"],
        table_tags={"backup": "nightly"},
        max_tables=MAX_TABLES,
        timeout=timedelta(hours=2),
        map_index_template="{{ task.aws_conn_id }} {{ task.region_name }}",
        deferrable=True,
    ).expand_kwargs(places)

    prune = DynamoDBPruneBackupsOperator.partial(
        task_id="prune",
        table_names=["*"],
        table_tags={"backup": "nightly"},
        max_tables=MAX_TABLES,
        created_by=back_up.task_id,
        keep_daily=7,
        keep_weekly=4,
        keep_monthly=12,
        minimum_redundancy=3,
        plan_only="{{ var.value.get('keep_all_backups', 'false') }}",
        timeout=timedelta(hours=2),
        # Although a place has failed: each is pruned by its own backups.
        trigger_rule="all_done",
        map_index_template="{{ task.aws_conn_id }} {{ task.region_name }}",
    ).expand_kwargs(places)
    # [END howto_operator_dynamodb_backup_regions]

    back_up >> prune
    [back_up, prune] >> all_is_well()
