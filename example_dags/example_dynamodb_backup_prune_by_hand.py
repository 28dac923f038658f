"""See what a prune would delete, and delete it once somebody has read the plan."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_ddb_backup.operators.dynamodb import DynamoDBPruneBackupsOperator

with DAG(
    dag_id="example_dynamodb_backup_prune_by_hand",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
    params={"plan_only": Param(True, type="boolean")},
):
    # [START howto_operator_dynamodb_prune_backups_plan_only]
    DynamoDBPruneBackupsOperator(
        task_id="prune",
        table_names=["*"],
        table_tags={"backup": "nightly"},
        exclude=["invoices"],
        backup_name_prefix="nightly-",
        keep_last=30,
        # The backups of another DAG, whose prefix begins with this one's.
        keep_names=["nightly-eu-*"],
        max_deletions=1000,
        plan_only="{{ params.plan_only }}",
    )
    # [END howto_operator_dynamodb_prune_backups_plan_only]
