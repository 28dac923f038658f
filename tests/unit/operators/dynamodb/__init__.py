"""Tests of ``airflow_ddb_backup.operators.dynamodb``."""
