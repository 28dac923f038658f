"""The operators: their parameters, and an execute that tells its story in a few lines."""

from airflow_ddb_backup.operators.dynamodb.coverage import DynamoDBBackupCoverageOperator
from airflow_ddb_backup.operators.dynamodb.create import DynamoDBCreateBackupOperator
from airflow_ddb_backup.operators.dynamodb.delete import DynamoDBDeleteBackupOperator
from airflow_ddb_backup.operators.dynamodb.drill import DynamoDBRestoreDrillOperator
from airflow_ddb_backup.operators.dynamodb.prune import DynamoDBPruneBackupsOperator
from airflow_ddb_backup.operators.dynamodb.restore import DynamoDBRestoreTableFromBackupOperator
from airflow_ddb_backup.operators.dynamodb.restore_point_in_time import DynamoDBRestoreTableToPointInTimeOperator
from airflow_ddb_backup.operators.dynamodb.tables import DynamoDBBackupTablesOperator

__all__ = [
    "DynamoDBBackupCoverageOperator",
    "DynamoDBBackupTablesOperator",
    "DynamoDBCreateBackupOperator",
    "DynamoDBDeleteBackupOperator",
    "DynamoDBPruneBackupsOperator",
    "DynamoDBRestoreDrillOperator",
    "DynamoDBRestoreTableFromBackupOperator",
    "DynamoDBRestoreTableToPointInTimeOperator",
]
