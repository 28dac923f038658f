"""Which backups are kept, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.retention.policy import KEEP_COUNTS, RetentionPolicy
from tests.unit.retention.support import BERLIN, INSTANT, NOW, POLICIES, backup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_ddb_backup.models import Backup


def nightly(days: int, newest: datetime = NOW - timedelta(hours=1)) -> list[Backup]:
    """Return a backup of each of the last days, the newest first."""
    return [backup(newest - timedelta(days=day)) for day in range(days)]


def kept(policy: RetentionPolicy, backups: Iterable[Backup], now: datetime = NOW) -> list[tuple[str, ...]]:
    """Return the reasons for each AVAILABLE backup, the newest first; none where it is deleted."""
    return [decision.reasons for decision in policy.decide(backups, now)]


def only(**rules: Any) -> RetentionPolicy:
    """Return a policy of these rules alone."""
    return RetentionPolicy(**{"minimum_redundancy": 0} | rules)


class TestRules:
    """As restic's documentation has them."""

    def test_last_keeps_the_newest(self) -> None:
        """However old they are."""
        assert kept(only(keep_last=2), nightly(4)) == [("last",), ("last",), (), ()]

    @pytest.mark.parametrize(
        ("rule", "reason", "step"),
        [
            ("keep_hourly", "hourly", timedelta(minutes=30)),
            ("keep_daily", "daily", timedelta(hours=12)),
            ("keep_weekly", "weekly", timedelta(days=3, hours=12)),
        ],
    )
    def test_a_rule_keeps_the_newest_of_each_period(self, rule: str, reason: str, step: timedelta) -> None:
        """Here there are two in each."""
        newest = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
        backups = [backup(newest - turn * step) for turn in range(6)]
        assert kept(only(**{rule: 2}), backups) == [(reason,), (), (reason,), (), (), ()]

    @pytest.mark.parametrize(
        ("rule", "reason", "days"), [("keep_monthly", "monthly", [31, 30]), ("keep_yearly", "yearly", [366, 365])]
    )
    def test_months_and_years_have_their_own_lengths(self, rule: str, reason: str, days: list[int]) -> None:
        """A leap year too."""
        first = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=days[0])
        backups = [backup(first), backup(first - timedelta(seconds=1)), backup(first - timedelta(seconds=2))]
        assert kept(only(**{rule: 9}), backups) == [(reason,), (reason,), ()]

    def test_periods_without_a_backup_do_not_count(self) -> None:
        """Three daily ones may reach back a year."""
        backups = [backup(NOW - timedelta(days=days)) for days in (1, 100, 365, 400)]
        assert kept(only(keep_daily=3), backups) == [("daily",)] * 3 + [()]

    def test_rules_are_joined_by_or(self) -> None:
        """Each kept backup has all of its reasons."""
        assert kept(only(keep_last=1, keep_daily=2), nightly(3)) == [("last", "daily"), ("daily",), ()]

    def test_within_counts_from_the_newest(self) -> None:
        """An outage of the backups themselves deletes nothing."""
        backups = nightly(4, newest=NOW - timedelta(days=90))
        assert kept(only(keep_within=timedelta(days=2)), backups) == [("within 2 days, 0:00:00",)] * 3 + [()]

    def test_older_than_counts_from_now(self) -> None:
        """Alone it is retention by age."""
        reasons = kept(only(older_than=timedelta(hours=25)), nightly(3))
        assert reasons == [("not older than 1 day, 1:00:00",)] * 2 + [()]

    def test_names_and_patterns_are_kept(self) -> None:
        """They are compared as they are written."""
        names = ["release-1", "Release-2", "nightly"]
        backups = [backup(NOW - timedelta(days=day + 1), name) for day, name in enumerate(names)]
        assert kept(only(keep_names=["release-*", "nightly"]), backups) == [("name",), (), ("name",)]

    def test_names_that_are_kept_do_not_count(self) -> None:
        """They may be another task's: its newest is not this one's."""
        names = ["nightly-eu-2", "nightly-eu-1", "nightly-2", "nightly-1"]
        backups = [backup(NOW - timedelta(days=day + 1), name) for day, name in enumerate(names)]
        policy = RetentionPolicy(keep_last=1, keep_names=["nightly-eu-*"])
        assert kept(policy, backups) == [("name",), ("name",), ("minimum redundancy", "last"), ()]

    def test_a_backup_from_the_future_is_the_newest(self) -> None:
        """It was made since the task began, so it stays."""
        backups = [backup(NOW + timedelta(days=1)), backup(NOW - timedelta(days=1))]
        assert kept(only(keep_last=1), backups) == [("last", "made since the task began"), ()]

    def test_nothing_made_since_the_task_began_is_deleted(self) -> None:
        """The rules do not matter."""
        backups = [backup(NOW + timedelta(seconds=1)), backup(NOW), backup(NOW - timedelta(seconds=1))]
        assert kept(only(keep_yearly=1), backups)[1:] == [("made since the task began",), ()]

    def test_of_two_from_one_instant_the_same_one_is_kept_each_time(self) -> None:
        """The order of the listing does not matter."""
        backups = [backup(NOW, number=1), backup(NOW, number=2)]
        policy = only(keep_last=1)
        assert policy.decide(backups, NOW) == policy.decide(backups[::-1], NOW)


class TestTimeZones:
    """Days, weeks and months are those of the policy's time zone."""

    def test_a_day_ends_at_local_midnight(self) -> None:
        """23:30 and 00:30 in Berlin are one day in UTC."""
        backups = [
            backup(datetime(2026, 7, 2, 0, 30, tzinfo=BERLIN)),
            backup(datetime(2026, 7, 1, 23, 30, tzinfo=BERLIN)),
        ]
        assert kept(only(keep_daily=2, timezone=BERLIN), backups) == [("daily",), ("daily",)]
        assert kept(only(keep_daily=2), backups) == [("daily",), ()]

    def test_the_hour_that_is_repeated_is_two(self) -> None:
        """When summer time ends."""
        second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
        backups = [backup(second), backup(second - timedelta(hours=1))]
        assert kept(only(keep_hourly=2, timezone=BERLIN), backups) == [("hourly",), ("hourly",)]

    def test_a_month_ends_at_local_midnight(self) -> None:
        """In Auckland it is October already."""
        auckland = ZoneInfo("Pacific/Auckland")
        backups = [backup(datetime(2026, 9, 30, 12, tzinfo=UTC)), backup(datetime(2026, 9, 30, 10, tzinfo=UTC))]
        assert kept(only(keep_monthly=2, timezone=auckland), backups) == [("monthly",), ("monthly",)]
        assert kept(only(keep_monthly=2), backups) == [("monthly",), ()]

    def test_the_last_days_of_december_may_be_in_the_first_week(self) -> None:
        """ISO weeks have a year of their own."""
        backups = [backup(datetime(2025, 1, 1, tzinfo=UTC)), backup(datetime(2024, 12, 30, tzinfo=UTC))]
        assert kept(only(keep_weekly=2), backups) == [("weekly",), ()]


class TestRedundancy:
    """The last good backup stays."""

    def test_the_newest_available_one_stays_without_any_rule(self) -> None:
        """However old it is."""
        policy = RetentionPolicy(older_than=timedelta(days=1))
        assert kept(policy, nightly(3, newest=NOW - timedelta(days=90))) == [("minimum redundancy",), (), ()]

    @pytest.mark.parametrize("status", ["CREATING", "DELETED", "of another year"])
    def test_others_neither_count_nor_are_deleted(self, status: str) -> None:
        """A month of them deletes nothing of the last good ones."""
        failed = [backup(NOW - timedelta(days=day), status=status) for day in range(30)]
        good = nightly(2, newest=NOW - timedelta(days=40))
        assert kept(RetentionPolicy(keep_last=1), [*failed, *good]) == [("minimum redundancy", "last"), ()]

    def test_zero_is_for_a_sweep(self) -> None:
        """Then nothing stays."""
        assert kept(only(older_than=INSTANT), nightly(2, newest=NOW - timedelta(days=1))) == [(), ()]


BACKUPS = st.lists(
    st.builds(
        backup,
        st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # it has one
        name=st.sampled_from(["nightly-1", "release-1"]),
        status=st.sampled_from(["AVAILABLE", "AVAILABLE", "AVAILABLE", "CREATING", "DELETED"]),
        number=st.integers(0, 2**32 - 1),
    ),
    max_size=30,
    unique_by=lambda made: made.arn.text,
)


def deleted(policy: RetentionPolicy, backups: Iterable[Backup]) -> set[str]:
    """Return the ARNs that a policy deletes."""
    return {decision.backup.arn.text for decision in policy.decide(backups, NOW) if not decision.kept}


@given(backups=BACKUPS, policy=POLICIES)
def test_the_newest_available_ones_are_never_deleted(backups: list[Backup], policy: RetentionPolicy) -> None:
    """As many as the minimum redundancy, or all that there are; and nothing that is not AVAILABLE."""
    available = {one.arn.text for one in backups if one.status == "AVAILABLE"}
    gone = deleted(policy, backups)
    assert gone <= available
    assert len(available - gone) >= min(policy.minimum_redundancy, len(available))


@given(backups=BACKUPS, policy=POLICIES)
def test_a_second_run_at_the_same_moment_deletes_nothing_more(backups: list[Backup], policy: RetentionPolicy) -> None:
    """The plan does not depend on what it deletes."""
    gone = deleted(policy, backups)
    assert not deleted(policy, [one for one in backups if one.arn.text not in gone])


@given(
    backups=BACKUPS, policy=POLICIES, name=st.sampled_from([*KEEP_COUNTS, "minimum_redundancy"]), more=st.integers(1, 5)
)
def test_a_higher_number_never_deletes_more(
    backups: list[Backup], policy: RetentionPolicy, name: str, more: int
) -> None:
    """Nor does one more rule, whose number was 0."""
    changes: dict[str, Any] = {name: getattr(policy, name) + more}
    assert deleted(replace(policy, **changes), backups) <= deleted(policy, backups)


@given(backups=BACKUPS, policy=POLICIES, span=st.timedeltas(INSTANT, timedelta(days=800)))
def test_a_further_span_or_name_never_deletes_more(
    backups: list[Backup], policy: RetentionPolicy, span: timedelta
) -> None:
    """Rules are joined by OR."""
    for changes in ({"keep_within": span}, {"older_than": span}, {"keep_names": ("nightly-*", "release-*")}):
        without = replace(policy, **dict.fromkeys(changes, None if "keep_names" not in changes else ()))
        assert deleted(replace(policy, **changes), backups) <= deleted(without, backups)


@given(backups=BACKUPS, policy=POLICIES, age=st.timedeltas(timedelta(seconds=1), timedelta(days=900)))
def test_an_older_backup_never_deletes_a_newer_one(
    backups: list[Backup], policy: RetentionPolicy, age: timedelta
) -> None:
    """It comes after all others."""
    oldest = min((one.created_at for one in backups), default=NOW) - age
    assert deleted(policy, [*backups, backup(oldest)]) - {backup(oldest).arn.text} == deleted(policy, backups)
