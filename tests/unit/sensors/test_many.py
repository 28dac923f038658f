"""DynamoDBBackupsSensor: many backups that were started elsewhere, in every mode."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_ddb_backup.exceptions import (
    BackupLostError,
    BackupSensorTimeoutError,
    InvalidValueError,
    OtherRegionError,
    TriggerFailedError,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupsSensor
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupsTrigger
from tests.simulator.faults import INTERNAL_ERROR, THROTTLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.loop import SkippingLoop

COUNT = 30


@pytest.fixture(autouse=True)
def _fast_loop(loop_factory: Callable[[], SkippingLoop], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a trigger's loop skip the time in which nothing happens."""
    monkeypatch.setattr("asyncio.events.new_event_loop", loop_factory)


@pytest.fixture
def arns(control_plane: ControlPlane) -> list[str]:
    """Create some backups, and return their ARNs, newest first."""
    return [str(arn) for arn in reversed(control_plane.add_backups("orders", COUNT))]


def wait(arns: list[str], context: Context, **kwargs: Any) -> Any:
    """Run the sensor to its end, on the triggerer too."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, **kwargs)
    try:
        return task.execute(context)
    except TaskDeferred as deferred:
        trigger = DynamoDBBackupsTrigger(**deferred.trigger.serialize()[1])

        async def event() -> Any:
            return [event.payload async for event in trigger.run()]

        (payload,) = asyncio.run(event())
        return task.resume_execution("execute_complete", {"event": payload}, context)


DEFERRABLE = pytest.mark.parametrize("deferrable", [True, False])


@pytest.mark.clock_speed(20)
@DEFERRABLE
def test_it_returns_their_details_in_their_order(
    control_plane: ControlPlane, context: Context, arns: list[str], deferrable: bool
) -> None:
    """Once all are AVAILABLE; one listing shows them all."""
    control_plane.statuses = dict.fromkeys(arns[:5], "CREATING")
    done = control_plane.clock.time() + 20

    def end() -> None:
        if control_plane.clock.time() > done:
            control_plane.statuses.clear()
        control_plane.before("DescribeBackup", end)
        control_plane.before("ListBackups", end)

    end()
    details = wait(arns, context, deferrable=deferrable)
    assert [one["backup_arn"] for one in details] == arns
    assert {(one["table_name"], one["status"]) for one in details} == {("orders", "AVAILABLE")}
    assert control_plane.calls["ListBackups"] + control_plane.calls["DescribeBackup"] < COUNT


@DEFERRABLE
def test_all_are_waited_for_before_it_is_judged(
    control_plane: ControlPlane, context: Context, arns: list[str], deferrable: bool
) -> None:
    """Two are lost; the message names them, and the failure is final."""
    control_plane.statuses[arns[3]] = "DELETED"
    control_plane.lose_backup(arns[7])
    with pytest.raises(BackupLostError, match="2 backups have failed") as failure:
        wait(arns, context, deferrable=deferrable)
    assert arns[3] in str(failure.value)
    assert arns[7] in str(failure.value)


@pytest.mark.clock_speed(40)
@DEFERRABLE
def test_time_is_up(control_plane: ControlPlane, context: Context, arns: list[str], deferrable: bool) -> None:
    """As every sensor's timeout, which Airflow does not retry."""
    control_plane.statuses[arns[3]] = "CREATING"
    with pytest.raises(BackupSensorTimeoutError, match="region 'us-east-1'"):
        wait(arns, context, deferrable=deferrable, timeout=20)


@DEFERRABLE
def test_a_soft_failure_skips(control_plane: ControlPlane, context: Context, arns: list[str], deferrable: bool) -> None:
    """In every mode."""
    control_plane.statuses[arns[3]] = "DELETED"
    with pytest.raises(AirflowSkipException):
        wait(arns, context, deferrable=deferrable, soft_fail=True)


def test_a_listing_that_fails_is_replaced(control_plane: ControlPlane, context: Context, arns: list[str]) -> None:
    """Each backup is described, at the rate that AWS allows."""
    control_plane.fail_next("ListBackups", INTERNAL_ERROR, times=99)
    assert len(wait(arns, context)) == COUNT


@pytest.mark.clock_speed(20)
def test_throttled_polls_end_no_wait(control_plane: ControlPlane, context: Context, arns: list[str]) -> None:
    """The next poke may succeed."""
    for operation in ("ListBackups", "DescribeBackup"):
        control_plane.fail_next(operation, THROTTLED, times=40)
    assert len(wait(arns, context)) == COUNT


def test_a_few_are_described(control_plane: ControlPlane, context: Context, arns: list[str]) -> None:
    """A listing would take longer."""
    assert len(wait(arns[:2], context)) == 2
    assert control_plane.calls["ListBackups"] == 0


def test_repeated_arns_count_once(control_plane: ControlPlane, context: Context, arns: list[str]) -> None:
    """In the order of their first mention."""
    assert [one["backup_arn"] for one in wait([*arns, arns[0]], context)] == arns


@pytest.mark.parametrize("wrong", ["arn", [], ["arn"], [None], 5], ids=repr)
def test_wrong_values_are_refused(wrong: Any) -> None:
    """An empty list never means all."""
    with pytest.raises(InvalidValueError, match="backup_arn"):
        DynamoDBBackupsSensor(task_id="wait", backup_arns=wrong)


def test_a_string_says_what_to_set(context: Context) -> None:
    """Airflow renders templates to strings by default."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns="{{ arns }}")
    task.backup_arns = "['arn']"
    with pytest.raises(InvalidValueError, match="render_template_as_native_obj"):
        task.execute(context)


def test_backups_of_several_regions_are_refused(context: Context, arns: list[str]) -> None:
    """A call goes to one region."""
    with pytest.raises(OtherRegionError):
        wait([*arns, arns[0].replace("us-east-1", "eu-west-1")], context)


@pytest.mark.parametrize("event", [None, {}, {"status": "success"}, {"status": "success", "failed": [1]}], ids=repr)
def test_no_event_but_its_own_is_a_success(context: Context, arns: list[str], event: Any) -> None:
    """Nothing unknown or incomplete."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns)
    with pytest.raises(TriggerFailedError):
        task.resume_execution("execute_complete", {"event": event}, context)


def test_details_that_can_t_be_read_again_are_waited_for(
    control_plane: ControlPlane, context: Context, arns: list[str]
) -> None:
    """After the event; the list is complete, or the sensor fails."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns)
    event = {"event": {"status": "success", "failed": {}, "message": ""}}
    for operation in ("ListBackups", "DescribeBackup"):
        control_plane.fail_next(operation, INTERNAL_ERROR, times=40)
    details = task.resume_execution("execute_complete", event, context)
    assert [one["backup_arn"] for one in details] == arns
    for operation in ("ListBackups", "DescribeBackup"):
        control_plane.fail_next(operation, INTERNAL_ERROR, times=9999)
    with pytest.raises(BackupSensorTimeoutError, match="30 backups have failed"):
        task.resume_execution("execute_complete", event, context)


def test_a_rescheduled_poke_polls_all_once_more(control_plane: ControlPlane, context: Context, arns: list[str]) -> None:
    """A new process each time: what is lost must be known within one, what is CREATING is left to the next."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, mode="reschedule", poke_interval=60)
    control_plane.statuses = dict.fromkeys(arns[:5], "CREATING")
    assert not task.poke(context).is_done
    control_plane.statuses.clear()
    poked = task.poke(context)
    assert poked.is_done
    assert poked.xcom_value is not None
    assert [one["backup_arn"] for one in poked.xcom_value] == arns
    control_plane.lose_backup(arns[7])
    with pytest.raises(BackupLostError, match="1 backups have failed"):
        task.poke(context)


def test_a_rescheduled_sensor_s_timeout_names_what_is_missing(
    control_plane: ControlPlane, context: Context, arns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's own message names no backup, and no reason."""
    control_plane.statuses[arns[3]] = "CREATING"
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, mode="reschedule", poke_interval=60)

    def time_out(_: object, context: Context) -> None:
        assert not task.poke(context).is_done
        message = "Sensor has timed out; run duration of 1800.2 seconds exceeds the specified timeout of 1800.0."
        raise AirflowSensorTimeout(message)

    monkeypatch.setattr(AwsBaseSensor, "execute", time_out)
    with pytest.raises(BackupSensorTimeoutError, match="1 backups are not AVAILABLE") as failure:
        task.execute(context)
    assert f"backup '{arns[3]}', region 'us-east-1'. Last status CREATING" in str(failure.value)
