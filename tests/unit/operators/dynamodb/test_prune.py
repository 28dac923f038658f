"""DynamoDBPruneBackupsOperator: its parameters, and which tables it selects."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowSkipException, BaseOperator

from airflow_ddb_backup.exceptions import (
    DeletionsFailedForGoodError,
    EmptySelectionError,
    InvalidValueError,
    TooManyTablesError,
)
from airflow_ddb_backup.operators.dynamodb import DynamoDBPruneBackupsOperator
from tests.unit.retention.support import nightly, operator, prune

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.control_plane import ControlPlane
    from tests.unit.conftest import FakeTaskInstance


class TestSelection:
    """Of the tables."""

    def test_patterns_select_what_exists(self, control_plane: ControlPlane, context: Context) -> None:
        """On every page of ListTables, without those that are excluded."""
        for number in range(120):
            control_plane.create_table(f"shop-{number:03}")
        made = [nightly(control_plane, 2, f"shop-{number:03}") for number in (0, 119)]
        excluded = nightly(control_plane, 2, "shop-118")
        settings: dict[str, Any] = {"table_names": ["shop-*"], "exclude": ["shop-118"], "max_tables": 119}
        assert set(prune(context, keep_last=1, **settings)["deleted"]) == {old for old, _ in made}
        assert set(excluded) < set(control_plane.backup_arns())
        assert control_plane.calls["ListTables"] == 2

    def test_tags_select_tables_that_exist(self, control_plane: ControlPlane, context: Context) -> None:
        """Those that are gone are still listed, and dropped."""
        for name in ("tagged", "gone", "other"):
            control_plane.create_table(name)
        control_plane.tag_table("tagged", backup="nightly", team="shop")
        control_plane.tag_table("gone", backup="nightly", team="shop")
        control_plane.tag_table("other", backup="weekly", team="shop")
        made = {name: nightly(control_plane, 2, name) for name in ("tagged", "gone", "other", "orders")}
        control_plane.drop_table("gone")
        tags = {"backup": ["nightly", "hourly"], "team": "shop"}
        assert prune(context, table_names=["*"], table_tags=tags, keep_last=1)["deleted"] == made["tagged"][:1]

    def test_tags_are_read_page_by_page(self, control_plane: ControlPlane, context: Context) -> None:
        """A hundred tables are on the first."""
        for number in range(101):
            control_plane.create_table(f"shop-{number:03}")
            control_plane.tag_table(f"shop-{number:03}", backup="nightly")
        made = nightly(control_plane, 2, "shop-100")
        settings: dict[str, Any] = {"table_names": ["*"], "table_tags": {"backup": "nightly"}, "max_tables": 101}
        assert prune(context, keep_last=1, **settings)["deleted"] == made[:1]
        assert control_plane.calls["GetResources"] == 2

    def test_a_larger_selection_is_refused_before_anything_is_done(
        self, control_plane: ControlPlane, context: Context
    ) -> None:
        """The message says the numbers."""
        control_plane.create_table("customers")
        nightly(control_plane, 3)
        with pytest.raises(TooManyTablesError, match="selects 2 tables, max_tables is 1: customers, orders"):
            prune(context, table_names=["*"], max_tables=1, keep_last=1)
        assert control_plane.calls["ListBackups"] == 0

    def test_an_empty_selection_fails_or_skips(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """As the task says."""
        with pytest.raises(EmptySelectionError, match="selects 0 tables"):
            prune(context, table_names=["nothing-*"], keep_last=1)
        ti.xcoms.clear()
        with pytest.raises(AirflowSkipException, match="selects 0 tables"):
            prune(context, table_names=["nothing-*"], keep_last=1, if_empty="skip")
        assert "report" not in ti.xcoms
        assert control_plane.calls["ListBackups"] == 0

    def test_a_named_table_that_is_missing_fails_the_task_after_the_others(
        self, control_plane: ControlPlane, context: Context, ti: FakeTaskInstance
    ) -> None:
        """It is named; they are pruned, and the task links to the backups that are left."""
        made = nightly(control_plane, 2)
        with pytest.raises(DeletionsFailedForGoodError, match="nowhere: The table does not exist"):
            prune(context, table_names=["orders", "nowhere"], keep_last=1)
        assert (ti.xcoms["report"]["deleted"], list(ti.xcoms["report"]["failed"])) == (made[:1], ["nowhere"])
        assert ti.xcoms["dynamodb_backups"] == {"region_name": "us-east-1", "aws_domain": "aws.amazon.com"}

    def test_one_table_is_listed_by_its_name(self, control_plane: ControlPlane, context: Context) -> None:
        """Not with the whole account."""
        control_plane.create_table("customers")
        control_plane.add_backups("customers", 500)
        nightly(control_plane, 2)
        prune(context, keep_last=1)
        assert control_plane.calls["ListBackups"] == 1

    def test_an_account_s_listing_is_given_up_if_the_tables_take_fewer_calls(
        self, control_plane: ControlPlane, context: Context
    ) -> None:
        """After as many pages as there are tables."""
        for name in ("customers", "invoices"):
            control_plane.create_table(name)
        control_plane.add_backups("customers", 1000)
        made = nightly(control_plane, 2)
        assert prune(context, table_names=["orders", "invoices"], keep_last=1)["deleted"] == made[:1]
        assert control_plane.calls["ListBackups"] == 1 + 2

    def test_a_list_may_hold_templates(self, control_plane: ControlPlane, context: Context) -> None:
        """They are checked once they are rendered."""
        made = nightly(control_plane, 2)
        task = operator(table_names=["{{ params.table }}"], keep_last=1)
        task.table_names = ["orders"]
        assert task.execute(context)["deleted"] == made[:1]


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"table_names": "orders"}, "table_names must be a list"),
        ({"table_names": ["or"]}, "table_names must be a list"),
        ({"table_names": [1]}, "table_names must be a list"),
        ({"table_names": ["arn:aws:dynamodb:us-east-1:1:table/orders-*"]}, "table_names must be a list"),
        ({"table_names": {"orders": 1}}, "table_names must be a list"),
        ({"exclude": "orders"}, "exclude must be a list of names"),
        ({"exclude": ["a b"]}, "exclude must be a list of names"),
        ({"exclude": ["or"]}, "exclude must be a list of names"),
        ({"exclude": ["orders-[0-9"]}, "exclude must be a list of names"),
        ({"exclude": ["orders-[9-0]"]}, "exclude must be a list of names"),
        ({"table_names": ["orders-[]"]}, "table_names must be a list"),
        ({"keep_names": ["release-[!]"]}, "keep_names must be a list of names"),
        ({"keep_names": ["[ab]?"]}, "keep_names must be a list of names"),
        ({"keep_names": ["release-[0--]"]}, "keep_names must be a list of names"),
        ({"keep_names": ["release-]*"]}, "keep_names must be a list of names"),
        ({"keep_names": ["arn:aws:dynamodb:us-east-1:1:table/orders"]}, "keep_names must be a list of names"),
        ({"table_tags": {}}, "table_tags must be a dict of 1 to 50"),
        ({"table_tags": {"backup": []}}, "table_tags must be a dict of 1 to 50"),
        ({"table_tags": {"backup": 1.5}}, "table_tags must be a dict of 1 to 50"),
        ({"table_tags": {"backup": True}}, "table_tags must be a dict of 1 to 50"),
        ({"table_tags": {"backup": [None]}}, "table_tags must be a dict of 1 to 50"),
        ({"table_tags": {"backup": b"ab"}}, "table_tags must be a dict of 1 to 50"),
        ({"table_tags": {1: "nightly"}}, "table_tags must be a dict of 1 to 50"),
        ({"table_tags": "backup=nightly"}, "table_tags must be a dict of 1 to 50"),
        ({"max_tables": 0}, "max_tables must be a whole number, 1 or more"),
        ({"max_tables": True}, "max_tables must be a whole number, 1 or more"),
        ({"if_empty": "ignore"}, "if_empty must be one of 'fail', 'skip'"),
        ({"backup_name_prefix": ""}, "backup_name_prefix must be 3 to 255"),
        ({"backup_name_prefix": "ni"}, "backup_name_prefix must be 3 to 255"),
        ({"backup_name_prefix": "nightly-*"}, "backup_name_prefix must be 3 to 255"),
        ({"backup_name_prefix": None}, "backup_name_prefix must be 3 to 255"),
        *(
            ({f"keep_{rule}": value}, f"keep_{rule} must be a whole number, 0 or more")
            for rule in ("last", "hourly", "daily", "weekly", "monthly", "yearly")
            for value in (-1, 1.5, "7", None, True)
        ),
        *(
            ({rule: value}, f"{rule} must be a timedelta above 0, or None")
            for rule in ("keep_within", "older_than")
            for value in (timedelta(0), timedelta(days=-1), 7, "7 days")
        ),
        ({"keep_names": "release"}, "keep_names must be a list of names"),
        ({"keep_names": ["a b"]}, "keep_names must be a list of names"),
        ({"minimum_redundancy": -1}, "minimum_redundancy must be a whole number, 0 or more"),
        ({"minimum_redundancy": None}, "minimum_redundancy must be a whole number, 0 or more"),
        ({"dropped_tables": "yes"}, "dropped_tables must be True or False"),
        ({"dropped_tables": True, "table_tags": {"a": "b"}}, "dropped_tables must be False with table_tags"),
        ({"max_deletions": -1}, "max_deletions must be a whole number, 0 or more"),
        ({"timezone": "Berlin"}, "timezone must be the name of a time zone"),
        ({"timezone": ""}, "timezone must be the name of a time zone"),
        ({"timezone": None}, "timezone must be the name of a time zone"),
        ({"timezone": "../UTC"}, "timezone must be the name of a time zone"),
        ({"plan_only": "no"}, "plan_only must be True or False"),
        ({"plan_only": None}, "plan_only must be True or False"),
        ({"plan_only": 1}, "plan_only must be True or False"),
        ({"timeout": 30}, "timeout must be 60 to 7200"),
        ({"timeout": None}, "timeout must be 60 to 7200"),
        ({"botocore_config": {"x": 1}}, "botocore_config must be a dict"),
    ],
    ids=str,
)
def test_what_can_never_work_is_refused_when_the_dag_is_parsed(wrong: dict[str, Any], rule: str) -> None:
    """With the parameter, the value and the rule."""
    with pytest.raises(InvalidValueError, match=rule.replace("(", "\\(")):
        operator(**{"keep_last": 7} | wrong)


def test_patterns_with_sets_are_accepted_when_the_dag_is_parsed() -> None:
    """Those that can match a name."""
    patterns = ["orders-[0-9]", "[!x]*", "orders-[a-cx-z_.]?", "z-a[bc]"]
    assert operator(keep_last=1, keep_names=patterns, exclude=patterns, table_names=patterns).exclude == patterns


def test_tables_must_be_given() -> None:
    """No default could be taken for all of them."""
    with pytest.raises((TypeError, AirflowException), match="table_names"):
        DynamoDBPruneBackupsOperator(  # type: ignore[call-arg]  # what is missing is the case
            task_id="prune", backup_name_prefix="nightly-", keep_last=1
        )


def test_tags_that_render_to_none_are_refused(control_plane: ControlPlane, context: Context) -> None:
    """They must not mean any tags."""
    made = nightly(control_plane, 3)
    task = operator(table_names=["*"], table_tags="{{ x }}", keep_last=1)
    task.table_tags = None
    with pytest.raises(InvalidValueError, match="table_tags must be not None once it is rendered"):
        task.execute(context)
    assert control_plane.backup_arns() == made


def test_tags_with_braces_are_refused_once_they_are_rendered(control_plane: ControlPlane, context: Context) -> None:
    """Nothing has rendered them, and no tag can have them; a key is never rendered."""
    made = nightly(control_plane, 3)
    task = operator(keep_last=1, table_tags={"backup": "{{ params.tag }}", "team": ["shop", "[[ params.team ]]"]})
    with pytest.raises(InvalidValueError, match="table_tags must be .* without braces; got '{{ params.tag }}'"):
        task.execute(context)
    with pytest.raises(InvalidValueError, match="without braces; got '{{ params.key }}'"):
        operator(keep_last=1, table_tags={"{{ params.key }}": "nightly"})
    assert control_plane.backup_arns() == made


def test_other_delimiters_may_be_templates_when_the_dag_is_parsed(
    control_plane: ControlPlane, context: Context
) -> None:
    """What they render to is checked."""
    made = nightly(control_plane, 3)
    with DAG(
        "prune", schedule=None, jinja_environment_kwargs={"variable_start_string": "[[", "variable_end_string": "]]"}
    ):
        task = operator(
            keep_last=1,
            table_names="[[ params.tables ]]",
            backup_name_prefix="[[ params.prefix ]]",
            max_tables="[[ params.most ]]",
            plan_only="[[ params.plan ]]",
        )
    task.render_template_fields({"params": {"tables": "orders", "prefix": "ni", "most": 1, "plan": "false"}})
    task.table_names = ["orders"]
    with pytest.raises(InvalidValueError, match="backup_name_prefix must be 3 to 255"):
        task.execute(context)
    assert control_plane.backup_arns() == made


def test_numbers_flags_and_tags_may_render_to_other_types(control_plane: ControlPlane, context: Context) -> None:
    """Text for numbers and flags, whole numbers for text."""
    control_plane.tag_table("orders", year="2026")
    made = nightly(control_plane, 3)
    task = operator(table_names=["*"], max_tables="{{ x }}", max_deletions="{{ x }}", plan_only="{{ x }}", keep_last=1)
    task.max_tables, task.max_deletions, task.plan_only, task.table_tags = "1", "2", "false", {"year": [2025, 2026]}
    assert task.execute(context)["deleted"] == made[:-1]
    for wrong in ("1.0", " 1", "", "-1", "none", None, 1.0, True):
        task.max_deletions = wrong  # type: ignore[assignment]
        with pytest.raises(InvalidValueError, match="max_deletions must be (a whole number, 0 or more|not None)"):
            task.execute(context)


@pytest.mark.parametrize(
    ("name", "value"),
    [("keep_last", 0), ("dropped_tables", True), ("timeout", 59), ("timezone", "Berlin"), ("max_tables", 0)],
)
def test_values_that_were_set_since_are_checked_when_it_runs(
    control_plane: ControlPlane, context: Context, name: str, value: object
) -> None:
    """By ``pre_execute``, a subclass or a cluster policy."""
    made = nightly(control_plane, 3)
    task = operator(keep_last=1, table_tags={"backup": "nightly"})
    setattr(task, name, value)
    with pytest.raises(InvalidValueError, match=f"{name} must be"):
        task.execute(context)
    assert control_plane.backup_arns() == made


@pytest.mark.skipif(not hasattr(BaseOperator, "dry_run"), reason="Airflow 3.0 has none")
def test_airflow_s_own_dry_run_works() -> None:
    """``airflow tasks test --dry-run`` calls it."""
    operator(keep_last=1, plan_only=True).dry_run()


def test_a_policy_without_a_rule_is_refused_when_the_dag_is_parsed() -> None:
    """It would delete everything."""
    for settings in ({}, {"minimum_redundancy": 5}, {"keep_names": ["nightly-1"]}):
        with pytest.raises(InvalidValueError, match="a policy without one deletes everything"):
            operator(**settings)


def test_names_of_tables_beside_patterns_are_accepted_when_the_dag_is_parsed() -> None:
    """Templates, other tasks' outputs and callables are rendered later."""
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
    names: list[Any] = [
        ["orders", arn, "orders-*", "[ab]*", "{{ params.table }}"],
        ("orders",),
        {"{{ params.table }}"},
        "{{ params.tables }}",
        lambda **_: ["orders"],
    ]
    for each in names:
        assert operator(table_names=each, keep_last=1).table_names is each


def test_template_fields_are_attributes() -> None:
    """Airflow renders them on the instance."""
    task = operator(keep_last=1)
    expected = {"table_names", "exclude", "table_tags", "max_tables", "backup_name_prefix", "max_deletions"}
    expected |= {"account_id", "plan_only", "aws_conn_id", "region_name", "verify"}
    assert set(task.template_fields) == expected
    assert all(hasattr(task, name) for name in task.template_fields)


def test_defaults_are_those_of_the_contract() -> None:
    """Users rely on them."""
    task = operator(keep_last=1)
    assert (task.max_tables, task.if_empty, task.minimum_redundancy, task.max_deletions) == (100, "fail", 1, None)
    assert (task.timezone, task.dropped_tables, task.timeout) == ("UTC", False, 1800)
    assert task.plan_only is False
