"""Isolation: an Airflow home of its own, no AWS setting of the machine, the simulated control plane for AWS."""

from __future__ import annotations

import gc
import os
import tempfile
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from blockbuster import blockbuster_ctx

from airflow_ddb_backup.clock import Clock as PackageClock
from tests.simulator.clock import Clock, StillClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.loop import SkippingLoop

EXAMPLE_DAGS = Path(__file__).parents[1] / "example_dags"
# Airflow reads these once, when it is imported first.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-ddb-backup-")
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_", "BOTO"))]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__DAGS_FOLDER": f"{_HOME.name}/dags",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME.name}/airflow.db",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

(DAGS_FOLDER := Path(_HOME.name, "dags")).mkdir()
(DAGS_FOLDER / "examples").symlink_to(EXAMPLE_DAGS)
(DAGS_FOLDER / "tests").symlink_to(Path(__file__).parent / "system" / "dags")

# Each new client reads its models of files, for a tenth of a second: here all of them share what one has read.
botocore.session.create_loader = cache(botocore.session.create_loader)

# Beside Airflow, botocore's models and moto, a full collection of garbage takes a quarter of a second.
gc.set_threshold(10_000, 20, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run all tests of real Airflow, one after the other, beside the others."""
    system = Path(__file__).parent / "system"
    for item in items:
        if system in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("system"))


@pytest.fixture
def loop_factory(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[[], SkippingLoop]:
    """Return what makes an event loop that skips the time in which nothing happens."""
    # Airflow is imported once its home is set.
    from tests.simulator.loop import SkippingLoop, note_calls

    note_calls(monkeypatch)
    return partial(SkippingLoop, clock)


@pytest.fixture
def anyio_backend(loop_factory: Callable[[], SkippingLoop]) -> tuple[str, dict[str, Any]]:
    """Run async tests on asyncio."""
    return "asyncio", {"loop_factory": loop_factory}


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    if "anyio_backend" not in request.fixturenames:
        yield
        return
    with blockbuster_ctx():
        yield


@pytest.fixture
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give package and control plane one time, which only sleeping moves, unless real time is asked for."""
    marker = request.node.get_closest_marker("clock_speed")
    # Airflow's own sensors sleep by a clock of their own.
    speed = marker.args[0] if marker else 20 if "run_dag" in request.fixturenames else None
    clock = Clock(speed) if speed else StillClock()
    monkeypatch.setattr(PackageClock, "source", clock)
    # The loop of a wait on a worker.
    from airflow_ddb_backup.waiting import awaiting
    from tests.simulator.loop import SkippingLoop

    monkeypatch.setattr(awaiting, "loop_factory", partial(SkippingLoop, clock))
    return clock


@pytest.fixture
def control_plane(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlPlane]:
    """Serve the simulated control plane to the connection ``aws_default``, with the table ``orders``."""
    from tests.simulator.control_plane import ControlPlane

    with suppress(ImportError):
        # Airflow 3 compiles one pattern of all that it masks, anew with each connection.
        monkeypatch.setattr(import_module("airflow.sdk.log"), "mask_secret", lambda *_, **__: None)
    with ControlPlane(clock=clock).serve() as plane:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", plane.connection())
        plane.create_table("orders")
        yield plane


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return what reads the log so far; Airflow 3 prints it, Airflow 2 uses the standard library's."""
    # Airflow 2 prints it as well.
    printed = import_module("airflow").__version__.startswith("3.")
    return lambda: (capsys.readouterr().out if printed else "") + caplog.text
