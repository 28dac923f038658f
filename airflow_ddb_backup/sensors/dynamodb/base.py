"""What the sensors share: one wait in every mode, and what ends it."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, PokeReturnValue

from airflow_ddb_backup import exceptions
from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.connection import ConnectionMixin
from airflow_ddb_backup.exceptions import BackupSensorTimeoutError, ErrorContext, PermanentError
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.limits import CALL_SECONDS, DESCRIBE_LAG, LONGEST_WAIT
from airflow_ddb_backup.parameters import check_interval, check_seconds, rendered
from airflow_ddb_backup.retries import poll_until
from airflow_ddb_backup.waiting.awaiting import poll_on_worker
from airflow_ddb_backup.waiting.deferral import DeferredWaitMixin, carry_of
from airflow_ddb_backup.waiting.state import BackupWait, WaitResult, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_ddb_backup.models import BackupArn
    from airflow_ddb_backup.waiting.state import Wait


class WaitSensor(DeferredWaitMixin, ConnectionMixin, AwsBaseSensor[DynamoDBBackupHook]):
    """Base of the sensors. Each names its parameters itself, for editors and type checkers."""

    ui_color = "#d9e6f7"
    # A sensor's, which Airflow does not retry.
    timeout_error = BackupSensorTimeoutError

    def __init__(
        self,
        *,
        deferrable: bool,
        poke_interval: float | timedelta,
        timeout: float | timedelta,
        **kwargs: Any,
    ) -> None:
        # Airflow's own checks, which come first, name no parameter.
        check_interval("poke_interval", poke_interval)
        check_seconds("timeout", timeout, 0, LONGEST_WAIT)
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.deferrable = deferrable
        self._waits: list[Wait] = []
        # The waits that this process has seen the end of.
        self._ends: dict[str, WaitResult] = {}
        # Those that the present poke still polls.
        self._due: list[Wait] = []

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
            # As the base class does for a sensor that pokes; never_fail came with Airflow 3.
            if self.soft_fail or getattr(self, "never_fail", False):
                raise AirflowSkipException(str(error)) from error
            raise

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Take the trigger's event.

        :param event: the trigger's payload
        :raises BackupSensorTimeoutError: the time was up
        :raises BackupLostError: the wait has failed
        :raises TriggerFailedError: the event is not one that this package sends
        """
        # An event of an earlier version carries nothing.
        awaited = carry_of(event) or self._carry()
        return self._result([WaitResult.from_event(event, self.awaited(context), awaited)])

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

    def _open(self, deadline: Deadline) -> Sequence[Wait]:
        """Open the hook, and return the states of the waits."""
        raise NotImplementedError

    def _trigger(self) -> Callable[..., BaseTrigger]:
        """Return what makes the trigger that goes on with these waits."""
        raise NotImplementedError

    def _carry(self) -> Mapping[str, Any]:
        """Return what the event must bring back beside the result: templates may render to something else by then.

        Of one backup these are details that it must have.
        """
        return {}

    def _result(self, ends: Sequence[WaitResult]) -> Any:
        """Return the sensor's result, or raise for a wait that has failed."""
        return ends[0].unwrap(self.timeout_error)

    def _progress(self) -> str:
        """Return what is known of what it waits for; empty: nothing."""
        return self._waits[0].progress if self._waits else ""

    def _begin(self, deadline: Deadline) -> None:
        self.check_connection(rendered)
        self._waits = list(self._open(deadline))

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
            region, carry = self._waits[0].region, self._carry()
            self.defer_wait(context, self._trigger(), self.poke_interval, deadline, region_name=region, carry=carry)
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


class ArnsSensor(WaitSensor):
    """Base of the sensors that wait for backups whose ARNs are known."""

    def awaited(self, context: Context) -> ErrorContext:
        """Return the table, backup and region that this task waits for, as far as its templates still render to it."""
        try:
            first, *others = self._arns()
        except (AirflowSkipException, exceptions.InvalidValueError):
            return ErrorContext(region=self.region_name)
        return ErrorContext(region=first.region) if others else first.context

    def _arns(self, of: Callable[[Any], Any] = rendered) -> list[BackupArn]:
        """Return the checked ARNs."""
        raise NotImplementedError

    def _open(self, deadline: Deadline) -> list[BackupWait]:
        arns = self._arns()
        opened = self.open_hook(arns[0].context, arns[0].text)
        for arn in arns:
            kind = exceptions.OtherAccountError if arn.account != arns[0].account else exceptions.OtherRegionError
            if (arn.region, arn.account) != (opened.region, arns[0].account):
                detail = f"The ARN is of account {arn.account!r} and region {arn.region!r}."
                raise kind.about(replace(arn.context, region=opened.region), detail)
        return [BackupWait(arn, deadline, one_of_many=len(arns) > 1) for arn in arns]
