"""The operator that deletes one backup."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.retention.prune import delete_backup
from airflow_ddb_backup.validation import (
    check_botocore_config,
    check_deletable,
    check_literal,
    check_region,
    check_region_name,
    check_timeout,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg


class DynamoDBDeleteBackupOperator(AwsBaseOperator[DynamoDBBackupHook]):
    """Delete one on-demand backup. Returns its ARN.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBDeleteBackupOperator`

    A backup that is gone already is deleted. One that is being created or restored is waited for. System backups and
    recovery points of AWS Backup are refused.

    :param backup_arn: the ARN of the backup (templated)
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute`` until the backup is deleted; 60 to 7200
    :param aws_conn_id: the Airflow connection for AWS; ``None``: boto3's default credentials
    :param region_name: the region; ``None``: the connection's, boto3's default, or the ARN's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    aws_hook_class = DynamoDBBackupHook
    template_fields: Sequence[str] = aws_template_fields("backup_arn")
    ui_color = "#f7d9d9"

    def __init__(self, *, backup_arn: str | XComArg, timeout: float | timedelta = 1800, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_literal(check_deletable, backup_arn)
        self.backup_arn = backup_arn
        self.timeout = timeout
        self._check_literals()

    def execute(self, context: Context) -> str:
        """Delete the backup."""
        self._check_literals()
        deadline = Deadline.after(check_timeout(self.timeout))
        arn = check_deletable(self.backup_arn)
        check_region_name(self.region_name)
        hook = self.hook
        hook.reopen()
        hook.default_region = arn.region
        region = hook.resolve_region(arn.context)
        check_region(arn.region, replace(arn.context, region=region))
        delete_backup(hook, arn, deadline, self.log)
        return arn.text

    def _check_literals(self) -> None:
        check_timeout(self.timeout)
        check_botocore_config(self.botocore_config)
