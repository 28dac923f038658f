"""The policies of the documentation: exactly enough."""

from __future__ import annotations

import copy
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hcl2
import pytest
from hcl2.utils import SerializationOptions

from airflow_ddb_backup.exceptions import PermanentError
from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupCoverageOperator,
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBDeleteBackupOperator,
    DynamoDBPruneBackupsOperator,
    DynamoDBRestoreDrillOperator,
    DynamoDBRestoreTableFromBackupOperator,
    DynamoDBRestoreTableToPointInTimeOperator,
)
from airflow_ddb_backup.restoring.settings import SETTINGS
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor, DynamoDBFreshBackupSensor
from scripts.terraform import policy_document
from tests.simulator.rules import is_allowed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import Context

    from airflow_ddb_backup.restoring.settings import Setting
    from tests.simulator.control_plane import ControlPlane

POLICIES = Path(__file__).parents[2] / "docs" / "iam"


def policy(*names: str) -> dict[str, Any]:
    """Return policies of the documentation as one."""
    documents = [json.loads((POLICIES / f"{name}.json").read_text()) for name in names]
    return {"Statement": [statement for document in documents for statement in document["Statement"]]}


def actions(document: dict[str, Any]) -> list[str]:
    """Return all actions that a policy allows."""
    return [action for statement in document["Statement"] for action in listed(statement["Action"])]


def without(document: dict[str, Any], *lacking: str) -> dict[str, Any]:
    """Return a policy that lacks some actions."""
    reduced = copy.deepcopy(document)
    for statement in reduced["Statement"]:
        statement["Action"] = [each for each in listed(statement["Action"]) if each not in lacking]
    return reduced


def listed(value: str | list[str]) -> list[str]:
    """Return what IAM's JSON has alone or in a list."""
    return [value] if isinstance(value, str) else value


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
    control_plane.switch_recovery("orders")


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


MANY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "named": (policy("create_and_wait"), {"table_names": ["orders"]}),
    "tagged": (
        without(policy("create_and_wait", "select"), "dynamodb:ListTagsOfResource"),
        {"table_names": ["*"], "table_tags": {"backup": "nightly"}},
    ),
    # The other two are the prune's.
    "nightly": (
        without(policy("nightly"), "dynamodb:DeleteBackup", "dynamodb:ListTagsOfResource"),
        {"table_names": ["*"], "table_tags": {"backup": "nightly"}},
    ),
}


def back_up_many(
    control_plane: ControlPlane, context: Context, document: dict[str, Any], settings: dict[str, Any]
) -> list[str]:
    """Run a later try of the operator for many tables under a policy; return the tables with a backup."""
    control_plane.tag_table("orders", backup="nightly")
    context["ti"].try_number = 2
    control_plane.policy = document
    task = DynamoDBBackupTablesOperator(task_id="back_up", wait_for_completion=False, **settings)
    return list(task.execute(context)["backups"])


@pytest.mark.parametrize("name", MANY)
def test_many_tables_are_backed_up_under_the_same_policy(
    control_plane: ControlPlane, context: Context, name: str
) -> None:
    """With what their selection needs, as the documentation says."""
    assert back_up_many(control_plane, context, *MANY[name]) == ["orders"]


@pytest.mark.parametrize(
    ("name", "action"),
    [
        (name, action)
        for name, (document, _) in MANY.items()
        for action in actions(document)
        # Nothing is waited for.
        if action != "dynamodb:DescribeBackup"
    ],
)
def test_a_task_for_many_names_its_missing_action(
    control_plane: ControlPlane, context: Context, name: str, action: str
) -> None:
    """It needs no less."""
    document, settings = MANY[name]
    with pytest.raises(PermanentError, match=action):
        back_up_many(control_plane, context, without(document, action), settings)
    assert control_plane.backup_arns() == []


DELETIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "named": (policy("prune"), {"table_names": ["orders"]}),
    "tagged": (policy("prune", "select"), {"table_names": ["ord*"], "table_tags": {"backup": "nightly"}}),
    "nightly": (
        without(policy("nightly"), "dynamodb:CreateBackup"),
        {"table_names": ["*"], "table_tags": {"backup": "nightly"}},
    ),
}


def prune(
    control_plane: ControlPlane, context: Context, document: dict[str, Any], settings: dict[str, Any]
) -> list[str]:
    """Prune a table with two backups under a policy; return those that are left."""
    control_plane.tag_table("orders", backup="nightly")
    for age in (2, 1):
        control_plane.add_backups("orders", 1, "nightly-1", age=age * 86_400)
    control_plane.policy = document
    task = DynamoDBPruneBackupsOperator(task_id="prune", backup_name_prefix="nightly-", keep_last=1, **settings)
    task.execute(context)
    return control_plane.backup_arns()


@pytest.mark.parametrize("name", DELETIONS)
def test_a_prune_runs_under_its_policy(control_plane: ControlPlane, context: Context, name: str) -> None:
    """It needs no more than the documentation says."""
    assert len(prune(control_plane, context, *DELETIONS[name])) == 1


@pytest.mark.parametrize(
    ("name", "action"), [(name, action) for name, (document, _) in DELETIONS.items() for action in actions(document)]
)
def test_a_prune_names_its_missing_action(
    control_plane: ControlPlane, context: Context, name: str, action: str
) -> None:
    """It needs no less, and nothing is deleted."""
    document, settings = DELETIONS[name]
    with pytest.raises(PermanentError, match=action):
        prune(control_plane, context, without(document, action), settings)
    assert len(control_plane.backup_arns()) == 2


def test_a_sweep_needs_fewer_actions(control_plane: ControlPlane, context: Context) -> None:
    """It describes nothing, as the documentation says."""
    document = policy("prune")
    for action in ("dynamodb:DescribeTable", "dynamodb:DescribeBackup"):
        document = without(document, action)
    settings = {"table_names": ["orders"], "dropped_tables": True, "minimum_redundancy": 0}
    assert len(prune(control_plane, context, document, settings)) == 1


def test_a_deletion_needs_one_action(control_plane: ControlPlane, context: Context, backup_arn: str) -> None:
    """And names it where it is missing."""
    task = DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=backup_arn)
    control_plane.policy = {"Statement": []}
    with pytest.raises(PermanentError, match="dynamodb:DeleteBackup"):
        task.execute(context)
    control_plane.policy = policy("delete")
    assert task.execute(context) == backup_arn


LATEST = {"source_table_name": "orders", "use_latest_restorable_time": True}
RESTORES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "data": (policy("restore"), {"settings": ()}),
    "pick": (
        policy("restore", "restore_pick"),
        {"settings": (), "table_name": "orders", "before": "2100-01-01T00:00Z"},
    ),
    "settings": (policy("restore", "restore_default_settings"), {}),
    "point in time": (policy("restore_point_in_time"), {**LATEST, "settings": ()}),
    "point in time with settings": (policy("restore_point_in_time", "restore_default_settings"), LATEST),
}


def restore(control_plane: ControlPlane, context: Context, document: dict[str, Any], settings: dict[str, Any]) -> str:
    """Restore a table that has the default settings under a policy."""
    client = control_plane.client()
    control_plane.tag_table("orders", team="shop")
    client.update_table(TableName="orders", DeletionProtectionEnabled=True)
    control_plane.switch_recovery("orders")
    (arn,) = control_plane.add_backups("orders", 1)
    control_plane.policy = document
    kind: Any = DynamoDBRestoreTableFromBackupOperator
    if "source_table_name" in settings:
        kind = DynamoDBRestoreTableToPointInTimeOperator
    which: dict[str, Any] = {} if settings.keys() & {"table_name", "source_table_name"} else {"backup_arn": arn}
    task = kind(task_id="restore", target_table_name="orders-restored", **which, **settings)
    return str(task.execute(context))


@pytest.mark.parametrize("name", RESTORES)
def test_a_restore_runs_under_its_policy(control_plane: ControlPlane, context: Context, name: str) -> None:
    """It needs no more than the documentation says."""
    assert restore(control_plane, context, *RESTORES[name]).endswith(":table/orders-restored")


@pytest.mark.parametrize(
    ("name", "action"),
    [(name, action) for name, (document, _) in RESTORES.items() for action in sorted(set(actions(document)))],
)
def test_a_restore_names_its_missing_action(
    control_plane: ControlPlane, context: Context, name: str, action: str
) -> None:
    """It needs no less; and nothing is made unless only the putting back of a setting is denied."""
    document, settings = RESTORES[name]
    with pytest.raises(PermanentError, match=action):
        restore(control_plane, context, without(document, action), settings)
    changes = {"dynamodb:TagResource", "dynamodb:UpdateContinuousBackups", "dynamodb:UpdateTable"}
    control_plane.policy = None
    assert ("orders-restored" in control_plane.client().list_tables()["TableNames"]) == (action in changes)


DRILL = policy("restore_drill")


def drilled(control_plane: ControlPlane, context: Context, document: dict[str, Any]) -> str:
    """Drill ``orders`` under a policy, and return the verdict."""
    control_plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}})
    control_plane.add_backups("orders", 1)
    control_plane.policy = document
    return str(DynamoDBRestoreDrillOperator(task_id="drill", table_name="orders").execute(context)["verdict"])


def test_a_drill_runs_under_its_policy(control_plane: ControlPlane, context: Context) -> None:
    """It needs no more than the documentation says, and leaves no table."""
    assert drilled(control_plane, context, DRILL) == "passed"
    control_plane.policy = None
    assert control_plane.client().list_tables()["TableNames"] == ["orders"]


@pytest.mark.parametrize("action", sorted({*actions(DRILL)} - {"dynamodb:ListTables"}))
def test_a_drill_names_its_missing_action(control_plane: ControlPlane, context: Context, action: str) -> None:
    """It needs no less; only the left-overs of earlier drills can do without being listed."""
    with pytest.raises(PermanentError, match=action):
        drilled(control_plane, context, without(DRILL, action))
    control_plane.policy = None
    left = len(control_plane.client().list_tables()["TableNames"]) > 1
    assert left == (action == "dynamodb:DeleteTable")


def test_a_drill_does_without_list_tables(control_plane: ControlPlane, context: Context) -> None:
    """As the documentation says, with a warning."""
    assert drilled(control_plane, context, without(DRILL, "dynamodb:ListTables")) == "passed"


@pytest.mark.parametrize("table", ["orders", "orders-restored", "airflow", "drill-orders"])
def test_a_drill_can_touch_no_other_table(control_plane: ControlPlane, table: str) -> None:
    """What its policy allows on any other is to be described, backed up or restored from; no item is read."""
    touching = {action for statement in DRILL["Statement"] for action in statement["Action"]} & {
        "dynamodb:DeleteTable",
        "dynamodb:Scan",
        "dynamodb:GetItem",
        "dynamodb:Query",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:BatchWriteItem",
    }
    assert len(touching) == 8
    arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}"
    assert not [action for action in touching if is_allowed(DRILL, action.partition(":")[2], arn)]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_s_actions_are_documented(setting: Setting) -> None:
    """As the code has them, which other tests show to be exactly enough."""
    _, row = (POLICIES.parent / "iam.rst").read_text().split(f"    * - ``{setting.name}``\n")
    row = row.partition("    * -")[0].partition("\n\n")[0]
    assert re.findall(r"``([\w:-]+)``", row) == list(setting.actions)


COVERAGE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "all": (policy("coverage"), {}),
    "recovery": (policy("coverage", "point_in_time_recovery"), {"point_in_time_recovery": True}),
}


def covered(control_plane: ControlPlane, context: Context, document: dict[str, Any], settings: dict[str, Any]) -> str:
    """Check ``orders`` under a policy; return its status, or fail where it is not known."""
    control_plane.add_backups("orders", 1)
    control_plane.policy = document
    task = DynamoDBBackupCoverageOperator(task_id="check", fail_on=["unknown"], **settings)
    return str(task.execute(context)["tables"][0]["status"])


@pytest.mark.parametrize("name", COVERAGE)
def test_a_check_runs_under_its_policy(control_plane: ControlPlane, context: Context, name: str) -> None:
    """It needs no more than the documentation says."""
    assert covered(control_plane, context, *COVERAGE[name]) == "fresh"


@pytest.mark.parametrize(
    ("name", "action"), [(name, action) for name, (document, _) in COVERAGE.items() for action in actions(document)]
)
def test_a_check_names_its_missing_action(
    control_plane: ControlPlane, context: Context, name: str, action: str
) -> None:
    """It needs no less."""
    document, settings = COVERAGE[name]
    with pytest.raises(PermanentError, match=action):
        covered(control_plane, context, without(document, action), settings)


def test_a_check_of_named_tables_needs_no_list_tables(control_plane: ControlPlane, context: Context) -> None:
    """As the documentation says."""
    document = without(policy("coverage"), "dynamodb:ListTables")
    assert covered(control_plane, context, document, {"table_names": ["orders"]}) == "fresh"


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


def fresh(control_plane: ControlPlane, context: Context, document: dict[str, Any]) -> str:
    """Wait for a fresh backup under a policy; return its table."""
    control_plane.add_backups("orders", 1)
    control_plane.policy = document
    task = DynamoDBFreshBackupSensor(task_id="wait", table_name="orders", max_age=timedelta(hours=1))
    return str(task.execute(context)["table_name"])


def test_the_sensor_for_a_fresh_backup_runs_under_its_policy(control_plane: ControlPlane, context: Context) -> None:
    """It needs no more than the documentation says."""
    assert fresh(control_plane, context, policy("fresh")) == "orders"


@pytest.mark.parametrize("action", actions(policy("fresh")))
def test_the_sensor_for_a_fresh_backup_names_its_missing_action(
    control_plane: ControlPlane, context: Context, action: str
) -> None:
    """It needs no less."""
    with pytest.raises(PermanentError, match=action):
        fresh(control_plane, context, without(policy("fresh"), action))


def as_terraform_reads_it(name: str, code: str) -> list[dict[str, Any]]:
    """Return the statements of Terraform's data source, as IAM's JSON has them, with every value in a list."""
    options = SerializationOptions(strip_string_quotes=True, explicit_blocks=False)
    (source,) = hcl2.loads(code, serialization_options=options)["data"]
    statements = []
    for statement in source["aws_iam_policy_document"][name]["statement"]:
        found = {"Effect": statement.get("effect", "Allow"), "Action": statement["actions"]}
        found |= {"Resource": statement["resources"]} if "resources" in statement else {}
        for principal in statement.get("principals", []):
            found["Principal"] = {principal["type"]: principal["identifiers"]}
        for condition in statement.get("condition", []):
            found["Condition"] = {condition["test"]: {condition["variable"]: condition["values"]}}
        statements.append(found)
    return statements


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.json")), ids=lambda path: path.stem)
def test_terraform_says_the_same(path: Path) -> None:
    """What the page shows for Terraform allows what the JSON does, and nothing else."""
    document = json.loads(path.read_text())
    expected = []
    for statement in document["Statement"]:
        nested = {
            name: {
                key: {each: listed(one) for each, one in value.items()} if isinstance(value, dict) else listed(value)
            }
            for name in ("Principal", "Condition")
            for key, value in statement.get(name, {}).items()
        }
        lists = {name: listed(statement[name]) for name in ("Action", "Resource") if name in statement}
        expected.append({"Effect": statement["Effect"], **lists, **nested})
    assert as_terraform_reads_it(path.stem, policy_document(path.stem, document)) == expected
