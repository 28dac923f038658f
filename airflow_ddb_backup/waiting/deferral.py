"""Hands a task's wait to the triggerer, and takes the result back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_ddb_backup.exceptions import InvalidValueError, TriggerFailedError, printable, shown
from airflow_ddb_backup.limits import AIRFLOW_LIMIT_AFTER
from airflow_ddb_backup.parameters import check_connection_setting
from airflow_ddb_backup.waiting.awaiting import last_polls_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.exceptions import BackupError, ErrorContext

# Airflow resumes a task by this name when its trigger has failed or the deferral has timed out, on 2.11 and 3.x alike.
_AIRFLOW_FAILED = "__fail__"
_FOUND = "connection_found"
_AIRFLOW_2_TIMEOUT = "Trigger/execution timeout"
_AIRFLOW_TIMEOUTS = frozenset({"Trigger timeout", _AIRFLOW_2_TIMEOUT})


def carry_of(event: object) -> dict[str, Any]:
    """Return what an event carries; empty: nothing that this package sends.

    :param event: the payload of a trigger's event
    """
    carry = event.get("carry") if isinstance(event, Mapping) else None
    return dict(carry) if isinstance(carry, Mapping) else {}


def _are_settings(aws: object) -> bool:
    """Return whether these are AWS settings, and nothing else that a task could be given."""
    if not isinstance(aws, Mapping) or not set(aws) <= {"aws_conn_id", "region_name", "verify", _FOUND}:
        return False
    try:
        for name, value in aws.items():
            if name != _FOUND:
                check_connection_setting(name, value)
    except InvalidValueError:
        return False
    return True


def _task_instance(context: Context) -> list[Any]:
    """Return what names a task instance, in every version of Airflow."""
    ti = context["ti"]
    return [ti.dag_id, ti.run_id, ti.task_id, ti.map_index]


class DeferredWaitMixin:
    """A task that can wait on the triggerer. Comes before the Airflow base class."""

    if TYPE_CHECKING:
        aws_conn_id: str | None
        verify: bool | str | None
        botocore_config: dict[str, Any] | None
        execution_timeout: timedelta | None
        defer: Any
        log: Any

    @property
    def timeout_error(self) -> type[BackupError]:
        """The exception for a wait whose time was up, with a hint that is true for this task."""
        raise NotImplementedError

    def defer_wait(
        self,
        context: Context,
        trigger: Callable[..., BaseTrigger],
        poll_interval: float,
        deadline: Deadline,
        *,
        region_name: str,
        carry: Mapping[str, Any] | None = None,
    ) -> NoReturn:
        """Leave the worker; the task comes back in ``execute_complete``.

        :param context: the task's context
        :param trigger: makes the trigger, which waits on the triggerer
        :param poll_interval: seconds between polls
        :param deadline: when time is up; the trigger keeps it, and says why
        :param region_name: the region that the worker used: the triggerer's environment may name another
        :param carry: what the worker has decided; the trigger's event returns it, with the task instance, its try and
            the AWS settings that were rendered
        """
        aws = {"aws_conn_id": self.aws_conn_id, "region_name": region_name, "verify": self.verify}
        made = trigger(
            poll_interval=poll_interval,
            deadline=deadline.at,
            botocore_config=self.botocore_config,
            connection_found=self.hook.connection_found,  # type: ignore[attr-defined]  # the base class has it
            carry={
                "of": _task_instance(context),
                "try": context["ti"].try_number,
                "aws": {**aws, _FOUND: self.hook.connection_found},  # type: ignore[attr-defined]
                **(carry or {}),
            },
            **aws,
        )
        polls = last_polls_limit(len(made.serialize()[1].get("backup_arns", "1")))
        limit = timedelta(seconds=deadline.left + polls + AIRFLOW_LIMIT_AFTER)
        self.defer(trigger=made, method_name="execute_complete", timeout=limit)
        raise AssertionError

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Come back from the triggerer; Airflow calls this in place of ``execute``.

        Airflow 3.0 and 3.1.0 resume a retry with the event of an earlier try: the task then runs from the top.
        Otherwise it has the AWS settings from before: templates may render to something else by now. An event of
        another task instance, whose trigger had the same ID, fails the try: from the top a first try would begin again
        what a later one finds.
        """
        method, kwargs = self.wait_failed.__name__ if next_method == _AIRFLOW_FAILED else next_method, next_kwargs
        event, present, own = (next_kwargs or {}).get("event"), context["ti"].try_number, _task_instance(context)
        if isinstance(event, Mapping) and "try" in (carry := carry_of(event)):
            # An event of an earlier version does not tell whose it is.
            made_by, aws, of = carry.pop("try"), carry.pop("aws", {}), carry.pop("of", own)
            if of != own:
                self.log.error("The event is of task instance %s, this is %s.", shown(of), own)
                kwargs = {"event": {"refused": event}}
            elif made_by != present:
                self.log.warning("The event is of try %r, this is try %s: running from the top.", made_by, present)
                method, kwargs = "execute", {}
            elif _are_settings(aws):
                vars(self).update(aws)
                # One that was there must be there again, and not pass for the worker's own credentials.
                self.hook.connection_found = vars(self).pop(_FOUND, False) is True  # type: ignore[attr-defined]
                kwargs = {"event": {**event, "carry": carry}}
            else:
                # As any other that this package does not send: the task says so, and pushes its report.
                kwargs = {"event": {"refused": event}}
        return super().resume_execution(method, kwargs, context)  # type: ignore[misc]  # the base class has it

    def wait_failed(self, context: Context, error: object = None, traceback: Sequence[str] | None = None) -> NoReturn:
        """Raise this package's exception for what Airflow calls a trigger's failure.

        :param error: Airflow's reason
        :param traceback: the trigger's, if it raised
        :raises BackupError: no triggerer has answered until after the deadline
        :raises TriggerFailedError: the trigger has raised
        """
        lines = [str(line) for line in traceback] if isinstance(traceback, list) else []
        if lines:
            self.log.error("The trigger failed:\n%s", "\n".join(map(printable, "".join(lines).split("\n"))))
        reason = str(getattr(error, "value", error))
        if reason in _AIRFLOW_TIMEOUTS:
            detail = "No triggerer has reported on it until after the deadline: is one running?"
            if reason == _AIRFLOW_2_TIMEOUT and self.execution_timeout:
                # Airflow 2.11 applies it while a task is deferred, and does not say which of the two it was.
                detail = f"The task's execution_timeout, {self.execution_timeout}, is up; or: {detail}"
            raise self.timeout_error.about(self.awaited(context), detail)
        said = ": ".join([reason, *lines[-1:]]).strip()
        raise TriggerFailedError.about(self.awaited(context), f"Airflow says: {said}.")

    def awaited(self, context: Context) -> ErrorContext:
        """Return the table, backup and region that this task waits for."""
        raise NotImplementedError
