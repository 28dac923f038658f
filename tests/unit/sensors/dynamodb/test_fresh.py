"""The sensor for a fresh backup."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowSensorTimeout, AirflowSkipException, TaskDeferred
from airflow.secrets.environment_variables import EnvironmentVariablesBackend

from airflow_ddb_backup.exceptions import (
    BackupLostError,
    FreshBackupTimeoutError,
    InvalidValueError,
    OtherAccountError,
    OtherRegionError,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor, DynamoDBFreshBackupSensor
from tests.simulator.faults import INTERNAL_ERROR, THROTTLED, Answer, Fault
from tests.unit.conftest import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

HOUR = 3600
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
# What reschedule adds is Airflow's alone: tests/system/test_sensor.py has it.
MODES: list[dict[str, Any]] = [{"deferrable": False}, {"deferrable": True}]
EACH_MODE = pytest.mark.parametrize("mode", MODES, ids=str)


def sensor(**settings: Any) -> DynamoDBFreshBackupSensor:
    """Return a sensor for a backup of the last two hours."""
    defaults: dict[str, Any] = {"task_id": "wait", "table_name": "orders", "max_age": timedelta(hours=2)}
    return DynamoDBFreshBackupSensor(**defaults | settings)


def is_done(task: DynamoDBFreshBackupSensor, context: Context) -> bool:
    """Poke once."""
    return bool(task.poke(context).is_done)


class TestWhatCounts:
    """Of the table's backups."""

    @EACH_MODE
    def test_a_backup_from_before_counts(
        self, control_plane: ControlPlane, context: Context, mode: dict[str, Any]
    ) -> None:
        """The newest is returned, with the details that the sensor of one backup returns."""
        control_plane.add_backups("orders", 1, age=1.5 * HOUR)
        (arn,) = control_plane.add_backups("orders", 1, "by-hand", age=HOUR)
        details = sensor(**mode).execute(context)
        assert details == DynamoDBBackupSensor(task_id="wait", backup_arn=arn).execute(context)
        assert details["backup_name"] == "by-hand"

    def test_one_that_is_made_meanwhile_counts_once_it_is_available(
        self, control_plane: ControlPlane, context: Context, clock: Clock
    ) -> None:
        """CREATING is not enough."""
        task = sensor()
        assert not is_done(task, context)
        control_plane.creating_for = 90
        control_plane.client().create_backup(TableName="orders", BackupName="nightly")
        assert not is_done(task, context)
        clock.sleep(90)
        assert is_done(task, context)

    def test_one_that_is_too_old_does_not_count(self, control_plane: ControlPlane, context: Context) -> None:
        """By AWS's clock, to the second: the worker's is ahead here."""
        control_plane.clock_offset = -200
        control_plane.add_backups("orders", 1, age=2 * HOUR - 100)
        assert is_done(sensor(), context)
        assert not is_done(sensor(max_age=timedelta(hours=2, seconds=-120)), context)

    def test_with_a_prefix_only_such_names_count(self, control_plane: ControlPlane, context: Context) -> None:
        """Another's may hold what it should not."""
        control_plane.add_backups("orders", 1, "weekly-1", age=60)
        assert is_done(sensor(), context)
        assert not is_done(sensor(backup_name_prefix="nightly-"), context)
        control_plane.add_backups("orders", 1, "nightly-1", age=600)
        assert is_done(sensor(backup_name_prefix="nightly-"), context)

    def test_an_earlier_table_s_do_not_count(self, control_plane: ControlPlane, context: Context) -> None:
        """The new table's own does."""
        control_plane.add_backups("orders", 1, age=60)
        control_plane.drop_table("orders")
        control_plane.create_table("orders")
        task = sensor()
        assert not is_done(task, context)
        control_plane.add_backups("orders", 1)
        assert is_done(task, context)

    def test_one_that_is_deleted_again_does_not_count(self, control_plane: ControlPlane, context: Context) -> None:
        """Neither gone nor DELETED."""
        gone, deleted = control_plane.add_backups("orders", 2, age=60)
        control_plane.lose_backup(gone)
        control_plane.statuses[deleted] = "DELETED"
        assert not is_done(sensor(), context)

    def test_every_page_is_read(self, control_plane: ControlPlane, context: Context) -> None:
        """The order is not promised."""
        control_plane.add_backups("orders", 320, "other", age=60)
        (arn,) = control_plane.add_backups("orders", 1, "nightly-1", age=60)
        assert sensor(backup_name_prefix="nightly-").execute(context)["backup_arn"] == arn
        assert control_plane.calls["ListBackups"] == 4

    def test_a_cursor_that_comes_again_ends_the_poke(self, control_plane: ControlPlane, context: Context) -> None:
        """A listing that goes round would have no end; the next poke begins anew."""
        (arn,) = control_plane.add_backups("orders", 1, age=60)
        again = Fault(Answer.ALTERED, committed=True, set_members={"LastEvaluatedBackupArn": arn}, adds=True)
        control_plane.fail_next("ListBackups", again, times=9)
        task = sensor()
        assert not is_done(task, context)
        assert control_plane.calls["ListBackups"] == 2
        control_plane.clear_faults()
        assert is_done(task, context)

    def test_a_poke_takes_two_calls(self, control_plane: ControlPlane, context: Context) -> None:
        """Older backups are not listed."""
        control_plane.add_backups("orders", 500, age=3 * HOUR)
        assert not is_done(sensor(), context)
        assert dict(control_plane.calls) == {"DescribeTable": 1, "ListBackups": 1}


class TestEnds:
    """Of a wait that finds none."""

    def test_a_timeout_names_table_region_and_what_was_found(
        self, control_plane: ControlPlane, context: Context
    ) -> None:
        """Airflow's own message has neither."""
        (arn,) = control_plane.add_backups("orders", 1, age=60)
        control_plane.statuses[arn] = "CREATING"
        with pytest.raises(FreshBackupTimeoutError) as failure:
            sensor(timeout=0).execute(context)
        assert isinstance(failure.value, AirflowSensorTimeout)
        message = str(failure.value)
        assert "table 'orders', region 'us-east-1'. Sensor has timed out" in message
        assert "No backup of the last 2 h 0 min counts: 1 CREATING. Table orders." in message

    @EACH_MODE
    def test_a_table_that_does_not_exist_fails_it(
        self, control_plane: ControlPlane, context: Context, mode: dict[str, Any]
    ) -> None:
        """Not found three times in a row; a sensor that defers leaves the rest to its trigger."""
        task = sensor(table_name="nowhere", **mode)
        with pytest.raises((BackupLostError, TaskDeferred), match="was not found 3 times in a row|") as failure:
            task.execute(context)
        assert isinstance(failure.value, TaskDeferred) == mode["deferrable"]

    @EACH_MODE
    def test_a_table_that_is_being_deleted_fails_it(
        self, control_plane: ControlPlane, context: Context, mode: dict[str, Any]
    ) -> None:
        """Like one that does not exist, though it has a fresh backup: a rewrite would fail."""
        control_plane.add_backups("orders", 1, age=60)
        control_plane.statuses["orders"] = "DELETING"
        with pytest.raises((BackupLostError, TaskDeferred), match="It is DELETING.|") as failure:
            sensor(**mode).execute(context)
        assert isinstance(failure.value, TaskDeferred) == mode["deferrable"]

    @pytest.mark.parametrize(
        "resumption",
        [
            ("execute_complete", {"event": {"status": "timeout", "backup": None, "message": "the reason"}}),
            ("execute_complete", {"event": {"status": "error", "backup": None, "message": "the reason"}}),
            ("__fail__", {"error": "Trigger timeout"}),
        ],
    )
    def test_soft_fail_skips_whatever_ends_the_deferral(
        self, context: Context, resumption: tuple[str, dict[str, Any]]
    ) -> None:
        """As with the other sensors."""
        with pytest.raises(AirflowSkipException):
            sensor(soft_fail=True).resume_execution(*resumption, context)

    @EACH_MODE
    def test_soft_fail_skips_what_fails(
        self, control_plane: ControlPlane, context: Context, mode: dict[str, Any], log: Callable[[], str]
    ) -> None:
        """A denied permission, say; the log has the reason."""
        control_plane.policy = {"Statement": []}
        with pytest.raises(AirflowSkipException) as skipped:
            sensor(soft_fail=True, **mode).execute(context)
        assert "dynamodb:DescribeTable" in f"{skipped.value} {log()}"

    def test_a_deferral_that_nobody_served_names_the_table(self, context: Context) -> None:
        """With what to look at."""
        with pytest.raises(FreshBackupTimeoutError, match=r"table 'orders'. No triggerer has reported .* max_age"):
            sensor().resume_execution("__fail__", {"error": "Trigger timeout"}, context)

    @pytest.mark.parametrize("operation", ["DescribeTable", "ListBackups"])
    @pytest.mark.parametrize("fault", [THROTTLED, INTERNAL_ERROR], ids=repr)
    def test_what_may_pass_does_not_end_it(
        self, control_plane: ControlPlane, context: Context, operation: str, fault: Fault
    ) -> None:
        """The next poke asks again."""
        control_plane.add_backups("orders", 1, age=60)
        control_plane.fail_next(operation, fault)
        task = sensor()
        assert not is_done(task, context)
        assert is_done(task, context)


class TestDeferral:
    """What the trigger is given."""

    def deferred(self, context: Context, **settings: Any) -> dict[str, Any]:
        """Defer; return the trigger's arguments."""
        with pytest.raises(TaskDeferred) as deferred:
            sensor(deferrable=True, **settings).execute(context)
        arguments: dict[str, Any] = deferred.value.trigger.serialize()[1]
        return arguments

    def test_it_goes_on_with_the_same_wait(self, control_plane: ControlPlane, context: Context, clock: Clock) -> None:
        """In the account that the worker has called, until the same deadline."""
        arguments = self.deferred(context, backup_name_prefix="nightly-", timeout=600)
        assert arguments | {"carry": None} == {
            "table_name": "orders",
            "max_age": 7200.0,
            "backup_name_prefix": "nightly-",
            "account": "123456789012",
            "poll_interval": 60,
            "deadline": clock.time() + 600,
            "aws_conn_id": "aws_default",
            "region_name": "us-east-1",
            "verify": None,
            "botocore_config": None,
            "connection_found": True,
            "carry": None,
        }

    def test_an_arn_tells_the_account_before_any_response(self, control_plane: ControlPlane, context: Context) -> None:
        """And so does ``account_id``; otherwise it is not known until the triggerer asks."""
        control_plane.fail_next("DescribeTable", THROTTLED, times=3)
        assert self.deferred(context, table_name=ARN)["account"] == "123456789012"
        assert self.deferred(context, account_id="123456789012")["account"] == "123456789012"
        assert self.deferred(context)["account"] is None

    def test_a_success_needs_no_connection(
        self, control_plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its secrets backend may be slow, or down by then."""
        carry = self.deferred(context)["carry"]
        backup = {
            "backup_arn": f"{ARN}/backup/01795422913684-770da1ee",
            "backup_name": "nightly",
            "table_name": "orders",
            "status": "AVAILABLE",
            "size_bytes": 1,
            "created_at": "2026-11-23T07:00:00+00:00",
        }
        event = {"status": "success", "message": "", "carry": carry, "backup": backup}
        asked: list[str] = []

        def find(_: object, conn_id: str, **__: object) -> None:
            asked.append(conn_id)

        monkeypatch.setattr(EnvironmentVariablesBackend, "get_connection", find)
        task = sensor(deferrable=True)
        assert task.resume_execution("execute_complete", {"event": event}, context) == backup
        assert asked == []


class TestParameters:
    """As users set them."""

    def test_defaults_are_those_of_the_contract(self) -> None:
        """Users rely on them."""
        task = sensor()
        assert (task.poke_interval, task.timeout, task.mode, task.deferrable) == (60, 1800, "poke", False)
        assert task.backup_name_prefix is None

    def test_template_fields_are_attributes(self) -> None:
        """Airflow renders them on the instance."""
        task = sensor()
        expected = {"table_name", "backup_name_prefix", "account_id", "aws_conn_id", "region_name", "verify"}
        assert set(task.template_fields) == expected
        assert all(hasattr(task, name) for name in task.template_fields)

    @pytest.mark.parametrize(
        ("wrong", "rule"),
        [
            ({"table_name": "or"}, "table_name must be a table's name"),
            ({"table_name": None}, "table_name must be a table's name"),
            ({"max_age": 7200}, "max_age must be a timedelta above 0"),
            ({"max_age": None}, "max_age must be a timedelta above 0"),
            ({"max_age": timedelta(0)}, "max_age must be a timedelta above 0"),
            ({"backup_name_prefix": "ni"}, "backup_name_prefix must be 3 to 255"),
            ({"poke_interval": 0}, "poke_interval must be more than 0"),
            ({"timeout": -1}, "timeout must be"),
        ],
        ids=str,
    )
    def test_wrong_literals_are_refused_when_the_dag_is_parsed(self, wrong: dict[str, Any], rule: str) -> None:
        """With the parameter, the value and the rule."""
        with pytest.raises(InvalidValueError, match=rule):
            sensor(**wrong)

    @pytest.mark.parametrize(
        ("name", "value"), [("table_name", None), ("table_name", "or"), ("backup_name_prefix", None)]
    )
    def test_rendered_values_are_checked(
        self, control_plane: ControlPlane, context: Context, name: str, value: object
    ) -> None:
        """A prefix that renders to nothing must not mean any name."""
        task = sensor(**{name: "{{ params.value }}"})
        setattr(task, name, value)
        with pytest.raises(InvalidValueError, match=f"{name} must be"):
            task.execute(context)
        assert control_plane.calls["DescribeTable"] == 0

    def test_the_longest_age_is_taken(self, control_plane: ControlPlane, context: Context) -> None:
        """It means any backup."""
        control_plane.add_backups("orders", 1, age=1000 * 24 * HOUR)
        assert is_done(sensor(max_age=timedelta.max), context)

    @EACH_MODE
    def test_an_arn_of_another_region_or_account_is_refused(
        self, control_plane: ControlPlane, context: Context, mode: dict[str, Any]
    ) -> None:
        """Before any call."""
        with pytest.raises(OtherRegionError, match="The ARN is of 'eu-west-1'"):
            sensor(table_name=ARN.replace("us-east-1", "eu-west-1"), **mode).execute(context)
        with pytest.raises(OtherAccountError, match="account_id is '210987654321'"):
            sensor(table_name=ARN, account_id="210987654321", **mode).execute(context)
        assert control_plane.calls["DescribeTable"] == 0

    @EACH_MODE
    def test_account_id_pins_the_account(
        self, control_plane: ControlPlane, context: Context, mode: dict[str, Any]
    ) -> None:
        """As soon as a response tells another."""
        control_plane.add_backups("orders", 1, age=60)
        with pytest.raises((OtherAccountError, BackupLostError), match="account_id is '210987654321'"):
            sensor(account_id="210987654321", **mode).execute(context)

    def test_it_can_be_mapped(self) -> None:
        """``partial`` and ``expand`` take every parameter."""
        with DAG("mapped", schedule=None):
            mapped = DynamoDBFreshBackupSensor.partial(
                task_id="wait", max_age=timedelta(hours=2), deferrable=True, **SETTINGS
            ).expand(table_name=["orders", "customers"])
        assert mapped.partial_kwargs.items() >= SETTINGS.items()
