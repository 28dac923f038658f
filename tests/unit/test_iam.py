"""The policies of the documentation: exactly enough."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.exceptions import PermanentError
from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.control_plane import ControlPlane

POLICIES = Path(__file__).parents[2] / "docs" / "iam"


def policy(*names: str) -> dict[str, Any]:
    """Return policies of the documentation as one."""
    documents = [json.loads((POLICIES / f"{name}.json").read_text()) for name in names]
    return {"Statement": [statement for document in documents for statement in document["Statement"]]}


def actions(document: dict[str, Any]) -> list[str]:
    """Return all actions that a policy allows."""
    found: list[str] = []
    for statement in document["Statement"]:
        allowed = statement["Action"]
        found += [allowed] if isinstance(allowed, str) else allowed
    return found


def without(document: dict[str, Any], action: str) -> dict[str, Any]:
    """Return a policy that lacks an action."""
    reduced = copy.deepcopy(document)
    for statement in reduced["Statement"]:
        allowed = statement["Action"]
        statement["Action"] = [each for each in ([allowed] if isinstance(allowed, str) else allowed) if each != action]
    return reduced


TASKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "reuse": (policy("create_and_wait"), {}),
    "create": (policy("create_and_wait_without_list"), {"if_exists": "create"}),
    "recovery": (
        policy("create_and_wait", "point_in_time_recovery"),
        {"require_point_in_time_recovery": True},
    ),
}


def missing() -> Iterator[tuple[str, str]]:
    """Yield every action of every task's policy."""
    for name, (document, _) in TASKS.items():
        for action in actions(document):
            yield name, action


@pytest.fixture
def _recoverable(control_plane: ControlPlane) -> None:
    control_plane.client().update_continuous_backups(
        TableName="orders", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )


def run(control_plane: ControlPlane, context: Context, document: dict[str, Any], settings: dict[str, Any]) -> str:
    """Run a later try of the operator under a policy, with a backup that takes a while: a first try lists nothing."""
    control_plane.creating_for = 60
    context["ti"].try_number = 2
    control_plane.policy = document
    return DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders", **settings).execute(context)


@pytest.mark.usefixtures("_recoverable")
@pytest.mark.parametrize("name", TASKS)
def test_the_operator_runs_under_its_policy(control_plane: ControlPlane, context: Context, name: str) -> None:
    """It needs no more than the documentation says."""
    assert [run(control_plane, context, *TASKS[name])] == control_plane.backup_arns()


@pytest.mark.usefixtures("_recoverable")
@pytest.mark.parametrize(("name", "action"), list(missing()))
def test_a_missing_action_is_named(control_plane: ControlPlane, context: Context, name: str, action: str) -> None:
    """It needs no less; and what is refused before the creation leaves no backup behind."""
    document, settings = TASKS[name]
    with pytest.raises(PermanentError, match=action) as refusal:
        run(control_plane, context, without(document, action), settings)
    assert "table 'orders'" in str(refusal.value)
    assert len(control_plane.backup_arns()) == (action == "dynamodb:DescribeBackup")


def test_without_waiting_it_needs_no_describe_backup(control_plane: ControlPlane, context: Context) -> None:
    """It polls nothing."""
    document = without(policy("create_and_wait"), "dynamodb:DescribeBackup")
    assert run(control_plane, context, document, {"wait_for_completion": False})


def test_the_sensor_runs_under_its_policy(control_plane: ControlPlane, context: Context, backup_arn: str) -> None:
    """One action is enough."""
    control_plane.policy = policy("wait")
    assert DynamoDBBackupSensor(task_id="wait", backup_arn=backup_arn).execute(context)["backup_arn"] == backup_arn


def test_the_sensor_names_its_missing_action(control_plane: ControlPlane, context: Context, backup_arn: str) -> None:
    """The message says what to allow."""
    control_plane.policy = {"Statement": []}
    with pytest.raises(PermanentError, match="dynamodb:DescribeBackup"):
        DynamoDBBackupSensor(task_id="wait", backup_arn=backup_arn).execute(context)
