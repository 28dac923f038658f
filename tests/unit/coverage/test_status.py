"""What its backups make of a table, without any I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.coverage.status import Coverage, Status
from airflow_ddb_backup.models import Backup, BackupArn, Table

NOW = datetime(2026, 11, 28, 6, tzinfo=UTC)
MAX_AGE = timedelta(hours=26)
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
TABLE = Table("orders", ARN, "present", "ACTIVE", NOW - timedelta(days=9))
BACKUPS = st.lists(
    st.builds(
        lambda hours, status, kind, table_id: backup(hours, status=status, kind=kind, table_id=table_id),
        st.integers(0, 60),
        st.sampled_from(["AVAILABLE", "CREATING", "DELETED"]),
        st.sampled_from(["USER", "AWS_BACKUP", "SYSTEM", None]),
        st.sampled_from(["present", "earlier"]),
    )
)


def backup(hours: float, **settings: Any) -> Backup:
    """Return a backup of this age."""
    arn = BackupArn.parse(f"{ARN}/backup/{hours}")
    known: dict[str, Any] = {"status": "AVAILABLE", "kind": "USER", "table_id": "present", "size_bytes": 7, **settings}
    return Backup(arn=arn, name="nightly", created_at=NOW - timedelta(hours=hours), **known)


def status(*backups: Backup) -> Status:
    """Return what some backups make of the table."""
    return Coverage.of(TABLE, backups).status(NOW, MAX_AGE)


@pytest.mark.parametrize(("hours", "expected"), [(0, "fresh"), (26, "fresh"), (26.001, "late"), (999, "late")])
def test_a_table_is_fresh_up_to_its_age(hours: float, expected: str) -> None:
    """To the second."""
    assert status(backup(hours)) == expected


def test_the_newest_counts() -> None:
    """In any order."""
    assert status(backup(50), backup(1), backup(30)) == "fresh"


@pytest.mark.parametrize(
    "other",
    [{"kind": "SYSTEM"}, {"kind": None}, {"status": "CREATING"}, {"status": "DELETED"}, {"table_id": "earlier"}],
    ids=str,
)
def test_what_the_table_can_t_be_restored_from_does_not_count(other: dict[str, Any]) -> None:
    """Neither as fresh nor as late, nor in numbers and bytes."""
    assert status(backup(1, **other)) == "none"
    assert status(backup(1, **other), backup(30)) == "late"
    assert Coverage.of(TABLE, [backup(1, **other), backup(30)]).as_dict()["bytes"] == 7


def test_aws_backup_s_count() -> None:
    """Whoever has made it."""
    assert status(backup(1, kind="AWS_BACKUP")) == "fresh"


def test_without_an_id_the_time_tells_an_earlier_table_s() -> None:
    """Responses may lack it."""
    assert status(backup(1, table_id=None)) == "fresh"
    assert status(backup(240, table_id=None)) == "none"


def test_a_backup_that_two_pages_show_counts_once() -> None:
    """A listing may repeat it."""
    assert Coverage.of(TABLE, [backup(1), backup(1), backup(2)]).as_dict() == {
        "newest_backup_arn": f"{ARN}/backup/1",
        "newest_backup_at": "2026-11-28T05:00:00+00:00",
        "backups": 2,
        "bytes": 14,
    }


@pytest.mark.parametrize("recovery", [True, False, None])
def test_point_in_time_recovery_is_told_only_where_it_was_read(recovery: bool | None) -> None:  # a value
    """As on or off."""
    told = Coverage.of(TABLE, [], point_in_time_recovery=recovery).as_dict()
    assert told.get("point_in_time_recovery") is recovery
    assert ("point_in_time_recovery" in told) == (recovery is not None)


@given(BACKUPS)
def test_a_table_is_fresh_only_by_a_young_backup_that_protects_it(backups: list[Backup]) -> None:
    """Whatever else there is."""
    good = [one for one in backups if one.status == "AVAILABLE" and one.table_id == "present"]
    good = [one for one in good if one.kind in {"USER", "AWS_BACKUP"}]
    young = [one for one in good if one.created_at >= NOW - MAX_AGE]
    assert status(*backups) == ("fresh" if young else "late" if good else "none")
