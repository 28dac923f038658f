"""Back up the tables of several regions and accounts each night, and prune their old backups.

One mapped task for each place: an account's connection, a region, and the account that this must be. A connection that
suddenly leads to another account fails the task before anything is made or deleted there.

To make it yours, change the DAG's ID, the owner, the places, the tag and the policy. Add places at the end of the list:
a task is known by its position.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, task
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBPruneBackupsOperator

MAX_TABLES = 2500
PLACES = [
    {"aws_conn_id": "aws_default", "region_name": "us-east-1", "account_id": "123456789012"},
    {"aws_conn_id": "aws_default", "region_name": "eu-west-1", "account_id": "123456789012"},
    # Its extra holds the role: {"role_arn": "arn:aws:iam::210987654321:role/table-backups"}
    {"aws_conn_id": "aws_shop_account", "region_name": "eu-west-1", "account_id": "210987654321"},
]


@task(trigger_rule="all_done")
def alert(**context: Any) -> None:
    """Mail which tasks have failed, and where. It fails then too, since a run is green if its last task is."""
    ti, texts = context["ti"], {}
    for task_id, (number, place) in product(sorted(context["task"].upstream_task_ids), enumerate(PLACES)):
        # What has failed returns nothing, but leaves a report unless it was killed.
        if ti.xcom_pull(task_ids=task_id, map_indexes=number) is None:
            report = ti.xcom_pull(task_ids=task_id, map_indexes=number, key="report") or {}
            text = report.get("text", "There is no report: the task was killed, or did not begin.")
            texts[f"{task_id} by {place['aws_conn_id']} in {place['region_name']}"] = text
    if not texts:
        # Tell your dead man's switch here that tonight's run is done.
        return
    mail = SmtpNotifier(
        from_email="airflow@example.com",
        to="on-call@example.com",
        subject="{{ ti.dag_id }}: {{ texts | length }} tasks failed",
        html_content="""
            {% for name, text in texts.items() %}<p>{{ name | e }}: {{ text | e }}</p>{% endfor %}
            <p>Run {{ run_id | e }}: <a href="{{ ti.log_url | e }}">open it in Airflow</a></p>
        """,
    )
    # Not called as a function: a mail that can't be sent would only be logged by Airflow 2.11.
    told: Any = {**context, "texts": texts}
    mail.render_template_fields(told)
    mail.notify(told)
    message = f"failed: {', '.join(texts)}"
    raise AirflowFailException(message)


with DAG(
    dag_id="example_dynamodb_backup_regions",
    description="Back up and prune the tables with the tag backup=nightly in several regions and accounts",
    doc_md=__doc__,
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
):
    # [START howto_operator_dynamodb_backup_regions]
    back_up = DynamoDBBackupTablesOperator.partial(
        task_id="back_up",
        table_names=["*"],
        table_tags={"backup": "nightly"},
        max_tables=MAX_TABLES,
        timeout=timedelta(hours=2),
        map_index_template="{{ task.aws_conn_id }} {{ task.region_name }}",
        deferrable=True,
    ).expand_kwargs(PLACES)

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
        # 60 nights' worth for each table that this place backed up tonight, as in the example for one account.
        max_deletions="{{ 60 * (ti.xcom_pull(task_ids=task.created_by, map_indexes=ti.map_index, key='backup_arns')"
        " or {}) | length }}",
        plan_only="{{ var.value.get('keep_all_backups', 'false') }}",
        timeout=timedelta(hours=2),
        # Although a place has failed: each is pruned by its own backups.
        trigger_rule="all_done",
        map_index_template="{{ task.aws_conn_id }} {{ task.region_name }}",
    ).expand_kwargs(PLACES)
    # [END howto_operator_dynamodb_backup_regions]

    back_up >> prune
    [back_up, prune] >> alert()
