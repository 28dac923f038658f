"""The sensor."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_ddb_backup.exceptions import (
    BackupLostError,
    BackupSensorTimeoutError,
    InvalidValueError,
    OtherRegionError,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor
from tests.simulator.faults import INTERNAL_ERROR, THROTTLED
from tests.unit.conftest import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"
# What reschedule adds is Airflow's alone: tests/system/test_sensor.py has it.
MODES: list[dict[str, Any]] = [{"deferrable": False}, {"deferrable": True}]


def sensor(backup_arn: str = ARN, **kwargs: Any) -> DynamoDBBackupSensor:
    """Return a sensor."""
    return DynamoDBBackupSensor(**{"task_id": "wait", "backup_arn": backup_arn} | kwargs)


def test_defaults_are_those_of_the_contract() -> None:
    """Users rely on them."""
    task = sensor()
    assert (task.poke_interval, task.timeout, task.mode, task.deferrable) == (5, 1800, "poke", False)


def test_the_aws_settings_reach_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """All four can be set on the task, and default to the connection's."""
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", "aws://")
    default, hook = sensor().hook, sensor(**SETTINGS).hook
    assert (default.aws_conn_id, default.region_name) == ("aws_default", None)
    assert (hook.aws_conn_id, hook.region_name, hook.verify) == ("other", "eu-west-1", False)
    assert hook.config.read_timeout == 9


def test_template_fields_are_attributes() -> None:
    """Airflow renders them on the instance."""
    task = sensor()
    assert set(task.template_fields) == {"backup_arn", "account_id", "aws_conn_id", "region_name", "verify"}
    assert all(hasattr(task, name) for name in task.template_fields)


@pytest.mark.parametrize("wrong", [{"backup_arn": "orders"}, {"backup_arn": None}, {"poke_interval": 0}])
def test_wrong_literals_are_refused_when_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    """The DAG shows as broken, with the parameter."""
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        sensor(**wrong)


def test_what_a_policy_of_the_cluster_sets_later_is_checked_and_taken(
    control_plane: ControlPlane, context: Context, backup_arn: str
) -> None:
    """A ``timedelta`` too, as in the DAG."""
    control_plane.statuses[backup_arn] = "CREATING"
    task: Any = sensor(backup_arn, deferrable=True)
    task.poke_interval, task.timeout = timedelta(seconds=30), timedelta(minutes=2)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    assert deferred.value.trigger.serialize()[1]["poll_interval"] == 30
    task.poke_interval = 0
    with pytest.raises(InvalidValueError, match="poke_interval"):
        task.execute(context)


def test_templates_are_accepted_when_the_dag_is_parsed() -> None:
    """They are checked when they have a value."""
    assert sensor("{{ ti.xcom_pull('create') }}").backup_arn == "{{ ti.xcom_pull('create') }}"


def test_it_can_be_mapped() -> None:
    """``partial`` and ``expand`` take every parameter."""
    mapped = DynamoDBBackupSensor.partial(task_id="wait", deferrable=True, **SETTINGS).expand(backup_arn=[ARN])
    assert mapped.partial_kwargs.items() >= SETTINGS.items()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rendered", [None, "", "orders"])
def test_rendered_values_are_checked(context: Context, mode: dict[str, Any], rendered: Any) -> None:
    """An ARN that renders to nothing, or to nonsense, is refused."""
    task = sensor("{{ x }}", **mode)
    task.backup_arn = rendered
    with pytest.raises(InvalidValueError, match="backup_arn must be"):
        task.execute(context)


@pytest.mark.parametrize("mode", MODES)
def test_an_arn_of_another_region_is_refused(
    control_plane: ControlPlane, context: Context, mode: dict[str, Any]
) -> None:
    """AWS would only say that the backup does not exist."""
    with pytest.raises(OtherRegionError, match="region 'us-east-1'. The ARN is of 'eu-west-1'"):
        sensor(ARN.replace("us-east-1", "eu-west-1"), **mode).execute(context)
    assert control_plane.calls["DescribeBackup"] == 0


@pytest.mark.parametrize("mode", MODES)
def test_an_available_backup_returns_its_details(
    control_plane: ControlPlane, context: Context, backup_arn: str, mode: dict[str, Any]
) -> None:
    """The same dict in every mode."""
    details = sensor(backup_arn, **mode).execute(context)
    assert details | {"created_at": ""} == {
        "backup_arn": backup_arn,
        "backup_name": "nightly",
        "table_name": "orders",
        "status": "AVAILABLE",
        "size_bytes": 123,
        "created_at": "",
    }


def test_a_poke_that_finds_it_creating_is_not_done(
    control_plane: ControlPlane, context: Context, backup_arn: str
) -> None:
    """Airflow pokes again later."""
    control_plane.creating_for = 60
    assert not sensor(backup_arn).poke(context)


@pytest.fixture
def gone(control_plane: ControlPlane, backup_arn: str) -> str:
    """Return the ARN of a backup that was deleted."""
    control_plane.lose_backup(backup_arn)
    return backup_arn


def in_mode(task: DynamoDBBackupSensor, context: Context) -> Any:
    """Execute a sensor; one that defers is told at once that the backup is lost."""
    try:
        return task.execute(context)
    except TaskDeferred:
        backup = {"backup_arn": task.backup_arn, "status": "DELETED"}
        event = {"status": "error", "backup": backup, "message": "not found 3 times in a row"}
        return task.resume_execution("execute_complete", {"event": event}, context)


@pytest.mark.parametrize("mode", MODES)
def test_a_backup_that_is_not_found_three_times_fails_it(context: Context, gone: str, mode: dict[str, Any]) -> None:
    """Every mode forgives two misses in a row, and no more."""
    with pytest.raises(BackupLostError, match="not found 3 times in a row"):
        in_mode(sensor(gone, **mode), context)


def test_one_rescheduled_poke_looks_three_times(
    control_plane: ControlPlane, context: Context, gone: str, clock: Clock
) -> None:
    """The next poke would be a new process that knows of no earlier miss."""
    start = clock.time()
    with pytest.raises(BackupLostError):
        sensor(gone, mode="reschedule", poke_interval=300).poke(context)
    assert (control_plane.calls["DescribeBackup"], clock.time() - start) == (3, 10)


@pytest.mark.parametrize("mode", MODES)
def test_a_deleted_backup_fails_it(
    control_plane: ControlPlane, context: Context, backup_arn: str, mode: dict[str, Any]
) -> None:
    """It never becomes AVAILABLE."""
    control_plane.statuses[backup_arn] = "DELETED"
    with pytest.raises(BackupLostError, match="It was deleted"):
        sensor(backup_arn, **mode).execute(context)


@pytest.mark.parametrize("mode", MODES)
def test_soft_fail_skips_instead(
    control_plane: ControlPlane, context: Context, gone: str, mode: dict[str, Any]
) -> None:
    """A failure of the sensor skips it, in every mode."""
    with pytest.raises(AirflowSkipException):
        in_mode(sensor(gone, soft_fail=True, **mode), context)


def test_a_timeout_names_the_backup(control_plane: ControlPlane, context: Context, backup_arn: str) -> None:
    """Airflow's own message does not."""
    control_plane.creating_for = 9999
    with pytest.raises(AirflowSensorTimeout, match=f"backup '{backup_arn}', region 'us-east-1'. Sensor has timed out"):
        sensor(backup_arn, timeout=0).execute(context)


@pytest.mark.parametrize(
    "resumption",
    [
        ("execute_complete", {"event": {"status": "timeout", "backup": {}, "message": "the reason"}}),
        ("execute_complete", {"event": {"status": "error", "backup": {}, "message": "the reason"}}),
        ("__fail__", {"error": "Trigger timeout"}),
        ("__fail__", {"error": "Trigger/execution timeout"}),
        ("__fail__", {"error": "Trigger failure"}),
    ],
)
def test_soft_fail_skips_whatever_ends_the_deferral(context: Context, resumption: tuple[str, dict[str, Any]]) -> None:
    """Timeouts, errors and failures of the trigger alike."""
    with pytest.raises(AirflowSkipException):
        sensor(soft_fail=True).resume_execution(*resumption, context)


@pytest.mark.parametrize("rendered", [None, "", "None"], ids=repr)
def test_what_the_template_renders_to_on_resume_does_not_matter(
    control_plane: ControlPlane, context: Context, backup_arn: str, rendered: Any
) -> None:
    """What was waited for comes with the event; without one it is a timeout all the same, and no wrong value."""
    details = sensor(backup_arn).execute(context)
    control_plane.creating_for = 9999
    task = sensor(backup_arn, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    task.backup_arn = rendered
    event = {"status": "success", "backup": details, "message": "", "carry": deferred.value.trigger.carry}
    assert task.resume_execution("execute_complete", {"event": event}, context) == details
    with pytest.raises(BackupSensorTimeoutError, match="No triggerer has reported"):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, context)


def test_what_may_pass_does_not_end_the_wait(control_plane: ControlPlane, context: Context, backup_arn: str) -> None:
    """A throttled poke is followed by another."""
    control_plane.fail_next("DescribeBackup", THROTTLED)
    one_attempt = {"retries": {"total_max_attempts": 1}}
    assert not sensor(backup_arn, botocore_config=one_attempt).poke(context)


def test_a_timeout_tells_an_expired_token_from_a_healthy_backup(
    control_plane: ControlPlane, context: Context, backup_arn: str
) -> None:
    """It has the last status and the last failure."""
    control_plane.creating_for = 9999
    with pytest.raises(BackupSensorTimeoutError, match="Status CREATING, 0 s after it was started") as healthy:
        sensor(backup_arn, timeout=0).execute(context)
    assert "The last poll failed" not in str(healthy.value)
    control_plane.expired_keys.add("simulated")
    with pytest.raises(BackupSensorTimeoutError, match="The last poll failed: There are no valid AWS credentials"):
        sensor(backup_arn, timeout=0).execute(context)


def test_a_sensor_that_is_skipped_tells_why(
    control_plane: ControlPlane, context: Context, backup_arn: str, log: Callable[[], str]
) -> None:
    """Airflow's own message does not."""
    control_plane.creating_for = 9999
    with pytest.raises(AirflowSkipException):
        sensor(backup_arn, timeout=0, soft_fail=True).execute(context)
    assert f"after it was started. Backup {backup_arn}" in log()


def test_it_asks_in_the_arn_s_region_where_neither_task_nor_connection_names_one(
    control_plane: ControlPlane, context: Context, backup_arn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every mode, whatever its environment says."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(region=None))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for mode in MODES:
        assert sensor(backup_arn, **mode).execute(context)["backup_arn"] == backup_arn


def test_an_object_that_is_executed_twice_keeps_nothing(
    control_plane: ControlPlane, context: Context, backup_arn: str
) -> None:
    """Not even which backup it waited for."""
    task = sensor(backup_arn)
    first = task.execute(context)
    task.backup_arn = control_plane.client().create_backup(TableName="orders", BackupName="second")["BackupDetails"][
        "BackupArn"
    ]
    assert task.execute(context)["backup_arn"] != first["backup_arn"]


def test_a_timeout_speaks_of_no_other_backup(control_plane: ControlPlane, context: Context, backup_arn: str) -> None:
    """It makes none."""
    control_plane.fail_next("DescribeBackup", INTERNAL_ERROR, times=99)
    with pytest.raises(AirflowSensorTimeout) as raised:
        DynamoDBBackupSensor(task_id="wait", backup_arn=backup_arn, timeout=0).execute(context)
    assert "makes another" not in str(raised.value)
