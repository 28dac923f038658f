"""Every example DAG runs as it is."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.conftest import EXAMPLE_DAGS

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.models.dagrun import DagRun

    from tests.dynamodb.control_plane import ControlPlane
    from tests.system.conftest import RunDag

# Of the simulated control plane: the task defers, and its trigger looks more than once.
CREATING_FOR = 20


def xcoms(run: DagRun, task_id: str, key: str = "return_value") -> list[object]:
    """Return the XComs of a task, of each of its mapped instances in their order."""
    found = sorted((ti for ti in run.get_task_instances() if ti.task_id == task_id), key=lambda ti: ti.map_index)
    return [ti.xcom_pull(task_ids=task_id, key=key, map_indexes=ti.map_index) for ti in found]


def test_before_rewrite(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The rewrite runs after the one backup, which is AVAILABLE."""
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_before_rewrite")
    assert run.state == "success"
    assert xcoms(run, "back_up") == xcoms(run, "back_up", "backup_arn") == control_plane.backup_arns()


def test_nightly(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """Every table has its own task and its own backup."""
    for table in ("customers", "invoices"):
        control_plane.create_table(table)
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_nightly")
    assert run.state == "success"
    arns = [str(arn) for arn in xcoms(run, "back_up")]
    assert [arn.split("/")[1] for arn in arns] == ["orders", "customers", "invoices"]
    assert sorted(arns) == sorted(control_plane.backup_arns())


def test_sensor(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The sensor ends once the backup that another task has started is AVAILABLE."""
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_sensor")
    assert run.state == "success"
    (details,) = xcoms(run, "wait_for_backup")
    assert isinstance(details, dict)
    assert ([details["backup_arn"]], details["status"]) == (control_plane.backup_arns(), "AVAILABLE")


@pytest.mark.parametrize("path", sorted(EXAMPLE_DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_follows_the_conventions(path: Path) -> None:
    """Its DAG id is its file's name, its tag is ``example``, and a test of its name runs it."""
    assert f'dag_id="{path.stem}"' in path.read_text()
    assert 'tags=["example"]' in path.read_text()
    assert f"test_{path.stem.removeprefix('example_dynamodb_backup_')}" in globals()


def test_every_operator_and_sensor_has_an_example() -> None:
    """Whoever looks for a class finds it used."""
    called = {
        ast.unparse(node.func).partition(".")[0]
        for path in EXAMPLE_DAGS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }
    assert called >= {"DynamoDBCreateBackupOperator", "DynamoDBBackupSensor"}
