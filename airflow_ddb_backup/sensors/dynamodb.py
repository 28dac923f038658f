"""The sensor that waits for a backup made elsewhere."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, PokeReturnValue, conf

from airflow_ddb_backup.exceptions import BackupSensorTimeoutError, BackupTimeoutError, ErrorContext, PermanentError
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupTrigger
from airflow_ddb_backup.validation import check_botocore_config, check_interval, check_literal, check_region
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin
from airflow_ddb_backup.waiting.state import BackupWait, WaitResult
from airflow_ddb_backup.waiting.worker import WorkerWait

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg

# A backup that is not found is polled again in the same poke: the next poke of a rescheduled sensor is a new process,
# which knows nothing of this one.
_LONGEST_DELAY = 5.0


class DynamoDBBackupSensor(DeferredWaitMixin, AwsBaseSensor[DynamoDBBackupHook]):
    """Wait until a DynamoDB on-demand backup is AVAILABLE. Returns its details.

    .. seealso::
        For more information on how to use this sensor, take a look at the guide:
        :ref:`howto/sensor:DynamoDBBackupSensor`

    The details are a dict: ``backup_arn``, ``backup_name``, ``table_name``, ``status``, ``size_bytes``, and
    ``created_at`` in ISO 8601. A backup that is DELETED, or not found three times in a row, fails the sensor.

    :param backup_arn: the backup (templated)
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poke_interval: seconds, or a ``timedelta``, between polls, above 0
    :param timeout: seconds, or a ``timedelta``, until the sensor times out
    :param aws_conn_id: the Airflow connection for AWS; ``None``: boto3's default credentials
    :param region_name: the region; ``None``: the connection's, or the ARN's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    aws_hook_class = DynamoDBBackupHook
    template_fields: Sequence[str] = aws_template_fields("backup_arn")
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
        check_botocore_config(self.botocore_config)
        self.backup_arn = backup_arn
        self.deferrable = deferrable
        self._wait: BackupWait | None = None
        self._worker: WorkerWait[WaitResult] | None = None

    @property
    def timeout_error(self) -> type[BackupTimeoutError]:
        """The exception for a wait whose time was up: a sensor's, which Airflow does not retry."""
        return BackupSensorTimeoutError

    def execute(self, context: Context) -> dict[str, Any]:
        """Wait for the backup, in the sensor's mode or on the triggerer."""
        # An object may be executed more than once: nothing of an earlier execution counts.
        self._wait = self._worker = None
        try:
            return self._execute_deferrable() if self.deferrable else self._execute_poking(context)
        except (PermanentError, BackupSensorTimeoutError) as error:
            self._skip_if_soft(error)
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll the backup."""
        # Airflow itself times a sensor that pokes.
        wait = self._wait = self._wait or self._start(deadline=float("inf"))
        worker = self._worker = self._worker or self._worker_for(wait)
        result = worker.poll_once()
        while result is None and wait.not_found_in_a_row:
            time.sleep(min(self.poke_interval, _LONGEST_DELAY))
            result = worker.poll_once()
        if result is None:
            self.log.info("%s", wait.progress(time.time()))
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=result.unwrap(self.timeout_error))

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises BackupSensorTimeoutError: the time was up
        :raises BackupLostError: the wait has failed
        :raises TriggerFailedError: the event is not one that this package sends
        """
        return WaitResult.from_event(event).unwrap(self.timeout_error)

    def awaited(self, context: Context) -> ErrorContext:
        """Return the table, backup and region that this task waits for."""
        return BackupArn.parse(self.backup_arn).context

    def _start(self, deadline: float) -> BackupWait:
        arn = BackupArn.parse(self.backup_arn)
        hook = self.hook
        hook.reopen()
        hook.default_region = arn.region
        region_name = hook.resolve_region(arn.context)
        check_region(arn.region, ErrorContext(arn.table_name, arn.text, region_name))
        return BackupWait(arn, deadline, time.time())

    def _worker_for(self, wait: BackupWait) -> WorkerWait[WaitResult]:
        return WorkerWait(partial(self.hook.describe_backup, wait.arn), wait, self.log)

    def _execute_deferrable(self) -> dict[str, Any]:
        check_botocore_config(self.botocore_config)
        wait = self._start(deadline=time.time() + self.timeout)
        result = self._worker_for(wait).poll_once()
        if result is None:
            trigger = DynamoDBBackupTrigger(
                backup_arn=wait.arn.text,
                poll_interval=self.poke_interval,
                deadline=wait.deadline,
                **self.triggerer_settings(wait.arn.region),
            )
            self.defer_wait(trigger, wait.deadline)
        return result.unwrap(self.timeout_error)

    def _execute_poking(self, context: Context) -> dict[str, Any]:
        try:
            details: dict[str, Any] = super().execute(context)
        except AirflowSkipException:
            if self._wait:
                self.log.warning("%s", self._wait.progress(time.time()))
            raise
        except AirflowSensorTimeout as error:
            # Airflow's own message names no backup, and no reason.
            progress = self._wait.progress(time.time()) if self._wait else ""
            detail = " ".join(filter(None, (f"{str(error).rstrip('.')}.", progress)))
            raise self.timeout_error.about(self.awaited(context), detail) from error
        return details

    def _skip_if_soft(self, error: PermanentError | BackupSensorTimeoutError) -> None:
        # As the base class does for a sensor that pokes; never_fail came with Airflow 3.
        if self.soft_fail or getattr(self, "never_fail", False):
            raise AirflowSkipException(str(error)) from error
