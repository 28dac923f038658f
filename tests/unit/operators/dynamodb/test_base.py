"""What all operators for many tables make of the parameters that select them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.exceptions import EmptySelectionError
from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBPruneBackupsOperator
from tests.unit.retention.support import created, nightly

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.control_plane import ControlPlane


class Back(DynamoDBBackupTablesOperator):
    """A team's own, which passes its parameters through."""

    def __init__(self, *, table_names: Any = None, **kwargs: Any) -> None:
        super().__init__(table_names=table_names, **kwargs)


class Prune(DynamoDBPruneBackupsOperator):
    """The same of a prune."""

    def __init__(self, *, table_names: Any = None, **kwargs: Any) -> None:
        super().__init__(table_names=table_names, **kwargs)


#: each operator, a wrapper of it, and what else it must be given
KINDS: list[tuple[Any, Any, dict[str, Any]]] = [
    (DynamoDBBackupTablesOperator, Back, {}),
    (DynamoDBPruneBackupsOperator, Prune, {"backup_name_prefix": "nightly-", "keep_last": 1}),
]


@pytest.mark.parametrize(("kind", "wrapper", "settings"), KINDS)
@pytest.mark.parametrize("empty", [None, [], (), set()], ids=repr)
@pytest.mark.parametrize("way", ["direct", "mapped", "partial", "wrapped", "left out of a wrapper", "wrapped, mapped"])
def test_no_tables_are_an_empty_selection(
    control_plane: ControlPlane,
    context: Context,
    kind: Any,
    wrapper: Any,
    settings: dict[str, Any],
    empty: Any,
    way: str,
) -> None:
    """However they are given, and never all tables with the tags."""
    made = nightly(control_plane, 3)
    control_plane.tag_table("orders", backup="nightly")
    settings = {"task_id": "task", "table_tags": {"backup": "nightly"}, **settings}
    task: Any
    with DAG("shop", schedule=None):
        if way == "direct":
            task = kind(**settings, table_names=empty)
        elif way == "wrapped":
            task = wrapper(**settings, table_names=empty)
        elif way == "left out of a wrapper":
            task = wrapper(**settings)
        elif way == "partial":
            task = kind.partial(**settings, table_names=empty).expand(max_tables=[9]).unmap({"max_tables": 9})
        else:
            mapped = (kind if way == "mapped" else wrapper).partial(**settings).expand(table_names=[empty])
            task = mapped.unmap({"table_names": empty})
    with pytest.raises(EmptySelectionError):
        task.execute(context)
    assert control_plane.backup_arns() == made


@pytest.mark.parametrize(("kind", "_", "settings"), KINDS)
def test_tags_that_are_meant_for_other_operators_narrow_nothing(
    control_plane: ControlPlane, context: Context, kind: Any, _: Any, settings: dict[str, Any]
) -> None:
    """``default_args`` reach every operator of a DAG; those of the amazon provider put ``tags`` on what they make."""
    tables = ["orders", *created(control_plane, "customers", "invoices")]
    control_plane.tag_table("orders", team="shop")
    for table in tables:
        nightly(control_plane, 2, table)
    with DAG("shop", schedule=None, default_args={"tags": {"team": "shop"}}):
        task = kind(task_id="task", table_names=tables, **settings)
    report = task.execute(context)
    if kind is DynamoDBBackupTablesOperator:
        assert (list(report["backups"]), report["skipped"]) == (sorted(tables), {})
    else:
        assert sorted(arn.split("/")[1] for arn in report["deleted"]) == sorted(tables)
