"""Backups, policies and prunes for the tests of retention."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from airflow_ddb_backup.models import Backup, BackupArn
from airflow_ddb_backup.operators.dynamodb import DynamoDBPruneBackupsOperator
from airflow_ddb_backup.retention.policy import KEEP_COUNTS, RetentionPolicy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.control_plane import ControlPlane


DAY = 86_400
#: bytes of each backup that the simulator makes
SIZE = 123
FOR_EVER = 10_000
#: what a prune by tags needs, but for the deletion itself
DELETING = [
    "dynamodb:DescribeBackup",
    "dynamodb:DescribeTable",
    "dynamodb:ListBackups",
    "dynamodb:ListTables",
    "dynamodb:ListTagsOfResource",
    "tag:GetResources",
]
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
INSTANT = timedelta(microseconds=1)
SPANS = st.one_of(st.none(), st.timedeltas(INSTANT, timedelta(days=800)))
POLICIES = st.builds(
    RetentionPolicy,
    **dict.fromkeys((*KEEP_COUNTS, "minimum_redundancy"), st.integers(0, 5)),
    keep_within=SPANS,
    older_than=SPANS,
    keep_names=st.sampled_from([(), ("release-*",)]),
    timezone=st.sampled_from([UTC, BERLIN, ZoneInfo("Pacific/Auckland")]),
)


def backup(
    created_at: datetime, name: str = "nightly-1", table: str = "orders", number: int = 0, **others: Any
) -> Backup:
    """Return a backup, as a listing has it; ``number`` tells apart what was made at the same time."""
    milliseconds = int(created_at.timestamp() * 1000)
    arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}/backup/{milliseconds:014}-{number:08x}"
    found = Backup(BackupArn.parse(arn), name, "AVAILABLE", 0, created_at.astimezone(UTC), "the table", "USER")
    return replace(found, **others)


def nightly(plane: ControlPlane, days: int, table: str = "orders", name: str = "nightly-1") -> list[str]:
    """Add a backup of each of the last days; return their ARNs, the oldest first."""
    return [plane.add_backups(table, 1, name, age=DAY * day)[0] for day in range(days, 0, -1)]


def created(plane: ControlPlane, *tables: str) -> tuple[str, ...]:
    """Create tables; return their names."""
    for table in tables:
        plane.create_table(table)
    return tables


def operator(**settings: Any) -> DynamoDBPruneBackupsOperator:
    """Return an operator that prunes ``orders``."""
    defaults: dict[str, Any] = {"task_id": "prune", "table_names": ["orders"], "backup_name_prefix": "nightly-"}
    return DynamoDBPruneBackupsOperator(**defaults | settings)


def prune(context: Context, **settings: Any) -> dict[str, Any]:
    """Prune ``orders``."""
    return operator(**settings).execute(context)
