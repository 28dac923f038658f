"""The checks of parameters."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from botocore import UNSIGNED
from botocore.config import Config

from airflow_ddb_backup.exceptions import ErrorContext, InvalidValueError, OtherRegionError
from airflow_ddb_backup.models import BackupArn
from airflow_ddb_backup.validation import (
    check_botocore_config,
    check_interval,
    check_literal,
    check_region,
    check_timeout,
    table_region,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"


class Output:
    """Stands for another task's output."""

    def resolve(self) -> None:
        """Have what every reference has."""


@pytest.mark.parametrize("value", ["{{ params.table }}", "{% if x %}a{% endif %}", "x{# #}", Output(), print])
def test_what_is_rendered_later_is_not_checked_yet(value: object) -> None:
    """Templates, other tasks' outputs and callables have no value while the DAG is parsed."""
    check_literal(BackupArn.parse, value)


@pytest.mark.parametrize("value", ["a b", "", None, 5])
def test_literals_are_checked(value: object) -> None:
    """A value that can't become right is refused at once."""
    with pytest.raises(InvalidValueError, match="backup_arn"):
        check_literal(BackupArn.parse, value)


@pytest.mark.parametrize(("value", "seconds"), [(60, 60), (7200, 7200), (90.5, 90.5), (timedelta(minutes=2), 120)])
def test_timeouts_become_seconds(value: object, seconds: float) -> None:
    """60 to 7200 seconds, however they are written."""
    assert check_timeout(value) == seconds


@pytest.mark.parametrize("value", [59.9, 7201, 0, -1, None, "60", True, float("nan"), timedelta(hours=3)])
def test_other_timeouts_are_refused(value: object) -> None:
    """The refusal shows the value and the rule."""
    with pytest.raises(InvalidValueError, match="timeout must be 60 to 7200 seconds") as refusal:
        check_timeout(value)
    assert repr(value) in str(refusal.value)


@pytest.mark.parametrize("value", [0.1, 5, timedelta(seconds=5)])
def test_intervals_are_above_zero(value: object) -> None:
    """Any positive time will do."""
    assert check_interval("poll_interval", value) > 0


@pytest.mark.parametrize("value", [0, -1, None, "5", True, float("nan"), float("inf"), timedelta(0)])
def test_other_intervals_are_refused(value: object) -> None:
    """The refusal shows the parameter, the value and the rule."""
    with pytest.raises(InvalidValueError, match="poll_interval must be more than 0 seconds") as refusal:
        check_interval("poll_interval", value)
    assert repr(value) in str(refusal.value)


def test_a_table_arn_names_its_region_and_a_name_does_not() -> None:
    """Only an ARN can contradict the client's region."""
    assert table_region(TABLE_ARN) == "us-east-1"
    assert table_region("orders") is None


def test_an_arn_of_another_region_is_refused() -> None:
    """AWS would only say that it does not exist."""
    context = ErrorContext("orders", region="us-east-1")
    check_region(None, context)
    check_region("us-east-1", context)
    with pytest.raises(OtherRegionError, match="region 'us-east-1'. The ARN is of 'eu-west-1'"):
        check_region("eu-west-1", context)


@pytest.mark.parametrize("check", [BackupArn.parse])
def test_a_number_where_text_must_be_is_told_as_such(check: Callable[[object], object]) -> None:
    """With native rendering Jinja makes a number of a name that is all digits."""
    with pytest.raises(InvalidValueError, match="of type int, not text; where templates render to native objects"):
        check(20261001)


@pytest.mark.parametrize("value", [None, {}, {"read_timeout": 9}, {"retries": {"mode": "standard"}}])
def test_arguments_of_a_config_pass(value: dict[str, object] | None) -> None:
    """As a dict of plain values."""
    assert check_botocore_config(value) == value


@pytest.mark.parametrize(
    "value", [Config(), 5, "x", {"read_timeot": 9}, {"signature_version": UNSIGNED}, {"retries": 3}]
)
def test_other_configs_are_refused(value: object) -> None:
    """A deferred task stores them in Airflow's database: refused before anything is made, not after."""
    with pytest.raises(InvalidValueError, match="botocore_config must be a dict of arguments"):
        check_botocore_config(value)
