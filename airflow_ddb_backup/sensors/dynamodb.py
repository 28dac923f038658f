"""The sensors that wait for backups made elsewhere."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, PokeReturnValue, conf

from airflow_ddb_backup.exceptions import (
    BackupError,
    BackupLostError,
    BackupSensorTimeoutError,
    BackupTimeoutError,
    ErrorContext,
    PermanentError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupsTrigger, DynamoDBBackupTrigger
from airflow_ddb_backup.validation import (
    check_backup_arns,
    check_botocore_config,
    check_interval,
    check_literal,
    check_literal_backup_arns,
    check_region,
)
from airflow_ddb_backup.waiting.awaiting import BackupsWait
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin
from airflow_ddb_backup.waiting.rate_limited_client import AwsSettings
from airflow_ddb_backup.waiting.state import BackupsResult, BackupWait, WaitResult, WaitStatus
from airflow_ddb_backup.waiting.worker import WorkerWait

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg

# A backup that is not found is polled again in the same poke: the next poke of a rescheduled sensor is a new process,
# which knows nothing of this one.
_LONGEST_DELAY = 5.0
# Three polls, 5 s apart: a backup that is not found in a row is gone.
_POKE_SECONDS = 11.0
# After the triggerer has seen them all AVAILABLE, their details are read again; an outage may come in between.
_DETAILS_SECONDS = 300.0
# An exception's message names so many failures.
_NAMED = 5


class _WaitSensor(DeferredWaitMixin, AwsBaseSensor[DynamoDBBackupHook]):
    """Base of the sensors.

    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poke_interval: seconds, or a ``timedelta``, between polls, above 0
    :param timeout: seconds, or a ``timedelta``, until the sensor times out
    """

    aws_hook_class = DynamoDBBackupHook
    ui_color = "#d9e6f7"

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 5,
        timeout: float | timedelta = 1800,
        **kwargs: Any,
    ) -> None:
        check_interval("poke_interval", poke_interval)
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        check_botocore_config(self.botocore_config)
        self.deferrable = deferrable

    @property
    def timeout_error(self) -> type[BackupTimeoutError]:
        """The exception for a wait whose time was up: a sensor's, which Airflow does not retry."""
        return BackupSensorTimeoutError

    def execute(self, context: Context) -> Any:
        """Wait, in the sensor's mode or on the triggerer."""
        check_botocore_config(self.botocore_config)
        try:
            return self._execute_deferrable() if self.deferrable else self._execute_poking(context)
        except (PermanentError, BackupSensorTimeoutError) as error:
            self._skip_if_soft(error)
            raise

    def _execute_deferrable(self) -> Any:
        raise NotImplementedError

    def _progress(self) -> str:
        """Return a line on the progress; empty: nothing is known."""
        return ""

    def _open(self, arn: BackupArn) -> DynamoDBBackupHook:
        """Return the hook, opened anew, for a backup's region."""
        hook = self.hook
        hook.reopen()
        hook.default_region = arn.region
        region_name = hook.resolve_region(arn.context)
        check_region(arn.region, ErrorContext(arn.table_name, arn.text, region_name))
        return hook

    def _execute_poking(self, context: Context) -> Any:
        try:
            return super().execute(context)
        except AirflowSkipException:
            if line := self._progress():
                self.log.warning("%s", line)
            raise
        except AirflowSensorTimeout as error:
            # Airflow's own message names no backup, and no reason.
            detail = " ".join(filter(None, (f"{str(error).rstrip('.')}.", self._progress())))
            raise self.timeout_error.about(self.awaited(context), detail) from error

    def _skip_if_soft(self, error: PermanentError | BackupSensorTimeoutError) -> None:
        # As the base class does for a sensor that pokes; never_fail came with Airflow 3.
        if self.soft_fail or getattr(self, "never_fail", False):
            raise AirflowSkipException(str(error)) from error


class DynamoDBBackupSensor(_WaitSensor):
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

    template_fields: Sequence[str] = aws_template_fields("backup_arn")

    def __init__(
        self,
        *,
        backup_arn: str | XComArg,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 5,
        timeout: float | timedelta = 1800,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        check_literal(BackupArn.parse, backup_arn)
        self.backup_arn = backup_arn
        self._wait: BackupWait | None = None
        self._worker: WorkerWait[WaitResult] | None = None

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

    def execute(self, context: Context) -> Any:
        """Wait for the backup, in the sensor's mode or on the triggerer."""
        # An object may be executed more than once: nothing of an earlier execution counts.
        self._wait = self._worker = None
        return super().execute(context)

    def _start(self, deadline: float) -> BackupWait:
        arn = BackupArn.parse(self.backup_arn)
        self._open(arn)
        return BackupWait(arn, deadline, time.time())

    def _worker_for(self, wait: BackupWait) -> WorkerWait[WaitResult]:
        return WorkerWait(partial(self.hook.describe_backup, wait.arn), wait, self.log)

    def _execute_deferrable(self) -> dict[str, Any]:
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

    def _progress(self) -> str:
        return self._wait.progress(time.time()) if self._wait else ""


class DynamoDBBackupsSensor(_WaitSensor):
    """Wait until many DynamoDB on-demand backups are AVAILABLE. Returns a list of their details.

    .. seealso::
        For more information on how to use this sensor, take a look at the guide:
        :ref:`howto/sensor:DynamoDBBackupsSensor`

    The details are those of :class:`DynamoDBBackupSensor`, in the order of ``backup_arns``. All are waited for before
    the sensor is judged; backups that are DELETED, or not found three times in a row, then fail it.

    :param backup_arns: the backups, a list of ARNs of one region (templated)
    :param deferrable: wait on the triggerer; it changes where the waiting happens, and nothing else
    :param poke_interval: seconds, or a ``timedelta``, between polls, above 0
    :param timeout: seconds, or a ``timedelta``, until the sensor times out
    :param aws_conn_id: the Airflow connection for AWS; ``None``: boto3's default credentials
    :param region_name: the region; ``None``: the connection's, or the ARNs'
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    template_fields: Sequence[str] = aws_template_fields("backup_arns")

    def __init__(
        self,
        *,
        backup_arns: Sequence[str | XComArg] | XComArg | str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 5,
        timeout: float | timedelta = 1800,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        check_literal_backup_arns(backup_arns)
        self.backup_arns = backup_arns
        self._seen = BackupsResult({})

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll all backups, as often as it takes to know that one is gone."""
        results = self._wait_on_worker(_POKE_SECONDS, last=False)
        self._seen = BackupsResult.of(results)
        if any(result.status is WaitStatus.TIMEOUT for result in results.values()):
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._details(results))

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises BackupSensorTimeoutError: the time was up
        :raises BackupLostError: the wait for some has failed
        :raises TriggerFailedError: the event is not one that this package sends
        """
        result = BackupsResult.from_event(event)
        try:
            self._judge(result)
            # Their details are in no event: there may be thousands.
            return self._details(self._wait_on_worker(_DETAILS_SECONDS))
        except (PermanentError, BackupSensorTimeoutError) as error:
            self._skip_if_soft(error)
            raise

    def awaited(self, context: Context) -> ErrorContext:
        """Return the region that this task waits in."""
        return ErrorContext(region=check_backup_arns(self.backup_arns)[0].region)

    def _execute_poking(self, context: Context) -> Any:
        # A poke that is rescheduled is a process of its own; otherwise one wait does, which says more than pokes.
        return (
            super()._execute_poking(context) if self.reschedule else self._details(self._wait_on_worker(self.timeout))
        )

    def _execute_deferrable(self) -> list[dict[str, Any]]:
        deadline = time.time() + self.timeout
        results = self._wait_on_worker(0.0, last=False)
        if any(result.status is WaitStatus.TIMEOUT for result in results.values()):
            arns = self._checked_arns()
            trigger = DynamoDBBackupsTrigger(
                backup_arns=[arn.text for arn in arns],
                poll_interval=self.poke_interval,
                deadline=deadline,
                **self.triggerer_settings(arns[0].region),
            )
            self.defer_wait(trigger, deadline)
        return self._details(results)

    def _checked_arns(self) -> list[BackupArn]:
        arns = check_backup_arns(self.backup_arns)
        self._open(arns[0])
        for arn in arns:
            check_region(arn.region, ErrorContext(arn.table_name, arn.text, arns[0].region))
        return arns

    def _wait_on_worker(self, seconds: float, *, last: bool = True) -> dict[str, WaitResult]:
        """Wait so long; a timeout is a failure only if it is the last wait."""
        arns = self._checked_arns()
        settings = AwsSettings(**self.triggerer_settings(arns[0].region))
        interval = min(self.poke_interval, _LONGEST_DELAY)
        wait = BackupsWait(settings, time.time() + seconds, interval, self.log, last=last)
        return wait.run_on_worker(arns)

    def _details(self, results: Mapping[str, WaitResult]) -> list[dict[str, Any]]:
        self._judge(BackupsResult.of(results))
        return [results[arn.text].unwrap() for arn in check_backup_arns(self.backup_arns)]

    def _judge(self, result: BackupsResult) -> None:
        """Raise if any wait has failed: a timeout if one has timed out, since the others are lost either way."""
        errors = result.errors(self.timeout_error)
        if not errors:
            return
        kind: type[BackupError] = BackupLostError
        if any(isinstance(error, BackupTimeoutError) for error in errors.values()):
            kind = self.timeout_error
        some = _some(result)
        region = check_backup_arns(self.backup_arns)[0].region
        raise kind.about(ErrorContext(region=region), f"{len(errors)} backups have failed. {some}")

    def _progress(self) -> str:
        return f"{len(self._seen.failed)} backups are not AVAILABLE. {_some(self._seen)}" if self._seen.failed else ""


def _some(result: BackupsResult) -> str:
    """Return the messages of the first that are not AVAILABLE."""
    return " ".join(message for _, message in list(result.failed.values())[:_NAMED])
