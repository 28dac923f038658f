"""A table with all the settings that a restore drops, and tasks that restore it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import ErrorContext
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.models import BackupArn, RestoreSource
from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBRestoreTableFromBackupOperator,
    DynamoDBRestoreTableToPointInTimeOperator,
)
from airflow_ddb_backup.report import Report
from airflow_ddb_backup.restoring.put_back import outcomes, put_back
from airflow_ddb_backup.restoring.request import SettingsRequest
from airflow_ddb_backup.restoring.settings import SETTINGS, SettingsOf
from tests.simulator.control_plane import ACCOUNT, REGION, RESTORES
from tests.simulator.faults import Fault
from tests.unit.conftest import FakeTaskInstance, context_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

NAMES = [setting.name for setting in SETTINGS]
ARN = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/source"
KINESIS = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/changes"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/reader"},
            "Action": "dynamodb:GetItem",
            "Resource": [ARN, f"{ARN}/index/*", f"{ARN}-eu"],
        }
    ],
}


class Silent:
    """A log that nobody reads."""

    def info(self, *_: object, **__: object) -> None:
        """Drop a line."""

    debug = warning = error = exception = info


def scaling(plane: ControlPlane) -> Any:
    """Return a client of Application Auto Scaling."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("application-autoscaling", region_name=REGION, endpoint_url=plane.url, **keys)


def scale(plane: ControlPlane) -> None:
    """Scale the source and its index."""
    client = scaling(plane)
    for resource, kind in (("table/source", "table"), ("table/source/index/by-one", "index")):
        target = {
            "ServiceNamespace": "dynamodb",
            "ResourceId": resource,
            "ScalableDimension": f"dynamodb:{kind}:ReadCapacityUnits",
        }
        client.register_scalable_target(**target, MinCapacity=2, MaxCapacity=20)
        client.put_scaling_policy(
            **target,
            PolicyName=f"half of {resource}",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 50.0,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"},
            },
        )
        client.put_scheduled_action(
            **target,
            ScheduledActionName=f"mornings of {resource}",
            Schedule="cron(0 6 * * ? *)",
            StartTime=datetime(2026, 12, 1, tzinfo=UTC),
            ScalableTargetAction={"MinCapacity": 5, "MaxCapacity": 50},
        )


def gain_insights(plane: ControlPlane) -> None:
    """Turn Contributor Insights on for the source and its index."""
    for named in ({}, {"IndexName": "by-one"}):
        plane.client().update_contributor_insights(TableName="source", ContributorInsightsAction="ENABLE", **named)


# What a call for each setting says, beside the table.
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "table_class": ("update_table", {"TableClass": "STANDARD_INFREQUENT_ACCESS"}),
    "point_in_time_recovery": (
        "update_continuous_backups",
        {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 7}},
    ),
    "deletion_protection": ("update_table", {"DeletionProtectionEnabled": True}),
    "ttl": ("update_time_to_live", {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": "ends"}}),
    "stream": ("update_table", {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}),
    "kinesis": ("enable_kinesis_streaming_destination", {"StreamArn": KINESIS}),
}
BY_ARN: dict[str, tuple[str, dict[str, Any]]] = {
    "tags": ("tag_resource", {"Tags": [{"Key": "team", "Value": "shop"}, {"Key": "tier", "Value": "1"}]}),
    "resource_policy": ("put_resource_policy", {"Policy": json.dumps(POLICY)}),
}


def give(plane: ControlPlane, name: str) -> None:
    """Give the source one of the settings."""
    if name in REQUESTS:
        method, request = REQUESTS[name]
        getattr(plane.client(), method)(TableName="source", **request)
    elif name in BY_ARN:
        method, request = BY_ARN[name]
        getattr(plane.client(), method)(ResourceArn=ARN, **request)
    else:
        {"auto_scaling": scale, "contributor_insights": gain_insights}[name](plane)


def make_source(plane: ControlPlane) -> None:
    """Create a table with an index."""
    plane.ask(
        "CreateTable",
        TableName="source",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "by")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-one",
                "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": {"ReadCapacityUnits": 2, "WriteCapacityUnits": 2},
            }
        ],
        ProvisionedThroughput={"ReadCapacityUnits": 2, "WriteCapacityUnits": 2},
    )


def restore(plane: ControlPlane, **overrides: Any) -> None:
    """Restore the source as ``target``."""
    (arn,) = plane.add_backups("source", 1)
    plane.client().restore_table_from_backup(TargetTableName="target", BackupArn=arn, **overrides)


TARGET = ARN.replace("source", "target")
SOURCE = RestoreSource.of_backup(BackupArn.parse(f"{ARN}/backup/01795422913684-770da1ee"))
DEFAULTS = ["tags", "point_in_time_recovery", "table_class", "deletion_protection"]
SHOP = {"team": "shop", "tier": "1"}
DENIED = Fault(code="AccessDeniedException")
NOT_FOUND = Fault(code="ResourceNotFoundException")
# The calls that read a setting beside DescribeTable, and those that put it back.
READS = {
    "tags": "ListTagsOfResource",
    "point_in_time_recovery": "DescribeContinuousBackups",
    "ttl": "DescribeTimeToLive",
    "kinesis": "DescribeKinesisStreamingDestination",
    "contributor_insights": "DescribeContributorInsights",
    "auto_scaling": "DescribeScalableTargets",
    "resource_policy": "GetResourcePolicy",
}
WRITES = {
    "tags": "TagResource",
    "point_in_time_recovery": "UpdateContinuousBackups",
    "ttl": "UpdateTimeToLive",
    "stream": "UpdateTable",
    "kinesis": "EnableKinesisStreamingDestination",
    "contributor_insights": "UpdateContributorInsights",
    "auto_scaling": "PutScalingPolicy",
    "resource_policy": "PutResourcePolicy",
    "table_class": "UpdateTable",
    "deletion_protection": "UpdateTable",
}


#: in place of a backup's ARN or a time, the latest restorable time
LATEST = "latest"


def operator(arn: str, **kwargs: Any) -> DynamoDBRestoreTableFromBackupOperator:
    """Return a task that restores a backup as ``target``."""
    settings: dict[str, Any] = {"target_table_name": "target", "backup_arn": arn, **kwargs}
    return DynamoDBRestoreTableFromBackupOperator(task_id="restore", **settings)


def to_point_in_time(moment: Any, **kwargs: Any) -> DynamoDBRestoreTableToPointInTimeOperator:
    """Return a task that restores the table ``source`` as ``target``, to a time or to ``LATEST``."""
    when = {"use_latest_restorable_time": True} if moment == LATEST else {"restore_date_time": moment}
    settings: dict[str, Any] = {"target_table_name": "target", "source_table_name": "source", **when, **kwargs}
    return DynamoDBRestoreTableToPointInTimeOperator(task_id="restore", **settings)


def run(origin: Any, *, first: bool = True, ti: FakeTaskInstance | None = None, **kwargs: Any) -> str:
    """Run a try of a task that restores a backup, by its ARN, or to a time; a later one is of the same run."""
    ti = ti or FakeTaskInstance(task_id="restore", try_number=1 if first else 2)
    kind = operator if is_backup(origin) else to_point_in_time
    return kind(origin, **kwargs).execute(context_of(ti))


def is_backup(origin: Any) -> bool:
    """Return whether what a table is restored from is a backup's ARN."""
    return str(origin).startswith("arn:")


def told(origin: str) -> str:
    """Return how messages tell what a table is restored from."""
    if is_backup(origin):
        return f"backup '{origin}'"
    return f"point in time 'source at {'the latest restorable time' if origin == LATEST else origin}'"


def is_restored(control_plane: ControlPlane, origin: str) -> bool:
    """Return whether the table ``target`` is restored from the backup, or to the time."""
    summary = describe(control_plane)["RestoreSummary"]
    if is_backup(origin):
        return bool(summary["SourceBackupArn"] == origin)
    is_latest = origin == LATEST or summary["RestoreDateTime"] == datetime.fromisoformat(origin)
    return is_latest and summary["SourceTableArn"] == ARN and "SourceBackupArn" not in summary


def fail_restores(control_plane: ControlPlane, fault: Fault, times: int = 1) -> None:
    """Let the next calls that start a restore go wrong."""
    for operation in RESTORES:
        control_plane.fail_next(operation, fault, times)


def restores_sent(control_plane: ControlPlane) -> list[dict[str, Any]]:
    """Return the bodies of the calls that start a restore."""
    return [body for operation in RESTORES for body in sent(control_plane, operation)]


def enable_recovery(control_plane: ControlPlane, clock: Clock, age: float = 3600) -> datetime:
    """Enable point-in-time recovery of the table ``source``, and return when; then some time passes."""
    enabled = now(clock)
    control_plane.switch_recovery("source")
    clock.sleep(age)
    return enabled


def restore_with(arn: str, *names: str) -> dict[str, str]:
    """Restore a backup with some settings, and return what the task reports of them."""
    ti = FakeTaskInstance(task_id="restore")
    assert run(arn, ti=ti, settings=names) == TARGET
    went: dict[str, str] = ti.xcoms["settings"]
    return went


def fresh_context(ti: FakeTaskInstance | None = None) -> Context:
    """Return the context of a task instance that restores."""
    return context_of(ti or FakeTaskInstance(task_id="restore"))


@contextmanager
def killed_while_it_waits() -> Iterator[None]:
    """Kill the worker in the block, once it begins to wait for the restored table."""

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_ddb_backup.operators.dynamodb.restore.wait_on_worker", kill)
        with pytest.raises(KeyboardInterrupt):
            yield


def success_event(clock: Clock, origin: str, ti: FakeTaskInstance, **kwargs: Any) -> dict[str, Any]:
    """Defer a restore until it is complete, and return the event of its trigger."""
    with pytest.raises(TaskDeferred) as deferred:
        run(origin, ti=ti, deferrable=True, **kwargs)
    clock.sleep(300)
    carry = deferred.value.trigger.serialize()[1]["carry"]
    return {"status": "success", "table_arn": TARGET, "message": "", "carry": carry}


def describe(control_plane: ControlPlane, name: str = "target") -> dict[str, Any]:
    """Return the description of a table."""
    description: dict[str, Any] = control_plane.client().describe_table(TableName=name)["Table"]
    return description


def sent(control_plane: ControlPlane, operation: str = "RestoreTableFromBackup") -> list[dict[str, Any]]:
    """Return the bodies of the calls of an operation."""
    return [body for called, body in control_plane.requests if called == operation]


def tags_of(control_plane: ControlPlane, arn: str) -> dict[str, str]:
    """Return the tags of a table."""
    tags = control_plane.client().list_tags_of_resource(ResourceArn=arn)["Tags"]
    return {tag["Key"]: tag["Value"] for tag in tags}


def now(clock: Clock) -> datetime:
    """Return the present."""
    return datetime.fromtimestamp(clock.time(), tz=UTC)


def back_up(control_plane: ControlPlane) -> str:
    """Back up the table ``source`` with the settings that it has by now, and return the ARN."""
    (arn,) = control_plane.add_backups("source", 1)
    return str(arn)


def restore_by_others(control_plane: ControlPlane, origin: str, target: str = "target") -> None:
    """Restore the backup, or to the time, past the package."""
    if is_backup(origin):
        control_plane.client().restore_table_from_backup(TargetTableName=target, BackupArn=origin)
        return
    when = {"UseLatestRestorableTime": True} if origin == LATEST else {"RestoreDateTime": origin}
    control_plane.client().restore_table_to_point_in_time(SourceTableArn=ARN, TargetTableName=target, **when)


def table(name: str) -> SettingsOf:
    """Return a table whose settings are read or put back."""
    hook = DynamoDBBackupHook(region_name=REGION)
    return SettingsOf(hook, ErrorContext(name, region=REGION), name, Deadline.after(1800), 60, Silent())


def put(values: dict[str, Any], unavailable: Sequence[str] = ()) -> dict[str, str]:
    """Put settings back on the target, and return how each went."""
    report = Report[str]()
    put_back(SettingsRequest(SOURCE, "target", values, unavailable), table("target"), report)
    return outcomes(report)
