"""Runs on a cluster that back many new tables up, a mapped task for each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from airflow_ddb_backup.models import BackupArn
from tests.system.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.control_plane import ControlPlane
    from tests.system.cluster import Cluster
    from tests.system.rest_api import Run

PATIENCE = 600.0


def up_at(arn: str, log: str) -> float:
    """Return when time was up: as many seconds after the backup was started as the log tells."""
    started = BackupArn.parse(arn).created_hint
    assert started
    return started.timestamp() + int(log.partition("Last status CREATING, ")[2].partition(" s after it was started")[0])


class Backups:
    """A run that backs many new tables up.

    :param running: the cluster
    :param plane: its control plane
    :param dag_id: the DAG
    :param count: of the tables
    :param prefix: of their names
    """

    def __init__(self, running: Cluster, plane: ControlPlane, dag_id: str, count: int, prefix: str = "table") -> None:
        self.count = count
        self._plane = plane
        self._tables = [f"{prefix}-{number:03}" for number in range(count)]
        for table in self._tables:
            plane.create_table(table)
        self.run: Run = running.airflow.api.start_run(dag_id, {"tables": self._tables})

    def states(self) -> Counter[str]:
        """Count the tasks in each state."""
        return Counter(state for task, state in self.run.task_states().items() if task.startswith("back_up"))

    def wait_for(self, what: str, done: Callable[[], object]) -> None:
        """Wait until something is so."""
        wait_until(what, done, PATIENCE)

    def wait_until_made(self, count: int) -> None:
        """Wait until so many backups exist."""
        self.wait_for(f"{count} backups", lambda: len(self._plane.backup_arns()) >= count)

    def wait_until_deferred(self, count: int) -> None:
        """Wait until so many tasks are deferred."""
        self.wait_for(f"{count} deferred tasks", lambda: self.states()["deferred"] >= count)

    def assert_each_once(self) -> None:
        """Assert that the run succeeds, with one backup of each table."""
        assert self.run.end(PATIENCE) == "success"
        assert self.states() == {"success": self.count}
        assert Counter(arn.split("/")[1] for arn in self._plane.backup_arns()) == dict.fromkeys(self._tables, 1)
