"""The domain, pure: tables, backups, their ARNs and their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from json import dumps
from typing import TYPE_CHECKING, Any, Self

from airflow_ddb_backup.errors import InvalidValueError, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping

# Lengths and characters: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateBackup.html
_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_BACKUP_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_ARN_HEAD = r"arn:(?P<partition>aws[a-z-]*):dynamodb:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):"
_TABLE_ARN = re.compile(_ARN_HEAD + r"table/(?P<table>[a-zA-Z0-9_.-]{3,255})")
_BACKUP_ARN = re.compile(_TABLE_ARN.pattern + r"/backup/0(?P<ms>\d{13})-[0-9a-f]{8}")
_LONGEST_TABLE = 1024
_LONGEST_BACKUP_NAME = 255
# ListBackups may be behind by some seconds: what it has not shown for so long was not made.
LISTING_LAG = 10.0
# 64 bits: two of a million names of one account collide with a chance of 3 in 100 million.
_DIGEST_LENGTH = 16


class BackupStatus(StrEnum):
    """What DescribeBackup and ListBackups say of a backup."""

    CREATING = "CREATING"
    AVAILABLE = "AVAILABLE"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class BackupArn:
    """A backup's ARN, taken apart.

    :param text: the ARN as AWS gave it
    :param partition: ``aws``, ``aws-cn`` or ``aws-us-gov``
    :param region: the region of table and backup
    :param account: the 12-digit account
    :param table_name: the backed up table
    :param created_at: when the backup was requested; the ARN holds it in milliseconds
    """

    text: str
    partition: str
    region: str
    account: str
    table_name: str
    created_at: datetime

    @classmethod
    def parse(cls, text: object) -> Self:
        """Take an ARN apart.

        :param text: what should be a backup's ARN
        :raises InvalidValueError: it is none
        """
        match = _BACKUP_ARN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            rule = "arn:PARTITION:dynamodb:REGION:ACCOUNT:table/TABLE/backup/ID, the ARN of an on-demand backup"
            raise InvalidValueError.of("backup_arn", text, rule)
        created_at = datetime.fromtimestamp(int(match["ms"]) / 1000, tz=UTC)
        return cls(match[0], match["partition"], match["region"], match["account"], match["table"], created_at)

    @property
    def table_arn(self) -> str:
        """The ARN of the backed up table."""
        return self.text.partition("/backup/")[0]

    @property
    def subject(self) -> Subject:
        """What failures are about."""
        return Subject(self.table_name, self.text, self.region)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as DescribeTable tells.

    :param name: the name, also where it was asked for by ARN
    :param arn: the ARN
    :param table_id: tells a table from an earlier one of the same name; ``None`` where AWS did not say
    :param status: ``ACTIVE``, ``UPDATING``, …
    :param created_at: when the table was made
    """

    name: str
    arn: str
    table_id: str | None
    status: str
    created_at: datetime

    @classmethod
    def from_aws(cls, table: Mapping[str, Any]) -> Self:
        """Read the ``Table`` of a DescribeTable response."""
        return cls(
            name=table["TableName"],
            arn=table["TableArn"],
            table_id=table.get("TableId"),
            status=table["TableStatus"],
            created_at=table["CreationDateTime"].astimezone(UTC),
        )


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup as AWS last told of it.

    :param arn: the ARN
    :param name: the name; not unique
    :param status: the status
    :param size_bytes: the size; AWS fills it in hours later, 0 is normal
    :param created_at: when it was requested
    :param table_id: the very table that was backed up; ``None`` where AWS did not say
    """

    arn: BackupArn
    name: str
    status: BackupStatus
    size_bytes: int
    created_at: datetime
    table_id: str | None = None

    @classmethod
    def from_aws(cls, details: Mapping[str, Any], table_id: str | None = None) -> Self:
        """Read ``BackupDetails`` of CreateBackup and DescribeBackup, or a summary of ListBackups.

        :param details: that part of the response
        :param table_id: the table, where the response tells it elsewhere
        """
        return cls(
            arn=BackupArn.parse(details["BackupArn"]),
            name=details["BackupName"],
            status=BackupStatus(details["BackupStatus"]),
            size_bytes=details.get("BackupSizeBytes", 0),
            created_at=details["BackupCreationDateTime"].astimezone(UTC),
            table_id=details.get("TableId", table_id),
        )

    @classmethod
    def from_description(cls, response: Mapping[str, Any]) -> Self:
        """Read a DescribeBackup response."""
        description = response["BackupDescription"]
        return cls.from_aws(description["BackupDetails"], description.get("SourceTableDetails", {}).get("TableId"))

    def as_dict(self) -> dict[str, Any]:
        """Return the details as the sensor and the trigger hand them on: plain JSON values."""
        return {
            "backup_arn": self.arn.text,
            "backup_name": self.name,
            "table_name": self.arn.table_name,
            "status": self.status.value,
            "size_bytes": self.size_bytes,
            "created_at": self.created_at.isoformat(),
        }


def check_table_name(value: object) -> str:
    """Return a table's name or ARN if DynamoDB could know it.

    :param value: 3 to 255 characters of ``[a-zA-Z0-9_.-]``, or an ARN of up to 1024
    :raises InvalidValueError: it is neither
    """
    if isinstance(value, str) and len(value) <= _LONGEST_TABLE:
        pattern = _TABLE_ARN if value.startswith("arn:") else _TABLE_NAME
        if pattern.fullmatch(value):
            return value
    rule = "a table's name, 3 to 255 characters of a-z, A-Z, 0-9, '_', '.' and '-', or its ARN, up to 1024 characters"
    raise InvalidValueError.of("table_name", value, rule)


def table_region(table_name: str) -> str | None:
    """Return the region that a table's ARN names; ``None`` for a plain name."""
    match = _TABLE_ARN.fullmatch(table_name)
    return match["region"] if match else None


def check_backup_name(value: object) -> str:
    """Return a backup's name if CreateBackup would take it.

    :param value: 3 to 255 characters of ``[a-zA-Z0-9_.-]``
    :raises InvalidValueError: it is not
    """
    if isinstance(value, str) and _BACKUP_NAME.fullmatch(value):
        return value
    raise InvalidValueError.of("backup_name", value, "3 to 255 characters of a-z, A-Z, 0-9, '_', '.' and '-'")


def derive_backup_name(dag_id: str, task_id: str, run_id: str, map_index: int) -> str:
    """Name the backup of one task in one run: the same on every try, different for everything else.

    What people read comes first, made legal and cut to length; a digest of the exact values ends it.

    :param map_index: -1 for a task that is not mapped
    """
    parts = [dag_id, task_id, run_id] if map_index < 0 else [dag_id, task_id, run_id, str(map_index)]
    digest = sha256(dumps([dag_id, task_id, run_id, map_index]).encode()).hexdigest()[:_DIGEST_LENGTH]
    readable = re.sub(r"[^a-zA-Z0-9_.-]", "-", ".".join(parts))
    return f"{readable[: _LONGEST_BACKUP_NAME - _DIGEST_LENGTH - 1]}.{digest}"
