"""The deletion of one backup, as its parameters say."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ddb_backup.exceptions import InvalidValueError, RecoveryPointError
from airflow_ddb_backup.parameters import LATER
from airflow_ddb_backup.retention.delete import DeleteRequest

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"


def test_the_arn_s_parts_are_known() -> None:
    """Once it is rendered."""
    made: Any = DeleteRequest(ARN, 60)  # type: ignore[arg-type]
    assert (made.backup_arn.text, made.backup_arn.region, made.timeout) == (ARN, "us-east-1", 60)
    assert DeleteRequest(LATER, 60).backup_arn is LATER


@pytest.mark.parametrize("arn", [ARN.replace("orders", "or"), f"{ARN}?", ARN.replace("orders", "{}"), f"{ARN},2"])
def test_an_arn_that_can_be_no_backup_s_is_refused(arn: Any) -> None:
    """AWS might say that it no longer exists."""
    with pytest.raises(InvalidValueError, match="backup_arn must be the ARN of one backup"):
        DeleteRequest(arn, 60)


def test_a_recovery_point_is_refused() -> None:
    """AWS Backup deletes those."""
    arn: Any = "arn:aws:backup:us-east-1:123456789012:recovery-point:1"
    with pytest.raises(RecoveryPointError, match="DeleteRecoveryPoint or its backup plan deletes it"):
        DeleteRequest(arn, 60)
