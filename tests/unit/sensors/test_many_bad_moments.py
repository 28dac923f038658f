"""Many backups at a bad moment: calls that hang or are refused, a timeout, and listings longer than needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred

from airflow_ddb_backup.exceptions import BackupLostError, BackupSensorTimeoutError
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupsSensor
from tests.simulator.faults import Answer, Fault
from tests.unit.sensors.test_many import COUNT, DEFERRABLE, wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.loop import SkippingLoop


pytestmark = pytest.mark.load


@pytest.fixture(autouse=True)
def _fast_loop(loop_factory: Callable[[], SkippingLoop], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a trigger's loop skip the time in which nothing happens."""
    monkeypatch.setattr("asyncio.events.new_event_loop", loop_factory)


@pytest.fixture
def arns(control_plane: ControlPlane) -> list[str]:
    """Create some backups, and return their ARNs, newest first."""
    return [str(arn) for arn in reversed(control_plane.add_backups("orders", COUNT))]


class TestTimeouts:
    """They hold, and say what is missing."""

    @pytest.mark.clock_speed(40)
    @DEFERRABLE
    def test_hanging_calls_outlive_none(
        self,
        control_plane: ControlPlane,
        clock: Clock,
        context: Context,
        arns: list[str],
        monkeypatch: pytest.MonkeyPatch,
        deferrable: bool,
    ) -> None:
        """One look at all backups ends with the sensor's time, and before a deferral too."""
        # The hook counts in real seconds: ten of the simulation's.
        monkeypatch.setattr(DynamoDBBackupHook, "call_seconds", 10 / 40)
        for operation in ("ListBackups", "DescribeBackup"):
            control_plane.fail_next(operation, Fault(Answer.HANGING), times=9999)
        task = DynamoDBBackupsSensor(
            task_id="wait", backup_arns=arns, deferrable=deferrable, timeout=60, mode="reschedule"
        )
        began = clock.time()
        if deferrable:
            with pytest.raises(TaskDeferred):
                task.execute(context)
        else:
            task.poke(context)
        assert clock.time() - began < 60 + 60

    @pytest.mark.clock_speed(40)
    def test_the_message_names_what_is_missing(
        self, control_plane: ControlPlane, context: Context, arns: list[str]
    ) -> None:
        """While it pokes, as when it is deferred."""
        control_plane.statuses[arns[3]] = "CREATING"
        with pytest.raises(BackupSensorTimeoutError) as failure:
            wait(arns, context, timeout=1, poke_interval=0.3)
        assert arns[3] in str(failure.value)

    @pytest.mark.clock_speed(40)
    def test_the_message_names_what_was_lost(
        self, control_plane: ControlPlane, context: Context, arns: list[str]
    ) -> None:
        """Beside one that is still CREATING when time is up."""
        control_plane.statuses |= {arns[3]: "CREATING", arns[4]: "DELETED"}
        with pytest.raises((BackupLostError, BackupSensorTimeoutError)) as failure:
            wait(arns, context, timeout=1, poke_interval=0.3)
        assert arns[4] in str(failure.value)


class TestSkips:
    """A sensor that may not fail skips."""

    def test_soft_fail_without_a_triggerer(self, context: Context, arns: list[str]) -> None:
        """Airflow's own limit of the trigger's time is a failure like any other."""
        task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, deferrable=True, soft_fail=True)
        with pytest.raises(AirflowSkipException):
            task.resume_execution("__fail__", {"error": "Trigger timeout"}, context)

    @DEFERRABLE
    def test_never_fail(self, control_plane: ControlPlane, context: Context, arns: list[str], deferrable: bool) -> None:
        """In every mode."""
        control_plane.statuses[arns[3]] = "DELETED"
        with pytest.raises(AirflowSkipException):
            wait(arns, context, deferrable=deferrable, never_fail=True)


class TestListings:
    """They are asked for where they help, and no further than needed."""

    def test_one_page_is_enough(self, control_plane: ControlPlane, context: Context) -> None:
        """It ends where all that are waited for were seen; the other pages are nobody's."""
        control_plane.add_backups("orders", 3000)
        first_page = control_plane.client().list_backups()["BackupSummaries"]
        listings = control_plane.calls["ListBackups"]
        mine = [one["BackupArn"] for one in first_page[:6]]
        assert len(wait(mine, context)) == 6
        assert control_plane.calls["ListBackups"] - listings == 1

    def test_thousands_of_backups(self, control_plane: ControlPlane, context: Context) -> None:
        """One trigger waits for them all."""
        arns = [str(arn) for arn in control_plane.add_backups("orders", 2500)]
        assert [one["backup_arn"] for one in wait(arns, context, deferrable=True)] == arns
