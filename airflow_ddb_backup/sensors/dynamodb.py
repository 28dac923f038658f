"""The sensor that waits for a backup made elsewhere."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, PokeReturnValue, conf

from airflow_ddb_backup.exceptions import BackupSensorTimeoutError, ErrorContext, PermanentError
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.validation import check_interval, check_literal
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin
from airflow_ddb_backup.waiting.state import BackupWait, WaitResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg

# A backup that is not found is looked for again in the same poke, since the next poke of a rescheduled sensor is a new
# process that knows nothing of this one.
_LONGEST_PAUSE = 5.0


class DynamoDBBackupSensor(DeferredWaitMixin, AwsBaseSensor[DynamoDBBackupHook]):
    """Wait until a DynamoDB on-demand backup is AVAILABLE. Returns its details.

    .. seealso::
        For more information on how to use this sensor, take a look at the guide:
        :ref:`howto/sensor:DynamoDBBackupSensor`

    The details are a dict: ``backup_arn``, ``backup_name``, ``table_name``, ``status``, ``size_bytes``, and
    ``created_at`` in ISO 8601. A backup that is DELETED, or not found three times in a row, fails the sensor.

    :param backup_arn: the backup (templated)
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poke_interval: seconds, or a ``timedelta``, between looks, above 0
    :param timeout: seconds, or a ``timedelta``, until the sensor times out
    :param aws_conn_id: the Airflow connection for AWS; ``None``: boto3's default credentials
    :param region_name: the region; ``None``: the connection's, or boto3's default
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    aws_hook_class = DynamoDBBackupHook
    template_fields: Sequence[str] = aws_template_fields("backup_arn")
    timeout_error = BackupSensorTimeoutError
    ui_color = "#d9e6f7"

    def __init__(
        self,
        *,
        backup_arn: str | XComArg,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 5,
        timeout: float | timedelta = 1800,
        **kwargs: Any,
    ) -> None:
        check_interval("poke_interval", poke_interval)
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        check_literal(BackupArn.parse, backup_arn)
        self.backup_arn = backup_arn
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        """Wait for the backup, in the sensor's mode or on the triggerer."""
        try:
            details: dict[str, Any] = self._execute_deferrable() if self.deferrable else super().execute(context)
        except (PermanentError, BackupSensorTimeoutError) as error:
            self._skip_if_soft(error)
            raise
        except AirflowSensorTimeout as error:
            # Airflow's own message names no backup.
            raise self.timeout_error.about(self.awaited(context), str(error)) from error
        return details

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the backup."""
        verdict = self.hook.look(self._wait)
        while verdict is None and self._wait.not_found_in_a_row:
            time.sleep(min(self.poke_interval, _LONGEST_PAUSE))
            verdict = self.hook.look(self._wait)
        if verdict is None:
            self.log.info("%s", self._wait.progress(time.time()))
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=verdict.details(self.timeout_error))

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises BackupSensorTimeoutError: the time was up
        :raises BackupLostError: the wait has failed, or the event is none of ours
        """
        return WaitResult.from_event(event).details(self.timeout_error)

    def awaited(self, context: Context) -> ErrorContext:
        """Return what this task waits for."""
        return BackupArn.parse(self.backup_arn).context

    @cached_property
    def _wait(self) -> BackupWait:
        arn = BackupArn.parse(self.backup_arn)
        self.hook.check_region(arn.region, self.hook.subject(arn.table_name, arn.text))
        now = time.time()
        # Airflow itself times a sensor that pokes.
        return BackupWait(arn, now + self.timeout if self.deferrable else float("inf"), now)

    def _execute_deferrable(self) -> dict[str, Any]:
        verdict = self.hook.look(self._wait)
        if verdict is None:
            self.defer_wait(self._wait, self.poke_interval)
        return verdict.details(self.timeout_error)

    def _skip_if_soft(self, error: PermanentError | BackupSensorTimeoutError) -> None:
        # As the base class does for a sensor that pokes; never_fail came with Airflow 3.
        if self.soft_fail or getattr(self, "never_fail", False):
            raise AirflowSkipException(str(error)) from error
