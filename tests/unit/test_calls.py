"""How many calls each flow makes, by operation: a change that makes more of them must say so in ``tests/calls.csv``."""

from __future__ import annotations

import asyncio
import csv
import os
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupCoverageOperator,
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBDeleteBackupOperator,
    DynamoDBPruneBackupsOperator,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor, DynamoDBBackupsSensor, DynamoDBFreshBackupSensor
from airflow_ddb_backup.triggers.dynamodb import (
    DynamoDBBackupsTrigger,
)
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.creation.support import retry
from tests.unit.restoring.drills import back_up_items, drill
from tests.unit.restoring.support import NAMES, enable_recovery, give, make_source, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

    Flow = Callable[[], Any]
    Prepare = Callable[[ControlPlane, Clock], Flow]

FILE = Path(__file__).parents[1] / "calls.csv"
COLUMNS = ["flow", "operation", "calls"]
FLOWS: dict[str, Prepare] = {}
pytestmark = pytest.mark.usefixtures("fast_loop")


def flow(name: str) -> Callable[[Prepare], Prepare]:
    """Name a flow: a function that prepares it, and returns what runs it."""

    def add(prepare: Prepare) -> Prepare:
        FLOWS[name] = prepare
        return prepare

    return add


def known() -> dict[str, Counter[str]]:
    """Return the calls that the file has, by flow and operation."""
    found: dict[str, Counter[str]] = {}
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["flow"], Counter())[row["operation"]] = int(row["calls"])
    return found


def write(name: str, calls: Counter[str]) -> None:
    """Write the calls of a flow into the file, in place of those that it has."""
    all_calls = (known() if FILE.exists() else {}) | {name: calls}
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for each in FLOWS:
            writer.writerows([each, operation, number] for operation, number in sorted(all_calls.get(each, {}).items()))


def execute(operator: Any, ti: FakeTaskInstance | None = None) -> Any:
    """Run a try of a task."""
    return operator.execute(context_of(ti or FakeTaskInstance()))


def fired(trigger: Any) -> None:
    """Run a trigger to its end."""

    async def run() -> list[str]:
        return [event.payload["status"] async for event in trigger.run()]

    assert asyncio.run(run()) == ["success"]


def create(**kwargs: Any) -> DynamoDBCreateBackupOperator:
    """Return a task that backs ``orders`` up."""
    return DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders", **kwargs)


def tables(plane: ControlPlane, count: int, nights: int = 0) -> list[str]:
    """Create tables, each with a backup of each of some nights."""
    names = [f"table-{number:03}" for number in range(count)]
    for name in names:
        plane.create_table(name)
        for night in range(nights):
            plane.add_backups(name, 1, "nightly", age=86_400 * (night + 0.5))
    return names


@flow("create, first try, AVAILABLE at once")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    return lambda: execute(create())


@flow("create, first try, AVAILABLE after 60 s")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    plane.creating_for = 60
    return lambda: execute(create())


@flow("create, second try")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    execute(create(), first := FakeTaskInstance())
    return lambda: execute(create(), retry(first))


@flow("create, point-in-time recovery required")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    plane.switch_recovery("orders")
    return lambda: execute(create(require_point_in_time_recovery=True))


def back_up_all(**kwargs: Any) -> DynamoDBBackupTablesOperator:
    """Return a task that backs many tables up, but ``orders``."""
    return DynamoDBBackupTablesOperator(task_id="back_up", table_names=["table-*"], wait_for_completion=False, **kwargs)


@flow("create of 100 tables, first try")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    tables(plane, 100)
    return lambda: execute(back_up_all())


@flow("create of 100 tables, second try")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    tables(plane, 100)
    execute(back_up_all(), first := FakeTaskInstance())
    return lambda: execute(back_up_all(), retry(first))


@flow("create of 100 tables, by their tag")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    for name in tables(plane, 100):
        plane.tag_table(name, backup="nightly")
    return lambda: execute(back_up_all(table_tags={"backup": "nightly"}))


def wait_for(plane: ControlPlane, clock: Clock, count: int) -> Flow:
    """Prepare a trigger's wait for backups that are AVAILABLE after 60 s."""
    plane.creating_for = 60
    arns = plane.add_backups("orders", count)
    deadline = clock.time() + 600
    return lambda: fired(DynamoDBBackupsTrigger(backup_arns=arns, poll_interval=5, deadline=deadline))


@flow("wait of 60 s for a backup, on the triggerer")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    return wait_for(plane, clock, 1)


@flow("wait of 60 s for 300 backups, on the triggerer")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    return wait_for(plane, clock, 300)


@flow("sensor of a backup that is AVAILABLE")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    (arn,) = plane.add_backups("orders", 1)
    return lambda: execute(DynamoDBBackupSensor(task_id="wait", backup_arn=arn))


@flow("sensor of 20 backups that are AVAILABLE")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    arns = plane.add_backups("orders", 20)
    return lambda: execute(DynamoDBBackupsSensor(task_id="wait", backup_arns=arns))


@flow("sensor of a fresh backup that there is")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    plane.add_backups("orders", 1)
    sensor = DynamoDBFreshBackupSensor(task_id="wait", table_name="orders", max_age=timedelta(hours=1))
    return lambda: execute(sensor)


def prune(**kwargs: Any) -> DynamoDBPruneBackupsOperator:
    """Return a task that keeps two backups of each table."""
    settings: dict[str, Any] = {"table_names": ["table-*"], "backup_name_prefix": "nightly", "keep_last": 2}
    return DynamoDBPruneBackupsOperator(task_id="prune", **settings, **kwargs)


@flow("prune of 20 tables, 3 of 5 backups each")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    tables(plane, 20, nights=5)
    return lambda: execute(prune())


@flow("prune of 20 tables, 3 of 5 backups each, planned only")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    tables(plane, 20, nights=5)
    return lambda: execute(prune(plan_only=True))


@flow("prune of 20 tables, nothing to delete")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    tables(plane, 20, nights=2)
    return lambda: execute(prune())


@flow("prune of 20 tables by their tag, 1 of 3 backups each")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    for name in tables(plane, 20, nights=3):
        plane.tag_table(name, backup="nightly")
    return lambda: execute(prune(table_tags={"backup": "nightly"}))


@flow("delete")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    (arn,) = plane.add_backups("orders", 1)
    return lambda: execute(DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=arn))


def source(plane: ControlPlane) -> str:
    """Create a table that has every setting, and a backup of it; a restore of it takes 90 s."""
    make_source(plane)
    for name in NAMES:
        give(plane, name)
    plane.restoring_for = 90
    return back_up_items(plane)


@flow("restore, default settings")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    arn = source(plane)
    return lambda: run(arn)


@flow("restore, all settings")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    arn = source(plane)
    return lambda: run(arn, settings=NAMES)


@flow("restore, no settings")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    arn = source(plane)
    return lambda: run(arn, settings=())


@flow("restore to a point in time, default settings")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    source(plane)
    moment = (enable_recovery(plane, clock) + timedelta(minutes=10)).replace(microsecond=0).isoformat()
    return lambda: run(moment)


@flow("drill")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    source(plane)
    return drill


@flow("coverage of 20 tables, 3 backups each")
def _(plane: ControlPlane, clock: Clock) -> Flow:
    tables(plane, 20, nights=3)
    return lambda: execute(DynamoDBBackupCoverageOperator(task_id="check"))


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_makes_the_calls_that_the_file_has(control_plane: ControlPlane, clock: Clock, name: str) -> None:
    """No more, and no fewer: calls are what AWS's rates limit, whatever the machine."""
    go = FLOWS[name](control_plane, clock)
    control_plane.calls.clear()
    go()
    made = Counter(control_plane.calls)
    if os.environ.get("WRITE_CALLS"):
        write(name, made)
    had = known().get(name, Counter())
    changes = [f"{each}: {had[each]} -> {made[each]}" for each in sorted(had | made) if had[each] != made[each]]
    assert not changes, (
        f"The calls of {name!r} have changed: {', '.join(changes)}. If that is meant, write them into "
        "tests/calls.csv by WRITE_CALLS=1 make test ARGS=tests/unit/test_calls.py, and say so in the changelog."
    )


def test_the_file_has_no_other_flows() -> None:
    """In the order of this module."""
    assert list(known()) == list(FLOWS)
