"""``make soak-airflow MINUTES=60``: real Airflow under faults, kills and restarts, and the books after it."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.simulator.control_plane import ControlPlane
from tests.system.cluster import TRIGGERERS, cluster, missing_programs
from tests.system.processes import free_ports, wait_until
from tests.system.soak import results
from tests.system.soak.books import End, Task, audit
from tests.system.soak.chaos import Chaos
from tests.system.soak.ledger import Ledger
from tests.system.soak.results import DAGS, Results
from tests.system.soak.samples import sample
from tests.system.soak.tape import tape

if TYPE_CHECKING:
    from tests.system.cluster import Cluster
    from tests.system.rest_api import Run
    from tests.system.soak.samples import Sample

_TABLES = [f"soak-{number:02}" for number in range(50)]
DAG_IDS = ["coverage", "drill", "last_prune", "point_in_time", "prune", "restore", "single", "tables", "unretried"]
_CREATING_FOR, _RESTORING_FOR, _DROPPING_FOR = 20.0, 30.0, 5.0
_SAMPLE_EVERY = 5.0
# For the runs that are still going on when the hour is over.
_PATIENCE = 900.0
# Airflow's processes start; the scheduler makes the last runs.
_STARTING, _LAST_DUE = 90.0, 15.0
_XCOMS = ("return_value", "report")


class Soak:
    """The hour.

    :param plane: the control plane
    :param running: the cluster
    :param chaos: what goes wrong
    :param ends: when the last runs are due
    """

    def __init__(self, plane: ControlPlane, running: Cluster, chaos: Chaos, ends: float) -> None:
        self._plane, self._chaos, self._ends = plane, chaos, ends
        self._processes, self._api = running.airflow.processes, running.airflow.api
        self.samples: dict[str, list[Sample]] = {name: [] for name in TRIGGERERS}
        self.cpu = 0.0
        self._cpu_before: dict[str, float] = {}
        self._start = time.monotonic()

    def now(self) -> float:
        """Return seconds after the start."""
        return time.monotonic() - self._start

    def run(self, seed: int, seconds: float) -> None:
        """Let everything run, and go wrong, for so many seconds."""
        for dag_id in DAG_IDS:
            self._api.unpause(f"soak_{dag_id}")
        self._start = time.monotonic()
        events = tape(seed, seconds)
        event = next(events, None)
        next_sample = 0.0
        while (now := self.now()) < seconds:
            self._chaos.pass_time(now)
            if event and event.at <= now:
                _say(str(event))
                self._chaos.play(event, now)
                event = next(events, None)
            if now >= next_sample:
                self._sample(now)
                next_sample = now + _SAMPLE_EVERY
            time.sleep(0.25)

    def settle(self) -> float:
        """Let all runs end, prune once more, and return when that began."""
        self._chaos.calm()
        self._api.wait_until_healthy()
        self._wait_for_runs()
        began = self._plane.clock.time()
        self._api.start_run("soak_last_prune", {})
        self._wait_for_runs()
        return began

    def tasks(self) -> list[Task]:
        """Return the tasks of all runs."""
        return [self._task(run, about, told) for run, about in self._api.runs("~") for told in run.task_instances()]

    def _task(self, run: Run, about: dict[str, Any], told: dict[str, Any]) -> Task:
        task_id, state = told["task_id"], told["state"] or "none"
        return Task(
            dag_id=run.dag_id,
            run_id=run.run_id,
            task_id=task_id,
            state=state,
            tries=told["try_number"],
            start=_seconds(told["start_date"]),
            end=_seconds(told["end_date"]),
            due=_seconds(about["run_after"]),
            begun=_seconds(about["start_date"]),
            fields=told.get("rendered_fields") or {},
            xcoms={key: run.xcom(task_id, key) for key in _XCOMS} if state in {"success", "failed"} else {},
            log=run.task_log(task_id, told["try_number"]) if state == "failed" else "",
            killed=told["pid"] in self._chaos.killed,
        )

    def _wait_for_runs(self) -> None:
        over = max(self._plane.clock.time(), self._ends) + _PATIENCE

        def settled() -> bool:
            now = self._plane.clock.time()
            # Runs that never end are a finding, not a failure of the hour.
            return now > over or (now > self._ends + _LAST_DUE and not self._api.runs("~", state=["queued", "running"]))

        wait_until("the last runs", settled, patience=float("inf"))

    def _sample(self, now: float) -> None:
        for name, samples in self.samples.items():
            if tree := self._processes.tree(name):
                samples.append(sample(now, tree))
        spent = self._processes.cpu_seconds()
        self.cpu += sum(max(0.0, seconds - self._cpu_before.get(name, 0.0)) for name, seconds in spent.items())
        self._cpu_before = spent


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # progress, and the results


def _seconds(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def prepare(plane: ControlPlane, ledger: Ledger) -> None:
    """Make the tables, with an item, tags and recovery of hours, and backups that no policy is about."""
    plane.creating_for, plane.restoring_for, plane.dropping_for = _CREATING_FOR, _RESTORING_FOR, _DROPPING_FOR
    plane.clock_offset = -86_400.0
    for table in _TABLES:
        plane.create_table(table)
        plane.tag_table(table, table=table, team="soak")
        plane.client().put_item(TableName=table, Item={"id": {"S": "1"}})
        plane.switch_recovery(table)
    plane.clock_offset = 0.0
    for table in _TABLES:
        ledger.add_by_hand(plane, table, "by-hand", age=3600)
        # Nearly the prefix of a task.
        ledger.add_by_hand(plane, table, "soak_tables.back_up.by-hand", age=7200)


def main(minutes: float, seed: int) -> int:
    """Run, judge, and write the results.

    :param minutes: how long
    :param seed: of all that is random
    """
    _say(f"seed {seed}, {minutes:g} minutes")
    (port,) = free_ports(1)
    ledger = Ledger(_CREATING_FOR)
    with ControlPlane().serve(port) as plane:
        prepare(plane, ledger)
        ends = plane.clock.time() + _STARTING + minutes * 60
        environment = {
            "AIRFLOW_CONN_AWS_DEFAULT": plane.connection(),
            # The books need those of all runs.
            "AIRFLOW__CORE__NUM_DAG_RUNS_TO_RETAIN_RENDERED_FIELDS": "10000",
            "SOAK_ENDS": datetime.fromtimestamp(ends, UTC).isoformat(),
        }
        plane.calls.clear()
        with cluster(environment, _say, dags=(DAGS,)) as running:
            chaos = Chaos(plane, running)
            ledger.keep(plane, chaos.after_call)
            soak = Soak(plane, running, chaos, ends)
            soak.run(seed, minutes * 60)
            pruned = soak.settle()
            tasks = soak.tasks()
            end = End(plane.clock.time(), pruned, {name: plane.tags(name) for name in plane.tables()})
    results.keep(seed, ledger, tasks, end, soak.samples)
    found = Results(
        seed=seed,
        minutes=minutes,
        books=audit(ledger, tasks, end),
        samples=soak.samples,
        states=Counter(task.state for task in tasks),
        tries=sum(task.tries for task in tasks),
        made=len(ledger.made) - len(ledger.by_hand),
        deleted=len(ledger.deleted),
        restored=len(ledger.restored),
        wrong=chaos.done,
        calls=plane.calls.total(),
        throttled=plane.throttled.total(),
        cpu=soak.cpu / (minutes * 60),
    )
    results.write(found)
    _say(results.text(found))
    return int(not found.held)


if __name__ == "__main__":
    if missing := missing_programs():
        sys.exit(missing)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    arguments = parser.parse_args()
    sys.exit(main(arguments.minutes, arguments.seed))
