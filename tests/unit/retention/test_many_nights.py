"""400 nights of the nightly example, by its own policy and limits: it is never stuck, and keeps what it promises."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from jinja2 import Environment

from airflow_ddb_backup.exceptions import ErrorContext, TooManyDeletionsError
from airflow_ddb_backup.models import Table
from airflow_ddb_backup.parameters import literal
from airflow_ddb_backup.retention.plan import Plan, make_plan
from tests.dag_bag import examples
from tests.unit.retention.support import backup

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_ddb_backup.models import Backup
    from airflow_ddb_backup.retention.prune import PruneRequest

NIGHTS = 400
FIRST = datetime(2026, 1, 1, 2, tzinfo=UTC)
# Of each kind there are as many.
KINDS = ("steady", "flaky", "new", "lost")
TABLES = {kind: Table(kind, "", kind, "ACTIVE", FIRST - timedelta(days=1)) for kind in KINDS}
ALL_FAIL = {50, 51}
# The DAG is paused, and makes up for the week in one night, for the two months not at all.
WEEK, TWO_MONTHS = range(80, 87), range(260, 320)
# The prune lacks a permission, and nobody reads the mails.
BROKEN = range(150, 205)


def is_backed_up(kind: str, night: int) -> bool:
    """Return whether a table of a kind gets a backup in a night."""
    if night in ALL_FAIL:
        return False
    return {"steady": True, "flaky": night % 5 != 0, "new": night >= 200, "lost": night < 100}[kind]


@dataclass
class Account:
    """An account with as many tables of each kind, and the nightly DAG.

    :param max_deletions: returns the prune's limit, given how many tables were backed up; ``None``: the default
    :param sizes: how many tables there are, in each of several accounts that are alike
    """

    max_deletions: Callable[[int], int] | None
    sizes: Collection[int] = (100,)
    made: dict[str, list[Backup]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    there: dict[str, list[Backup]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    #: the nights whose plan was refused, and the size of the account
    refused: list[tuple[int, int]] = field(default_factory=list)
    #: deletions of the largest plan, for each table
    most: float = 0
    nights: dict[int, dict[str, tuple[list[Backup], list[Backup]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        prune = examples()["example_dynamodb_backup_nightly"].get_task("prune")
        request: PruneRequest = prune._request(literal)  # noqa: SLF001  # what the example says
        self.request = replace(request, prefixes=("nightly-",), max_deletions=None)

    def run(self, night: int, minute: int, *, prunes: bool = True) -> None:
        """Back every table up, and prune."""
        now = FIRST + timedelta(days=night, minutes=minute)
        backed_up = [kind for kind in KINDS if is_backed_up(kind, night)]
        for kind in backed_up:
            new = backup(now, table=kind, table_id=kind)
            self.made[kind].append(new)
            self.there[kind].append(new)
        if prunes:
            self.prune(night, len(backed_up))

    def prune(self, night: int, backed_up: int) -> None:
        """Plan for one table of each kind, as all of a kind are alike, and delete if the plan of all passes."""
        now = FIRST + timedelta(days=night, hours=1)
        candidates = [one for there in self.there.values() for one in there]
        plan = make_plan(self.request.policy, candidates, TABLES, now, dropped_tables=False)
        self.most = max(self.most, len(plan.deletions) / len(KINDS))
        for size in self.sizes:
            each = size // len(KINDS)
            limit = self.max_deletions and self.max_deletions(backed_up * each)
            try:
                replace(self.request, max_deletions=limit).check_size(Plan(plan.groups * each), ErrorContext())
            except TooManyDeletionsError:
                self.refused.append((night, size))
                return
        for group in plan.groups:
            self.there[group.table_name] = sorted(group.kept, key=lambda one: one.created_at)

    def live(self) -> Account:
        """Let all nights go by, and remember what is there after each whose plan was not refused."""
        for night in range(NIGHTS):
            if night in WEEK or night in TWO_MONTHS:
                continue
            runs = len(WEEK) + 1 if night == WEEK.stop else 1
            for minute in range(runs):
                self.run(night, minute, prunes=night not in BROKEN)
            if night not in BROKEN:
                self.nights[night] = {kind: (list(self.made[kind]), list(self.there[kind])) for kind in KINDS}
        return self


def example_s_limit(backed_up: int) -> int:
    """Return what the example's template renders to."""
    return limit(examples()["example_dynamodb_backup_nightly"].get_task("prune").max_deletions, -1, backed_up)


def limit(template: str, map_index: int, backed_up: int) -> int:
    """Return what a template renders to, given what the task of that place or of all has pushed."""
    arns = {str(number): "arn" for number in range(backed_up)} or None
    pushed = {("back_up", map_index, "backup_arns"): arns}

    def xcom_pull(task_ids: str, key: str, map_indexes: int = -1) -> object:
        return pushed.get((task_ids, map_indexes, key))

    ti = SimpleNamespace(xcom_pull=xcom_pull, map_index=map_index)
    task = SimpleNamespace(created_by="back_up")
    return int(Environment(autoescape=True).from_string(template).render(ti=ti, task=task))


def promised(made: list[Backup]) -> set[Backup]:
    """Return what the policy's words promise of all backups that were ever made, told without its code."""
    newest_first = sorted(made, key=lambda one: one.created_at, reverse=True)
    kept = set(newest_first[:3])
    for period, count in (("%Y-%m-%d", 7), ("%G-%V", 4), ("%Y-%m", 12)):
        newest: dict[str, Backup] = {}
        for one in newest_first:
            newest.setdefault(one.created_at.strftime(period), one)
        kept |= set(list(newest.values())[:count])
    return kept


@cache
def example() -> Account:
    """Return three accounts after all nights, by the example's limits."""
    return Account(example_s_limit, (100, 500, 2500)).live()


@pytest.mark.load
def test_the_prune_is_never_stuck() -> None:
    """Whatever fails, is paused or made up for: no night's plan is refused for 100, 500 or 2,500 tables."""
    account = example()
    assert len(account.nights) == NIGHTS - len(WEEK) - len(TWO_MONTHS) - len(BROKEN)
    assert account.refused == []
    # The night that makes up for the broken ones.
    assert account.most == 24


@pytest.mark.load
def test_what_remains_is_what_the_policy_says() -> None:
    """After every night that pruned, for every kind of table, as if no night had been lost."""
    account = example()
    for kinds in account.nights.values():
        for made, there in kinds.values():
            assert set(there) == promised(made)
    assert {kind: len(there) for kind, there in account.there.items()} == {
        "steady": 19,
        "flaky": 19,
        "new": 14,
        "lost": 12,
    }


@pytest.mark.load
def test_the_last_good_backup_always_stays() -> None:
    """Also of a table that has had no new one for 300 nights."""
    for kinds in example().nights.values():
        for made, there in kinds.values():
            assert there[-3:] == made[-3:]


def test_nothing_is_deleted_where_nothing_was_backed_up() -> None:
    """The limit is 0 then: what an earlier prune has left to do waits."""
    account = Account(example_s_limit)
    for night in range(40):
        account.run(night, 0, prunes=False)
    before = {kind: list(there) for kind, there in account.there.items()}
    account.prune(40, backed_up=0)
    assert account.refused == [(40, 100)]
    assert account.there == before
    account.run(41, 0)
    assert account.refused == [(40, 100)]
    assert len(account.there["steady"]) < len(before["steady"])


def test_each_of_several_places_has_the_same_limit() -> None:
    """It counts what the place itself has backed up."""
    template = examples()["example_dynamodb_backup_regions"].get_task("prune").partial_kwargs["max_deletions"]
    for backed_up in (0, 1, 40):
        assert limit(template, 2, backed_up) == example_s_limit(backed_up)


@pytest.mark.load
def test_the_default_limit_would_be_stuck() -> None:
    """Why the example has its own: after 55 nights of a broken prune the default refuses each night, for good."""
    account = Account(None).live()
    assert account.refused[0] == (BROKEN.stop, 100)
    assert account.refused[-1] == (NIGHTS - 1, 100)
