"""The restore that a task asks for, and what RestoreTableFromBackup is sent for it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.restoring.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.models import BackupArn, BackupDescription

#: the names of all settings, and of those that are put back unless a task says otherwise
SETTING_NAMES = tuple(setting.name for setting in SETTINGS)
DEFAULT_SETTINGS = ("tags", "table_class", "point_in_time_recovery", "deletion_protection")
_THROUGHPUT = ("ReadCapacityUnits", "WriteCapacityUnits")


class IfTargetExists(StrEnum):
    """The choices for a target table that exists."""

    REUSE = "reuse"
    FAIL = "fail"


class BillingMode(StrEnum):
    """How a table is billed."""

    PROVISIONED = "PROVISIONED"
    PAY_PER_REQUEST = "PAY_PER_REQUEST"


@dataclass(frozen=True, slots=True)
class Overrides:
    """The properties that the new table is to have of its own; those left out are the backup's.

    :param billing_mode: how it is billed
    :param provisioned_throughput: read and write capacity units, in AWS's shape
    :param on_demand_throughput: the most read and write request units, in AWS's shape
    :param kms_key_id: the KMS key that encrypts it
    :param exclude_indexes: the secondary indexes that are not restored
    :param exclude_all_indexes: none is restored
    """

    billing_mode: BillingMode | None = None
    provisioned_throughput: Mapping[str, int] | None = None
    on_demand_throughput: Mapping[str, int] | None = None
    kms_key_id: str | None = None
    exclude_indexes: tuple[str, ...] = ()
    exclude_all_indexes: bool = False

    def arguments(self, description: BackupDescription) -> dict[str, Any]:
        """Return the arguments of RestoreTableFromBackup; none of them is an empty structure.

        :param description: the backup, whose indexes those that are kept are taken from
        :raises InvalidValueError: the backup has no index of a name in ``exclude_indexes``
        """
        arguments: dict[str, Any] = {}
        if self.billing_mode is not None:
            arguments["BillingModeOverride"] = self.billing_mode.value
        if self.provisioned_throughput is not None:
            arguments["ProvisionedThroughputOverride"] = dict(self.provisioned_throughput)
        if self.on_demand_throughput is not None:
            arguments["OnDemandThroughputOverride"] = dict(self.on_demand_throughput)
        if self.kms_key_id is not None:
            encryption = {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": self.kms_key_id}
            arguments["SSESpecificationOverride"] = encryption
        return arguments | self._indexes(description)

    def _indexes(self, description: BackupDescription) -> dict[str, list[dict[str, Any]]]:
        if self.exclude_all_indexes and not description.features:
            # The response does not tell which there are.
            return {"GlobalSecondaryIndexOverride": [], "LocalSecondaryIndexOverride": []}
        known = [str(index["IndexName"]) for index in (*description.global_indexes, *description.local_indexes)]
        excluded = set(known) if self.exclude_all_indexes else set(self.exclude_indexes)
        if unknown := sorted(excluded.difference(known)):
            rule = f"'all', or names of the backup's indexes, which are {known}"
            raise InvalidValueError.of("exclude_indexes", unknown, rule)
        lists: dict[str, list[dict[str, Any]]] = {}
        for argument, indexes, shape in (
            ("GlobalSecondaryIndexOverride", description.global_indexes, self._global_index),
            ("LocalSecondaryIndexOverride", description.local_indexes, _local_index),
        ):
            kept = [index for index in indexes if index["IndexName"] not in excluded]
            # A list keeps only those that it names, so it is sent only where one of them is left out.
            if len(kept) < len(indexes):
                lists[argument] = [shape(index) for index in kept]
        return lists

    def _global_index(self, index: Mapping[str, Any]) -> dict[str, Any]:
        kept = _local_index(index)
        if self.billing_mode is not BillingMode.PAY_PER_REQUEST:
            recorded = index.get("ProvisionedThroughput") or {}
            # An index that was on demand has capacities of 0, which can't be sent.
            throughput = {name: recorded[name] for name in _THROUGHPUT if recorded.get(name)}
            if len(throughput) < len(_THROUGHPUT) and self.billing_mode is BillingMode.PROVISIONED:
                throughput = dict(self.provisioned_throughput or {})
            if throughput:
                kept["ProvisionedThroughput"] = throughput
        if self.billing_mode is not BillingMode.PROVISIONED and index.get("OnDemandThroughput"):
            kept["OnDemandThroughput"] = dict(index["OnDemandThroughput"])
        return kept


def _local_index(index: Mapping[str, Any]) -> dict[str, Any]:
    projection = {name: value for name, value in index["Projection"].items() if value}
    return {"IndexName": index["IndexName"], "KeySchema": index["KeySchema"], "Projection": projection}


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """The restore that a task asks for.

    :param context: the new table, backup and region, for messages
    :param arn: the backup
    :param target: the name of the new table
    :param if_exists: what to do when there is a table of that name
    :param overrides: what the new table is to have of its own
    :param settings: the names of the settings that are read
    :param more_tags: tags that the new table gets beside those of ``settings``
    :param settings_from: the table that they are read from; ``None``: the backed up table, as far as the backup does
        not hold them itself
    :param run_started: when the run started: an older restore is taken over with a warning
    :param own_since: a restore of this backup made since then is one that an earlier try has made; ``None``: there is
        no earlier try
    :param deadline: when to give up
    """

    context: ErrorContext
    arn: BackupArn
    target: str
    if_exists: IfTargetExists
    overrides: Overrides
    settings: tuple[str, ...]
    more_tags: Mapping[str, str]
    settings_from: str | None
    run_started: datetime
    own_since: datetime | None
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """The settings that were read before a restore.

    :param arn: the ARN of the table that they are of
    :param values: the value of each, plain JSON; one that is not there could not be known
    """

    arn: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return them as plain JSON values."""
        return {"arn": self.arn, "values": dict(self.values)}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> SourceSettings:
        """Read what :meth:`as_dict` has returned.

        :raises KeyError: something is missing
        :raises TypeError: it is something else
        :raises ValueError: it is something else
        """
        return cls(str(known["arn"]), dict(known["values"]))
