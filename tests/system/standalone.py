"""Real Airflow in processes of its own: unless said otherwise, the four that it needs, on SQLite."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

EXAMPLE_DAGS = Path(__file__).parents[2] / "example_dags"
_FINISHED = {"success", "failed"}
# Airflow is healthy after 12 to 18 s on 2 cores, when nothing else runs.
_PATIENCE = 180.0


@dataclass(frozen=True)
class Component:
    """A process of Airflow.

    :param name: what it is called here
    :param command: the arguments of ``airflow``
    :param environment: more environment variables
    """

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)


COMPONENTS = [Component(name, [name]) for name in ("scheduler", "dag-processor", "triggerer")]


class StandaloneError(Exception):
    """Airflow did not do what was waited for."""


class Airflow:
    """A running Airflow.

    :param home: its AIRFLOW_HOME
    :param environment: more environment variables, such as connections
    :param say: takes lines on the progress
    :param components: its processes beside the api-server
    """

    def __init__(
        self,
        home: Path,
        environment: dict[str, str],
        say: Callable[[str], None],
        components: Sequence[Component] = COMPONENTS,
    ) -> None:
        self.home = home
        self.say = say
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        api, worker_logs, trigger_logs = free_ports(3)
        self.url = f"http://127.0.0.1:{api}"
        server = ["api-server", "--workers", "1", "--host", "127.0.0.1", "--port", str(api)]
        self._components = {one.name: one for one in (Component("api-server", server), *components)}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API__BASE_URL": self.url,
            # Only the DAG that is asked for runs: another's schedule would back up tables that nobody named.
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE_DAGS),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            **environment,
        }
        self._http = httpx.Client(base_url=self.url, timeout=30)

    @contextmanager
    def running(self) -> Iterator[Airflow]:
        """Start all processes, wait until they are healthy, and stop them at the end."""
        self.say("creating the metadata database")
        self._airflow("db", "migrate").check_returncode()
        with self._http, ExitStack() as stack:
            for name in self._components:
                stack.callback(self.stop, name)
                self.start(name)
            self._wait_until_healthy()
            yield self
            self.say("stopping Airflow")

    def start(self, name: str) -> None:
        """Start a process."""
        self.say(f"starting the {name}")
        component = self._components[name]
        with Path(self.home, f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *component.command],
                env=self.environment | component.environment,
                cwd=self.home,
                stdout=log,
                stderr=log,
                # A session of its own: the children of a process go with it.
                start_new_session=True,
            )

    def stop(self, name: str) -> None:
        """Stop a process and its children: first asked to, then not."""
        if process := self.processes.pop(name, None):
            stop(process)

    def kill(self, name: str) -> None:
        """Kill a process and its children, which can do nothing about it."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def run_dag(self, dag_id: str, conf: dict[str, Any], patience: float = _PATIENCE) -> str:
        """Start a run, wait for its end, and return its state."""
        self.start_run(dag_id, conf)
        return self.end_of_run(patience)

    def start_run(self, dag_id: str, conf: dict[str, Any]) -> None:
        """Start a run."""
        self._wait(f"the DAG {dag_id}", lambda: self._get(f"/api/v2/dags/{dag_id}") is not None)
        self._http.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
        body = {"logical_date": None, "conf": conf}
        started = self._http.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body)
        started.raise_for_status()
        self._dag, self._run_id = dag_id, started.json()["dag_run_id"]

    def clear(self) -> str:
        """Clear all tasks of the last run, wait until they have run again, and return the run's state."""
        body = {"dry_run": False, "dag_run_id": self._run_id, "only_failed": False}
        self._http.post(f"/api/v2/dags/{self._dag}/clearTaskInstances", json=body).raise_for_status()
        return self.end_of_run()

    def task_states(self) -> dict[str, str]:
        """Return the state of each task of the last run."""
        found = (self._get(f"{self._run}/taskInstances") or {})["task_instances"]
        return {task["task_id"]: task["state"] or "none" for task in found}

    def xcom(self, task_id: str, key: str) -> Any:
        """Return an XCom of the last run."""
        return (self._get(f"{self._run}/taskInstances/{task_id}/xcomEntries/{key}") or {}).get("value")

    def links(self, task_id: str) -> dict[str, str]:
        """Return the extra links of a task of the last run."""
        links: dict[str, str] = (self._get(f"{self._run}/taskInstances/{task_id}/links") or {})["extra_links"]
        return links

    def mapped_states(self, task_id: str) -> dict[int, str]:
        """Return the state of each mapped instance of a task of the last run."""
        found = (self._get(f"{self._run}/taskInstances/{task_id}/listMapped?limit=1000") or {})["task_instances"]
        return {task["map_index"]: task["state"] or "none" for task in found}

    def wait_for(self, what: str, done: Callable[[], bool], patience: float = _PATIENCE) -> None:
        """Wait until something is so."""
        self._wait(what, done, patience)

    def task_log(self, task_id: str, try_number: int = 1) -> str:
        """Return what a user reads in the log of a try."""
        return self._http.get(f"{self._run}/taskInstances/{task_id}/logs/{try_number}?full_content=true").text

    @property
    def _run(self) -> str:
        return f"/api/v2/dags/{self._dag}/dagRuns/{self._run_id}"

    def end_of_run(self, patience: float = _PATIENCE) -> str:
        """Wait for the end of the last run, and return its state."""
        self._wait(f"the run of {self._dag}", self._run_has_ended, patience)
        return str((self._get(self._run) or {})["state"])

    def _run_has_ended(self) -> bool:
        states = self.task_states()
        return (self._get(self._run) or {})["state"] in _FINISHED or self._note(states)

    def _note(self, states: dict[str, str]) -> bool:
        if states != getattr(self, "_noted", None):
            self._noted = states
            self.say("  ".join(f"{task}: {state}" for task, state in sorted(states.items())))
        return False

    def _wait_until_healthy(self) -> None:
        self._wait("the API", lambda: self._get("/api/v2/version") is not None)
        self._http.headers["Authorization"] = f"Bearer {self._token()}"
        # The first call of the execution API takes seconds: better now than in the first task.
        self._http.get("/execution/health").raise_for_status()
        self._wait("scheduler, dag-processor and triggerer", self._is_healthy)

    def _token(self) -> str:
        answer = self._http.get("/auth/token")
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def _is_healthy(self) -> bool:
        health = self._get("/api/v2/monitor/health") or {}
        parts = ("scheduler", "dag_processor", "triggerer", "metadatabase")
        return all(health.get(part, {}).get("status") == "healthy" for part in parts)

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            answer = self._http.get(path)
        except httpx.TransportError:
            return None
        return answer.json() if answer.is_success else None

    def _wait(self, what: str, done: Callable[[], bool], patience: float = _PATIENCE) -> None:
        self.say(f"waiting for {what}")
        give_up = time.monotonic() + patience
        while not done():
            if time.monotonic() > give_up:
                message = f"waited {patience:.0f} s for {what}; the logs are in {self.home}/logs"
                raise StandaloneError(message)
            time.sleep(0.5)

    def _airflow(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "airflow", *arguments]
        return subprocess.run(command, env=self.environment, cwd=self.home, check=False, capture_output=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process and its children: first asked to, then not."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def airflow(environment: dict[str, str], say: Callable[[str], None]) -> Iterator[Airflow]:
    """Run Airflow in a temporary home.

    :param environment: more environment variables, such as connections
    :param say: takes lines on the progress
    """
    with (
        tempfile.TemporaryDirectory(prefix="airflow-ddb-backup-", ignore_cleanup_errors=True) as home,
        Airflow(Path(home), environment, say).running() as running,
    ):
        yield running
