"""The first DAGs that a reader copies, the README's and that of getting started, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import DAGS_FOLDER
from tests.simulator.faults import Fault

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane
    from tests.system.conftest import RunDag

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GETTING_STARTED = ROOT / "docs" / "getting_started" / "nightly.py"

BLOCKS: list[str] = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def test_the_dag_of_the_readme(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """It makes one backup of the one table that has the tag, and deletes none, in ten lines at most."""
    (code,) = BLOCKS
    control_plane.creating_for = 20
    control_plane.tag_table("orders", backup="nightly")
    (dag_file := DAGS_FOLDER / "readme.py").write_text(code)
    try:
        run = run_dag("nightly")
    finally:
        dag_file.unlink()
    assert run.state == "success"
    (task,) = (ti for ti in run.get_task_instances() if ti.task_id == "back_up")
    returned = task.xcom_pull(task_ids="back_up", map_indexes=-1)
    (arn,) = control_plane.backup_arns()
    assert returned["backups"] == {"orders": arn}
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("code", [*BLOCKS, GETTING_STARTED.read_text()], ids=["README", "getting started"])
def test_a_night_on_which_a_table_has_failed_is_red(run_dag: RunDag, control_plane: ControlPlane, code: str) -> None:
    """Whether the prune runs or not: Airflow judges a run by its last tasks."""
    control_plane.tag_table("orders", backup="nightly")
    control_plane.fail_next("CreateBackup", Fault(code="AccessDeniedException"))
    (dag_file := DAGS_FOLDER / "nightly.py").write_text(code)
    try:
        run = run_dag("nightly")
    finally:
        dag_file.unlink()
    assert run.state == "failed"
