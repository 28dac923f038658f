"""Which tables a task is about."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    BackupError,
    EmptySelectionError,
    ErrorContext,
    InvalidValueError,
    TableNotFoundError,
    ThrottledError,
    TooManyTablesError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.parameters import LATER
from airflow_ddb_backup.report import Report
from airflow_ddb_backup.selection import IfEmpty, SelectedTable, TableSelection, select_tables
from tests.simulator.faults import EMPTY_RESPONSE, THROTTLED, Answer, Fault

if TYPE_CHECKING:
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

LOG = logging.getLogger(__name__)
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
CONTEXT = ErrorContext(region="us-east-1")
TOO_LATE = BackupError("Time was up.")


def select(report: Report[Any] | None = None, **settings: Any) -> list[SelectedTable]:
    """Select tables of the simulated account."""
    hook, selection = DynamoDBBackupHook(region_name="us-east-1"), TableSelection(**settings)
    report = report or Report()
    return select_tables(
        hook, selection, report, context=CONTEXT, deadline=Deadline.after(60), too_late=TOO_LATE, log=LOG
    )


@pytest.fixture(autouse=True)
def _tables(control_plane: ControlPlane) -> None:
    for name in ("orders-eu", "orders-us", "Orders-x", "customers"):
        control_plane.create_table(name)
    control_plane.tag_table("orders", backup="nightly", team="shop")
    control_plane.tag_table("orders-eu", backup="hourly", team="shop")
    control_plane.tag_table("customers", backup="nightly", team="crm")


def names(**settings: Any) -> list[str]:
    """Return the names of selected tables."""
    return [table.name for table in select(**{"table_names": ["*"], **settings})]


def test_plain_names_take_no_call(control_plane: ControlPlane) -> None:
    """Whether they exist is told later."""
    assert select(table_names=["nowhere", ARN, "orders"]) == [
        SelectedTable("nowhere", None, named=True),
        SelectedTable("orders", ARN, named=True),
    ]
    assert control_plane.calls["ListTables"] == 0


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("orders-*", ["orders-eu", "orders-us"]),
        ("*", ["Orders-x", "customers", "orders", "orders-eu", "orders-us"]),
        ("orders-?s", ["orders-us"]),
        ("[Oo]rders-[!eu]*", ["Orders-x"]),
        ("invoices-*", []),
    ],
)
def test_patterns_select_what_exists(pattern: str, found: list[str]) -> None:
    """Upper and lower case differ, as in DynamoDB."""
    assert names(table_names=[pattern]) == found


@pytest.mark.parametrize("excluded", ["orders", "order[s]"])
def test_what_is_excluded_is_left_out(excluded: str) -> None:
    """By name or pattern, even if it is named."""
    assert names(table_names=["orders", ARN, "order*"], exclude=[excluded]) == ["orders-eu", "orders-us"]


def test_no_table_is_excluded_by_an_arn() -> None:
    """One of another region or account would leave out the table of that name here."""
    with pytest.raises(InvalidValueError, match="exclude must be a list of names .* got 'arn:aws:dynamodb:"):
        names(table_names=["*"], exclude=[ARN])


@pytest.mark.parametrize(
    ("table_tags", "found"),
    [
        ({"backup": ["nightly"]}, ["customers", "orders"]),
        ({"backup": ["nightly", "hourly"]}, ["customers", "orders", "orders-eu"]),
        ({"backup": ["nightly", "hourly"], "team": ["shop"]}, ["orders", "orders-eu"]),
        ({"backup": ["never"]}, []),
    ],
)
def test_every_tag_must_match(table_tags: dict[str, list[str]], found: list[str]) -> None:
    """Values of one are alternatives."""
    assert names(table_tags=table_tags) == found


def test_tags_narrow_the_names(control_plane: ControlPlane) -> None:
    """A named table that is gone has failed, one without the tag is skipped."""
    control_plane.drop_table("customers")
    table_names, report = ["orders", "orders-us", "customers", "*-eu"], Report[Any]()
    selected = select(report, table_names=table_names, table_tags={"team": ["shop", "crm"]})
    assert selected == [SelectedTable("orders", named=True), SelectedTable("orders-eu")]
    assert {name: type(error) for name, error in report.failed.items()} == {"customers": TableNotFoundError}
    assert report.skipped == {"orders-us": "It lacks the tags."}


@pytest.mark.parametrize("named", ["orders", ARN])
def test_a_named_table_is_asked_for_its_tags_itself(control_plane: ControlPlane, named: str) -> None:
    """GetResources still lists those of an earlier table of its name."""
    control_plane.drop_table("orders")
    control_plane.create_table("orders")
    assert names(table_names=[named], table_tags={"team": "shop"}) == []
    assert names(table_names=[named, "order?"], table_tags={"team": "shop"}) == []
    control_plane.tag_table("orders", team="shop")
    assert names(table_names=[named], table_tags={"team": "shop"}) == ["orders"]


def test_a_table_that_can_t_be_asked_is_told_with_its_reason(control_plane: ControlPlane) -> None:
    """The others are selected."""
    ask = {"Effect": "Allow", "Action": "dynamodb:ListTagsOfResource", "Resource": "*orders"}
    control_plane.policy = {
        "Statement": [ask, {"Effect": "Allow", "Action": "dynamodb:DescribeTable", "Resource": "*"}]
    }
    report = Report[Any]()
    selected = select(report, table_names=["customers", "orders"], table_tags={"team": ["shop", "crm"]})
    assert isinstance(report.failed["customers"], AccessDeniedError)
    assert selected == [SelectedTable("orders", named=True)]


def test_no_table_is_asked_after_the_deadline(control_plane: ControlPlane, clock: Clock) -> None:
    """A neighbour may use up the rate of ListTagsOfResource for hours."""
    named, report, begun = [f"table-{number:02}" for number in range(40)], Report[Any](), clock.time()
    for name in named:
        control_plane.create_table(name)
    control_plane.fail_next("ListTagsOfResource", THROTTLED, times=999)
    assert select(report, table_names=named, table_tags={"team": "shop"}) == []
    assert clock.time() - begun < 70
    assert isinstance(report.failed.pop(named[0]), ThrottledError)
    assert report.failed == dict.fromkeys(named[1:], TOO_LATE)


def test_tables_that_are_gone_are_dropped(control_plane: ControlPlane) -> None:
    """AWS lists them by their tags for hours."""
    control_plane.drop_table("orders")
    assert names(table_tags={"backup": ["nightly"]}) == ["customers"]


@pytest.mark.parametrize("empty", [None, [], ()], ids=repr)
@pytest.mark.parametrize("table_tags", [None, {"backup": ["nightly"]}])
def test_an_empty_list_selects_nothing(
    control_plane: ControlPlane, empty: Any, table_tags: dict[str, list[str]] | None
) -> None:
    """And never all tables."""
    assert names(table_names=empty, table_tags=table_tags) == []
    assert control_plane.calls["ListTables"] == 0


@pytest.mark.parametrize(
    ("settings", "operation"),
    [
        ({"table_names": ["*"]}, "ListTables"),
        ({"table_names": ["*"], "table_tags": {"backup": ["nightly"]}}, "GetResources"),
    ],
)
def test_a_listing_that_is_not_aws_s_selects_nothing(
    control_plane: ControlPlane, settings: dict[str, Any], operation: str
) -> None:
    """It does not mean "no tables"."""
    control_plane.fail_next(operation, EMPTY_RESPONSE, times=99)
    with pytest.raises(AmbiguousOutcomeError):
        names(**settings)


def test_an_empty_page_is_not_the_end(control_plane: ControlPlane) -> None:
    """Only a missing cursor is."""
    page = Fault(Answer.ALTERED, set_members={"TableNames": [], "LastEvaluatedTableName": "orders"})
    for number in range(100):
        control_plane.create_table(f"shop-{number}")
    control_plane.fail_next("ListTables", page)
    assert len(names(table_names=["*"])) == 104


@pytest.mark.parametrize(("part", "other"), [("us-east-1", "eu-west-1"), ("123456789012", "210987654321")])
def test_arns_name_one_account_and_region(part: str, other: str) -> None:
    """Of the calls."""
    assert TableSelection(["orders", ARN]).arn == ARN
    assert TableSelection(["orders", "*"]).arn is None
    with pytest.raises(InvalidValueError, match="of one account and region, as 'arn:aws:dynamodb:us-east-1"):
        TableSelection([ARN, ARN.replace(part, other).replace("orders", "customers")])


def test_the_size_is_checked_with_its_numbers() -> None:
    """And with what the task said."""
    selection = TableSelection(["*"], exclude=["orders"], table_tags={"a": ["b"]}, max_tables=6)
    said = r"table_names=\['\*'\], exclude=\['orders'\], table_tags=\{'a': \['b'\]\} selects"
    with pytest.raises(EmptySelectionError, match=f"{said} 0 tables"):
        selection.check_size([], CONTEXT)
    with pytest.raises(AirflowSkipException, match=f"{said} 0 tables"):
        replace(selection, if_empty=IfEmpty.SKIP).check_size([], CONTEXT)
    selection.check_size("abcdef", CONTEXT)
    with pytest.raises(TooManyTablesError, match=f"{said} 7 tables, max_tables is 6: a, b, c, d, e, …"):
        selection.check_size("abcdefg", CONTEXT)


def test_values_of_tags_are_text() -> None:
    """A template that renders to native objects makes a number of digits."""
    tags: Any = {"year": 2026, "env": ["a", 1]}
    assert TableSelection(["*"], table_tags=tags).table_tags == {
        "year": ("2026",),
        "env": ("a", "1"),
    }


def test_what_is_rendered_later_is_not_checked_yet() -> None:
    """Templates have no value while the DAG is parsed."""
    selection = TableSelection(LATER, exclude=LATER, table_tags=LATER, max_tables=LATER)
    assert (selection.table_names, selection.exclude, selection.table_tags) == ((), (), None)
