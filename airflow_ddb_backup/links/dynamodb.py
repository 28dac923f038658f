"""The links from a task to the AWS console."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink


class DynamoDBTableLink(BaseAwsLink):
    """Leads to a table in the DynamoDB console."""

    name = "DynamoDB table"
    key = "dynamodb_table"
    format_str = BASE_AWS_CONSOLE_LINK + "/dynamodbv2/home?region={region_name}#table?name={table_name}"

    def format_link(self, **kwargs: Any) -> str:
        """Return the address, or none in a partition whose console is not known."""
        return super().format_link(**kwargs) if kwargs.get("aws_domain") else ""


class DynamoDBBackupLink(DynamoDBTableLink):
    """Leads to the backed up table in the DynamoDB console, whose Backups tab lists the backup.

    A deep link to one backup is not known to be stable.
    """

    name = "DynamoDB backup"
    key = "dynamodb_backup"
