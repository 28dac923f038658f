"""The events of a task's outlet assets."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import Asset

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane
    from tests.system.conftest import RunDag


def events() -> dict[str, dict[str, Any]]:
    """Return the extra of the newest event of each task."""
    from airflow.utils.session import create_session
    from sqlalchemy import select

    try:
        AssetEvent = import_module("airflow.models.asset").AssetEvent  # noqa: N806  # a class
    except ImportError:  # Airflow 2
        AssetEvent = import_module("airflow.models.dataset").DatasetEvent  # noqa: N806  # a class
    with create_session() as session:
        found = session.scalars(select(AssetEvent).order_by(AssetEvent.id))
        return {str(event.source_task_id): dict(event.extra) for event in found}


@pytest.mark.parametrize("path", ["direct", "deferred", "unwaited", "referred"])
def test_an_event_carries_the_backup(run_dag: RunDag, control_plane: ControlPlane, path: str) -> None:
    """The DAG that reacts knows backup and table, whichever way the task went."""
    control_plane.creating_for = 20
    if path == "referred" and not hasattr(Asset, "ref"):
        pytest.skip("Asset.ref came with Airflow 3")
    run = run_dag("outlets")
    assert run.state == "success"
    extra = events()[path]
    assert extra["backup_arn"] in control_plane.backup_arns()
    backup = control_plane.client().describe_backup(BackupArn=extra["backup_arn"])["BackupDescription"]
    details, source = backup["BackupDetails"], backup["SourceTableDetails"]
    assert extra["backup_name"] == details["BackupName"]
    assert extra["table_arn"] == source["TableArn"]
    assert datetime.fromisoformat(extra["created_at"]) == details["BackupCreationDateTime"]
    assert set(extra) == {"backup_arn", "backup_name", "table_arn", "created_at"}


def test_an_event_carries_the_report_of_a_check(run_dag: RunDag, control_plane: ControlPlane) -> None:
    """All of it, which the page in Airflow's web UI shows."""
    control_plane.add_backups("orders", 1, age=3600)
    run = run_dag("coverage_outlet")
    assert run.state == "success"
    (ti,) = run.get_task_instances()
    extra = events()["check"]
    assert extra == ti.xcom_pull(task_ids="check")
    assert (extra["kind"], extra["version"]) == ("dynamodb_backup_coverage", 1)
