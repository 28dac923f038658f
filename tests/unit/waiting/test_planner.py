"""The planner: the call that comes next. No calls, no clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ddb_backup.limits import LISTING_LAG
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.rates import Rates
from airflow_ddb_backup.waiting.planner import Entry, Planner, Sweep, Traffic, plan_sweep

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = 3600.0
FULL = Rates(describe=5, list=2.5)


def arns(seconds_ago: float, count: int = 1) -> list[BackupArn]:
    """Return backups made so long before noon, each a millisecond after the one before."""
    first = int((NOON.timestamp() - seconds_ago) * 1000)
    texts = (f"arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/0{first + n}-770da1ee" for n in range(count))
    return [BackupArn.parse(text) for text in texts]


def made(seconds_ago: float, count: int = 1) -> list[Entry]:
    """Return as many backups that are waited for, all due."""
    return [Entry(arn.text, arn.created_hint, 0, 0, 0) for arn in arns(seconds_ago, count)]


def planned(
    due: list[Entry], waiting: list[Entry] | None = None, others: int = 0, rates: Rates = FULL, later: float = 0
) -> Sweep | None:
    """Plan; an earlier sweep of an hour has shown so many backups that nobody waits for."""
    traffic = Traffic()
    traffic.learn(Sweep(NOON - timedelta(hours=1), NOON), others, 0)
    return plan_sweep(due, waiting or due, traffic, rates, later)


class TestPlan:
    """Whichever way takes fewer seconds of the rates that there are now."""

    @pytest.mark.parametrize("count", [1, 2])
    def test_a_few_are_described(self, count: int) -> None:
        """A describe costs a fifth of a second, a page two fifths."""
        assert planned(made(60, count)) is None

    @pytest.mark.parametrize("count", [3, 300, 2500])
    def test_many_are_swept(self, count: int) -> None:
        """A page shows a hundred."""
        assert planned(made(60, count)) is not None

    def test_a_throttled_operation_costs_more(self) -> None:
        """A page that comes every six seconds is dearer than twenty describes, and the other way round."""
        assert planned(made(60, 20), rates=Rates(describe=5, list=0.15)) is None
        assert planned(made(60, 2), rates=Rates(describe=0.3, list=2.5)) is not None

    def test_a_sweep_reaches_from_the_oldest_to_the_newest(self) -> None:
        """Its bounds are whole seconds of the request's time; what is waited for lies safely between."""
        sweep = planned(made(60) + made(30) + made(10))
        assert sweep is not None
        assert NOON - timedelta(seconds=65) < sweep.lower <= NOON - timedelta(seconds=61)
        assert NOON - timedelta(seconds=9) <= sweep.upper < NOON - timedelta(seconds=5)

    def test_an_old_backup_is_described_beside_the_sweep(self) -> None:
        """A sweep from its creation would read all that was made since."""
        old, young = made(30 * 24 * HOUR), made(60, 50)
        sweep = planned(young[:25] + old + young[25:])
        assert sweep is not None
        assert sweep.lower > NOON - timedelta(seconds=65)

    def test_what_is_not_due_is_paid_for_too(self) -> None:
        """A sweep shows it whether or not it is due: three of 2,500 are described."""
        waiting = made(60, 2500)
        assert planned(waiting[:3], waiting) is None

    def test_what_is_older_than_the_sweep_is_not_paid_for(self) -> None:
        """It is not on its pages."""
        assert planned(made(60, 3), made(60, 3) + made(600, 2500)) is not None

    def test_a_busy_account_is_swept_less(self) -> None:
        """Others' backups fill the pages: so many that three hundred calls are cheaper."""
        due = made(HOUR, 150) + made(0, 150)
        wide, narrow = planned(due, others=1000), planned(due, others=20_000)
        assert wide is not None
        assert wide.covers(due[0].created_at)
        assert narrow is not None
        assert not narrow.covers(due[0].created_at)

    def test_a_quiet_hour_says_nothing_of_the_time_before(self) -> None:
        """One backup a night of each of 2,500 tables is assumed at least."""
        sweep = planned(made(30 * 24 * HOUR) + made(60, 50), others=0)
        assert sweep is not None
        assert sweep.lower > NOON - timedelta(seconds=65)

    def test_an_old_backup_whose_calls_are_throttled_stretches_no_sweep(self) -> None:
        """The young ones would wait for all its pages."""
        old, young = made(6 * 24 * HOUR), made(60, 20)
        for _ in range(20):
            old[0].told(answered=False, throttled=True)
        sweep = planned(old + young, rates=Rates(2, 2.5))
        assert sweep is not None
        assert sweep.lower > NOON - timedelta(seconds=65)
        assert planned(old, old + young[:1], rates=Rates(2, 2.5)) is None
        assert planned(old) is not None

    def test_a_burst_of_other_backups_is_forgotten_with_time(self) -> None:
        """Otherwise no sweep would ever be cheap enough again to show that it is over."""
        due = made(60, 50) + made(0, 50)
        assert planned(due, others=5000 * 3600) is None
        assert planned(due, others=5000 * 3600, later=HOUR) is not None

    def test_a_backup_whose_time_is_not_known_is_not_swept(self) -> None:
        """The ID in an ARN is AWS's to shape."""
        undated = BackupArn.parse("arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/5b0c-uuid")
        assert planned([Entry(undated.text, None, 0, 0, 0)] * 50) is None

    def test_a_creation_time_that_can_t_be_one_spoils_no_sweep(self) -> None:
        """AWS's or not: a sweep from the year 1 on would never end."""
        absurd = replace(made(60)[0], created_at=datetime.min.replace(tzinfo=UTC))
        assert planned([absurd]) is None
        sweep = planned([absurd, *made(60, 50)])
        assert sweep is not None
        assert sweep.lower > NOON - timedelta(seconds=65)


def planner(count: int, joined: float = 1.0) -> Planner:
    """Return a planner with so many backups, due at once, that were joined so long before time 100."""
    plan = Planner()
    for arn in arns(60, count):
        plan.add(arn.text, arn.created_hint, 100, 100 - joined)
    return plan


class TestPatience:
    """Who waits for a sweep, and how long."""

    def test_what_a_sweep_will_show_is_not_described(self) -> None:
        """Each would be paid for twice."""
        plan = planner(300)
        assert plan.next_described(FULL, 100) is None
        assert plan.begin_sweep(FULL, 100) is not None
        assert plan.next_described(FULL, 105) is None

    def test_a_sweep_that_fails_keeps_nobody_waiting(self) -> None:
        """Until a page succeeds again, those longest without an answer are described."""
        plan = planner(300)
        plan.begin_sweep(FULL, 100)
        plan.page_ended(failed=True)
        assert plan.next_described(FULL, 101) is not None
        plan.page_ended(failed=False)
        assert plan.next_described(FULL, 101) is None

    def test_a_sweep_that_takes_long_keeps_nobody_waiting(self) -> None:
        """The lag of a listing and twice its pages at the full rate."""
        plan = planner(300)
        plan.begin_sweep(FULL, 100)
        assert plan.next_described(FULL, 112) is None
        assert plan.next_described(FULL, 115) is not None

    def test_those_that_were_not_asked_for_longest_come_first(self) -> None:
        """With too many for the rate, or calls that fail for some, the same ones would come every time."""
        plan = planner(2)
        first, second = plan.entries.values()
        first.polled = 101
        assert plan.next_described(FULL, 102) is second

    def test_what_is_being_described_is_not_described_again(self) -> None:
        """A call may hang for ten seconds."""
        plan = planner(1)
        (entry,) = plan.entries.values()
        entry.asking = True
        assert plan.next_described(FULL, 102) is None
        assert plan.next_due() == inf

    def test_what_a_sweep_should_have_listed_is_described(self) -> None:
        """It may be gone."""
        plan = planner(50, joined=LISTING_LAG)
        plan.begin_sweep(FULL, 100)
        assert plan.end_sweep(0, 101) == []
        assert plan.begin_sweep(FULL, 101) is None
        assert plan.next_described(FULL, 101) is not None

    def test_what_is_too_young_to_be_listed_is_left_to_the_next_sweep(self) -> None:
        """ListBackups may be some seconds behind."""
        plan = planner(50, joined=LISTING_LAG - 1)
        plan.begin_sweep(FULL, 100)
        assert len(plan.end_sweep(0, 101)) == 50

    def test_a_sweep_that_was_cut_short_says_nothing_of_anyone(self) -> None:
        """Nor of what others have made."""
        plan = planner(50, joined=LISTING_LAG)
        plan.begin_sweep(FULL, 100)
        assert plan.end_sweep(None, 101) == []
        assert plan.begin_sweep(FULL, 101) is not None

    def test_a_sweep_with_nothing_left_to_show_is_not_needed(self) -> None:
        """All may have been described meanwhile."""
        plan = planner(50)
        sweep = plan.begin_sweep(FULL, 100)
        assert sweep is not None
        assert plan.is_needed()
        for entry in plan.entries.values():
            entry.awaited = False
        assert not plan.is_needed()

    def test_a_describe_that_failed_leaves_a_sweep_needed(self) -> None:
        """It has said nothing: the sweep goes on from its cursor."""
        plan = planner(50)
        sweep = plan.begin_sweep(FULL, 100)
        assert sweep is not None
        for entry in plan.entries.values():
            entry.polled = 101
        assert plan.is_needed()

    def test_denied_lists_are_tried_again_after_five_minutes(self) -> None:
        """A policy may have changed."""
        plan = planner(50)
        plan.begin_sweep(FULL, 100)
        plan.denied(100)
        assert plan.begin_sweep(FULL, 399) is None
        assert plan.next_described(FULL, 399) is not None
        assert plan.begin_sweep(FULL, 400) is not None


@given(
    ages=st.lists(st.one_of(st.none(), st.floats(0, 7 * 24 * HOUR)), min_size=1, max_size=60),
    describe=st.floats(0.1, 5),
    sweep=st.floats(0.05, 2.5),
    events=st.lists(st.sampled_from(["fails", "succeeds", "denied", "ends"]), max_size=6),
)
def test_no_backup_is_left_without_a_call_while_describe_has_rate_left(
    ages: list[float | None], describe: float, sweep: float, events: list[str]
) -> None:
    """Even if every sweep fails, each is described in the end, those longest without an answer first."""
    plan, rates, now = Planner(), Rates(describe, sweep), 100.0
    for index, age in enumerate(ages):
        arn = arns(age or 0)[0]
        text = arn.text.replace("/orders/", f"/table-{index}/")
        waited = BackupArn.parse(text if age is not None else f"{text}-of-another-shape")
        plan.add(waited.text, waited.created_hint, now, now)
    for event in events:
        plan.sweep or plan.begin_sweep(rates, now)
        if event == "denied":
            plan.denied(now)
        elif event == "ends":
            plan.end_sweep(0, now)
        else:
            plan.page_ended(failed=event == "fails")
        now += 1
    plan.sweep or plan.begin_sweep(rates, now)
    described = set()
    # No page ever comes: patience ends after its ten seconds and twice the pages.
    for _ in range(len(ages)):
        now += 300
        entry = plan.next_described(rates, now)
        if entry is None:
            assert plan.sweep is None
            assert plan.begin_sweep(rates, now) is not None
            now += 300
            entry = plan.next_described(rates, now)
        assert entry is not None
        entry.awaited = False
        entry.due = inf
        described.add(entry.key)
    assert len(described) == len(ages)


class Simulation:
    """A planner, asked as the poller asks it, of calls that succeed by chance.

    :param count: backups that are waited for, all of them CREATING for ever
    :param rates: the calls per second
    :param chances: of a describe and of a page
    """

    def __init__(self, count: int, rates: Rates, chances: tuple[float, float], random: Random) -> None:
        self.plan = planner(count, joined=LISTING_LAG)
        self.rates = rates
        self.chances = chances
        self.random = random
        self.answered: set[str] = set()
        self.page = 0

    def run(self, seconds: float) -> None:
        """Let so many seconds pass, or until each backup is answered."""
        now = described = listed = 100.0
        while now < 100 + seconds and len(self.answered) < len(self.plan.entries):
            now = min(described, listed)
            if described <= now:
                self.describe(now)
                described = now + 1 / self.rates.describe
            else:
                self.list(now)
                listed = now + 1 / self.rates.list

    def describe(self, now: float) -> None:
        """Describe what the planner says."""
        entry = self.plan.next_described(self.rates, now)
        if entry:
            self.deliver(entry, now, succeeded=self.random.random() < self.chances[0])

    def list(self, now: float) -> None:
        """Read a page of the sweep on its way, or of a new one."""
        if self.plan.sweep and not self.plan.is_needed():
            self.plan.end_sweep(None, now)
        if self.plan.sweep is None:
            self.page = 0
            if self.plan.begin_sweep(self.rates, now) is None:
                return
        if self.random.random() >= self.chances[1]:
            self.plan.page_ended(failed=True)
            return
        self.plan.page_ended(failed=False)
        entries = list(self.plan.entries.values())
        for entry in entries[100 * self.page : 100 * self.page + 100]:
            if self.plan.sweep and self.plan.sweep.covers(entry.created_at):
                self.deliver(entry, now, succeeded=True)
        self.page += 1
        if 100 * self.page >= len(entries):
            for young in self.plan.end_sweep(0, now):
                young.due = now + 5

    def deliver(self, entry: Entry, now: float, *, succeeded: bool) -> None:
        """Take in what a call has said of a backup."""
        entry.polled, entry.missed, entry.due = now, False, now + 5
        entry.told(answered=succeeded, throttled=not succeeded)
        if succeeded:
            self.answered.add(entry.key)


@settings(deadline=None)
@given(
    count=st.integers(1, 3) | st.integers(1, 250),
    describe=st.floats(1, 5),
    sweep=st.floats(0.1, 2.5),
    chances=st.sampled_from([(1, 0), (0.3, 0), (0.3, 0.3), (0, 1), (0, 0.3), (1, 1)]),
    # Draws of hypothesis's own end an example that has many, with those that never end among them.
    seed=st.integers(0, 2**32),
)
def test_each_is_answered_while_either_operation_has_rate_left(
    count: int, describe: float, sweep: float, chances: tuple[float, float], seed: int
) -> None:
    """Whether pages fail, some or all of them, or describes."""
    simulation = Simulation(count, Rates(describe, sweep), chances, Random(seed))  # noqa: S311  # no secret
    simulation.run(20_000)
    assert len(simulation.answered) == count
