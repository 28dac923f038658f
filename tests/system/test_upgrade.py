"""The package is upgraded while tasks of every class wait on the triggerer: all at once, bit by bit, and back again.

Each version is a wheel, unpacked into a folder of its own that comes first on the path of some processes. A task either
succeeds or fails with a sentence that says why and what to do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.simulator.control_plane import ControlPlane
from tests.system.cluster import TRIGGERERS, WORKERS, cluster, missing_programs
from tests.system.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.rest_api import Run
    from tests.system.standalone import Airflow

pytestmark = [pytest.mark.upgrade, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
DAGS = Path(__file__).parent / "upgrade_dags"
# The last version before the trigger of many backups carried a report as such, and that of restores a source.
BEFORE_THE_FIRST_RELEASE = "72f59af"
FROM = os.environ.get("FROM") or BEFORE_THE_FIRST_RELEASE
TRIGGERER, OTHER_TRIGGERER = TRIGGERERS
WORKER, OTHER_WORKER = WORKERS
API_SERVER = "api-server"
# The workers go before the API server, which their tasks talk to.
WORKING = (WORKER, "scheduler", "dag-processor", API_SERVER)


def unpacked(tree: Path, folder: Path) -> str:
    """Build a tree's wheel, and unpack it into a folder; return its path."""
    wheels = folder / "wheels"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "build", "--quiet", "--wheel", "--out-dir", wheels, tree], check=True)
    package = str(folder / "package")
    where = ["--python", sys.executable, "--target", package, "--no-deps"]
    subprocess.run([*uv, "pip", "install", "--quiet", *where, *map(str, wheels.glob("*.whl"))], check=True)
    (about,) = Path(package).glob("airflow_ddb_backup-*.dist-info")
    needed = {canonicalize_name(Requirement(each).name) for each in Distribution.at(about).requires or ()}
    # An earlier version may need what this one does without.
    if missing := needed - {canonicalize_name(each.name) for each in distributions()}:
        subprocess.run([*uv, "pip", "install", "--quiet", *where, *sorted(missing)], check=True)
    return package


class Rolling:
    """An Airflow, of one worker and one triggerer, whose processes have one of two versions of the package each.

    :param airflow: Airflow itself
    :param plane: its control plane
    :param old: the path of the earlier version
    :param new: that of this one
    """

    def __init__(self, airflow: Airflow, plane: ControlPlane, old: str, new: str) -> None:
        self.old = old
        self.new = new
        self._airflow = airflow
        self._plane = plane
        self._workers = self._triggerer = old
        # One of each will do.
        for name in (OTHER_TRIGGERER, OTHER_WORKER):
            airflow.processes.stop(name)
        plane.create_table("source")
        plane.switch_recovery("source")
        (self._restored,) = plane.add_backups("source", 1, age=60)
        plane.statuses[self._restored] = "AVAILABLE"

    def use(self, *, workers: str, triggerer: str) -> None:
        """Stop what is to have another version, and start it with that."""
        processes = self._airflow.processes
        names = [*(WORKING if workers != self._workers else ()), *([TRIGGERER] if triggerer != self._triggerer else ())]
        for name in names:
            processes.stop(name)
        for name in sorted(names, key=lambda name: name != API_SERVER):
            processes.environment["PYTHONPATH"] = triggerer if name == TRIGGERER else workers
            processes.start_again(name)
            self._airflow.api.wait_until_served(processes.check_running)
        self._workers, self._triggerer = workers, triggerer
        self._airflow.api.wait_until_healthy(processes.check_running)

    def start(self, dag_id: str, name: str) -> Run:
        """Start a run whose waits do not end before they are told to, and wait until each task has been deferred.

        :param dag_id: the DAG
        :param name: what the names of its tables begin with
        """
        plane = self._plane
        plane.creating_for, plane.restoring_for = 99_999, 10
        for table in ("one", "two", "awaited"):
            plane.create_table(f"{name}-{table}")
        (awaited,) = plane.add_backups(f"{name}-awaited", 1)
        for table in ("restored", "moment"):
            plane.statuses[f"{name}-{table}"] = "CREATING"
        params = {"name": name, "restored": self._restored, "awaited": awaited}
        api = self._airflow.api
        # The earlier version's DAG processor may have found it broken.
        wait_until(f"the DAG {dag_id}", lambda: (api.get(f"/api/v2/dags/{dag_id}") or {}).get("is_stale") is False)
        run = api.start_run(dag_id, params)

        def are_deferred() -> bool:
            # A trigger that can't be made has failed its task at once.
            return bool(states := run.task_states()) and {*states.values()} <= {"deferred", "failed"}

        wait_until("all deferrals", are_deferred)
        return run

    def end(self, run: Run, name: str) -> dict[str, str]:
        """Let all waits of a run end, wait until it does, and return the states of its tasks."""
        self._plane.creating_for = 0
        for table in ("restored", "moment"):
            self._plane.statuses.pop(f"{name}-{table}", None)
        run.end()
        return run.task_states()

    def backups_of(self, table: str) -> int:
        """Return how many backups a table has."""
        return sum(f":table/{table}/" in arn for arn in self._plane.backup_arns())

    def restores_as(self, table: str) -> int:
        """Return how many restores have begun to make a table."""
        return sum(
            "BackupArn" in body and body.get("TargetTableName") == table
            for operation, body in self._plane.requests
            if operation == "RestoreTableFromBackup"
        )


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    """Run one Airflow for all tests here, first with the earlier version."""
    if missing := missing_programs():
        pytest.exit(missing, returncode=1)
    folder = tmp_path_factory.mktemp("versions")
    for name in ("old", "new"):
        (folder / name).mkdir()
    archive = folder / "old.tar"
    command = [shutil.which("git") or "git", "archive", "--output", str(archive), FROM]
    made = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    if made.returncode:
        said = made.stderr.decode().strip()
        pytest.exit(f"the version {FROM} is not in this clone ({said}): git fetch --unshallow", returncode=1)
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "tree", filter="data")
    old, new = unpacked(folder / "tree", folder / "old"), unpacked(ROOT, folder / "new")
    with ControlPlane().serve() as plane:
        environment = {
            "AIRFLOW_CONN_AWS_DEFAULT": plane.connection(),
            # The workers of a busy machine are away for longer than a minute.
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "600",
            "PYTHONPATH": old,
        }
        # Not on SQLite, which gives an id again: a triggerer that could not make a trigger takes no other of its id.
        with cluster(environment, print, [DAGS]) as running:
            yield Rolling(running.airflow, plane, old, new)


def assert_told(run: Run, states: dict[str, str]) -> None:
    """Assert that each task that has not succeeded has said why, and what to do."""
    for task, state in states.items():
        if state != "success":
            log = run.task_log(task)
            assert "The trigger has failed: " in log, log
            assert "the same version" in log, log


def succeeded(states: dict[str, str]) -> set[str]:
    """Return the tasks that have succeeded."""
    return {task for task, state in states.items() if state == "success"}


def test_tasks_that_wait_over_an_upgrade_go_on(rolling: Rolling) -> None:
    """Those whose trigger's parameters had other names before the first release say so, and go on once cleared."""
    rolling.use(workers=rolling.old, triggerer=rolling.old)
    run = rolling.start("waiting", "upgraded")
    rolling.use(workers=rolling.new, triggerer=rolling.new)
    states = rolling.end(run, "upgraded")
    renamed = {"restore", "sensors"} if FROM == BEFORE_THE_FIRST_RELEASE else set()
    assert succeeded(states) == {"create", "tables", "restore", "sensor", "sensors"} - renamed
    assert_told(run, states)
    run.clear(only_failed=True)
    assert set(rolling.end(run, "upgraded").values()) == {"success"}
    assert rolling.backups_of("upgraded-one") == 2
    assert rolling.backups_of("upgraded-two") == 1
    assert rolling.restores_as("upgraded-restored") == 1


def test_triggerers_may_be_upgraded_before_workers(rolling: Rolling) -> None:
    """A trigger takes what earlier versions gave it."""
    rolling.use(workers=rolling.old, triggerer=rolling.new)
    run = rolling.start("waiting", "triggerer")
    states = rolling.end(run, "triggerer")
    if FROM == BEFORE_THE_FIRST_RELEASE:
        assert succeeded(states) == {"create", "sensor", "sensors"}
        assert_told(run, states)
    else:
        assert set(states.values()) == {"success"}


@pytest.mark.parametrize("dag_id", ["waiting", "newer"])
def test_a_worker_that_is_ahead_of_its_triggerer_says_so(rolling: Rolling, dag_id: str) -> None:
    """An earlier trigger may lack parameters, and whole classes."""
    name = f"ahead-{dag_id}"
    rolling.use(workers=rolling.new, triggerer=rolling.old)
    run = rolling.start(dag_id, name)
    states = rolling.end(run, name)
    if FROM == BEFORE_THE_FIRST_RELEASE:
        assert set(states.values()) == {"failed"}
    assert_told(run, states)


def test_tasks_that_wait_over_a_step_back_say_so(rolling: Rolling) -> None:
    """To a version that does not know all parameters."""
    rolling.use(workers=rolling.new, triggerer=rolling.new)
    run = rolling.start("waiting", "back")
    rolling.use(workers=rolling.old, triggerer=rolling.old)
    states = rolling.end(run, "back")
    if FROM == BEFORE_THE_FIRST_RELEASE:
        assert set(states.values()) == {"failed"}
    assert_told(run, states)
