"""DynamoDBDeleteBackupOperator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_ddb_backup.exceptions import (
    BackupInUseError,
    InvalidValueError,
    OtherRegionError,
)
from airflow_ddb_backup.operators.dynamodb import DynamoDBDeleteBackupOperator
from tests.simulator.faults import (
    DROPPED_AFTER_COMMIT,
    INTERNAL_ERROR,
    THROTTLED,
    Fault,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


class TestDeleteOne:
    """The operator for one backup."""

    def test_the_backup_is_deleted(self, control_plane: ControlPlane, context: Context, backup_arn: str) -> None:
        """And its ARN returned."""
        assert DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=backup_arn).execute(context) == backup_arn
        assert control_plane.backup_arns() == []

    def test_gone_already_is_deleted(self, context: Context, backup_arn: str) -> None:
        """To delete twice is harmless."""
        for _ in range(2):
            assert DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=backup_arn).execute(context) == backup_arn

    @pytest.mark.parametrize(
        "fault", [THROTTLED, INTERNAL_ERROR, DROPPED_AFTER_COMMIT], ids=lambda one: one.answer.name
    )
    def test_a_failure_that_may_pass_is_retried(
        self, control_plane: ControlPlane, context: Context, backup_arn: str, fault: Fault
    ) -> None:
        """Until it is gone."""
        control_plane.fail_next("DeleteBackup", fault, times=3)
        DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=backup_arn).execute(context)
        assert control_plane.backup_arns() == []

    def test_one_that_is_being_created_is_waited_for(
        self, control_plane: ControlPlane, context: Context, backup_arn: str, clock: Clock
    ) -> None:
        """AWS does not delete it before."""
        control_plane.creating_for = 300
        begun = clock.time()
        DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=backup_arn).execute(context)
        assert control_plane.backup_arns() == []
        assert 300 <= clock.time() - begun < 340

    def test_one_that_stays_in_use_ends_with_the_timeout(
        self, control_plane: ControlPlane, context: Context, backup_arn: str, clock: Clock
    ) -> None:
        """The message says what holds it."""
        control_plane.restoring.add(backup_arn)
        begun = clock.time()
        with pytest.raises(BackupInUseError, match="being created, deleted or restored.*Retry when"):
            DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=backup_arn, timeout=60).execute(context)
        assert 60 <= clock.time() - begun < 70

    def test_an_arn_of_another_region_is_refused(
        self, control_plane: ControlPlane, context: Context, backup_arn: str
    ) -> None:
        """AWS ignores that part of it."""
        other = backup_arn.replace("us-east-1", "eu-west-1")
        with pytest.raises(OtherRegionError):
            DynamoDBDeleteBackupOperator(task_id="delete", backup_arn=other, region_name="us-east-1").execute(context)
        assert control_plane.calls["DeleteBackup"] == 0

    @pytest.mark.parametrize(
        "rendered",
        [
            None,
            "",
            "orders",
            1,
            ["a"],
            "arn:aws:dynamodb:us-east-1::table/orders/backup/1",
            "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/*",
            "arn:aws:dynamodb:us-east-1:123456789012:table/{}/backup/1",
            "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/1,2",
        ],
    )
    def test_a_rendered_value_that_is_no_arn_is_refused(
        self, control_plane: ControlPlane, context: Context, rendered: object
    ) -> None:
        """Before any call."""
        task = DynamoDBDeleteBackupOperator(task_id="delete", backup_arn="{{ x }}")
        task.backup_arn = rendered  # type: ignore[assignment]
        with pytest.raises(InvalidValueError, match="backup_arn must be"):
            task.execute(context)
        assert control_plane.calls["DeleteBackup"] == 0
