"""Every example DAG runs as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.dynamodb.control_plane import ControlPlane
    from tests.system.conftest import RunDag


def test_before_rewrite(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """The rewrite runs with the ARN of the one backup."""
    control_plane.creating_for = 20
    run = run_dag("example_dynamodb_backup_before_rewrite")
    assert run.state == "success"
