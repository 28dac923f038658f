"""Every example DAG runs as it is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from importlib import import_module
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_ddb_backup.creation.names import derived_prefix
from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator
from tests.conftest import EXAMPLE_DAGS
from tests.dag_bag import examples
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.simulator.faults import Fault
from tests.system.mail import text_of
from tests.system.rest_api import AIRFLOW_2, AIRFLOW_3_0
from tests.unit.classes import public_classes

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage
    from pathlib import Path

    from airflow.models.dagrun import DagRun

    from tests.simulator.control_plane import ControlPlane
    from tests.system.conftest import RunDag

# Of the simulated control plane: the task defers, and its trigger polls more than once.
CREATING_FOR = 20
NIGHTLY = "example_dynamodb_backup_nightly"
WITH_OFFSET = "before must be a moment with its offset from UTC: ISO 8601 text such as '2026-11-28T14:00:00+00:00'"
# What ``DAG.test`` calls the logical date.
DATE = "execution_date" if AIRFLOW_2 else "logical_date"


def xcoms(run: DagRun, task_id: str, key: str = "return_value") -> list[Any]:
    """Return the XComs of a task, of each of its mapped instances in their order."""
    found = sorted((ti for ti in run.get_task_instances() if ti.task_id == task_id), key=lambda ti: ti.map_index)
    return [ti.xcom_pull(task_ids=task_id, key=key, map_indexes=ti.map_index) for ti in found]


def test_before_rewrite(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The rewrite runs after the one backup, which is AVAILABLE."""
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_before_rewrite")
    assert run.state == "success"
    assert xcoms(run, "back_up") == xcoms(run, "back_up", "backup_arn") == control_plane.backup_arns()


def tagged(plane: ControlPlane, *tables: str) -> None:
    """Create tables that have the tag of the nightly DAGs."""
    for table in tables:
        plane.create_table(table)
        plane.tag_table(table, backup="nightly")


def made_before(plane: ControlPlane, dag_id: str, table: str) -> list[str]:
    """Add a backup of each of the last 40 days, made by a DAG's own task; return their ARNs."""
    prefix = derived_prefix("", dag_id, "back_up")
    return [plane.add_backups(table, 1, f"{prefix}{day}", age=86_400 * day)[0] for day in range(40, 0, -1)]


class TestNightly:
    """Backups of all tables that have a tag, a prune, and a mail for all that fails."""

    def test_every_table_with_the_tag_is_backed_up(self, run_dag: RunDag, control_plane: ControlPlane) -> None:
        """And nothing is pruned yet, nor mailed."""
        tagged(control_plane, "customers", "invoices")
        control_plane.creating_for = CREATING_FOR
        run = run_dag(NIGHTLY)
        assert run.state == "success"
        (report,) = xcoms(run, "back_up")
        assert list(report["backups"]) == ["customers", "invoices"]
        assert sorted(report["backups"].values()) == sorted(control_plane.backup_arns())
        (pruned,) = xcoms(run, "prune")
        assert pruned["deleted"] == []

    def test_one_table_of_forty_fails(
        self, run_dag: RunDag, control_plane: ControlPlane, mailbox: list[EmailMessage]
    ) -> None:
        """The mail names it and says why; the others are backed up and pruned, and the run is not green."""
        tables = [f"shop-{number:02}" for number in range(40)]
        tagged(control_plane, *tables)
        old = made_before(control_plane, NIGHTLY, "shop-07")
        fault = Fault(code="ValidationException", text="The table is <odd>.", table="shop-13")
        control_plane.fail_next("CreateBackup", fault)
        run = run_dag(NIGHTLY)
        assert run.state == "failed"
        (mail,) = mailbox
        assert (mail["from"], mail["to"]) == ("airflow@example.com", "on-call@example.com")
        assert mail["subject"] == "example_dynamodb_backup_nightly: back_up failed"
        (report,) = xcoms(run, "back_up", "report")
        assert list(report["failed"]) == ["shop-13"]
        assert report["text"] in unescape(text_of(mail))
        assert "The table is &lt;odd&gt;." in text_of(mail)
        assert "1 failed, 39 have a backup. shop-13: " in report["text"]
        assert "The table is <odd>." in report["text"]
        assert len(report["backups"]) == 39
        (pruned,) = xcoms(run, "prune")
        assert set(pruned["deleted"]) < set(old)
        assert pruned["deleted"]

    def test_an_empty_selection(
        self, run_dag: RunDag, control_plane: ControlPlane, mailbox: list[EmailMessage]
    ) -> None:
        """The mail says so of both tasks, and what to check."""
        run = run_dag(NIGHTLY)
        assert run.state == "failed"
        (mail,) = mailbox
        assert mail["subject"].endswith(": back_up, prune failed")
        for task in ("back_up", "prune"):
            assert f"<p>{task}: No table is selected" in text_of(mail)
        assert "table_tags={'backup': ['nightly']} selects 0 tables" in unescape(text_of(mail))

    def test_a_denied_listing(self, run_dag: RunDag, control_plane: ControlPlane, mailbox: list[EmailMessage]) -> None:
        """The mail names the action that is missing; nothing was backed up, so nothing is deleted."""
        tagged(control_plane, "customers")
        old = made_before(control_plane, NIGHTLY, "customers")
        control_plane.fail_next("ListTables", Fault(code="AccessDeniedException", text="no dynamodb:ListTables"))
        run = run_dag(NIGHTLY)
        assert run.state == "failed"
        (mail,) = mailbox
        assert "<p>back_up: Access is denied" in text_of(mail)
        assert "no dynamodb:ListTables" in text_of(mail)
        assert "max_deletions is 0" in text_of(mail)
        assert control_plane.backup_arns() == old

    def test_a_task_that_has_left_no_report(
        self,
        run_dag: RunDag,
        control_plane: ControlPlane,
        mailbox: list[EmailMessage],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The mail says so, with the run and a link to it."""

        def killed(*_: object, **__: object) -> None:
            message = "killed"
            raise AirflowFailException(message)

        tagged(control_plane, "customers")
        monkeypatch.setattr(DynamoDBBackupTablesOperator, "execute", killed)
        run = run_dag(NIGHTLY)
        assert run.state == "failed"
        (mail,) = mailbox
        assert "<p>back_up: There is no report: the task was killed, or did not begin.</p>" in text_of(mail)
        assert run.run_id in unescape(text_of(mail))
        # Airflow 3.0 has no address for a run without its processes.
        assert ('href="None' if AIRFLOW_3_0 else 'href="http') in text_of(mail)

    def test_a_failed_prune(self, run_dag: RunDag, control_plane: ControlPlane, mailbox: list[EmailMessage]) -> None:
        """The mail says what could not be deleted, and the run is not green."""
        tagged(control_plane, "customers")
        made_before(control_plane, NIGHTLY, "customers")
        control_plane.fail_next("DeleteBackup", Fault(code="AccessDeniedException", text="no dynamodb:DeleteBackup"))
        run = run_dag(NIGHTLY)
        assert run.state == "failed"
        (mail,) = mailbox
        assert mail["subject"] == "example_dynamodb_backup_nightly: prune failed"
        assert "Not everything was pruned" in text_of(mail)
        assert "no dynamodb:DeleteBackup" in text_of(mail)

    def test_the_variable_stops_the_prune(self, run_dag: RunDag, control_plane: ControlPlane) -> None:
        """It plans only, and the backups go on."""
        tagged(control_plane, "customers")
        old = made_before(control_plane, NIGHTLY, "customers")
        variable = import_module("airflow.models").Variable
        variable.set("keep_all_backups", "true")
        try:
            run = run_dag(NIGHTLY)
        finally:
            variable.delete("keep_all_backups")
        assert run.state == "success"
        (pruned,) = xcoms(run, "prune")
        assert pruned["plan_only"]
        assert pruned["deleted"]
        assert len(control_plane.backup_arns()) == len(old) + 1


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
    assert [arn.split("/")[1] for arn in arns] == tables


def test_prune_by_hand(run_dag: RunDag, control_plane: ControlPlane, log: Callable[[], str]) -> None:
    """The plan deletes nothing, and says how many if they are too many; the run after it deletes them."""
    made = [control_plane.add_backups("orders", 1, "cron-1", age=3600 * age)[0] for age in range(33, 0, -1)]
    form: dict[str, object] = {"prefix": "cron-"}
    (rehearsal,) = xcoms(run_dag("example_dynamodb_backup_prune_by_hand", run_conf=form), "prune")
    assert control_plane.backup_arns() == made
    assert run_dag("example_dynamodb_backup_prune_by_hand", run_conf=form | {"max_deletions": 2}).state == "failed"
    assert "it would delete 3 and keep 30, and max_deletions is 2" in log()
    form |= {"plan_only": False, "max_deletions": 3}
    (report,) = xcoms(run_dag("example_dynamodb_backup_prune_by_hand", run_conf=form), "prune")
    text = rehearsal["text"].replace("would be", "were")
    assert report == rehearsal | {"plan_only": False, "text": text}
    assert rehearsal["deleted"] == made[:3]
    assert control_plane.backup_arns() == made[3:]


def test_now(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The tables of the form are backed up, patterns among them."""
    for table in ("shop-1", "shop-2", "customers"):
        control_plane.create_table(table)
    run = run_dag("example_dynamodb_backup_now", run_conf={"table_names": ["orders", "shop-*"]})
    assert run.state == "success"
    (report,) = xcoms(run, "back_up")
    assert list(report["backups"]) == ["orders", "shop-1", "shop-2"]
    assert sorted(report["backups"].values()) == sorted(control_plane.backup_arns())


def test_sweep(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The backups of tables that tests have dropped go, younger ones and others stay."""
    control_plane.create_table("test")
    gone = control_plane.add_backups("test", 3, "integration-test-1", age=2 * 86_400)
    control_plane.drop_table("test")
    others = [*control_plane.add_backups("orders", 1, "integration-test-1"), *control_plane.add_backups("orders", 1)]
    (report,) = xcoms(run_dag("example_dynamodb_backup_sweep"), "sweep")
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
    # As copied from the console; the readers know the table by its name.
    arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"
    run = run_dag("example_dynamodb_backup_restore", run_conf={"table_name": arn, "before": broken.isoformat()})
    assert run.state == "success"
    table = control_plane.client().describe_table(TableName="orders-restored")["Table"]
    assert table["RestoreSummary"]["SourceBackupArn"] == good
    assert xcoms(run, "restore") == xcoms(run, "restore", "table_arn") == [table["TableArn"]]
    (outcomes,) = xcoms(run, "restore", "settings")
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
    names = [f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders", "customers"]
    form = {"table_names": names, "before": broken.isoformat()}
    run = run_dag("example_dynamodb_restore_many", run_conf=form)
    assert run.state == "success"
    tables = {name: control_plane.client().describe_table(TableName=f"{name}-restored")["Table"] for name in good}
    assert {name: table["RestoreSummary"]["SourceBackupArn"] for name, table in tables.items()} == good
    assert xcoms(run, "restore") == [table["TableArn"] for table in tables.values()]


def test_restore_drill(run_dag: RunDag, control_plane: ControlPlane, log: Callable[[], str]) -> None:
    """A good backup passes and leaves no table; one whose data is wrong is told to somebody."""
    control_plane.restoring_for = CREATING_FOR
    control_plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}, "total": {"N": "5"}})
    (good,) = control_plane.add_backups("orders", 1)
    run = run_dag("example_dynamodb_backup_restore_drill")
    (report,) = xcoms(run, "drill")
    assert (report["verdict"], report["backup_arn"], report["run_id"]) == ("passed", good, run.run_id)
    control_plane.lose_backup(good)
    control_plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}})
    control_plane.add_backups("orders", 1)
    run = run_dag("example_dynamodb_backup_restore_drill", **{DATE: datetime(2026, 2, 1, tzinfo=UTC)})
    assert run.state == "failed"
    alert, *others = dict.fromkeys(line for line in log().splitlines() if "The restore drill has failed: " in line)
    # Airflow 3.0 prints it in a second format.
    assert AIRFLOW_3_0 or not others
    assert "validate has raised ValueError: an order without a total" in alert
    assert control_plane.client().list_tables()["TableNames"] == ["orders"]


def test_coverage(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The alert names the tables without a fresh backup; with one there is none; a check that fails has its own."""
    for table in ("customers", "test-1"):
        control_plane.create_table(table)
    control_plane.add_backups("orders", 1, age=3600)
    run = run_dag("example_dynamodb_backup_coverage")
    assert run.state == "success"
    (report,) = xcoms(run, "check")
    assert report["counts"] == {"fresh": 1, "late": 0, "none": 1, "unknown": 0}
    assert xcoms(run, "alert") == [["customers"]]
    control_plane.add_backups("customers", 1, age=3600)
    assert xcoms(run_dag("example_dynamodb_backup_coverage"), "alert") == [None]
    control_plane.fail_next("ListTables", Fault(code="AccessDeniedException"))
    run = run_dag("example_dynamodb_backup_coverage")
    states = {ti.task_id: ti.state for ti in run.get_task_instances()}
    assert (run.state, states["alert"], states["not_known"]) == ("failed", "upstream_failed", "success")


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


def test_regions(
    run_dag: RunDag, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, mailbox: list[EmailMessage]
) -> None:
    """Each place has its backups and is pruned, and the mail tells of the one that fails."""
    role = {"role_arn": "arn:aws:iam::210987654321:role/table-backups"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP_ACCOUNT", control_plane.connection(**role))
    places = (REGION, ACCOUNT), ("eu-west-1", ACCOUNT), ("eu-west-1", "210987654321")
    for region, account in places:
        if (region, account) != (REGION, ACCOUNT):
            control_plane.create_table("orders", region, account)
        control_plane.tag_table("orders", region, account, backup="nightly")
    old = made_before(control_plane, "example_dynamodb_backup_regions", "orders")
    control_plane.creating_for = CREATING_FOR
    run = run_dag("example_dynamodb_backup_regions")
    assert run.state == "success"
    assert mailbox == []
    pruned = [report["deleted"] for report in xcoms(run, "prune")]
    assert pruned[0]
    assert set(pruned[0]) < set(old)
    assert pruned[1:] == [[], []]
    for (region, account), report in zip(places, xcoms(run, "back_up"), strict=True):
        assert f"{region}:{account}:table/orders/" in report["backups"]["orders"]
        assert report["backups"]["orders"] in control_plane.backup_arns(region, account)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP_ACCOUNT", control_plane.connection())
    run = run_dag("example_dynamodb_backup_regions")
    assert run.state == "failed"
    (mail,) = mailbox
    assert mail["subject"].endswith(": 2 tasks failed")
    for task in ("back_up", "prune"):
        beginning = f"<p>{task} by aws_shop_account in eu-west-1: The account is another than it must be"
        assert beginning in text_of(mail)


def test_asset_without_an_event(run_dag: RunDag) -> None:
    """By hand, before any backup: the reaction is skipped."""
    assert run_dag("example_dynamodb_backup_asset_reaction").state == "success"


def test_asset(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The DAG that reacts knows the backup."""
    control_plane.creating_for = CREATING_FOR
    assert run_dag("example_dynamodb_backup_asset").state == "success"
    reaction = run_dag("example_dynamodb_backup_asset_reaction")
    assert reaction.state == "success"
    assert xcoms(reaction, "note_backup") == control_plane.backup_arns()


@pytest.mark.parametrize("path", sorted(EXAMPLE_DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_follows_the_conventions(path: Path) -> None:
    """Its DAG id is its file's name, and a test of its name runs it."""
    assert f'dag_id="{path.stem}"' in path.read_text()
    name = path.stem.removeprefix("example_dynamodb_").removeprefix("backup_")
    assert {f"test_{name}", f"Test{name.title()}"} & globals().keys()


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
    used = {task.task_type for dag in examples().values() for task in dag.tasks}
    assert used >= {*public_classes("operators"), *public_classes("sensors")}


class TestRestoreForm:
    """What the log of the restore says of the values of its form."""

    def refused(self, run_dag: RunDag, log: Callable[[], str], **form: str) -> str:
        """Trigger the DAG; return the first sentences that its log has of the failure."""
        good = {"table_name": "orders", "before": "2100-01-01T00:00:00+00:00", "restored_table_name": "orders-restored"}
        run = run_dag("example_dynamodb_backup_restore", run_conf=good | form)
        assert run.state == "failed"
        lines = [line for line in log().splitlines() if "DynamoDBRestoreTableFromBackupOperator" in line]
        number, line = next((number, line) for number, line in enumerate(lines) if "rror" in line.casefold())
        assert number < 3
        return line

    def test_no_backup_before_it(self, run_dag: RunDag, control_plane: ControlPlane, log: Callable[[], str]) -> None:
        """The log names the first time that there is a backup for; with that one it is restored."""
        control_plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}})
        (arn,) = control_plane.add_backups("orders", 1, age=3600)
        line = self.refused(run_dag, log, before="2020-01-01T00:00:00+00:00")
        assert "No backup of the table counts: table 'orders'" in line
        found = re.search(r"The first one that counts is restored with before=(\S+) or later", line)
        assert found
        form = {"table_name": "orders", "before": found[1], "restored_table_name": "orders-restored"}
        assert run_dag("example_dynamodb_backup_restore", run_conf=form).state == "success"
        table = control_plane.client().describe_table(TableName="orders-restored")["Table"]
        assert table["RestoreSummary"]["SourceBackupArn"] == arn

    def test_a_table_that_does_not_exist(self, run_dag: RunDag, log: Callable[[], str]) -> None:
        """The log says where to read its name."""
        line = self.refused(run_dag, log, table_name="ordres")
        assert "The table does not exist: table 'ordres', region 'us-east-1'" in line
        assert "give table_name as the DynamoDB console lists it" in line

    def test_a_target_that_exists(self, run_dag: RunDag, control_plane: ControlPlane, log: Callable[[], str]) -> None:
        """The log says that another name is needed, and which may do."""
        control_plane.create_table("customers")
        control_plane.add_backups("orders", 1, age=3600)
        line = self.refused(run_dag, log, restored_table_name="customers")
        assert "The table to restore to exists already: table 'customers'" in line
        assert "Choose another target_table_name, such as this one with '-2' at its end" in line

    @pytest.mark.parametrize("before", ["2026-11-23T01:40:00", "last night", None])
    def test_a_time_without_its_offset(
        self, run_dag: RunDag, control_plane: ControlPlane, log: Callable[[], str], before: str | None
    ) -> None:
        """The form refuses it, and no run begins; Airflow 2 leaves it to the task, whose log has one that is right."""
        if AIRFLOW_2 and before == "2026-11-23T01:40:00":
            assert WITH_OFFSET in self.refused(run_dag, log, before=before)
        else:
            with pytest.raises(Exception, match="before"):
                run_dag("example_dynamodb_backup_restore", run_conf={"before": before})
        assert not control_plane.calls

    def test_a_time_without_its_offset_that_no_form_has_refused(self, run_dag: RunDag, log: Callable[[], str]) -> None:
        """The log has one that is right, before any traceback."""
        run = run_dag("restore_before", run_conf={"before": "2026-11-23T01:40:00"})
        assert run.state == "failed"
        text = log()
        assert 0 < text.index(WITH_OFFSET) < text.index("Traceback")

    def test_an_empty_table_gets_no_readers(self, run_dag: RunDag, control_plane: ControlPlane) -> None:
        """The check fails at once, and the readers stay where they are."""
        control_plane.create_table("customers")
        control_plane.add_backups("customers", 1, age=3600)
        form = {"table_name": "customers", "before": "2100-01-01T00:00:00+00:00"}
        run = run_dag("example_dynamodb_backup_restore", run_conf=form)
        states = {ti.task_id: ti.state for ti in run.get_task_instances()}
        assert states == {"restore": "success", "check": "failed", "point_readers_to": "upstream_failed"}

    def test_a_table_without_point_in_time_recovery(self, run_dag: RunDag, log: Callable[[], str]) -> None:
        """The other form fails at once, has made nothing, and says to restore a backup."""
        form = {"moment": datetime.now(tz=UTC).isoformat(timespec="seconds")}
        assert run_dag("example_dynamodb_restore_point_in_time", run_conf=form).state == "failed"
        text = log()
        sentence = "point-in-time recovery (PITR) is not ENABLED: table 'orders-restored'"
        assert 0 < text.index(sentence) < text.index("Nothing was made. Restore a backup") < text.index("Traceback")

    def test_a_good_form(self, run_dag: RunDag, control_plane: ControlPlane, log: Callable[[], str]) -> None:
        """The log says which backup it is, what was left off, that less could be lost, and what comes next."""
        client = control_plane.client()
        client.put_item(TableName="orders", Item={"id": {"S": "1"}})
        control_plane.switch_recovery("orders")
        ttl = {"AttributeName": "expires", "Enabled": True}
        client.update_time_to_live(TableName="orders", TimeToLiveSpecification=ttl)
        (arn,) = control_plane.add_backups("orders", 1, "nightly-1", age=3600)
        form = {"table_name": "orders", "before": "2100-01-01T00:00:00+00:00"}
        assert run_dag("example_dynamodb_backup_restore", run_conf=form).state == "success"
        lines = [
            r"Picked the newest of 1 backups before 2100-01-01T00:00:00\+00:00: " + arn,
            r"The backup was created at \S+, 123 bytes: " + arn + ", named nightly-1",
            "Not asked for by settings: ttl, which table orders also has",
            "Point-in-time recovery is on: DynamoDBRestoreTableToPointInTimeOperator loses only",
            "Not restored; recreate these: CloudWatch alarms",
            "Next: count and sample table orders-restored, copy what was written to table orders since",
        ]
        assert re.search(".*".join(lines), log(), re.DOTALL)
