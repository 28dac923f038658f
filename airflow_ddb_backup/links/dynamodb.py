"""The links from a task to the AWS console."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import botocore.session
from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink
from botocore.exceptions import UnknownRegionError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context


# The consoles of the partitions that are known.
_DOMAINS = [domain for name in ("aws", "aws-cn", "aws-us-gov") if (domain := BaseAwsLink.get_aws_domain(name))]
# What an address is made of.
_PARTS = {"region_name": r"[a-z0-9-]+", "table_name": r"[a-zA-Z0-9_.-]{3,255}"}


class DynamoDBTableLink(BaseAwsLink):
    """Leads to a table in the DynamoDB console."""

    name = "DynamoDB table"
    key = "dynamodb_table"
    format_str = BASE_AWS_CONSOLE_LINK + "/dynamodbv2/home?region={region_name}#table?name={table_name}"

    def format_link(self, **kwargs: Any) -> str:
        """Return the address; none in a partition whose console is not known, or of an XCom that is not this link's.

        Whoever may write XComs could lead those who trust the link elsewhere.
        """
        parts = {name: re.fullmatch(pattern, str(kwargs[name])) for name, pattern in _PARTS.items() if name in kwargs}
        is_sound = kwargs.get("aws_domain") in _DOMAINS and all(parts.values())
        return super().format_link(**kwargs) if is_sound else ""


class DynamoDBBackupLink(DynamoDBTableLink):
    """Leads to the backed up table in the DynamoDB console, whose Backups tab lists the backup.

    A deep link to one backup is not known to be stable.
    """

    name = "DynamoDB backup"
    key = "dynamodb_backup"


class DynamoDBBackupsLink(DynamoDBTableLink):
    """Leads to the list of a region's backups in the DynamoDB console."""

    name = "DynamoDB backups"
    key = "dynamodb_backups"
    format_str = BASE_AWS_CONSOLE_LINK + "/dynamodbv2/home?region={region_name}#list-backups"

    @classmethod
    def persist_region(cls, context: Context, operator: BaseOperator, region: str) -> None:
        """Store the link of a task that is about a whole region, before any response has told the partition.

        :param context: the task's context
        :param operator: the task
        :param region: the region of its calls
        """
        try:
            partition = botocore.session.Session().get_partition_for_region(region)
        except UnknownRegionError:
            partition = ""
        cls.persist(context=context, operator=operator, region_name=region, aws_partition=partition)
