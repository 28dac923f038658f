"""The restore that a task asks for, what RestoreTableFromBackup is sent for it, and the settings to put back. No I/O.

Each is a value that checks itself. A templated field that is not rendered yet is :data:`~.parameters.LATER`, which
passes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.exceptions import ErrorContext, InvalidValueError
from airflow_ddb_backup.limits import (
    LONGEST_RESTORE_TIMEOUT,
    LONGEST_TAG_KEY,
    LONGEST_TAG_VALUE,
    MOST_TAGS,
    SCHEDULER_CLOCK_TOLERANCE,
)
from airflow_ddb_backup.models import TABLE_ARN, RestoreSource, point_in_time
from airflow_ddb_backup.parameters import (
    check_choice,
    check_flag,
    check_interval,
    check_moment,
    check_name,
    check_structure,
    check_table,
    check_texts,
    check_timeout,
    set_checked,
)
from airflow_ddb_backup.restoring.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime


#: the names of all settings, and of those that are put back unless a task says otherwise
SETTING_NAMES = tuple(setting.name for setting in SETTINGS)
# Time to live deletes data, so it must be named.
_ALL_SETTINGS = tuple(name for name in SETTING_NAMES if name != "ttl")
DEFAULT_SETTINGS = ("tags", "table_class", "point_in_time_recovery", "deletion_protection")
ALL = "all"
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_RestoreTableFromBackup.html
_CAPACITY_UNITS = ("ReadCapacityUnits", "WriteCapacityUnits")
_REQUEST_UNITS = ("MaxReadRequestUnits", "MaxWriteRequestUnits")
_UNITS = "ProvisionedThroughput"
# What every kind of index has, and vector indexes beside it.
_INDEX_MEMBERS = ("IndexName", "KeySchema", "VectorAttribute", "SearchSchema", "Dimensions", "DistanceFunction")
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_SSESpecification.html
_MANAGED_KEY = "alias/aws/dynamodb"
_OWNED_KEY = "AWS_OWNED_KMS_KEY"
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Tag.html
_TAG_KEY = re.compile(rf"(?!(?i:aws:))[\w\s+\-=.:/@]{{1,{LONGEST_TAG_KEY}}}")
_TAG_VALUE = re.compile(rf"[\w\s+\-=.:/@]{{0,{LONGEST_TAG_VALUE}}}")


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
    """The properties that the new table is to have of its own; those left out are the source's.

    :param billing_mode: how it is billed
    :param provisioned_throughput: read and write capacity units, in AWS's shape
    :param on_demand_throughput: the most read and write request units, in AWS's shape
    :param kms_key_id: the KMS key that encrypts it; ``"alias/aws/dynamodb"``: AWS's managed key;
        ``"AWS_OWNED_KMS_KEY"``: the one that AWS owns
    :param exclude_indexes: the names of the global, local or vector indexes that are not restored, or ``"all"``
    :raises InvalidValueError: a value is wrong, or does not go with another
    """

    billing_mode: str | None = None
    provisioned_throughput: Mapping[str, int] | None = None
    on_demand_throughput: Mapping[str, int] | None = None
    kms_key_id: str | None = None
    exclude_indexes: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.billing_mode is not None:
            check_choice("billing_mode", self.billing_mode, BillingMode)
        provisioned = check_structure("provisioned_throughput", self.provisioned_throughput, _CAPACITY_UNITS)
        on_demand = check_structure(
            "on_demand_throughput", self.on_demand_throughput, _REQUEST_UNITS, all_keys=False, unlimited=True
        )
        if provisioned and (on_demand or self.billing_mode == BillingMode.PAY_PER_REQUEST):
            raise InvalidValueError.of("provisioned_throughput", provisioned, "None for a table that is on demand")
        if on_demand and self.billing_mode == BillingMode.PROVISIONED:
            raise InvalidValueError.of("on_demand_throughput", on_demand, "None for a table that is provisioned")
        key = self.kms_key_id
        if key is not None and not (isinstance(key, str) and key.strip() == key and key):
            rule = f"the ID, ARN or alias of a KMS key, {_OWNED_KEY!r}, or None"
            raise InvalidValueError.of("kms_key_id", key, rule, text=True)
        if self.exclude_indexes != ALL:
            rule = "'all', or a list of names of indexes"
            check_texts("exclude_indexes", self.exclude_indexes, rule, lambda name: check_name("exclude_indexes", name))

    def arguments(self, indexes: Mapping[str, Sequence[Mapping[str, Any]]] | None) -> dict[str, Any]:
        """Return the arguments of the call that restores; none of them is an empty structure.

        :param indexes: those of the source, of each of :data:`~.models.INDEX_KINDS`, in AWS's shape; ``None``: no
            response has told
        :raises InvalidValueError: the source has no index of a name in ``exclude_indexes``
        """
        given = {
            "BillingModeOverride": self.billing_mode,
            "ProvisionedThroughputOverride": self.provisioned_throughput,
            "OnDemandThroughputOverride": self.on_demand_throughput,
            "SSESpecificationOverride": self._encryption(),
        }
        arguments = {
            name: dict(value) if isinstance(value, Mapping) else value for name, value in given.items() if value
        }
        return arguments | self._indexes(indexes)

    def _encryption(self) -> dict[str, Any]:
        if self.kms_key_id is None:
            return {}
        if self.kms_key_id == _OWNED_KEY:
            return {"Enabled": False}
        # AWS takes its managed key as KMS without a key.
        key = {} if self.kms_key_id == _MANAGED_KEY else {"KMSMasterKeyId": self.kms_key_id}
        return {"Enabled": True, "SSEType": "KMS", **key}

    def _indexes(self, by_kind: Mapping[str, Sequence[Mapping[str, Any]]] | None) -> dict[str, list[dict[str, Any]]]:
        if self.exclude_indexes == ALL and by_kind is None:
            return {"GlobalSecondaryIndexOverride": [], "LocalSecondaryIndexOverride": []}
        by_kind = by_kind or {}
        known = [str(index["IndexName"]) for indexes in by_kind.values() for index in indexes]
        excluded = set(known) if self.exclude_indexes == ALL else set(self.exclude_indexes)
        if unknown := sorted(excluded.difference(known)):
            rule = f"'all', or names of the source's indexes, which are {known}"
            raise InvalidValueError.of("exclude_indexes", unknown, rule)
        lists: dict[str, list[dict[str, Any]]] = {}
        for kind, indexes in by_kind.items():
            kept = [index for index in indexes if index["IndexName"] not in excluded]
            if kept and kind == "VectorIndexes" and self.billing_mode == BillingMode.PROVISIONED:
                names = [index["IndexName"] for index in kept]
                rule = f"another than 'PROVISIONED', or exclude_indexes have the vector indexes, which are {names}"
                raise InvalidValueError.of("billing_mode", self.billing_mode, rule)
            shaped = [self._index(index, kind) for index in kept]
            # A list keeps only those that it names, so it is sent only where one of them is left out, or needs a
            # throughput that the source does not have (as CreateTable does; inferred for restores).
            lacks = [new for new, old in zip(shaped, kept, strict=True) if _UNITS in new and not _recorded(old)]
            if lacks or len(kept) < len(indexes):
                lists[f"{kind.removesuffix('es')}Override"] = shaped
        return lists

    def _index(self, index: Mapping[str, Any], kind: str) -> dict[str, Any]:
        kept = {name: index[name] for name in _INDEX_MEMBERS if index.get(name)}
        kept["Projection"] = {name: value for name, value in index["Projection"].items() if value}
        if kind != "GlobalSecondaryIndexes":
            return kept
        if self.billing_mode != BillingMode.PAY_PER_REQUEST:
            asked = self.provisioned_throughput if self.billing_mode == BillingMode.PROVISIONED else None
            if throughput := _recorded(index) or dict(asked or {}):
                kept[_UNITS] = throughput
        if self.billing_mode != BillingMode.PROVISIONED and index.get("OnDemandThroughput"):
            kept["OnDemandThroughput"] = dict(index["OnDemandThroughput"])
        return kept


def _recorded(index: Mapping[str, Any]) -> dict[str, int]:
    """Return the capacity that the source has of an index; one that was on demand has 0, which can't be sent."""
    recorded = index.get(_UNITS) or {}
    return {name: recorded[name] for name in _CAPACITY_UNITS} if all(map(recorded.get, _CAPACITY_UNITS)) else {}


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """The restore that a task asks for.

    :param source: what it is restored from
    :param target_table_name: the name of the new table
    :param if_exists: what to do when there is a table of that name
    :param overrides: what the new table is to have of its own
    :param settings: the names of the settings to put back, or ``"all"``, which is all but ``ttl``
    :param settings_from: the table that they are read from; ``None``: the backed up table, as far as the backup does
        not hold them itself
    :param tags: tags that the new table gets beside those of ``settings``; ``None``: none
    :param wait_for_completion: wait until the table is complete; what is put back needs it
    :param poll_interval: seconds between polls
    :param timeout: seconds from the start of the task until the table is complete
    :raises InvalidValueError: a value is wrong, or does not go with another
    """

    source: RestoreSource
    target_table_name: str
    if_exists: str
    overrides: Overrides
    settings: Collection[str]
    settings_from: str | None
    tags: Mapping[str, str] | None
    wait_for_completion: bool
    poll_interval: float
    timeout: float

    def __post_init__(self) -> None:
        check_name("target_table_name", self.target_table_name)
        check_choice("if_exists", self.if_exists, IfTargetExists)
        if self.settings_from is not None:
            check_name("settings_from", self.settings_from)
            if self.settings_from == self.target_table_name:
                raise InvalidValueError.of("settings_from", self.settings_from, "another table than target_table_name")
        checked = {
            "settings": setting_names(self.settings),
            "tags": _check_tags(self.tags),
            "poll_interval": check_interval("poll_interval", self.poll_interval),
            "timeout": check_timeout(self.timeout, LONGEST_RESTORE_TIMEOUT),
        }
        set_checked(self, **checked)
        if not self.wait_for_completion and (self.settings or self.tags):
            rule = "() with wait_for_completion=False, and tags None: they are put back once the table is ACTIVE"
            raise InvalidValueError.of("settings", self.settings, rule)


def setting_names(value: object) -> tuple[str, ...]:
    """Return the names of the settings that a task asks for.

    :param value: a list of them, or ``"all"``
    :raises InvalidValueError: it is neither
    """
    rule = f"'all' (but 'ttl'), or a list of {', '.join(map(repr, SETTING_NAMES))}"
    return check_texts("settings", _ALL_SETTINGS if value == ALL else value, rule, SETTING_NAMES.__contains__)


def _check_tags(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    rule = (
        f"a dict of 1 to {MOST_TAGS} keys (1 to {LONGEST_TAG_KEY} characters, not beginning with aws:) with values (up "
        f"to {LONGEST_TAG_VALUE}), of letters, digits, white space and + - = . _ : / @"
    )

    if (
        isinstance(value, Mapping)
        and 0 < len(value) <= MOST_TAGS
        and all(isinstance(one, str) for pair in value.items() for one in pair)
        and all(_TAG_KEY.fullmatch(key) and _TAG_VALUE.fullmatch(text) for key, text in value.items())
    ):
        return dict(value)
    raise InvalidValueError.of("tags", value, rule)


@dataclass(frozen=True, slots=True)
class MomentRequest:
    """The moment of a table that a task asks for.

    :param source_table_name: the table's name or ARN
    :param restore_date_time: the time to restore to; made UTC, whole seconds, of what the user wrote
    :param use_latest_restorable_time: the latest time that there is, in place of it
    :raises InvalidValueError: a value is wrong, or both or neither time is given
    """

    source_table_name: str
    restore_date_time: datetime | None
    use_latest_restorable_time: bool

    def __post_init__(self) -> None:
        check_table("source_table_name", self.source_table_name)
        latest = check_flag("use_latest_restorable_time", self.use_latest_restorable_time)
        if latest == (self.restore_date_time is not None):
            rule = "a time, or None with use_latest_restorable_time=True: exactly one of the two"
            raise InvalidValueError.of("restore_date_time", self.restore_date_time, rule)
        if self.restore_date_time is not None:
            set_checked(self, restore_date_time=check_moment("restore_date_time", self.restore_date_time))

    def context(self, target: str) -> ErrorContext:
        """Return the new table and what it is restored from, for messages.

        :param target: the new table's name
        """
        moment = self.restore_date_time and self.restore_date_time.isoformat()
        return ErrorContext(target, point_in_time=point_in_time(self.table_name, moment))

    @property
    def table_name(self) -> str:
        """The table's name."""
        return self.source_table_name.rpartition("/")[2]

    @property
    def arn(self) -> str | None:
        """The table's ARN; ``None``: the task gives its name."""
        return self.source_table_name if TABLE_ARN.fullmatch(self.source_table_name) else None

    def source(self, table_arn: str, since: datetime) -> RestoreSource:
        """Return it as what a table is restored from.

        :param table_arn: the table's ARN
        :param since: when the run last started, by the scheduler's clock: the latest time is then or later
        """
        if self.restore_date_time is None:
            return RestoreSource.of_latest(table_arn, since - SCHEDULER_CLOCK_TOLERANCE)
        return RestoreSource.of_moment(table_arn, self.restore_date_time)


@dataclass(frozen=True, slots=True)
class SettingsRequest:
    """The settings that a restored table is to get, as they were read before the restore. It crosses a deferral.

    :param source: what the table is restored from
    :param target: the table's name
    :param values: the value of each, plain JSON, with the tags that the task adds
    :param unavailable: the names of those that could not be known
    :raises InvalidValueError: a table can't have that many tags
    """

    source: RestoreSource
    target: str
    values: Mapping[str, Any] = field(default_factory=dict)
    unavailable: Collection[str] = ()

    def __post_init__(self) -> None:
        check_name("target_table_name", self.target)
        if len(tags := self.values.get("tags") or {}) > MOST_TAGS:
            rule = f"so few that the table has at most {MOST_TAGS} with those of the backed up table"
            raise InvalidValueError.of("tags", tags, rule)

    @property
    def context(self) -> ErrorContext:
        """The new table, what it is restored from, and region, for messages."""
        return self.source.context(self.target)

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> SettingsRequest:
        """Read plain JSON values, as :func:`dataclasses.asdict` returns them.

        :raises KeyError: something is missing
        :raises TypeError: it is something else
        :raises ValueError: it is something else
        """
        return cls(**{**known, "source": RestoreSource(**known["source"]), "values": dict(known["values"])})
