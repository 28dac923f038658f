"""Every example DAG runs as it is."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from importlib import import_module
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from tests.conftest import EXAMPLE_DAGS
from tests.simulator.faults import Fault
from tests.system.rest_api import AIRFLOW_2, AIRFLOW_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow.models.dagrun import DagRun

    from tests.simulator.control_plane import ControlPlane
    from tests.system.conftest import RunDag

# Of the simulated control plane: the task defers, and its trigger polls more than once.
CREATING_FOR = 20
# What ``DAG.test`` calls the logical date.
DATE = "execution_date" if AIRFLOW_2 else "logical_date"


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
    """Every table that has the tag is backed up, and nothing is pruned yet."""
    for table in ("customers", "invoices"):
        control_plane.create_table(table)
        control_plane.tag_table(table, backup="nightly")
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_nightly")
    assert run.state == "success"
    (report,) = xcoms(run, "back_up")
    assert isinstance(report, dict)
    assert list(report["backups"]) == ["customers", "invoices"]
    assert sorted(report["backups"].values()) == sorted(control_plane.backup_arns())
    (pruned,) = xcoms(run, "prune")
    assert isinstance(pruned, dict)
    assert pruned["deleted"] == []


def test_nightly_with_a_table_that_fails(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The alert names it, the others are backed up, and nothing is pruned."""
    for table in ("customers", "invoices"):
        control_plane.create_table(table)
        control_plane.tag_table(table, backup="nightly")
    control_plane.fail_next("CreateBackup", Fault(code="ValidationException"))
    run = run_dag("example_dynamodb_backup_nightly")
    assert run.state == "failed"
    (failed,) = xcoms(run, "alert")
    assert isinstance(failed, list)
    made = [arn.split("/")[1] for arn in control_plane.backup_arns()]
    assert sorted([*failed, *made]) == ["customers", "invoices"]
    assert len(failed) == 1


def test_mapped(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """Every table has its own task and its own backup."""
    for table in ("customers", "invoices"):
        control_plane.create_table(table)
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_mapped")
    assert run.state == "success"
    arns = [str(arn) for arn in xcoms(run, "back_up")]
    assert [arn.split("/")[1] for arn in arns] == ["orders", "customers", "invoices"]
    assert sorted(arns) == sorted(control_plane.backup_arns())


def test_wait_for_many(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The sensor ends once all are AVAILABLE."""
    tables = [f"shop-{number}" for number in range(5)]
    for table in tables:
        control_plane.create_table(table)
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_wait_for_many")
    assert run.state == "success"
    (arns,) = xcoms(run, "wait")
    assert isinstance(arns, list)
    assert [arn.split("/")[1] for arn in arns] == tables


def test_prune_by_hand(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The first run deletes nothing, the second what the first has shown."""
    control_plane.tag_table("orders", backup="nightly")
    made = [control_plane.add_backups("orders", 1, "nightly-1", age=3600 * age)[0] for age in range(33, 0, -1)]
    (rehearsal,) = xcoms(run_dag("example_dynamodb_backup_prune_by_hand"), "prune")
    assert control_plane.backup_arns() == made
    run = run_dag("example_dynamodb_backup_prune_by_hand", run_conf={"plan_only": False})
    (report,) = xcoms(run, "prune")
    assert isinstance(rehearsal, dict)
    text = rehearsal["text"].replace("would be", "were")
    assert report == rehearsal | {"plan_only": False, "text": text}
    assert rehearsal["deleted"] == made[:3]
    assert control_plane.backup_arns() == made[3:]


def test_sweep(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The backups of tables that tests have dropped go, younger ones and others stay."""
    control_plane.create_table("test")
    gone = control_plane.add_backups("test", 3, "integration-test-1", age=2 * 86_400)
    control_plane.drop_table("test")
    others = [*control_plane.add_backups("orders", 1, "integration-test-1"), *control_plane.add_backups("orders", 1)]
    (report,) = xcoms(run_dag("example_dynamodb_backup_sweep"), "sweep")
    assert isinstance(report, dict)
    assert sorted(report["deleted"]) == sorted(gone)
    assert control_plane.backup_arns() == others


def test_temporary(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The backup is gone once the rewrite has succeeded."""
    control_plane.create_table("carts")
    run = run_dag("example_dynamodb_backup_temporary")
    assert run.state == "success"
    assert xcoms(run, "delete") == xcoms(run, "back_up")
    assert control_plane.backup_arns() == []


def test_restore(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The last backup from before the damage is beside the table, with its settings, and the readers know its name."""
    control_plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}})
    control_plane.tag_table("orders", team="shop")
    good, bad = (control_plane.add_backups("orders", 1, age=3600 * age)[0] for age in (5, 1))
    control_plane.restoring_for = 60
    broken = datetime.fromtimestamp(control_plane.now() - 7200, tz=UTC)
    run = run_dag("example_dynamodb_backup_restore", run_conf={"broken_since": broken.isoformat()})
    assert run.state == "success"
    table = control_plane.client().describe_table(TableName="orders-restored")["Table"]
    assert table["RestoreSummary"]["SourceBackupArn"] == good
    assert xcoms(run, "restore") == xcoms(run, "restore", "table_arn") == [table["TableArn"]]
    (outcomes,) = xcoms(run, "restore", "settings")
    assert isinstance(outcomes, dict)
    assert outcomes["tags"] == "applied"
    # Outside of a task only the database's own class reads it.
    assert import_module("airflow.models").Variable.get("table_orders") == "orders-restored"
    assert control_plane.backup_arns() == [good, bad]


def test_restore_point_in_time(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The table is as it was at the second that was chosen; without one nothing runs."""
    client = control_plane.client()
    control_plane.clock_offset = -7200
    control_plane.create_table("carts")
    control_plane.switch_recovery("carts")
    control_plane.clock_offset = 0
    moment = datetime.fromtimestamp(control_plane.now() - 3600, tz=UTC).replace(microsecond=0)
    names = {"table_name": "carts", "restored_table_name": "carts-restored"}
    run = run_dag("example_dynamodb_restore_point_in_time", run_conf={**names, "moment": moment.isoformat()})
    assert run.state == "success"
    table = client.describe_table(TableName="carts-restored")["Table"]
    assert table["RestoreSummary"]["RestoreDateTime"] == moment
    assert xcoms(run, "restore") == [table["TableArn"]]
    with pytest.raises(Exception, match="moment"):
        run_dag("example_dynamodb_restore_point_in_time", run_conf=names)


def test_restore_many(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """Each table goes back to its last backup from before the moment, and is known by its name."""
    control_plane.create_table("customers")
    good = {name: control_plane.add_backups(name, 1, age=3600 * 5)[0] for name in ("orders", "customers")}
    control_plane.add_backups("orders", 1, age=3600)
    broken = datetime.fromtimestamp(control_plane.now() - 7200, tz=UTC)
    run = run_dag("example_dynamodb_restore_many", run_conf={"before": broken.isoformat()})
    assert run.state == "success"
    tables = {name: control_plane.client().describe_table(TableName=f"{name}-restored")["Table"] for name in good}
    assert {name: table["RestoreSummary"]["SourceBackupArn"] for name, table in tables.items()} == good
    assert xcoms(run, "restore") == [table["TableArn"] for table in tables.values()]


def test_restore_drill(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """A good backup passes and leaves no table; one whose data is wrong is told to somebody."""
    control_plane.restoring_for = CREATING_FOR
    control_plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}, "total": {"N": "5"}})
    (good,) = control_plane.add_backups("orders", 1)
    run = run_dag("example_dynamodb_backup_restore_drill")
    (report,) = xcoms(run, "drill")
    assert isinstance(report, dict)
    assert (report["verdict"], report["backup_arn"], report["run_id"]) == ("passed", good, run.run_id)
    control_plane.lose_backup(good)
    control_plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}})
    control_plane.add_backups("orders", 1)
    run = run_dag("example_dynamodb_backup_restore_drill", **{DATE: datetime(2026, 2, 1, tzinfo=UTC)})
    (text,) = xcoms(run, "alert")
    assert "validate has raised ValueError: an order without a total" in str(text)
    assert control_plane.client().list_tables()["TableNames"] == ["orders"]


def test_coverage(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The alert names the tables without a fresh backup; with one there is no alert."""
    for table in ("customers", "test-1"):
        control_plane.create_table(table)
    control_plane.add_backups("orders", 1, age=3600)
    run = run_dag("example_dynamodb_backup_coverage")
    assert run.state == "success"
    (report,) = xcoms(run, "check")
    assert isinstance(report, dict)
    assert report["counts"] == {"fresh": 1, "late": 0, "none": 1, "unknown": 0}
    assert xcoms(run, "alert") == [["customers"]]
    control_plane.add_backups("customers", 1, age=3600)
    assert xcoms(run_dag("example_dynamodb_backup_coverage"), "alert") == [None]


def test_fresh(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The rewrite rests on the backup that somebody else has made."""
    (arn,) = control_plane.add_backups("orders", 1, "nightly-1", age=3600)
    run = run_dag("example_dynamodb_backup_fresh")
    assert run.state == "success"
    assert xcoms(run, "rewrite_table") == [arn]
    assert control_plane.calls["CreateBackup"] == 0


def test_sensor(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The sensor ends once the backup that another task has started is AVAILABLE."""
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_sensor")
    assert run.state == "success"
    (details,) = xcoms(run, "wait_for_backup")
    assert isinstance(details, dict)
    assert ([details["backup_arn"]], details["status"]) == (control_plane.backup_arns(), "AVAILABLE")


def test_before_migration(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """Every run of a backfill gets the one backup of the first."""
    control_plane.create_table("invoices")
    control_plane.creating_for = CREATING_FOR
    runs = [
        run_dag("example_dynamodb_backup_before_migration", **{DATE: datetime(2026, 3, day, tzinfo=UTC)})
        for day in (1, 2, 3)
    ]
    assert [run.state for run in runs] == ["success"] * 3
    assert [xcoms(run, "back_up") for run in runs] == [control_plane.backup_arns()] * 3
    assert len(control_plane.backup_arns()) == 1


def test_cross_account(run_dag: RunDag, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backup is made in the account of the role."""
    role = {"role_arn": "arn:aws:iam::210987654321:role/table-backups"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP_ACCOUNT", control_plane.connection(**role))
    control_plane.create_table("orders", account="210987654321")
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_cross_account")
    assert run.state == "success"
    assert xcoms(run, "back_up") == control_plane.backup_arns(account="210987654321")
    assert ":210987654321:table/orders/" in str(xcoms(run, "back_up"))
    assert not control_plane.backup_arns()


def test_regions(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """Each backup is in the region of its table."""
    for table in ("orders", "invoices"):
        control_plane.create_table(table, "eu-west-1")
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_regions")
    assert run.state == "success"
    first, *others = (str(arn) for arn in xcoms(run, "back_up"))
    assert [first] == control_plane.backup_arns()
    assert sorted(others) == sorted(control_plane.backup_arns("eu-west-1"))


def test_asset(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The DAG that reacts knows the backup."""
    control_plane.creating_for = CREATING_FOR
    assert run_dag("example_dynamodb_backup_asset").state == "success"
    reaction = run_dag("example_dynamodb_backup_asset_reaction")
    assert reaction.state == "success"
    assert xcoms(reaction, "note_backup") == control_plane.backup_arns()


@pytest.mark.skipif(
    AIRFLOW_VERSION[:2] in (["3", "0"], ["3", "1"], ["3", "2"]),
    reason="DAG.test of 3.0 to 3.2 hands callbacks no exception; the task runner does",
)
def test_alert(run_dag: RunDag, log: Callable[[], str]) -> None:
    """The alert names the table, the region and what to do; no retry is waited for, since none could help."""
    run = run_dag("example_dynamodb_backup_alert", run_conf={"table_name": "ordres"})
    assert run.state == "failed"
    beginning = "No backup: The table does not exist: table 'ordres', backup 'example_dynamodb_backup_alert.back_up."
    (advice,) = {line.partition(beginning)[2] for line in log().splitlines() if beginning in line}
    assert "Check the table's name" in advice


@pytest.mark.parametrize("path", sorted(EXAMPLE_DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_follows_the_conventions(path: Path) -> None:
    """Its DAG id is its file's name, its tag is ``example``, and a test of its name runs it."""
    assert f'dag_id="{path.stem}"' in path.read_text()
    assert 'tags=["example"]' in path.read_text()
    assert f"test_{path.stem.removeprefix('example_dynamodb_').removeprefix('backup_')}" in globals()


def test_no_example_rests_on_a_backup_that_another_deletes() -> None:
    """Where one reuses a table's backups, no DAG deletes its own backup of that table."""
    reused, deleted = set(), set()
    for path in EXAMPLE_DAGS.glob("*.py"):
        code = path.read_text()
        tables = set(re.findall(r'table_name="([^"{]+)"', code))
        reused |= tables if "reuse_within=" in code else set()
        deleted |= tables if "DynamoDBDeleteBackupOperator(" in code else set()
    assert reused
    assert deleted
    assert reused.isdisjoint(deleted)


def test_no_two_examples_prune_the_same_backups() -> None:
    """Two prunes whose prefixes overlap delete what either deletes."""
    codes = [path.read_text() for path in EXAMPLE_DAGS.glob("*.py")]
    prefixes = [prefix for code in codes for prefix in re.findall(r'backup_name_prefix="([^"]+)"', code)]
    prefixes += [f"{dag}." for code in codes if "created_by=" in code for dag in re.findall(r'dag_id="(\w+)"', code)]
    assert len(prefixes) > 2
    assert not [(one, other) for one, other in permutations(prefixes, 2) if one.startswith(other)]


def test_every_operator_and_sensor_has_an_example() -> None:
    """A search for a class finds it used."""
    called = {
        ast.unparse(node.func).partition(".")[0]
        for path in EXAMPLE_DAGS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }
    assert called >= {
        "DynamoDBBackupCoverageOperator",
        "DynamoDBFreshBackupSensor",
        "DynamoDBBackupTablesOperator",
        "DynamoDBBackupsSensor",
        "DynamoDBCreateBackupOperator",
        "DynamoDBDeleteBackupOperator",
        "DynamoDBPruneBackupsOperator",
        "DynamoDBRestoreDrillOperator",
        "DynamoDBRestoreTableFromBackupOperator",
        "DynamoDBBackupSensor",
    }
