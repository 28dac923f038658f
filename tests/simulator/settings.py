"""The settings of a table as AWS keeps them, and moto does not (AWS.md, "Restoring")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moto.dynamodb.models.table import Table

# "Restoring": TTL takes up to an hour, and a second call within it is refused.
_TTL_INTERVAL = 3600.0
STANDARD = "STANDARD"
# "Point-in-time recovery": the latest time is so many seconds behind, and the earliest so many days, at most.
_LATEST_LAG = 300.0
_MOST_DAYS = 35
_DAY = 86_400.0
# Errors have a code and a text.
Error = tuple[str, str]


def update_refusal(table: Table, request: dict[str, Any], now: float) -> Error | None:
    """Refuse an UpdateTable while another goes on, and a second stream ("Restoring").

    :param table: the table
    :param request: the body of the call
    :param now: Unix seconds by the tests' clock
    """
    if is_updating(table, now):
        text = f"Attempt to change a resource which is still in use: Table is being updated: {table.name}"
        return "ResourceInUseException", text
    stream = request.get("StreamSpecification", {})
    if stream.get("StreamEnabled") and (table.stream_specification or {}).get("StreamEnabled"):
        return "ValidationException", f"Table already has an enabled stream: TableName: {table.name}"
    return None


def update(table: Table, request: dict[str, Any], now: float, seconds: float) -> None:
    """Note what moto does not keep of an UpdateTable, and that it takes some seconds."""
    vars(table)["updating_until"] = now + seconds
    if "TableClass" in request:
        vars(table)["table_class"] = request["TableClass"]


def is_updating(table: Table, now: float) -> bool:
    """Return whether an UpdateTable goes on."""
    return now < float(vars(table).get("updating_until", 0))


def describe(table: Table, description: dict[str, Any], now: float) -> None:
    """Correct the description of a table."""
    if is_updating(table, now):
        description["TableStatus"] = "UPDATING"
    # AWS leaves it out for a table that never had another class.
    if table_class := vars(table).get("table_class"):
        description["TableClassSummary"] = {"TableClass": table_class}


def ttl_refusal(table: Table, now: float) -> Error | None:
    """Refuse a second UpdateTimeToLive within an hour."""
    if now < float(vars(table).get("ttl_updated", float("-inf"))) + _TTL_INTERVAL:
        return "ValidationException", "Time to live has been modified multiple times within a fixed interval"
    return None


def ttl_updated(table: Table, now: float) -> None:
    """Note when time to live was updated."""
    vars(table)["ttl_updated"] = now


def recovery_updated(table: Table, now: float) -> None:
    """Note when point-in-time recovery was enabled: what was before can't be restored, ever.

    :param table: the table, with what it was updated to
    :param now: Unix seconds by AWS's clock
    """
    if _recovery(table)["PointInTimeRecoveryStatus"] == "ENABLED":
        vars(table).setdefault("recoverable_since", now)
    else:
        vars(table).pop("recoverable_since", None)


def restorable(table: Table, now: float) -> tuple[float, float] | None:
    """Return the earliest and the latest time to which a table can be restored; ``None``: to none.

    :param table: the table
    :param now: Unix seconds by AWS's clock
    """
    if _recovery(table)["PointInTimeRecoveryStatus"] != "ENABLED":
        return None
    since = float(vars(table).get("recoverable_since", now))
    days = _recovery(table).get("RecoveryPeriodInDays", _MOST_DAYS)
    return max(since, now - days * _DAY), max(since, now - _LATEST_LAG)


def describe_recovery(table: Table, content: dict[str, Any], now: float) -> None:
    """Correct what a response says of point-in-time recovery: moto's times are not AWS's."""
    if window := restorable(table, now):
        names = ("EarliestRestorableDateTime", "LatestRestorableDateTime")
        description = content["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        description |= dict(zip(names, window, strict=True))


def _recovery(table: Table) -> dict[str, Any]:
    described: dict[str, Any] = table.continuous_backups["PointInTimeRecoveryDescription"]
    return described


def tags_refusal(request: dict[str, Any]) -> Error | None:
    """Refuse tags that are AWS's own."""
    if any(tag["Key"].startswith("aws:") for tag in request["Tags"]):
        return "ValidationException", "Tag keys that begin with aws: are reserved for system use"
    return None


def kinesis_refusal(table: Table, request: dict[str, Any]) -> Error | None:
    """Refuse to enable a destination again (assumed)."""
    if request["StreamArn"] in vars(table).get("kinesis", {}):
        text = f"Table is not in a valid state to enable Kinesis Streaming Destination: {request['StreamArn']}"
        return "ValidationException", text
    return None


def enable_kinesis(table: Table, request: dict[str, Any]) -> dict[str, Any]:
    """Answer EnableKinesisStreamingDestination."""
    streams = vars(table).setdefault("kinesis", {})
    configuration = request.get("EnableKinesisStreamingConfiguration", {})
    streams[request["StreamArn"]] = configuration.get("ApproximateCreationDateTimePrecision", "MILLISECOND")
    named = {"TableName": table.name, "StreamArn": request["StreamArn"]}
    return named | {"DestinationStatus": "ENABLING", "EnableKinesisStreamingConfiguration": configuration}


def describe_kinesis(table: Table) -> dict[str, Any]:
    """Answer DescribeKinesisStreamingDestination."""
    destinations = [
        {
            "StreamArn": arn,
            "DestinationStatus": "ACTIVE",
            "DestinationStatusDescription": "",
            "ApproximateCreationDateTimePrecision": precision,
        }
        for arn, precision in vars(table).get("kinesis", {}).items()
    ]
    return {"TableName": table.name, "KinesisDataStreamDestinations": destinations}


def update_insights(table: Table, request: dict[str, Any]) -> dict[str, Any]:
    """Answer UpdateContributorInsights, of the table or of an index."""
    enabled = request["ContributorInsightsAction"] == "ENABLE"
    mode = request.get("ContributorInsightsMode", "ACCESSED_AND_THROTTLED_KEYS")
    vars(table).setdefault("insights", {})[request.get("IndexName")] = mode if enabled else None
    status = "ENABLING" if enabled else "DISABLING"
    return _named(table, request) | {"ContributorInsightsStatus": status, "ContributorInsightsMode": mode}


def describe_insights(table: Table, request: dict[str, Any]) -> dict[str, Any]:
    """Answer DescribeContributorInsights, of the table or of an index."""
    mode = vars(table).get("insights", {}).get(request.get("IndexName"))
    status = {"ContributorInsightsStatus": "ENABLED" if mode else "DISABLED"}
    return _named(table, request) | status | ({"ContributorInsightsMode": mode} if mode else {})


def _named(table: Table, request: dict[str, Any]) -> dict[str, Any]:
    return {"TableName": table.name} | ({"IndexName": request["IndexName"]} if "IndexName" in request else {})
