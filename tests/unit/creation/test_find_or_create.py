"""One backup per run, over HTTP, whatever is lost, killed, retried or cleared: by what exists at the end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import tests.simulator.control_plane as simulator
from airflow_ddb_backup.creation.names import derive_backup_name
from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    BackupError,
    BackupExistsError,
    BackupInUseError,
    BackupTimeoutError,
    CreationTimeoutError,
    ErrorContext,
    InvalidRequestError,
    LimitExceededError,
    ListBackupsDeniedError,
    PointInTimeRecoveryDisabledError,
    TableNotFoundError,
    TableUnavailableError,
)
from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from tests.simulator.faults import (
    DROPPED_AFTER_COMMIT,
    DROPPED_BEFORE_COMMIT,
    HANGING_AFTER_COMMIT,
    INTERNAL_ERROR,
    INTERNAL_ERROR_AFTER_COMMIT,
    THROTTLED,
    THROTTLED_BY_A_PROXY,
    Fault,
)
from tests.unit.conftest import FakeTaskInstance
from tests.unit.creation.support import DAY, GIVEN, at, begun, cleared, execute, once_listed, retry, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


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
        assert [run(ti)] == control_plane.backup_arns()

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
        arn = run(replace(ti, run_after=at(clock)), backup_name="nightly")
        assert control_plane.backup_arns()[1:] == [arn]

    def test_a_response_lost_just_after_another_run_s_backup_of_a_given_name(
        self, control_plane: ControlPlane, ti: FakeTaskInstance, clock: Clock
    ) -> None:
        """It is not mistaken for the lost one: no tolerance is for it."""
        (others,) = control_plane.add_backups("orders", 1, "nightly")
        clock.sleep(2)
        control_plane.fail_next("CreateBackup", DROPPED_BEFORE_COMMIT)
        assert run(ti, backup_name="nightly") != others
        assert len(control_plane.backup_arns()) == 2


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
        control_plane.switch_recovery("orders")
        assert [run(ti, require_point_in_time_recovery=True)] == control_plane.backup_arns()

    def test_point_in_time_recovery_is_not_asked_about_unasked(
        self, control_plane: ControlPlane, ti: FakeTaskInstance
    ) -> None:
        """It is not needed for a backup, and the call needs a permission."""
        run(ti)
        assert control_plane.calls["DescribeContinuousBackups"] == 0


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
            name = derive_backup_name("", ti.dag_id, ti.task_id, ti.run_id)
            created = control_plane.client().create_backup(TableName="orders", BackupName=name)
            orphan_s.append(created["BackupDetails"]["BackupArn"])
            clock.sleep(1)

        control_plane.before("CreateBackup", orphan_creates_first)
        arn = run(retry(ti))
        assert [arn] == orphan_s
        assert len(control_plane.backup_arns()) == 2
        told = log()
        assert f": {arn} and {control_plane.backup_arns()[1]}" in told.partition("The older is used, created at")[2]

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
            tonight = replace(ti, run_id=f"night-{night}", run_after=at(clock))
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
        tonight = replace(ti, run_after=at(clock))
        assert control_plane.backup_arns() != [run(tonight, reuse_within=timedelta(hours=1))]
        assert len(control_plane.backup_arns()) == 2


@pytest.fixture
def oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """List backups in the order of their creation, one of those that AWS may choose."""
    monkeypatch.setattr("tests.simulator.rules._any_order", lambda backup: backup["BackupArn"].rpartition("/")[2])


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

    def test_what_an_earlier_try_made_is_taken(self, control_plane: ControlPlane, clock: Clock) -> None:
        """A retry of a wait is no second backup."""
        ti = begun(clock)
        first = run(ti, if_exists="fail", **GIVEN)
        clock.sleep(60)
        assert run(retry(ti), if_exists="fail", **GIVEN) == first

    def test_a_later_try_lists_what_was_ever_made_once(self, control_plane: ControlPlane, clock: Clock) -> None:
        """It looks for its own again and again, but only since its run started."""
        control_plane.add_backups("orders", 1000, "hourly", age=DAY)
        assert [run(retry(begun(clock)), if_exists="fail")] == control_plane.backup_arns()[1000:]
        assert control_plane.calls["ListBackups"] == 3 + 10 + 1

    @pytest.mark.parametrize("settings", [{}, GIVEN])
    @pytest.mark.parametrize(("seconds", "lag"), [(12, 0), (3, 9)])
    def test_a_backup_that_only_the_history_shows_is_the_run_s(
        self,
        control_plane: ControlPlane,
        clock: Clock,
        oldest_first: None,
        settings: dict[str, Any],
        seconds: float,
        lag: float,
    ) -> None:
        """A lost process of the first try makes it after the last look, or just before, while ListBackups is behind."""
        control_plane.add_backups("orders", 1000, "hourly", age=DAY)
        clock.sleep(60)
        control_plane.listing_lag = lag
        ti = begun(clock)
        clock.sleep(30)
        name = settings.get("backup_name") or derive_backup_name("", ti.dag_id, ti.task_id, ti.run_id)
        create = partial(control_plane.ask, "CreateBackup", TableName="orders", BackupName=name)
        once_listed(control_plane, clock.time() + seconds, create)
        assert [run(retry(ti), if_exists="fail", **settings)] == control_plane.backup_arns()[1000:]

    def test_a_backup_that_the_history_shows_no_more_is_gone(
        self, control_plane: ControlPlane, clock: Clock, oldest_first: None
    ) -> None:
        """It is deleted between the look for the run's own and the end of the listing."""
        control_plane.add_backups("orders", 1000, "hourly", age=DAY)
        clock.sleep(60)
        ti = begun(clock)
        first = run(ti, if_exists="fail")
        clock.sleep(60)
        once_listed(control_plane, clock.time() + 2, partial(control_plane.ask, "DeleteBackup", BackupArn=first))
        second = run(retry(ti), if_exists="fail")
        assert control_plane.backup_arns()[1000:] == [second] != [first]

    def test_the_history_may_show_an_older_one(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """Of two tries: the younger's is listed before the older's."""
        ti = begun(clock)
        clock.sleep(20)
        (younger,) = control_plane.add_backups("orders", 1, GIVEN["backup_name"], age=2)
        older: list[str] = []

        def show() -> None:
            older.extend(control_plane.add_backups("orders", 1, GIVEN["backup_name"], age=5))

        once_listed(control_plane, clock.time(), show)
        assert [run(retry(ti), if_exists="fail", **GIVEN)] == older
        assert f"{older[0]} and {younger}" in log()

    def test_a_later_try_lists_what_it_may_reuse_along_with_its_own(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """One listing shows both."""
        first = begun(clock)
        made = run(first)
        control_plane.calls.clear()
        assert run(retry(first), reuse_within=timedelta(hours=1)) == made
        assert control_plane.calls["ListBackups"] == 1

    def test_an_earlier_start_s_is_refused(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Clearing a finished run starts it again; a table's backup from before that is refused."""
        ti = begun(clock)
        run(ti, if_exists="fail")
        clock.sleep(60)
        with pytest.raises(BackupExistsError):
            run(cleared(ti, clock), if_exists="fail")

    def test_another_run_s_is_refused_on_a_later_try_too(self, control_plane: ControlPlane, clock: Clock) -> None:
        """However old."""
        control_plane.add_backups("orders", 1, "ledger-nightly")
        clock.sleep(30 * DAY)
        with pytest.raises(BackupExistsError):
            run(retry(begun(clock)), if_exists="fail", **GIVEN)

    def test_a_backup_that_exists_is_not_promised_to_whoever_reuses(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """A first try takes none that it has not made."""
        (there,) = control_plane.add_backups("orders", 1, GIVEN["backup_name"])
        clock.sleep(3600)
        with pytest.raises(BackupExistsError, match="Set if_exists='reuse' to take this run's own only"):
            run(begun(clock), if_exists="fail", **GIVEN)
        assert run(begun(clock), if_exists="reuse", **GIVEN) != there


class TestFirstTries:
    """A first try has made nothing."""

    @pytest.mark.parametrize("settings", [{}, GIVEN])
    def test_it_lists_nothing(self, control_plane: ControlPlane, clock: Clock, settings: dict[str, Any]) -> None:
        """There is nothing to find."""
        assert [run(begun(clock), **settings)] == control_plane.backup_arns()
        assert control_plane.calls["ListBackups"] == 0

    def test_in_a_cleared_run_it_takes_no_other_run_s_backup(self, control_plane: ControlPlane, clock: Clock) -> None:
        """``check`` failed and was cleared with what follows: ``clear_number`` is the run's, not the task's."""
        control_plane.add_backups("orders", 1, "ledger-nightly", age=30 * DAY)
        backfilled = begun(clock, run_after=at(clock, -60 * DAY))
        clock.sleep(60)
        again = cleared(backfilled, clock, ran=False)
        assert run(again, **GIVEN) == control_plane.backup_arns()[1]

    def test_monday_s_run_cleared_on_thursday_takes_no_tuesday_s(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """It failed before it created anything."""
        monday = begun(clock, "monday")
        clock.sleep(DAY)
        tuesday = run(begun(clock, "tuesday"), **GIVEN)
        clock.sleep(2 * DAY)
        assert run(cleared(monday, clock, ran=False), **GIVEN) == control_plane.backup_arns()[1] != tuesday

    def test_a_run_that_is_made_again_under_its_id_makes_a_new_backup(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """A release's name, say; the deleted run's backup is twenty days old, and the retry finds the new one."""
        deleted = run(begun(clock, "release-7"))
        clock.sleep(20 * DAY)
        again = begun(clock, "release-7")
        assert deleted != run(again) == control_plane.backup_arns()[1]
        clock.sleep(300)
        assert run(retry(again)) == control_plane.backup_arns()[1]

    def test_a_later_try_of_a_run_that_is_made_again_can_t_tell_the_deleted_one_s(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """ID and due date are the same: it takes the older, and names both with their times."""
        due = at(clock, -90 * DAY)
        deleted = run(begun(clock, "backfill__1", run_after=due))
        clock.sleep(DAY)
        again = begun(clock, "backfill__1", run_after=due)
        new = run(again)
        assert run(retry(again)) == deleted != new
        told = log()
        assert f": {deleted} and " in told.partition("The older is used, created at")[2]
        assert f"{new}, created at" in told

    def test_one_that_airflow_runs_twice_makes_two(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Its scheduler may. One too many: mapped steps, and runs that are made again, must not take an earlier one."""
        ti = begun(clock)
        clock.sleep(600)
        assert [run(ti), run(ti)] == control_plane.backup_arns()

    def test_mapped_steps_on_one_table_make_one_each(self, control_plane: ControlPlane, clock: Clock) -> None:
        """One step at a time: each must be able to go back to what the step before has left."""
        ti = begun(clock, map_index=0)
        before_the_first = run(ti)
        clock.sleep(900)
        before_the_second = run(replace(ti, map_index=1, xcoms={}))
        assert [before_the_first, before_the_second] == control_plane.backup_arns()

    def test_a_dag_that_is_tested_twice_for_one_date_makes_two(self, control_plane: ControlPlane, clock: Clock) -> None:
        """``airflow dags test`` of Airflow 2 deletes the first run; the second has its ID, due date and start."""
        date = at(clock, -DAY)
        tested = FakeTaskInstance(run_id="manual__2026-11-22", run_after=date, started=date)
        morning = run(tested)
        clock.sleep(5 * 3600)
        assert [morning, run(replace(tested, xcoms={}))] == control_plane.backup_arns()

    def test_a_run_that_is_made_again_at_once_takes_none(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Though it is within the tolerance for the scheduler's clock, and waits in the queue."""
        deleted = run(begun(clock, "ticket-4711"))
        clock.sleep(8)
        again = begun(clock, "ticket-4711")
        clock.sleep(600)
        assert deleted != run(again) == control_plane.backup_arns()[1]

    def test_two_runs_within_a_minute_make_one_each(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Under one given name; so does catch-up with one run at a time."""
        first = begun(clock, "one")
        made = [run(first, **GIVEN)]
        clock.sleep(20)
        second = begun(clock, "two")
        made.append(run(second, **GIVEN))
        assert made == control_plane.backup_arns()
        assert [run(retry(second), **GIVEN), run(retry(first), **GIVEN)] == made[::-1]


class TestClearedRuns:
    """A derived name is one run's alone; a given one every run may have."""

    def test_a_derived_name_is_found_again(self, control_plane: ControlPlane, clock: Clock) -> None:
        """However long after, and though clearing set the start anew."""
        ti = begun(clock)
        first = run(ti)
        clock.sleep(30 * DAY)
        assert run(cleared(ti, clock)) == first

    def test_a_given_name_is_not(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Nothing tells the run's old backup from another run's, and a wrong one is worse than one too many."""
        ti = begun(clock)
        first = run(ti, **GIVEN)
        clock.sleep(DAY)
        assert run(cleared(ti, clock), **GIVEN) == control_plane.backup_arns()[1] != first

    def test_a_given_name_is_if_the_run_had_not_finished(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Its start is what it was."""
        ti = begun(clock)
        first = run(ti, **GIVEN)
        clock.sleep(600)
        assert run(cleared(ti, clock, finished=False), **GIVEN) == first

    @pytest.mark.parametrize("ran_before", [True, False])
    def test_a_given_name_takes_no_back_to_back_run_s(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str], *, ran_before: bool
    ) -> None:
        """The other ended seconds before this one started: no tolerance, and not a word of what is not needed."""
        other = run(begun(clock, "one"), **GIVEN)
        clock.sleep(3)
        second = begun(clock, "two")
        own = [run(second, **GIVEN)] if ran_before else []
        assert run(retry(second), **GIVEN) != other
        assert len(control_plane.backup_arns()) == 2
        assert own in ([], control_plane.backup_arns()[1:])
        assert "The older is used" not in log()

    def test_positions_of_a_mapped_list_may_move(self, control_plane: ControlPlane, clock: Clock) -> None:
        """A list that grows at its front: each table keeps its backup, and the new one gets its first."""
        for table in ("customers", "ledger"):
            control_plane.create_table(table)
        ti = begun(clock)
        made = {table: run(replace(ti, map_index=index), table) for index, table in enumerate(["orders", "customers"])}
        clock.sleep(DAY)
        for index, table in enumerate(["ledger", "orders", "customers"]):
            arn = run(cleared(replace(ti, map_index=index), clock, ran=index < 2), table)
            assert made.setdefault(table, arn) == arn
        assert sorted(made.values()) == sorted(control_plane.backup_arns())

    @pytest.mark.parametrize("status", [None, "DELETING"])
    def test_the_backup_of_a_table_that_was_dropped_since_is_found(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str], status: str | None
    ) -> None:
        """The step before a destruction is what it was made for."""
        ti = begun(clock)
        first = run(ti)
        if status:
            control_plane.statuses["orders"] = status
        else:
            control_plane.client().delete_table(TableName="orders")
        clock.sleep(DAY)
        assert run(cleared(ti, clock)) == first
        assert f"The table is gone or going; taking this run's backup of it, {first}" in log()

    @pytest.mark.parametrize("settings", [GIVEN, {"if_exists": "create"}])
    def test_no_other_name_stands_for_a_table_that_is_gone(
        self, control_plane: ControlPlane, clock: Clock, settings: dict[str, Any]
    ) -> None:
        """It may be another run's."""
        ti = begun(clock)
        run(ti, **settings)
        control_plane.client().delete_table(TableName="orders")
        with pytest.raises(TableNotFoundError):
            run(retry(ti), **settings)

    def test_a_table_that_is_going_is_still_refused_if_the_run_has_no_backup(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """Nothing is made of it."""
        control_plane.statuses["orders"] = "DELETING"
        with pytest.raises(TableUnavailableError):
            run(retry(begun(clock)))

    def test_the_backup_of_an_earlier_table_is_not_the_run_s(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """It was dropped and made again: the log names the earlier one's."""
        ti = begun(clock)
        first = run(ti)
        control_plane.client().delete_table(TableName="orders")
        clock.sleep(60)
        control_plane.create_table("orders")
        assert run(cleared(ti, clock)) == control_plane.backup_arns()[1] != first
        assert f" is of the earlier table of its name: {first}" in log()

    def test_twice_and_then_for_good(self, control_plane: ControlPlane, clock: Clock) -> None:
        """A cleared run finds its backup of the last one."""
        ti = begun(clock)
        run(ti)
        clock.sleep(60)
        control_plane.drop_table("orders")
        control_plane.create_table("orders")
        clock.sleep(60)
        last = run(cleared(ti, clock))
        control_plane.drop_table("orders")
        assert run(cleared(ti, clock)) == last

    @pytest.mark.parametrize("gone", [False, True])
    def test_the_run_s_own_is_no_reason_to_warn(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str], *, gone: bool
    ) -> None:
        """It is from after the run was due, though clearing has started the run again."""
        ti = begun(clock)
        first = run(ti)
        clock.sleep(DAY)
        if gone:
            control_plane.drop_table("orders")
        assert run(cleared(ti, clock)) == first
        assert "is from before" not in log()


class TestReuse:
    """``reuse_within`` counts from the run's start."""

    WITHIN = timedelta(hours=1)

    def test_any_age_will_do(self, control_plane: ControlPlane, ti: FakeTaskInstance) -> None:
        """However long ago that may be."""
        (before,) = control_plane.add_backups("orders", 1, age=86_400 * 365)
        assert run(ti, reuse_within=timedelta.max) == before

    def test_a_run_that_is_cleared_after_its_rewrite_began_takes_the_oldest(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """Another DAG's later backup may hold what the run has begun to change."""
        (before,) = control_plane.add_backups("orders", 1)
        clock.sleep(600)
        ti = begun(clock)
        assert run(ti, reuse_within=self.WITHIN) == before
        clock.sleep(900)
        control_plane.add_backups("orders", 1)
        clock.sleep(900)
        assert run(cleared(ti, clock, finished=False), reuse_within=self.WITHIN) == before
        assert f": {before}" in log().partition("The backup is from before this run was due: it was created at")[2]

    def test_a_later_try_takes_the_oldest_too(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Before 3.2 a task cleared while its run goes on does not raise ``clear_number``."""
        (before,) = control_plane.add_backups("orders", 1)
        clock.sleep(600)
        ti = begun(clock)
        assert run(ti, reuse_within=self.WITHIN) == before
        clock.sleep(900)
        control_plane.add_backups("orders", 1)
        assert run(retry(ti), reuse_within=self.WITHIN) == before

    def test_where_only_one_made_since_is_young_enough_it_warns(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """To clear a finished run moves its start: what the run had rested on may be too old by then."""
        control_plane.add_backups("orders", 1)
        clock.sleep(3000)
        ti = begun(clock)
        run(ti, reuse_within=self.WITHIN)
        clock.sleep(600)
        (since,) = control_plane.add_backups("orders", 1)
        assert run(retry(ti), reuse_within=self.WITHIN) != since
        clock.sleep(2400)
        assert "may hold what the run has begun" not in log()
        assert run(cleared(ti, clock), reuse_within=self.WITHIN) == since
        assert f"{since} may hold what the run has begun to change already" in log()

    def test_where_none_is_left_it_warns(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """The new one may hold what the run had begun to change."""
        control_plane.add_backups("orders", 1)
        clock.sleep(600)
        ti = begun(clock)
        run(ti, reuse_within=self.WITHIN)
        clock.sleep(DAY)
        assert run(cleared(ti, clock), reuse_within=self.WITHIN) == control_plane.backup_arns()[1]
        told = log()
        assert "No backup from before this run was due was at most 1:00:00 old when it started" in told
        assert "A new one of table 'orders' may hold what the run has begun to change already" in told

    def test_the_run_s_own_comes_first(self, control_plane: ControlPlane, clock: Clock) -> None:
        """A retry gets what its first try made, also while ListBackups is behind."""
        ti = begun(clock)
        own = run(ti, reuse_within=self.WITHIN)
        clock.sleep(1)
        control_plane.add_backups("orders", 1)
        control_plane.listing_lag = 8
        assert run(retry(ti), reuse_within=self.WITHIN) == own

    def test_a_first_try_waits_for_no_listing(self, control_plane: ControlPlane, clock: Clock) -> None:
        """It has nothing of its own to find: one page, no delay."""
        start = clock.time()
        run(begun(clock), reuse_within=self.WITHIN)
        assert (control_plane.calls["ListBackups"], clock.time()) == (1, start)


class TestCalls:
    """Only recent backups matter, so old ones are not listed."""

    def test_a_long_history_costs_one_page_a_listing(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Two years of nightly backups."""
        control_plane.add_backups("orders", 720, "ledger-nightly")
        clock.sleep(2 * DAY)
        ti = begun(clock)
        run(ti, **GIVEN)
        clock.sleep(60)
        run(retry(ti), **GIVEN)
        assert control_plane.calls["ListBackups"] == 1

    def test_a_run_that_is_due_in_the_future_makes_one_backup(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Triggered ahead of its time, with four lost answers."""
        ahead = begun(clock, run_after=at(clock, DAY))
        control_plane.fail_next("CreateBackup", replace(INTERNAL_ERROR, committed=True), times=4)
        first = run(ahead, **GIVEN)
        clock.sleep(2 * DAY)
        assert run(retry(ahead), **GIVEN) == first
        assert control_plane.backup_arns() == [first]

    def test_create_recognises_only_what_was_made_since_its_call(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """The call was dropped before the commit, 20 s after another of the same name."""
        other = run(begun(clock, "one"), if_exists="create", **GIVEN)
        clock.sleep(20)
        control_plane.fail_next("CreateBackup", DROPPED_BEFORE_COMMIT)
        own = run(begun(clock, "two"), if_exists="create", **GIVEN)
        assert [other, own] == control_plane.backup_arns()

    def test_ids_of_another_shape_are_as_good(self, control_plane: ControlPlane, clock: Clock) -> None:
        """In the run's own ARN and in the listing of a retry: AWS documents none."""
        control_plane.make_backup_id = lambda: f"{len(control_plane.backup_arns())}-of-another-shape"
        ti = begun(clock)
        first = run(ti)
        clock.sleep(60)
        assert first.endswith("-of-another-shape")
        assert run(retry(ti)) == first


class TestClocks:
    """Times are compared by AWS's clock; each response tells more of it."""

    @pytest.mark.parametrize("offset", [-300, -30, 30, 300])
    @pytest.mark.parametrize("settings", [{}, GIVEN, {"if_exists": "create"}])
    def test_a_worker_s_clock_may_be_off(
        self, control_plane: ControlPlane, clock: Clock, offset: float, settings: dict[str, Any]
    ) -> None:
        """By up to five minutes: a lost answer's backup is found, and no other run's."""
        control_plane.clock_offset = offset
        other = run(begun(clock, "other", ahead=offset), **settings)
        clock.sleep(20)
        ti = begun(clock, ahead=offset)
        control_plane.fail_next("CreateBackup", replace(INTERNAL_ERROR, committed=True))
        own = run(ti, **settings)
        assert [other, own] == control_plane.backup_arns()
        clock.sleep(60)
        if "if_exists" not in settings:
            assert run(retry(ti), **settings) == own

    @pytest.mark.parametrize("if_exists", ["fail", "reuse"])
    def test_a_backup_that_was_requested_just_before_the_run_started_is_found(
        self, control_plane: ControlPlane, clock: Clock, if_exists: str
    ) -> None:
        """By the scheduler's clock, which is ahead: ListBackups' bounds are on the request, a backup's time is not."""
        control_plane.requested_before = 1.5
        ti = begun(clock, ahead=3)
        clock.sleep(3.2)
        first = run(ti, if_exists=if_exists, **GIVEN)
        clock.sleep(300)
        assert run(retry(ti), if_exists=if_exists, **GIVEN) == first

    def test_a_proxy_s_clock_hides_no_backup(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Its 429 has a date; the answer of the next call is lost."""
        control_plane.clock_offset = -200
        control_plane.fail_next("CreateBackup", THROTTLED_BY_A_PROXY)
        control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
        assert [run(begun(clock, ahead=-200))] == control_plane.backup_arns()

    def test_a_proxy_s_clock_brings_up_no_other_run_s(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The other way round."""
        control_plane.clock_offset = 200
        other = run(begun(clock, "other", ahead=200), **GIVEN)
        clock.sleep(30)
        control_plane.fail_next("CreateBackup", THROTTLED_BY_A_PROXY)
        control_plane.fail_next("CreateBackup", DROPPED_BEFORE_COMMIT)
        assert run(begun(clock, ahead=200), **GIVEN) != other

    def test_a_slow_response_brings_up_no_other_run_s(
        self, control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DescribeTable's takes 8 s, and says so little of the clock; the listing's own responses say more."""
        dated: Callable[[Any], str] = simulator.http_date  # type: ignore[attr-defined]  # imported there
        other: list[str] = []

        def on_its_way(at: Any) -> str:
            date = dated(at)
            if control_plane.calls["DescribeTable"] and not other:
                clock.sleep(4)
                other.extend(control_plane.add_backups("orders", 1, GIVEN["backup_name"]))
                clock.sleep(4)
            return date

        monkeypatch.setattr(simulator, "http_date", on_its_way)
        control_plane.fail_next("CreateBackup", DROPPED_BEFORE_COMMIT)
        assert run(begun(clock), **GIVEN) not in other


class TestAmbiguousOutcomes:
    """They are settled by listings, which may be slow or denied themselves."""

    @pytest.mark.parametrize("again", [False, True])
    def test_a_listing_that_takes_longer_than_its_lag(
        self, control_plane: ControlPlane, clock: Clock, *, again: bool
    ) -> None:
        """Backing off takes it past the ten seconds."""
        control_plane.fail_next("CreateBackup", DROPPED_BEFORE_COMMIT)
        control_plane.fail_next("ListBackups", THROTTLED, times=5)
        ti = begun(clock)
        assert [run(retry(ti) if again else ti)] == control_plane.backup_arns()

    def test_listings_that_fail_once_it_is_made_do_not_hold_up_the_wait(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """Whether another try has made one too is asked for a minute."""
        ti = begun(clock)

        def fail() -> None:
            control_plane.fail_next("ListBackups", INTERNAL_ERROR, times=10_000)

        control_plane.before("CreateBackup", fail)
        start = clock.time()
        assert [run(retry(ti))] == control_plane.backup_arns()
        assert clock.time() - start < 100
        assert "Whether another try of this run has made a backup too is not known" in log()

    def test_a_denied_listing_after_a_lost_answer_is_named(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Without it the outcome can't be found out."""
        control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
        control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"))
        with pytest.raises(AmbiguousOutcomeError, match="Grant dynamodb:ListBackups"):
            run(begun(clock))

    def test_a_table_is_made_again_before_the_creation(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The answer is lost: the backup of the new table is found."""

        def again() -> None:
            clock.sleep(1)
            control_plane.drop_table("orders")
            control_plane.create_table("orders")
            clock.sleep(1)

        control_plane.before("CreateBackup", again)
        control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
        assert [run(begun(clock))] == control_plane.backup_arns()

    @pytest.mark.parametrize("choice", ["reuse", "create"])
    def test_an_ambiguous_outcome_promises_nothing_of_a_retry(
        self, control_plane: ControlPlane, clock: Clock, choice: str
    ) -> None:
        """With ``create`` it makes another."""
        control_plane.fail_next("CreateBackup", INTERNAL_ERROR, times=99)
        with pytest.raises(AmbiguousOutcomeError) as raised:
            run(begun(clock), if_exists=choice)
        assert "retry" not in str(raised.value).lower()


class TestTimeout:
    """No call begins after it."""

    def test_nothing_is_created_after_it(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The table was ready in the last second, and the check after it took nine."""
        start = clock.time()

        class Statuses(dict[str, str]):
            def get(self, key: str, default: Any = None) -> Any:
                return "CREATING" if key == "orders" and clock.time() < start + 58 else default

        control_plane.switch_recovery("orders")
        control_plane.statuses = Statuses()
        control_plane.delays["DescribeContinuousBackups"] = 9
        with pytest.raises(CreationTimeoutError):
            run(begun(clock), timeout=60, require_point_in_time_recovery=True)
        assert control_plane.backup_arns() == []
        assert clock.time() - start <= 70

    def test_before_it_is_known_whether_there_is_a_backup(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The message does not speak of one."""
        control_plane.delays["DescribeTable"] = 61
        with pytest.raises(CreationTimeoutError, match="A retry finds the backup, if there is one, or creates it"):
            run(retry(begun(clock)), timeout=60)

    def test_callers_catch_it_as_everything_else(self) -> None:
        """All that this package raises is of one class."""
        assert issubclass(CreationTimeoutError, BackupError)
