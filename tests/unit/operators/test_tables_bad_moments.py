"""Many tables at a bad moment: blocked, throttled or hanging ones, and an end that comes amid the work."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_ddb_backup.exceptions import (
    BackupTimeoutError,
    TablesFailedError,
    TablesFailedForGoodError,
    TriggerFailedError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.models import read_sweep_page
from airflow_ddb_backup.waiting import client
from tests.simulator.faults import THROTTLED, Answer, Fault
from tests.unit.operators.test_tables import COUNT, TABLES, backed_up, context_for, operator, retry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.loop import SkippingLoop

pytestmark = pytest.mark.load
HANGING = Fault(Answer.HANGING)
BLOCKED = TABLES[:10]


class TaskTimeout(BaseException):
    """What Airflow raises on a signal at a task's ``execution_timeout``; it is no Exception either."""


@pytest.fixture(autouse=True)
def _tables(control_plane: ControlPlane) -> None:
    for name in TABLES:
        control_plane.create_table(name)


@pytest.fixture(autouse=True)
def _fast_loop(loop_factory: Callable[[], SkippingLoop], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loop of a worker skip the time in which nothing happens."""
    monkeypatch.setattr("asyncio.events.new_event_loop", loop_factory)


@pytest.fixture
def execution_timeout() -> Iterator[Callable[[], None]]:
    """Return what ends the task as its ``execution_timeout`` does, by a signal that pytest-timeout leaves alone."""

    def end(signum: int, frame: FrameType | None) -> None:
        raise TaskTimeout

    before = signal.signal(signal.SIGUSR1, end)
    yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def xcoms(context: Context) -> dict[str, Any]:
    """Return what the task has pushed."""
    ti: Any = context["ti"]
    pushed: dict[str, Any] = ti.xcoms
    return pushed


class TestBlockedTables:
    """Tables that can't be backed up yet, as many as there are threads."""

    @pytest.mark.clock_speed(40)
    def test_they_keep_no_other_from_its_backup(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Every table is tried, and each of the others has its backup."""
        control_plane.statuses.update(dict.fromkeys(BLOCKED, "CREATING"))
        with pytest.raises(TablesFailedError, match="10 failed, 30 have a backup"):
            operator(timeout=60, wait_for_completion=False).execute(context_for(clock))
        tried = {body["TableName"] for call, body in control_plane.requests if call == "DescribeTable"}
        assert sorted(tried) == TABLES
        backed_up(control_plane, *BLOCKED)

    @pytest.mark.clock_speed(40)
    def test_the_progress_counts_only_what_is_done(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """Ten tables that are waited for are not ten that have a backup."""
        control_plane.statuses.update(dict.fromkeys(BLOCKED, "CREATING"))
        with pytest.raises(TablesFailedError):
            operator(timeout=60, wait_for_completion=False).execute(context_for(clock))
        assert "10 of 40 tables tried, 0 failed, the others found or created" not in log()

    @pytest.mark.clock_speed(40)
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
            control_plane.client().update_continuous_backups(
                TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
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

    @pytest.mark.parametrize("operation", ["DescribeBackup", "ListBackups"])
    def test_while_it_waits_the_report_is_pushed(
        self, control_plane: ControlPlane, clock: Clock, execution_timeout: Callable[[], None], operation: str
    ) -> None:
        """As every task's that fails, with the tables that have failed by then."""
        control_plane.creating_for = 9999
        # Too few for a listing, or enough for one.
        names = TABLES[:2] if operation == "DescribeBackup" else TABLES
        control_plane.before(operation, execution_timeout)
        context = context_for(clock)
        with pytest.raises(TaskTimeout):
            operator(table_names=[*names, "nowhere"]).execute(context)
        assert sorted(xcoms(context)["backup_arns"]) == names
        assert "nowhere" in xcoms(context)["report"]["failed"]

    def test_amid_an_answer_it_ends_the_task(
        self,
        control_plane: ControlPlane,
        clock: Clock,
        execution_timeout: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The signal comes while a listing is read, and is not taken for a listing that failed."""
        control_plane.creating_for = 9999
        read = read_sweep_page
        sent: list[Any] = []

        def slow(response: Any) -> Any:
            if not sent:
                sent.append(response)
                execution_timeout()
            return read(response)

        monkeypatch.setattr(client, "read_sweep_page", slow)
        with pytest.raises(TaskTimeout):
            operator(timeout=60).execute(context_for(clock))
        assert sent

    @pytest.mark.clock_speed(20)
    def test_nothing_more_is_created_after_it(
        self, control_plane: ControlPlane, clock: Clock, execution_timeout: Callable[[], None]
    ) -> None:
        """The threads end with the task, though CreateBackup would succeed again."""
        control_plane.backups_enabled_after = 10_000
        # It comes while each CreateBackup is refused for now, as it is for minutes.
        task, context = operator(), context_for(clock)
        threading.Timer(2, execution_timeout).start()
        with pytest.raises(TaskTimeout):
            task.execute(context)
        # Calls that are under way end.
        clock.sleep(40)
        control_plane.backups_enabled_after = 0
        clock.sleep(60)
        assert control_plane.backup_arns() == []


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


class TestTimeouts:
    """The task's own timeout holds, whatever hangs; one call may outlive it."""

    @pytest.mark.clock_speed(40)
    def test_a_hanging_listing(
        self, control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The threads do not try it one after the other."""
        context = context_for(clock)
        operator(table_names=TABLES[:1], wait_for_completion=False).execute(context)
        # The hook counts in real seconds: ten of the simulation's.
        monkeypatch.setattr(DynamoDBBackupHook, "call_seconds", 10 / 40)
        control_plane.fail_next("ListBackups", HANGING, times=9999)
        began = clock.time()
        with pytest.raises(TablesFailedError):
            operator(timeout=60, wait_for_completion=False).execute(retry_of(context))
        assert clock.time() - began < 60 + 60

    def test_hanging_polls(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Nothing answers any more once the backups are made."""
        control_plane.creating_for = 9999
        for operation in ("DescribeBackup", "ListBackups"):
            control_plane.fail_next(operation, HANGING, times=9999)
        began = clock.time()
        with pytest.raises(TablesFailedError):
            operator(timeout=60).execute(context_for(clock))
        assert clock.time() - began < 60 + 30

    @pytest.mark.clock_speed(20)
    def test_a_rate_that_a_neighbour_uses_up(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The turn that a call waits for does not outlast the task."""
        control_plane.add_neighbour("DescribeContinuousBackups", 200)
        began = clock.time()
        with pytest.raises(TablesFailedError):
            operator(timeout=60, require_point_in_time_recovery=True, wait_for_completion=False).execute(
                context_for(clock)
            )
        assert clock.time() - began < 60 + 60


class TestReports:
    """What the task says of each table is true and complete, however it ends."""

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

    @pytest.mark.clock_speed(40)
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

    @pytest.mark.parametrize("event", [None, {"status": "success", "failed": {}, "message": "", "report": {}}])
    def test_a_malformed_event_leaves_one(self, control_plane: ControlPlane, clock: Clock, event: Any) -> None:
        """The report is pushed though the event tells nothing."""
        context = context_for(clock)
        task = operator(deferrable=True)
        with pytest.raises(TaskDeferred):
            task.execute(context)
        with pytest.raises(TriggerFailedError):
            task.resume_execution("execute_complete", {"event": event}, context)
        assert "report" in xcoms(context)
