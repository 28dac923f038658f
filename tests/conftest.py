"""Isolation: an Airflow home of its own, no AWS setting of the machine, the simulated control plane for AWS."""

from __future__ import annotations

import gc
import inspect
import os
import re
import sys
import tempfile
import threading
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any

import botocore.client
import botocore.endpoint_provider
import botocore.hooks
import botocore.session
import botocore.useragent
import pytest
from blockbuster import blockbuster_ctx
from packaging.version import Version

import airflow_ddb_backup
from airflow_ddb_backup.clock import Clock as PackageClock
from tests.sampling import FEW, sampled
from tests.simulator.clock import Clock, StillClock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.loop import SkippingLoop

UNIT, SYSTEM = Path(__file__).parent / "unit", Path(__file__).parent / "system"
EXAMPLE_DAGS = Path(__file__).parents[1] / "example_dags"
# Of the values that a test is parametrized with, so many are measured.
_MEASURED = 2
# The fixtures of the system tests that start Airflow's processes for their file.
_RUNNING = {"runs", "standalone"}
# Airflow reads these once, when it is imported first.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-ddb-backup-")
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_", "BOTO"))]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__DAGS_FOLDER": f"{_HOME.name}/dags",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    # Nobody could tell its colours from those of a forged name.
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME.name}/airflow.db",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

(DAGS_FOLDER := Path(_HOME.name, "dags")).mkdir()
(DAGS_FOLDER / "examples").symlink_to(EXAMPLE_DAGS)
(DAGS_FOLDER / "tests").symlink_to(SYSTEM / "dags")

# What botocore does for each new session and client, all of them here do once: a tenth of a second to read the models,
# what it makes of them for each operation and address, and the names of some hundred events.
botocore.session.create_loader = cache(botocore.session.create_loader)


@cache
def _service_model(name: str, version: str | None = None) -> Any:
    description = botocore.session.create_loader(None).load_service_model(name, "service-2", api_version=version)
    return botocore.client.ServiceModel(description, service_name=name)


botocore.client.ClientCreator._load_service_model = lambda _, *args: _service_model(*args)  # noqa: SLF001
botocore.hooks.EventAliaser._alias_event_name = staticmethod(  # noqa: SLF001  # of the default aliases
    cache(botocore.hooks.EventAliaser(botocore.hooks.HierarchicalEmitter())._alias_event_name)  # noqa: SLF001
)
# For each call, the parts of the user agent.
botocore.useragent.sanitize_user_agent_string_component = cache(botocore.useragent.sanitize_user_agent_string_component)
_accepts_kwargs = botocore.hooks.accepts_kwargs


def _has_kwargs(handler: Any) -> Any:
    # No cache: it would keep the handlers of each session, and with them the session.
    code = getattr(handler, "__code__", None)
    return code.co_flags & inspect.CO_VARKEYWORDS if code else _accepts_kwargs(handler)


botocore.hooks.accepts_kwargs = _has_kwargs

_RuleSet = botocore.endpoint_provider.RuleSet
_rule_sets: dict[int, Any] = {}


def _rule_set(rules: Any, **others: Any) -> Any:
    # The loader keeps the rules.
    if id(rules) not in _rule_sets:
        _rule_sets[id(rules)] = _RuleSet(rules=rules, **others)
    return _rule_sets[id(rules)]


botocore.endpoint_provider.RuleSet = _rule_set

# Beside Airflow, botocore's models and moto, a full collection of garbage takes a quarter of a second.
gc.set_threshold(10_000, 20, 100)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Collect no garbage in what is imported, which stays; with coverage, all of the package.

    Its imports count, then, though a test that is not measured be the first to need a module.
    """
    if session.config.pluginmanager.hasplugin("_cov"):
        for module in walk_packages(airflow_ddb_backup.__path__, "airflow_ddb_backup."):
            import_module(module.name)
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Collect all garbage once: pytest does so five times, and finds in it what could not be raised."""
    gc.collect()
    gc.freeze()


# Before xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cases under load where few examples are asked for.

    Let one process begin with each file that starts Airflow's own processes, and one with all of ``DAG.test``. Each
    process has a cluster of its own, on which any test can run.
    """
    if FEW:
        under_load = {item.nodeid: item for item in items if item.get_closest_marker("load")}
        left_out = [under_load[node] for node in under_load.keys() - sampled(under_load)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        names = getattr(item, "fixturenames", ())
        if SYSTEM in item.path.parents and "running" not in names:
            fixtures = _RUNNING.intersection(names)
            item.add_marker(pytest.mark.xdist_group(item.path.stem if fixtures else "dag_test"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure coverage in the tests of the package alone, and not of whole DAGs, many histories, nor more of the same.

    To measure it takes two to ten times a test's own time. pytest-cov's ``no_cover`` goes on measuring beside xdist.
    """
    is_whole = "run_dag" in getattr(item, "fixturenames", ())
    callspec = getattr(item, "callspec", None)
    is_one_of_many = callspec is not None and max(callspec.indices.values(), default=0) >= _MEASURED
    if {UNIT, SYSTEM} & {*item.path.parents} and not (is_whole or is_one_of_many or item.get_closest_marker("load")):
        return (yield)
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)
        threading.settrace(of_threads)


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
    with blockbuster_ctx() as blocking:
        # Coverage takes it where a file's first line is reached, be that on the loop.
        blocking.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
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
    from tests.simulator.patience import tell_patience

    sessions = tell_patience(monkeypatch)
    base_aws = import_module("airflow.providers.amazon.aws.hooks.base_aws")
    # For AWS's statistics each client would walk through all frames, and for some of them through all modules.
    monkeypatch.setattr(base_aws.AwsGenericHook, "_get_caller", lambda _: "Tests")
    # Airflow masks each secret that it has ever seen, by one pattern, and compiles it again for each new one.
    for masker in _secrets_maskers():
        monkeypatch.setattr(masker, "patterns", set())
        monkeypatch.setattr(masker, "replacer", None)
    with ControlPlane(clock=clock).serve() as plane:
        plane.sessions = sessions
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", plane.connection())
        plane.create_table("orders")
        yield plane
    for session in sessions:
        session.close()


@cache
def _secrets_maskers() -> list[Any]:
    # Airflow 3 has one for itself and one for its SDK.
    modules = [module for name, module in sys.modules.items() if name.endswith(".secrets_masker")]
    return [module._secrets_masker() for module in modules if hasattr(module, "_secrets_masker")]  # noqa: SLF001


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return what reads the log so far; Airflow 3 prints it, Airflow 2 uses the standard library's."""
    release = Version(import_module("airflow").__version__).release[:2]

    def read() -> str:
        printed, recorded = capsys.readouterr().out, caplog.text
        if release < (3, 0):
            return recorded
        if release > (3, 0):
            return printed + recorded
        # It prints the standard library's as well.
        return recorded + re.sub(r"^\[\d{4}-.*\n", "", printed, flags=re.MULTILINE)

    return read
