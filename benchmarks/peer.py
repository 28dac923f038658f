"""The usual way: the amazon provider's waiter trigger over DescribeBackup, as its own triggers are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.triggers.base import AwsBaseWaiterTrigger


class WaiterHook(AwsBaseHook):
    """A DynamoDB hook with the waiter of this folder."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "client_type": "dynamodb"})

    @property
    def waiter_path(self) -> Path:
        """The waiter's model."""
        return Path(__file__).with_name("dynamodb.json")


class WaiterTrigger(AwsBaseWaiterTrigger):
    """Waits for one backup with a client of its own.

    :param backup_arn: the backup
    :param poll_interval: seconds between polls
    """

    aws_hook_class = WaiterHook

    def __init__(self, backup_arn: str, poll_interval: int) -> None:
        super().__init__(
            serialized_fields={"backup_arn": backup_arn},
            waiter_name="backup_available",
            waiter_args={"BackupArn": backup_arn},
            failure_message="The backup failed",
            status_message="The backup is",
            status_queries=["BackupDescription.BackupDetails.BackupStatus"],
            return_value=None,
            waiter_delay=poll_interval,
            waiter_max_attempts=1000,
        )

    def hook(self) -> WaiterHook:
        """Return the hook of the default connection."""
        return WaiterHook(aws_conn_id=self.aws_conn_id)
