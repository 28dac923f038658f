"""Which backup is whose. No calls, no clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_ddb_backup.creation.matching import BackupMatcher, Run, of_table
from airflow_ddb_backup.creation.request import BackupRequest, IfExists
from airflow_ddb_backup.limits import FIRST_BACKUP
from airflow_ddb_backup.models import Backup, BackupArn, BackupStatus, Table

TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TABLE = Table("orders", TABLE_ARN, "this-table", "ACTIVE", NOON - timedelta(days=30))


def backup(minutes: float, name: str = "nightly", **kwargs: Any) -> Backup:
    """Return a backup of the table, made so many minutes after noon."""
    created_at = NOON + timedelta(minutes=minutes)
    arn = BackupArn.parse(f"{TABLE_ARN}/backup/0{int(created_at.timestamp() * 1000):013}-770da1ee")
    fields: dict[str, Any] = {"status": BackupStatus.AVAILABLE, "size_bytes": 0, "table_id": "this-table"}
    return Backup(arn, name, created_at=created_at, **fields | kwargs)


def matcher(
    *,
    derived: bool = True,
    if_exists: IfExists = IfExists.REUSE,
    reuse_within: timedelta | None = None,
    **run: Any,
) -> BackupMatcher:
    """Return the matcher of a later try in a run that was due, and started, at noon."""
    fields: dict[str, Any] = {"due": NOON, "started": NOON, "try_number": 2}
    given = None if derived else "nightly"
    request = BackupRequest("orders", given, if_exists=if_exists, reuse_within=reuse_within)
    return BackupMatcher(request, "nightly", Run(**fields | run))


@pytest.mark.parametrize(
    ("run", "derived", "given"),
    [
        ({"try_number": 0}, None, None),
        ({"try_number": 1}, None, None),
        ({"try_number": 1, "clear_number": 1}, 0, None),
        ({"try_number": 2}, 0, 5 * HOUR),
        ({"try_number": 2, "clear_number": 1}, 0, 5 * HOUR),
    ],
)
def test_a_derived_name_counts_from_when_the_run_was_due_a_given_one_from_its_last_start(
    run: dict[str, Any], derived: Any, given: Any
) -> None:
    """Clearing a finished run starts it again; ``clear_number`` is the run's, so another task may be meant."""
    run = {"started": NOON + 5 * HOUR} | run
    tolerated = None if derived is None else NOON - timedelta(seconds=10)
    assert matcher(**run).own_since == tolerated
    assert matcher(derived=False, **run).own_since == (given and NOON + given)


def test_fail_takes_what_was_made_since_the_run_last_started() -> None:
    """On a later try only; all else of the name is refused."""
    run: dict[str, Any] = {"started": NOON + HOUR, "if_exists": IfExists.FAIL}
    assert matcher(try_number=1, clear_number=1, **run).own_since is None
    assert matcher(**run).own_since == NOON + HOUR - timedelta(seconds=10)
    assert matcher(derived=False, **run).own_since == NOON + HOUR


def test_create_takes_none() -> None:
    """On no try."""
    assert matcher(if_exists=IfExists.CREATE).own_since is None


def test_a_run_that_started_ahead_of_its_time_counts_from_its_start() -> None:
    """Triggered by hand for a logical date in the future."""
    assert matcher(due=NOON + HOUR, started=NOON).own_since == NOON - timedelta(seconds=10)


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_the_oldest_of_several_is_the_run_s(order: tuple[int, ...]) -> None:
    """It holds the state before anything that an earlier try went on to do; the order of the list is no matter."""
    assert matcher().find_own(TABLE, [backup(minutes) for minutes in order]) == backup(1)


def test_two_of_one_millisecond_are_told_apart_the_same_way_by_all() -> None:
    """Every try comes to the same one."""
    one = backup(1)
    other = Backup(BackupArn.parse(one.arn.text[:-1] + "0"), one.name, one.status, 0, one.created_at, "this-table")
    assert matcher().find_own(TABLE, [one, other]) == matcher().find_own(TABLE, [other, one]) == other


def test_other_names_do_not_count() -> None:
    """Not even those that begin alike."""
    assert matcher().find_own(TABLE, [backup(1, "nightly-2"), backup(2, "Nightly")]) is None


@pytest.mark.parametrize(
    ("status", "counts"), [("CREATING", True), ("AVAILABLE", True), ("DELETED", False), ("ARCHIVED", False)]
)
def test_a_backup_counts_while_it_is_made_and_after(status: str, *, counts: bool) -> None:
    """A backup that is deleted, or in a status that AWS has added since, may not be restorable."""
    assert bool(of_table(TABLE, [backup(1, status=status)])) is counts


def test_an_earlier_table_of_the_same_name_does_not_count() -> None:
    """Only the ID tells, since a backup outlives its table."""
    assert of_table(TABLE, [backup(1, table_id="dropped-table")]) == []


def test_without_an_id_the_table_s_age_decides() -> None:
    """A backup that is older than the table is another table's."""
    made_after, made_before = backup(1, table_id=None), backup(-60 * 24 * 31, table_id=None)
    assert of_table(TABLE, [made_after, made_before]) == [made_after]


def test_of_a_table_that_is_gone_any_backup_counts() -> None:
    """Nothing is left to compare with; the derived name tells."""
    assert of_table(None, [backup(1, table_id="dropped-table")]) == [backup(1, table_id="dropped-table")]


def test_reuse_takes_the_newest_that_was_young_enough_when_the_run_started() -> None:
    """Its name does not matter, nor how late it is by now."""
    others = [backup(-61, "a"), backup(-30, "b"), backup(-59, "c")]
    assert matcher(try_number=1, reuse_within=HOUR).find_reusable(TABLE, others) == backup(-30, "b")
    assert matcher(try_number=1, reuse_within=HOUR).find_reusable(TABLE, others[:1]) is None


@pytest.mark.parametrize("run", [{"try_number": 1, "clear_number": 1}, {"try_number": 2}])
def test_in_a_cleared_run_and_on_a_later_try_reuse_takes_the_oldest_that_was_young_enough(run: dict[str, Any]) -> None:
    """A newer one may hold what the run had begun to change."""
    others = [backup(-61, "a"), backup(-30, "b"), backup(-59, "c"), backup(30, "d")]
    assert matcher(reuse_within=HOUR, **run).find_reusable(TABLE, others) == backup(-59, "c")


def test_without_reuse_others_are_left_alone() -> None:
    """However young."""
    assert matcher().find_reusable(TABLE, [backup(-1, "other")]) is None


def test_what_an_earlier_try_made_is_not_foreign() -> None:
    """Everything else of the name is, however old."""
    assert matcher(if_exists=IfExists.FAIL).find_foreign(TABLE, [backup(1)]) is None
    assert matcher(if_exists=IfExists.FAIL).find_foreign(TABLE, [backup(-9999), backup(1)]) == backup(-9999)
    assert matcher(if_exists=IfExists.FAIL, try_number=1).find_foreign(TABLE, [backup(1)]) == backup(1)


def test_an_ambiguous_call_has_made_what_was_made_since() -> None:
    """The oldest first; other runs' backups of the name are older."""
    assert matcher().made_since(NOON, TABLE, [backup(-30), backup(2), backup(1), backup(1, "a")]) == [
        backup(1),
        backup(2),
    ]
    assert matcher().made_since(NOON, TABLE, [backup(-1 / 60)]) == []


def test_nothing_older_than_what_counts_is_listed() -> None:
    """A table's whole history would cost a page for every hundred backups."""
    assert matcher(try_number=1).listed_since is None
    assert matcher().listed_since == NOON - timedelta(seconds=10)
    assert matcher(try_number=1, reuse_within=HOUR).listed_since == NOON - HOUR
    assert matcher(if_exists=IfExists.FAIL).listed_since == FIRST_BACKUP


def read(**kwargs: Any) -> Run:
    """Read a DAG run of Airflow 3, due at noon."""
    dag_run = SimpleNamespace(**{"run_after": NOON, "start_date": NOON + HOUR, "clear_number": 0} | kwargs)
    return Run.from_context(dag_run, 1)


def test_a_run_is_due_when_airflow_says() -> None:
    """Airflow 3 has ``run_after``."""
    assert read() == Run(due=NOON, started=NOON + HOUR, try_number=1)


def test_a_run_without_a_start_has_started_when_it_was_due() -> None:
    """Airflow 2 may not have set it yet."""
    assert read(start_date=None).started == NOON


def test_a_run_was_cleared_if_airflow_counts_so() -> None:
    """``clear_number`` is there since Airflow 2.10."""
    assert read(clear_number=1).cleared


def airflow_2_run(**kwargs: Any) -> Run:
    """Read a DAG run of Airflow 2, whose data interval ends at noon."""
    interval = {"data_interval_end": NOON, "logical_date": NOON - 24 * HOUR, "start_date": NOON + HOUR}
    return Run.from_context(SimpleNamespace(**interval | {"clear_number": 1} | kwargs), 1)


def test_on_airflow_2_a_scheduled_run_is_due_at_the_end_of_its_interval() -> None:
    """There is no ``run_after``."""
    assert airflow_2_run().due == NOON


def test_on_airflow_2_a_run_by_hand_is_due_when_it_was_asked_for() -> None:
    """Its interval is that of the last night's run, whose backup it must not take."""
    assert airflow_2_run(logical_date=NOON + 3 * HOUR).due == NOON + 3 * HOUR
