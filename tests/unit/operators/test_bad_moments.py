"""Events at a bad moment: between two calls, late, or by somebody else's clock."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

import tests.simulator.control_plane as simulator
from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupError,
    BackupExistsError,
    BackupTimeoutError,
    ConfigurationError,
    CreationTimeoutError,
    TableNotFoundError,
)
from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor
from tests.simulator.faults import (
    DROPPED_AFTER_COMMIT,
    DROPPED_BEFORE_COMMIT,
    INTERNAL_ERROR,
    THROTTLED,
    THROTTLED_BY_A_PROXY,
    Fault,
)
from tests.unit.operators.test_one_backup_per_run import retry, run
from tests.unit.operators.test_runs import DAY, GIVEN, begun, cleared

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


class TestClocks:
    """Only AWS's own responses tell its clock, and each of them tells more."""

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


class TestListings:
    """They may be slow, throttled or denied."""

    @pytest.mark.parametrize("again", [False, True])
    def test_one_that_takes_longer_than_its_lag(
        self, control_plane: ControlPlane, clock: Clock, *, again: bool
    ) -> None:
        """Backing off takes it past the ten seconds."""
        control_plane.fail_next("CreateBackup", DROPPED_BEFORE_COMMIT)
        control_plane.fail_next("ListBackups", THROTTLED, times=5)
        ti = begun(clock)
        assert [run(retry(ti) if again else ti)] == control_plane.backup_arns()

    def test_one_that_is_denied_after_a_lost_answer_is_named(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Without it the outcome can't be found out."""
        control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
        control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"))
        with pytest.raises(AmbiguousOutcomeError, match="Grant dynamodb:ListBackups"):
            run(begun(clock))

    def test_one_that_is_denied_hides_no_missing_table(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The run has no backup that anybody knows of."""
        control_plane.drop_table("orders")
        control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"))
        with pytest.raises(TableNotFoundError):
            run(cleared(begun(clock), clock, ran=False))


class TestTables:
    """They may be dropped and made again at any moment."""

    def test_between_the_first_call_and_the_creation(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The answer is lost: the backup of the new table is found."""

        def again() -> None:
            clock.sleep(1)
            control_plane.drop_table("orders")
            control_plane.create_table("orders")
            clock.sleep(1)

        control_plane.before("CreateBackup", again)
        control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
        assert [run(begun(clock))] == control_plane.backup_arns()

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


class TestTimeout:
    """No call begins after it."""

    def test_nothing_is_created_after_it(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The table was ready in the last second, and the check after it took nine."""
        start = clock.time()

        class Statuses(dict[str, str]):
            def get(self, key: str, default: Any = None) -> Any:
                return "CREATING" if key == "orders" and clock.time() < start + 58 else default

        control_plane.client().update_continuous_backups(
            TableName="orders", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
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

    def test_while_pages_are_listed(self, control_plane: ControlPlane, clock: Clock) -> None:
        """A long listing is not read on beyond it."""
        first = begun(clock)
        control_plane.add_backups("orders", 600)
        control_plane.delays["ListBackups"] = 15
        start = clock.time()
        with pytest.raises(CreationTimeoutError, match="could not be listed in time"):
            run(retry(first), timeout=60)
        assert clock.time() - start <= 60 + 15

    def test_intervals_may_be_timedeltas(self, control_plane: ControlPlane, clock: Clock) -> None:
        """As timeouts may."""
        control_plane.creating_for = 20
        assert [run(begun(clock), poll_interval=timedelta(seconds=5))] == control_plane.backup_arns()


class TestMessages:
    """They name table, backup and region, and their hints are true where they are read."""

    def test_a_typo_in_the_connection(
        self, control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing was sent."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(config_kwargs={"read_timeot": 9}))
        with pytest.raises(ConfigurationError, match="table 'orders'.*read_timeot"):
            run(begun(clock))

    @pytest.mark.parametrize("choice", ["reuse", "create"])
    def test_an_ambiguous_outcome_promises_nothing_of_a_retry(
        self, control_plane: ControlPlane, clock: Clock, choice: str
    ) -> None:
        """With ``create`` it makes another."""
        control_plane.fail_next("CreateBackup", INTERNAL_ERROR, times=99)
        with pytest.raises(AmbiguousOutcomeError) as raised:
            run(begun(clock), if_exists=choice)
        assert "retry" not in str(raised.value).lower()

    def test_a_sensor_s_timeout_speaks_of_no_other_backup(
        self, control_plane: ControlPlane, context: Context, backup_arn: str
    ) -> None:
        """It makes none."""
        control_plane.fail_next("DescribeBackup", INTERNAL_ERROR, times=99)
        with pytest.raises(BackupTimeoutError) as raised:
            DynamoDBBackupSensor(task_id="wait", backup_arn=backup_arn, timeout=0).execute(context)
        assert "makes another" not in str(raised.value)

    def test_a_backup_that_exists_is_not_promised_to_whoever_reuses(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """A first try takes none that it has not made."""
        (there,) = control_plane.add_backups("orders", 1, GIVEN["backup_name"])
        clock.sleep(3600)
        with pytest.raises(BackupExistsError, match="Set if_exists='reuse' to take this run's own only"):
            run(begun(clock), if_exists="fail", **GIVEN)
        assert run(begun(clock), if_exists="reuse", **GIVEN) != there

    def test_a_task_that_pushes_no_xcom_names_the_region_all_the_same(
        self, control_plane: ControlPlane, context: Context
    ) -> None:
        """It is the connection's."""
        control_plane.creating_for = 99
        task = DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders", deferrable=True, do_xcom_push=False)
        with pytest.raises(TaskDeferred):
            task.execute(context)
        with pytest.raises(BackupTimeoutError, match="region 'us-east-1'"):
            task.resume_execution("__fail__", {"error": "Trigger timeout"}, context)

    @pytest.mark.parametrize(("choice", "gone"), [("fail", False), ("reuse", True)])
    def test_a_backup_from_before_the_run_s_start_is_told_with_both_times(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str], choice: str, *, gone: bool
    ) -> None:
        """Whichever way it is taken."""
        ti = begun(clock)
        first = run(ti, if_exists=choice)
        clock.sleep(DAY)
        if gone:
            control_plane.drop_table("orders")
        assert run(cleared(ti, clock), if_exists=choice) == first
        assert f"Backup {first} is from before this run's start: it was created at" in log()


def test_everything_that_a_bad_moment_raises_is_of_this_package() -> None:
    """Callers catch one class."""
    assert issubclass(CreationTimeoutError, BackupError)
