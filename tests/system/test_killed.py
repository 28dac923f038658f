"""A task's process dies at the worst moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane


def one_try(number: int, run_after: float) -> subprocess.Popen[str]:
    """Start a try of the task in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.system.one_try", str(number), str(run_after)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.clock_speed(1)
def test_killed_right_after_the_commit_the_next_try_finds_the_backup(control_plane: ControlPlane) -> None:
    """SIGKILL comes before the response: there is one backup, and the second try returns its ARN."""
    due = control_plane.now()
    first = one_try(1, due)
    control_plane.on_commit = lambda *_: first.kill()
    assert first.wait() == -signal.SIGKILL
    first.communicate()
    (made,) = control_plane.backup_arns()
    second = one_try(2, due)
    output, _ = second.communicate()
    assert second.returncode == 0
    assert output.splitlines()[-1] == made
    assert control_plane.backup_arns() == [made]
