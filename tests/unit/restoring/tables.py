"""A table with all the settings that a restore drops."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3

from airflow_ddb_backup.restoring.settings import SETTINGS
from tests.simulator.control_plane import ACCOUNT, REGION

if TYPE_CHECKING:
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

    def info(self, *_: object) -> None:
        """Drop a line."""

    warning = info


def scaling(plane: ControlPlane) -> Any:
    """Return a client of Application Auto Scaling."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("application-autoscaling", region_name=REGION, endpoint_url=plane.url, **keys)


def scale(plane: ControlPlane) -> None:
    """Scale the source and its index."""
    for resource, kind in (("table/source", "table"), ("table/source/index/by-one", "index")):
        target = {
            "ServiceNamespace": "dynamodb",
            "ResourceId": resource,
            "ScalableDimension": f"dynamodb:{kind}:ReadCapacityUnits",
        }
        scaling(plane).register_scalable_target(**target, MinCapacity=2, MaxCapacity=20)
        scaling(plane).put_scaling_policy(
            **target,
            PolicyName=f"half of {resource}",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 50.0,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"},
            },
        )
        scaling(plane).put_scheduled_action(
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
    plane.client().create_table(
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
