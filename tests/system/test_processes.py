"""The harness itself: a program that ends by itself is not waited for, and one process runs all tests of a group."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.system.processes import EndedError, Processes, Program, told_by, wait_until

ROOT = Path(__file__).parents[2]


def runs(pid: int) -> bool:
    """Return whether a process runs; where nobody asks for its end, it stays as a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def run_in(home: Path, program: Program) -> None:
    """Run a program, and wait for something that never comes about."""
    processes = Processes(home, dict(os.environ), print)
    with processes.stopped_at_the_end():
        processes.start(program)
        wait_until("nothing", lambda: False, check=processes.check_running)


def test_a_program_that_has_ended_is_named_with_its_last_lines(tmp_path: Path) -> None:
    """On a machine that is too small the demo says why."""
    short = Program("scheduler", [sys.executable, "-c", "raise SystemExit('no memory left')"])
    with pytest.raises(EndedError, match=r"ended by itself: scheduler \(exit code 1\)") as ended:
        run_in(tmp_path, short)
    assert "no memory left" in ended.value.__notes__[0]


def test_a_child_that_ends_while_it_is_read_counts_no_more() -> None:
    """Airflow ends a process for each task, whenever that is."""
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    processes = [psutil.Process(), psutil.Process(child.pid)]
    child.kill()
    child.wait()
    assert [one.pid for one, _ in told_by(processes, psutil.Process.memory_full_info)] == [os.getpid()]


def test_a_program_that_is_stopped_leaves_no_process_behind(tmp_path: Path) -> None:
    """A Celery worker of Airflow 3 ends without its child that cleans bundles up."""
    parent = Program("worker", ["sh", "-c", "sleep 600 & exec sleep 600"])
    processes = Processes(tmp_path, dict(os.environ), print)
    with processes.stopped_at_the_end():
        processes.start(parent)
        wait_until("the child", lambda: len(processes.tree("worker")) == 2)
        _, child = processes.tree("worker")
    assert not runs(child.pid)


def test_a_process_that_is_killed_leaves_no_program_behind(tmp_path: Path) -> None:
    """Nor what its programs have started: so pytest-xdist ends its processes 10 seconds after Ctrl-C."""
    code = """
import os, sys
from pathlib import Path
from tests.system.processes import Processes, Program, wait_until
processes = Processes(Path(sys.argv[1]), dict(os.environ), print)
with processes.stopped_at_the_end():
    processes.start(Program("worker", ["sh", "-c", "sleep 600 & sleep 600; true"]))
    wait_until("its children", lambda: len(processes.tree("worker")) == 3)
    print(*(one.pid for one in processes.tree("worker")), flush=True)
    os._exit(0)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    killed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    left = [int(pid) for pid in killed.stdout.splitlines()[-1].split()]
    assert len(left) == 3
    wait_until("their end", lambda: not any(runs(pid) for pid in left))


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_one_process_runs_all_tests_of_a_group(request: pytest.FixtureRequest) -> None:
    """Versions of pytest and xdist that do not fit ignore groups in silence: each process starts an Airflow then."""
    assert request.node.nodeid.endswith("@dag_test")
