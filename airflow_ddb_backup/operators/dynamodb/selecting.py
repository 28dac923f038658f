"""The base of the operators for many tables: the parameters that select them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.operators.dynamodb.base import DynamoDBOperator
from airflow_ddb_backup.selection import TableSelection

if TYPE_CHECKING:
    from collections.abc import Callable

SELECTION_FIELDS = ("table_names", "exclude", "table_tags", "max_tables")


class TablesOperator(DynamoDBOperator):
    """Base of the operators that select tables. Each names its parameters itself, for editors and type checkers."""

    def _selection(self, of: Callable[[Any], Any]) -> TableSelection:
        """Return the selection that the parameters make.

        :param of: :func:`~.parameters.literal` or :func:`~.parameters.rendered`
        :raises InvalidValueError: a value is wrong
        """
        return self._make(TableSelection, of)
