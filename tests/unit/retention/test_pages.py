"""What the documentation's pages show of prunes and policies is what they do.

``WRITE_PAGES=1`` writes the files anew: read the difference, and the lines on the pages that explain it.
"""

from __future__ import annotations

import csv
import io
import os
import re
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from airflow_ddb_backup.models import Table
from airflow_ddb_backup.retention.plan import make_plan
from airflow_ddb_backup.retention.policy import RetentionPolicy
from tests.unit.retention.support import DAY, backup, created, prune

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow.providers.common.compat.sdk import Context

    from airflow_ddb_backup.models import Backup
    from airflow_ddb_backup.retention.plan import Plan
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

DOCS = Path(__file__).parents[3] / "docs"
#: one message of a task's log as Airflow prints it, of this package's
LINE = re.compile(
    r"\S+ \[(info|warning) *\] (.*?) *\[airflow\.task\S+airflow_ddb_backup\S+\](?: loc=\S+)?\s*", re.DOTALL
)
TWO = datetime(2026, 1, 1, 2, tzinfo=UTC)
TABLES = {"orders": Table("orders", "", "the table", "ACTIVE", TWO)}
#: of the table in the example of costs
GIGABYTES = 100
POLICIES: dict[str, RetentionPolicy] = {
    "keep_last=30": RetentionPolicy(keep_last=30),
    "keep_daily=7, keep_weekly=4, keep_monthly=12": RetentionPolicy(keep_daily=7, keep_weekly=4, keep_monthly=12),
    "keep_daily=35, keep_monthly=12, keep_yearly=7": RetentionPolicy(keep_daily=35, keep_monthly=12, keep_yearly=7),
    "keep_within=timedelta(days=14)": RetentionPolicy(keep_within=timedelta(days=14)),
    "older_than=timedelta(days=35)": RetentionPolicy(older_than=timedelta(days=35)),
}


def assert_page_shows(name: str, text: str) -> None:
    """Assert that a file that a page includes is what the code makes."""
    path = DOCS / name
    if "WRITE_PAGES" in os.environ:
        path.write_text(text)
    assert path.read_text() == text


def plan(policy: RetentionPolicy, backups: Iterable[Backup], now: datetime) -> Plan:
    """Return what a prune would do."""
    return make_plan(policy, backups, TABLES, now, dropped_tables=False)


def nights(policy: RetentionPolicy, first: int, last: int, backups: Iterable[Backup] = ()) -> list[Backup]:
    """Return what is left once each of these nights has had a backup, and a prune behind it."""
    left = list(backups)
    for night in range(first, last):
        at = TWO + timedelta(days=night)
        left.append(backup(at, f"nightly-{at:%Y-%m-%d}", size_bytes=GIGABYTES << 30))
        left = plan(policy, left, at + timedelta(minutes=5)).kept
    return left


def test_what_a_policy_keeps_of_a_backup_every_night() -> None:
    """After a month, a year and three; how far back that reaches; and what 60 nights without a new backup leave."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    oldest, outage = "the oldest, after a year", "after 60 nights without a backup"
    writer.writerow(["policy", "30 nights", "a year", "3 years", oldest, outage])
    for text, policy in POLICIES.items():
        month = nights(policy, 0, 30)
        year = nights(policy, 30, 365, month)
        end = TWO + timedelta(days=364)
        past = plan(policy, year, end + timedelta(days=60)).kept
        three = nights(policy, 365, 3 * 365, year)
        age = (end - min(backup.created_at for backup in year)).days
        writer.writerow([f"``{text}``", len(month), len(year), len(three), f"{age} days", len(past)])
    assert_page_shows("policies.csv", rows.getvalue())


def test_which_backups_the_example_keeps_of_a_year() -> None:
    """Each with its reasons, as the log of a prune shows them."""
    policy = POLICIES["keep_daily=7, keep_weekly=4, keep_monthly=12"]
    year, now = nights(policy, 0, 365), TWO + timedelta(days=364, minutes=5)
    assert_page_shows("policies.txt", "\n".join(plan(policy, year, now).rows(now)) + "\n")


def test_the_page_of_policies_says_what_they_cost() -> None:
    """In GB-months a month, of a table that does not grow."""
    page = (DOCS / "policies.rst").read_text()
    for text in ("keep_daily=7, keep_weekly=4, keep_monthly=12", "keep_last=30"):
        kept = len(nights(POLICIES[text], 0, 365))
        assert f"``{text}`` keeps {kept} copies, {kept * GIGABYTES:,} GB-months" in page
    assert f"{365 * GIGABYTES:,} GB-months" in page


@pytest.fixture
def _in_november(clock: Clock, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_start", datetime(2026, 11, 25, 2, 5, 30, tzinfo=UTC).timestamp())
    numbers = count(1)
    control_plane.make_backup_id = lambda: f"0179{next(numbers):010}-5f18e9c8"


@pytest.mark.skipif(
    Version(version("apache-airflow")) < Version("3.3"), reason="the pages show the log as Airflow 3.3 prints it"
)
@pytest.mark.usefixtures("_in_november")
@pytest.mark.parametrize(("name", "plan_only"), [("prune_plan.txt", True), ("prune_log.txt", False)])
def test_the_log_of_a_prune(
    control_plane: ControlPlane, context: Context, log: Callable[[], str], name: str, plan_only: bool
) -> None:
    """Of a table with a backup every night, and one whose backups have failed for two weeks."""
    (customers,) = created(control_plane, "customers")
    for table, ages in (("orders", (40, 25, 9, 8, 7, 6, 2, 1, 0)), (customers, (17, 16, 15))):
        for age in ages:
            night = datetime(2026, 11, 25, tzinfo=UTC) - timedelta(days=age)
            (arn,) = control_plane.add_backups(table, 1, f"nightly-{night:%Y-%m-%d}", age=DAY * age + 330)
            if age == 25:
                control_plane.restoring.add(arn)
    prune(context, table_names=["orders", customers], keep_daily=3, keep_weekly=2, plan_only=plan_only)
    messages = map(LINE.fullmatch, re.split(r"^(?=\d{4}-\d\d-\d\dT)", log(), flags=re.MULTILINE))
    lines = [f"{one[1].upper():7} {one[2]}\n" for one in messages if one and "Task Runner" not in one[2]]
    assert_page_shows(name, "".join(lines))
