"""The four processes of a real Airflow."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.dynamodb.control_plane import ControlPlane
from tests.system.standalone import SYSTEM_DAGS, airflow


def test_the_rewrite_reads_the_arn_of_the_deferred_backup() -> None:
    """Worker, triggerer, and a worker again; and after clearing the whole run there is still one backup."""
    with ControlPlane(creating_for=15).serve() as plane:
        plane.create_table("orders")
        with airflow({"AIRFLOW_CONN_AWS_DEFAULT": plane.connection()}, print) as running:
            run = running.api.start_run("example_dynamodb_backup_before_rewrite", {})
            assert run.end() == "success"
            (arn,) = plane.backup_arns()
            assert run.xcom("back_up", "return_value") == run.xcom("back_up", "backup_arn") == arn
            assert f"to go back, restore {arn}" in run.task_log("rewrite_table")
            log = run.task_log("back_up")
            link = run.links("back_up")
            run.clear()
            assert run.end() == "success"
            assert run.xcom("back_up", "return_value") == arn
            assert f"Reusing backup {arn}" in run.task_log("back_up", try_number=2)
            assert plane.backup_arns() == [arn]
    assert "defer" in log.lower()
    assert f"Backup completed successfully: {arn}" in log
    address = "https://console.aws.amazon.com/dynamodbv2/home?region=us-east-1#table?name=orders"
    assert link == {"DynamoDB backup": address}


def test_a_sensor_that_is_out_of_time_fails_or_is_skipped() -> None:
    """In every mode; the log names the backup, its last status and the time."""
    with ControlPlane(creating_for=9999).serve() as plane:
        plane.create_table("orders")
        (arn,) = plane.add_backups("orders", 1)
        settings = {"AIRFLOW_CONN_AWS_DEFAULT": plane.connection(), "AIRFLOW__CORE__DAGS_FOLDER": str(SYSTEM_DAGS)}
        with airflow(settings, print) as running:
            hard, soft = (
                running.api.start_run(dag, {"backup_arn": arn})
                for dag in ("sensor_modes_hard_fail", "sensor_modes_soft_fail")
            )
            ends = hard.end(), soft.end()
            states = hard.task_states(), soft.task_states()
            logs = [hard.task_log(task) for task in states[0]]
    modes = ["poke", "reschedule", "deferrable"]
    assert states == (dict.fromkeys(modes, "failed"), dict.fromkeys(modes, "skipped"))
    assert ends == ("failed", "success")
    for log in logs:
        assert "The backup was not AVAILABLE in time" in log
        assert arn in log


def test_airflow_lists_the_provider() -> None:
    """``airflow providers list`` shows the package."""
    command = [sys.executable, "-W", "ignore", "-m", "airflow", "providers", "list", "--output", "json"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    names = {provider["package_name"] for provider in json.loads(listed.stdout[listed.stdout.index("[{") :])}
    assert "airflow-ddb-backup" in names
