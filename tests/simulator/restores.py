"""Restores as AWS has them, and moto has not (AWS.md, "Restoring"): they take time, and honour overrides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.simulator import settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from moto.dynamodb.models.table import Backup, Table

    from tests.simulator.settings import Error

# "Calls": so many at once.
MOST = 50
# An index list keeps only those that it names: an empty one is no empty structure.
_INDEX_PARTS = ("IndexName", "KeySchema", "Projection", "ProvisionedThroughput")
_LISTS = {"GlobalSecondaryIndexOverride": "global_indexes", "LocalSecondaryIndexOverride": "indexes"}


@dataclass(frozen=True)
class Restore:
    """A restore that has begun.

    :param began: when, in Unix seconds by the tests' clock
    :param seconds: how long it takes
    :param source: the backup's ARN, or the table's name
    :param moment: when the backup was made, or the point in time, in Unix seconds by AWS's clock
    :param on_demand: the overridden throughput, if any
    """

    began: float
    seconds: float
    source: str
    moment: float
    on_demand: dict[str, Any] | None

    def in_progress(self, now: float) -> bool:
        """Return whether it goes on."""
        return now < self.began + self.seconds


def restore_of(table: Table | None) -> Restore | None:
    """Return the restore that has made a table, if one has."""
    found: Restore | None = vars(table).get("restore") if table else None
    return found


def end(table: Table, now: float) -> None:
    """Let the restore of a table be complete."""
    restore = restore_of(table)
    assert restore
    vars(table)["restore"] = replace(restore, seconds=now - restore.began)


def in_progress(tables: Iterable[Table], now: float) -> list[Restore]:
    """Return the restores that go on."""
    restores = filter(None, map(restore_of, tables))
    return [restore for restore in restores if restore.in_progress(now)]


def refusal(request: dict[str, Any], tables: dict[str, Table], source: Error | None, now: float) -> Error | None:
    """Return code and text of the error with which AWS refuses a restore ("Errors"); ``None``: it does not.

    :param request: the body of the call
    :param tables: the account's tables, by name
    :param source: what is wrong with the source
    :param now: Unix seconds by the tests' clock
    """
    name = request["TargetTableName"]
    target = tables.get(name)
    if target is not None:
        restore = restore_of(target)
        if restore and restore.in_progress(now):
            kind = "backup: " if ":" in restore.source else "table: "
            return "TableInUseException", f"Table: {name} is already being restored from {kind}{restore.source}"
        return "TableAlreadyExistsException", f"Table already exists: {name}"
    if source:
        return source
    if len(in_progress(tables.values(), now)) >= MOST:
        return "LimitExceededException", f"Subscriber limit exceeded: only {MOST} restores can occur simultaneously"
    return None


def backup_refusal(arn: str, backup: Backup | None, status: str) -> Error | None:
    """Return with which error AWS refuses to restore a backup ("Errors"); ``None``: it does not.

    :param arn: the backup's ARN
    :param backup: the backup; ``None``: there is none of that ARN
    :param status: the backup's status
    """
    if backup is None or status == "DELETED":
        return "BackupNotFoundException", f"Backup not found: {arn}"
    return ("BackupInUseException", f"Backup is being used: {arn}") if status == "CREATING" else None


def moment_refusal(request: dict[str, Any], name: str, table: Table | None, now: float) -> Error | None:
    """Return with which error AWS refuses to restore a table to a time ("Point-in-time recovery"); ``None``: none.

    :param request: the body of the call
    :param name: the table's name
    :param table: the table; ``None``: there is none of that name
    :param now: Unix seconds by AWS's clock
    """
    if bool(request.get("UseLatestRestorableTime")) == ("RestoreDateTime" in request):
        return "ValidationException", "One of RestoreDateTime and UseLatestRestorableTime must be given"
    if table is None:
        return "TableNotFoundException", f"Table not found: {name}"
    window = settings.restorable(table, now)
    if window is None:
        return "PointInTimeRecoveryUnavailableException", f"Point in time recovery is not enabled for table '{name}'"
    if not window[0] <= request.get("RestoreDateTime", window[1]) <= window[1]:
        return "InvalidRestoreTimeException", "The restore time is not within the restorable window"
    return None


def begin(
    table: Table, source: Table, name: str, moment: float, request: dict[str, Any], now: float, seconds: float
) -> None:
    """Make moto's restored table what AWS makes of it: the source's capacity, or the overrides.

    :param table: the new table
    :param source: the table that is restored, as it is or was when it was backed up
    :param name: the backup's ARN, or the source's name
    :param moment: when the backup was made, or the point in time, in Unix seconds by AWS's clock
    :param request: the body of the call
    :param now: Unix seconds by the tests' clock
    :param seconds: how long it takes
    """
    on_demand = request.get("OnDemandThroughputOverride")
    vars(table)["restore"] = Restore(now, seconds, name, moment, on_demand)
    table.billing_mode = request.get("BillingModeOverride", source.billing_mode)
    table.throughput = {"NumberOfDecreasesToday": 0, **source.throughput}
    table.throughput |= request.get("ProvisionedThroughputOverride", {})
    table.sse_specification = request.get("SSESpecificationOverride", source.sse_specification)
    for override, indexes in _LISTS.items():
        if override in request:
            names = {index["IndexName"] for index in request[override]}
            setattr(table, indexes, [index for index in getattr(table, indexes) if index.name in names])


def has_empty_structure(request: dict[str, Any]) -> bool:
    """Return whether AWS answers an error, and starts the restore all the same."""
    return any(request[name] == {} for name in request if name.endswith("Override"))


def describe(table: Table, description: dict[str, Any], now: float) -> None:
    """Correct the description of a table that a restore has made."""
    restore = restore_of(table)
    if restore is None:
        return
    going_on = restore.in_progress(now)
    description["RestoreSummary"]["RestoreDateTime"] = restore.moment
    description["RestoreSummary"]["RestoreInProgress"] = going_on
    if restore.on_demand:
        description["OnDemandThroughput"] = restore.on_demand
    if going_on:
        description["TableStatus"] = "CREATING"
        for index in description.get("GlobalSecondaryIndexes", []):
            index["IndexStatus"] = "CREATING"


def features(table: Table) -> dict[str, Any]:
    """Return what a backup says of its table's features ("Types in ListBackups"); moto leaves it out."""
    description = table.describe()["TableDescription"]
    found: dict[str, Any] = {
        name: [{part: index[part] for part in _INDEX_PARTS if part in index} for index in description[name]]
        for name in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        if description.get(name)
    }
    if (table.stream_specification or {}).get("StreamEnabled"):
        found["StreamDescription"] = table.stream_specification
    return found | {"TimeToLiveDescription": table.ttl}
