"""Which backup is whose, over HTTP: runs that are retried, cleared, deleted, backfilled, and other clients' backups."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.exceptions import BackupExistsError, TableNotFoundError, TableUnavailableError
from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from tests.simulator.faults import DROPPED_BEFORE_COMMIT, INTERNAL_ERROR
from tests.unit.conftest import FakeTaskInstance
from tests.unit.operators.test_one_backup_per_run import execute, retry, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

GIVEN = {"backup_name": "ledger-nightly"}
DAY = 86_400.0


def at(clock: Clock, offset: float = 0.0) -> datetime:
    """Return the time by the scheduler's clock, which may be ahead."""
    return datetime.fromtimestamp(clock.time() + offset, tz=UTC)


def begun(clock: Clock, run_id: str = "manual__1", ahead: float = 0.0, **fields: Any) -> FakeTaskInstance:
    """Return a task instance of a run that is due, and starts, now."""
    return FakeTaskInstance(run_id=run_id, **{"run_after": at(clock, ahead), "started": at(clock, ahead)} | fields)


def cleared(ti: FakeTaskInstance, clock: Clock, *, finished: bool = True, ran: bool = True) -> FakeTaskInstance:
    """Return a task instance after its run was cleared: a finished run starts again, a task that ran counts on."""
    started = at(clock) if finished else ti.started
    number = ti.try_number + 1 if ran else ti.try_number
    return replace(ti, started=started, try_number=number, clear_number=ti.clear_number + 1, xcoms={})


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

    def test_a_backfilled_run_that_is_made_again_does_not_find_the_deleted_one_s(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """Due long ago, but never cleared: it counts from its start."""
        due = at(clock, -90 * DAY)
        deleted = run(begun(clock, "backfill__1", run_after=due))
        clock.sleep(DAY)
        again = begun(clock, "backfill__1", run_after=due)
        control_plane.fail_next("DescribeTable", INTERNAL_ERROR)
        assert run(retry(again)) != deleted

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

    def test_the_backup_of_an_earlier_table_is_not_the_run_s(self, control_plane: ControlPlane, clock: Clock) -> None:
        """It was dropped and made again."""
        ti = begun(clock)
        first = run(ti)
        control_plane.client().delete_table(TableName="orders")
        clock.sleep(60)
        control_plane.create_table("orders")
        assert run(cleared(ti, clock)) == control_plane.backup_arns()[1] != first


class TestReuse:
    """``reuse_within`` counts from the run's start."""

    WITHIN = timedelta(hours=1)

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
        assert f"Backup {before} is from before this run's start: it was created at" in log()

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
        assert "No backup was at most 1:00:00 old when this run started" in log()

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
    """Times are compared by AWS's clock; the scheduler's is known to nobody."""

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


class TestNames:
    """The value at execution counts."""

    def test_a_name_that_was_set_after_the_constructor(self, control_plane: ControlPlane, clock: Clock) -> None:
        """By ``pre_execute``, a subclass or a cluster policy."""
        task = DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders")
        task.backup_name = "of-the-policy"
        arn = execute(task, begun(clock))
        details = control_plane.client().describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
        assert details["BackupName"] == "of-the-policy"

    def test_an_object_that_is_executed_twice_keeps_nothing(
        self, control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither the connection nor a derived name."""
        task = DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders")
        execute(task, begun(clock, "one"))
        control_plane.expired_keys.add("simulated")
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(access_key="new"))
        execute(task, begun(clock, "two"))
        summaries = control_plane.client().list_backups(TableName="orders")["BackupSummaries"]
        assert len({summary["BackupName"] for summary in summaries}) == 2


class TestFail:
    """``if_exists="fail"`` refuses any backup of the name but an earlier try's."""

    def test_what_an_earlier_try_made_is_taken(self, control_plane: ControlPlane, clock: Clock) -> None:
        """A retry of a wait is no second backup."""
        ti = begun(clock)
        first = run(ti, if_exists="fail", **GIVEN)
        clock.sleep(60)
        assert run(retry(ti), if_exists="fail", **GIVEN) == first

    def test_another_run_s_is_refused_on_a_later_try_too(self, control_plane: ControlPlane, clock: Clock) -> None:
        """However old."""
        control_plane.add_backups("orders", 1, "ledger-nightly")
        clock.sleep(30 * DAY)
        with pytest.raises(BackupExistsError):
            run(retry(begun(clock)), if_exists="fail", **GIVEN)
