"""The backups of many tables: all are tried and reported before the task is judged, and none holds up another."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.clock import Clock as PackageClock
from airflow_ddb_backup.creation.tables import TablesReport
from airflow_ddb_backup.exceptions import PermanentError, TablesFailedError, TablesFailedForGoodError
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.limits import THREADS
from tests.simulator import faults
from tests.simulator.faults import INTERNAL_ERROR, THROTTLED, Answer, Fault
from tests.unit.conftest import FakeTaskInstance, TaskTimeout, context_of
from tests.unit.creation.support import (
    COUNT,
    TABLES,
    backed_up,
    by_table,
    context_for,
    deny,
    operator,
    retry_of,
    xcoms,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock, StillClock
    from tests.simulator.control_plane import ControlPlane

pytestmark = [pytest.mark.load, pytest.mark.usefixtures("forty_tables", "fast_loop")]
HANGING = Fault(Answer.HANGING)
BLOCKED = TABLES[:10]


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

    def test_a_cleared_run_takes_its_backups(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """Those with derived names, since the run was due: one line says so, and nothing is to be warned of."""
        context = context_for(clock)
        first = operator().execute(context)
        clock.sleep(86_400)
        ti: Any = context["ti"]
        cleared = FakeTaskInstance(
            run_after=ti.run_after, started=datetime.fromtimestamp(clock.time(), tz=UTC), try_number=2, clear_number=1
        )
        log()
        assert operator().execute(context_of(cleared)) == first
        assert first["backups"] == backed_up(control_plane)
        lines = log().splitlines()
        assert len([line for line in lines if "40 of 40 tables had a backup for this run already" in line]) == 1
        assert not [line for line in lines if "Reusing backup" in line and "[info" in line]
        assert not [line for line in lines if "[warning" in line and "Task Runner" not in line]

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

    def test_listings_that_fail_do_not_hold_up_the_wait(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """Whether another try has made one too is asked for a minute, for all tables together."""
        later = retry_of(context_for(clock))

        def fail() -> None:
            control_plane.fail_next("ListBackups", INTERNAL_ERROR, times=10_000)

        control_plane.before("CreateBackup", fail)
        begun = clock.time()
        assert operator().execute(later)["backups"] == backed_up(control_plane)
        assert clock.time() - begun < 100
        assert "is not known" in log()


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

    def test_another_client_takes_the_whole_rate(
        self, control_plane: ControlPlane, clock: StillClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For two minutes: it takes longer, nothing is lost, and no storm of calls makes it worse."""
        control_plane.add_neighbour("CreateBackup", 500)
        skip, leaves_at = clock.skip, clock.time() + 120

        def leave_in_time(seconds: float) -> None:
            skip(seconds)
            if clock.time() >= leaves_at:
                control_plane.add_neighbour("CreateBackup", 0)

        monkeypatch.setattr(clock, "skip", leave_in_time)
        report = operator(wait_for_completion=False).execute(context_for(clock))
        assert report["backups"] == backed_up(control_plane)
        assert clock.time() >= leaves_at
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

    def test_failures_are_logged_once(self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]) -> None:
        """The reason first, the name last; with one line for what was throttled, however often."""
        control_plane.fail_next("CreateBackup", THROTTLED, times=20)
        with pytest.raises(TablesFailedForGoodError):
            operator(table_names=[*TABLES, "nowhere"], wait_for_completion=False).execute(context_for(clock))
        lines = log().splitlines()
        assert len([line for line in lines if "Trying again" in line and "ThrottlingException" in line]) == 1
        told = [line for line in lines if "The table does not exist: table 'nowhere'" in line]
        assert [" For backup 'shop.back_up." in line.partition("nowhere")[2] for line in told] == [True]
        assert len([line for line in lines if "Tables: 40 with a backup, 1 failed, 0 skipped" in line]) == 1
        assert len([line for line in lines if "Starting backup creation" in line and "[info" in line]) == 0

    def test_where_nothing_failed_one_line_says_so(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """At the end."""
        operator(wait_for_completion=False).execute(context_for(clock))
        assert log().count("Tables: 40 with a backup, 0 failed, 0 skipped") == 1


class TestBlockedTables:
    """Tables that can't be backed up yet, as many as there are threads."""

    def test_they_keep_no_other_from_its_backup(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Every table is tried, and each of the others has its backup."""
        control_plane.statuses.update(dict.fromkeys(BLOCKED, "CREATING"))
        with pytest.raises(TablesFailedError, match="10 failed, 30 have a backup"):
            operator(timeout=60, wait_for_completion=False).execute(context_for(clock))
        tried = {body["TableName"] for call, body in control_plane.requests if call == "DescribeTable"}
        assert sorted(tried) == TABLES
        backed_up(control_plane, *BLOCKED)

    def test_the_progress_counts_only_what_is_done(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """Ten tables that are waited for are not ten that have a backup."""
        control_plane.statuses.update(dict.fromkeys(BLOCKED, "CREATING"))
        with pytest.raises(TablesFailedError):
            operator(timeout=60, wait_for_completion=False).execute(context_for(clock))
        assert "10 of 40 tables are open: 30 with a backup, 0 failed, 0 skipped" in log()

    @pytest.mark.parametrize("why", ["CREATING", "ThrottlingException"])
    def test_the_reason_is_kept_when_time_is_up(self, control_plane: ControlPlane, clock: Clock, why: str) -> None:
        """The report says what AWS has said, and not that the table was not tried."""
        if why == "CREATING":
            control_plane.statuses["table-00"] = "CREATING"
        else:
            control_plane.fail_next("CreateBackup", THROTTLED, times=9999)
        context = context_for(clock)
        with pytest.raises(TablesFailedError):
            operator(timeout=60, table_names=TABLES[:3], wait_for_completion=False).execute(context)
        message = xcoms(context)["report"]["failed"]["table-00"]
        assert why in message
        assert "It was not tried" not in message

    def test_what_is_known_is_not_asked_again(self, control_plane: ControlPlane, clock: Clock) -> None:
        """PITR is looked up once a table, however often its CreateBackup is throttled."""
        for table in TABLES:
            control_plane.switch_recovery(table)
        control_plane.fail_next("CreateBackup", THROTTLED, times=80)
        report = operator(require_point_in_time_recovery=True, wait_for_completion=False).execute(context_for(clock))
        assert report["backups"] == backed_up(control_plane)
        assert control_plane.calls["DescribeContinuousBackups"] == COUNT


class TestListings:
    """A later try lists the account's backups, while others change them."""

    def test_a_lost_cursor_fails_no_table(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The listing begins anew when the backup it would go on from was deleted."""
        context = context_for(clock)
        first = operator(wait_for_completion=False).execute(context)
        control_plane.add_backups("orders", 150)
        control_plane.fail_next("ListBackups", Fault(Answer.ALTERED))
        control_plane.fail_next("ListBackups", Fault(code="ValidationException"))
        assert operator(wait_for_completion=False).execute(retry_of(context)) == first

    def test_where_it_is_denied_the_hint_names_what_does_without(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """With if_exists='create' this operator needs no listing either."""
        actions = ["dynamodb:ListTables", "dynamodb:DescribeTable", "dynamodb:CreateBackup", "dynamodb:DescribeBackup"]
        control_plane.policy = {"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
        context = context_for(clock)
        with pytest.raises(TablesFailedForGoodError, match="if_exists='create'") as failure:
            operator().execute(retry_of(context))
        assert "Only DynamoDBCreateBackupOperator can do without it" not in str(failure.value)
        report = operator(if_exists="create").execute(retry_of(context))
        assert report["backups"] == backed_up(control_plane)


class TestExecutionTimeout:
    """Airflow ends the task amid its work."""

    def test_no_other_table_is_begun(
        self, control_plane: ControlPlane, clock: Clock, execution_timeout: Callable[[], None]
    ) -> None:
        """It comes while each thread waits for its CreateBackup."""
        ended = threading.Event()
        all_wait = threading.Barrier(THREADS, execution_timeout)

        def hold(*_: object) -> None:
            all_wait.wait()
            ended.wait()

        control_plane.on_commit = hold
        with pytest.raises(TaskTimeout):
            operator().execute(context_for(clock))
        ended.set()
        join_threads()
        assert control_plane.calls["CreateBackup"] == len(control_plane.backup_arns()) == THREADS

    def test_the_report_leaves_no_table_out(
        self, control_plane: ControlPlane, clock: Clock, execution_timeout: Callable[[], None]
    ) -> None:
        """Nor those that were not begun."""
        ended = threading.Event()
        all_wait = threading.Barrier(THREADS, execution_timeout)

        def hold(*_: object) -> None:
            all_wait.wait()
            ended.wait()

        control_plane.on_commit = hold
        context = context_for(clock)
        with pytest.raises(TaskTimeout):
            operator().execute(context)
        ended.set()
        join_threads()
        report = xcoms(context)["report"]
        assert sorted({**report["backups"], **report["failed"]}) == TABLES
        assert set(report["failed"].values()) == {"The task ended before it: TaskTimeout()."}

    def test_a_table_that_is_under_way_is_not_backed_up(
        self, control_plane: ControlPlane, clock: Clock, execution_timeout: Callable[[], None]
    ) -> None:
        """Its DescribeTable answers after it."""
        ended = threading.Event()

        def hold() -> None:
            execution_timeout()
            ended.wait()

        control_plane.before("DescribeTable", hold)
        with pytest.raises(TaskTimeout):
            operator(table_names=TABLES[:1]).execute(context_for(clock))
        ended.set()
        join_threads()
        assert control_plane.calls["DescribeTable"] == 1
        assert control_plane.calls["CreateBackup"] == 0


def join_threads() -> None:
    """Wait for the threads of tasks that have ended."""
    for thread in threading.enumerate():
        if thread.name.startswith("dynamodb"):
            thread.join()


class TestLaterSteps:
    """A table that has its backup keeps it."""

    def test_what_was_overcome_fails_no_table_once_time_is_up(self, control_plane: ControlPlane, clock: Clock) -> None:
        """A creation was throttled, and has succeeded since; the deadline passes before it is settled."""
        control_plane.fail_next("CreateBackup", THROTTLED)
        deadline = clock.time() + 60
        control_plane.on_commit = lambda *_: clock.sleep(max(0.0, deadline + 5 - clock.time()))
        context = retry_of(context_for(clock))
        report = operator(table_names=TABLES[:1], timeout=60, wait_for_completion=False).execute(context)
        assert (list(report["backups"]), report["failed"]) == (TABLES[:1], {})


@pytest.mark.parametrize("step", [3600, -3600])
def test_a_wall_clock_that_is_set_holds_up_no_table(
    control_plane: ControlPlane, clock: StillClock, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """Tables that are throttled just then are tried again within seconds."""
    stepped = SimpleNamespace(time=lambda: clock.time() + step, monotonic=clock.monotonic, sleep=clock.sleep)
    control_plane.fail_next("CreateBackup", THROTTLED, times=60)
    control_plane.before("CreateBackup", lambda: monkeypatch.setattr(PackageClock, "source", stepped))
    begun = clock.monotonic()
    report = operator().execute(context_for(clock))
    assert PackageClock.source is stepped
    assert report["backups"] == backed_up(control_plane)
    assert clock.monotonic() - begun < 120


class TestTimeouts:
    """The task's own timeout holds, whatever hangs; one call may outlive it."""

    def test_a_hanging_listing(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The threads do not try it one after the other."""
        context = context_for(clock)
        operator(table_names=TABLES[:1], wait_for_completion=False).execute(context)
        control_plane.fail_next("ListBackups", HANGING, times=9999)
        began = clock.time()
        with pytest.raises(TablesFailedError):
            operator(timeout=60, wait_for_completion=False).execute(retry_of(context))
        assert clock.time() - began <= 60 + DynamoDBBackupHook.call_seconds

    def test_a_rate_that_a_neighbour_uses_up(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The turn that a call waits for does not outlast the task."""
        control_plane.add_neighbour("DescribeContinuousBackups", 200)
        began = clock.time()
        with pytest.raises(TablesFailedError):
            operator(timeout=60, require_point_in_time_recovery=True, wait_for_completion=False).execute(
                context_for(clock)
            )
        # The clock adds up what the threads wait for at the same time.
        assert clock.time() - began <= 60 + THREADS * DynamoDBBackupHook.call_seconds


def test_what_an_earlier_version_has_deferred_is_read() -> None:
    """It knew no sizes; the task that an upgrade meets while it waits goes on."""
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"
    report = TablesReport.carried({"orders": arn}, {"failed": {}, "skipped": {}})
    assert report.arns() == {"orders": arn}
    assert report.table_bytes == 0
