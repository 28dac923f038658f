"""The operator that backs many tables up: what it selects, waits for, pushes and reports."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, Asset, TaskDeferred

from airflow_ddb_backup.exceptions import (
    BackupError,
    BackupTimeoutError,
    EmptySelectionError,
    InvalidValueError,
    TablesFailedError,
    TablesFailedForGoodError,
    TooManyTablesError,
    TriggerFailedError,
)
from airflow_ddb_backup.models import read_backup_page
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupsTrigger
from airflow_ddb_backup.waiting import client
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.simulator.faults import INTERNAL_ERROR, Answer, Fault
from tests.unit.conftest import TaskTimeout
from tests.unit.creation.support import COUNT, TABLES, backed_up, by_table, context_for, operator, retry_of, xcoms

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("forty_tables", "fast_loop")
HANGING = Fault(Answer.HANGING)
# What a report has beside the backups where nothing has failed.
REST: dict[str, Any] = {
    "failed": {},
    "skipped": {},
    "table_bytes": 0,
    "account": ACCOUNT,
    "region": REGION,
    "error": None,
    "text": f"Tables: 40 with a backup, 0 failed, 0 skipped. AWS account {ACCOUNT}, region {REGION}.",
}

# What comes back with an event where nothing had failed before.
CARRY: dict[str, Any] = {"failed": {}, "skipped": {}, "table_bytes": 0}
# What the link to the console's list of backups is made of.
LINK = {"region_name": REGION, "aws_domain": "aws.amazon.com"}


def resumed(task: DynamoDBBackupTablesOperator, context: Context) -> Any:
    """Execute a task that defers, run its trigger as it comes back from the database, and resume it."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    trigger = DynamoDBBackupsTrigger(**deferred.value.trigger.serialize()[1])

    async def event() -> Any:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(event())
    return task.resume_execution("execute_complete", {"event": payload}, context)


class TestAll:
    """Every table has its backup, AVAILABLE."""

    @pytest.mark.parametrize("wait", [True, False])
    def test_every_table_has_one(self, control_plane: ControlPlane, clock: Clock, wait: bool) -> None:
        """They are returned by table, and pushed before any waiting; a first try lists nothing to find them."""
        control_plane.creating_for = 20
        context = context_for(clock)
        report = operator(wait_for_completion=wait).execute(context)
        backups = backed_up(control_plane)
        assert report == {"backups": backups, **REST}
        ti: Any = context["ti"]
        assert ti.xcoms == {"backup_arns": backups, "dynamodb_backups": LINK}
        assert control_plane.calls["DescribeTable"] == control_plane.calls["CreateBackup"] == COUNT
        # Those of the poller have an end.
        listings = [body for call, body in control_plane.requests if call == "ListBackups"]
        assert [body for body in listings if "TimeRangeUpperBound" not in body] == []
        if not wait:
            assert control_plane.calls["ListBackups"] == control_plane.calls["DescribeBackup"] == 0

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_the_report_tells_the_size_of_the_tables(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str], deferrable: bool
    ) -> None:
        """As AWS last counted them, and not at all where it has not: that of the backups is filled in hours later."""
        control_plane.creating_for = 20
        sized = Fault(Answer.ALTERED, set_members={"TableSizeBytes": 1024**3})
        control_plane.fail_next("DescribeTable", sized, times=COUNT - 10)
        task, context = operator(deferrable=deferrable), context_for(clock)
        report = resumed(task, context) if deferrable else task.execute(context)
        told = "Tables: 40 with a backup, 0 failed, 0 skipped. Size of the tables: 30.0 GB, as AWS last counted."
        assert report["table_bytes"] == 30 * 1024**3
        assert report["text"].startswith(told)
        assert told in log()

    def test_names_are_each_table_s_own(self, control_plane: ControlPlane, clock: Clock) -> None:
        """A derived one holds the table's name, a given one is the same for all."""
        operator(wait_for_completion=False).execute(context_for(clock))
        names = {
            body["TableName"]: body["BackupName"] for call, body in control_plane.requests if call == "CreateBackup"
        }
        assert len(set(names.values())) == COUNT
        assert [table for table, name in names.items() if f".{table}." not in name] == []
        operator(backup_name="nightly", wait_for_completion=False).execute(context_for(clock))
        given = [body["BackupName"] for call, body in control_plane.requests if call == "CreateBackup"][COUNT:]
        assert given == ["nightly"] * COUNT

    def test_deferred_it_hands_on_all_that_the_wait_needs(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The ARNs once, since there may be thousands."""
        with pytest.raises(TaskDeferred) as deferred:
            operator(deferrable=True, table_names=["table-01", "nowhere"]).execute(context_for(clock))
        kwargs = deferred.value.trigger.serialize()[1]
        assert kwargs.pop("deadline") > clock.time()
        failed = kwargs["carry"].pop("failed")
        assert [(table, one["permanent"]) for table, one in failed.items()] == [("nowhere", True)]
        assert kwargs == {
            "backup_arns": control_plane.backup_arns(),
            "carry": {
                "of": ["shop", "manual__2026-11-23", "back_up", -1],
                "try": 1,
                "aws": {
                    "aws_conn_id": "aws_default",
                    "region_name": REGION,
                    "verify": None,
                    "connection_found": True,
                },
                "skipped": {},
                "table_bytes": 0,
            },
            "poll_interval": 5,
            "aws_conn_id": "aws_default",
            "region_name": REGION,
            "verify": None,
            "botocore_config": None,
            "connection_found": True,
        }

    @pytest.mark.parametrize("do_xcom_push", [True, False])
    def test_deferred_it_returns_the_same(self, control_plane: ControlPlane, clock: Clock, do_xcom_push: bool) -> None:
        """Whether its XComs are kept or not."""
        control_plane.creating_for = 20
        context = context_for(clock)
        task = operator(deferrable=True, do_xcom_push=do_xcom_push)
        assert resumed(task, context) == {"backups": backed_up(control_plane), **REST}

    def test_the_report_goes_to_the_outlets(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Of every asset."""
        context = context_for(clock)
        asset = Asset("s3://backups")
        event = SimpleNamespace(extra={})

        class Events:
            """Without a dict: Airflow 3.1.0's assets can't be hashed."""

            def __getitem__(self, _: object) -> SimpleNamespace:
                return event

        context["outlet_events"] = Events()  # type: ignore[typeddict-item]  # all that is used of it
        report = operator(outlets=[asset]).execute(context)
        assert event.extra == report


class TestSelection:
    """The tables are selected as by the other operators for many."""

    def test_an_empty_selection_fails(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Or skips the task, if it says so."""
        with pytest.raises(EmptySelectionError):
            operator(table_names=["nothing-*"]).execute(context_for(clock))
        with pytest.raises(AirflowSkipException):
            operator(table_names=["nothing-*"], if_empty="skip").execute(context_for(clock))
        assert not by_table(control_plane)

    @pytest.mark.parametrize("if_empty", ["fail", "skip"])
    def test_a_selection_whose_tables_all_vanish_is_an_empty_one(
        self, control_plane: ControlPlane, clock: Clock, if_empty: str
    ) -> None:
        """They were there when the tables were listed."""
        control_plane.before("DescribeTable", lambda: control_plane.drop_table("table-39"))
        with pytest.raises(EmptySelectionError if if_empty == "fail" else AirflowSkipException):
            operator(table_names=["*-39"], if_empty=if_empty).execute(context_for(clock))

    def test_too_many_tables_are_refused_before_anything_is_done(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """Nothing is described or made."""
        with pytest.raises(TooManyTablesError):
            operator(max_tables=39).execute(context_for(clock))
        assert not by_table(control_plane)

    def test_tags(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Of tables that exist."""
        for table in TABLES[:3]:
            control_plane.tag_table(table, backup="nightly")
        control_plane.ghosts = {f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/gone": {"backup": "nightly"}}
        report = operator(table_names=["*"], table_tags={"backup": "nightly"}).execute(context_for(clock))
        assert list(report["backups"]) == TABLES[:3]

    def test_a_named_table_that_lacks_the_tags_is_skipped(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """It is asked itself, reported and warned of, and does not count."""
        named = TABLES[:3]
        for table in named[:2]:
            control_plane.tag_table(table, backup="nightly")
        task = operator(table_names=named, table_tags={"backup": "nightly"}, max_tables=2)
        report = task.execute(context_for(clock))
        assert list(report["backups"]) == named[:2]
        assert report["skipped"] == {named[2]: "It lacks the tags."}
        assert f"Skipped, since it lacks the tags: table {named[2]}" in log()

    def test_the_report_of_a_task_that_has_waited_is_the_last_one(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """One was pushed before the wait, for what is skipped."""
        control_plane.creating_for = 60
        control_plane.tag_table(TABLES[0], backup="nightly")
        task = operator(table_names=TABLES[:2], table_tags={"backup": "nightly"}, deferrable=True)
        context = context_for(clock)
        assert resumed(task, context) == xcoms(context)["report"]

    def test_a_named_table_whose_tags_can_t_be_read_fails_alone(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """It is asked for a minute, and reported; the others have their backups."""
        named = TABLES[:3]
        for table in named:
            control_plane.tag_table(table, backup="nightly")
        control_plane.fail_next("ListTagsOfResource", replace(INTERNAL_ERROR, table=named[1]), times=10_000)
        begun, context = clock.time(), context_for(clock)
        with pytest.raises(TablesFailedError, match="2 have a backup"):
            operator(table_names=named, table_tags={"backup": "nightly"}).execute(context)
        assert clock.time() - begun < 120
        report = xcoms(context)["report"]
        assert (list(report["backups"]), list(report["failed"])) == ([named[0], named[2]], [named[1]])

    @pytest.mark.parametrize("rendered", ["['orders']", "orders", None, []], ids=repr)
    def test_a_list_that_renders_to_something_else(
        self, control_plane: ControlPlane, clock: Clock, rendered: Any
    ) -> None:
        """It is never all tables; a string says what to set."""
        task = operator(table_names="{{ params.tables }}")
        task.table_names = rendered
        hint = "render_template_as_native_obj" if isinstance(rendered, str) else "An empty selection never means all"
        with pytest.raises((InvalidValueError, EmptySelectionError), match=hint):
            task.execute(context_for(clock))
        assert not by_table(control_plane)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"table_names": "orders"},
            {"exclude": "orders"},
            {"table_tags": {}},
            {"max_tables": 0},
            {"if_empty": "ignore"},
            {"backup_name": "a b"},
            {"if_exists": "maybe"},
            {"if_exists": "fail", "reuse_within": timedelta(hours=1)},
            {"poll_interval": 0},
            {"timeout": 59},
        ],
        ids=repr,
    )
    def test_wrong_values_are_refused_when_the_dag_is_parsed(self, wrong: dict[str, Any]) -> None:
        """The message names the parameter."""
        with pytest.raises(InvalidValueError, match="|".join(wrong)):
            operator(**wrong)


@pytest.mark.load
class TestWaiting:
    """All are waited for together."""

    def test_a_backup_that_is_lost_while_it_waits(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The others are waited for."""
        control_plane.creating_for = 60
        context = context_for(clock)
        control_plane.on_commit = lambda arn, _: control_plane.statuses.update(
            {arn: "DELETED"} if "table-11" in arn else {}
        )
        with pytest.raises(TablesFailedForGoodError, match=r"1 failed, 39 have a backup\. table-11: .* It was deleted"):
            resumed(operator(deferrable=True), context)
        ti: Any = context["ti"]
        assert len(ti.xcoms["report"]["backups"]) == 39

    @pytest.mark.parametrize("deferrable", [True, False])
    @pytest.mark.parametrize(
        ("status", "reason"), [("DELETED", "It was deleted"), ("CREATING", "Last status CREATING")]
    )
    def test_each_failure_is_logged_once(
        self,
        control_plane: ControlPlane,
        clock: Clock,
        log: Callable[[], str],
        deferrable: bool,
        status: str,
        reason: str,
    ) -> None:
        """The reason first and the long name of the backup last, since Airflow's UI cuts lines."""
        control_plane.creating_for = 60
        lost = {"table-01", "table-02"}
        control_plane.on_commit = lambda arn, _: control_plane.statuses.update(
            {arn: status} if arn.split("/")[1] in lost else {}
        )
        context, task = context_for(clock), operator(table_names=TABLES[:5], deferrable=deferrable, timeout=120)
        with pytest.raises(TablesFailedError):
            resumed(task, context) if deferrable else task.execute(context)
        lines = [line for line in log().splitlines() if reason in line]
        assert len(lines) == len(lost)
        for arn in (arn for arn in control_plane.backup_arns() if arn.split("/")[1] in lost):
            ((before, after),) = (line.split(reason) for line in lines if arn in line)
            assert f"table '{arn.split('/')[1]}'" in before
            assert arn in after
            assert arn not in before

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_time_is_up(self, control_plane: ControlPlane, clock: Clock, deferrable: bool) -> None:
        """Of those that are not AVAILABLE; a retry waits for them."""
        control_plane.on_commit = lambda arn, _: control_plane.statuses.update(
            {arn: "CREATING"} if "table-1" in arn else {}
        )
        context, task = context_for(clock), operator(deferrable=deferrable, timeout=120)
        with pytest.raises(TablesFailedError, match="10 failed, 30 have a backup") as failure:
            resumed(task, context) if deferrable else task.execute(context)
        assert BackupTimeoutError.hint in str(failure.value)
        control_plane.statuses.clear()
        report = operator(timeout=120).execute(retry_of(context))
        assert report["backups"] == backed_up(control_plane)

    def test_hanging_polls(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Nothing answers any more once the backups are made."""
        control_plane.creating_for = 9999
        for operation in ("DescribeBackup", "ListBackups"):
            control_plane.fail_next(operation, HANGING, times=9999)
        began = clock.time()
        with pytest.raises(TablesFailedError):
            operator(timeout=60).execute(context_for(clock))
        assert clock.time() - began < 60 + 30

    @pytest.mark.parametrize("operation", ["DescribeBackup", "ListBackups"])
    def test_while_it_waits_the_report_is_pushed(
        self, control_plane: ControlPlane, clock: Clock, execution_timeout: Callable[[], None], operation: str
    ) -> None:
        """As every task's that fails, and as where the triggerer waits: no backup passes for done."""
        control_plane.creating_for = 9999
        # Too few for a listing, or enough for one.
        names = TABLES[:2] if operation == "DescribeBackup" else TABLES
        control_plane.before(operation, execution_timeout)
        context = context_for(clock)
        with pytest.raises(TaskTimeout):
            operator(table_names=[*names, "nowhere"]).execute(context)
        assert sorted(xcoms(context)["backup_arns"]) == names
        report = xcoms(context)["report"]
        assert report["backups"] == {}
        assert sorted(report["failed"]) == sorted([*names, "nowhere"])

    def test_amid_an_answer_it_ends_the_task(
        self,
        control_plane: ControlPlane,
        clock: Clock,
        execution_timeout: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The signal comes while a listing is read, and is not taken for a listing that failed."""
        control_plane.creating_for = 9999
        read = read_backup_page
        sent: list[Any] = []

        def slow(response: Any) -> Any:
            if not sent:
                sent.append(response)
                execution_timeout()
            return read(response)

        monkeypatch.setitem(vars(client)["_READERS"], "ListBackups", slow)
        with pytest.raises(TaskTimeout):
            operator(timeout=60).execute(context_for(clock))
        assert sent


class TestEvents:
    """No event but the trigger's own is a success."""

    @pytest.mark.parametrize(
        "event",
        [
            None,
            {},
            {"status": "success"},
            {"status": "success", "failed": {}, "message": ""},
            {"status": "success", "failed": {}, "message": "", "carry": {}},
            {"status": "error", "failed": {}, "message": "", "carry": CARRY},
            {"status": "success", "failed": [], "message": "", "carry": CARRY},
            {"status": "running", "failed": {}, "message": "", "carry": CARRY},
            {"status": "success", "failed": {}, "message": "", "carry": {**CARRY, "failed": {"orders": "no"}}},
        ],
        ids=repr,
    )
    def test_a_malformed_one(self, clock: Clock, event: Any) -> None:
        """Nothing unknown or incomplete."""
        context = context_for(clock, xcoms={"backup_arns": {}})
        with pytest.raises(TriggerFailedError):
            operator().resume_execution("execute_complete", {"event": event}, context)

    def test_no_triggerer_has_answered(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Airflow's own limit is the net below."""
        (arn,) = control_plane.add_backups("table-01", 1)
        context = context_for(
            clock, xcoms={"backup_arns": {"table-01": arn}, "report": {"failed": {"nowhere": "gone"}}}
        )
        with pytest.raises(BackupTimeoutError, match=f"region '{REGION}'"):
            operator().resume_execution("__fail__", {"error": "Trigger timeout"}, context)
        ti: Any = context["ti"]
        report = ti.xcoms["report"]
        assert (report["backups"], list(report["failed"]), report["skipped"]) == ({}, ["nowhere", "table-01"], {})
        assert (report["account"], report["region"]) == (ACCOUNT, REGION)
        assert report["text"].startswith(report["error"])
        assert f"table 'table-01', backup '{arn}', region '{REGION}'" in report["failed"]["table-01"]


@pytest.mark.load
class TestReports:
    """What the task says of each table is true and complete, however it ends."""

    @pytest.mark.parametrize(
        ("wrong", "reason"),
        [
            ({"max_tables": 39}, "max_tables is 39"),
            ({"table_names": ["nothing-*"]}, "selects 0 tables"),
            ({"region_name": "eu-west-1"}, "ListTables"),
            ({"backup_name": "{{ none }}"}, "backup_name must be"),
        ],
        ids=repr,
    )
    def test_whatever_makes_it_fail_the_report_has_the_reason(
        self, control_plane: ControlPlane, clock: Clock, wrong: dict[str, Any], reason: str
    ) -> None:
        """A wrong value, a refused selection, a denied listing."""
        if "ListTables" in reason:
            control_plane.fail_next("ListTables", Fault(code="AccessDeniedException"))
        context, task = context_for(clock), operator(**wrong)
        if "backup_name" in wrong:
            task.backup_name = None
        with pytest.raises(BackupError) as failure:
            task.execute(context)
        report = xcoms(context)["report"]
        assert reason in report["error"] == str(failure.value)
        assert report["text"].startswith(report["error"])
        assert (report["backups"], report["region"]) == ({}, task.region_name or report["region"])

    def test_the_log_counts_as_the_exception_does(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """A backup that was deleted while it was waited for is none."""
        control_plane.creating_for = 60
        control_plane.on_commit = lambda arn, _: control_plane.statuses.update(
            {arn: "DELETED"} if "table-11" in arn else {}
        )
        with pytest.raises(TablesFailedError, match="1 failed, 39 have a backup"):
            operator().execute(context_for(clock))
        (line,) = [line for line in log().splitlines() if "Tables: " in line]
        assert "39 with a backup, 1 failed" in line

    @pytest.mark.parametrize("if_exists", ["create", "reuse"])
    def test_the_hint_says_what_a_retry_does(self, control_plane: ControlPlane, clock: Clock, if_exists: str) -> None:
        """It does what is missing, unless if_exists='create' makes every backup once more."""
        control_plane.statuses["table-00"] = "CREATING"
        with pytest.raises(TablesFailedError) as failure:
            operator(if_exists=if_exists, timeout=60, wait_for_completion=False).execute(context_for(clock))
        assert ("a retry does what is missing" in str(failure.value)) == (if_exists == "reuse")

    def test_no_triggerer_each_table_is_reported(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Those that had failed before, and the others by their names."""
        context = context_for(clock)
        task = operator(deferrable=True, table_names=[*TABLES, "nowhere"])
        with pytest.raises(TaskDeferred):
            task.execute(context)
        with pytest.raises(BackupTimeoutError):
            task.resume_execution("__fail__", {"error": "Trigger timeout"}, context)
        failed = xcoms(context)["report"]["failed"]
        assert sorted(failed) == sorted([*TABLES, "nowhere"])
        assert [table for table, message in failed.items() if table not in message and table != "nowhere"] == []

    def test_no_triggerer_the_region_is_that_of_the_arns(
        self, control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the connection names none."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(region=None))
        names = [control_plane.create_table("by-arn")]
        context = context_for(clock)
        with pytest.raises(TaskDeferred):
            operator(deferrable=True, table_names=names).execute(context)
        with pytest.raises(BackupTimeoutError, match="region 'us-east-1'"):
            operator(deferrable=True, table_names=names).resume_execution(
                "__fail__", {"error": "Trigger timeout"}, context
            )

    @pytest.mark.parametrize("event", [None, {"status": "success", "failed": {}, "message": "", "carry": {}}])
    def test_a_malformed_event_leaves_one(self, control_plane: ControlPlane, clock: Clock, event: Any) -> None:
        """The report is pushed though the event tells nothing."""
        context = context_for(clock)
        task = operator(deferrable=True)
        with pytest.raises(TaskDeferred):
            task.execute(context)
        with pytest.raises(TriggerFailedError):
            task.resume_execution("execute_complete", {"event": event}, context)
        assert "report" in xcoms(context)
