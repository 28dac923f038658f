"""Tests of ``airflow_ddb_backup.sensors.dynamodb``."""
