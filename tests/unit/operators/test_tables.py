"""DynamoDBBackupTablesOperator: many tables in one task; all are tried and reported before the task is judged."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, Asset, TaskDeferred

from airflow_ddb_backup.exceptions import (
    BackupTimeoutError,
    EmptySelectionError,
    InvalidValueError,
    PermanentError,
    TablesFailedError,
    TablesFailedForGoodError,
    TooManyTablesError,
    TriggerFailedError,
)
from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupsTrigger
from tests.simulator import faults
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.simulator.faults import INTERNAL_ERROR, THROTTLED, Fault
from tests.unit.conftest import FakeTaskInstance, context_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.loop import SkippingLoop

COUNT = 40
TABLES = [f"table-{number:02}" for number in range(COUNT)]


@pytest.fixture(autouse=True)
def _tables(control_plane: ControlPlane) -> None:
    for name in TABLES:
        control_plane.create_table(name)


@pytest.fixture(autouse=True)
def _fast_loop(loop_factory: Callable[[], SkippingLoop], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loop of a worker, and a trigger's, skip the time in which nothing happens."""
    monkeypatch.setattr("asyncio.events.new_event_loop", loop_factory)


def operator(**kwargs: Any) -> DynamoDBBackupTablesOperator:
    """Return a task for all tables but ``orders``."""
    return DynamoDBBackupTablesOperator(task_id="back_up", **{"table_names": ["table-*"], **kwargs})


def context_for(clock: Clock, **kwargs: Any) -> Context:
    """Return the context of a try."""
    return context_of(FakeTaskInstance(run_after=datetime.fromtimestamp(clock.time(), tz=UTC), **kwargs))


def retry_of(context: Context, **kwargs: Any) -> Context:
    """Return the context of the next try of the same run."""
    ti: Any = context["ti"]
    return context_of(FakeTaskInstance(run_after=ti.run_after, try_number=ti.try_number + 1, **kwargs))


def by_table(control_plane: ControlPlane) -> dict[str, list[str]]:
    """Return the backups of each table."""
    found: dict[str, list[str]] = {}
    for arn in control_plane.backup_arns():
        found.setdefault(arn.split("/")[1], []).append(arn)
    return found


def backed_up(control_plane: ControlPlane, *without: str) -> dict[str, str]:
    """Return the one backup of each table, which each must have but some that have none."""
    found = by_table(control_plane)
    assert sorted(found) == sorted(set(TABLES) - set(without))
    assert [arns for arns in found.values() if len(arns) != 1] == []
    return {table: arn for table, (arn,) in sorted(found.items())}


def deny(control_plane: ControlPlane, action: str, table: str) -> None:
    """Allow everything but one action on one table."""
    actions = ["ListTables", "ListBackups", "DescribeTable", "CreateBackup", "DescribeBackup"]
    everywhere = [f"dynamodb:{each}" for each in actions if each != action]
    arns = [f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}" for name in TABLES if name != table]
    control_plane.policy = {
        "Statement": [
            {"Effect": "Allow", "Action": everywhere, "Resource": "*"},
            {"Effect": "Allow", "Action": f"dynamodb:{action}", "Resource": arns},
        ]
    }


class TestAll:
    """Every table has its backup, AVAILABLE."""

    @pytest.mark.parametrize("wait", [True, False])
    def test_every_table_has_one(self, control_plane: ControlPlane, clock: Clock, wait: bool) -> None:
        """They are returned by table, and pushed before any waiting; a first try lists nothing to find them."""
        control_plane.creating_for = 20
        context = context_for(clock)
        report = operator(wait_for_completion=wait).execute(context)
        backups = backed_up(control_plane)
        assert report == {"backups": backups, "failed": {}, "skipped": {}}
        ti: Any = context["ti"]
        assert ti.xcoms == {"backup_arns": backups}
        assert control_plane.calls["DescribeTable"] == control_plane.calls["CreateBackup"] == COUNT
        # Those of the poller have an end.
        listings = [body for call, body in control_plane.requests if call == "ListBackups"]
        assert [body for body in listings if "TimeRangeUpperBound" not in body] == []
        if not wait:
            assert control_plane.calls["ListBackups"] == control_plane.calls["DescribeBackup"] == 0

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
        failed = kwargs["carry"]["report"].pop("failed")
        assert [(table, one["permanent"]) for table, one in failed.items()] == [("nowhere", True)]
        assert kwargs == {
            "backup_arns": control_plane.backup_arns(),
            "carry": {"report": {"skipped": {}}},
            "poll_interval": 5,
            "aws_conn_id": "aws_default",
            "region_name": REGION,
            "verify": None,
            "botocore_config": None,
        }

    @pytest.mark.parametrize("do_xcom_push", [True, False])
    def test_deferred_it_returns_the_same(self, control_plane: ControlPlane, clock: Clock, do_xcom_push: bool) -> None:
        """Whether its XComs are kept or not."""
        control_plane.creating_for = 20
        context = context_for(clock)
        task = operator(deferrable=True, do_xcom_push=do_xcom_push)
        assert resumed(task, context) == {"backups": backed_up(control_plane), "failed": {}, "skipped": {}}

    def test_the_report_goes_to_the_outlets(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Of every asset."""
        context = context_for(clock)
        asset = Asset("s3://backups")
        event = SimpleNamespace(extra={})
        context["outlet_events"] = {asset: event}  # type: ignore[typeddict-item]  # all that is used of it
        report = operator(outlets=[asset]).execute(context)
        assert event.extra == report


def resumed(task: DynamoDBBackupTablesOperator, context: Context) -> Any:
    """Execute a task that defers, run its trigger as it comes back from the database, and resume it."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    trigger = DynamoDBBackupsTrigger(**deferred.value.trigger.serialize()[1])

    async def event() -> Any:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(event())
    return task.resume_execution("execute_complete", {"event": payload}, context)


@pytest.mark.load
class TestOneBackupPerRun:
    """All that holds for one table holds for each: one of them meets the fault, and the others are untouched."""

    @pytest.mark.parametrize(
        "fault",
        [
            faults.DROPPED_BEFORE_COMMIT,
            faults.DROPPED_AFTER_COMMIT,
            faults.INTERNAL_ERROR,
            faults.INTERNAL_ERROR_AFTER_COMMIT,
            faults.HTML_OF_A_PROXY_AFTER_COMMIT,
            faults.EMPTY_RESPONSE_AFTER_COMMIT,
            THROTTLED,
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("lag", [0, 8])
    def test_a_lost_response(self, control_plane: ControlPlane, clock: Clock, fault: Fault, lag: float) -> None:
        """Settled by listings of the account."""
        control_plane.listing_lag = lag
        control_plane.fail_next("CreateBackup", fault)
        report = operator().execute(context_for(clock))
        assert report["backups"] == backed_up(control_plane)
        tables = [body.get("TableName") for call, body in control_plane.requests if call == "ListBackups"]
        assert set(tables) <= {None}

    def test_many_lost_responses(self, control_plane: ControlPlane, clock: Clock) -> None:
        """One listing settles as many as are open."""
        control_plane.fail_next("CreateBackup", faults.INTERNAL_ERROR_AFTER_COMMIT, times=COUNT)
        report = operator(wait_for_completion=False).execute(context_for(clock))
        assert report["backups"] == backed_up(control_plane)
        assert control_plane.calls["ListBackups"] < COUNT

    @pytest.mark.parametrize("made", [1, 20, COUNT])
    @pytest.mark.parametrize("lag", [0, 8])
    def test_a_later_try_does_what_is_missing(
        self, control_plane: ControlPlane, clock: Clock, made: int, lag: float
    ) -> None:
        """With a few listings of the account instead of one a table."""
        control_plane.listing_lag = lag
        context = context_for(clock)
        operator(table_names=TABLES[:made], wait_for_completion=False).execute(context)
        before = by_table(control_plane)
        listings = control_plane.calls["ListBackups"]
        report = operator(wait_for_completion=False).execute(retry_of(context))
        assert report["backups"] == backed_up(control_plane)
        assert {table: arns for table, arns in by_table(control_plane).items() if table in before} == before
        assert control_plane.calls["ListBackups"] - listings <= 15

    def test_a_cleared_run_takes_its_backups(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Those with derived names, since the run was due."""
        context = context_for(clock)
        first = operator().execute(context)
        clock.sleep(86_400)
        ti: Any = context["ti"]
        cleared = FakeTaskInstance(
            run_after=ti.run_after, started=datetime.fromtimestamp(clock.time(), tz=UTC), try_number=2, clear_number=1
        )
        assert operator().execute(context_of(cleared)) == first
        assert first["backups"] == backed_up(control_plane)

    def test_another_run_makes_its_own(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Of every table."""
        first = operator().execute(context_for(clock))
        clock.sleep(86_400)
        second = operator().execute(context_for(clock, run_id="scheduled__2026-11-24"))
        assert set(first["backups"].values()).isdisjoint(second["backups"].values())

    def test_reuse_within(self, control_plane: ControlPlane, clock: Clock) -> None:
        """One listing of the account shows the young ones of all tables."""
        clock.sleep(86_400)
        made = {table: control_plane.add_backups(table, 1, age=3600)[0] for table in TABLES[:30]}
        report = operator(reuse_within=timedelta(hours=2), wait_for_completion=False).execute(context_for(clock))
        assert {table: report["backups"][table] for table in made} == made
        assert report["backups"] == backed_up(control_plane)
        assert control_plane.calls["ListBackups"] <= 3

    def test_twins(self, control_plane: ControlPlane, clock: Clock) -> None:
        """An orphan of the try before makes one too, just before this one does: both settle on the older."""
        context = context_for(clock)
        later = retry_of(context)
        name = {}

        def orphan() -> None:
            request = next(body for call, body in reversed(control_plane.requests) if call == "CreateBackup")
            name.update(request)
            control_plane.client().create_backup(TableName=request["TableName"], BackupName=request["BackupName"])

        control_plane.before("CreateBackup", orphan)
        report = operator(wait_for_completion=False).execute(later)
        twins = by_table(control_plane)[name["TableName"]]
        assert len(twins) == 2
        assert report["backups"][name["TableName"]] == min(twins)


@pytest.mark.load
class TestPartialFailure:
    """All are tried, all are reported, then the task is judged."""

    def test_one_is_denied(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The others are done; the task fails for good, and says which and why."""
        deny(control_plane, "CreateBackup", "table-07")
        context = context_for(clock)
        with pytest.raises(TablesFailedForGoodError, match=r"1 failed, 39 have a backup\. table-07: Access") as failure:
            operator().execute(context)
        assert "dynamodb:CreateBackup" in str(failure.value)
        ti: Any = context["ti"]
        report = ti.xcoms["report"]
        assert report["backups"] == backed_up(control_plane, "table-07")
        assert list(report["failed"]) == ["table-07"]

    @pytest.mark.clock_speed(20)
    def test_a_failure_that_may_pass_is_retried(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Beside one that does not; the retry does only what is missing."""
        control_plane.statuses["table-03"] = "CREATING"
        context = context_for(clock)
        with pytest.raises(TablesFailedError, match="2 failed, 39 have a backup") as failure:
            operator(table_names=[*TABLES, "nowhere"], timeout=60).execute(context)
        assert not isinstance(failure.value, PermanentError)
        del control_plane.statuses["table-03"]
        with pytest.raises(TablesFailedForGoodError, match="1 failed, 40 have a backup"):
            operator(table_names=[*TABLES, "nowhere"], timeout=60).execute(retry_of(context))
        backed_up(control_plane)

    def test_the_message_names_the_first_five(self, control_plane: ControlPlane, clock: Clock) -> None:
        """XCom has all."""
        names = [f"nowhere-{number}" for number in range(8)]
        context = context_for(clock)
        with pytest.raises(TablesFailedForGoodError, match="8 failed, 0 have a backup") as failure:
            operator(table_names=names).execute(context)
        assert [name for name in names if f"{name}: " in str(failure.value)] == names[:5]
        ti: Any = context["ti"]
        assert list(ti.xcoms["report"]["failed"]) == names

    @pytest.mark.parametrize("gone", ["dropped", "deleting"])
    @pytest.mark.parametrize("moment", ["DescribeTable", "CreateBackup"])
    def test_a_pattern_s_table_that_vanishes_is_skipped(
        self, control_plane: ControlPlane, clock: Clock, gone: str, moment: str
    ) -> None:
        """It was there when the tables were listed; one that is named fails."""
        if gone == "deleting" and moment == "CreateBackup":
            pytest.skip("CreateBackup succeeds on a table that has just begun to go")

        def vanish() -> None:
            if gone == "dropped":
                control_plane.drop_table("table-39")
            else:
                control_plane.statuses["table-39"] = "DELETING"

        control_plane.before(moment, vanish)
        report = operator(wait_for_completion=False).execute(context_for(clock))
        assert list(report["skipped"]) == ["table-39"]
        assert report["backups"] == backed_up(control_plane, "table-39")
        with pytest.raises(TablesFailedForGoodError, match="table-39: The table"):
            operator(table_names=["table-39"]).execute(context_for(clock))

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

    def test_an_outage(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Every table fails, each after four calls; a retry does them all, once."""
        control_plane.fail_next("CreateBackup", INTERNAL_ERROR, times=9999)
        context = context_for(clock)
        with pytest.raises(TablesFailedError, match="40 failed, 0 have a backup") as failure:
            operator(timeout=7200).execute(context)
        assert not isinstance(failure.value, PermanentError)
        assert control_plane.calls["CreateBackup"] == 4 * COUNT
        control_plane.clear_faults()
        report = operator(wait_for_completion=False).execute(retry_of(context))
        assert report["backups"] == backed_up(control_plane)

    @pytest.mark.clock_speed(40)
    def test_another_client_takes_the_whole_rate(self, control_plane: ControlPlane, clock: Clock) -> None:
        """For two minutes: it takes longer, nothing is lost, and no storm of calls makes it worse."""
        control_plane.add_neighbour("CreateBackup", 500)

        def leave() -> None:
            clock.sleep(120)
            control_plane.add_neighbour("CreateBackup", 0)

        neighbour = threading.Thread(target=leave)
        neighbour.start()
        report = operator(wait_for_completion=False).execute(context_for(clock))
        neighbour.join()
        assert report["backups"] == backed_up(control_plane)
        # AWS's own rate would be 6,000 calls.
        assert control_plane.calls["CreateBackup"] < 500

    def test_a_denied_listing_is_each_table_s_failure(self, control_plane: ControlPlane, clock: Clock) -> None:
        """A later try needs it; AWS is not asked again for each table."""
        context = context_for(clock)
        actions = ["dynamodb:ListTables", "dynamodb:DescribeTable", "dynamodb:CreateBackup"]
        control_plane.policy = {"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
        with pytest.raises(TablesFailedForGoodError, match=r"40 failed.*dynamodb:ListBackups on '\*'"):
            operator().execute(retry_of(context))
        assert control_plane.calls["ListBackups"] <= 10
        assert not by_table(control_plane)

    def test_failures_are_logged_once_and_as_a_table(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """With one line for what was throttled, however often."""
        control_plane.fail_next("CreateBackup", THROTTLED, times=20)
        with pytest.raises(TablesFailedForGoodError):
            operator(table_names=[*TABLES, "nowhere"], wait_for_completion=False).execute(context_for(clock))
        lines = log().splitlines()
        assert len([line for line in lines if "It is tried again" in line and "ThrottlingException" in line]) == 1
        assert len([line for line in lines if "nowhere: The table does not exist" in line]) == 1
        assert len([line for line in lines if "Tables: 40 with a backup, 1 failed, 0 skipped" in line]) == 1
        assert len([line for line in lines if "Starting backup creation" in line and "[info" in line]) == 0

    def test_where_nothing_failed_one_line_says_so(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """At the end."""
        operator(wait_for_completion=False).execute(context_for(clock))
        assert log().count("Tables: 40 with a backup, 0 failed, 0 skipped") == 1


class TestSelection:
    """The tables are selected as by the other operators for many."""

    def test_an_empty_selection_fails(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Or skips the task, if it says so."""
        with pytest.raises(EmptySelectionError):
            operator(table_names=["nothing-*"]).execute(context_for(clock))
        with pytest.raises(AirflowSkipException):
            operator(table_names=["nothing-*"], if_empty="skip").execute(context_for(clock))
        assert not by_table(control_plane)

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
        report = DynamoDBBackupTablesOperator(task_id="back_up", tags={"backup": "nightly"}).execute(context_for(clock))
        assert list(report["backups"]) == TABLES[:3]

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
            {"table_names": []},
            {"table_names": None},
            {"exclude": "orders"},
            {"tags": {}},
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


class TestEvents:
    """No event but the trigger's own is a success."""

    @pytest.mark.parametrize(
        "event",
        [
            None,
            {},
            {"status": "success"},
            {"status": "success", "failed": {}, "message": ""},
            {"status": "success", "failed": {}, "message": "", "report": {}},
            {"status": "error", "failed": {}, "message": "", "report": {"failed": {}, "skipped": {}}},
            {"status": "success", "failed": [], "message": "", "report": {"failed": {}, "skipped": {}}},
            {"status": "running", "failed": {}, "message": "", "report": {"failed": {}, "skipped": {}}},
            {"status": "success", "failed": {}, "message": "", "report": {"failed": {"orders": "no"}, "skipped": {}}},
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
        assert f"table 'table-01', backup '{arn}', region '{REGION}'" in report["failed"]["table-01"]
