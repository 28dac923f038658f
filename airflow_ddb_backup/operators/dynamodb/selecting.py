"""The base of the operators for many tables: the parameters that select them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.operators.dynamodb.base import DynamoDBOperator
from airflow_ddb_backup.selection import TableSelection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from airflow.providers.common.compat.sdk import XComArg

SELECTION_FIELDS = ("table_names", "exclude", "table_tags", "max_tables")


class TablesOperator(DynamoDBOperator):
    """Base of the operators that select tables. Each names its parameters itself, for editors and type checkers."""

    table_names: Sequence[str | XComArg] | XComArg | str | None
    exclude: Collection[str | XComArg] | XComArg | str
    table_tags: Mapping[str, str | int | XComArg | Collection[str | int]] | XComArg | str | None
    max_tables: int | str | XComArg
    if_empty: str

    def _selection(self, of: Callable[[Any], Any]) -> TableSelection:
        """Return the selection that the parameters make.

        :param of: :func:`~.parameters.literal` or :func:`~.parameters.rendered`
        :raises InvalidValueError: a value is wrong
        """
        self.check_connection(of)
        return TableSelection(
            table_names=of(self.table_names),
            exclude=of(self.exclude),
            table_tags=of(self.table_tags),
            max_tables=of(self.max_tables),
            if_empty=self.if_empty,  # type: ignore[arg-type]  # the value checks it
        )
