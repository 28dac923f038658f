"""The worker's clock, AWS's as far as it is known, and deadlines."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.clock import Clock, Deadline

if TYPE_CHECKING:
    from tests.simulator.clock import Clock as SimulatedClock

DATE = "Mon, 23 Nov 2026 09:15:13 GMT"
AT = datetime(2026, 11, 23, 9, 15, 13, tzinfo=UTC).timestamp()


def earliest(clock: Clock, moment: float) -> float:
    """Return the lower bound of AWS's clock in Unix seconds."""
    return clock.earliest(moment).timestamp()


def test_until_a_response_tells_aws_s_clock_is_at_most_five_minutes_behind(clock: SimulatedClock) -> None:
    """A header that can't be read tells nothing."""
    known = Clock()
    known.observe(None, 0, 1)
    known.observe("yesterday", 0, 1)
    known.observe("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", 0, 1)
    assert earliest(known, clock.monotonic()) == pytest.approx(clock.time() - 300)


def test_the_narrowest_bounds_of_all_responses_hold() -> None:
    """A header has whole seconds, and its response took some time to travel."""
    clock = Clock()
    clock.observe(DATE, AT - 100, AT - 90)
    clock.observe(DATE, AT - 100.2, AT - 100)
    assert earliest(clock, AT - 100) == pytest.approx(AT)


def test_a_response_that_contradicts_those_before_counts() -> None:
    """AWS's hosts may differ."""
    clock = Clock()
    clock.observe(DATE, AT - 100, AT - 100)
    clock.observe(DATE, AT + 50, AT + 50)
    assert earliest(clock, AT + 50) == pytest.approx(AT)


def test_a_backup_of_that_very_moment_is_not_from_before() -> None:
    """AWS's times have whole milliseconds, and the bounds of many responses are closer than that."""
    clock, made = Clock(), AT + 0.9998
    clock.observe(DATE, made, made)
    clock.observe("Mon, 23 Nov 2026 09:15:14 GMT", made + 0.0003, made + 0.0003)
    assert int(made * 1000) / 1000 >= earliest(clock, made) > made - 0.002


@given(offset=st.floats(-300, 300), calls=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1))
def test_aws_s_clock_is_not_before_its_bound(offset: float, calls: list[tuple[float, float]]) -> None:
    """However long requests and responses take, in whatever part of a second they come."""
    clock, now = Clock(), AT
    for there, back in calls:
        date = format_datetime(datetime.fromtimestamp(int(now + there + offset), tz=UTC), usegmt=True)
        clock.observe(date, now, now + there + back)
        now += there + back
        assert earliest(clock, now) - 1e-3 <= now + offset <= earliest(clock, now) + 1 + 20 + 2e-3


@pytest.mark.parametrize("ppm", [-500, -20, 20, 50, 100, 500])
def test_a_clock_that_drifts_for_hours_is_bounded_still(ppm: int) -> None:
    """As a worker's does while NTP corrects it; a bound of long ago is no narrower than those since."""
    clock = Clock()
    for now in range(0, 7200, 7):
        true = AT + 0.3 + now * (1 - ppm * 1e-6)
        clock.observe(format_datetime(datetime.fromtimestamp(int(true), tz=UTC), usegmt=True), now - 0.02, now + 0.02)
        for moment in (now, now + 600):
            late = AT + 0.3 + moment * (1 - ppm * 1e-6)
            assert late - 3 < earliest(clock, moment) <= late + 1e-3


class WallClock:
    """A source of time whose wall clock somebody sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.set_by = 0.0

    def time(self) -> float:
        """Return Unix seconds."""
        return self.now + self.set_by

    def monotonic(self) -> float:
        """Return seconds of a clock that nobody sets."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.now += seconds


class TestDeadline:
    """When time is up."""

    @pytest.mark.parametrize("step", [-3600.0, 3600.0])
    def test_a_wall_clock_that_is_set_moves_no_deadline(self, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
        """Durations go by the monotonic clock."""
        source = WallClock()
        monkeypatch.setattr(Clock, "source", source)
        deadline = Deadline.after(60)
        source.set_by = step
        deadline.sleep(59)
        assert (deadline.left, deadline.passed) == (1, False)
        deadline.sleep(59)
        assert (deadline.left, deadline.passed) == (0, True)

    def test_it_crosses_to_another_process_as_unix_seconds(self, clock: SimulatedClock) -> None:
        """A triggerer may be another machine."""
        deadline = Deadline.after(60)
        clock.sleep(20)
        assert Deadline.at_time(deadline.at).left == pytest.approx(40)

    def test_the_earlier_of_two_counts(self, clock: SimulatedClock) -> None:
        """A part of a task has its own limit, within the task's."""
        assert Deadline.after(60).within(10).left == pytest.approx(10)
        assert Deadline.after(60).within(100).left == pytest.approx(60)

    def test_nobody_sleeps_beyond_it(self, clock: SimulatedClock) -> None:
        """However long the pause would be."""
        begun = clock.monotonic()
        Deadline.after(5).sleep(100)
        assert clock.monotonic() - begun == pytest.approx(5)
