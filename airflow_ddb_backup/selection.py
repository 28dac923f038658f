"""Which tables a task is about: by name, ARN, pattern, exclusion and tag.

An empty selection is never "all tables": a list from another task may be empty by accident, and all tables is
``["*"]``. Plain names and ARNs are taken as they are: one that does not exist is a failure of that table. Patterns and
tags select what exists, by ListTables, since tags are also listed of tables that are gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from airflow_ddb_backup.exceptions import EmptySelectionError, ErrorContext, InvalidValueError, TooManyTablesError
from airflow_ddb_backup.models import TABLE_ARN
from airflow_ddb_backup.retries import read_pages
from airflow_ddb_backup.validation import check_region, table_region

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.retries import Retry

# No table's name has any of these.
_PATTERN_MARKS = frozenset("*?[")
# A message names so many tables.
_NAMED = 5


class IfEmpty(StrEnum):
    """The choices for an empty selection."""

    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class SelectedTable:
    """A table that a task is about.

    :param name: the name
    :param arn: the ARN, if the task names the table by it
    :param named: the task names it, by name or ARN: if it does not exist, that is a failure
    :param missing: it does not exist, so that nobody knows whether it had the tags
    """

    name: str
    arn: str | None = None
    named: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True)
class TableSelection:
    """The tables that a task is about, as its parameters say.

    :param table_names: names, ARNs and patterns; ``None``: all that have the tags
    :param exclude: names, ARNs and patterns of those that are left out
    :param tags: the values that each tag may have; a table needs one of each
    :param max_tables: refuse a larger selection
    """

    table_names: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    max_tables: int = 100

    @property
    def region(self) -> str | None:
        """The region of the first ARN; ``None``: there is no ARN."""
        return next(filter(None, map(table_region, self.table_names or ())), None)

    def check_regions(self, region: str) -> None:
        """Refuse ARNs of another region: AWS ignores that part of them.

        :param region: the region of the calls
        :raises OtherRegionError: an ARN's is another
        """
        for name in self.table_names or ():
            check_region(table_region(name), ErrorContext(table=name, region=region))

    @property
    def has_patterns(self) -> bool:
        """Whether tables are selected that the task does not name."""
        return self.table_names is None or any(map(is_pattern, self.table_names))

    def named(self) -> dict[str, SelectedTable]:
        """Return the tables that are named, by name or ARN, and not excluded.

        :raises InvalidValueError: two ARNs are of tables of one name
        """
        named: dict[str, SelectedTable] = {}
        for text in self.table_names or ():
            if not is_pattern(text):
                match = TABLE_ARN.fullmatch(text)
                name, arn = (match["table"], text) if match else (text, None)
                known = named.setdefault(name, SelectedTable(name, arn, named=True))
                if arn and known.arn not in {None, arn}:
                    raise InvalidValueError.of("table_names", text, f"of one account: {known.arn!r} has the same name")
                named[name] = replace(known, arn=known.arn or arn)
        return {name: table for name, table in named.items() if not self._excludes(name)}

    def matches(self, name: str) -> bool:
        """Return whether a name is selected, apart from its tags: by name, ARN or pattern, and not excluded.

        :param name: a table's name
        """
        wanted = self.table_names is None or _any_matches(self.table_names, name)
        return wanted and not self._excludes(name)

    def check_size(self, names: Iterable[str], context: ErrorContext) -> None:
        """Refuse a selection that is empty or too large.

        :param names: the tables that are selected
        :param context: the region, for messages
        :raises EmptySelectionError: there is none
        :raises TooManyTablesError: there are more than ``max_tables``
        """
        found = sorted(names)
        if not found:
            raise EmptySelectionError.about(context, f"{self} selects 0 tables.")
        if len(found) > self.max_tables:
            some = ", ".join(found[:_NAMED]) + (", …" if len(found) > _NAMED else ".")
            detail = f"{self} selects {len(found)} tables, max_tables is {self.max_tables}: {some}"
            raise TooManyTablesError.about(context, detail)

    def __str__(self) -> str:
        parts = {
            "table_names": list(self.table_names) if self.table_names is not None else None,
            "exclude": list(self.exclude) or None,
            "tags": {key: list(values) for key, values in self.tags.items()} or None,
        }
        return ", ".join(f"{name}={value!r}" for name, value in parts.items() if value is not None)

    def _excludes(self, name: str) -> bool:
        return _any_matches(self.exclude, name)


def select_tables(
    hook: DynamoDBBackupHook, selection: TableSelection, context: ErrorContext, retry: Retry
) -> list[SelectedTable]:
    """Return the selected tables, by name. Its size is not checked.

    :param hook: makes the calls
    :param selection: what the task says about its tables
    :param context: the region, for messages
    :param retry: repeats a call that may yet succeed
    :raises BackupError: a listing has failed
    """
    selected = selection.named()
    if selection.table_names is not None and not selection.table_names:
        return []
    if selection.tags or selection.has_patterns:
        existing = set(read_pages(lambda cursor: retry(hook.list_tables, context, cursor), context) or ())
        chosen = existing
        if selection.tags:
            pages = read_pages(lambda cursor: retry(hook.list_tagged_tables, context, selection.tags, cursor), context)
            tagged = set(pages or ())
            selected = {
                name: replace(table, missing=name not in existing)
                for name, table in selected.items()
                if name in tagged or name not in existing
            }
            chosen = existing & tagged
        for name in chosen:
            if selection.matches(name):
                selected.setdefault(name, SelectedTable(name))
    return [selected[name] for name in sorted(selected)]


def is_pattern(text: str) -> bool:
    """Return whether this is a pattern, and no table's name or ARN."""
    return not _PATTERN_MARKS.isdisjoint(text)


def _any_matches(texts: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, text) if is_pattern(text) else text.rpartition("/")[2] == name for text in texts)
