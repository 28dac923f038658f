"""The wait on a worker: an event loop in a thread of its own, which asks by the task's hook."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.clock import Clock as PackageClock
from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.limits import CALL_SECONDS
from airflow_ddb_backup.models import BackupArn, RestoreSource
from airflow_ddb_backup.waiting import awaiting
from airflow_ddb_backup.waiting.awaiting import poll_on_worker, wait_on_worker
from airflow_ddb_backup.waiting.restore_state import RestoreWait
from airflow_ddb_backup.waiting.state import BackupWait, WaitStatus
from airflow_ddb_backup.waiting.threads import run_in_thread
from tests.simulator.faults import THROTTLED, Answer, Fault

if TYPE_CHECKING:
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


@pytest.fixture
def hook(control_plane: ControlPlane) -> DynamoDBBackupHook:
    """Return a task's hook."""
    return DynamoDBBackupHook(region_name="us-east-1")


class Log:
    """A task's log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, *values: object) -> None:
        """Keep a line."""
        self.lines.append(message % values)

    error = info


@pytest.fixture
def task_log() -> Log:
    """Return a task's log."""
    return Log()


def waits_for(arns: list[str], seconds: float = 600) -> list[BackupWait]:
    """Return waits until one deadline."""
    deadline = Deadline.after(seconds)
    return [BackupWait(BackupArn.parse(arn), deadline) for arn in arns]


def test_one_backup_is_described_at_its_interval(
    control_plane: ControlPlane, clock: Clock, hook: DynamoDBBackupHook, task_log: Log
) -> None:
    """At once, and every 5 s; a line every 30 s."""
    control_plane.creating_for = 62
    begun, arns = clock.time(), [str(arn) for arn in control_plane.add_backups("orders", 1)]
    (result,) = wait_on_worker(hook, waits_for(arns), 5, task_log)
    assert result.unwrap()["backup_arn"] == arns[0]
    assert 62 <= clock.time() - begun < 68
    assert 13 <= control_plane.calls["DescribeBackup"] <= 14
    assert [line.partition(", ")[2] for line in task_log.lines] == [
        f"30 s after it was started. Backup {arns[0]}.",
        f"60 s after it was started. Backup {arns[0]}.",
    ]


def test_many_are_swept(control_plane: ControlPlane, hook: DynamoDBBackupHook, task_log: Log) -> None:
    """As on the triggerer; their ends come in their order."""
    control_plane.creating_for = 20
    arns = [str(arn) for arn in reversed(control_plane.add_backups("orders", 300))]
    results = wait_on_worker(hook, waits_for(arns), 5, task_log)
    assert [result.unwrap()["backup_arn"] for result in results] == arns
    assert control_plane.calls["DescribeBackup"] <= 5
    assert control_plane.calls["ListBackups"] <= 25
    assert task_log.lines[-1] == "300 backups: 300 AVAILABLE, 0 waiting, 0 failed"


def test_a_table_is_described_at_its_interval(
    control_plane: ControlPlane, clock: Clock, hook: DynamoDBBackupHook, backup_arn: str, task_log: Log
) -> None:
    """The same poller and messages."""
    control_plane.restoring_for = 200
    control_plane.client().restore_table_from_backup(TargetTableName="restored", BackupArn=backup_arn)
    control_plane.calls.clear()
    source = RestoreSource.of_backup(BackupArn.parse(backup_arn))
    begun, wait = clock.time(), RestoreWait(source, "restored", Deadline.after(600))
    (result,) = wait_on_worker(hook, [wait], 30, task_log, first_delay=30)
    assert result.unwrap().endswith(":table/restored")
    assert 200 <= clock.time() - begun <= 211
    assert control_plane.calls == {"DescribeTable": 7}
    assert len(task_log.lines) >= 6


def test_the_last_poll_comes_when_time_is_up(
    control_plane: ControlPlane, clock: Clock, hook: DynamoDBBackupHook, task_log: Log
) -> None:
    """Its answer counts."""
    control_plane.creating_for = 58
    begun, arns = clock.time(), [str(arn) for arn in control_plane.add_backups("orders", 1)]
    (result,) = wait_on_worker(hook, waits_for(arns, 60), 50, task_log)
    assert result.status is WaitStatus.SUCCESS
    assert clock.time() - begun == pytest.approx(60, abs=1)


@pytest.mark.parametrize("count", [1, 30])
def test_calls_that_hang_outlive_no_deadline(
    control_plane: ControlPlane, clock: Clock, hook: DynamoDBBackupHook, task_log: Log, count: int
) -> None:
    """By more than any call may take."""
    for operation in ("ListBackups", "DescribeBackup"):
        control_plane.fail_next(operation, Fault(Answer.HANGING), times=9999)
    begun, arns = clock.time(), [str(arn) for arn in control_plane.add_backups("orders", count)]
    results = wait_on_worker(hook, waits_for(arns, 60), 5, task_log)
    assert {result.status for result in results} == {WaitStatus.TIMEOUT}
    assert clock.time() - begun <= 60 + CALL_SECONDS + 1


def test_a_backup_that_is_not_known_everywhere_yet_is_not_lost(
    control_plane: ControlPlane, hook: DynamoDBBackupHook, task_log: Log
) -> None:
    """DescribeBackup does not find it for 4 s, in which it is asked for once a second."""
    arns = [str(arn) for arn in control_plane.add_backups("orders", 1)]
    control_plane.fail_next("DescribeBackup", Fault(code="BackupNotFoundException"), times=4)
    (result,) = wait_on_worker(hook, waits_for(arns), 1, task_log)
    assert result.status is WaitStatus.SUCCESS


def test_throttling_is_one_outage(
    control_plane: ControlPlane, hook: DynamoDBBackupHook, task_log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """Not a line for each call."""
    control_plane.fail_next("DescribeBackup", THROTTLED, times=10)
    wait_on_worker(hook, waits_for([str(arn) for arn in control_plane.add_backups("orders", 1)]), 1, task_log)
    assert sum("DescribeBackup in us-east-1 fails" in message for message in caplog.messages) == 1


def test_refused_credentials_open_the_hook_s_client_again(
    control_plane: ControlPlane, hook: DynamoDBBackupHook, task_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the Airflow connection says by then; the task goes on with the same client."""
    arns = [str(arn) for arn in control_plane.add_backups("orders", 1)]
    control_plane.expired_keys.add("old")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(access_key="old"))
    assert poll_on_worker(hook, waits_for(arns), CALL_SECONDS, task_log) == [None]
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(access_key="new"))
    (result,) = poll_on_worker(hook, waits_for(arns), CALL_SECONDS, task_log)
    assert result is not None
    assert hook.describe_backup(BackupArn.parse(arns[0])).status == "AVAILABLE"


def test_a_poll_ends_no_wait_that_goes_on(control_plane: ControlPlane, hook: DynamoDBBackupHook, task_log: Log) -> None:
    """Each is asked for once."""
    arns = [str(arn) for arn in control_plane.add_backups("orders", 30)]
    control_plane.statuses = {arns[3]: "CREATING", arns[5]: "DELETED"}
    ends = poll_on_worker(hook, waits_for(arns), float("inf"), task_log)
    assert ends[3] is None
    assert [end.status for end in ends if end].count(WaitStatus.SUCCESS) == 28
    assert control_plane.calls["ListBackups"] + control_plane.calls["DescribeBackup"] == 1


def test_an_exception_in_the_main_thread_ends_the_wait(
    control_plane: ControlPlane, hook: DynamoDBBackupHook, task_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Airflow raises one for the task's execution_timeout; nothing polls on."""
    control_plane.creating_for = 99_999
    arns = [str(arn) for arn in control_plane.add_backups("orders", 1)]
    threads: list[Any] = []

    class Interrupted:
        """The result of a thread that a signal comes before."""

        def __init__(self, future: Any) -> None:
            self.done = future.done
            threads.append(future)

        def result(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(awaiting, "run_in_thread", lambda function: Interrupted(run_in_thread(function)))
    with pytest.raises(KeyboardInterrupt):
        wait_on_worker(hook, waits_for(arns, 9999), 5, task_log)
    with pytest.raises(RuntimeError, match="CancelledError"):
        threads[0].result(30)
    calls = control_plane.calls["DescribeBackup"]
    assert not [one for one in threading.enumerate() if one.name == "dynamodb" and not one.daemon]
    assert control_plane.calls["DescribeBackup"] == calls


@pytest.mark.parametrize("step", [3600, -3600])
def test_a_wall_clock_that_is_set_moves_no_wait(
    control_plane: ControlPlane,
    clock: Clock,
    hook: DynamoDBBackupHook,
    task_log: Log,
    step: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the deadline of a deferral is wall time."""
    control_plane.creating_for = 9999
    begun, waits = clock.monotonic(), waits_for([str(arn) for arn in control_plane.add_backups("orders", 1)], 100)
    stepped = SimpleNamespace(time=lambda: clock.time() + step, monotonic=clock.monotonic, sleep=clock.sleep)
    monkeypatch.setattr(PackageClock, "source", stepped)
    (result,) = wait_on_worker(hook, waits, 5, task_log)
    assert result.status is WaitStatus.TIMEOUT
    assert 100 <= clock.monotonic() - begun < 102
    assert 20 <= control_plane.calls["DescribeBackup"] <= 22
