"""The settings that a restore drops, a unit each: read it, compare it, put it back.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CreateBackup.html names tags, time to live, streams,
auto scaling and IAM policies; that the others are dropped is inferred, since neither a backup nor a restore has a place
for them.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ddb_backup.exceptions import AmbiguousOutcomeError, BackupError, ErrorContext, TableNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.retries import Retry

_STANDARD = "STANDARD"
_SCALING = "application-autoscaling"
# Tags that only AWS can set.
_RESERVED = "aws:"
_ENABLED = frozenset({"ENABLED", "ENABLING"})


@dataclass(frozen=True)
class SettingsOf:
    """A table whose settings are read or put back.

    :param hook: makes the calls
    :param retry: repeats a call that may yet succeed
    :param context: the table and region, for messages
    :param name: the table's name
    """

    hook: DynamoDBBackupHook
    retry: Retry
    context: ErrorContext
    name: str

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """The table as DescribeTable returned it when it was first asked for."""
        described: Mapping[str, Any] = self.call("DescribeTable", TableName=self.name)["Table"]
        return described

    @property
    def arn(self) -> str:
        """The table's ARN."""
        return str(self.description["TableArn"])

    @property
    def global_indexes(self) -> list[str]:
        """The names of the global secondary indexes."""
        return [str(index["IndexName"]) for index in self.description.get("GlobalSecondaryIndexes") or ()]

    def call(self, operation: str, *, service: str = "dynamodb", **request: Any) -> Mapping[str, Any]:
        """Make a call, again and again where it may yet succeed.

        :param operation: such as ``DescribeTable``
        :param service: boto3's name of the service
        :param request: the arguments
        :raises BackupError: it has failed for good, or for too long
        """
        return self.retry(self.hook.call, operation, self.context, service=service, **request)

    def pages(self, operation: str, *, service: str = "dynamodb", **request: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the pages of a listing that goes by ``NextToken``.

        :param operation: such as ``ListTagsOfResource``
        :param service: boto3's name of the service
        :param request: the arguments
        :raises BackupError: it has failed for good, or for too long
        """
        seen: set[str] = set()
        token: dict[str, Any] = {}
        while True:
            page = self.call(operation, service=service, **request, **token)
            yield page
            if not (cursor := page.get("NextToken")):
                return
            if cursor in seen:
                detail = f"The listing goes round: {cursor!r} has been a cursor before."
                raise AmbiguousOutcomeError.about(self.context, detail)
            seen.add(cursor)
            token = {"NextToken": cursor}


class Setting(ABC):
    """One setting of a table."""

    #: the name that users give it
    name: ClassVar[str]
    #: the IAM actions that read it and put it back
    actions: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, table: SettingsOf) -> Any:
        """Return the setting as plain JSON values; empty or ``None``: there is nothing to put back.

        :param table: the table
        :raises BackupError: it can't be read
        """

    @abstractmethod
    def put_back(self, table: SettingsOf, wanted: Any, present: Any) -> None:
        """Give a table the setting.

        :param table: the table
        :param wanted: the setting as :meth:`read` returned it, of another table
        :param present: the setting that the table has
        :raises BackupError: it can't be put back
        """

    def is_same(self, wanted: Any, present: Any) -> bool:
        """Return whether there is nothing to do.

        :param wanted: the setting that the table should have
        :param present: the setting that it has
        """
        return not wanted or bool(wanted == present)

    def adapt(self, wanted: Any, source: str, target: SettingsOf) -> Any:
        """Return the setting of one table as it has to be for another.

        :param wanted: the setting
        :param source: the ARN of the table that it is of
        :param target: the other table
        """
        del source, target
        return wanted


class Tags(Setting):
    """The tags that are not AWS's own."""

    name = "tags"
    actions = ("dynamodb:ListTagsOfResource", "dynamodb:TagResource")

    def read(self, table: SettingsOf) -> dict[str, str]:
        """Return the values of the tags."""
        pages = table.pages("ListTagsOfResource", ResourceArn=table.arn)
        tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
        return {key: value for key, value in tags.items() if not key.startswith(_RESERVED)}

    def put_back(self, table: SettingsOf, wanted: dict[str, str], present: dict[str, str]) -> None:
        """Put the tags on it that it has not, or with other values."""
        missing = [{"Key": key, "Value": value} for key, value in wanted.items() if present.get(key) != value]
        table.call("TagResource", ResourceArn=table.arn, Tags=missing)

    def is_same(self, wanted: dict[str, str], present: dict[str, str]) -> bool:
        """Return whether all of the tags are there; others do no harm."""
        return wanted.items() <= present.items()


class TableClass(Setting):
    """The table class; a restore makes a table of the class STANDARD."""

    name = "table_class"
    actions = ("dynamodb:DescribeTable", "dynamodb:UpdateTable")

    def read(self, table: SettingsOf) -> str:
        """Return the class."""
        return str((table.description.get("TableClassSummary") or {}).get("TableClass", _STANDARD))

    def put_back(self, table: SettingsOf, wanted: str, present: str) -> None:
        """Change the class."""
        del present
        table.call("UpdateTable", TableName=table.name, TableClass=wanted)


class PointInTimeRecovery(Setting):
    """Point-in-time recovery, with its recovery period."""

    name = "point_in_time_recovery"
    actions = ("dynamodb:DescribeContinuousBackups", "dynamodb:UpdateContinuousBackups")

    def read(self, table: SettingsOf) -> dict[str, int]:
        """Return the recovery period in days; nothing if it is off."""
        described = table.call("DescribeContinuousBackups", TableName=table.name)["ContinuousBackupsDescription"]
        recovery = described.get("PointInTimeRecoveryDescription") or {}
        if recovery.get("PointInTimeRecoveryStatus") not in _ENABLED:
            return {}
        days = recovery.get("RecoveryPeriodInDays")
        return {"RecoveryPeriodInDays": days} if days else {"RecoveryPeriodInDays": 35}

    def put_back(self, table: SettingsOf, wanted: dict[str, int], present: dict[str, int]) -> None:
        """Turn it on."""
        del present
        specification = {"PointInTimeRecoveryEnabled": True, **wanted}
        table.call("UpdateContinuousBackups", TableName=table.name, PointInTimeRecoverySpecification=specification)


class DeletionProtection(Setting):
    """Deletion protection; the last of all, so that a restore that fails can be cleaned up."""

    name = "deletion_protection"
    actions = ("dynamodb:DescribeTable", "dynamodb:UpdateTable")

    def read(self, table: SettingsOf) -> bool:
        """Return whether it is on."""
        return bool(table.description.get("DeletionProtectionEnabled"))

    def put_back(self, table: SettingsOf, wanted: bool, present: bool) -> None:  # the setting itself
        """Turn it on."""
        del present
        table.call("UpdateTable", TableName=table.name, DeletionProtectionEnabled=wanted)


class TimeToLive(Setting):
    """Time to live, which deletes within days what has expired since the backup."""

    name = "ttl"
    actions = ("dynamodb:DescribeTimeToLive", "dynamodb:UpdateTimeToLive")

    def read(self, table: SettingsOf) -> str | None:
        """Return the attribute; ``None``: it is off."""
        described = table.call("DescribeTimeToLive", TableName=table.name)["TimeToLiveDescription"]
        return described.get("AttributeName") if described.get("TimeToLiveStatus") in _ENABLED else None

    def put_back(self, table: SettingsOf, wanted: str, present: str | None) -> None:
        """Turn it on."""
        del present
        specification = {"Enabled": True, "AttributeName": wanted}
        table.call("UpdateTimeToLive", TableName=table.name, TimeToLiveSpecification=specification)


class Stream(Setting):
    """The stream; the new one has another ARN, which no Lambda mapping follows."""

    name = "stream"
    actions = ("dynamodb:DescribeTable", "dynamodb:UpdateTable")

    def read(self, table: SettingsOf) -> str | None:
        """Return the view type; ``None``: there is no stream."""
        stream = table.description.get("StreamSpecification") or {}
        return stream.get("StreamViewType") if stream.get("StreamEnabled") else None

    def put_back(self, table: SettingsOf, wanted: str, present: str | None) -> None:
        """Turn it on."""
        del present
        specification = {"StreamEnabled": True, "StreamViewType": wanted}
        table.call("UpdateTable", TableName=table.name, StreamSpecification=specification)


class KinesisDestinations(Setting):
    """The Kinesis streams that the table writes its changes to: the new table writes into the same ones."""

    name = "kinesis"
    actions = (
        "dynamodb:DescribeKinesisStreamingDestination",
        "dynamodb:EnableKinesisStreamingDestination",
        "kinesis:ListStreams",
        "kinesis:DescribeStream",
        "kinesis:PutRecords",
    )

    def read(self, table: SettingsOf) -> dict[str, str | None]:
        """Return the precision of each stream that is on, by its ARN."""
        described = table.call("DescribeKinesisStreamingDestination", TableName=table.name)
        _ = described["TableName"]  # an empty response is not AWS's
        return {
            stream["StreamArn"]: stream.get("ApproximateCreationDateTimePrecision")
            for stream in described.get("KinesisDataStreamDestinations") or ()
            if stream.get("DestinationStatus") in {"ACTIVE", "ENABLING", "UPDATING"}
        }

    def put_back(self, table: SettingsOf, wanted: dict[str, str | None], present: dict[str, str | None]) -> None:
        """Turn on those that are off."""
        for arn, precision in wanted.items():
            if arn not in present:
                configuration = {"ApproximateCreationDateTimePrecision": precision} if precision else None
                # Never an empty structure.
                more: dict[str, Any] = {"EnableKinesisStreamingConfiguration": configuration} if configuration else {}
                table.call("EnableKinesisStreamingDestination", TableName=table.name, StreamArn=arn, **more)

    def is_same(self, wanted: dict[str, str | None], present: dict[str, str | None]) -> bool:
        """Return whether all of the streams are on, in whatever precision."""
        return wanted.keys() <= present.keys()


class ContributorInsights(Setting):
    """CloudWatch Contributor Insights, of the table and of each index."""

    name = "contributor_insights"
    actions = ("dynamodb:DescribeContributorInsights", "dynamodb:UpdateContributorInsights")

    def read(self, table: SettingsOf) -> dict[str, str | None]:
        """Return the mode of each that is on: of the table as ``""``, of an index by its name."""
        modes: dict[str, str | None] = {}
        for index in ("", *table.global_indexes):
            named = {"IndexName": index} if index else {}
            try:
                described = table.call("DescribeContributorInsights", TableName=table.name, **named)
            except TableNotFoundError:
                if not index:
                    raise
                # The index has been dropped since.
                continue
            _ = described["TableName"]  # an empty response is not AWS's
            if described.get("ContributorInsightsStatus") in _ENABLED:
                modes[index] = described.get("ContributorInsightsMode")
        return modes

    def put_back(self, table: SettingsOf, wanted: dict[str, str | None], present: dict[str, str | None]) -> None:
        """Turn on those that are off, or in another mode."""
        for index, mode in wanted.items():
            if index not in present or mode not in {None, present[index]}:
                named = {"IndexName": index} if index else {}
                more = {"ContributorInsightsMode": mode} if mode else {}
                request = {"ContributorInsightsAction": "ENABLE", **named, **more}
                table.call("UpdateContributorInsights", TableName=table.name, **request)

    def adapt(self, wanted: dict[str, str | None], source: str, target: SettingsOf) -> dict[str, str | None]:
        """Leave out indexes that were not restored."""
        del source
        return {index: mode for index, mode in wanted.items() if not index or index in target.global_indexes}

    def is_same(self, wanted: dict[str, str | None], present: dict[str, str | None]) -> bool:
        """Return whether all of them are on, in their modes as far as they are known."""
        return all(index in present and mode in {None, present[index]} for index, mode in wanted.items())


class AutoScaling(Setting):
    """The scalable targets of the table and its indexes, and their policies: targets without policies do nothing."""

    name = "auto_scaling"
    actions = (
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:DescribeScalingPolicies",
        "application-autoscaling:RegisterScalableTarget",
        "application-autoscaling:PutScalingPolicy",
    )
    _TARGET = ("MinCapacity", "MaxCapacity", "SuspendedState")
    _POLICY = ("PolicyType", "TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration")

    def read(self, table: SettingsOf) -> dict[str, Any]:
        """Return each target by ``INDEX dimension``, and each policy by ``INDEX dimension name``."""
        found: dict[str, Any] = {}
        for index in ("", *table.global_indexes):
            resource = {"ServiceNamespace": "dynamodb", "ResourceIds": [_resource(table.name, index)]}
            for page in table.pages("DescribeScalableTargets", service=_SCALING, **resource):
                for target in page["ScalableTargets"]:
                    kept = {name: target[name] for name in self._TARGET if name in target}
                    found[f"{index} {target['ScalableDimension']}"] = kept
            policies = {"ServiceNamespace": "dynamodb", "ResourceId": _resource(table.name, index)}
            for page in table.pages("DescribeScalingPolicies", service=_SCALING, **policies):
                for policy in page["ScalingPolicies"]:
                    kept = {name: policy[name] for name in self._POLICY if name in policy}
                    found[f"{index} {policy['ScalableDimension']} {policy['PolicyName']}"] = kept
        return found

    def put_back(self, table: SettingsOf, wanted: dict[str, Any], present: dict[str, Any]) -> None:
        """Register the targets that differ, then put their policies."""
        # Targets first: a policy needs its own.
        for key in sorted(wanted, key=lambda key: key.count(" ")):
            if wanted[key] == present.get(key):
                continue
            index, dimension, *policy = key.split(" ", 2)
            request = {
                "ServiceNamespace": "dynamodb",
                "ResourceId": _resource(table.name, index),
                "ScalableDimension": dimension,
                **wanted[key],
            }
            if policy:
                table.call("PutScalingPolicy", service=_SCALING, PolicyName=policy[0], **request)
            else:
                table.call("RegisterScalableTarget", service=_SCALING, **request)

    def adapt(self, wanted: dict[str, Any], source: str, target: SettingsOf) -> dict[str, Any]:
        """Leave out indexes that were not restored."""
        del source
        indexes = {"", *target.global_indexes}
        return {key: value for key, value in wanted.items() if key.partition(" ")[0] in indexes}

    def is_same(self, wanted: dict[str, Any], present: dict[str, Any]) -> bool:
        """Return whether all targets and policies are there."""
        return all(present.get(key) == value for key, value in wanted.items())


class ResourcePolicy(Setting):
    """The resource policy, whose ARNs name the old table."""

    name = "resource_policy"
    actions = ("dynamodb:GetResourcePolicy", "dynamodb:PutResourcePolicy")

    def read(self, table: SettingsOf) -> Any:
        """Return the policy's document; ``None``: there is none."""
        try:
            return json.loads(table.call("GetResourcePolicy", ResourceArn=table.arn)["Policy"])
        except BackupError as error:
            response = getattr(error.__cause__, "response", None) or {}
            if response.get("Error", {}).get("Code") == "PolicyNotFoundException":
                return None
            raise

    def put_back(self, table: SettingsOf, wanted: Any, present: Any) -> None:
        """Put the policy."""
        del present
        table.call("PutResourcePolicy", ResourceArn=table.arn, Policy=json.dumps(wanted))

    def adapt(self, wanted: Any, source: str, target: SettingsOf) -> Any:
        """Let the ARNs of the table, its indexes and its streams name the new one."""
        # Not of a table whose name begins so.
        pattern = re.compile(re.escape(source) + r"(?![a-zA-Z0-9_.-])")
        return json.loads(pattern.sub(target.arn, json.dumps(wanted)))


def _resource(table: str, index: str) -> str:
    return f"table/{table}/index/{index}" if index else f"table/{table}"


#: all settings, in the order in which they are put back
SETTINGS: Sequence[Setting] = (
    Tags(),
    PointInTimeRecovery(),
    TimeToLive(),
    Stream(),
    KinesisDestinations(),
    ContributorInsights(),
    AutoScaling(),
    ResourcePolicy(),
    # These two hold up others: the table may be UPDATING for long, and protected it can't be cleaned up.
    TableClass(),
    DeletionProtection(),
)
