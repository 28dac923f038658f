"""The sensors that wait for backups made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, PokeReturnValue, conf

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.connection import ConnectionMixin
from airflow_ddb_backup.exceptions import (
    BackupSensorTimeoutError,
    BackupTimeoutError,
    ErrorContext,
    InvalidValueError,
    OtherAccountError,
    OtherRegionError,
    PermanentError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.limits import CALL_SECONDS, DESCRIBE_LAG, LONGEST_WAIT
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.parameters import (
    LATER,
    check_choice,
    check_interval,
    check_seconds,
    check_texts,
    literal,
    rendered,
)
from airflow_ddb_backup.retries import poll_until
from airflow_ddb_backup.selection import IfEmpty
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupsTrigger, DynamoDBBackupTrigger
from airflow_ddb_backup.waiting.awaiting import poll_on_worker
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin
from airflow_ddb_backup.waiting.state import BackupsResult, BackupWait, WaitResult, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg
    from airflow.triggers.base import BaseTrigger


class _WaitSensor(DeferredWaitMixin, ConnectionMixin, AwsBaseSensor[DynamoDBBackupHook]):
    """Base of the sensors."""

    ui_color = "#d9e6f7"

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 5,
        timeout: float | timedelta = 1800,
        **kwargs: Any,
    ) -> None:
        # Airflow's own checks, which come first, name no parameter.
        check_interval("poke_interval", poke_interval)
        check_seconds("timeout", timeout, 0, LONGEST_WAIT)
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.deferrable = deferrable
        self._waits: list[BackupWait] = []
        # The waits that this process has seen the end of.
        self._ends: dict[str, WaitResult] = {}
        # Those that the present poke still polls.
        self._due: list[BackupWait] = []

    @property
    def timeout_error(self) -> type[BackupTimeoutError]:
        """The exception for a wait whose time was up: a sensor's, which Airflow does not retry."""
        return BackupSensorTimeoutError

    def awaited(self, context: Context) -> ErrorContext:
        """Return the table, backup and region that this task waits for; of many the region."""
        first, *others = self._arns()
        return ErrorContext(region=first.region) if others else first.context

    def execute(self, context: Context) -> Any:
        """Wait, in the sensor's mode or on the triggerer."""
        # An object may be executed more than once: nothing of an earlier execution counts.
        self._waits, self._ends = [], {}
        try:
            # A policy of the cluster may have set others since.
            self.poke_interval = check_interval("poke_interval", self.poke_interval)
            self.timeout = check_seconds("timeout", self.timeout, 0, LONGEST_WAIT)
            return self._execute_deferrable(context) if self.deferrable else self._execute_poking(context)
        except (PermanentError, BackupSensorTimeoutError) as error:
            self._skip_if_soft(error)
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll each backup once; one that is not found until it is known whether it is gone."""
        if not self._waits:
            # Airflow itself times a sensor that pokes.
            self._begin(Deadline.after(inf))
        # The next poke of a rescheduled sensor is a new process, which knows nothing of this one.
        self._due = [wait for wait in self._waits if wait.key not in self._ends]
        poll_until(self._poll_due, Deadline.after(DESCRIBE_LAG), DESCRIBE_LAG / 2)
        if len(self._ends) < len(self._waits):
            self.log.info("%s", progress(self._waits, [self._ends.get(wait.key) for wait in self._waits]))
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._result([self._ends[wait.key] for wait in self._waits]))

    def _arns(self, of: Callable[[Any], Any] = rendered) -> list[BackupArn]:
        """Return the checked ARNs."""
        raise NotImplementedError

    def _trigger(self, arns: Sequence[str]) -> Callable[..., BaseTrigger]:
        """Return what makes the trigger that waits for them."""
        raise NotImplementedError

    def _result(self, ends: Sequence[WaitResult]) -> Any:
        """Return the sensor's result, or raise for a wait that has failed."""
        raise NotImplementedError

    def _progress(self) -> str:
        """Return what is known of the backups; empty: nothing."""
        raise NotImplementedError

    def _begin(self, deadline: Deadline) -> None:
        self.check_connection(rendered)
        arns = self._arns()
        opened = self.open_hook(arns[0].context, arns[0].text)
        for arn in arns:
            kind = OtherAccountError if arn.account != arns[0].account else OtherRegionError
            if (arn.region, arn.account) != (opened.region, arns[0].account):
                detail = f"The ARN is of account {arn.account!r} and region {arn.region!r}."
                raise kind.about(replace(arn.context, region=opened.region), detail)
        self._waits = [BackupWait(arn, deadline) for arn in arns]

    def _poll_due(self) -> bool | None:
        ends = poll_on_worker(self.hook, self._due, inf, self.log)
        self._ends |= {wait.key: end for wait, end in zip(self._due, ends, strict=True) if end}
        self._due = [wait for wait in self._due if wait.not_found and wait.key not in self._ends]
        return None if self._due else True

    def _execute_deferrable(self, context: Context) -> Any:
        deadline = Deadline.after(self.timeout)
        self._begin(deadline)
        ends = poll_on_worker(self.hook, self._waits, CALL_SECONDS, self.log)
        known = [end for end in ends if end]
        if len(known) < len(ends):
            trigger = self._trigger([wait.arn.text for wait in self._waits])
            self.defer_wait(context, trigger, self.poke_interval, deadline, region_name=self._waits[0].arn.region)
        return self._result(known)

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

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises BackupSensorTimeoutError: the time was up
        :raises BackupLostError: the wait has failed
        :raises TriggerFailedError: the event is not one that this package sends
        """
        return self._result([WaitResult.from_event(event)])

    def _arns(self, of: Callable[[Any], Any] = rendered) -> list[BackupArn]:
        arn = of(self.backup_arn)
        return [] if arn is LATER else [BackupArn.parse(arn)]

    def _trigger(self, arns: Sequence[str]) -> Callable[..., BaseTrigger]:
        return partial(DynamoDBBackupTrigger, backup_arn=arns[0])

    def _result(self, ends: Sequence[WaitResult]) -> dict[str, Any]:
        details: dict[str, Any] = ends[0].unwrap(self.timeout_error)
        return details

    def _progress(self) -> str:
        return self._waits[0].progress if self._waits else ""


class DynamoDBBackupsSensor(_WaitSensor):
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
        BackupsResult.from_event(event).check(self.awaited(context), self.timeout_error)
        return [arn.text for arn in self._arns()]

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

    def _trigger(self, arns: Sequence[str]) -> Callable[..., BaseTrigger]:
        return partial(DynamoDBBackupsTrigger, backup_arns=list(arns))

    def _result(self, ends: Sequence[WaitResult]) -> list[str]:
        BackupsResult.of(ends).check(ErrorContext(region=self._waits[0].arn.region), self.timeout_error)
        return [wait.arn.text for wait in self._waits]

    def _progress(self) -> str:
        ends = [self._ends.get(wait.key) or wait.timed_out() for wait in self._waits]
        return BackupsResult.of(ends).message if ends else ""
