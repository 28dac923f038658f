"""Two Celery workers and two triggerers on PostgreSQL, whatever dies: every backup once, every task done."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.system.cluster import POSTGRES, TRIGGERERS, WORKERS, Cluster
from tests.system.processes import wait_until

if TYPE_CHECKING:
    from tests.dynamodb.control_plane import ControlPlane
    from tests.system.rest_api import Run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
PATIENCE = 600.0


def start(running: Cluster, plane: ControlPlane, dag_id: str, count: int) -> Run:
    """Start a run for so many new tables."""
    tables = [f"table-{number:03}" for number in range(count)]
    for table in tables:
        plane.create_table(table)
    return running.airflow.api.start_run(dag_id, {"tables": tables})


def backed_up(run: Run) -> Counter[str]:
    """Count the states of the tasks that back up."""
    return Counter(state for task, state in run.task_states().items() if task.startswith("back_up"))


def tables_of(plane: ControlPlane) -> Counter[str]:
    """Count the backups of each table."""
    return Counter(arn.split("/")[1] for arn in plane.backup_arns())


def once(count: int) -> Counter[str]:
    """Return what there is when each table has one backup."""
    return Counter({f"table-{number:03}": 1 for number in range(count)})


class TestLoad:
    """Nothing dies."""

    @pytest.mark.parametrize("time", [1, 2, 3])
    def test_backups_that_end_just_after_the_deferral(self, running: Cluster, plane: ControlPlane, time: int) -> None:
        """Airflow would fail tasks whose triggers fire at once; no task fails, with no retries to hide it."""
        plane.creating_for = 1.0
        run = start(running, plane, "many_tables_unretried", 36)
        assert run.end(PATIENCE) == "success"
        assert backed_up(run) == {"success": 36}
        assert tables_of(plane) == once(36)
