"""DynamoDBRestoreTableFromBackupOperator: one table for a run, with the settings that a restore drops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    BackupNotReadyError,
    BackupNotRestorableError,
    InvalidValueError,
    OtherRegionError,
    RestoreLostError,
    RestoreTimeoutError,
    SettingsFailedError,
    SettingsFailedForGoodError,
    TableNotFoundError,
    TargetTableDeletingError,
    TargetTableExistsError,
    TriggerFailedError,
)
from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableFromBackupOperator
from tests.simulator import faults
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.simulator.faults import THROTTLED, Fault
from tests.unit.conftest import SETTINGS, FakeTaskInstance, context_of
from tests.unit.restoring.tables import ARN, NAMES, give, make_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

TARGET = ARN.replace("source", "target")
DEFAULTS = ["tags", "point_in_time_recovery", "table_class", "deletion_protection"]
INDEX = {
    "IndexName": "by-one",
    "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}


@pytest.fixture(autouse=True)
def _slow_restores(control_plane: ControlPlane) -> None:
    make_source(control_plane)
    control_plane.restoring_for = 200


@pytest.fixture
def arn(control_plane: ControlPlane) -> str:
    """Back up the table ``source``, and return the ARN."""
    (arn,) = control_plane.add_backups("source", 1)
    return str(arn)


def operator(arn: str, **kwargs: Any) -> DynamoDBRestoreTableFromBackupOperator:
    """Return a task that restores a backup as ``target``."""
    settings: dict[str, Any] = {"target_table_name": "target", "backup_arn": arn, **kwargs}
    return DynamoDBRestoreTableFromBackupOperator(task_id="restore", **settings)


def describe(control_plane: ControlPlane, name: str = "target") -> dict[str, Any]:
    """Return the description of a table."""
    description: dict[str, Any] = control_plane.client().describe_table(TableName=name)["Table"]
    return description


def sent(control_plane: ControlPlane, operation: str = "RestoreTableFromBackup") -> list[dict[str, Any]]:
    """Return the bodies of the calls of an operation."""
    return [body for called, body in control_plane.requests if called == operation]


def fresh_context(ti: FakeTaskInstance | None = None) -> Context:
    """Return the context of a task instance that restores."""
    return context_of(ti or FakeTaskInstance(task_id="restore"))


class TestRestoring:
    """The usual way, and the values that are sent."""

    def test_the_table_is_restored_and_its_arn_returned(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """It waits until the table is ACTIVE, and pushes the ARN."""
        begun, ti = clock.time(), FakeTaskInstance(task_id="restore")
        assert operator(arn).execute(fresh_context(ti)) == TARGET
        assert 200 <= clock.time() - begun < 240
        assert describe(control_plane)["TableStatus"] == "ACTIVE"
        assert describe(control_plane)["RestoreSummary"]["SourceBackupArn"] == arn
        assert ti.xcoms["table_arn"] == TARGET
        assert ti.xcoms["settings"] == dict.fromkeys(DEFAULTS, "same")
        assert sent(control_plane) == [{"BackupArn": arn, "TargetTableName": "target"}]

    def test_every_setting_is_put_back(self, control_plane: ControlPlane, arn: str) -> None:
        """Also ttl and stream, of which the backup itself tells."""
        for name in NAMES:
            give(control_plane, name)
        (newer,) = control_plane.add_backups("source", 1)
        ti = FakeTaskInstance(task_id="restore")
        operator(newer, settings="all", tags={"restored": "yes"}).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == dict.fromkeys(NAMES, "applied")
        tags = control_plane.client().list_tags_of_resource(ResourceArn=TARGET)["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "shop", "tier": "1", "restored": "yes"}

    def test_ttl_and_stream_are_the_backup_s(self, control_plane: ControlPlane, arn: str) -> None:
        """The backup was made before the table had them."""
        for name in ("ttl", "stream"):
            give(control_plane, name)
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=["ttl", "stream"]).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == {"ttl": "same", "stream": "same"}

    def test_ttl_and_stream_are_the_table_s_where_the_backup_does_not_tell(
        self, control_plane: ControlPlane, arn: str
    ) -> None:
        """A response without the features says nothing of them."""
        give(control_plane, "ttl")
        control_plane.fail_next(
            "DescribeBackup",
            Fault(faults.Answer.ALTERED, committed=True, drop_members={"SourceTableFeatureDetails"}),
        )
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=["ttl"]).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == {"ttl": "applied"}

    def test_settings_of_another_table(self, control_plane: ControlPlane, arn: str) -> None:
        """Such as one that was made anew, by infrastructure as code."""
        control_plane.tag_table("orders", team="shop")
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=["tags"], settings_from="orders").execute(fresh_context(ti))
        assert control_plane.client().list_tags_of_resource(ResourceArn=TARGET)["Tags"] == [
            {"Key": "team", "Value": "shop"}
        ]

    def test_nothing_is_put_back_where_nothing_is_asked_for(self, control_plane: ControlPlane, arn: str) -> None:
        """And nothing is read."""
        give(control_plane, "tags")
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=()).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == {}
        assert control_plane.calls["ListTagsOfResource"] == control_plane.calls["DescribeContinuousBackups"] == 0

    def test_more_tags_alone(self, control_plane: ControlPlane, arn: str) -> None:
        """They need no tags of the source."""
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=(), tags={"restored": "yes"}).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == {"tags": "applied"}

    def test_without_waiting_it_returns_at_once(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """The settings are none of its business then."""
        begun = clock.time()
        assert operator(arn, settings=(), wait_for_completion=False).execute(fresh_context()) == TARGET
        assert clock.time() - begun < 10
        assert describe(control_plane)["TableStatus"] == "CREATING"

    def test_overrides_are_sent_in_aws_s_shapes(self, control_plane: ControlPlane, arn: str) -> None:
        """None that is left out is sent."""
        units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
        task = operator(arn, billing_mode="PROVISIONED", provisioned_throughput=units, kms_key_id="alias/shop")
        task.execute(fresh_context())
        assert sent(control_plane) == [
            {
                "BackupArn": arn,
                "TargetTableName": "target",
                "BillingModeOverride": "PROVISIONED",
                "ProvisionedThroughputOverride": units,
                "SSESpecificationOverride": {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "alias/shop"},
            }
        ]

    def test_a_limit_of_on_demand_throughput_is_sent(self, control_plane: ControlPlane, arn: str) -> None:
        """-1 is no limit."""
        task = operator(arn, billing_mode="PAY_PER_REQUEST", on_demand_throughput={"MaxReadRequestUnits": -1})
        task.execute(fresh_context())
        (body,) = sent(control_plane)
        assert body["OnDemandThroughputOverride"] == {"MaxReadRequestUnits": -1}

    @pytest.mark.parametrize("excluded", ["all", ["by-one"]])
    def test_an_empty_list_excludes_all_indexes(self, control_plane: ControlPlane, arn: str, excluded: Any) -> None:
        """It is sent only where there are indexes."""
        operator(arn, exclude_indexes=excluded).execute(fresh_context())
        (body,) = sent(control_plane)
        assert body["GlobalSecondaryIndexOverride"] == []
        assert "LocalSecondaryIndexOverride" not in body
        assert not describe(control_plane)["GlobalSecondaryIndexes"]

    def test_an_index_that_the_backup_has_not_is_refused(self, control_plane: ControlPlane, arn: str) -> None:
        """Nothing is made, and the message has the names that there are."""
        with pytest.raises(InvalidValueError, match=r"\['by-two'\].*|names of the backup's indexes") as refusal:
            operator(arn, exclude_indexes=["by-two"]).execute(fresh_context())
        assert "by-one" in str(refusal.value)
        assert not sent(control_plane)
