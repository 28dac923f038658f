"""How fast AWS may be asked. No calls, no clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.rates import AdaptiveRate, RateLimit
from tests.simulator.rules import Bucket

if TYPE_CHECKING:
    from tests.simulator.clock import Clock


def test_half_of_the_documented_rate_is_a_poller_s_share() -> None:
    """The other half is everyone else's."""
    rate = AdaptiveRate(10)
    assert (rate.full, rate.per_second(0), rate.interval(0)) == (5, 5, 0.2)


def test_a_throttled_call_halves_it_at_most_once_a_second() -> None:
    """A burst is one sign of load, not many."""
    rate = AdaptiveRate(10)
    for now in (0.0, 0.3, 0.6, 0.9):
        rate.throttled(now)
    assert rate.per_second(0.9) == pytest.approx(2.5, abs=0.3)
    rate.throttled(1.0)
    assert rate.per_second(1.0) == pytest.approx(1.25, abs=0.2)


def test_it_comes_back_with_time_not_with_calls() -> None:
    """Within 16 s, however slow it was."""
    rate = AdaptiveRate(10)
    for now in range(20):
        rate.throttled(now)
    assert rate.per_second(19) < 5 / 8
    assert rate.per_second(19 + 8) >= 2.5
    assert rate.per_second(19 + 16) == 5


@given(st.lists(st.floats(0, 100), max_size=50))
def test_it_is_never_faster_than_its_share_and_never_stops(throttled_at: list[float]) -> None:
    """Whenever calls were throttled."""
    rate = AdaptiveRate(5)
    for now in sorted(throttled_at):
        rate.throttled(now)
        assert 2.5 / 33 < rate.per_second(now) <= 2.5
        assert 0.4 <= rate.interval(now) < 3.5


@pytest.mark.parametrize("pollers", [1, 2, 5, 20])
def test_several_pollers_together_use_most_of_the_documented_rate(pollers: int) -> None:
    """Each knows only of its own throttled calls; a second of the account serves five, the rest are throttled."""
    rates = [AdaptiveRate(5) for _ in range(pollers)]
    credit = [0.0] * pollers
    served, bucket, seconds = 0, 5.0, 300
    for tick in range(seconds * 20):
        now = tick / 20
        bucket = min(5.0, bucket + 5 / 20)
        for index, rate in enumerate(rates):
            credit[index] += rate.per_second(now) / 20
            if credit[index] < 1:
                continue
            credit[index] -= 1
            if bucket >= 1:
                bucket, served = bucket - 1, served + 1
            else:
                rate.throttled(now)
    assert served / seconds >= 2.4


class TestRateLimit:
    """On a worker."""

    def test_calls_are_spaced_at_half_of_the_documented_rate(self, clock: Clock) -> None:
        """The first one is made at once."""
        limit, begun = RateLimit(10), clock.time()
        taken = []
        for _ in range(4):
            limit.acquire()
            taken.append(round(clock.time() - begun, 3))
        assert taken == [0, 0.2, 0.4, 0.6]

    def test_a_throttled_call_slows_it_down_for_seconds(self, clock: Clock) -> None:
        """It recovers with time."""
        limit, begun = RateLimit(10), clock.time()
        for _ in range(3):
            limit.acquire()
            limit.throttled()
            clock.sleep(1)
        slow = clock.time()
        for _ in range(5):
            limit.acquire()
        assert clock.time() - slow > 5 * 0.2
        clock.sleep(16)
        fast = clock.time()
        for _ in range(6):
            limit.acquire()
        assert clock.time() - fast == pytest.approx(1.0, abs=0.25)
        assert clock.time() > begun

    def test_a_call_waits_for_a_few_seconds_at_most(self, clock: Clock) -> None:
        """However often it was throttled: the wait is a part of the call, which ends within 10 s."""
        limit = RateLimit(5)
        for _ in range(50):
            limit.throttled()
            begun = clock.time()
            limit.acquire()
            assert clock.time() - begun < 4

    def test_nobody_waits_longer_than_asked(self, clock: Clock) -> None:
        """Where others wait already: the call is not made, and takes no turn."""
        limit = RateLimit(5)
        for _ in range(5):
            limit.throttled()
            clock.sleep(1)
        begun = clock.time()
        assert limit.acquire()
        assert not limit.acquire(0.1)
        assert clock.time() - begun < 0.1
        assert limit.acquire()


@pytest.mark.anyio
class TestTurns:
    """On an event loop."""

    @pytest.mark.parametrize("phase", [0.0, 0.05, 0.1, 0.15])
    async def test_throttled_calls_are_not_in_step_with_a_neighbour(self, phase: float) -> None:
        """Some pass in every phase; evenly spaced ones find AWS's limit empty each time in some of them."""
        limit, loop = RateLimit(5), asyncio.get_running_loop()
        aws = Bucket(5, 5, loop.time)
        aws.set_neighbour(8)
        await asyncio.sleep(60 - loop.time() % 60 + phase)
        start, passed = loop.time(), 0
        while loop.time() < start + 600:
            await limit.turn()
            if aws.take():
                passed += 1
            else:
                limit.throttled()
        assert passed > 80
