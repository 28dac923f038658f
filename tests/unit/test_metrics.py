"""The metrics, as a StatsD listener receives them from Airflow's own ``Stats``, and as OpenTelemetry does."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.secrets.environment_variables import EnvironmentVariablesBackend
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from airflow_ddb_backup import limits, metrics
from airflow_ddb_backup.exceptions import BackupError, InvalidValueError, TablesFailedError
from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBDeleteBackupOperator,
    DynamoDBPruneBackupsOperator,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupSensor
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupsTrigger, DynamoDBBackupTrigger
from tests.simulator.control_plane import REGION
from tests.simulator.faults import THROTTLED
from tests.statsd import TASKS, TRIGGERERS, Listener, otel_backend, set_up, statsd_backend
from tests.unit.conftest import FakeTaskInstance, TaskTimeout, context_of
from tests.unit.creation.support import retry
from tests.unit.restoring.drills import back_up_items, drill
from tests.unit.restoring.support import make_source
from tests.unit.restoring.support import operator as restore_operator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("fast_loop")


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Listen; Airflow's options say to send there, and it is set up in no process yet."""
    listener = Listener()
    for name, value in listener.environment.items():
        monkeypatch.setenv(name, value)
    metrics.is_on.cache_clear()
    yield listener
    monkeypatch.undo()
    for copy in (TASKS, TRIGGERERS):
        set_up(copy, None)
    metrics.is_on.cache_clear()
    listener.close()


@pytest.fixture
def backend(statsd: Listener) -> Iterator[Any]:
    """Return Airflow's own backend, which sends to the listener."""
    backend = statsd_backend()
    yield backend
    backend.statsd.close()


@pytest.fixture
def on_worker(statsd: Listener, backend: Any) -> Listener:
    """Listen, and set up what the process of a task does."""
    set_up(TASKS, backend)
    return statsd


@pytest.fixture
def on_triggerer(statsd: Listener, backend: Any) -> Listener:
    """Listen, and set up what a triggerer does."""
    set_up(TRIGGERERS, backend)
    return statsd


def create(table: str = "orders", **kwargs: Any) -> DynamoDBCreateBackupOperator:
    """Return a task that backs a table up."""
    return DynamoDBCreateBackupOperator(task_id="back_up", table_name=table, **kwargs)


async def run_triggers(*triggers: Any) -> None:
    """Run triggers to their ends."""

    async def run(trigger: Any) -> None:
        assert [event.payload["status"] async for event in trigger.run()] == ["success"]

    await asyncio.gather(*map(run, triggers))


class TestTasks:
    """What a task's process sends."""

    def test_a_backup_is_created(self, control_plane: ControlPlane, on_worker: Listener, context: Context) -> None:
        """Once, and how long it took until a poll saw it AVAILABLE."""
        control_plane.creating_for = 12
        create().execute(context)
        counts = on_worker.counts("region")
        assert counts["backups_created", REGION] == 1
        assert not {"backups_reused", "backups_failed"} & {name for name, _ in counts}
        (milliseconds,) = on_worker.values("backup_duration")
        assert 11_000 <= milliseconds < 19_000

    def test_a_backup_is_reused(self, control_plane: ControlPlane, on_worker: Listener, ti: FakeTaskInstance) -> None:
        """A later try finds the run's own: it is neither created, nor was it awaited."""
        create().execute(context_of(ti))
        on_worker.forget()
        create().execute(context_of(retry(ti)))
        assert on_worker.counts()["backups_reused",] == 1
        assert not on_worker.counts()["backups_created",]
        assert on_worker.values("backup_duration") == []

    def test_a_backup_fails(self, control_plane: ControlPlane, on_worker: Listener, context: Context) -> None:
        """Whatever the reason, once for each try."""
        with pytest.raises(BackupError):
            create("gone").execute(context)
        assert on_worker.counts("region")["backups_failed", REGION] == 1

    def test_a_task_that_airflow_ends_has_failed(
        self, control_plane: ControlPlane, on_worker: Listener, context: Context, execution_timeout: Callable[[], None]
    ) -> None:
        """At its ``execution_timeout``, which is no exception of this package."""
        control_plane.on_commit = lambda *_: execution_timeout()
        with pytest.raises(TaskTimeout):
            create().execute(context)
        assert on_worker.counts()["backups_failed",] == 1

    @pytest.mark.parametrize(
        ("method", "event"),
        [
            ("execute_complete", {"status": "timeout", "backup": None, "message": "Time was up."}),
            ("__fail__", {}),
        ],
    )
    def test_a_deferred_task_fails_once(
        self, control_plane: ControlPlane, on_worker: Listener, context: Context, method: str, event: dict[str, Any]
    ) -> None:
        """It comes back from the triggerer; the try that deferred has counted nothing."""
        task = create(deferrable=True)
        given = {"event": event} if event else {"error": "Trigger timeout"}
        with pytest.raises(BackupError):
            task.resume_execution(method, given, context)
        assert on_worker.counts()["backups_failed",] == 1

    @pytest.mark.usefixtures("forty_tables")
    def test_of_many_tables_each_counts(
        self, control_plane: ControlPlane, on_worker: Listener, context: Context
    ) -> None:
        """Two that are missing have failed, three others have a backup."""
        tables = [f"table-{number:02}" for number in range(3)]
        task = DynamoDBBackupTablesOperator(task_id="back_up", table_names=[*tables, "one-gone", "two-gone"])
        with pytest.raises(TablesFailedError):
            task.execute(context)
        counts = on_worker.counts()
        assert (counts["backups_created",], counts["backups_failed",]) == (3, 2)

    def test_calls_are_counted_by_operation(
        self, control_plane: ControlPlane, on_worker: Listener, context: Context
    ) -> None:
        """As many as AWS has got, and how many of them it has throttled."""
        control_plane.creating_for = 12
        control_plane.fail_next("CreateBackup", THROTTLED, times=2)
        control_plane.calls.clear()
        create().execute(context)
        counts = on_worker.counts("operation")
        assert {one[1]: number for one, number in counts.items() if one[0] == "calls"} == control_plane.calls
        assert counts["throttled_calls", "CreateBackup"] == 2

    def test_deletions_are_counted(
        self, control_plane: ControlPlane, on_worker: Listener, context: Context, backup_arn: str
    ) -> None:
        """One backup, those of a prune; what is gone already was deleted by somebody else."""
        task = DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=backup_arn)
        task.execute(context)
        task.execute(context)
        assert on_worker.counts("region")["backups_deleted", REGION] == 1
        control_plane.add_backups("orders", 5, "nightly", age=3600)
        prune: dict[str, Any] = {"table_names": ["orders"], "backup_name_prefix": "nightly", "keep_last": 2}
        DynamoDBPruneBackupsOperator(task_id="plan", **prune, plan_only=True).execute(context)
        assert on_worker.counts()["backups_deleted",] == 1
        DynamoDBPruneBackupsOperator(task_id="prune", **prune).execute(context)
        assert on_worker.counts()["backups_deleted",] == 4

    def test_restores_are_counted(self, control_plane: ControlPlane, on_worker: Listener, context: Context) -> None:
        """And how long the table took until a poll saw it complete."""
        make_source(control_plane)
        control_plane.restoring_for = 200
        (arn,) = control_plane.add_backups("source", 1)
        restore_operator(arn).execute(context)
        with pytest.raises(BackupError):
            restore_operator(f"{arn}x").execute(context)
        counts = on_worker.counts("region")
        assert (counts["tables_restored", REGION], counts["restores_failed", REGION]) == (1, 1)
        (milliseconds,) = on_worker.values("restore_duration")
        assert 199_000 <= milliseconds < 235_000

    def test_drills_are_counted(self, control_plane: ControlPlane, on_worker: Listener) -> None:
        """One with several checks that fail is one; one that is skipped is none."""
        make_source(control_plane)
        back_up_items(control_plane)
        drill()
        with pytest.raises(BackupError):
            drill(ti=FakeTaskInstance(task_id="drill", run_id="other"), min_items=9, validate=lambda *_: 1 / 0)
        counts = on_worker.counts()
        assert (counts["drills_passed",], counts["drills_failed",]) == (1, 1)
        assert not counts["tables_restored",]

    def test_a_sensor_counts_no_backup(
        self, control_plane: ControlPlane, on_worker: Listener, context: Context, clock: Clock
    ) -> None:
        """And an old backup, which was AVAILABLE long before, has taken no time that anybody knows."""
        (arn,) = control_plane.add_backups("orders", 1, age=limits.JUST_CREATED + 1)
        DynamoDBBackupSensor(task_id="wait", backup_arn=arn).execute(context)
        assert {name for (name,) in on_worker.counts()} == {"calls"}
        assert on_worker.values("backup_duration") == []

    def test_an_option_that_airflow_does_not_read(
        self, control_plane: ControlPlane, statsd: Listener, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With Datadog on it asks for no other, and an empty one fails none of its tasks."""
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_DATADOG_ENABLED", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "")
        metrics.is_on.cache_clear()
        assert create().execute(context) == control_plane.backup_arns()[0]

    def test_nothing_is_sent_where_airflow_sends_nothing(
        self, control_plane: ControlPlane, on_worker: Listener, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Airflow's own options decide."""
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
        metrics.is_on.cache_clear()
        create().execute(context)
        assert on_worker.sent() == []


class TestTriggerers:
    """What a triggerer sends: from a thread, since a blocking call on the loop would fail these tests."""

    pytestmark = pytest.mark.anyio

    async def test_calls_and_durations(self, control_plane: ControlPlane, on_triggerer: Listener, clock: Clock) -> None:
        """All calls, and for each backup its own duration."""
        control_plane.creating_for = 20
        arns = await asyncio.to_thread(control_plane.add_backups, "orders", 3)
        control_plane.calls.clear()
        kwargs: dict[str, Any] = {"poll_interval": 5, "deadline": clock.time() + 600}
        await run_triggers(
            DynamoDBBackupTrigger(backup_arn=arns[0], **kwargs), DynamoDBBackupsTrigger(backup_arns=arns[1:], **kwargs)
        )
        counts = on_triggerer.counts("operation")
        assert {one[1]: number for one, number in counts.items()} == control_plane.calls
        durations = on_triggerer.values("backup_duration")
        assert len(durations) == 3
        assert all(19_000 <= one < 27_000 for one in durations)

    async def test_throttled_calls(self, control_plane: ControlPlane, on_triggerer: Listener, clock: Clock) -> None:
        """By operation, as on a worker."""
        (arn,) = await asyncio.to_thread(control_plane.add_backups, "orders", 1)
        control_plane.fail_next("DescribeBackup", THROTTLED)
        await run_triggers(DynamoDBBackupTrigger(backup_arn=arn, poll_interval=5, deadline=clock.time() + 600))
        assert on_triggerer.counts("operation", "region")["throttled_calls", "DescribeBackup", REGION] == 1

    async def test_waits_are_a_gauge_of_all_pollers(
        self, control_plane: ControlPlane, on_triggerer: Listener, clock: Clock
    ) -> None:
        """Of the region, until none is left: two pollers, since the settings differ, must not overwrite each other."""
        control_plane.creating_for = 60
        arns = await asyncio.to_thread(control_plane.add_backups, "orders", 5)
        kwargs: dict[str, Any] = {"poll_interval": 5, "deadline": clock.time() + 600}
        others = DynamoDBBackupsTrigger(backup_arns=arns[2:], botocore_config={"user_agent": "other"}, **kwargs)
        await run_triggers(DynamoDBBackupsTrigger(backup_arns=arns[:2], **kwargs), others)
        values = on_triggerer.values("waits")
        assert max(values) == 5
        assert values[-1] == 0
        # Also while nothing changes: Datadog forgets a gauge that is not told again.
        assert values.count(5) >= 8
        assert {tuple(one.tags) for one in on_triggerer.sent() if one.name == "waits"} == {("region", "hostname")}

    async def test_a_backend_that_hangs_holds_up_nothing(
        self, control_plane: ControlPlane, statsd: Listener, clock: Clock
    ) -> None:
        """A name server, or a client of the user's own, that does not answer: the wait ends all the same."""

        def hang(*_: object, **__: object) -> None:
            clock.sleep(99_999)

        set_up(TRIGGERERS, SimpleNamespace(incr=hang, gauge=hang, timing=hang))
        (arn,) = await asyncio.to_thread(control_plane.add_backups, "orders", 1)
        begun = clock.monotonic()
        await run_triggers(DynamoDBBackupTrigger(backup_arn=arn, poll_interval=5, deadline=clock.time() + 600))
        assert clock.monotonic() - begun < 600

    @pytest.mark.parametrize("error", [SystemExit, RuntimeError])
    async def test_a_backend_that_ends_its_thread_ends_no_wait(
        self,
        control_plane: ControlPlane,
        statsd: Listener,
        clock: Clock,
        error: type[BaseException],
        log: Callable[[], str],
    ) -> None:
        """A client of the user's own that exits; and where no thread can be started it is the same."""

        def fail(*_: object, **__: object) -> None:
            raise error

        set_up(TRIGGERERS, SimpleNamespace(incr=fail, gauge=fail, timing=fail))
        (arn,) = await asyncio.to_thread(control_plane.add_backups, "orders", 1)
        await run_triggers(DynamoDBBackupTrigger(backup_arn=arn, poll_interval=5, deadline=clock.time() + 600))
        assert "defect" not in log()


class TestFailing:
    """A metric fails no task."""

    def test_a_backend_that_raises(self, control_plane: ControlPlane, statsd: Listener, context: Context) -> None:
        """A client of the user's own may raise anything."""

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError

        set_up(TASKS, SimpleNamespace(incr=fail, gauge=fail, timing=fail))
        assert create().execute(context) == control_plane.backup_arns()[0]

    def test_a_listener_that_is_gone(self, control_plane: ControlPlane, on_worker: Listener, context: Context) -> None:
        """UDP tells the second datagram that nobody listens."""
        on_worker.close()
        assert create().execute(context) == control_plane.backup_arns()[0]

    @pytest.mark.parametrize("region_name", ["eu-west-1", None, 5])
    def test_the_exception_is_the_tasks_own(
        self, control_plane: ControlPlane, on_worker: Listener, context: Context, region_name: Any
    ) -> None:
        """Also where no hook can be made to tell the region: a policy of the cluster has set what none can be."""
        task = create()
        task.region_name, task.botocore_config = region_name, {"unheard_of": 1}
        with pytest.raises(InvalidValueError, match="botocore_config"):
            task.execute(context)
        # One that is not known is left out.
        tags = {"region": region_name} if region_name == "eu-west-1" else {}
        assert [one.tags for one in on_worker.sent()] == [tags]

    def test_no_connection_is_looked_up_for_it(
        self,
        control_plane: ControlPlane,
        on_worker: Listener,
        context: Context,
        monkeypatch: pytest.MonkeyPatch,
        execution_timeout: Callable[[], None],
    ) -> None:
        """A secrets backend that hangs until the ``execution_timeout`` would then hang for ever."""
        asked = []

        def hang(*_: object, **__: object) -> None:
            asked.append("other")
            execution_timeout()

        monkeypatch.setattr(EnvironmentVariablesBackend, "get_connection", hang)
        with pytest.raises(TaskTimeout):
            create(aws_conn_id="other").execute(context)
        assert asked == ["other"]
        assert on_worker.counts()["backups_failed",] == 1

    def test_no_stats_at_all(
        self, control_plane: ControlPlane, statsd: Listener, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An Airflow that has moved them again."""
        for module in (TASKS, "airflow.stats"):
            monkeypatch.setitem(sys.modules, module, None)
        assert create().execute(context) == control_plane.backup_arns()[0]


def test_open_telemetry_gets_the_tags_as_attributes(statsd: Listener) -> None:
    """Through the same ``Stats``."""
    reader = InMemoryMetricReader()
    set_up(TASKS, otel_backend(MeterProvider([reader], shutdown_on_exit=False)))
    metrics.count(metrics.CALLS, 2, operation="CreateBackup", region=REGION)
    tally = metrics.Tally(on_triggerer=False)
    tally.time(metrics.BACKUP_DURATION, timedelta(seconds=3), region=REGION)
    tally.send()
    read: Any = reader.get_metrics_data()
    found = {one.name: one.data.data_points[0] for one in read.resource_metrics[0].scope_metrics[0].metrics}
    assert found["airflow.dynamodb_backup.calls"].value == 2
    assert found["airflow.dynamodb_backup.calls"].attributes == {"operation": "CreateBackup", "region": REGION}
    assert found["airflow.dynamodb_backup.backup_duration"].attributes == {"region": REGION}


def test_sending_that_hangs_fills_no_memory(statsd: Listener) -> None:
    """The oldest go."""
    tally, values = metrics.Tally(on_triggerer=True), list[int]()
    for number in range(1, limits.MOST_KEPT_METRICS + 6):
        tally.count(metrics.CALLS, number)
    # The name is that of Airflow's own.
    set_up(TRIGGERERS, SimpleNamespace(incr=lambda _, count=0, **__: values.append(count)))
    tally.send()
    assert values == list(range(6, limits.MOST_KEPT_METRICS + 6))


def test_airflow_has_no_other_option_that_turns_metrics_on() -> None:
    """A new one would be missed."""
    try:
        source = inspect.getsource(import_module(f"{TASKS}.metrics.stats_utils"))
    except ImportError:
        source = inspect.getsource(import_module("airflow.stats"))
    found = set(re.findall(r'getboolean\("metrics", "(\w+)"\)', source))
    assert found == set(metrics.OPTIONS)


def test_the_page_has_every_metric() -> None:
    """With its type and its tags, in the order of the module."""
    page = (ROOT / "docs" / "metrics.rst").read_text()
    rows = re.findall(r"^ +\* - ``dynamodb_backup\.(\w+)``\n +- (\w+)\n +- (.+)\n", page, re.MULTILINE)
    names = [value for name, value in vars(metrics).items() if name.isupper() and name.lower() == value]
    others = {
        metrics.BACKUP_DURATION: ("timer", "region"),
        metrics.RESTORE_DURATION: ("timer", "region"),
        metrics.CALLS: ("counter", "operation, region"),
        metrics.THROTTLED_CALLS: ("counter", "operation, region"),
        metrics.WAITS: ("gauge", "hostname, region"),
    }
    assert rows == [(name, *others.get(name, ("counter", "region"))) for name in names]
