"""The sensor that waits for many backups."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSkipException, conf

from airflow_ddb_backup.exceptions import ErrorContext, InvalidValueError, TriggerFailedError
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.parameters import LATER, check_choice, check_texts, literal, rendered
from airflow_ddb_backup.selection import IfEmpty
from airflow_ddb_backup.sensors.dynamodb.base import ArnsSensor
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupsTrigger
from airflow_ddb_backup.waiting.state import BackupsResult, WaitResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg
    from airflow.triggers.base import BaseTrigger


class DynamoDBBackupsSensor(ArnsSensor):
    """Wait until many DynamoDB on-demand backups are AVAILABLE. Returns the list of their ARNs.

    .. seealso::
        For more information on how to use this sensor, take a look at the guide:
        :ref:`howto/sensor:DynamoDBBackupsSensor`

    All are waited for before the sensor ends; backups that are DELETED, or not found three times in a row over at least
    10 s, then fail it. Each ARN is returned once, in the order of ``backup_arns``.

    :param backup_arns: the backups, a list of ARNs of one region, or a dict of them by table, as
        ``DynamoDBBackupTablesOperator`` pushes it (templated)
    :param if_empty: what to do when there is none: ``"fail"``, or ``"skip"`` the task
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poke_interval: seconds, or a ``timedelta``, between polls, above 0
    :param timeout: seconds, or a ``timedelta``, until the sensor times out
    :param account_id: the account, 12 digits, that this must be (templated); ``None``: any
    :param aws_conn_id: the Airflow connection for AWS; ``None``: the worker's own credentials
    :param region_name: the region; ``None``: the connection's, or the ARNs'
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields("backup_arns", "account_id")

    def __init__(
        self,
        *,
        backup_arns: Sequence[str | XComArg] | Mapping[str, str] | XComArg | str | None,
        if_empty: Literal["fail", "skip"] = "fail",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 5,
        timeout: float | timedelta = 1800,
        account_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, account_id=account_id, **kwargs
        )
        self.backup_arns = backup_arns
        self.if_empty = if_empty
        self.check_connection(literal)
        self._arns(literal)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> list[str]:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises BackupSensorTimeoutError: the time was up
        :raises BackupLostError: the wait for some has failed
        :raises TriggerFailedError: the event is not one that this package sends
        """
        result = BackupsResult.from_event(event, self.awaited(context))
        try:
            arns = [BackupArn.from_response(text) for text in (event or {})["carry"]["backup_arns"]]
            about = ErrorContext(region=arns[0].region)
            result.check_is_of(arns)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise TriggerFailedError.of_event(self.awaited(context), event) from error
        result.check(about, self.timeout_error)
        return [arn.text for arn in arns]

    def _arns(self, of: Callable[[Any], Any] = rendered) -> list[BackupArn]:
        value, if_empty = of(self.backup_arns), check_choice("if_empty", self.if_empty, IfEmpty)
        rule = "a list or a dict with at least one ARN of a backup; with if_empty='skip' none skips the task"
        arns = list(value.values()) if isinstance(value, Mapping) else () if value is None else value
        texts = check_texts("backup_arns", arns, rule)
        if not texts and value is not LATER:
            error = InvalidValueError.of("backup_arns", value, rule)
            if if_empty is IfEmpty.FAIL:
                raise error
            if of is rendered:
                raise AirflowSkipException(str(error))
        return [BackupArn.parse(text, "backup_arns") for text in dict.fromkeys(texts)]

    def _trigger(self) -> Callable[..., BaseTrigger]:
        return partial(DynamoDBBackupsTrigger, backup_arns=[wait.key for wait in self._waits])

    def _carry(self) -> Mapping[str, Any]:
        return {"backup_arns": [wait.key for wait in self._waits]}

    def _result(self, ends: Sequence[WaitResult]) -> list[str]:
        BackupsResult.of(ends).check(ErrorContext(region=self._waits[0].region), self.timeout_error)
        return [wait.key for wait in self._waits]

    def _progress(self) -> str:
        ends = [self._ends.get(wait.key) or wait.timed_out() for wait in self._waits]
        return BackupsResult.of(ends).message if ends else ""
