"""Restore the last backup of a table, beside it."""

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableFromBackupOperator

with DAG(
    dag_id="restore",
    schedule=None,
    params={
        "table_name": Param("orders", type="string", title="Table"),
        "target_table_name": Param("orders-restored", type="string", title="Restore it as"),
    },
):
    DynamoDBRestoreTableFromBackupOperator(
        task_id="restore",
        table_name="{{ params.table_name }}",
        target_table_name="{{ params.target_table_name }}",
        deferrable=True,
    )
