"""What Airflow's database holds of tasks that wait goes on in every later version.

``stored.json`` has, for each task that can wait, what the versions have stored, oldest first: the trigger's class path
and arguments, the method that takes the event, and the events. A version is never changed, and none removed. One that
stores something else adds its own, which the tests print: new arguments have defaults, and what the worker needs is in
``carry``.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_ddb_backup.exceptions import BackupError, TriggerFailedError
from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBRestoreDrillOperator,
    DynamoDBRestoreTableFromBackupOperator,
    DynamoDBRestoreTableToPointInTimeOperator,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor, DynamoDBBackupsSensor, DynamoDBFreshBackupSensor
from tests.unit.classes import parameters_of, public_classes
from tests.unit.conftest import FakeTaskInstance, context_of

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane

STORED: dict[str, list[dict[str, Any]]] = json.loads(Path(__file__).with_name("stored.json").read_text())
VERSIONS = [
    pytest.param(name, stored, id=f"{name}-{stored['version']}") for name, many in STORED.items() for stored in many
]
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"
EVERY_VERSION = pytest.mark.parametrize(("name", "stored"), VERSIONS)
EVERY_END = pytest.mark.parametrize("status", ["success", "timeout"])
pytestmark = pytest.mark.usefixtures("fast_loop")


class Waiting:
    """A task that has just been deferred by this version.

    :param name: of the task
    :param plane: the control plane
    :param status: how its wait will end
    """

    def __init__(self, name: str, plane: ControlPlane, status: str) -> None:
        plane.switch_recovery("orders")
        plane.tag_table("orders", team="shop")
        plane.create_table("awaited")
        plane.clock.sleep(3600)
        plane.creating_for = plane.restoring_for = 60.0 if status == "success" else 99_999.0
        (restored,), (awaited,) = plane.add_backups("orders", 1, age=60), plane.add_backups("awaited", 1)
        plane.statuses[restored] = "AVAILABLE"
        self.name = name
        self.task = tasks(restored, awaited)[name]
        self.context = context_of(FakeTaskInstance(task_id=name))
        with pytest.raises(TaskDeferred) as raised:
            self.task.execute(self.context)
        self.method = raised.value.method_name
        self.path, self.kwargs = raised.value.trigger.serialize()
        self.kwargs = plain(self.kwargs)
        self.deadline = plane.clock.time() + 120

    def event(self, path: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Run a trigger as a triggerer makes it of what the database holds, and return its event."""
        row = import_module("airflow.models.trigger").Trigger(path, kwargs | {"deadline": self.deadline})
        module, _, kind = row.classpath.rpartition(".")
        trigger = getattr(import_module(module), kind)(**row.kwargs)

        async def events() -> list[Any]:
            return [event.payload async for event in trigger.run()]

        (payload,) = asyncio.run(events())
        told: dict[str, Any] = plain(payload)
        return told

    def resume(self, method: str, event: dict[str, Any]) -> Any:
        """Resume the task with an event."""
        return self.task.resume_execution(method, {"event": event}, self.context)

    def assert_goes_on(self, method: str, event: dict[str, Any], status: str) -> None:
        """Assert that the task takes an event: it ends, or its time is up."""
        assert event["status"] == status
        if status == "success":
            assert self.resume(method, event)
            return
        with pytest.raises(BackupError, match="in time") as failure:
            self.resume(method, event)
        assert not isinstance(failure.value, TriggerFailedError)


def tasks(restored: str, awaited: str) -> dict[str, Any]:
    """Return a task of each class that can wait.

    :param restored: the backup that is restored
    :param awaited: the one that is waited for
    """
    return {
        "create": DynamoDBCreateBackupOperator(task_id="create", table_name="orders", deferrable=True),
        "tables": DynamoDBBackupTablesOperator(task_id="tables", table_names=["orders"], deferrable=True),
        "restore": DynamoDBRestoreTableFromBackupOperator(
            task_id="restore", backup_arn=restored, target_table_name="restored", deferrable=True
        ),
        "point_in_time": DynamoDBRestoreTableToPointInTimeOperator(
            task_id="point_in_time",
            source_table_name="orders",
            use_latest_restorable_time=True,
            target_table_name="restored",
            deferrable=True,
        ),
        "drill": DynamoDBRestoreDrillOperator(task_id="drill", backup_arn=restored, min_items=0, deferrable=True),
        "sensor": DynamoDBBackupSensor(task_id="sensor", backup_arn=awaited, deferrable=True),
        "sensors": DynamoDBBackupsSensor(task_id="sensors", backup_arns=[awaited], deferrable=True),
        "fresh": DynamoDBFreshBackupSensor(
            task_id="fresh", table_name="awaited", max_age=timedelta(hours=1), deferrable=True
        ),
    }


def plain(value: object) -> Any:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value))


def with_values_of(stored: Any, present: Any) -> Any:
    """Return what a version has stored, with the present ARNs, names and times."""
    if isinstance(stored, dict) and isinstance(present, dict) and not any(":" in key for key in stored):
        return {key: with_values_of(one, present[key]) if key in present else one for key, one in stored.items()}
    return present


def shape(value: object) -> Any:
    """Return the keys and the kinds of values; names of tables and backups are no keys."""
    if isinstance(value, dict):
        return {":" if ":" in key else key: shape(one) for key, one in value.items()}
    return [shape(one) for one in value[:1]] if isinstance(value, list) else type(value).__name__


@pytest.mark.parametrize("name", STORED)
def test_what_this_version_stores_is_the_last_entry(control_plane: ControlPlane, name: str) -> None:
    """Class path, arguments and method."""
    waiting, last = Waiting(name, control_plane, "success"), STORED[name][-1]
    assert (waiting.path, waiting.method) == (last["trigger"], last["method"])
    assert shape(waiting.kwargs) == shape(last["kwargs"]), json.dumps(waiting.kwargs)


def test_every_class_that_can_wait_has_an_entry() -> None:
    """And every trigger is some task's."""
    classes = [*public_classes("operators").values(), *public_classes("sensors").values()]
    waiting = {kind for kind in classes if "deferrable" in parameters_of(kind)}
    assert {type(task) for task in tasks(ARN, ARN).values()} == waiting
    assert STORED.keys() == tasks(ARN, ARN).keys()
    used = {stored["trigger"].rpartition(".")[2] for many in STORED.values() for stored in many}
    assert used == public_classes("triggers").keys()


@EVERY_END
@EVERY_VERSION
def test_a_trigger_of_every_version_runs_to_an_event_that_its_task_takes(
    control_plane: ControlPlane, name: str, stored: dict[str, Any], status: str
) -> None:
    """The triggerer and the workers were upgraded while the task waited: no argument is unknown, and none missing."""
    waiting = Waiting(name, control_plane, status)
    event = waiting.event(stored["trigger"], with_values_of(stored["kwargs"], waiting.kwargs))
    waiting.assert_goes_on(stored["method"], event, status)


@EVERY_END
@EVERY_VERSION
def test_a_task_takes_the_events_of_every_version(
    control_plane: ControlPlane, name: str, stored: dict[str, Any], status: str
) -> None:
    """The triggerer has sent it, and no worker was there before the upgrade; the last are this version's."""
    waiting = Waiting(name, control_plane, status)
    present = waiting.event(waiting.path, waiting.kwargs)
    assert shape(present) == shape(STORED[name][-1]["events"][status]), json.dumps(present)
    event = with_values_of(stored["events"][status], present)
    waiting.assert_goes_on(stored["method"], event, status)
