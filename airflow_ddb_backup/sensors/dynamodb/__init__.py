"""The sensors: each waits for backups that are made elsewhere."""

from airflow_ddb_backup.sensors.dynamodb.fresh import DynamoDBFreshBackupSensor
from airflow_ddb_backup.sensors.dynamodb.many import DynamoDBBackupsSensor
from airflow_ddb_backup.sensors.dynamodb.one import DynamoDBBackupSensor

__all__ = ["DynamoDBBackupSensor", "DynamoDBBackupsSensor", "DynamoDBFreshBackupSensor"]
