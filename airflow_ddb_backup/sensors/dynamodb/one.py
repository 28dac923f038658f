"""The sensor that waits for one backup."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import conf

from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.parameters import LATER, literal, rendered
from airflow_ddb_backup.sensors.dynamodb.base import ArnsSensor
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import XComArg
    from airflow.triggers.base import BaseTrigger


class DynamoDBBackupSensor(ArnsSensor):
    """Wait until a DynamoDB on-demand backup is AVAILABLE. Returns its details.

    .. seealso::
        For more information on how to use this sensor, take a look at the guide:
        :ref:`howto/sensor:DynamoDBBackupSensor`

    The details are a dict: ``backup_arn``, ``backup_name``, ``table_name``, ``status``, ``size_bytes``, and
    ``created_at`` in ISO 8601. A backup that is DELETED, or not found three times in a row over at least
    10 s, fails the sensor.

    :param backup_arn: the backup (templated)
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poke_interval: seconds, or a ``timedelta``, between polls, above 0
    :param timeout: seconds, or a ``timedelta``, until the sensor times out
    :param account_id: the account, 12 digits, that this must be (templated); ``None``: any
    :param aws_conn_id: the Airflow connection for AWS; ``None``: the worker's own credentials
    :param region_name: the region; ``None``: the connection's, or the ARN's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields("backup_arn", "account_id")

    def __init__(
        self,
        *,
        backup_arn: str | XComArg,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 5,
        timeout: float | timedelta = 1800,
        account_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, account_id=account_id, **kwargs
        )
        self.backup_arn = backup_arn
        self.check_connection(literal)
        self._arns(literal)

    def _arns(self, of: Callable[[Any], Any] = rendered) -> list[BackupArn]:
        arn = of(self.backup_arn)
        return [] if arn is LATER else [BackupArn.parse(arn)]

    def _carry(self) -> Mapping[str, Any]:
        return {"backup_arn": self._arns()[0].text}

    def _trigger(self) -> Callable[..., BaseTrigger]:
        return partial(DynamoDBBackupTrigger, backup_arn=self._waits[0].key)
