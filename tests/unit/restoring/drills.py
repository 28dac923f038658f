"""Tasks that drill the backups of the table ``source``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreDrillOperator
from tests.unit.conftest import FakeTaskInstance, context_of

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane

SCRATCH = "airflow-drill-"


def drill_operator(**kwargs: Any) -> DynamoDBRestoreDrillOperator:
    """Return a task that drills the backups of ``source``, unless it is given others."""
    about: dict[str, Any] = {} if {"table_name", "backup_arn"} & kwargs.keys() else {"table_name": "source"}
    return DynamoDBRestoreDrillOperator(task_id="drill", **about, **kwargs)


def drill(*, first: bool = True, ti: FakeTaskInstance | None = None, **kwargs: Any) -> dict[str, Any]:
    """Run a try of a drill; a later one has another task instance of the same run."""
    ti = ti or FakeTaskInstance(task_id="drill", try_number=1 if first else 2)
    return drill_operator(**kwargs).execute(context_of(ti))


def put_items(plane: ControlPlane, count: int, size: int = 1) -> None:
    """Put items into ``source``."""
    for number in range(count):
        plane.client().put_item(TableName="source", Item={"id": {"S": str(number)}, "is": {"S": "x" * size}})


def back_up_items(plane: ControlPlane, age: float = 3600.0) -> str:
    """Put an item into ``source``, and back it up as if some time ago."""
    put_items(plane, 1)
    (arn,) = plane.add_backups("source", 1, age=age)
    return arn


def scratch_tables(plane: ControlPlane) -> list[str]:
    """Return the names of the scratch tables that there are."""
    return [name for name in tables(plane) if name.startswith(SCRATCH)]


def tables(plane: ControlPlane) -> list[str]:
    """Return the names of all tables."""
    return list(plane.client().list_tables()["TableNames"])
