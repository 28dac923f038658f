"""Which tables have a fresh backup."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    CoverageTimeoutError,
    EmptySelectionError,
    ListBackupsDeniedError,
    OtherAccountError,
    TablesNotFreshError,
    TablesNotFreshForGoodError,
    TooManyTablesError,
)
from airflow_ddb_backup.limits import LARGEST_REPORT
from tests.simulator.faults import DROPPED_BEFORE_COMMIT, INTERNAL_ERROR, THROTTLED, Fault
from tests.unit.coverage.support import HOUR, SIZE, check, covered, operator, statuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane
    from tests.unit.conftest import FakeTaskInstance

DENIED = Fault(code="AccessDeniedException")
ALWAYS = 10_000


@pytest.fixture
def shop(control_plane: ControlPlane) -> ControlPlane:
    """Create a table of each kind; ``orders`` has no backup."""
    covered(control_plane, "fresh", 20, 44, 68)
    covered(control_plane, "late", 30.5, 54)
    return control_plane


class TestStatuses:
    """Of the tables."""

    def test_each_table_is_counted_as_what_it_is(self, shop: ControlPlane, context: Context) -> None:
        """Fresh, late, without, recreated, with system or AWS Backup's backups only, CREATING only."""
        covered(shop, "recreated", 1, 2)
        shop.drop_table("recreated")
        shop.create_table("recreated")
        covered(shop, "system", 1, kind="SYSTEM")
        covered(shop, "vault", 1, kind="AWS_BACKUP")
        (creating,) = covered(shop, "creating", 0.1)
        shop.statuses[creating] = "CREATING"
        covered(shop, "gone", 1)
        shop.drop_table("gone")
        report = check(context)
        assert statuses(report) == {
            "creating": "none",
            "fresh": "fresh",
            "late": "late",
            "orders": "none",
            "recreated": "none",
            "system": "none",
            "vault": "fresh",
        }
        assert report["counts"] == {"fresh": 2, "late": 1, "none": 4, "unknown": 0}

    def test_a_recreated_table_is_fresh_by_a_backup_of_its_own(self, shop: ControlPlane, context: Context) -> None:
        """And only that one is counted."""
        covered(shop, "recreated", 1, 2)
        shop.drop_table("recreated")
        (own,) = covered(shop, "recreated", 0)
        (row,) = check(context, table_names=["recreated"])["tables"]
        assert (row["status"], row["newest_backup_arn"], row["backups"]) == ("fresh", own, 1)

    def test_age_goes_by_aws_s_clock(self, control_plane: ControlPlane, context: Context) -> None:
        """The worker's may be off by minutes."""
        control_plane.clock_offset = 240
        covered(control_plane, "orders", 1 + 60 / HOUR)
        assert statuses(check(context, max_age=timedelta(hours=1))) == {"orders": "late"}

    def test_the_listing_is_read_page_by_page(self, shop: ControlPlane, context: Context) -> None:
        """An empty page is not the last: what is of no user still takes its place."""
        shop.add_backups("late", 250, kind="SYSTEM")
        for number in range(8):
            covered(shop, f"more-{number}")
        assert statuses(check(context))["fresh"] == "fresh"
        assert shop.calls["ListBackups"] == 3

    def test_a_few_tables_are_listed_one_by_one(self, shop: ControlPlane, context: Context) -> None:
        """If the account's listing has more pages than there are tables."""
        shop.add_backups("orders", 400)
        report = check(context, table_names=["fresh", "late"])
        assert statuses(report) == {"fresh": "fresh", "late": "late"}
        assert shop.calls["ListBackups"] == 1 + 2

    def test_a_pattern_s_table_that_vanishes_is_left_out_and_a_named_one_is_unknown(
        self, shop: ControlPlane, context: Context
    ) -> None:
        """A name may be wrong, and must not pass for a table without backups."""
        shop.statuses["late"] = "DELETING"
        assert set(statuses(check(context))) == {"fresh", "orders"}
        report = check(context, table_names=["fresh", "late", "nowhere"])
        assert statuses(report) == {"fresh": "fresh", "late": "unknown", "nowhere": "unknown"}

    def test_a_pattern_s_table_that_vanishes_while_it_is_looked_at_is_left_out(
        self, shop: ControlPlane, context: Context
    ) -> None:
        """Also between two calls about it."""
        shop.before("DescribeContinuousBackups", lambda: shop.drop_table("late"))
        with pytest.raises(AirflowSkipException):
            check(context, table_names=["lat*"], point_in_time_recovery=True, if_empty="skip")

    def test_tags_narrow_the_selection(self, shop: ControlPlane, context: Context, log: Callable[[], str]) -> None:
        """A named table that lacks them is left out, with a warning."""
        shop.tag_table("late", backup="nightly")
        report = check(context, table_names=["*", "fresh"], table_tags={"backup": "nightly"})
        assert statuses(report) == {"late": "late"}
        assert "Skipped, since it lacks the tags: table fresh" in log()

    def test_point_in_time_recovery_is_read_if_asked_for(self, shop: ControlPlane, context: Context) -> None:
        """Nothing else asks for it."""
        shop.switch_recovery("late")
        rows = check(context, point_in_time_recovery=True)["tables"]
        assert {row["table_name"]: row["point_in_time_recovery"] for row in rows} == {
            "fresh": False,
            "late": True,
            "orders": False,
        }
        shop.calls.clear()
        assert not any("point_in_time_recovery" in row for row in check(context)["tables"])
        assert shop.calls["DescribeContinuousBackups"] == 0


class TestUnknown:
    """What is not known is never fresh."""

    def test_half_of_the_calls_failing_leaves_the_other_half(
        self, control_plane: ControlPlane, context: Context
    ) -> None:
        """The report is complete, the task succeeds, and the text has the reason."""
        good, bad = (sorted(f"{kind}-{number}" for number in range(10)) for kind in ("allowed", "denied"))
        for name in (*good, *bad):
            covered(control_plane, name, 1)
        anywhere = {"Effect": "Allow", "Action": ["dynamodb:ListTables", "dynamodb:ListBackups"], "Resource": "*"}
        there = "arn:aws:dynamodb:us-east-1:123456789012:table/allowed-*"
        described = {"Effect": "Allow", "Action": "dynamodb:DescribeTable", "Resource": there}
        control_plane.policy = {"Statement": [anywhere, described]}
        report = check(context, exclude=["orders"])
        assert statuses(report) == dict.fromkeys(good, "fresh") | dict.fromkeys(bad, "unknown")
        assert report["counts"] == {"fresh": 10, "late": 0, "none": 0, "unknown": 10}
        row = report["tables"][-1]
        assert (row["newest_backup_arn"], row["backups"], row["bytes"]) == (None, None, None)
        assert "Not known: denied-0 (Access is denied: table 'denied-0', region 'us-east-1'." in report["text"]
        assert "dynamodb:DescribeTable" in report["text"]
        assert report["error"] is None

    @pytest.mark.parametrize("operation", ["ListTables", "ListBackups", "DescribeTable", "DescribeContinuousBackups"])
    @pytest.mark.parametrize("fault", [THROTTLED, INTERNAL_ERROR, DROPPED_BEFORE_COMMIT], ids=repr)
    def test_what_may_pass_is_tried_again(
        self, shop: ControlPlane, context: Context, operation: str, fault: Fault
    ) -> None:
        """None of it makes a table unknown."""
        shop.fail_next(operation, fault, times=3)
        report = check(context, point_in_time_recovery=True)
        assert report["counts"] == {"fresh": 1, "late": 1, "none": 1, "unknown": 0}

    @pytest.mark.parametrize("operation", ["DescribeTable", "DescribeContinuousBackups"])
    def test_a_table_that_can_t_be_read_in_time_is_unknown(
        self, shop: ControlPlane, context: Context, clock: Clock, operation: str
    ) -> None:
        """The others are not held up."""
        shop.fail_next(operation, Fault(code="ThrottlingException", table="fresh"), times=ALWAYS)
        begun = clock.time()
        report = check(context, point_in_time_recovery=True, timeout=600)
        assert statuses(report) == {"fresh": "unknown", "late": "late", "orders": "none"}
        assert clock.time() - begun <= 610

    def test_a_table_whose_own_listing_fails_is_unknown(self, shop: ControlPlane, context: Context) -> None:
        """Where each is listed."""
        shop.add_backups("orders", 400)
        # The account's listing comes first.
        shop.before("ListBackups", lambda: shop.fail_next("ListBackups", Fault(code="SomethingNewException")))
        report = check(context, table_names=["fresh", "late"])
        assert list(statuses(report).values()).count("unknown") == 1

    @pytest.mark.parametrize(
        ("fault", "kind"), [(DENIED, ListBackupsDeniedError), (INTERNAL_ERROR, AmbiguousOutcomeError)]
    )
    def test_without_a_listing_all_are_unknown_and_the_task_fails(
        self, shop: ControlPlane, context: Context, ti: FakeTaskInstance, fault: Fault, kind: type[Exception]
    ) -> None:
        """A check that could check nothing must not be green."""
        shop.fail_next("ListBackups", fault, times=ALWAYS)
        with pytest.raises(kind):
            check(context, timeout=60)
        report = ti.xcoms["report"]
        assert set(statuses(report).values()) == {"unknown"}
        assert report["counts"] == {"fresh": 0, "late": 0, "none": 0, "unknown": 3}
        assert report["error"] in report["text"]

    def test_a_denied_listing_fails_the_task_also_of_one_table(
        self, shop: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """IAM has no permission to list the backups of one table alone: no table can be checked."""
        shop.fail_next("ListBackups", DENIED, times=ALWAYS)
        with pytest.raises(ListBackupsDeniedError):
            check(context, table_names=["fresh"])
        assert statuses(ti.xcoms["report"]) == {"fresh": "unknown"}

    def test_what_was_known_before_the_end_is_judged_by_aws_s_clock_too(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """The worker's is four minutes behind, and would take the table for fresh."""
        control_plane.clock_offset = 240
        covered(control_plane, "known", 1 + 60 / HOUR)
        covered(control_plane, "other", 1)
        control_plane.add_backups("orders", 400)
        control_plane.fail_next("DescribeTable", Fault(code="ThrottlingException", table="other"))

        def deny_the_third() -> None:
            control_plane.before("ListBackups", lambda: control_plane.fail_next("ListBackups", DENIED))

        # The account's listing comes first, then that of the table whose description was not throttled.
        control_plane.before("ListBackups", deny_the_third)
        with pytest.raises(ListBackupsDeniedError):
            check(context, table_names=["known", "other"], max_age=timedelta(hours=1))
        assert statuses(ti.xcoms["report"]) == {"known": "late", "other": "unknown"}

    def test_no_page_is_read_after_the_timeout(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """Nothing is known then."""
        for number in range(10):
            control_plane.create_table(f"table-{number}")
        control_plane.add_backups("orders", 900)
        control_plane.delays["ListBackups"] = 9
        with pytest.raises(CoverageTimeoutError, match="could not be listed in time"):
            check(context, timeout=60)
        assert ti.xcoms["report"]["counts"]["unknown"] == 11
        assert control_plane.calls["ListBackups"] <= 7

    def test_a_connection_to_another_account_ends_the_task(self, shop: ControlPlane, context: Context) -> None:
        """Its tables are not those that were meant."""
        with pytest.raises(OtherAccountError, match="account_id is '210987654321'"):
            check(context, account_id="210987654321")


class TestReport:
    """What a person and a program read."""

    def test_the_report_is_the_contract_with_the_page(self, shop: ControlPlane, context: Context) -> None:
        """Each key of it."""
        report = check(context)
        (fresh, late, orders) = report["tables"]
        assert set(report) == {
            "kind",
            "version",
            "checked_at",
            "account",
            "region",
            "max_age_seconds",
            "counts",
            "backups",
            "bytes",
            "tables",
            "error",
            "text",
        }
        assert (report["kind"], report["version"]) == ("dynamodb_backup_coverage", 1)
        assert (report["account"], report["region"]) == ("123456789012", "us-east-1")
        assert (report["max_age_seconds"], report["error"]) == (26 * HOUR, None)
        assert (report["backups"], report["bytes"]) == (5, 5 * SIZE)
        assert (fresh["backups"], fresh["bytes"]) == (3, 3 * SIZE)
        assert late["newest_backup_arn"].startswith("arn:aws:dynamodb:us-east-1:123456789012:table/late/backup/")
        age = datetime.fromisoformat(report["checked_at"]) - datetime.fromisoformat(late["newest_backup_at"])
        assert abs(age - timedelta(hours=30.5)) < timedelta(seconds=5)
        assert orders == {
            "table_name": "orders",
            "status": "none",
            "newest_backup_arn": None,
            "newest_backup_at": None,
            "backups": 0,
            "bytes": 0,
        }
        assert json.loads(json.dumps(report)) == report

    def test_the_account_is_known_where_there_is_no_backup(self, control_plane: ControlPlane, context: Context) -> None:
        """The tables tell it."""
        assert check(context)["account"] == "123456789012"

    def test_the_text_is_for_the_morning(self, shop: ControlPlane, context: Context) -> None:
        """Who has none, who is late and how late, what it could not find out, and what there is in all."""
        assert check(context)["text"].splitlines() == [
            "1 of 3 tables have a backup that is at most 1 d 2 h old.",
            "Without an AVAILABLE backup: orders.",
            "Late: late (its newest backup is 1 d 6 h old).",
            f"5 backups, {5 * SIZE} bytes. AWS account 123456789012, region us-east-1.",
        ]

    def test_the_text_names_no_more_than_a_person_reads(self, control_plane: ControlPlane, context: Context) -> None:
        """The report has the others."""
        for number in range(30):
            control_plane.create_table(f"table-{number:02}")
        text = check(context)["text"]
        assert "table-17, table-18 and 11 more." in text
        assert "table-19" not in text

    def test_a_large_report_leaves_out_the_arns(
        self, shop: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And nothing else."""
        whole = check(context)
        monkeypatch.setattr("airflow_ddb_backup.coverage.check.LARGEST_REPORT", 500)
        small = check(context)
        for row in whole["tables"]:
            del row["newest_backup_arn"]
        assert small["tables"] == whole["tables"]
        assert LARGEST_REPORT == 500_000

    def test_a_task_that_fails_before_anything_pushes_a_report_too(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """Of a refused selection, say."""
        control_plane.create_table("customers")
        with pytest.raises(TooManyTablesError):
            check(context, max_tables=1)
        report = ti.xcoms["report"]
        assert (report["tables"], report["region"], report["max_age_seconds"]) == ([], "us-east-1", 26 * HOUR)
        assert report["error"].startswith("More tables are selected than max_tables allows")

    def test_an_empty_selection_fails_or_skips(self, control_plane: ControlPlane, context: Context) -> None:
        """As the task says; one whose tables all vanish is empty too."""
        with pytest.raises(EmptySelectionError):
            check(context, table_names=["nothing-*"])
        with pytest.raises(AirflowSkipException):
            check(context, table_names=["nothing-*"], if_empty="skip")
        control_plane.statuses["orders"] = "DELETING"
        with pytest.raises(EmptySelectionError):
            check(context)


class TestFailOn:
    """The statuses that fail the task."""

    def test_none_of_them_fails_it_by_default(self, shop: ControlPlane, context: Context, ti: FakeTaskInstance) -> None:
        """The next task reads what it returns, and the task links to the backups."""
        check(context)
        assert ti.xcoms == {"dynamodb_backups": {"region_name": "us-east-1", "aws_domain": "aws.amazon.com"}}

    @pytest.mark.parametrize(
        ("fail_on", "named"),
        [
            (["late"], ["late: Its newest backup is 1 d 6 h old."]),
            (("none",), ["orders: It has no AVAILABLE backup."]),
            ({"late", "none"}, ["2 failed, 1 are fresh", "late: ", "orders: "]),
        ],
        ids=["a list", "a tuple", "a set"],
    )
    def test_the_message_names_the_tables(
        self, shop: ControlPlane, context: Context, ti: FakeTaskInstance, fail_on: Any, named: list[str]
    ) -> None:
        """And the task is retried: a backup may be under way."""
        with pytest.raises(TablesNotFreshError) as failure:
            check(context, fail_on=fail_on)
        assert not isinstance(failure.value, TablesNotFreshForGoodError)
        assert all(text in str(failure.value) for text in named)
        report = ti.xcoms["report"]
        assert report["error"] == str(failure.value)
        assert report["text"].startswith("1 of 3 tables have a backup")
        assert report["counts"] == {"fresh": 1, "late": 1, "none": 1, "unknown": 0}

    def test_what_no_retry_can_fix_fails_it_for_good(self, shop: ControlPlane, context: Context) -> None:
        """Such as a missing permission."""
        shop.fail_next("DescribeTable", DENIED, times=3)
        with pytest.raises(TablesNotFreshForGoodError, match="3 failed, 0 are fresh. .*: Access is denied"):
            check(context, fail_on=["unknown"])

    def test_others_do_not_fail_it(self, shop: ControlPlane, context: Context) -> None:
        """Only those that are asked for."""
        assert check(context, fail_on=["unknown"])["counts"]["late"] == 1


def test_an_execution_timeout_ends_it(
    shop: ControlPlane, context: Context, ti: FakeTaskInstance, execution_timeout: Callable[[], None]
) -> None:
    """No call is made after it; what was known is reported, and the other tables are unknown."""
    shop.before("DescribeTable", execution_timeout)
    with pytest.raises(BaseException) as failure:  # noqa: PT011  # Airflow's own is no Exception
        check(context)
    assert type(failure.value).__name__ == "TaskTimeout"
    report = ti.xcoms["report"]
    assert report["error"] is not None
    assert statuses(report).keys() == {"fresh", "late", "orders"}
    assert report["counts"]["unknown"] >= 1


@pytest.mark.load
def test_a_large_account_takes_few_calls(control_plane: ControlPlane, context: Context, clock: Clock) -> None:
    """A call for 100 backups, one for each table, and one for 100 names, at half of AWS's rates."""
    for number in range(250):
        control_plane.create_table(f"shop-production-{number:03}")
        control_plane.add_backups(f"shop-production-{number:03}", 20, age=HOUR)
    control_plane.calls.clear()
    begun = clock.time()
    report = check(context)
    assert report["counts"] == {"fresh": 250, "late": 0, "none": 1, "unknown": 0}
    assert report["backups"] == 5000
    assert control_plane.calls["ListBackups"] <= 52
    assert control_plane.calls["DescribeTable"] == 251
    assert control_plane.calls["ListTables"] == 3
    assert control_plane.throttled.total() == 0
    assert clock.time() - begun <= 60


@pytest.mark.parametrize("others", [0, 40], ids=["each table is listed", "all are listed at once"])
def test_an_arn_of_another_account_fails_it(control_plane: ControlPlane, context: Context, others: int) -> None:
    """The calls' own account has a table of that name, with a fresh backup, and that is not the one that is meant."""
    control_plane.add_backups("orders", 1, age=HOUR)
    theirs = "arn:aws:dynamodb:us-east-1:210987654321:table"
    tables = [f"{theirs}/orders", *(f"{theirs}/other-{number}" for number in range(others))]
    with pytest.raises(OtherAccountError, match=f"The calls go to account '123456789012', .* '{theirs}/orders'"):
        check(context, table_names=tables)


def test_a_table_that_can_t_be_asked_for_its_tags_is_unknown(control_plane: ControlPlane, context: Context) -> None:
    """The text has the reason."""
    control_plane.fail_next("DescribeTable", DENIED, times=ALWAYS)
    task = operator(table_names=["orders"], table_tags={"backup": "nightly"})
    report = task.execute(context)
    assert statuses(report) == {"orders": "unknown"}
    assert AccessDeniedError.summary in report["text"]
