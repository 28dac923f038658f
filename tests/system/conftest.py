"""Whole DAGs on real Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.dag_bag import dag_bag
from tests.simulator.control_plane import ControlPlane
from tests.system.browser import CHROMIUM, FLAGS, MISSING
from tests.system.cluster import Cluster, cluster, missing_programs
from tests.system.mail import mail_server
from tests.system.processes import free_ports
from tests.system.rest_api import AIRFLOW_2, AIRFLOW_3_0, EARLY_3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage

    from airflow.models.dagrun import DagRun
    from playwright.sync_api import Browser, Playwright

    from tests.simulator.loop import SkippingLoop


# So that a failure says which of the tables has no backup, or two.
pytest.register_assert_rewrite("tests.system.backups")

_LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
# Those of the DAGs, by their IDs.
_FILES: dict[str, Path] = {}


class RunDag(Protocol):
    """Runs a DAG of the DAGs folder to its end, in this process."""

    def __call__(self, dag_id: str, **kwargs: Any) -> DagRun:
        """Take the DAG's id, and what ``DAG.test`` takes."""


# After pytest-randomly has put them into its order.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with those that take long: else one process is still at them when the others have nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def _airflow_database() -> None:
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Start what drives browsers."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, MISSING
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Start a browser."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


def _tell_of_assets(bag: Any) -> None:
    """Do for ``DAG.test`` what that of Airflow 3.1.3 does by itself."""
    if AIRFLOW_2:
        bag.sync_to_db()
    elif EARLY_3:
        import_module("airflow.dag_processing.bundles.manager").DagBundlesManager().sync_bundles_to_db()
        if AIRFLOW_3_0:
            bag.sync_to_db("dags-folder", None)
        else:
            import_module("airflow.models.dagbag").sync_bag_to_db(bag, "dags-folder", None)


def _file_of(dag_id: str) -> Path:
    # A test may have written its file, and removed it.
    if not (known := _FILES.get(dag_id)) or not known.exists():
        _FILES.update({dag.dag_id: Path(dag.fileloc) for dag in dag_bag().dags.values()})
    return _FILES[dag_id]


@pytest.fixture
def run_dag(
    control_plane: ControlPlane,
    _airflow_database: None,
    loop_factory: Callable[[], SkippingLoop],
    monkeypatch: pytest.MonkeyPatch,
) -> RunDag:
    """Return what runs a DAG by ``DAG.test``, its triggers on a fast loop."""
    monkeypatch.setattr("asyncio.events.new_event_loop", loop_factory)

    def run(dag_id: str, **kwargs: Any) -> DagRun:
        # Airflow would read all DAGs of the folder, and compare each with its database.
        file = _file_of(dag_id)
        bundle = {"name": "dags-folder", "classpath": _LOCAL_BUNDLE, "kwargs": {"path": str(file)}}
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
        bag = dag_bag(file)
        _tell_of_assets(bag)
        run: DagRun = bag.dags[dag_id].test(**kwargs)
        return run

    return run


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EmailMessage]]:
    """Serve mail to the connection ``smtp_default``; return the mails that arrive."""
    with mail_server() as (mails, connection):
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", connection)
        yield mails


@pytest.fixture(scope="session")
def _plane_port() -> int:
    # The same for all tests: the cluster's connections name it.
    return free_ports(1)[0]


@pytest.fixture(scope="session")
def _running_cluster(_plane_port: int) -> Iterator[Cluster]:
    plane = ControlPlane()
    plane.url = f"http://127.0.0.1:{_plane_port}"
    environment = {
        "AIRFLOW_CONN_AWS_DEFAULT": plane.connection(),
        "AIRFLOW_CONN_EXPIRED": plane.connection(access_key="expired"),
        # Nobody listens on port 1.
        "AIRFLOW_CONN_UNREACHABLE": plane.connection().replace(plane.url, "http://127.0.0.1:1"),
        # The DAGs stay as they are: to parse them every 30 s takes a quarter of a processor.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    }
    if missing := missing_programs():
        pytest.exit(missing, returncode=1)
    with cluster(environment, print) as running:
        yield running


@pytest.fixture
def plane(_plane_port: int) -> Iterator[ControlPlane]:
    """Serve the cluster's control plane, in real time and at AWS's rates, without any tables."""
    with ControlPlane().serve(_plane_port) as plane:
        yield plane


@pytest.fixture
def running(_running_cluster: Cluster, plane: ControlPlane) -> Cluster:
    """Return the cluster, all of its programs running."""
    _running_cluster.start_again()
    _running_cluster.airflow.api.wait_until_healthy()
    return _running_cluster
