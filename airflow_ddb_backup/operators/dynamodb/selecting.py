"""The base of the operators for many tables: the parameters that select them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator

from airflow_ddb_backup.exceptions import (
    ErrorContext,
    InvalidValueError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.selection import IfEmpty, TableSelection
from airflow_ddb_backup.validation import (
    check_botocore_config,
    check_choice,
    check_count,
    check_literal_table_names,
    check_patterns,
    check_region_name,
    check_table_names,
    check_tags,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow.providers.common.compat.sdk import XComArg


_NOT_GIVEN: Any = None if TYPE_CHECKING else object()


class TablesOperator(AwsBaseOperator[DynamoDBBackupHook]):
    """Base of the operators that select tables.

    :param table_names: names, ARNs, and shell patterns such as ``orders-*`` (templated); ``None``: all with the tags
    :param exclude: names, ARNs and patterns of tables that are left out
    :param tags: a value, or a list of values, for each key; a table must match every key
    :param max_tables: a larger selection is refused, 1 or more
    :param if_empty: what to do when no table is selected: ``"fail"``, or ``"skip"`` the task
    :raises InvalidValueError: a value is wrong; for a literal, when the DAG is parsed
    """

    aws_hook_class = DynamoDBBackupHook

    def __init__(
        self,
        *,
        table_names: Sequence[str | XComArg] | XComArg | str | None = _NOT_GIVEN,
        exclude: Collection[str] = (),
        tags: Mapping[str, str | Collection[str]] | None = _NOT_GIVEN,
        max_tables: int = 100,
        if_empty: Literal["fail", "skip"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # What renders to None must not pass for "all that have the tags"; mapped, it is rendered before this.
        mapped = getattr(self, "_BaseOperator__from_mapped", False)
        self._was_given_names = table_names is not _NOT_GIVEN and (mapped or table_names is not None)
        self.table_names = None if table_names is _NOT_GIVEN else table_names
        self.exclude = exclude
        if mapped and tags is None:
            check_tags({})
        self.tags = None if tags is _NOT_GIVEN else tags
        self.max_tables = max_tables
        self.if_empty: str = if_empty
        if self._was_given_names:
            check_literal_table_names(table_names)
        empty = isinstance(table_names, list | tuple | set | frozenset) and not table_names
        if empty and if_empty == IfEmpty.FAIL.value and not mapped:
            raise InvalidValueError.of("table_names", table_names, "a list with at least one table")
        self._check_selection()

    def _check_selection(self) -> None:
        if not self._was_given_names and self.table_names is None and self.tags is None:
            raise InvalidValueError.of("table_names", None, "given, or tags; all tables is ['*']")
        check_patterns("exclude", self.exclude, arns=True)
        check_tags(self.tags)
        check_count("max_tables", self.max_tables, 1)
        check_choice("if_empty", self.if_empty, IfEmpty)
        check_botocore_config(self.botocore_config)

    def _select(self) -> tuple[TableSelection, ErrorContext]:
        """Return the selection, and the region of the calls; the hook is opened anew."""
        names = self._was_given_names or self.table_names is not None
        selection = TableSelection(
            table_names=tuple(check_table_names(self.table_names)) if names else None,
            exclude=check_patterns("exclude", self.exclude, arns=True),
            tags=check_tags(self.tags),
            max_tables=self.max_tables,
        )
        check_region_name(self.region_name)
        hook = self.hook
        hook.reopen()
        hook.default_region = selection.region
        context = ErrorContext(region=hook.resolve_region(ErrorContext()))
        selection.check_regions(str(context.region))
        return selection, context
