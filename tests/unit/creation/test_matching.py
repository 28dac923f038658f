"""Whose backup is this? No calls, no clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_ddb_backup.creation.matching import BackupMatcher, run_due
from airflow_ddb_backup.models import Backup, BackupArn, BackupStatus, Table

TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TABLE = Table("orders", TABLE_ARN, "this-table", "ACTIVE", NOON - timedelta(days=30))


def backup(minutes: float, name: str = "nightly", **kwargs: Any) -> Backup:
    """Return a backup of the table, made so many minutes after noon."""
    created_at = NOON + timedelta(minutes=minutes)
    arn = BackupArn.parse(f"{TABLE_ARN}/backup/0{int(created_at.timestamp() * 1000):013}-770da1ee")
    fields: dict[str, Any] = {"status": BackupStatus.AVAILABLE, "size_bytes": 0, "table_id": "this-table"}
    return Backup(arn, name, created_at=created_at, **fields | kwargs)


def test_a_name_of_its_own_makes_any_backup_the_run_s() -> None:
    """A derived name is never another run's, however old the backup."""
    old = backup(-60 * 24 * 20)
    assert BackupMatcher(TABLE, "nightly").own([old]) == old


def test_a_shared_name_counts_from_when_the_run_was_due() -> None:
    """Last night's backup of the same name is last night's."""
    claim = BackupMatcher(TABLE, "nightly", made_since=NOON)
    assert claim.own([backup(-60 * 24)]) is None
    assert claim.own([backup(-60 * 24), backup(1)]) == backup(1)


def test_clocks_may_differ_by_a_minute() -> None:
    """AWS's time of a backup may lie just before Airflow's of the run."""
    claim = BackupMatcher(TABLE, "nightly", made_since=NOON)
    assert claim.own([backup(-0.9)]) == backup(-0.9)
    assert claim.own([backup(-1.1)]) is None


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_the_oldest_of_several_is_the_run_s(order: tuple[int, ...]) -> None:
    """It holds the state before anything that an earlier try went on to do; the order of the list is no matter."""
    assert BackupMatcher(TABLE, "nightly").own([backup(minutes) for minutes in order]) == backup(1)


def test_two_of_one_millisecond_are_told_apart_the_same_way_by_all() -> None:
    """Every try comes to the same one."""
    one = backup(1)
    other = Backup(BackupArn.parse(one.arn.text[:-1] + "0"), one.name, one.status, 0, one.created_at, "this-table")
    claim = BackupMatcher(TABLE, "nightly")
    assert claim.own([one, other]) == claim.own([other, one]) == other


def test_other_names_do_not_count() -> None:
    """Not even those that begin alike."""
    assert BackupMatcher(TABLE, "nightly").own([backup(1, "nightly-2"), backup(2, "Nightly")]) is None


@pytest.mark.parametrize("status", [BackupStatus.CREATING, BackupStatus.AVAILABLE])
def test_a_backup_counts_while_it_is_made_and_after(status: BackupStatus) -> None:
    """CREATING or AVAILABLE."""
    assert BackupMatcher(TABLE, "nightly").own([backup(1, status=status)]) is not None


def test_a_deleted_backup_does_not_count() -> None:
    """It can't be restored."""
    claim = BackupMatcher(TABLE, "nightly", reuse_within=timedelta(days=1))
    assert claim.usable([backup(1, status=BackupStatus.DELETED)], NOON) is None


def test_an_earlier_table_of_the_same_name_does_not_count() -> None:
    """Only the id tells, since the backup outlives its table."""
    assert BackupMatcher(TABLE, "nightly").own([backup(1, table_id="dropped-table")]) is None


def test_without_an_id_the_table_s_age_decides() -> None:
    """What is older than the table was made of another."""
    made_after, made_before = backup(1, table_id=None), backup(-60 * 24 * 31, table_id=None)
    assert BackupMatcher(TABLE, "nightly").own([made_after, made_before]) == made_after
    assert BackupMatcher(TABLE, "nightly").own([made_before]) is None


def test_reuse_takes_the_newest_that_is_young_enough() -> None:
    """Whatever its name."""
    claim = BackupMatcher(TABLE, "nightly", reuse_within=timedelta(hours=1))
    others = [backup(-61, "a"), backup(-30, "b"), backup(-59, "c")]
    assert claim.usable(others, NOON) == backup(-30, "b")
    assert claim.usable(others[:1], NOON) is None


def test_the_run_s_own_comes_before_any_to_reuse() -> None:
    """A retry gets what its first try made."""
    claim = BackupMatcher(TABLE, "nightly", reuse_within=timedelta(hours=1))
    assert claim.usable([backup(-30, "newer"), backup(-50)], NOON) == backup(-50)


def test_without_reuse_others_are_left_alone() -> None:
    """However young."""
    assert BackupMatcher(TABLE, "nightly").usable([backup(-1, "other")], NOON) is None


def test_a_name_used_twice_is_told_by_the_call() -> None:
    """With ``if_exists="create"`` the newest made since the call is the call's."""
    claim = BackupMatcher(TABLE, "nightly")
    assert claim.latest([backup(-30), backup(1), backup(2)], NOON) == backup(2)
    assert claim.latest([backup(-30)], NOON) is None


def dag_run(**kwargs: Any) -> SimpleNamespace:
    """Return a DAG run of Airflow 3, due at noon."""
    return SimpleNamespace(**{"run_after": NOON, "start_date": None, "clear_number": 0} | kwargs)


HOUR = timedelta(hours=1)


def test_a_run_is_due_when_airflow_says() -> None:
    """Airflow 3 has ``run_after``."""
    assert run_due(dag_run()) == NOON


def test_a_backfilled_run_counts_from_its_start() -> None:
    """It was due long before it was asked for, when other runs made backups of the same name."""
    assert run_due(dag_run(start_date=NOON + 9 * HOUR)) == NOON + 9 * HOUR


@pytest.mark.parametrize("clear_number", [1, None])
def test_a_cleared_run_counts_from_when_it_was_due(clear_number: int | None) -> None:
    """Clearing moves the start, and the run's backup was made before."""
    assert run_due(dag_run(start_date=NOON + 9 * HOUR, clear_number=clear_number)) == NOON


def airflow_2_run(**kwargs: Any) -> SimpleNamespace:
    """Return a DAG run of Airflow 2, whose data interval ends at noon."""
    interval = {"data_interval_end": NOON, "logical_date": NOON - 24 * HOUR, "start_date": NOON + HOUR}
    return SimpleNamespace(**interval | {"clear_number": 1} | kwargs)


def test_on_airflow_2_a_scheduled_run_is_due_at_the_end_of_its_interval() -> None:
    """There is no ``run_after``."""
    assert run_due(airflow_2_run()) == NOON


def test_on_airflow_2_a_run_by_hand_is_due_when_it_was_asked_for() -> None:
    """Its interval is that of the last night's run, whose backup it must not take."""
    assert run_due(airflow_2_run(logical_date=NOON + 3 * HOUR)) == NOON + 3 * HOUR
