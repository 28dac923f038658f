"""Plays the tape: faults of the control plane, and kills and restarts of the cluster's programs."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from tests.simulator.faults import INTERNAL_ERROR, THROTTLED
from tests.system.cluster import WORKERS
from tests.system.soak.tape import FAULTS, OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.faults import Fault
    from tests.system.cluster import Cluster
    from tests.system.rest_api import Run
    from tests.system.soak.tape import Event

_CLEARED = ("soak_single", "soak_tables")
# Less than the package assumes of ListBackups.
_LAG = 3.0


class Chaos:
    """Lets things go wrong.

    :param plane: the control plane
    :param cluster: the cluster
    """

    def __init__(self, plane: ControlPlane, cluster: Cluster) -> None:
        #: what has gone wrong, by kind
        self.done: Counter[str] = Counter()
        #: the ids of the processes that were killed
        self.killed: set[int] = set()
        self._plane = plane
        self._cluster = cluster
        self._processes = cluster.airflow.processes
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._armed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def play(self, event: Event, now: float) -> None:
        """Let one thing go wrong.

        :param event: the event
        :param now: seconds after the start
        """
        play: Callable[[Event, float], bool] = getattr(self, f"_{event.kind.replace(' ', '_')}")
        self.done[event.kind] += play(event, now + event.seconds)

    def _fault(self, event: Event, end: float) -> bool:
        self._plane.fail_next(event.of, FAULTS[event.fault], event.times)
        return True

    def _outage(self, event: Event, end: float, fault: Fault = INTERNAL_ERROR) -> bool:
        for operation in OPERATIONS:
            self._plane.fail_next(operation, fault, times=9_999)
        self._later.append((end, self._plane.clear_faults))
        return True

    def _throttled(self, event: Event, end: float) -> bool:
        return self._outage(event, end, THROTTLED)

    def _neighbour(self, event: Event, end: float) -> bool:
        self._plane.add_neighbour(event.of, event.times)
        self._later.append((end, lambda: self._plane.add_neighbour(event.of, 0)))
        return True

    def _lag(self, event: Event, end: float) -> bool:
        self._plane.listing_lag = _LAG * event.chance
        return True

    def _kill_caller(self, event: Event, end: float) -> bool:
        # It counts once it has happened.
        self._armed[event.of] += 1
        return False

    def _kill_task(self, event: Event, end: float) -> bool:
        if tasks := self._tasks():
            self._kill(tasks[int(event.chance * len(tasks))])
        else:
            # The next one that there is.
            self._later.append((0.0, lambda: self.play(event, 0.0)))
        return bool(tasks)

    def _kill_program(self, event: Event, end: float) -> bool:
        return self._end(self._processes.kill, event.of, end)

    def _restart_program(self, event: Event, end: float) -> bool:
        return self._end(self._processes.stop, event.of, end)

    def _end(self, how: Callable[[str], object], name: str, back: float) -> bool:
        # One that is still away is not ended again.
        if running := self._processes.tree(name):
            self.killed |= {process.pid for process in running}
            how(name)
            self._later.append((back, lambda: self._processes.start_again(name)))
        return bool(running)

    def _clear(self, event: Event, end: float) -> bool:
        if runs := self._finished_runs():
            runs[int(event.chance * len(runs))].clear()
        return bool(runs)

    def pass_time(self, now: float) -> None:
        """End what is over by now, and start again what was killed long enough ago."""
        over = [act for at, act in self._later if at <= now]
        self._later = [(at, act) for at, act in self._later if at > now]
        for act in over:
            act()

    def calm(self) -> None:
        """End all of it."""
        with self._lock:
            self._armed.clear()
        self.pass_time(float("inf"))
        self._plane.clear_faults()
        self._plane.listing_lag = 0.0
        self._cluster.start_again()

    def after_call(self, operation: str, port: int) -> None:
        """Kill the caller if it is its turn: what it asked for has happened, and it does not know.

        :param operation: the operation
        :param port: the caller's
        """
        with self._lock:
            if not self._armed[operation]:
                return
            self._armed[operation] -= 1
        if task := self._processes.child_with_port(port):
            self._kill(task)
            self.done["kill caller"] += 1

    def _kill(self, process: psutil.Process) -> None:
        self.killed.add(process.pid)
        with suppress(psutil.NoSuchProcess):
            process.kill()

    def _tasks(self) -> list[psutil.Process]:
        """Return the processes of tasks: a worker's children are its pool, and theirs are the tasks'."""
        found = []
        for worker in WORKERS:
            pool, *others = [one.pid for one in self._processes.tree(worker)] or [0]
            for process in self._processes.tree(worker)[1:]:
                with suppress(psutil.NoSuchProcess):
                    if process.ppid() != pool and process.pid in others:
                        found.append(process)
        return found

    def _finished_runs(self) -> list[Run]:
        api = self._cluster.airflow.api
        return [run for dag_id in _CLEARED for run, _ in api.runs(dag_id, state="success")[-3:]]
