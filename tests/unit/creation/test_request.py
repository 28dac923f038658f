"""The request of a backup checks itself, when the DAG is parsed and when the task runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_ddb_backup.creation.request import BackupRequest, IfExists
from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from airflow_ddb_backup.parameters import LATER, literal

TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
ARN = f"{TABLE_ARN}/backup/01795422913684-770da1ee"


class Output:
    """Stands for another task's output."""

    def resolve(self) -> None:
        """Have what every reference has."""


@pytest.mark.parametrize("value", ["{{ params.table }}", "{% if x %}a{% endif %}", "x{# #}", Output(), print])
def test_what_is_rendered_later_is_not_checked_yet(value: object) -> None:
    """Templates, other tasks' outputs and callables have no value while the DAG is parsed."""
    request = BackupRequest(literal(value), literal(value))
    assert (request.table_name, request.backup_name) == (LATER, LATER)


@pytest.mark.parametrize("name", ["abc", "a" * 255, "A.b-c_9", TABLE_ARN])
def test_table_names_and_arns_that_dynamodb_knows_pass(name: str) -> None:
    """A table goes by its name or its ARN."""
    assert BackupRequest(name).table_name == name


@pytest.mark.parametrize(
    "name", [None, "", "ab", "a" * 256, "a b c", "öre", 123, "arn:aws:s3:::bucket", TABLE_ARN + "/" + "x" * 1024, ARN]
)
def test_other_table_names_are_refused(name: Any) -> None:
    """The refusal shows the value and the rule."""
    with pytest.raises(InvalidValueError, match="table_name must be a table's name, 3 to 255") as refusal:
        BackupRequest(name)
    assert repr(name) in str(refusal.value)


@pytest.mark.parametrize("name", ["abc", "a" * 255, "A.b-c_9"])
def test_backup_names_that_aws_takes_pass(name: str) -> None:
    """3 to 255 of the legal characters make a backup's name."""
    assert BackupRequest("orders", name).backup_name == name


@pytest.mark.parametrize("name", ["", "ab", "a" * 256, "a b c", "a/b/c", "öre", 123, "abc\n"])
def test_other_backup_names_are_refused(name: Any) -> None:
    """The refusal shows the value and the rule."""
    with pytest.raises(InvalidValueError, match="backup_name must be 3 to 255") as refusal:
        BackupRequest("orders", name)
    assert repr(name) in str(refusal.value)


@pytest.mark.parametrize("field", ["table_name", "backup_name"])
def test_a_number_where_text_must_be_is_told_as_such(field: str) -> None:
    """With native rendering Jinja makes a number of a name that is all digits."""
    with pytest.raises(InvalidValueError, match="of type int, not text; where templates render to native objects"):
        BackupRequest(**{"table_name": "orders", field: 20261001})  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    "wrong",
    [
        {"if_exists": "replace"},
        {"if_exists": None},
        {"reuse_within": 60},
        {"reuse_within": timedelta(0)},
        {"require_point_in_time_recovery": "no"},
        {"poll_interval": float("nan")},
        {"timeout": True},
    ],
    ids=repr,
)
def test_wrong_values(wrong: dict[str, Any]) -> None:
    """Refused when the DAG is parsed, with the value and the rule."""
    with pytest.raises(InvalidValueError, match=next(iter(wrong))) as refusal:
        DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders", **wrong)
    assert repr(next(iter(wrong.values()))) in str(refusal.value)


@pytest.mark.parametrize("choice", [IfExists.FAIL, IfExists.CREATE])
def test_only_reuse_goes_with_reuse_within(choice: IfExists) -> None:
    """It would be ignored."""
    with pytest.raises(InvalidValueError, match=f"reuse_within must be None with if_exists='{choice.value}'"):
        BackupRequest("orders", if_exists=choice, reuse_within=timedelta(hours=1))


def test_values_become_what_they_stand_for() -> None:
    """Seconds and choices, however they are written."""
    values: dict[str, Any] = {"if_exists": "fail", "poll_interval": timedelta(seconds=9), "timeout": timedelta(hours=1)}
    request = BackupRequest("orders", **values)
    assert request.if_exists is IfExists.FAIL
    assert (request.poll_interval, request.timeout) == (9, 3600)


def test_a_table_s_arn_is_told_from_its_name() -> None:
    """Only an ARN can contradict the client's account and region."""
    assert BackupRequest(TABLE_ARN).table_arn == TABLE_ARN
    assert BackupRequest("orders").table_arn is None
