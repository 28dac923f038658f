"""Operator and sensor alike: they hand a wait to the triggerer, and come back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_ddb_backup.exceptions import (
    BackupLostError,
    BackupSensorTimeoutError,
    BackupTimeoutError,
    TriggerFailedError,
)
from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupTrigger
from tests.unit.conftest import SETTINGS, context_of
from tests.unit.creation.support import retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane
    from tests.unit.conftest import FakeTaskInstance

Task = DynamoDBCreateBackupOperator | DynamoDBBackupSensor
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"
DETAILS = {
    "backup_arn": ARN,
    "backup_name": "nightly",
    "table_name": "orders",
    "status": "AVAILABLE",
    "size_bytes": 5,
    "created_at": "2026-11-23T02:00:00+00:00",
}
SUCCESS: dict[str, Any] = {"status": "success", "backup": DETAILS, "message": "the reason"}
# Airflow's own, on 3.x and on 2.11.
TIMEOUTS = ["Trigger timeout", "Trigger/execution timeout"]


@pytest.fixture(params=[DynamoDBCreateBackupOperator, DynamoDBBackupSensor])
def kind(request: pytest.FixtureRequest) -> type[Task]:
    """Return one of the classes that wait."""
    kind: type[Task] = request.param
    return kind


def make(kind: type[Task], backup_arn: str = ARN, poll_interval: float = 5, **kwargs: Any) -> Task:
    """Return a task that waits for a backup of ``orders``."""
    settings: dict[str, Any] = {"task_id": "wait", "deferrable": True} | kwargs
    if kind is DynamoDBBackupSensor:
        return DynamoDBBackupSensor(backup_arn=backup_arn, poke_interval=poll_interval, **settings)
    return DynamoDBCreateBackupOperator(table_name="orders", poll_interval=poll_interval, **settings)


def trigger_of(task: Task, context: Context) -> tuple[DynamoDBBackupTrigger, TaskDeferred]:
    """Execute a task that should defer."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    assert isinstance(deferred.value.trigger, DynamoDBBackupTrigger)
    return deferred.value.trigger, deferred.value


def test_the_trigger_gets_the_wait_and_all_aws_settings(
    control_plane: ControlPlane, context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch, kind: type[Task]
) -> None:
    """It asks as the worker would, until the same deadline; Airflow's own limit comes a minute later."""
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", control_plane.connection())
    control_plane.create_table("orders", region="eu-west-1")
    made = control_plane.client("eu-west-1").create_backup(TableName="orders", BackupName="other")
    control_plane.creating_for = 9999
    start = clock.time()
    task = make(kind, made["BackupDetails"]["BackupArn"], poll_interval=7, timeout=600, **SETTINGS)
    trigger, deferred = trigger_of(task, context)
    awaited = control_plane.backup_arns("eu-west-1")[-1]
    aws = {name: SETTINGS[name] for name in ("aws_conn_id", "region_name", "verify")}
    # The operator's is in its XCom.
    own = ["shop", "manual__2026-11-23", "back_up", -1]
    carry = {"of": own, "try": 1, "aws": aws | {"connection_found": True}} | (
        {"backup_arn": awaited} if kind is DynamoDBBackupSensor else {}
    )
    kwargs = {
        "backup_arn": awaited,
        "poll_interval": 7,
        "deadline": start + 600,
        "carry": carry,
        "connection_found": True,
        **SETTINGS,
    }
    assert trigger.serialize()[1] == kwargs
    assert deferred.timeout == timedelta(seconds=660)
    assert deferred.method_name == "execute_complete"


def test_the_region_that_the_worker_used_crosses_the_deferral(
    control_plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch, backup_arn: str, kind: type[Task]
) -> None:
    """The triggerer's environment may name another."""
    control_plane.creating_for = 9999
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(region=None))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert trigger_of(make(kind, backup_arn), context)[0].region_name == "us-east-1"


def test_it_resumes_where_the_trigger_left(context: Context, kind: type[Task]) -> None:
    """With what the event carries, since Airflow may have dropped everything else."""
    returned = make(kind).resume_execution("execute_complete", {"event": SUCCESS}, context)
    assert returned == (DETAILS if kind is DynamoDBBackupSensor else ARN)


@pytest.mark.parametrize("status", ["success", "error", "timeout"])
def test_an_event_of_another_try_runs_the_task_from_the_top(
    control_plane: ControlPlane, ti: FakeTaskInstance, backup_arn: str, kind: type[Task], status: str
) -> None:
    """Airflow 3.0 and 3.1.0 resume a retry with the event of an earlier try."""
    control_plane.creating_for = 9999
    task = make(kind, backup_arn)
    trigger, _ = trigger_of(task, context_of(ti))
    details = DETAILS | {"backup_arn": trigger.backup_arn}
    event = SUCCESS | {"status": status, "backup": details, "carry": trigger.carry}
    with pytest.raises(TaskDeferred) as deferred:
        task.resume_execution("execute_complete", {"event": event}, context_of(retry(ti)))
    assert deferred.value.trigger.carry == dict(trigger.carry or {}, **{"try": 2})
    if status == "success":
        assert task.resume_execution("execute_complete", {"event": event}, context_of(ti)) in (
            details,
            backup_arn,
            trigger.backup_arn,
        )


@pytest.mark.parametrize("status", ["error", "timeout"])
def test_a_failure_raises_the_reason_of_the_event(context: Context, kind: type[Task], status: str) -> None:
    """The same exceptions as without deferral; a sensor's timeout is not retried."""
    out_of_time = BackupSensorTimeoutError if kind is DynamoDBBackupSensor else BackupTimeoutError
    with pytest.raises(out_of_time if status == "timeout" else BackupLostError, match="the reason"):
        make(kind).execute_complete(context, SUCCESS | {"status": status})


@pytest.mark.parametrize("words", TIMEOUTS)
def test_a_deferral_that_nobody_ended_is_a_timeout(
    control_plane: ControlPlane, context: Context, backup_arn: str, kind: type[Task], words: str
) -> None:
    """Airflow's own words name no backup."""
    control_plane.creating_for = 9999
    task = make(kind, backup_arn)
    trigger, _ = trigger_of(task, context)
    out_of_time = BackupSensorTimeoutError if kind is DynamoDBBackupSensor else BackupTimeoutError
    with pytest.raises(out_of_time, match="No triggerer has reported") as timeout:
        task.resume_execution("__fail__", {"error": words}, context)
    assert f"backup '{trigger.backup_arn}', region 'us-east-1'" in str(timeout.value)


@pytest.mark.parametrize("words", TIMEOUTS)
def test_airflow_2_may_mean_the_task_s_execution_timeout(context: Context, kind: type[Task], words: str) -> None:
    """It applies it while a task is deferred, and has the same words for both; Airflow 3 does not."""
    task = make(kind, execution_timeout=timedelta(minutes=10))
    with pytest.raises(BackupTimeoutError, match="No triggerer has reported") as timeout:
        task.resume_execution("__fail__", {"error": words}, context)
    assert ("The task's execution_timeout, 0:10:00, is up" in str(timeout.value)) == ("execution" in words)


def test_a_trigger_that_raised_is_told_with_its_traceback(
    context: Context, log: Callable[[], str], kind: type[Task]
) -> None:
    """The reason is in the message, and all of it in the task's log; a retry may help."""
    failure = {"error": "Trigger failure", "traceback": ["Traceback\n", "ImportError: no package\n"]}
    reason = "table 'orders', backup '.*Trigger failure: ImportError: no package. The backup .* continues in AWS"
    with pytest.raises(TriggerFailedError, match=reason):
        make(kind).resume_execution("__fail__", failure, context)
    assert "ImportError: no package" in log()
