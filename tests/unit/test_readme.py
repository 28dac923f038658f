"""The README's figures for a task that calls boto3 itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

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
