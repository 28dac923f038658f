"""Tables, their backups and checks for the tests of coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupCoverageOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.control_plane import ControlPlane

HOUR = 3600
#: bytes of each backup that the simulator makes
SIZE = 123


def covered(plane: ControlPlane, table: str, *hours: float, **settings: Any) -> list[str]:
    """Add a backup of each of these ages to a table, which is created if it is missing; return their ARNs."""
    if table not in plane.client().list_tables()["TableNames"]:
        plane.create_table(table)
    return [plane.add_backups(table, 1, age=HOUR * age, **settings)[0] for age in hours]


def operator(**settings: Any) -> DynamoDBBackupCoverageOperator:
    """Return an operator that checks all tables."""
    return DynamoDBBackupCoverageOperator(**{"task_id": "check", **settings})


def check(context: Context, **settings: Any) -> dict[str, Any]:
    """Check all tables."""
    return operator(**settings).execute(context)


def statuses(report: dict[str, Any]) -> dict[str, str]:
    """Return the status of each table of a report."""
    return {row["table_name"]: row["status"] for row in report["tables"]}
