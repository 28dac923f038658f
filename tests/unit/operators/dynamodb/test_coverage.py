"""DynamoDBBackupCoverageOperator: its parameters, and what it hands on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.exceptions import ConnectionNotFoundError, EmptySelectionError, InvalidValueError
from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupCoverageOperator
from tests.unit.conftest import SETTINGS
from tests.unit.coverage.support import check, covered, operator, statuses

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.control_plane import ControlPlane
    from tests.unit.conftest import FakeTaskInstance


def test_defaults_are_those_of_the_contract() -> None:
    """Users rely on them."""
    task = operator()
    assert (task.table_names, task.max_tables, task.if_empty) == (("*",), 2500, "fail")
    assert (task.max_age, task.fail_on, task.point_in_time_recovery) == (timedelta(hours=26), (), False)
    assert (task.exclude, task.table_tags, task.timeout, task.account_id) == ((), None, 1800, None)


def test_template_fields_are_attributes() -> None:
    """Airflow renders them on the instance."""
    task = operator()
    expected = {"table_names", "exclude", "table_tags", "max_tables", "account_id"}
    assert set(task.template_fields) == expected | {"aws_conn_id", "region_name", "verify"}
    assert all(hasattr(task, name) for name in task.template_fields)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"max_age": None}, "max_age must be a timedelta above 0"),
        ({"max_age": 26}, "max_age must be a timedelta above 0"),
        ({"max_age": timedelta(0)}, "max_age must be a timedelta above 0"),
        ({"fail_on": "late"}, "fail_on must be a list of statuses"),
        ({"fail_on": None}, "fail_on must be a list of 'late', 'none', 'unknown'"),
        ({"fail_on": ["fresh"]}, "fail_on must be a list of 'late', 'none', 'unknown'"),
        ({"fail_on": [1]}, "fail_on must be a list of 'late', 'none', 'unknown'"),
        ({"point_in_time_recovery": "no"}, "point_in_time_recovery must be True or False"),
        ({"point_in_time_recovery": None}, "point_in_time_recovery must be True or False"),
        ({"table_names": "*"}, "table_names must be a list"),
        ({"max_tables": 0}, "max_tables must be a whole number, 1 or more"),
        ({"timeout": 30}, "timeout must be 60 to 7200"),
        ({"account_id": "1"}, "account_id must be an account, 12 digits"),
    ],
    ids=str,
)
def test_what_can_never_work_is_refused_when_the_dag_is_parsed(wrong: dict[str, Any], rule: str) -> None:
    """With the parameter, the value and the rule."""
    with pytest.raises(InvalidValueError, match=rule):
        operator(**wrong)


@pytest.mark.parametrize("empty", [None, [], ()], ids=repr)
def test_tables_that_render_to_none_are_an_empty_selection(
    control_plane: ControlPlane, context: Context, empty: Any
) -> None:
    """And never all tables, though that is the default."""
    task = operator(table_names="{{ params.tables }}")
    task.table_names = empty
    with pytest.raises(EmptySelectionError):
        task.execute(context)


def test_what_a_policy_of_the_cluster_sets_later_is_checked(control_plane: ControlPlane, context: Context) -> None:
    """Before any call, and with a report."""
    task: Any = operator()
    task.max_age = 26
    with pytest.raises(InvalidValueError, match="max_age"):
        task.execute(context)
    assert control_plane.calls["ListTables"] == 0


def test_a_report_is_pushed_whatever_makes_it_fail(
    control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
) -> None:
    """A connection that is not found, say."""
    with pytest.raises(ConnectionNotFoundError):
        check(context, aws_conn_id="nowhere", region_name="us-east-1")
    report = ti.xcoms["report"]
    assert (report["tables"], report["account"], report["region"]) == ([], None, "us-east-1")
    assert report["text"].startswith("The Airflow connection is not found")


def test_an_object_that_is_executed_twice_keeps_nothing(control_plane: ControlPlane, context: Context) -> None:
    """Not even which tables there were."""
    task = operator()
    assert statuses(task.execute(context)) == {"orders": "none"}
    control_plane.drop_table("orders")
    covered(control_plane, "customers", 1)
    assert statuses(task.execute(context)) == {"customers": "fresh"}


def test_it_can_be_mapped() -> None:
    """A task for each account, say: ``partial`` and ``expand`` take every parameter."""
    with DAG("mapped", schedule=None):
        settings = {name: value for name, value in SETTINGS.items() if name != "aws_conn_id"}
        mapped = DynamoDBBackupCoverageOperator.partial(task_id="check", fail_on=["late"], **settings).expand(
            aws_conn_id=["shop", "billing"]
        )
    assert mapped.partial_kwargs.items() >= settings.items()
