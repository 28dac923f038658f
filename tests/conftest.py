"""Isolation: an Airflow home of its own, no AWS setting of the machine, the simulated control plane for AWS."""

from __future__ import annotations

import asyncio
import os
import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blockbuster import blockbuster_ctx

import airflow_ddb_backup
from tests.simulator.clock import Clock, StillClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulator.control_plane import ControlPlane

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

_PACKAGE = Path(airflow_ddb_backup.__file__).parent
# A triggered wait of 7 s takes a third of a second. Faster, a busy machine would be late for a limit of 30 s.
_SPEED = 20.0


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop by whose clock everything takes a fraction of its time; I/O is as real as ever.

    :param speed: how many of its seconds pass in one
    """

    def __init__(self, speed: float = _SPEED) -> None:
        super().__init__()
        self._speed = speed
        select = self._selector.select  # type: ignore[attr-defined]  # no public name
        self._selector.select = lambda timeout=None: select(timeout and timeout / speed)  # type: ignore[attr-defined]  # as above

    def time(self) -> float:
        """Return the loop's own seconds."""
        return super().time() * self._speed


def _speed_of(request: pytest.FixtureRequest) -> float | None:
    marker = request.node.get_closest_marker("clock_speed")
    return float(marker.args[0]) if marker else None


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run async tests on asyncio, fast."""
    return "asyncio", {"loop_factory": partial(FastLoop, _speed_of(request) or _SPEED)}


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    if "anyio_backend" not in request.fixturenames:
        yield
        return
    with blockbuster_ctx():
        yield


@pytest.fixture
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give package and control plane one time: fast in async tests, one that only sleeping moves in all others."""
    on_a_loop = {"anyio_backend", "run_dag"} & set(request.fixturenames)
    speed = _speed_of(request)
    clock = Clock(speed or _SPEED) if on_a_loop or speed else StillClock()
    if isinstance(clock, Clock) and not isinstance(clock, StillClock):
        # Opening a client reads files and imports modules, in real time.
        opening = "airflow_ddb_backup.waiting.rate_limited_client._OPENING_SECONDS"
        monkeypatch.setattr(opening, 30.0 * clock.speed)
    for module in _PACKAGE.rglob("*.py"):
        # All that ask for the time.
        if "\nimport time\n" in module.read_text(encoding="utf-8"):
            name = ".".join(module.relative_to(_PACKAGE.parent).with_suffix("").parts)
            monkeypatch.setattr(import_module(name), "time", clock)
    return clock


@pytest.fixture
def control_plane(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlPlane]:
    """Serve the simulated control plane to the connection ``aws_default``, with the table ``orders``."""
    from tests.simulator.control_plane import ControlPlane

    with ControlPlane(clock=clock).serve() as plane:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", plane.connection())
        plane.create_table("orders")
        yield plane


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return what reads the log so far; Airflow 3 prints it, Airflow 2 uses the standard library's."""
    return lambda: capsys.readouterr().out + caplog.text
