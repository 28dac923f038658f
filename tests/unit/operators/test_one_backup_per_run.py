"""One backup per run, whatever is lost, killed or retried: over HTTP, by the count of what exists at the end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from inspect import unwrap
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.creation.names import derive_backup_name
from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    BackupExistsError,
    BackupInUseError,
    BackupTimeoutError,
    ErrorContext,
    InvalidRequestError,
    InvalidValueError,
    LimitExceededError,
    ListBackupsDeniedError,
    PointInTimeRecoveryDisabledError,
)
from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from tests.simulator.faults import (
    DROPPED_AFTER_COMMIT,
    DROPPED_BEFORE_COMMIT,
    HANGING_AFTER_COMMIT,
    INTERNAL_ERROR,
    INTERNAL_ERROR_AFTER_COMMIT,
    THROTTLED,
    Fault,
)
from tests.unit.conftest import FakeTaskInstance, context_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


def execute(task: DynamoDBCreateBackupOperator, ti: FakeTaskInstance) -> str:
    """Execute a task, in any thread: Airflow 2's guard against calls by hand knows the main one alone."""
    arn: str = unwrap(type(task).execute)(task, context_of(ti))
    return arn


def run(ti: FakeTaskInstance, table_name: str = "orders", **kwargs: Any) -> str:
    """Run one try of a task to its end."""
    return execute(DynamoDBCreateBackupOperator(task_id="back_up", table_name=table_name, **kwargs), ti)


def retry(ti: FakeTaskInstance) -> FakeTaskInstance:
    """Return the next try."""
    return replace(ti, try_number=ti.try_number + 1, xcoms={})


class TestLostResponses:
    """CreateBackup has no idempotency token: what was lost is looked for."""

    @pytest.mark.parametrize("times", [1, 3])
    @pytest.mark.parametrize("fault", [DROPPED_AFTER_COMMIT, INTERNAL_ERROR_AFTER_COMMIT])
    def test_an_answer_lost_after_the_commit(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, fault: Fault, times: int
    ) -> None:
        """The backup is found, so however many answers would be lost, one call is made."""
        control_plane.fail_next("CreateBackup", fault, times)
        assert [run(ti)] == control_plane.backup_arns()
        assert control_plane.calls["CreateBackup"] == 1

    @pytest.mark.parametrize("times", [1, 3])
    def test_an_answer_lost_before_the_commit(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, times: int
    ) -> None:
        """Nothing is found, so the call is made again."""
        control_plane.fail_next("CreateBackup", DROPPED_BEFORE_COMMIT, times)
        assert [run(ti)] == control_plane.backup_arns()
        assert control_plane.calls["CreateBackup"] == times + 1

    @pytest.mark.parametrize("lag", [0, 8])
    @pytest.mark.parametrize("fault", [HANGING_AFTER_COMMIT, DROPPED_AFTER_COMMIT])
    def test_an_answer_that_never_comes(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, fault: Fault, lag: float
    ) -> None:
        """Past the read timeout the backup is looked for, also while ListBackups is 8 s behind."""
        control_plane.listing_lag = lag
        control_plane.fail_next("CreateBackup", fault)
        assert [run(ti, botocore_config={"read_timeout": 0.5})] == control_plane.backup_arns()

    def test_three_server_errors_before_the_commit(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """The fourth call succeeds."""
        control_plane.fail_next("CreateBackup", INTERNAL_ERROR, times=3)
        assert [run(ti)] == control_plane.backup_arns()
        assert control_plane.calls["CreateBackup"] == 4

    def test_server_errors_for_ever(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """After the fourth call the task fails, and Airflow may retry it."""
        control_plane.fail_next("CreateBackup", INTERNAL_ERROR, times=99)
        with pytest.raises(AmbiguousOutcomeError, match="table 'orders', backup 'nightly', region 'us-east-1'"):
            run(ti, backup_name="nightly")
        assert control_plane.calls["CreateBackup"] == 4
        assert control_plane.backup_arns() == []

    def test_a_response_lost_while_last_night_s_backup_of_the_same_name_is_there(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock
    ) -> None:
        """Last night's backup is not mistaken for the lost one."""
        control_plane.add_backups("orders", 1, "nightly")
        clock.sleep(3600)
        control_plane.fail_next("CreateBackup", DROPPED_BEFORE_COMMIT)
        arn = run(replace(ti, run_after=now(clock)), backup_name="nightly")
        assert control_plane.backup_arns()[1:] == [arn]


def now(clock: Clock) -> datetime:
    """Return the time as Airflow has it."""
    return datetime.fromtimestamp(clock.time(), tz=UTC)


class TestBackingOff:
    """A call that has created nothing is made again until the task's time is up."""

    def test_throttled_calls(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """CreateBackup and ListBackups alike."""
        control_plane.fail_next("CreateBackup", THROTTLED, times=5)
        control_plane.fail_next("ListBackups", THROTTLED, times=5)
        assert [run(ti)] == control_plane.backup_arns()

    def test_backups_that_are_being_enabled(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock
    ) -> None:
        """A table that is 10 s old can't be backed up yet."""
        control_plane.backups_enabled_after = 10
        start = clock.time()
        assert [run(ti)] == control_plane.backup_arns()
        assert 10 <= clock.time() - start < 60

    @pytest.mark.parametrize("code", ["BackupInUseException", "TableInUseException", "LimitExceededException"])
    def test_a_busy_table(self, control_plane: ControlPlane, ti: FakeTaskInstance, code: str) -> None:
        """Other operations end some time."""
        control_plane.fail_next("CreateBackup", Fault(code=code), times=3)
        assert [run(ti)] == control_plane.backup_arns()

    @pytest.mark.parametrize(
        ("code", "kind"), [("BackupInUseException", BackupInUseError), ("LimitExceededException", LimitExceededError)]
    )
    def test_until_the_task_s_time_is_up(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock, code: str, kind: type[Exception]
    ) -> None:
        """Then it fails with AWS's reason, and Airflow may retry it."""
        control_plane.fail_next("CreateBackup", Fault(code=code), times=999)
        start = clock.time()
        with pytest.raises(kind, match="table 'orders', backup 'nightly', region 'us-east-1'"):
            run(ti, backup_name="nightly", timeout=120)
        assert clock.time() - start <= 120
        assert control_plane.backup_arns() == []

    @pytest.mark.clock_speed(2)
    def test_forty_mapped_tasks_for_forty_tables_at_once(self, control_plane: ControlPlane) -> None:
        """Each makes one backup of its table, and none lists anything."""
        tables = [f"table-{index:02}" for index in range(40)]
        for table in tables:
            control_plane.create_table(table)
        tasks = [DynamoDBCreateBackupOperator(task_id="back_up", table_name=table) for table in tables]
        for task in tasks:
            # Opening the clients takes longer than the calls, which are to come at once.
            task.hook.resolve_region(ErrorContext())
        together = threading.Barrier(len(tasks))

        def execute_with_the_others(index: int) -> str:
            together.wait()
            return execute(tasks[index], FakeTaskInstance(map_index=index))

        with ThreadPoolExecutor(len(tasks)) as pool:
            arns = list(pool.map(execute_with_the_others, range(40)))
        assert sorted(arns) == sorted(control_plane.backup_arns())
        assert [arn.split("/")[1] for arn in arns] == tables
        assert control_plane.calls["ListBackups"] == 0


class TestRefusals:
    """An error that no retry helps fails at once, and leaves no backup behind."""

    @pytest.mark.parametrize(
        ("code", "kind"), [("AccessDeniedException", AccessDeniedError), ("ValidationException", InvalidRequestError)]
    )
    def test_a_refused_creation(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, code: str, kind: type[Exception]
    ) -> None:
        """One call is made."""
        control_plane.fail_next("CreateBackup", Fault(code=code))
        with pytest.raises(kind, match="table 'orders', backup 'nightly', region 'us-east-1'"):
            run(ti, backup_name="nightly")
        assert control_plane.calls["CreateBackup"] == 1
        assert control_plane.backup_arns() == []

    def test_a_table_without_point_in_time_recovery(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """Some teams require it by policy."""
        refused = "table 'orders', backup 'nightly', region 'us-east-1'. It is DISABLED"
        with pytest.raises(PointInTimeRecoveryDisabledError, match=refused):
            run(ti, backup_name="nightly", require_point_in_time_recovery=True)
        assert control_plane.backup_arns() == []

    def test_a_table_with_point_in_time_recovery(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """It passes the check."""
        control_plane.client().update_continuous_backups(
            TableName="orders", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        assert [run(ti, require_point_in_time_recovery=True)] == control_plane.backup_arns()

    def test_point_in_time_recovery_is_not_asked_about_unasked(
        self, control_plane: ControlPlane, ti: FakeTaskInstance
    ) -> None:
        """It is not needed for a backup, and the call needs a permission."""
        run(ti)
        assert control_plane.calls["DescribeContinuousBackups"] == 0

    @pytest.mark.parametrize(
        "wrong", [{"if_exists": "replace"}, {"if_exists": None}, {"reuse_within": 60}, {"reuse_within": timedelta(0)}]
    )
    def test_wrong_values(self, wrong: dict[str, Any]) -> None:
        """Refused when the DAG is parsed, with the value and the rule."""
        with pytest.raises(InvalidValueError, match=next(iter(wrong))) as refusal:
            DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders", **wrong)
        assert repr(next(iter(wrong.values()))) in str(refusal.value)


class TestTries:
    """A later try of a run finds the backup of the earlier one."""

    @pytest.mark.parametrize("lag", [0, 8])
    def test_a_retry(self, control_plane: ControlPlane, ti: FakeTaskInstance, lag: float) -> None:
        """Also where the list is behind, since a later try looks for longer."""
        control_plane.listing_lag = lag
        first = run(ti)
        assert run(retry(ti)) == first
        assert control_plane.backup_arns() == [first]

    def test_a_retry_of_a_try_that_was_lost_with_its_answers(
        self, control_plane: ControlPlane, ti: FakeTaskInstance
    ) -> None:
        """The first try made a backup, learnt nothing of it, and could not list: it must not make another."""
        control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
        control_plane.on_commit = lambda *_: control_plane.fail_next("ListBackups", THROTTLED, times=50)
        with pytest.raises(AmbiguousOutcomeError):
            run(ti, timeout=60)
        assert control_plane.calls["CreateBackup"] == 1
        control_plane.clear_faults()
        assert [run(retry(ti))] == control_plane.backup_arns()

    def test_a_try_after_the_wait_has_timed_out(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """It goes on waiting for the same backup."""
        control_plane.creating_for = 100
        with pytest.raises(BackupTimeoutError):
            run(ti, timeout=60)
        assert [run(retry(ti), timeout=60)] == control_plane.backup_arns()

    def test_other_runs_tasks_and_map_indexes_have_backups_of_their_own(
        self, control_plane: ControlPlane, ti: FakeTaskInstance
    ) -> None:
        """The derived name tells them apart."""
        others = [
            replace(ti, **change)
            for change in ({"run_id": "r2"}, {"task_id": "t2"}, {"dag_id": "d2"}, {"map_index": 2})
        ]
        arns = {run(each) for each in [ti, *others]}
        assert arns == set(control_plane.backup_arns())
        assert len(arns) == 5

    def test_two_tries_at_the_same_time(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock, log: Callable[[], str]
    ) -> None:
        """An orphan creates between the listing and the call of its retry: the older backup is the task's."""
        orphan_s: list[str] = []

        def orphan_creates_first() -> None:
            name = derive_backup_name(ti.dag_id, ti.task_id, ti.run_id)
            created = control_plane.client().create_backup(TableName="orders", BackupName=name)
            orphan_s.append(created["BackupDetails"]["BackupArn"])
            clock.sleep(1)

        control_plane.before("CreateBackup", orphan_creates_first)
        arn = run(retry(ti))
        assert [arn] == orphan_s
        assert len(control_plane.backup_arns()) == 2
        assert f"Using the older, {arn}; {control_plane.backup_arns()[1]} can be deleted" in log()

    def test_two_tries_side_by_side(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """In any order, every try ends with a backup of the run's name, and the later with the oldest."""
        with ThreadPoolExecutor(2) as pool:
            orphan, later = list(pool.map(run, [ti, retry(ti)]))
        assert {orphan, later} <= set(control_plane.backup_arns())
        assert later == min(control_plane.backup_arns())


class TestOtherBackups:
    """Other backups of the table."""

    def test_two_hundred_and_fifty_others(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock
    ) -> None:
        """The run's own is found on the third page."""
        first = run(ti)
        control_plane.add_backups("orders", 250)
        clock.sleep(60)
        control_plane.calls.clear()
        assert run(retry(ti)) == first
        assert control_plane.calls["ListBackups"] == 3
        assert len(control_plane.backup_arns()) == 251

    def test_a_constant_name_every_night(self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock) -> None:
        """Three nights, one retry each: three backups, and each try has its own night's."""
        nights = []
        for night in range(3):
            tonight = replace(ti, run_id=f"night-{night}", run_after=now(clock))
            clock.sleep(5)
            first = run(tonight, backup_name="orders-nightly")
            clock.sleep(300)
            assert run(retry(tonight), backup_name="orders-nightly") == first
            nights.append(first)
            clock.sleep(86_000)
        assert nights == control_plane.backup_arns()

    def test_a_table_that_was_dropped_and_made_again(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock
    ) -> None:
        """The backup of the old table is not the new one's, though table, name and run are the same."""
        first = run(ti, backup_name="nightly")
        clock.sleep(1)
        control_plane.client().delete_table(TableName="orders")
        control_plane.create_table("orders")
        second = run(retry(ti), backup_name="nightly")
        assert [first, second] == control_plane.backup_arns()

    @pytest.mark.parametrize(("reuse_within", "backups"), [(timedelta(days=1), 1), (None, 30)])
    def test_thirty_backfilled_runs(
        self,
        control_plane: ControlPlane,
        ti: FakeTaskInstance,
        clock: Clock,
        reuse_within: timedelta | None,
        backups: int,
    ) -> None:
        """One after another within a day they share one backup, if they are told to."""
        for index in range(30):
            run(replace(ti, run_id=f"backfill-{index}"), reuse_within=reuse_within)
            clock.sleep(600)
        assert len(control_plane.backup_arns()) == backups

    def test_a_backup_that_is_too_old_to_reuse(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock
    ) -> None:
        """A new one is made."""
        control_plane.add_backups("orders", 1)
        clock.sleep(3601)
        tonight = replace(ti, run_after=now(clock))
        assert control_plane.backup_arns() != [run(tonight, reuse_within=timedelta(hours=1))]
        assert len(control_plane.backup_arns()) == 2


class TestIfExists:
    """The choices for a run that has its backup already."""

    def test_fail_refuses_any_backup_of_the_same_name_however_old(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock
    ) -> None:
        """The message names it."""
        control_plane.add_backups("orders", 1, "nightly")
        clock.sleep(86_400)
        with pytest.raises(BackupExistsError, match="region 'us-east-1'. It is named 'nightly'") as refusal:
            run(ti, backup_name="nightly", if_exists="fail")
        assert control_plane.backup_arns()[0] in str(refusal.value)
        assert len(control_plane.backup_arns()) == 1

    def test_fail_creates_where_there_is_none(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """Other names do not matter; a lost response of its own is not refused."""
        control_plane.add_backups("orders", 1, "other")
        control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
        assert run(ti, backup_name="nightly", if_exists="fail") == control_plane.backup_arns()[1]

    def test_create_makes_another(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """Every try makes one, and needs no list."""
        arns = [run(ti, if_exists="create"), run(retry(ti), if_exists="create")]
        assert arns == control_plane.backup_arns()
        assert control_plane.calls["ListBackups"] == 0

    def test_create_finds_what_its_own_call_made(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock
    ) -> None:
        """A lost answer makes no second backup."""
        run(ti, if_exists="create")
        clock.sleep(300)
        control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
        assert run(retry(ti), if_exists="create") == control_plane.backup_arns()[1]
        assert len(control_plane.backup_arns()) == 2

    def test_create_does_without_the_list(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """ListBackups may be denied."""
        control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"), times=9)
        assert [run(ti, if_exists="create")] == control_plane.backup_arns()

    def test_create_says_what_it_can_t_know(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """An answer is lost, and ListBackups is denied: no second call is made."""
        control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
        control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"), times=9)
        with pytest.raises(AmbiguousOutcomeError):
            run(ti, if_exists="create")
        assert len(control_plane.backup_arns()) == control_plane.calls["CreateBackup"] == 1

    def test_reuse_does_not(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """The message says what to allow, and what to do without."""
        control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"))
        with pytest.raises(ListBackupsDeniedError, match="dynamodb:ListBackups on '\\*'.*if_exists='create'"):
            run(retry(ti))
        assert control_plane.backup_arns() == []
