"""Airflow's REST API, as a user's tools see it: Airflow 2's and Airflow 3's."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import httpx

from tests.system.processes import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

AIRFLOW_VERSION = version("apache-airflow").split(".")
AIRFLOW_2 = AIRFLOW_VERSION[0] == "2"
AIRFLOW_3_0 = AIRFLOW_VERSION[:2] == ["3", "0"]
# 3.1.0 has what 3.0 had and 3.1.3 has no longer.
EARLY_3 = AIRFLOW_3_0 or AIRFLOW_VERSION == ["3", "1", "0"]
_PREFIX = "/api/v1" if AIRFLOW_2 else "/api/v2"
_HEALTH = f"{_PREFIX}/health" if AIRFLOW_2 else f"{_PREFIX}/monitor/health"
_PARTS = ["scheduler", "triggerer", "metadatabase"] + ([] if AIRFLOW_2 else ["dag_processor"])
# It would log every request.
logging.getLogger("httpx").setLevel(logging.WARNING)
_FINISHED = {"success", "failed"}


class RestApi:
    """A client of the REST API.

    :param url: where Airflow is
    :param say: takes lines on the progress
    """

    def __init__(self, url: str, say: Callable[[str], None]) -> None:
        self.say = say
        self.http = httpx.Client(base_url=url, timeout=60)

    def wait_until_served(self, check: Callable[[], object] = lambda: None) -> None:
        """Wait until the web server responds.

        :param check: raises once waiting is in vain
        """
        self.say("waiting for the API")
        wait_until("the API", lambda: self.get(f"{_PREFIX}/version"), check=check)

    def wait_until_healthy(self, check: Callable[[], object] = lambda: None) -> None:
        """Wait until Airflow can run tasks, and log in.

        :param check: raises once waiting is in vain
        """
        self.wait_until_served(check)
        if not AIRFLOW_2:
            token = self.http.get("/auth/token").raise_for_status().json()["access_token"]
            self.http.headers["Authorization"] = f"Bearer {token}"
            # The first call of the execution API takes seconds: better now than in the first task.
            self.http.get("/execution/health").raise_for_status()
        self.say("waiting for scheduler, dag-processor and triggerer")
        wait_until("scheduler, dag-processor and triggerer", self._is_healthy, check=check)

    def start_run(self, dag_id: str, conf: dict[str, Any]) -> Run:
        """Start a run of a DAG."""
        dag = self.unpause(dag_id)
        when = {} if AIRFLOW_2 else {"logical_date": None}
        started = self.write("POST", f"{dag}/dagRuns", {"conf": conf, **when})
        return Run(self, dag_id, started["dag_run_id"])

    def start_due_run(self, dag_id: str) -> Run:
        """Unpause a DAG that has a schedule: Airflow itself starts the last run that is due."""
        runs = f"{self.unpause(dag_id)}/dagRuns"
        wait_until(f"a run of {dag_id}", lambda: (self.get(runs) or {}).get("dag_runs"))
        return Run(self, dag_id, (self.get(runs) or {})["dag_runs"][0]["dag_run_id"])

    def set_variable(self, key: str, value: str) -> None:
        """Set a variable that is not there yet."""
        self.write("POST", f"{_PREFIX}/variables", {"key": key, "value": value})

    def unpause(self, dag_id: str) -> str:
        """Unpause a DAG; return its path."""
        dag = f"{_PREFIX}/dags/{dag_id}"
        wait_until(f"the DAG {dag_id}", lambda: self.get(dag))
        self.write("PATCH", dag, {"is_paused": False})
        return dag

    def runs(self, dag_id: str, **wanted: Any) -> list[tuple[Run, dict[str, Any]]]:
        """Return the runs of a DAG, each with what the API says of it.

        :param dag_id: the DAG; ``~``: all
        :param wanted: the API's filters
        """
        path, found = f"{_PREFIX}/dags/{dag_id}/dagRuns", list[dict[str, Any]]()
        while page := (self.get(path, limit=100, offset=len(found), order_by="id", **wanted) or {}).get("dag_runs"):
            found += page
        return [(Run(self, one["dag_id"], one["dag_run_id"]), one) for one in found]

    def write(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a write; on SQLite another may hold the database for longer than it waits."""
        answers: list[httpx.Response] = []

        def is_answered() -> bool:
            answers.append(self.http.request(method, path, json=body))
            return not answers[-1].is_server_error

        wait_until(f"{method} {path}", is_answered)
        answered: dict[str, Any] = answers[-1].raise_for_status().json()
        return answered

    def get(self, path: str, **parameters: Any) -> dict[str, Any] | None:
        """Return what is there; ``None`` if nothing is, or nobody answers."""
        try:
            answer = self.http.get(path, params=parameters)
        except httpx.TransportError:
            return None
        return answer.json() if answer.is_success else None

    def _is_healthy(self) -> bool:
        health = self.get(_HEALTH) or {}
        return all(health.get(part, {}).get("status") == "healthy" for part in _PARTS)


class Run:
    """A run of a DAG.

    :param api: where it is
    :param dag_id: the DAG
    :param run_id: the run
    """

    def __init__(self, api: RestApi, dag_id: str, run_id: str) -> None:
        self.dag_id = dag_id
        self.run_id = run_id
        self._api = api
        self._dag = f"{_PREFIX}/dags/{dag_id}"
        self._path = f"{self._dag}/dagRuns/{run_id}"
        self._noted: dict[str, str] = {}
        self._seen = ""

    def end(self, patience: float = PATIENCE, check: Callable[[], object] = lambda: None) -> str:
        """Wait for the end, and return the state.

        :param patience: seconds
        :param check: raises once waiting is in vain
        """
        wait_until(f"the run of {self.dag_id}", self._has_ended, patience, check)
        return self._seen

    def state(self) -> str:
        """Return the state, empty while nobody tells."""
        return str((self._api.get(self._path) or {}).get("state", ""))

    def clear(self, *, only_failed: bool = False) -> None:
        """Clear all tasks, or those that have failed."""
        body = {"dry_run": False, "dag_run_id": self.run_id, "only_failed": only_failed, "reset_dag_runs": True}
        self._api.write("POST", f"{self._dag}/clearTaskInstances", body)

    def mark(self, task_id: str, state: str) -> None:
        """Set a task's state by hand."""
        self._api.write("PATCH", f"{self._path}/taskInstances/{task_id}", {"new_state": state})

    def fail(self) -> None:
        """Mark the run failed, with all tasks that have not ended."""
        self._api.write("PATCH", self._path, {"state": "failed"})

    def delete(self) -> None:
        """Delete the run."""
        self._api.http.delete(self._path).raise_for_status()

    def task_states(self) -> dict[str, str]:
        """Return the state of each task, by ``task_id`` or, of a mapped one, ``task_id[map_index]``."""
        return {_name(one): one["state"] or "none" for one in self.task_instances()}

    def task_instances(self) -> list[dict[str, Any]]:
        """Return all task instances."""
        found: list[dict[str, Any]] = []
        while page := (self._api.get(f"{self._path}/taskInstances", limit=100, offset=len(found)) or {}).get(
            "task_instances"
        ):
            found += page
        return found

    def xcom(self, task_id: str, key: str, map_index: int = -1) -> Any:
        """Return an XCom."""
        entry = f"{self._path}/taskInstances/{task_id}/xcomEntries/{key}"
        return (self._api.get(entry, map_index=map_index) or {}).get("value")

    def links(self, task_id: str) -> dict[str, str]:
        """Return the extra links of a task."""
        links: dict[str, Any] = self._api.get(f"{self._path}/taskInstances/{task_id}/links") or {}
        return links if AIRFLOW_2 else links["extra_links"]

    def task_log(self, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return what a user reads in the log of a try."""
        log = f"{self._path}/taskInstances/{task_id}/logs/{try_number}"
        return self._api.http.get(log, params={"full_content": True, "map_index": map_index}).text

    def _has_ended(self) -> bool:
        states = self.task_states()
        if states != self._noted:
            self._noted = states
            self._api.say(_summary(states))
        self._seen = self.state()
        return self._seen in _FINISHED


def _name(task: dict[str, Any]) -> str:
    map_index = task.get("map_index", -1)
    return str(task["task_id"]) if map_index < 0 else f"{task['task_id']}[{map_index}]"


def _summary(states: dict[str, str]) -> str:
    """Name each task with its state, or, of many, the number in each state."""
    if len(states) <= 5:
        return "  ".join(f"{task}: {state}" for task, state in sorted(states.items()))
    counted = sorted(set(states.values()))
    return "  ".join(f"{state}: {list(states.values()).count(state)}" for state in counted)
