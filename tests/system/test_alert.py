"""The nightly example's mail of a task that was killed, on real Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import EXAMPLE_DAGS
from tests.simulator.control_plane import ControlPlane
from tests.system.mail import mail_server, text_of
from tests.system.standalone import airflow

if TYPE_CHECKING:
    from pathlib import Path

DAG_ID = "example_dynamodb_backup_nightly"


@pytest.mark.cluster
def test_a_task_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no report, and Airflow 3 calls no on_failure_callback: the mail arrives all the same."""
    example = (EXAMPLE_DAGS / f"{DAG_ID}.py").read_text()
    # Nobody waits for three retries, five minutes each.
    (tmp_path / f"{DAG_ID}.py").write_text(example.replace('"retries": 3', '"retries": 0'))
    with mail_server() as (mails, smtp), ControlPlane().serve() as plane:
        plane.create_table("orders")
        plane.tag_table("orders", backup="nightly")
        connections = {"AIRFLOW_CONN_AWS_DEFAULT": plane.connection(), "AIRFLOW_CONN_SMTP_DEFAULT": smtp}
        with airflow(connections, print, [tmp_path]) as running:

            def kill(_: str, port: int) -> None:
                process = running.processes.child_with_port(port)
                assert process
                process.kill()

            plane.on_commit = kill
            run = running.api.start_due_run(DAG_ID)
            assert run.end() == "failed"
            assert run.task_states() == {"back_up": "failed", "prune": "success", "alert": "failed"}
    (mail,) = mails
    assert mail["subject"] == f"{DAG_ID}: back_up failed"
    assert "<p>back_up: There is no report: the task was killed, or did not begin.</p>" in text_of(mail)
