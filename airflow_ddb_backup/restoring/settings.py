"""The settings that a restore drops, a unit each: how it reads, what is missing, and the calls that put it back.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CreateBackup.html names tags, time to live, streams,
auto scaling and IAM policies; that the others are dropped is inferred, since neither a backup nor a restore has a place
for them.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ddb_backup.boto_errors import map_exceptions, told
from airflow_ddb_backup.exceptions import AccessDeniedError, BackupError, SettingsDeniedError, TableNotFoundError
from airflow_ddb_backup.limits import DEFAULT_RECOVERY_DAYS
from airflow_ddb_backup.models import ENABLED, Page, stream_view, ttl_attribute
from airflow_ddb_backup.retries import read_pages, retrying

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.retries import Retry

# Tags that only AWS can set.
_RESERVED = "aws:"
# Kinesis has words of its own.
_ON = ENABLED | {"ACTIVE", "UPDATING"}
_FAILED = frozenset({"FAILED", "ENABLE_FAILED"})
# The member without which a response is not AWS's; DescribeTable's is read once for all settings.
_NEEDED = {
    "DescribeContinuousBackups": "ContinuousBackupsDescription",
    "DescribeTimeToLive": "TimeToLiveDescription",
}
#: the operation and the arguments of a call that changes a table
Change = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class SettingsOf:
    """A table whose settings are read or put back.

    :param hook: makes the calls
    :param context: the table and region, for messages
    :param name: the table's name
    :param deadline: when to give up
    :param patience: seconds for which each call is retried, within the deadline
    :param log: the task's log
    """

    hook: DynamoDBBackupHook
    context: ErrorContext
    name: str
    deadline: Deadline
    patience: float
    log: Any

    @property
    def retry(self) -> Retry:
        """Makes a call, again and again where it may yet succeed."""
        return retrying(self.deadline, self.log, patience=self.patience)

    def fresh(self) -> SettingsOf:
        """Return the same table, to be described again: what was put back has changed it."""
        return replace(self)

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """The table as DescribeTable returned it when it was first asked for."""
        described: Mapping[str, Any] = self.call("DescribeTable", "Table", TableName=self.name)["Table"]
        return described

    @property
    def arn(self) -> str:
        """The table's ARN."""
        return str(self.description["TableArn"])

    @property
    def global_indexes(self) -> list[str]:
        """The names of the global secondary indexes."""
        return [str(index["IndexName"]) for index in self.description.get("GlobalSecondaryIndexes") or ()]

    def call(
        self, operation: str, needs: str | None = None, *, service: str = "dynamodb", **request: Any
    ) -> Mapping[str, Any]:
        """Make a call, again and again where it may yet succeed.

        :param operation: such as ``DescribeTable``
        :param needs: a member without which a response is not AWS's
        :param service: boto3's name of the service
        :param request: the arguments; ``None``: left out
        :raises BackupError: it has failed for good, or for too long
        """
        return self.retry(self.hook.call, operation, self.context, needs=needs, service=service, **request)

    def items(self, operation: str, member: str, *, service: str = "dynamodb", **request: Any) -> list[Any]:
        """Return the items of a listing, of all pages.

        :param operation: such as ``ListTagsOfResource``
        :param member: the member of a response that has the items
        :param service: boto3's name of the service
        :param request: the arguments
        :raises BackupError: it has failed for good, or for too long
        """

        def page_at(cursor: str | None) -> Page[Any]:
            page = self.call(operation, member, service=service, NextToken=cursor, **request)
            return Page(tuple(page[member]), page.get("NextToken"))

        return read_pages(page_at, self.context) or []


@dataclass(frozen=True, slots=True)
class State:
    """How a table has a setting: on, on its way, or failed.

    :param value: plain JSON of what is on or on its way; empty or ``None``: there is nothing
    :param begun: the parts that AWS is still turning on
    :param failed: AWS's reason, for each part that it could not turn on
    """

    value: Any
    begun: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: Iterable[tuple[str, str | None, str | None, str | None]]) -> State:
        """Return the state of a setting whose parts have a status each.

        :param parts: the name, status, value, and reason of a failure of all that AWS tells of
        """
        known = list(parts)
        return cls(
            {name: value for name, status, value, _ in known if status in _ON},
            frozenset(name for name, status, _, _ in known if status == "ENABLING"),
            {name: reason or "no reason told" for name, status, _, reason in known if status in _FAILED},
        )


class Setting(ABC):
    """One setting of a table."""

    #: the name that users give it
    name: str
    #: the IAM actions that read it and put it back
    actions: tuple[str, ...]
    #: boto3's name of the service whose calls put it back
    service: ClassVar[str] = "dynamodb"
    #: whether it may deny the retry that puts back what has failed
    may_lock_out: ClassVar[bool] = False

    @abstractmethod
    def read(self, table: SettingsOf) -> State:
        """Return how a table has the setting.

        :param table: the table
        :raises BackupError: it can't be read
        """

    @abstractmethod
    def changes(self, table: SettingsOf, missing: Any) -> Iterable[Change]:
        """Return the calls that put it back. Each is made by itself: one that is refused stops no other.

        :param table: the table that lacks it
        :param missing: what :meth:`missing` has returned
        """

    def missing(self, wanted: Any, present: Any) -> Any:
        """Return what a table lacks; empty or ``None``: nothing.

        :param wanted: the value that the table should have
        :param present: the value that it has
        """
        return None if wanted == present else wanted

    def adapt(self, wanted: Any, target: SettingsOf) -> Any:
        """Return the value of one table as it has to be for another; empty: that one has no place for it.

        :param wanted: the value
        :param target: the other table
        """
        del target
        return wanted


class SimpleSetting(Setting):
    """A setting with one value, which one call reads and one puts back.

    :param name: the name that users give it
    :param reads: the operation that reads it
    :param value: returns the value from what that operation tells; empty or ``None``: it is off
    :param writes: the operation that puts it back
    :param request: returns its arguments beside the table's name, from the value
    """

    def __init__(
        self,
        name: str,
        reads: str,
        value: Callable[[Mapping[str, Any]], Any],
        writes: str,
        request: Callable[[Any], dict[str, Any]],
    ) -> None:
        self.name, self.actions = name, (f"dynamodb:{reads}", f"dynamodb:{writes}")
        self._reads, self._value, self._writes, self._request = reads, value, writes, request

    def read(self, table: SettingsOf) -> State:
        """Return the value."""
        if not (needed := _NEEDED.get(self._reads)):
            return State(self._value(table.description))
        return State(self._value(table.call(self._reads, needed, TableName=table.name)[needed]))

    def changes(self, table: SettingsOf, missing: Any) -> Iterable[Change]:
        """Make the one call."""
        yield self._writes, {"TableName": table.name, **self._request(missing)}


class PartedSetting(Setting):
    """A setting whose value has parts, by name; others do no harm."""

    def missing(self, wanted: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
        """Return the parts that are not there, or differ as far as the value is known."""
        return {
            part: value for part, value in wanted.items() if part not in present or value not in (None, present[part])
        }


class Tags(PartedSetting):
    """The tags that are not AWS's own."""

    name = "tags"
    actions = ("dynamodb:ListTagsOfResource", "dynamodb:TagResource")

    def read(self, table: SettingsOf) -> State:
        """Return the values of the tags."""
        tags = table.items("ListTagsOfResource", "Tags", ResourceArn=table.arn)
        return State({tag["Key"]: tag["Value"] for tag in tags if not tag["Key"].startswith(_RESERVED)})

    def changes(self, table: SettingsOf, missing: dict[str, str]) -> Iterable[Change]:
        """Put them on it, all by one call."""
        tags = [{"Key": key, "Value": value} for key, value in missing.items()]
        yield "TagResource", {"ResourceArn": table.arn, "Tags": tags}


class KinesisDestinations(PartedSetting):
    """The Kinesis streams that the table writes its changes to: the new table writes into the same ones."""

    name = "kinesis"
    actions = (
        "dynamodb:DescribeKinesisStreamingDestination",
        "dynamodb:EnableKinesisStreamingDestination",
        "kinesis:ListStreams",
        "kinesis:DescribeStream",
        "kinesis:PutRecords",
    )

    def read(self, table: SettingsOf) -> State:
        """Return the precision of each stream that is on, by its ARN."""
        described = table.call("DescribeKinesisStreamingDestination", "TableName", TableName=table.name)
        precision, reason = "ApproximateCreationDateTimePrecision", "DestinationStatusDescription"
        return State.of(
            (one["StreamArn"], one.get("DestinationStatus"), one.get(precision), one.get(reason))
            for one in described.get("KinesisDataStreamDestinations") or ()
        )

    def missing(self, wanted: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
        """Return the streams that are off; the precision of those that are on does not matter."""
        return {arn: precision for arn, precision in wanted.items() if arn not in present}

    def changes(self, table: SettingsOf, missing: dict[str, str | None]) -> Iterable[Change]:
        """Turn on each."""
        for arn, precision in missing.items():
            configuration = {"ApproximateCreationDateTimePrecision": precision}
            # Never an empty structure.
            more = {"EnableKinesisStreamingConfiguration": configuration} if precision else {}
            yield "EnableKinesisStreamingDestination", {"TableName": table.name, "StreamArn": arn, **more}


class ContributorInsights(PartedSetting):
    """CloudWatch Contributor Insights, of the table and of each index."""

    name = "contributor_insights"
    actions = ("dynamodb:DescribeContributorInsights", "dynamodb:UpdateContributorInsights")

    def read(self, table: SettingsOf) -> State:
        """Return the mode of each that is on: of the table as ``""``, of an index by its name."""
        parts = []
        for index in ("", *table.global_indexes):
            operation, named = "DescribeContributorInsights", index or None
            try:
                described = table.call(operation, "TableName", TableName=table.name, IndexName=named)
            except TableNotFoundError:
                if not index:
                    raise
                # The index has been dropped since.
                continue
            status, mode = described.get("ContributorInsightsStatus"), described.get("ContributorInsightsMode")
            reason = (described.get("FailureException") or {}).get("ExceptionDescription")
            parts.append((index, status, mode, reason))
        return State.of(parts)

    def changes(self, table: SettingsOf, missing: dict[str, str | None]) -> Iterable[Change]:
        """Turn on each."""
        for index, mode in missing.items():
            request = {"ContributorInsightsAction": "ENABLE", "ContributorInsightsMode": mode}
            yield "UpdateContributorInsights", {"TableName": table.name, "IndexName": index or None, **request}

    def adapt(self, wanted: dict[str, str | None], target: SettingsOf) -> dict[str, str | None]:
        """Leave out indexes that were not restored."""
        return {index: mode for index, mode in wanted.items() if not index or index in target.global_indexes}


class AutoScaling(PartedSetting):
    """The scalable targets of the table and its indexes, their policies and their scheduled actions."""

    name = "auto_scaling"
    actions = (
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:DescribeScalingPolicies",
        "application-autoscaling:DescribeScheduledActions",
        "application-autoscaling:RegisterScalableTarget",
        "application-autoscaling:PutScalingPolicy",
        "application-autoscaling:PutScheduledAction",
        "dynamodb:DescribeTable",
        "dynamodb:UpdateTable",
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:DeleteAlarms",
    )
    service = "application-autoscaling"
    # How each kind is listed, put and named, and what is kept of it. Targets first: policies, without which they do
    # nothing, and actions need their own.
    _KINDS = (
        ("ScalableTargets", "RegisterScalableTarget", "", ("MinCapacity", "MaxCapacity", "SuspendedState")),
        (
            "ScalingPolicies",
            "PutScalingPolicy",
            "PolicyName",
            ("PolicyType", "TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration"),
        ),
        (
            "ScheduledActions",
            "PutScheduledAction",
            "ScheduledActionName",
            ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction"),
        ),
    )

    def read(self, table: SettingsOf) -> State:
        """Return what is put for each, by ``OPERATION INDEX DIMENSION NAME``."""
        found: dict[str, Any] = {}
        for index in ("", *table.global_indexes):
            resource = _resource(table.name, index)
            for listed, put, named, kept in self._KINDS:
                asked = {"ResourceId": resource} if named else {"ResourceIds": [resource]}
                request = {"ServiceNamespace": "dynamodb", **asked}
                for one in table.items(f"Describe{listed}", listed, service=self.service, **request):
                    key = f"{put} {index} {one['ScalableDimension']} {one.get(named, '')}"
                    found[key] = {member: _plain(one[member]) for member in kept if member in one}
        return State(found)

    def changes(self, table: SettingsOf, missing: dict[str, Any]) -> Iterable[Change]:
        """Put each, the targets first."""
        for _, put, named, _ in self._KINDS:
            for key, settings in missing.items():
                kind, index, dimension, name = key.split(" ", 3)
                if kind == put:
                    target = {"ResourceId": _resource(table.name, index), "ScalableDimension": dimension}
                    own = {named: name} if named else {}
                    yield put, {"ServiceNamespace": "dynamodb", **target, **own, **settings}

    def adapt(self, wanted: dict[str, Any], target: SettingsOf) -> dict[str, Any]:
        """Leave out indexes that were not restored; on demand there is nothing to scale."""
        billing = (target.description.get("BillingModeSummary") or {}).get("BillingMode")
        indexes = set() if billing == "PAY_PER_REQUEST" else {"", *target.global_indexes}
        return {key: value for key, value in wanted.items() if key.split(" ", 2)[1] in indexes}


class ResourcePolicy(Setting):
    """The resource policy. Its ARNs name the table, for which its value has a word: the new table has another ARN."""

    name = "resource_policy"
    actions = ("dynamodb:GetResourcePolicy", "dynamodb:PutResourcePolicy")
    may_lock_out = True
    _THE_TABLE = "<the table's ARN>"

    def read(self, table: SettingsOf) -> State:
        """Return the policy's document; ``None``: there is none."""
        try:
            policy = json.loads(table.call("GetResourcePolicy", "Policy", ResourceArn=table.arn)["Policy"])
        except BackupError as error:
            response = getattr(error.__cause__, "response", None) or {}
            if response.get("Error", {}).get("Code") == "PolicyNotFoundException":
                return State(None)
            raise
        # The table, its indexes and its streams, and no table whose name begins so.
        own = re.escape(table.arn) + r"(?![a-zA-Z0-9_.-])"
        return State(json.loads(re.sub(own, self._THE_TABLE, json.dumps(policy))))

    def changes(self, table: SettingsOf, missing: Any) -> Iterable[Change]:
        """Put the policy, without the white space that counts for AWS's limit."""
        policy = json.dumps(missing, separators=(",", ":")).replace(self._THE_TABLE, table.arn)
        yield "PutResourcePolicy", {"ResourceArn": table.arn, "Policy": policy}


def _resource(table: str, index: str) -> str:
    return f"table/{table}/index/{index}" if index else f"table/{table}"


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _recovery(described: Mapping[str, Any]) -> dict[str, int]:
    recovery = described.get("PointInTimeRecoveryDescription") or {}
    days = recovery.get("RecoveryPeriodInDays") or DEFAULT_RECOVERY_DAYS
    return {"RecoveryPeriodInDays": days} if recovery.get("PointInTimeRecoveryStatus") in ENABLED else {}


def _table_class(described: Mapping[str, Any]) -> str | None:
    """Return the class; ``None``: STANDARD, which a restore makes."""
    table_class = (described.get("TableClassSummary") or {}).get("TableClass")
    return None if table_class == "STANDARD" else table_class


#: all settings, in the order in which they are put back
SETTINGS: Sequence[Setting] = (
    Tags(),
    SimpleSetting(
        "point_in_time_recovery",
        "DescribeContinuousBackups",
        _recovery,
        "UpdateContinuousBackups",
        lambda period: {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True, **period}},
    ),
    # Deletes within days what has expired since the backup.
    SimpleSetting(
        "ttl",
        "DescribeTimeToLive",
        ttl_attribute,
        "UpdateTimeToLive",
        lambda attribute: {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": attribute}},
    ),
    # The new one has another ARN, which no Lambda mapping follows.
    SimpleSetting(
        "stream",
        "DescribeTable",
        lambda table: stream_view(table.get("StreamSpecification") or {}),
        "UpdateTable",
        lambda view: {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}},
    ),
    KinesisDestinations(),
    ContributorInsights(),
    AutoScaling(),
    # The table may be UPDATING for long, which holds up the two after it.
    SimpleSetting(
        "table_class",
        "DescribeTable",
        _table_class,
        "UpdateTable",
        lambda table_class: {"TableClass": table_class},
    ),
    # A table that is protected can't be cleaned up.
    SimpleSetting(
        "deletion_protection",
        "DescribeTable",
        lambda table: bool(table.get("DeletionProtectionEnabled")),
        "UpdateTable",
        lambda protected: {"DeletionProtectionEnabled": protected},
    ),
    # It may deny all of the others.
    ResourcePolicy(),
)


def read_settings(names: Collection[str], table: SettingsOf) -> dict[str, Any]:
    """Return some settings of a table as plain JSON values.

    :param names: the settings
    :param table: the table
    :raises SettingsDeniedError: a permission is missing; the message names all that can't be read for want of one
    :raises BackupError: one can't be read
    """
    values: dict[str, Any] = {}
    denied: dict[str, AccessDeniedError] = {}
    for setting in SETTINGS:
        if setting.name in names:
            try:
                with map_exceptions(table.context):
                    values[setting.name] = setting.read(table).value
            except AccessDeniedError as error:
                denied[setting.name] = error
    if denied:
        raise _denied(denied, table.context)
    return values


@contextmanager
def needed_by(names: Collection[str], context: ErrorContext) -> Iterator[None]:
    """Name the settings that need the calls of the block, if one of these is denied.

    :param names: the settings
    :param context: the table and region
    :raises SettingsDeniedError: a call is denied
    """
    try:
        yield
    except AccessDeniedError as error:
        raise _denied(dict.fromkeys(names, error), context) from error


def _denied(denied: Mapping[str, AccessDeniedError], context: ErrorContext) -> SettingsDeniedError:
    by_answer: defaultdict[str, list[str]] = defaultdict(list)
    for name, error in denied.items():
        by_answer[told(error.__cause__ or error)].append(repr(name))
    detail = " ".join(f"{', '.join(names)}: {answer}" for answer, names in by_answer.items())
    return SettingsDeniedError.about(context, detail)
