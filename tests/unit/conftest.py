"""Fixtures of the unit tests: a task instance without a database, and its context."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import settings as hypothesis_settings

from airflow_ddb_backup.clock import Clock
from tests.sampling import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.loop import SkippingLoop

# None has a time limit: machines may be busy.
hypothesis_settings.register_profile("unhurried", deadline=None, max_examples=EXAMPLES)
hypothesis_settings.load_profile("unhurried")

SETTINGS: dict[str, Any] = {
    "aws_conn_id": "other",
    "region_name": "eu-west-1",
    "verify": False,
    "botocore_config": {"read_timeout": 9},
}


def _now() -> datetime:
    return datetime.fromtimestamp(Clock().time(), tz=UTC)


@dataclass
class FakeTaskInstance:
    """A task instance that keeps its XComs in a dict. Its run is due now, by the tests' clock, and starts at once."""

    dag_id: str = "shop"
    task_id: str = "back_up"
    run_id: str = "manual__2026-11-23"
    map_index: int = -1
    try_number: int = 1
    run_after: datetime = field(default_factory=_now)
    started: datetime | None = None
    clear_number: int = 0
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: object) -> None:
        """Keep a value."""
        self.xcoms[key] = value

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> object:
        """Return a value of this very task instance."""
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.xcoms.get(key)


def context_of(ti: FakeTaskInstance) -> Context:
    """Return what ``execute`` is given."""
    started = ti.started or ti.run_after
    dag_run = SimpleNamespace(run_after=ti.run_after, start_date=started, clear_number=ti.clear_number)
    return cast("Context", {"ti": ti, "dag_run": dag_run})


@pytest.fixture
def ti() -> FakeTaskInstance:
    """Return a task instance that is not mapped, in its first try."""
    return FakeTaskInstance()


@pytest.fixture
def context(ti: FakeTaskInstance) -> Context:
    """Return what ``execute`` is given."""
    return context_of(ti)


@pytest.fixture
def backup_arn(control_plane: ControlPlane) -> str:
    """Create a backup of ``orders`` and return its ARN."""
    created = control_plane.client().create_backup(TableName="orders", BackupName="nightly")
    return str(created["BackupDetails"]["BackupArn"])


@pytest.fixture
def fast_loop(loop_factory: Callable[[], SkippingLoop], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loop of a worker, and a trigger's, skip the time in which nothing happens."""
    monkeypatch.setattr("asyncio.events.new_event_loop", loop_factory)


@pytest.fixture
def forty_tables(control_plane: ControlPlane) -> None:
    """Create the tables beside ``orders`` that a task for many is about."""
    for number in range(40):
        control_plane.create_table(f"table-{number:02}")


class TaskTimeout(BaseException):
    """What Airflow raises on a signal at a task's ``execution_timeout``; it is no Exception either."""


@pytest.fixture
def execution_timeout() -> Iterator[Callable[[], None]]:
    """Return what ends the task as its ``execution_timeout`` does, by a signal that pytest-timeout leaves alone."""

    def end(signum: int, frame: FrameType | None) -> None:
        raise TaskTimeout

    before = signal.signal(signal.SIGUSR1, end)
    yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
