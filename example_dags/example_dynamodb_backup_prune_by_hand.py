"""Move in from another tool: keep the last of the backups that it has left, and delete the others, from a form.

1. Trigger it with the prefix of the other tool's backups, and leave "Plan only" on. The log has the plan: what would
   stay, what would go, and why. If more would go than "Most deletions" allows, the task fails and says how many.
2. Read the plan. Then trigger it once more, with "Plan only" off and "Most deletions" at the number of the plan.

To make it yours, change the DAG's ID, the owner, and what is kept.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_ddb_backup.operators.dynamodb import DynamoDBPruneBackupsOperator

with DAG(
    dag_id="example_dynamodb_backup_prune_by_hand",
    description="Delete the backups that another tool has left, from a form, once the plan was read",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    default_args={"owner": "data-platform", "retries": 3, "retry_delay": timedelta(minutes=5)},
    params={
        "prefix": Param(
            "nightly-",
            type="string",
            minLength=3,
            title="Prefix",
            description="What the names of the backups begin with. Only these count or are deleted.",
        ),
        "plan_only": Param(
            True,
            type="boolean",
            title="Plan only",
            description="Log what would be deleted, and delete nothing.",
        ),
        "max_deletions": Param(
            100,
            type="integer",
            minimum=0,
            title="Most deletions",
            description="If the plan would delete more, the task deletes nothing and fails.",
        ),
    },
):
    # [START howto_operator_dynamodb_prune_backups_plan_only]
    DynamoDBPruneBackupsOperator(
        task_id="prune",
        table_names=["*"],
        max_tables=2500,
        exclude=["invoices"],
        backup_name_prefix="{{ params.prefix }}",
        keep_last=30,
        # The backups of another DAG, whose prefix begins with this one's.
        keep_names=["nightly-eu-*"],
        plan_only="{{ params.plan_only }}",
        max_deletions="{{ params.max_deletions }}",
        timeout=timedelta(hours=2),
    )
    # [END howto_operator_dynamodb_prune_backups_plan_only]
