"""What is asked next, and how fast. No calls, no clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.waiting.planner import (
    DESCRIBED_PER_ROUND,
    AdaptiveRate,
    Plan,
    Sweep,
    Traffic,
    missed,
    plan_round,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = 3600.0


def made(seconds_ago: float, count: int = 1) -> list[BackupArn]:
    """Return backups made so long before noon, each a millisecond after the one before."""
    first = int((NOON.timestamp() - seconds_ago) * 1000)
    arns = (f"arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/0{first + n}-770da1ee" for n in range(count))
    return [BackupArn.parse(arn) for arn in arns]


def planned(due: list[BackupArn], waiting: list[BackupArn] | None = None, others: int = 0) -> Plan:
    """Plan a round; an earlier sweep of an hour has shown so many backups that nobody waits for."""
    traffic = Traffic()
    traffic.learn(Sweep(NOON - timedelta(hours=1), NOON), others)
    return plan_round(due, waiting or due, traffic)


class TestPlan:
    """Whichever way takes fewer seconds of the documented rates."""

    @pytest.mark.parametrize("count", [1, 2])
    def test_a_few_are_described(self, count: int) -> None:
        """A describe costs a tenth of a second, a page a fifth."""
        assert planned(made(60, count)) == Plan(made(60, count))

    @pytest.mark.parametrize("count", [3, 300, 2500])
    def test_many_are_swept(self, count: int) -> None:
        """A page shows a hundred."""
        plan = planned(made(60, count))
        assert plan.sweep is not None
        assert not plan.describe

    def test_a_sweep_reaches_from_the_oldest_to_the_newest(self) -> None:
        """Its bounds are whole seconds of the request's time; what is waited for lies safely between."""
        plan = planned(made(60) + made(30) + made(10))
        assert plan.sweep is not None
        assert NOON - timedelta(seconds=65) < plan.sweep.lower <= NOON - timedelta(seconds=61)
        assert NOON - timedelta(seconds=9) <= plan.sweep.upper < NOON - timedelta(seconds=5)

    def test_an_old_backup_is_described_beside_the_sweep(self) -> None:
        """A sweep from its creation would read all that was made since."""
        old, young = made(30 * 24 * HOUR), made(60, 50)
        plan = planned(young[:25] + old + young[25:])
        assert plan.describe == old
        assert plan.sweep is not None
        assert plan.sweep.lower > NOON - timedelta(seconds=65)

    def test_what_is_not_due_is_paid_for_too(self) -> None:
        """A sweep shows it whether or not it is due: three of 2,500 are described."""
        waiting = made(60, 2500)
        assert planned(waiting[:3], waiting) == Plan(waiting[:3])

    def test_what_is_older_than_the_sweep_is_not_paid_for(self) -> None:
        """It is not on its pages."""
        assert planned(made(60, 3), made(60, 3) + made(600, 2500)).sweep is not None

    def test_a_busy_account_is_swept_less(self) -> None:
        """What others have made fills the pages: so many that three hundred calls are cheaper."""
        due = made(HOUR, 150) + made(0, 150)
        assert planned(due, others=10_000).sweep is not None
        assert planned(due, others=20_000) == Plan(due[:150], planned(due, others=20_000).sweep)
        assert planned(made(HOUR, 5) + made(0, 5), others=1000).describe == made(HOUR, 5)

    def test_a_quiet_hour_says_nothing_of_the_time_before(self) -> None:
        """One backup a night of each of 2,500 tables is assumed at least."""
        assert planned(made(30 * 24 * HOUR) + made(60, 50), others=0).describe == made(30 * 24 * HOUR)

    def test_those_longest_due_are_described_first(self) -> None:
        """Not the oldest: with too many for a round, the same ones would come every time."""
        due = made(10) + made(20)
        assert planned(due).describe == due


class TestMissed:
    """What a sweep should have shown."""

    def test_a_young_backup_is_left_to_the_next_sweep(self) -> None:
        """ListBackups may be some seconds behind."""
        assert missed(made(9) + made(11), NOON) == made(11)

    def test_no_round_takes_long(self) -> None:
        """Those that waited longest are described, the others next time."""
        assert missed(made(60, 100), NOON) == made(60, 100)[:DESCRIBED_PER_ROUND]


class TestPace:
    """Slower at once, faster slowly."""

    def test_half_of_the_rate_is_its_share(self) -> None:
        """The other half is everyone else's."""
        assert (AdaptiveRate(10).slot, AdaptiveRate(10).slots) == (0.2, 1)

    def test_each_throttled_call_halves_it(self) -> None:
        """Down to a sixteenth."""
        pace, seen = AdaptiveRate(10), []
        for _ in range(6):
            pace.throttled()
            seen.append(pace.slots)
        assert seen == [2, 4, 8, 16, 16, 16]

    def test_it_recovers_slowly(self) -> None:
        """Twenty calls must pass before it doubles, and as many again before it does so once more."""
        pace = AdaptiveRate(10)
        pace.throttled()
        pace.throttled()
        slots = []
        for _ in range(41):
            pace.passed()
            slots.append(pace.slots)
        assert (slots[18], slots[19], slots[38], slots[39], slots[40]) == (4, 2, 2, 1, 1)

    def test_a_throttled_call_makes_recovery_begin_anew(self) -> None:
        """What passed before does not count."""
        pace = AdaptiveRate(10)
        pace.throttled()
        for _ in range(19):
            pace.passed()
        pace.throttled()
        pace.passed()
        assert pace.slots == 4
