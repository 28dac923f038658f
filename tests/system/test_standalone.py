"""The four processes of a real Airflow."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.dynamodb.control_plane import ControlPlane
from tests.system.standalone import airflow

pytestmark = pytest.mark.system


def test_the_rewrite_reads_the_arn_of_the_deferred_backup() -> None:
    """Worker, triggerer, and a worker again; and after clearing the whole run there is still one backup."""
    with ControlPlane(creating_for=15).serve() as plane:
        plane.create_table("orders")
        with airflow({"AIRFLOW_CONN_AWS_DEFAULT": plane.connection()}, print) as running:
            state = running.run_dag("example_dynamodb_backup_before_rewrite", {})
            (arn,) = plane.backup_arns()
            assert (state, running.xcom("back_up", "return_value")) == ("success", arn)
            assert running.xcom("back_up", "backup_arn") == arn
            assert f"to go back, restore {arn}" in running.task_log("rewrite_table")
            log = running.task_log("back_up")
            link = running.links("back_up")
            assert running.clear() == "success"
            assert running.xcom("back_up", "return_value") == arn
            assert f"Reusing backup {arn}" in running.task_log("back_up", try_number=2)
            assert plane.backup_arns() == [arn]
    assert "DEFERRED" in log
    assert f"Backup completed successfully: {arn}" in log
    address = "https://console.aws.amazon.com/dynamodbv2/home?region=us-east-1#table?name=orders"
    assert link == {"DynamoDB backup": address}


def test_airflow_lists_the_provider() -> None:
    """``airflow providers list`` shows the package."""
    command = [sys.executable, "-W", "ignore", "-m", "airflow", "providers", "list", "--output", "json"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    names = {provider["package_name"] for provider in json.loads(listed.stdout[listed.stdout.index("[") :])}
    assert "airflow-ddb-backup" in names
