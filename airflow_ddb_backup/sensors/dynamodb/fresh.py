"""The sensor that waits for a fresh backup of a table, whoever makes it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import conf

from airflow_ddb_backup.exceptions import ErrorContext, FreshBackupTimeoutError
from airflow_ddb_backup.parameters import literal, rendered
from airflow_ddb_backup.sensors.dynamodb.base import WaitSensor
from airflow_ddb_backup.triggers.dynamodb import DynamoDBFreshBackupTrigger
from airflow_ddb_backup.waiting.fresh_state import FreshRequest, FreshWait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg
    from airflow.triggers.base import BaseTrigger

    from airflow_ddb_backup.clock import Deadline


class DynamoDBFreshBackupSensor(WaitSensor):
    """Wait until a DynamoDB table has an AVAILABLE backup that is young enough, whoever makes it. Returns its details.

    .. seealso::
        For more information on how to use this sensor, take a look at the guide:
        :ref:`howto/sensor:DynamoDBFreshBackupSensor`

    The details are those that :class:`DynamoDBBackupSensor` returns, of the newest such backup. Only backups of this
    very table count, not those of an earlier one of its name, nor DynamoDB's own. A table that is not found, or
    is DELETING, three times in a row over at least 10 s fails the sensor.

    :param table_name: the table's name, or its ARN (templated)
    :param max_age: how old the backup is at most, a ``timedelta`` above 0
    :param backup_name_prefix: only a backup whose name begins so counts, 3 to 255 characters (templated). ``None``: any
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

    timeout_error = FreshBackupTimeoutError
    template_fields: Sequence[str] = aws_template_fields("table_name", "backup_name_prefix", "account_id")

    def __init__(
        self,
        *,
        table_name: str | XComArg,
        max_age: timedelta,
        backup_name_prefix: str | XComArg | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 60,
        timeout: float | timedelta = 1800,
        account_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, account_id=account_id, **kwargs
        )
        self.table_name = table_name
        self.max_age = max_age
        self.backup_name_prefix = backup_name_prefix
        self.check_connection(literal)
        self._request(literal)

    def awaited(self, context: Context) -> ErrorContext:
        """Return the table and region that this task waits for."""
        if self._waits:
            return self._waits[0].context
        return self.resolved(ErrorContext(str(self.table_name)), self.table_name)

    def _request(self, of: Callable[[Any], Any]) -> FreshRequest:
        """Return the backup that the parameters ask for.

        :param of: :func:`~.parameters.literal` or :func:`~.parameters.rendered`
        :raises InvalidValueError: a value is wrong
        """
        return FreshRequest(of(self.table_name), self.max_age, of(self.backup_name_prefix))

    def _open(self, deadline: Deadline) -> list[FreshWait]:
        wanted = self._request(rendered)
        opened = self.open_hook(ErrorContext(wanted.table_name), wanted.arn)
        account = wanted.arn.split(":")[4] if wanted.arn else self.hook.expected_account
        return [FreshWait(wanted, account, str(opened.region), deadline)]

    def _carry(self) -> Mapping[str, Any]:
        return {"table_name": self._request(rendered).table_name.rpartition("/")[2]}

    def _trigger(self) -> Callable[..., BaseTrigger]:
        wanted = self._request(rendered)
        return partial(
            DynamoDBFreshBackupTrigger,
            table_name=wanted.table_name,
            max_age=wanted.max_age.total_seconds(),
            backup_name_prefix=wanted.backup_name_prefix,
            account=self.hook.account or self._waits[0].account,
        )
