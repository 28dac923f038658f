"""How much time and memory it takes on a cluster, which needs the machine to itself: ``make bench-cluster``."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.backups import PATIENCE, Backups
from tests.system.cluster import TRIGGERERS, WORKERS, Cluster, without_full_collections

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane

pytestmark = [pytest.mark.measured, pytest.mark.timeout(900)]


def blocked(log: str) -> list[float]:
    """Return for how many seconds a triggerer's loop was blocked each time, as Airflow says in its log."""
    spec = find_spec("airflow.jobs.triggerer_job_runner")
    assert spec
    assert "async thread was blocked for" in Path(str(spec.origin)).read_text()
    return [float(seconds) for seconds in re.findall(r"async thread was blocked for (\S+) seconds", log)]


def test_five_hundred_on_one_triggerer(running: Cluster, plane: ControlPlane) -> None:
    """Its loop is never blocked, but by Python's full collections; and its memory grows by less than 100 MB.

    Airflow warns from 0.2 s on. While tasks begin to wait, their processes keep both processors busy: 1 s is the
    bound then.
    """
    first, second = TRIGGERERS
    processes = running.airflow.processes
    plane.creating_for = 99_999
    processes.stop(second)
    with processes.replaced(without_full_collections(first)):
        running.airflow.api.wait_until_healthy()
        memory = [processes.memory(first)]
        # With the first of all, the triggerer loads the amazon provider and botocore's model of DynamoDB.
        alone = Backups(running, plane, "many_tables_unretried", 1, "alone")
        alone.wait_until_deferred(1)
        asked = plane.calls.total()
        alone.wait_for("a poll", lambda: plane.calls.total() > asked)
        memory.append(processes.memory(first))
        logged = len(processes.log(first))
        backups = Backups(running, plane, "many_tables_unretried", 499)
        backups.wait_until_deferred(499)
        joined = len(processes.log(first))
        # Two rounds with all of them.
        seen = plane.calls["ListBackups"]
        backups.wait_for("two sweeps", lambda: plane.calls["ListBackups"] > seen + 12)
        memory.append(processes.memory(first))
        log = processes.log(first)
        alone.run.fail()
        backups.run.fail()
    joining, waiting = blocked(log[logged:joined]), blocked(log[joined:])
    print("the triggerer with 0, 1 and 500 deferred backups, in MB:", *memory)  # noqa: T201  # figures to quote
    print("its loop was blocked for seconds, by Airflow's log:", joining, waiting)  # noqa: T201
    assert memory[2].rss - memory[0].rss < 100
    assert max(joining, default=0) < 1
    assert waiting == []


def test_beside_a_task_for_each(running: Cluster, plane: ControlPlane) -> None:
    """Of the same 300 tables: one task takes at most a tenth of the mapped tasks' processor time."""
    plane.creating_for = 60.0
    processes = running.airflow.processes
    before, begun = processes.cpu_seconds(), plane.clock.time()
    mapped = Backups(running, plane, "many_tables_patient", 300)
    mapped.assert_each_once()
    between, middle = processes.cpu_seconds(), plane.clock.time()
    tables = list({arn.split("/")[1] for arn in plane.backup_arns()})
    run = running.airflow.api.start_run("all_tables_patient", {"tables": tables})
    assert run.end(PATIENCE) == "success"
    after, end = processes.cpu_seconds(), plane.clock.time()
    for what, (first, second), seconds in (
        ("mapped", (before, between), middle - begun),
        ("one task", (between, after), end - middle),
    ):
        spent = {name: round(second[name] - first[name], 1) for name in first}
        print(what, f"{seconds:.0f} s,", spent, round(sum(spent.values()), 1))  # noqa: T201  # figures to quote
    workers = [sum(many[name] for name in WORKERS) for many in (before, between, after)]
    assert workers[2] - workers[1] <= (workers[1] - workers[0]) / 10
