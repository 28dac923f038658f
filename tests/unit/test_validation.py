"""What parameters may be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.models import check_table_name
from airflow_ddb_backup.validation import check_interval, check_literal, check_timeout


class Output:
    """Stands for another task's output."""

    def resolve(self) -> None:
        """Have what every reference has."""


@pytest.mark.parametrize("value", ["{{ params.table }}", "{% if x %}a{% endif %}", "x{# #}", Output()])
def test_what_is_rendered_later_is_not_checked_yet(value: object) -> None:
    """Templates and other tasks' outputs have no value while the DAG is parsed."""
    check_literal(check_table_name, value)


@pytest.mark.parametrize("value", ["a b", "", None, 5])
def test_literals_are_checked(value: object) -> None:
    """What can't become right is refused at once."""
    with pytest.raises(InvalidValueError, match="table_name"):
        check_literal(check_table_name, value)


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
