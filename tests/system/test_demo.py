"""What ``make demo KEEP=1`` promises: every example can be triggered on its simulated account, and is green."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from scripts.demo_account import broken_since, environment, served_account
from tests.dag_bag import examples
from tests.system.standalone import airflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.standalone import Airflow

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
# The forms that ask for a time, and, since each restore needs a new table, for its name.
CONF: dict[str, dict[str, Any]] = {
    "example_dynamodb_backup_restore": {"before": broken_since(), "restored_table_name": "orders-by-backup"},
    "example_dynamodb_restore_many": {"before": broken_since()},
    "example_dynamodb_restore_point_in_time": {"moment": broken_since(), "restored_table_name": "orders-by-time"},
}


@pytest.fixture(scope="module")
def standalone() -> Iterator[Airflow]:
    """Run Airflow as the demo leaves it up."""
    with served_account() as plane, airflow(environment(plane), print) as running:
        yield running


@pytest.mark.long
def test_every_example_can_be_triggered_and_is_green(standalone: Airflow) -> None:
    """By hand, as they are, one after the other: SQLite is slow. A form is filled in where it has no default."""
    states: dict[str, str] = {}
    for dag_id in examples():
        run = standalone.api.start_run(dag_id, CONF.get(dag_id, {}))
        states[dag_id] = run.end(300, standalone.processes.check_running)
    assert {dag_id: state for dag_id, state in states.items() if state != "success"} == {}


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_whoever_ends_the_demo_ends_its_processes(number: signal.Signals) -> None:
    """By Ctrl-C, twice, or by closing the terminal; and neither AWS_PROFILE nor a proxy keeps it from starting."""
    # A process inherits that a signal is ignored, as nohup has it, but no handler.
    inherited = signal.signal(number, signal.default_int_handler)
    astray = {"AWS_PROFILE": "missing", "HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
    demo = subprocess.Popen(
        [sys.executable, "-m", "scripts.demo", "--keep"],
        cwd=Path(__file__).parents[2],
        env=os.environ | astray,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    signal.signal(number, inherited)
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if "waiting for scheduler" in line:
            break
    children = psutil.Process(demo.pid).children(recursive=True)
    assert len(children) > 3, lines
    demo.send_signal(number)
    while "stopping the" not in (line := demo.stdout.readline()):
        assert line
    demo.send_signal(number)
    demo.communicate(timeout=120)
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
