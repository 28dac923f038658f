"""Which tables a task is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import pytest

from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    EmptySelectionError,
    ErrorContext,
    OtherRegionError,
    TooManyTablesError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.selection import SelectedTable, TableSelection, select_tables
from tests.simulator.faults import EMPTY_RESPONSE, Answer, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.control_plane import ControlPlane

_P = ParamSpec("_P")
_T = TypeVar("_T")
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
CONTEXT = ErrorContext(region="us-east-1")


def once(call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Make a call once."""
    return call(*args, **kwargs)


def select(**settings: Any) -> list[SelectedTable]:
    """Select tables of the simulated account."""
    return select_tables(DynamoDBBackupHook(region_name="us-east-1"), TableSelection(**settings), CONTEXT, once)


@pytest.fixture(autouse=True)
def _tables(control_plane: ControlPlane) -> None:
    for name in ("orders-eu", "orders-us", "Orders-x", "customers"):
        control_plane.create_table(name)
    control_plane.tag_table("orders", backup="nightly", team="shop")
    control_plane.tag_table("orders-eu", backup="hourly", team="shop")
    control_plane.tag_table("customers", backup="nightly", team="crm")


def names(**settings: Any) -> list[str]:
    """Return the names of selected tables."""
    return [table.name for table in select(**settings)]


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


@pytest.mark.parametrize("excluded", ["orders", ARN, "order[s]"])
def test_what_is_excluded_is_left_out(excluded: str) -> None:
    """By name, ARN or pattern, even if it is named."""
    assert names(table_names=["orders", ARN, "order*"], exclude=[excluded]) == ["orders-eu", "orders-us"]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ({"backup": ["nightly"]}, ["customers", "orders"]),
        ({"backup": ["nightly", "hourly"]}, ["customers", "orders", "orders-eu"]),
        ({"backup": ["nightly", "hourly"], "team": ["shop"]}, ["orders", "orders-eu"]),
        ({"backup": ["never"]}, []),
    ],
)
def test_every_tag_must_match(tags: dict[str, list[str]], found: list[str]) -> None:
    """Values of one are alternatives."""
    assert names(tags=tags) == found


def test_tags_narrow_the_names(control_plane: ControlPlane) -> None:
    """A named table that is gone stays a failure, one without the tag is not selected."""
    control_plane.drop_table("customers")
    selected = names(table_names=["orders", "orders-us", "customers", "*-eu"], tags={"team": ["shop", "crm"]})
    assert selected == ["customers", "orders", "orders-eu"]


def test_tables_that_are_gone_are_dropped(control_plane: ControlPlane) -> None:
    """AWS lists them by their tags for hours."""
    control_plane.drop_table("orders")
    assert names(tags={"backup": ["nightly"]}) == ["customers"]


@pytest.mark.parametrize("tags", [{}, {"backup": ["nightly"]}])
def test_an_empty_list_selects_nothing(control_plane: ControlPlane, tags: dict[str, list[str]]) -> None:
    """And never all tables."""
    assert names(table_names=[], tags=tags) == []
    assert control_plane.calls["ListTables"] == 0


@pytest.mark.parametrize(
    ("settings", "operation"),
    [({"table_names": ["*"]}, "ListTables"), ({"tags": {"backup": ["nightly"]}}, "GetResources")],
)
def test_a_listing_that_is_not_aws_s_selects_nothing(
    control_plane: ControlPlane, settings: dict[str, Any], operation: str
) -> None:
    """It does not mean "no tables"."""
    control_plane.fail_next(operation, EMPTY_RESPONSE)
    with pytest.raises(AmbiguousOutcomeError):
        select(**settings)


def test_an_empty_page_is_not_the_end(control_plane: ControlPlane) -> None:
    """Only a missing cursor is."""
    page = Fault(Answer.ALTERED, set_members={"TableNames": [], "LastEvaluatedTableName": "orders"})
    for number in range(100):
        control_plane.create_table(f"shop-{number}")
    control_plane.fail_next("ListTables", page)
    assert len(names(table_names=["*"])) == 104


def test_arns_of_another_region_are_refused() -> None:
    """The first region of an ARN is a default for the calls."""
    selection = TableSelection(["orders", ARN])
    assert selection.region == "us-east-1"
    selection.check_regions("us-east-1")
    with pytest.raises(OtherRegionError, match="The ARN is of 'us-east-1'"):
        selection.check_regions("eu-west-1")


def test_the_size_is_checked_with_its_numbers() -> None:
    """And with what the task said."""
    selection = TableSelection(["*"], exclude=["orders"], tags={"a": ["b"]}, max_tables=6)
    said = r"table_names=\['\*'\], exclude=\['orders'\], tags=\{'a': \['b'\]\} selects"
    with pytest.raises(EmptySelectionError, match=f"{said} 0 tables"):
        selection.check_size([], CONTEXT)
    selection.check_size("abcdef", CONTEXT)
    with pytest.raises(TooManyTablesError, match=f"{said} 7 tables, max_tables is 6: a, b, c, d, e, …"):
        selection.check_size("abcdefg", CONTEXT)
