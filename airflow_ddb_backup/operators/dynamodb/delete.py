"""The operator that deletes one backup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.operators.dynamodb.base import DynamoDBOperator
from airflow_ddb_backup.parameters import literal, rendered
from airflow_ddb_backup.retention.delete import DeleteRequest, delete_backup
from airflow_ddb_backup.retries import retrying

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg


class DynamoDBDeleteBackupOperator(DynamoDBOperator):
    """Delete one on-demand backup. Returns its ARN.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`howto/operator:DynamoDBDeleteBackupOperator`

    If the backup no longer exists, the task succeeds. One that is being created or restored is waited for. System
    backups and recovery points of AWS Backup are refused.

    :param backup_arn: the ARN of the backup (templated)
    :param timeout: seconds, or a ``timedelta``, from the start of ``execute`` until the backup is deleted; 60 to 7200
    :param account_id: the account, 12 digits, that this must be (templated); ``None``: any
    :param aws_conn_id: the Airflow connection for AWS; ``None``: the worker's own credentials
    :param region_name: the region; ``None``: the connection's, or else the ARN's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields("backup_arn", "account_id")
    ui_color = "#f7d9d9"

    def __init__(
        self,
        *,
        backup_arn: str | XComArg,
        timeout: float | timedelta = 1800,
        account_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(account_id=account_id, **kwargs)
        self.backup_arn = backup_arn
        self.timeout = timeout
        self._make(DeleteRequest, literal)

    def execute(self, context: Context) -> str:
        """Delete the backup."""
        request = self._make(DeleteRequest, rendered)
        deadline = Deadline.after(request.timeout)
        arn = request.backup_arn
        self.open_hook(arn.context, arn.text, deletes=True)
        self.log.info("%s", retrying(deadline, self.log)(delete_backup, self.hook, arn))
        return arn.text
