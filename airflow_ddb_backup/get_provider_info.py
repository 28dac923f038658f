"""The package's metadata, for Airflow's provider discovery."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, valid by Airflow's ``provider_info.schema.json``."""
    integration = "Amazon DynamoDB backup"
    return {
        "package-name": "airflow-ddb-backup",
        "name": integration,
        "description": "DynamoDB on-demand backups: create, wait, prune, restore, link to the console.",
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/BackupRestore.html",
                "tags": ["aws"],
            }
        ],
        "hooks": [{"integration-name": integration, "python-modules": ["airflow_ddb_backup.hooks.dynamodb"]}],
        "operators": [{"integration-name": integration, "python-modules": ["airflow_ddb_backup.operators.dynamodb"]}],
        "sensors": [{"integration-name": integration, "python-modules": ["airflow_ddb_backup.sensors.dynamodb"]}],
        "triggers": [{"integration-name": integration, "python-modules": ["airflow_ddb_backup.triggers.dynamodb"]}],
        "extra-links": [
            "airflow_ddb_backup.links.dynamodb.DynamoDBBackupLink",
            "airflow_ddb_backup.links.dynamodb.DynamoDBBackupsLink",
            "airflow_ddb_backup.links.dynamodb.DynamoDBTableLink",
        ],
    }
