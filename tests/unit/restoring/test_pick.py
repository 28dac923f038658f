"""Which backup of a table is picked, and what a task is told where none counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import BackupNotPickedError, ErrorContext, TableNotFoundError
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.models import Backup, BackupArn, Table
from airflow_ddb_backup.restoring.pick import eligible, left_out, none_eligible, read_backups
from tests.simulator.control_plane import REGION
from tests.simulator.faults import THROTTLED
from tests.unit.restoring.support import ARN, Silent

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
TABLE = Table("source", ARN, "id-2", "ACTIVE", NOON - timedelta(hours=10))
ABOUT = ErrorContext("source", region=REGION)


def backup(hour: int, **others: Any) -> Backup:
    """Return a backup that was made at an hour of the day, of the table that there is now."""
    made = NOON.replace(hour=hour)
    arn = BackupArn.parse(f"{ARN}/backup/0{int(made.timestamp() * 1000)}-770da1ee")
    usual = Backup(arn, f"nightly-{hour}", "AVAILABLE", 0, made, table_id="id-2", kind="USER")
    return replace(usual, **others)


def hours(backups: list[Backup]) -> list[int]:
    """Return at which hours backups were made."""
    return [one.created_at.hour for one in backups]


class TestEligible:
    """The backups that may be picked."""

    def test_the_newest_comes_first(self) -> None:
        """Whatever order ListBackups has."""
        assert hours(eligible(TABLE, [backup(7), backup(9), backup(8)])) == [9, 8, 7]

    def test_of_two_made_at_once_every_try_takes_the_same(self) -> None:
        """The ARN decides."""
        first = backup(8)
        second = replace(first, arn=BackupArn.parse(f"{first.arn.text[:-1]}f"))
        assert eligible(TABLE, [first, second]) == eligible(TABLE, [second, first]) == [second, first]

    def test_before_and_since(self) -> None:
        """One that was made at that very time is not made before it, and is made since."""
        backups = [backup(hour) for hour in range(5, 12)]
        found = eligible(TABLE, backups, before=NOON.replace(hour=9), since=NOON.replace(hour=6))
        assert hours(found) == [8, 7, 6]

    @pytest.mark.parametrize(
        ("others", "reason"),
        [
            ({"status": "CREATING"}, "CREATING"),
            ({"status": "DELETED"}, "DELETED"),
            ({"kind": "AWS_BACKUP"}, "of AWS Backup"),
            ({"kind": None}, "of AWS Backup"),
            ({"kind": "SYSTEM"}, "made by DynamoDB itself when a table was deleted"),
            ({"table_id": "id-1"}, "of another table of this name"),
            ({"table_id": "id-1", "kind": "SYSTEM"}, "made by DynamoDB itself when a table was deleted"),
            ({"name": "weekly"}, "whose name does not begin with nightly- or monthly-"),
        ],
    )
    def test_what_does_not_count(self, others: dict[str, object], reason: str) -> None:
        """Each has its reason."""
        backups = [backup(8), other := backup(9, **others)]
        prefixes = ("nightly-", "monthly-")
        assert hours(eligible(TABLE, backups, prefixes=prefixes)) == [8]
        assert left_out(TABLE, backups, prefixes=prefixes) == {reason: [other]}

    def test_without_ids_the_times_tell_the_tables_apart(self) -> None:
        """A backup that is older than the table is of an earlier one."""
        backups = [backup(1, table_id=None), backup(3, table_id=None)]
        assert hours(eligible(TABLE, backups)) == [3]


class TestGone:
    """The table has been deleted."""

    def test_the_last_of_the_name_counts(self) -> None:
        """Not those before it."""
        assert hours(eligible(None, [backup(9), backup(5, table_id="id-1"), backup(8)])) == [9, 8]

    def test_its_system_backup_tells_which_was_the_last(self) -> None:
        """A backup of the one before would bring back other data than those that are missed."""
        backups = [backup(5, table_id="id-1"), backup(9, kind="SYSTEM")]
        assert eligible(None, backups) == []

    def test_the_last_is_the_last_before_the_moment(self) -> None:
        """What the name has stood for since says nothing about then."""
        backups = [backup(5, table_id="id-1"), backup(9)]
        assert hours(eligible(None, backups, before=NOON.replace(hour=7))) == [5]


KINDS = st.sampled_from(["USER", "SYSTEM", "AWS_BACKUP"])
BACKUPS = st.lists(
    st.builds(
        backup,
        st.integers(0, 11),
        kind=KINDS,
        status=st.sampled_from(["AVAILABLE", "CREATING"]),
        table_id=st.sampled_from(["id-1", "id-2"]),
        name=st.sampled_from(["nightly-1", "weekly-1"]),
    ),
    max_size=8,
    unique_by=lambda one: one.arn,
)
HOURS = st.none() | st.integers(0, 11).map(lambda hour: NOON.replace(hour=hour))


@given(st.sampled_from([TABLE, None]), BACKUPS, HOURS, HOURS, st.sampled_from([(), ("nightly-",)]))
def test_all_that_count_and_no_other(
    table: Table | None,
    backups: list[Backup],
    before: datetime | None,
    since: datetime | None,
    prefixes: tuple[str, ...],
) -> None:
    """As the rules say it, one after another; each other has a reason, and the order of the listing is none."""
    known = sorted(backups, key=lambda one: one.created_at)
    known = [one for one in known if before is None or one.created_at < before]
    table_id = "id-2" if table else known[-1].table_id if known else None
    expected = [
        one
        for one in reversed(known)
        if one.table_id == table_id and (one.kind, one.status) == ("USER", "AVAILABLE")
        if (since is None or one.created_at >= since) and (not prefixes or one.name.startswith("nightly-"))
    ]
    assert eligible(table, backups, before=before, since=since, prefixes=prefixes) == expected
    others = left_out(table, backups, before=before, since=since, prefixes=prefixes)
    assert {one for found in others.values() for one in found} == set(backups) - set(expected)
    assert eligible(table, backups[::-1], before=before, since=since, prefixes=prefixes) == expected


class TestNone:
    """The message for a table of whose backups none counts."""

    def test_it_lists_what_there_is(self) -> None:
        """Each with its name, time and ARN, by the reason."""
        backups = [backup(3, table_id="id-1"), backup(9), backup(8, status="CREATING")]
        error = none_eligible(ABOUT, TABLE, backups, before=NOON.replace(hour=9))
        assert isinstance(error, BackupNotPickedError)
        assert str(error) == (
            f"No backup of the table counts: table 'source', region '{REGION}'. There are others: "
            f"1 not made before 2026-11-28T09:00:00+00:00: 'nightly-9' of 2026-11-28T09:00:00+00:00 "
            f"({backup(9).arn.text}); "
            f"1 CREATING: 'nightly-8' of 2026-11-28T08:00:00+00:00 ({backup(8).arn.text}); "
            f"1 of another table of this name: 'nightly-3' of 2026-11-28T03:00:00+00:00 ({backup(3).arn.text}). "
            "To take one of these as it is, give its ARN as backup_arn."
        )

    def test_it_names_the_first_few(self) -> None:
        """The newest ones."""
        error = none_eligible(ABOUT, TABLE, [backup(hour, status="CREATING") for hour in range(3, 12)])
        assert "9 CREATING: 'nightly-11'" in str(error)
        assert "'nightly-7'" in str(error)
        assert "'nightly-6'" not in str(error)
        assert "and 4 more" in str(error)

    def test_of_those_made_too_late_it_names_the_earliest(self) -> None:
        """They are nearest to what was asked for."""
        error = none_eligible(ABOUT, TABLE, [backup(hour) for hour in range(3, 12)], before=NOON.replace(hour=3))
        assert "'nightly-3'" in str(error)
        assert "'nightly-11'" not in str(error)

    def test_a_table_that_is_gone(self) -> None:
        """Its system backup is named."""
        error = none_eligible(ABOUT, None, [backup(9, kind="SYSTEM")])
        assert "The table does not exist. There are others: 1 made by DynamoDB itself" in str(error)

    def test_a_table_without_backups(self) -> None:
        """There is nothing to type, but something to do."""
        assert str(none_eligible(ABOUT, TABLE, [])).endswith("It has no backup at all: make one first.")

    def test_no_table_and_no_backup(self) -> None:
        """The name, the region or the account is wrong."""
        error = none_eligible(ABOUT, None, [])
        assert isinstance(error, TableNotFoundError)
        assert "There is no backup of a table of that name either. Check the table's name" in str(error)


class TestReading:
    """DescribeTable, and all pages of ListBackups."""

    @pytest.mark.usefixtures("source")
    def test_backups_of_all_kinds_on_all_pages(self, control_plane: ControlPlane) -> None:
        """Throttled calls are tried again."""
        control_plane.add_backups("source", 120)
        control_plane.fail_next("ListBackups", THROTTLED)
        hook = DynamoDBBackupHook(region_name=REGION)
        table, backups = read_backups(hook, ABOUT, "source", Deadline.after(600, hook.clock), Silent())
        assert table is not None
        assert table.name == "source"
        assert len(backups) == len(eligible(table, backups)) == 120

    def test_a_table_that_was_dropped(self, control_plane: ControlPlane) -> None:
        """Its backups and DynamoDB's own are listed by its name."""
        control_plane.create_table("gone")
        control_plane.add_backups("gone", 1)
        control_plane.add_backups("gone", 1, "gone$DeletedTableBackup", kind="SYSTEM")
        control_plane.drop_table("gone")
        hook = DynamoDBBackupHook(region_name=REGION)
        table, backups = read_backups(hook, ABOUT, "gone", Deadline.after(600, hook.clock), Silent())
        assert table is None
        assert [one.kind for one in eligible(table, backups)] == ["USER"]
        assert {one.kind for one in backups} == {"USER", "SYSTEM"}
