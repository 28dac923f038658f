"""Whose backups a prune is about, by the tasks that have created them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_ddb_backup.creation.names import derive_backup_name, derived_prefix
from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.operators.dynamodb import (
    DynamoDBBackupTablesOperator,
    DynamoDBCreateBackupOperator,
    DynamoDBPruneBackupsOperator,
)
from airflow_ddb_backup.operators.dynamodb.created_by import narrowed_to
from airflow_ddb_backup.parameters import rendered
from tests.unit.retention.support import nightly

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.control_plane import ControlPlane


def pruner(created_by: Any, **settings: Any) -> DynamoDBPruneBackupsOperator:
    """Return the prune of a DAG that also creates backups."""
    with DAG("shop", schedule=None):
        DynamoDBCreateBackupOperator(task_id="one", table_name="orders")
        DynamoDBCreateBackupOperator(task_id="named", table_name="orders", backup_name="nightly-1")
        DynamoDBCreateBackupOperator.partial(task_id="mapped").expand(table_name=["orders"])
        DynamoDBCreateBackupOperator.partial(task_id="mapped_named", backup_name="nightly-1").expand(table_name=["a"])
        DynamoDBCreateBackupOperator.partial(task_id="mapped_names", table_name="a").expand(backup_name=["nightly-1"])
        BaseOperator(task_id="other")
        task = DynamoDBPruneBackupsOperator(
            task_id="prune", table_names=["orders"], keep_last=1, created_by=created_by, **settings
        )
        # Behind the prune, so not known while its constructor runs.
        DynamoDBBackupTablesOperator(task_id="later", table_names=["orders"])
    return task


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (("shop", "one"), ("shop.one", "back_up")),
        (("shop", "one"), ("shop", "one.more")),
        (("магазин", "копия"), ("склад--", "архив")),
    ],
)
def test_only_what_the_task_has_created_is_pruned(
    control_plane: ControlPlane, context: Context, own: tuple[str, str], other: tuple[str, str]
) -> None:
    """Not another DAG's whose readable name begins alike, or in whose alphabet each letter becomes a hyphen."""
    made, others = (
        nightly(control_plane, 3, name=derive_backup_name("", *ids, "scheduled__2026")) for ids in (own, other)
    )
    assert pruner(own).execute(context)["deleted"] == made[:-1]
    assert set(others) < set(control_plane.backup_arns())


@pytest.mark.parametrize(("own", "other"), [("blue", ""), ("", "green"), ("blue", "green")])
def test_another_airflow_s_are_not_pruned(
    control_plane: ControlPlane, context: Context, monkeypatch: pytest.MonkeyPatch, own: str, other: str
) -> None:
    """On the same account, with the same DAGs: the namespace tells them apart."""
    made, others = (
        nightly(control_plane, 3, name=derive_backup_name(namespace, "shop", "one", "scheduled__2026"))
        for namespace in (own, other)
    )
    monkeypatch.setenv("AIRFLOW__DYNAMODB_BACKUP__NAMESPACE", own)
    assert pruner("one").execute(context)["deleted"] == made[:-1]
    assert set(others) < set(control_plane.backup_arns())


@pytest.mark.parametrize(
    ("created_by", "tasks"),
    [
        ("one", [("shop", "one")]),
        ("mapped", [("shop", "mapped")]),
        ("later", [("shop", "later")]),
        (("other_dag", "back_up"), [("other_dag", "back_up")]),
        (["one", ("shop", "later"), ("other_dag", "x")], [("shop", "one"), ("shop", "later"), ("other_dag", "x")]),
    ],
    ids=str,
)
def test_the_prefix_is_that_of_each_task_s_derived_names(created_by: Any, tasks: list[tuple[str, str]]) -> None:
    """A task of this DAG, mapped or not, or another DAG's."""
    assert narrowed_to(pruner(created_by), rendered) == tuple(derived_prefix("", *ids) for ids in tasks)


@pytest.mark.parametrize("wrong", ["", "{{ params.task }}", [], ["one", 1], ("a", "b", "c"), (), ("shop", None), 5, {}])
def test_what_names_no_task_is_refused_when_the_dag_is_parsed(wrong: Any) -> None:
    """It is not templated."""
    with pytest.raises(InvalidValueError, match="created_by must be a task_id of this DAG"):
        pruner(wrong)


@pytest.mark.parametrize("wrong", ["nowhere", "named", "mapped_named", "mapped_names", "other", ("shop", "nowhere")])
def test_a_task_of_this_dag_that_derives_no_names_is_refused(
    control_plane: ControlPlane, context: Context, wrong: Any
) -> None:
    """It is missing, creates no backups, or has a backup_name."""
    made = nightly(control_plane, 3)
    with pytest.raises(InvalidValueError, match=r"have no backup_name; this DAG's are \['later', 'mapped', 'one'\]"):
        pruner(wrong).execute(context)
    assert control_plane.backup_arns() == made


def test_exactly_one_of_creator_and_prefix_is_required() -> None:
    """Both would be two answers."""
    with pytest.raises(InvalidValueError, match="created_by must be None with backup_name_prefix"):
        pruner("one", backup_name_prefix="nightly-")
    with pytest.raises(InvalidValueError, match="backup_name_prefix must be 3 to 255"):
        pruner(None)
