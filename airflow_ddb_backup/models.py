"""Tables, backups and their ARNs. No I/O.

Users' values are checked against AWS's documented rules. Responses are taken as they come: the package relies on
``arn:PARTITION:dynamodb:REGION:ACCOUNT:table/TABLE/backup/ID`` and on nothing about the ID, and a status that it does
not know is kept as it is. A response without the members that it relies on raises ``KeyError``, ``TypeError``,
``ValueError`` or ``AttributeError``, which the hook maps to an ambiguous outcome.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from airflow_ddb_backup.exceptions import ErrorContext, InvalidValueError, RecoveryPointError
from airflow_ddb_backup.limits import LONGEST_ARN

if TYPE_CHECKING:
    from collections.abc import Mapping

# Lengths and characters: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateBackup.html
_ARN_HEAD = r"arn:(?P<partition>[a-z0-9-]+):dynamodb:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):table/"
TABLE_ARN = re.compile(_ARN_HEAD + r"(?P<table>[a-zA-Z0-9_.-]{3,255})")
_BACKUP_ARN = re.compile(_ARN_HEAD + r"(?P<table>[^/\s]+)/backup/(?P<id>[^/\s]+)")
_RECOVERY_POINT = re.compile(r"arn:[a-z0-9-]+:backup:\S+")
# Observed IDs: 0, 13 digits with the milliseconds since 1970, a hyphen and 8 hexadecimal digits. AWS documents none.
# Other first digits would be times before 2001 or after 2065.
_KNOWN_ID = re.compile(r"0(?P<ms>[12]\d{12})-[0-9a-f]{8}")
#: the members of a description that list indexes; vector indexes need botocore 1.43
INDEX_KINDS = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes", "VectorIndexes")
#: the statuses of a feature that is on, or on its way
ENABLED = frozenset({"ENABLED", "ENABLING"})
# The types of backups that somebody has made, by DynamoDB or by AWS Backup; a system backup is of a table that is gone.
_MADE = frozenset({"USER", "AWS_BACKUP"})
_T = TypeVar("_T")


class BackupStatus(StrEnum):
    """The statuses of a backup that AWS documents."""

    CREATING = "CREATING"
    AVAILABLE = "AVAILABLE"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class BackupArn:
    """The parts of a backup's ARN.

    :param text: the ARN as AWS gave it
    :param partition: ``aws``, ``aws-cn``, ``aws-us-gov``, …
    :param region: the region of table and backup
    :param account: the account, 12 digits
    :param table_name: the name of the backed up table
    """

    text: str
    partition: str
    region: str
    account: str
    table_name: str

    @classmethod
    def parse(cls, value: object, parameter: str = "backup_arn") -> Self:
        """Return the parts of an ARN that a user wrote.

        :param value: the ARN of an on-demand backup
        :param parameter: the name of the parameter
        :raises RecoveryPointError: it is that of a recovery point of AWS Backup
        :raises InvalidValueError: it is not one
        """
        if isinstance(value, str) and _RECOVERY_POINT.fullmatch(value):
            raise RecoveryPointError.about(ErrorContext(backup=value))
        try:
            return cls.from_response(value)
        except ValueError:
            rule = "arn:PARTITION:dynamodb:REGION:ACCOUNT:table/TABLE/backup/ID, the ARN of an on-demand backup"
            raise InvalidValueError.of(parameter, value, rule, text=True) from None

    @classmethod
    def from_response(cls, value: object) -> Self:
        """Return the parts of an ARN in a response.

        :param value: the ARN of an on-demand backup
        :raises ValueError: it is not one
        """
        match = _BACKUP_ARN.fullmatch(value) if isinstance(value, str) and len(value) <= LONGEST_ARN else None
        # No character that a terminal or a log viewer would obey.
        if match is None or not match.string.isprintable():
            message = f"not the ARN of a backup: {value!r}"
            raise ValueError(message)
        return cls(match.string, match["partition"], match["region"], match["account"], match["table"])

    @property
    def created_hint(self) -> datetime | None:
        """When the backup was requested, as far as a known ID tells; ``None``: it does not."""
        known = _KNOWN_ID.fullmatch(self.text.rpartition("/")[2])
        return datetime.fromtimestamp(int(known["ms"]) / 1000, tz=UTC) if known else None

    @property
    def table_arn(self) -> str:
        """The ARN of the backed up table."""
        return self.text.partition("/backup/")[0]

    @property
    def context(self) -> ErrorContext:
        """The table, backup and region, for messages."""
        return ErrorContext(self.table_name, self.text, self.region)


class TableStatus(StrEnum):
    """The statuses of a table, and of an index, that the package goes by."""

    ACTIVE = "ACTIVE"
    CREATING = "CREATING"
    UPDATING = "UPDATING"
    DELETING = "DELETING"


@dataclass(frozen=True, slots=True)
class RestoreSummary:
    """What a table says of the restore that has made it.

    :param backup_arn: the ARN of the backup; ``None``: the table was restored to a point in time
    :param in_progress: whether the restore is still running
    :param table_arn: the ARN of the table whose earlier state it is; ``None``: not in the response
    :param moment: the point in time, or when the backup was made; ``None``: not in the response
    """

    backup_arn: str | None
    in_progress: bool
    table_arn: str | None = None
    moment: datetime | None = None

    @classmethod
    def from_response(cls, summary: Mapping[str, Any] | None) -> Self | None:
        """Read the ``RestoreSummary`` of a table; ``None``: no restore has made it."""
        if not summary:
            return None
        moment = summary.get("RestoreDateTime")
        return cls(
            backup_arn=summary.get("SourceBackupArn"),
            in_progress=summary["RestoreInProgress"],
            table_arn=summary.get("SourceTableArn"),
            moment=moment.astimezone(UTC) if moment else None,
        )

    def __str__(self) -> str:
        if self.backup_arn:
            return f"from backup {self.backup_arn!r}"
        return f"to a point in time, table {self.table_arn!r} at {self.moment and self.moment.isoformat()}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table as DescribeTable returns it.

    :param name: the name, also where the request had the ARN
    :param arn: the ARN
    :param table_id: tells a table from an earlier one of the same name; ``None``: not in the response
    :param status: ``ACTIVE``, ``UPDATING``, …
    :param created_at: when the table was created, by AWS's clock
    :param restore: the restore that has made it; ``None``: none has
    :param indexes: the statuses of its global secondary indexes
    :param size_bytes: its size when AWS last counted it, about every six hours; 0: it has not yet, or it is empty
    """

    name: str
    arn: str
    table_id: str | None
    status: str
    created_at: datetime
    restore: RestoreSummary | None = None
    indexes: tuple[str, ...] = ()
    size_bytes: int = 0

    @classmethod
    def from_response(cls, response: Mapping[str, Any]) -> Self:
        """Read a DescribeTable response."""
        table = response["Table"]
        return cls(
            name=_readable(table["TableName"]),
            arn=_readable(table["TableArn"]),
            table_id=_readable(table["TableId"]) if table.get("TableId") else None,
            status=_readable(table["TableStatus"]),
            created_at=table["CreationDateTime"].astimezone(UTC),
            restore=RestoreSummary.from_response(table.get("RestoreSummary")),
            indexes=tuple(
                _readable(index.get("IndexStatus", TableStatus.ACTIVE))
                for kind in INDEX_KINDS
                for index in table.get(kind) or ()
            ),
            size_bytes=table.get("TableSizeBytes") or 0,
        )

    @classmethod
    def from_restore(cls, response: Mapping[str, Any]) -> Self:
        """Read the response that starts a restore. One that does not tell of a restore is not AWS's."""
        _ = response["TableDescription"]["RestoreSummary"]
        return cls.from_response({"Table": response["TableDescription"]})

    @property
    def account(self) -> str:
        """The AWS account."""
        return self.arn.split(":")[4]

    @property
    def is_complete(self) -> bool:
        """Whether the table and its indexes are ACTIVE, and no restore is running."""
        active = {self.status, *self.indexes} == {TableStatus.ACTIVE}
        return active and not (self.restore and self.restore.in_progress)


@dataclass(frozen=True, slots=True)
class RestoreSource:
    """What a table is restored from: a backup, or a moment of a table. Plain JSON, since it crosses a deferral.

    :param table_arn: the ARN of the table that is restored
    :param backup_arn: the ARN of the backup; ``None``: continuous backups
    :param moment: the time to restore to, ISO 8601 in UTC, in whole seconds; ``None``: the latest that there is
    :param since: a table of the latest time counts if it was created since then, as above
    :raises ValueError: it is none of these
    """

    table_arn: str
    backup_arn: str | None = None
    moment: str | None = None
    since: str | None = None

    def __post_init__(self) -> None:
        if self.backup_arn is not None:
            known = BackupArn.from_response(self.backup_arn).table_arn == self.table_arn
        else:
            times = [datetime.fromisoformat(text).utcoffset() for text in (self.moment, self.since) if text is not None]
            known = len(times) == 1 and None not in times and bool(TABLE_ARN.fullmatch(self.table_arn))
        if not known:
            message = f"not the source of a restore: {self!r}"
            raise ValueError(message)

    @classmethod
    def of_backup(cls, arn: BackupArn) -> Self:
        """Return the source that is a backup."""
        return cls(arn.table_arn, arn.text)

    @classmethod
    def of_moment(cls, table_arn: str, moment: datetime) -> Self:
        """Return the source that is a table as it was at a time."""
        return cls(table_arn, moment=moment.astimezone(UTC).replace(microsecond=0).isoformat())

    @classmethod
    def of_latest(cls, table_arn: str, since: datetime) -> Self:
        """Return the source that is a table as it was at its latest restorable time.

        :param table_arn: the table's ARN
        :param since: a restore counts if its table was created since then, by AWS's clock
        """
        return cls(table_arn, since=since.astimezone(UTC).isoformat())

    @property
    def partition(self) -> str:
        """The partition."""
        return self.table_arn.split(":")[1]

    @property
    def region(self) -> str:
        """The region of the restored table."""
        return self.table_arn.split(":")[3]

    @property
    def account(self) -> str:
        """The AWS account."""
        return self.table_arn.split(":")[4]

    @property
    def table_name(self) -> str:
        """The name of the restored table."""
        return self.table_arn.rpartition("/")[2]

    @property
    def at(self) -> datetime | None:
        """The time that it is restored to; ``None``: the backup's, or the latest that there is."""
        return datetime.fromisoformat(self.moment) if self.moment is not None else None

    def __str__(self) -> str:
        return f"backup {self.backup_arn!r}" if self.backup_arn else f"point in time {self._point_in_time!r}"

    @property
    def _point_in_time(self) -> str:
        return point_in_time(self.table_name, self.moment)

    def context(self, target: str | None) -> ErrorContext:
        """Return the new table, what it is restored from, and region, for messages.

        :param target: the new table; ``None``: not known
        """
        return ErrorContext(target, self.backup_arn, self.region, None if self.backup_arn else self._point_in_time)

    def made(self, table: Table) -> bool:
        """Return whether a table is this restore, as far as its ``RestoreSummary`` tells.

        :param table: the table
        """
        restore = table.restore
        if restore is None or restore.backup_arn != self.backup_arn:
            return False
        if self.backup_arn is not None:
            return True
        if restore.table_arn != self.table_arn:
            return False
        if self.since is not None:
            return table.created_at >= datetime.fromisoformat(self.since)
        return restore.moment is not None and restore.moment.replace(microsecond=0) == self.at


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup as AWS last returned it.

    :param arn: the ARN
    :param name: the name; not unique
    :param status: a :class:`BackupStatus`, or a status that AWS has added since
    :param size_bytes: the size in bytes; AWS fills it in hours later, 0 is normal
    :param created_at: when it was requested, by AWS's clock
    :param table_id: the very table that was backed up; ``None``: not in the response
    :param kind: ``USER``, ``SYSTEM`` or ``AWS_BACKUP``; ``None``: not in the response
    :param source: ``SourceTableFeatureDetails``, in AWS's shape; ``None``: only DescribeBackup tells
    :param table: ``SourceTableDetails``, likewise
    """

    arn: BackupArn
    name: str
    status: str
    size_bytes: int
    created_at: datetime
    table_id: str | None = None
    kind: str | None = None
    source: Mapping[str, Any] | None = field(default=None, compare=False)
    table: Mapping[str, Any] | None = field(default=None, compare=False)

    @classmethod
    def from_details(
        cls,
        details: Mapping[str, Any],
        table: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read the ``BackupDetails`` of CreateBackup and DescribeBackup, or a summary of ListBackups.

        :param details: that part of the response
        :param table: the table that was backed up, where the response tells of it
        :param source: its features, likewise
        """
        return cls(
            arn=BackupArn.from_response(details["BackupArn"]),
            name=_readable(details["BackupName"]),
            status=_readable(details["BackupStatus"]),
            size_bytes=details.get("BackupSizeBytes") or 0,
            created_at=details["BackupCreationDateTime"].astimezone(UTC),
            table_id=details.get("TableId", (table or {}).get("TableId")),
            kind=details.get("BackupType"),
            source=source,
            table=table,
        )

    def order(self) -> tuple[datetime, str]:
        """Return what sorts backups, the oldest first."""
        # The ARN decides between two of the same millisecond: every try decides alike.
        return self.created_at, self.arn.text

    @classmethod
    def from_creation(cls, response: Mapping[str, Any]) -> Self:
        """Read a CreateBackup response."""
        return cls.from_details(response["BackupDetails"])

    @classmethod
    def from_description(cls, response: Mapping[str, Any]) -> Self:
        """Read a DescribeBackup or DeleteBackup response."""
        description = response["BackupDescription"]
        table, source = description.get("SourceTableDetails"), description.get("SourceTableFeatureDetails")
        return cls.from_details(description["BackupDetails"], table, source)

    @property
    def indexes(self) -> dict[str, tuple[Mapping[str, Any], ...]]:
        """The table's indexes of each of ``INDEX_KINDS``, in AWS's shape."""
        return {kind: tuple((self.source or {}).get(kind) or ()) for kind in INDEX_KINDS}

    @property
    def largest_size(self) -> int:
        """The larger of the backup's size and its table's, in bytes; 0: neither is known yet."""
        return max(self.size_bytes, (self.table or {}).get("TableSizeBytes") or 0)

    @property
    def features(self) -> dict[str, str | None]:
        """The settings that a backup holds, by the names that users give them; empty: the response does not tell.

        They are ``ttl``, the attribute, and ``stream``, the view type; ``None``: it is off.
        """
        if self.source is None:
            return {}
        return {
            "ttl": ttl_attribute(self.source.get("TimeToLiveDescription") or {}),
            "stream": stream_view(self.source.get("StreamDescription") or {}),
        }

    def is_of(self, table: Table) -> bool:
        """Return whether it is of this very table, and not of an earlier one of the same name.

        :param table: the table
        """
        if self.table_id and table.table_id:
            return self.table_id == table.table_id
        return self.created_at >= table.created_at

    def protects(self, table: Table) -> bool:
        """Return whether this very table can be restored from it, whoever has made it.

        :param table: the table
        """
        return self.status == BackupStatus.AVAILABLE and self.kind in _MADE and self.is_of(table)

    def as_dict(self) -> dict[str, Any]:
        """Return the details as plain JSON values, as sensor and trigger return them."""
        return {
            "backup_arn": self.arn.text,
            "backup_name": self.name,
            "table_name": self.arn.table_name,
            "status": self.status,
            "size_bytes": self.size_bytes,
            "created_at": self.created_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class TableBackups:
    """A table and the backups of its name, as two responses tell.

    :param table: the table
    :param backups: the backups, of an earlier table of the name too
    :param at: when they were listed, by AWS's clock
    """

    table: Table
    backups: tuple[Backup, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """A page of a listing.

    :param items: what is on it; a page may be empty and yet not the last
    :param cursor: where the next page starts; ``None``: this is the last
    """

    items: tuple[_T, ...]
    cursor: str | None


def _readable(value: object) -> str:
    """Return a name or a status in a response. One that a log would obey is not AWS's.

    :raises ValueError: it is none
    """
    if not isinstance(value, str) or not value.isprintable():
        message = f"not a name or a status: {value!r}"
        raise ValueError(message)
    return str(value)


def point_in_time(table: object, moment: object) -> str:
    """Return a table and the time that it is restored to, for messages; without one it is the latest."""
    return f"{table} at {moment or 'the latest restorable time'}"


def ttl_attribute(described: Mapping[str, Any]) -> str | None:
    """Return time to live's attribute; ``None``: it is off."""
    return described.get("AttributeName") if described.get("TimeToLiveStatus") in ENABLED else None


def stream_view(described: Mapping[str, Any]) -> str | None:
    """Return the view type of a stream; ``None``: there is none."""
    return described.get("StreamViewType") if described.get("StreamEnabled") else None


def read_backup_page(response: Mapping[str, Any]) -> Page[Backup]:
    """Read a ListBackups response. A response without summaries is not AWS's: it does not mean "no backups"."""
    summaries = response["BackupSummaries"]
    # Skip AWS Backup recovery points, which have other ARNs.
    backups = tuple(Backup.from_details(one) for one in summaries if _BACKUP_ARN.fullmatch(one["BackupArn"]))
    return Page(backups, response.get("LastEvaluatedBackupArn"))


def read_table_page(response: Mapping[str, Any]) -> Page[str]:
    """Read the names in a ListTables response. A response without names is not AWS's: it does not mean "no tables"."""
    return Page(tuple(map(_readable, response["TableNames"])), response.get("LastEvaluatedTableName"))


def read_count_page(response: Mapping[str, Any]) -> Page[int]:
    """Read a Scan response that counts. A cursor is a key, whose values are texts or bytes."""
    key = response.get("LastEvaluatedKey")
    return Page((int(response["Count"]),), repr(key) if key else None)


def read_tagged_page(response: Mapping[str, Any]) -> Page[str]:
    """Read the tables' names in a GetResources response, whose last page has an empty token or none."""
    matches = (TABLE_ARN.fullmatch(found["ResourceARN"]) for found in response["ResourceTagMappingList"])
    return Page(tuple(match["table"] for match in matches if match), response.get("PaginationToken") or None)


def read_tag_page(response: Mapping[str, Any]) -> Page[tuple[str, str]]:
    """Read the keys and values in a ListTagsOfResource response."""
    return Page(tuple((tag["Key"], tag["Value"]) for tag in response["Tags"]), response.get("NextToken"))
