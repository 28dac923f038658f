"""A run that is killed at any call that changes something leaves nothing that the next run does not delete."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from itertools import count
from typing import TYPE_CHECKING

import pytest

from airflow_ddb_backup.clock import Clock as PackageClock
from tests.contract.run import DONE, FAILED
from tests.contract.support import CHANGES, CHANGING, Terminal, hurry, new_run, reach, served, state
from tests.simulator.clock import StillClock
from tests.simulator.faults import after_call

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.xdist_group("contract")

# The calls of a run are shared by so many tests.
PARTS = 8
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.contract.support"])


class ToldClock:
    """The clock of another process, which lets the time pass.

    :param told: the connection to it
    """

    def __init__(self, told: Connection) -> None:
        self._told = told
        self._lock = threading.Lock()
        self._now = 0.0
        self.sleep(0)

    def time(self) -> float:
        """Return Unix seconds."""
        return self._now

    def monotonic(self) -> float:
        """Return the same."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let the time pass there."""
        with self._lock:
            self._told.send(seconds)
            self._now = self._told.recv()


def tell(clock: StillClock, told: Connection) -> None:
    """Let the time pass for another process, until it ends."""
    try:
        while True:
            clock.skip(told.recv())
            told.send(clock.time())
    except (EOFError, OSError):
        return


def run_in_process(told: Connection, url: str, path: Path) -> None:
    """Run, in a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PackageClock, "source", ToldClock(told))
        reach(url, patch)
        new_run(path, rules=CHANGING).run()


def at_change(plane: ControlPlane, number: int, do: Callable[[], object]) -> Callable[[], bool]:
    """Do something once so many calls have changed something, before the last of them is answered.

    :return: what says whether that has happened
    """
    done = threading.Event()

    def note_and_do() -> None:
        done.set()
        do()

    plane.after = after_call(number, note_and_do, CHANGES)
    return done.is_set


def killed(path: Path, number: int) -> bool:
    """Kill a run at a call, and let the next one clean up; return whether the run came so far."""
    clock = StillClock()
    with served(clock) as plane:
        hurry(plane)
        here, there = _PROCESSES.Pipe()
        process = _PROCESSES.Process(target=run_in_process, args=(there, plane.url, path))
        teller = threading.Thread(target=tell, args=(clock, here))
        has_come = at_change(plane, number, lambda: os.kill(process.pid or 0, signal.SIGKILL))
        process.start()
        there.close()
        teller.start()
        process.join()
        teller.join()
        here.close()
        process.close()
        plane.after = lambda _: None
        left = state(plane)
        assert new_run(path, rules=()).run() == DONE, left
        assert state(plane) == ([], []), left
        return has_come()


def stopped(path: Path, number: int, sent: signal.Signals) -> bool:
    """Stop a run by a signal at a call; return whether the run came so far."""
    with served() as plane:
        hurry(plane)
        has_come = at_change(plane, number, lambda: os.kill(os.getpid(), sent))
        terminal = Terminal()
        code = new_run(path, terminal, rules=CHANGING).run()
        assert state(plane) == ([], []), terminal.text
        assert (code == FAILED) == has_come()
        return has_come()


@pytest.mark.parametrize("number", [2, 12])
def test_the_next_run_deletes_what_was_left(tmp_path: Path, number: int) -> None:
    """Of one that was killed."""
    assert killed(tmp_path / "result.json", number)


@pytest.mark.cluster
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_call(tmp_path: Path, part: int) -> None:
    """By SIGKILL: the next run finds what was left by its names."""
    numbers = count(1 + part, PARTS)
    while killed(tmp_path / "result.json", next(numbers)):
        pass
    assert next(numbers) > 60


@pytest.mark.cluster
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_stopped_at_every_call(tmp_path: Path, part: int) -> None:
    """By SIGINT or SIGTERM, also while it cleans up: it leaves nothing."""
    numbers = count(1 + part, PARTS)
    while stopped(tmp_path / "result.json", next(numbers), (signal.SIGINT, signal.SIGTERM)[part % 2]):
        pass
    assert next(numbers) > 60
