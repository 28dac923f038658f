"""Back up every table that has a tag each night, delete the backups that a policy does not keep, mail what failed.

Every table is tried, and a retry does only what is missing. A mail says what failed, and why, and the run is red then.

To make it yours, change the DAG's ID, the owner, the tag, the policy and the addresses. It needs the connections
`aws_default` and `smtp_default`. Keep the DAG's ID and the task's afterwards: the prune knows its backups by them.

To stop the prune, set Airflow's variable `keep_all_backups` to `true`: it then only logs its plan.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, task
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBPruneBackupsOperator

# All tables that an account has, unless its quota was raised. A lower limit stops every backup on the day when one
# table too many gets the tag.
MAX_TABLES = 2500


# [START howto_alert]
@task(trigger_rule="all_done")
def alert(**context: Any) -> None:
    """Mail what has failed. It fails then too, since a run is green if its last task is.

    A task, not an on_failure_callback: Airflow 3 calls none for a task that was killed (apache/airflow #60858), and a
    mail that could not be sent is tried again.
    """
    ti, texts = context["ti"], {}
    for task_id in sorted(context["task"].upstream_task_ids):
        # What has failed returns nothing, but leaves a report unless it was killed.
        if ti.xcom_pull(task_ids=task_id) is None:
            report = ti.xcom_pull(task_ids=task_id, key="report") or {}
            texts[task_id] = report.get("text", "There is no report: the task was killed, or did not begin.")
    if not texts:
        # Tell your dead man's switch here that tonight's run is done.
        return
    mail = SmtpNotifier(
        from_email="airflow@example.com",
        to="on-call@example.com",
        subject="{{ ti.dag_id }}: {{ texts | join(', ') }} failed",
        html_content="""
            {% for task_id, text in texts.items() %}<p>{{ task_id | e }}: {{ text | e }}</p>{% endfor %}
            <p>Run {{ run_id | e }}: <a href="{{ ti.log_url | e }}">open it in Airflow</a></p>
        """,
    )
    # Not called as a function: a mail that can't be sent would only be logged by Airflow 2.11.
    told: Any = {**context, "texts": texts}
    mail.render_template_fields(told)
    mail.notify(told)
    message = f"failed: {', '.join(texts)}"
    raise AirflowFailException(message)


# [END howto_alert]


with DAG(
    dag_id="example_dynamodb_backup_nightly",
    description="Back up the tables with the tag backup=nightly, and prune their old backups",
    doc_md=__doc__,
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
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
        max_deletions="{{ 60 * (ti.xcom_pull(task_ids=task.created_by, key='backup_arns') or {}) | length }}",
        plan_only="{{ var.value.get('keep_all_backups', 'false') }}",
        timeout=timedelta(hours=2),
        # Although a table has failed: the rules count backups, not days, so a table without a new one loses none.
        trigger_rule="all_done",
    )
    # [END howto_operator_dynamodb_prune_backups]

    back_up >> prune
    [back_up, prune] >> alert()
