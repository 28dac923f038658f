"""Back up every table that has a tag each night, delete the backups that a policy does not keep, mail what failed.

Every table is tried, and a retry does only what is missing. A mail says what failed, and why.

To make it yours, change the DAG's ID, the owner, the tag, the policy and the addresses. It needs the connections
`aws_default` and `smtp_default`. Keep the DAG's ID and the task's afterwards: the prune knows its backups by them.

To stop the prune, set Airflow's variable `keep_all_backups` to `true`: it then only logs its plan.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import DAG, task
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBPruneBackupsOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# All tables that an account has, unless its quota was raised. A lower limit stops every backup on the day when one
# table too many gets the tag.
MAX_TABLES = 2500


# [START howto_alert]
def mail(context: Context) -> None:
    """Mail the report of a task that has failed for good. Any other notifier of Airflow's takes the same text."""
    SmtpNotifier(
        from_email="airflow@example.com",
        to="on-call@example.com",
        subject="{{ ti.dag_id }}: {{ ti.task_id }} failed",
        # A task that was killed has left no report.
        html_content="""
            {% set report = ti.xcom_pull(task_ids=ti.task_id, key="report", map_indexes=ti.map_index) %}
            <p>{{ report["text"] | e if report else "There is no report: the task was killed, or did not begin." }}</p>
            <p>Run {{ run_id | e }}. <a href="{{ ti.log_url | e }}">The task's log</a></p>
        """,
    )(context)


# [END howto_alert]


@task(retries=0)
def all_is_well() -> None:
    """Tell your dead man's switch that tonight's run is done. It also keeps the run of a failed backup from green."""


with DAG(
    dag_id="example_dynamodb_backup_nightly",
    description="Back up the tables with the tag backup=nightly, and prune their old backups",
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
    # [START howto_operator_dynamodb_backup_tables]
    back_up = DynamoDBBackupTablesOperator(
        task_id="back_up",
        table_names=["*"],
        table_tags={"backup": "nightly"},
        max_tables=MAX_TABLES,
        timeout=timedelta(hours=2),
        deferrable=True,
    )
    # [END howto_operator_dynamodb_backup_tables]

    # [START howto_operator_dynamodb_prune_backups]
    prune = DynamoDBPruneBackupsOperator(
        task_id="prune",
        table_names=["*"],
        table_tags={"backup": "nightly"},
        max_tables=MAX_TABLES,
        # Only backups that this task has made, in the account of the connection aws_default, which must exist.
        created_by=back_up.task_id,
        keep_daily=7,
        keep_weekly=4,
        keep_monthly=12,
        # The last three stay, even if a later change of the rules above is a mistake.
        minimum_redundancy=3,
        # 60 nights' worth for each table backed up tonight: a prune that failed for weeks then catches up by itself.
        # Where no table was backed up, that is 0, and nothing is deleted.
        max_deletions="{{ 60 * (ti.xcom_pull(task_ids='back_up', key='backup_arns') or {}) | length }}",
        plan_only="{{ var.value.get('keep_all_backups', 'false') }}",
        timeout=timedelta(hours=2),
        # Although a table has failed: the rules count backups, not days, so a table without a new one loses none.
        trigger_rule="all_done",
    )
    # [END howto_operator_dynamodb_prune_backups]

    back_up >> prune
    [back_up, prune] >> all_is_well()
