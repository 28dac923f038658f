"""What a mapped task gets of another task's output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane
    from tests.system.conftest import RunDag


def test_none_of_another_task_is_never_the_default(control_plane: ControlPlane, run_dag: RunDag) -> None:
    """A prune that no tags narrow would delete the backups of every table; a literal None is meant."""
    made = [control_plane.add_backups("orders", 1, "nightly-1", age=86_400 * day)[0] for day in (3, 2, 1)]
    run = run_dag("mapped")
    states = {ti.task_id: ti.state for ti in run.get_task_instances() if ti.map_index == 0}
    assert states == {"prune": "failed", "connection": "failed", "settings": "failed", "literal": "success"}
    assert control_plane.backup_arns() == made
    assert not control_plane.calls["CreateBackup"]
