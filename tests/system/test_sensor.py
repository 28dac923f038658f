"""The sensor in all its modes, in real task runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.rest_api import EARLY_3

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

    from tests.simulator.control_plane import ControlPlane
    from tests.system.conftest import RunDag


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reschedule a sensor after a second or two."""
    monkeypatch.setenv("RESCHEDULE_AFTER", "1.5")


@pytest.fixture
def creating(control_plane: ControlPlane) -> str:
    """Return the ARN of a backup that takes a minute."""
    control_plane.creating_for = 60
    created = control_plane.client().create_backup(TableName="orders", BackupName="nightly")
    return str(created["BackupDetails"]["BackupArn"])


def states(run: DagRun) -> dict[str, str]:
    """Return how each task of a run has ended."""
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def test_every_mode_waits_until_the_backup_is_available(run_dag: RunDag, creating: str) -> None:
    """Poke, reschedule and deferrable come to the same end."""
    run = run_dag("sensor_modes", run_conf={"backup_arn": creating})
    assert states(run) == dict.fromkeys(["poke", "reschedule", "deferrable"], "success")


@pytest.mark.skipif(
    EARLY_3, reason="DAG.test of 3.0 and 3.1.0 hands a rescheduled sensor a str for a date; its scheduler does not"
)
def test_soft_fail_skips_a_timeout_in_every_mode(run_dag: RunDag, control_plane: ControlPlane, creating: str) -> None:
    """A wait that takes too long skips the task."""
    control_plane.creating_for = 99_999
    run = run_dag("sensor_modes_soft_fail", run_conf={"backup_arn": creating})
    assert states(run) == dict.fromkeys(["poke", "reschedule", "deferrable"], "skipped")


def test_soft_fail_skips_a_lost_backup_in_every_mode(
    run_dag: RunDag, control_plane: ControlPlane, creating: str
) -> None:
    """A backup that is gone skips the task."""
    control_plane.lose_backup(creating)
    run = run_dag("sensor_modes_soft_fail", run_conf={"backup_arn": creating})
    assert states(run) == dict.fromkeys(["poke", "reschedule", "deferrable"], "skipped")


def test_every_mode_waits_until_a_table_has_a_fresh_backup(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """A backup that is too old, and one that is CREATING until then, do not count."""
    control_plane.add_backups("orders", 1, age=7200)
    control_plane.creating_for = 60
    (arn,) = control_plane.add_backups("orders", 1)
    run = run_dag("fresh_modes")
    assert states(run) == dict.fromkeys(["poke", "reschedule", "deferrable"], "success")
    found = {ti.xcom_pull(task_ids=ti.task_id)["backup_arn"] for ti in run.get_task_instances()}
    assert found == {arn}


@pytest.mark.skipif(
    EARLY_3, reason="DAG.test of 3.0 and 3.1.0 hands a rescheduled sensor a str for a date; its scheduler does not"
)
def test_soft_fail_skips_a_wait_for_a_fresh_backup_in_every_mode(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """There is none in time."""
    control_plane.add_backups("orders", 1, age=7200)
    run = run_dag("fresh_modes_soft_fail")
    assert states(run) == dict.fromkeys(["poke", "reschedule", "deferrable"], "skipped")
