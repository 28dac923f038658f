"""The whole plan: whose backups they are, and the table for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.models import Backup, Table
from airflow_ddb_backup.retention.plan import is_candidate, make_plan, prefixes_of
from airflow_ddb_backup.retention.policy import RetentionPolicy
from tests.unit.retention import support
from tests.unit.retention.support import NOW, POLICIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_ddb_backup.retention.plan import Plan

PREFIXES = ("nightly-",)
TABLES = {name: Table(name, "", f"{name} now", "ACTIVE", NOW - timedelta(days=300)) for name in ("orders", "customers")}


def backup(days: float, table: str = "orders", table_id: str | None = "orders now", number: int = 0) -> Backup:
    """Return a backup that is so many days old."""
    return support.backup(NOW - timedelta(days=days), table=table, number=number, table_id=table_id)


def plan(policy: RetentionPolicy, backups: Iterable[Backup], *, dropped_tables: bool = False) -> Plan:
    """Plan as a task for these tables does."""
    candidates = [one for one in backups if is_candidate(one, PREFIXES)]
    return make_plan(policy, candidates, TABLES, NOW, dropped_tables=dropped_tables)


def test_each_very_table_is_a_group() -> None:
    """The present one first; an earlier one keeps a newest of its own."""
    backups = [backup(1), backup(2), backup(3, table_id="before"), backup(4, table_id="before")]
    made = plan(RetentionPolicy(keep_last=1), backups, dropped_tables=True)
    assert [(str(group), len(group.kept), len(group.deleted)) for group in made.groups] == [
        ("orders", 1, 1),
        ("orders (before)", 1, 1),
    ]
    assert made.deletions == [backups[1], backups[3]]


def test_without_dropped_tables_an_earlier_table_is_left_alone() -> None:
    """The plan says how many backups it does not touch."""
    backups = [backup(1), backup(2), backup(3, table_id="before"), backup(4, table="gone", table_id="gone")]
    made = plan(RetentionPolicy(keep_last=1), backups)
    assert (made.deletions, made.untouched) == ([backups[1]], 2)


def test_without_an_id_the_creation_time_tells_the_table() -> None:
    """Made before the table, it is an earlier one's."""
    backups = [backup(1, table_id=None), backup(2, table_id=None), backup(301, table_id=None)]
    made = plan(RetentionPolicy(keep_last=1), backups)
    assert (made.deletions, made.untouched) == ([backups[1]], 1)


def test_the_rows_say_why() -> None:
    """First, since Airflow's UI cuts lines; the name, which is long, is the last."""
    sized = replace(backup(2), size_bytes=3 * 1024**3)
    made = plan(RetentionPolicy(keep_last=1), [backup(1.5), sized, backup(3, table_id="before")])
    assert made.rows(NOW) == [
        "        age       because                   table   size                created at                 backup",
        "keep    1 d 12 h  minimum redundancy, last  orders  size not known yet  2026-11-24T00:00:00+00:00  nightly-1",
        "delete  2 d 0 h   no rule keeps it          orders  3.0 GB              2026-11-23T12:00:00+00:00  nightly-1",
    ]
    assert made.summary() == ["1 to delete (3.0 GB), 1 kept (size not known yet): orders"]


def test_dropped_tables_without_ids_are_left_alone() -> None:
    """Nothing tells whether one is some table's last."""
    backups = [backup(301, table_id=None), backup(302, table_id=None)]
    made = plan(RetentionPolicy(keep_last=1), backups, dropped_tables=True)
    assert (made.deletions, made.untouched) == ([], 2)


BACKUPS = st.lists(
    st.builds(
        lambda days, table, table_id, number, name, kind, status: replace(
            backup(days, table, table_id, number), name=name, kind=kind, status=status
        ),
        days=st.floats(-1, 400),
        table=st.sampled_from(["orders", "customers", "gone"]),
        table_id=st.sampled_from(["orders now", "customers now", "before", None]),
        number=st.integers(0, 2**32 - 1),
        name=st.sampled_from(["nightly-1", "nightly-1", "nightly-eu-1", "weekly-1", "night"]),
        kind=st.sampled_from(["USER", "USER", "USER", "SYSTEM", "AWS_BACKUP", None]),
        status=st.sampled_from(["AVAILABLE", "AVAILABLE", "AVAILABLE", "CREATING", "DELETED"]),
    ),
    max_size=40,
    unique_by=lambda made: made.arn.text,
)


@given(backups=BACKUPS, policy=POLICIES, dropped=st.booleans())
def test_nothing_outside_prefix_type_and_table_is_deleted(
    backups: list[Backup], policy: RetentionPolicy, dropped: bool
) -> None:
    """Nor anything that is new, or not AVAILABLE."""
    for one in plan(policy, backups, dropped_tables=dropped).deletions:
        assert one.name.startswith(PREFIXES)
        assert (one.kind, one.status) == ("USER", "AVAILABLE")
        assert one.created_at < NOW
        assert dropped or one.is_of(TABLES[one.arn.table_name])


@given(backups=BACKUPS, policy=POLICIES, dropped=st.booleans())
def test_every_very_table_keeps_its_minimum(backups: list[Backup], policy: RetentionPolicy, dropped: bool) -> None:
    """Of what is AVAILABLE and has the prefix, or all that there is."""
    gone = {one.arn.text for one in plan(policy, backups, dropped_tables=dropped).deletions}
    groups: dict[tuple[str, str], list[Backup]] = {}
    for one in backups:
        if is_candidate(one, PREFIXES) and one.table_id:
            groups.setdefault((one.arn.table_name, one.table_id), []).append(one)
    for members in groups.values():
        left = [one for one in members if one.arn.text not in gone]
        assert len(left) >= min(policy.minimum_redundancy, len(members))


@given(backups=BACKUPS, policy=POLICIES, dropped=st.booleans(), turn=st.randoms())
def test_the_order_of_the_listing_does_not_matter(
    backups: list[Backup], policy: RetentionPolicy, dropped: bool, turn: object
) -> None:
    """However it comes, the plan is the same."""
    again = list(backups)
    turn.shuffle(again)  # type: ignore[attr-defined]
    first, second = (plan(policy, each, dropped_tables=dropped).deletions for each in (backups, again))
    assert first == second


@given(backups=BACKUPS, policy=POLICIES, dropped=st.booleans())
def test_deletions_go_table_by_table_the_oldest_first(
    backups: list[Backup], policy: RetentionPolicy, dropped: bool
) -> None:
    """The present table of a name before its earlier ones."""
    deletions = plan(policy, backups, dropped_tables=dropped).deletions
    tables = [table for table, _ in groupby((one.arn.table_name, one.table_id) for one in deletions)]
    assert [name for name, _ in tables] == sorted(name for name, _ in tables)
    for _, members in groupby(deletions, lambda one: (one.arn.table_name, one.table_id)):
        made = [one.created_at for one in members]
        assert made == sorted(made)


@given(backups=BACKUPS, policy=POLICIES, dropped=st.booleans())
def test_a_second_plan_at_the_same_moment_deletes_nothing(
    backups: list[Backup], policy: RetentionPolicy, dropped: bool
) -> None:
    """Over all tables together."""
    gone = {one.arn.text for one in plan(policy, backups, dropped_tables=dropped).deletions}
    left = [one for one in backups if one.arn.text not in gone]
    assert plan(policy, left, dropped_tables=dropped).deletions == []


def test_a_policy_says_its_rules() -> None:
    """For the log."""
    policy = RetentionPolicy(keep_daily=7, older_than=timedelta(days=1))
    assert str(policy) == "keep_daily=7, older_than=1 day, 0:00:00, minimum_redundancy=1, timezone=UTC"


def test_the_prefixes_of_what_there_is_are_told() -> None:
    """The most frequent first: a task's in a derived name, or all before the first digit."""
    names = ["nightly-2026", "nightly-2025", "eu.shop2.back_up.0123456789.scheduled__2026.0123456789abcdef", "2026"]
    made = [replace(backup(day), name=name) for day, name in enumerate(names)]
    told = "there are 'nightly-' (2), 'eu.shop2.back_up.0123456789.' (1), '2026' (1)"
    assert prefixes_of([*made, replace(made[0], kind="SYSTEM")]) == told
    assert prefixes_of([]) == "there is none at all"


def test_times_are_utc() -> None:
    """As AWS gives them."""
    assert backup(1).created_at == datetime(2026, 11, 24, 12, tzinfo=UTC)
