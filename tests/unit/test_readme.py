"""The README's figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from tests.simulator.faults import DROPPED_AFTER_COMMIT

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane


def back_up(control_plane: ControlPlane) -> str:
    """Create a backup as a ``PythonOperator`` would."""
    keys = {"aws_access_key_id": "simulated", "aws_secret_access_key": "simulated"}
    client = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=control_plane.url, **keys)
    created = client.create_backup(TableName="orders", BackupName="nightly")
    return str(created["BackupDetails"]["BackupArn"])


def test_two_lost_responses_make_three_backups(control_plane: ControlPlane) -> None:
    """boto3 asks again, and DynamoDB creates again."""
    control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT, times=2)
    assert back_up(control_plane) in control_plane.backup_arns()
    assert len(control_plane.backup_arns()) == 3


def test_a_retry_makes_another_backup(control_plane: ControlPlane) -> None:
    """Names are not unique."""
    back_up(control_plane)
    back_up(control_plane)
    assert len(control_plane.backup_arns()) == 2


ROOT = Path(__file__).parents[2]
#: the row of README, and the column of the benchmarks that it is from
FIGURES = {
    "calls for 300 backups": "calls",
    "CPU seconds of the triggerer": "CPU, s",
    "latest notice": "noticed after, latest, s",
}


def benchmark(trigger: str, backups: int) -> dict[str, str]:
    """Return what was measured last, by column."""
    page = (ROOT / "docs" / "benchmarks.rst").read_text()
    table = page.partition(".. list-table::")[2].partition("\n.. ")[0]
    rows = [re.findall(r"- (.+)$", row, re.MULTILINE) for row in table.split("\n    * ")[1:]]
    (found,) = (row for row in rows if row[:2] == [trigger, str(backups)])
    return dict(zip(rows[0], found, strict=True))


@pytest.mark.parametrize("row", FIGURES)
def test_a_figure_is_the_one_that_was_measured_last(row: str) -> None:
    """The package's, and that of the amazon provider's trigger."""
    line = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| {row}"))
    _, _, ours, _, theirs, *_ = (cell.strip(" *s") for cell in line.split("|"))
    assert ours == benchmark("airflow-ddb-backup", 300)[FIGURES[row]]
    assert theirs == benchmark("waiter trigger", 300)[FIGURES[row]]
