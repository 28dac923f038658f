"""Which tables a task is about: by name, ARN, pattern, exclusion and tag.

An empty selection is never "all tables": a list from another task may be empty by accident, and all tables is
``["*"]``. Plain names and ARNs are taken as they are: one that does not exist is a failure of that table. Patterns
select what exists, by ListTables.

Tags narrow all of these. GetResources tells them for thousands of tables at once, but lags: it lists tables that are
gone, and tags that were changed or removed. So tables that a pattern matches must exist, and a table that the task
names is asked for its tags itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_ddb_backup import exceptions, parameters
from airflow_ddb_backup.exceptions import BackupError
from airflow_ddb_backup.limits import LARGEST_NUMBER, MOST_TAG_VALUES, MOST_TAGS, NAMED, TABLE_PATIENCE
from airflow_ddb_backup.models import TABLE_ARN
from airflow_ddb_backup.retries import read_pages, retrying

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.report import Report


# AWS allows them in no tag: they are what is left of a template that nothing has rendered, such as a key.
_BRACES = frozenset("{}")


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
    """

    name: str
    arn: str | None = None
    named: bool = False


@dataclass(frozen=True, slots=True)
class TableSelection:
    """The tables that a task is about, as its parameters say. It checks itself.

    :param table_names: names, ARNs and patterns; ``None``: none
    :param exclude: names and patterns of those that are left out; no ARNs, which may be of other tables
    :param table_tags: a value, or the values, that each tag may have; a table needs one of each. ``None``: any tags
    :param max_tables: refuse a larger selection, 1 or more
    :param if_empty: what to do when there is no table
    :raises InvalidValueError: a value is wrong
    """

    table_names: Sequence[str]
    exclude: Sequence[str] = ()
    table_tags: Mapping[str, Sequence[str]] | None = None
    max_tables: int = 100
    if_empty: IfEmpty = IfEmpty.FAIL

    def __post_init__(self) -> None:
        names = () if self.table_names is None else self.table_names
        parameters.set_checked(
            self,
            table_names=parameters.check_patterns("table_names", names, arns=True),
            exclude=parameters.check_patterns("exclude", self.exclude),
            table_tags=_check_tags(self.table_tags),
            max_tables=parameters.check_count("max_tables", self.max_tables, 1),
            if_empty=parameters.check_choice("if_empty", self.if_empty, IfEmpty),
        )
        arns: dict[str, str] = {}
        for arn in filter(TABLE_ARN.fullmatch, self.table_names):
            if (other := arns.setdefault(_name_of(arn), arn)) != arn:
                rule = f"of one account: {other!r} has the same name"
                raise exceptions.InvalidValueError.of("table_names", arn, rule)
            if arn.split(":")[3:5] != str(self.arn).split(":")[3:5]:
                raise exceptions.InvalidValueError.of("table_names", arn, f"of one account and region, as {self.arn!r}")

    @property
    def arn(self) -> str | None:
        """The first ARN, of whose account and region all are; ``None``: there is no ARN."""
        return next(filter(TABLE_ARN.fullmatch, self.table_names), None)

    @property
    def has_patterns(self) -> bool:
        """Whether tables are selected that the task does not name."""
        return any(map(parameters.is_pattern, self.table_names))

    def named(self) -> dict[str, SelectedTable]:
        """Return the tables that are named, by name or ARN, and not excluded."""
        # The ARN counts where a table is named by both.
        texts = sorted((text for text in self.table_names if not parameters.is_pattern(text)), key=len)
        named = {_name_of(text): text for text in texts}
        return {
            name: SelectedTable(name, text if text != name else None, named=True)
            for name, text in named.items()
            if not _any_matches(self.exclude, name)
        }

    def matches(self, name: str) -> bool:
        """Return whether a name is selected, apart from its tags: by name, ARN or pattern, and not excluded.

        :param name: a table's name
        """
        return _any_matches(self.table_names, name) and not _any_matches(self.exclude, name)

    def has_tags(self, tags: Iterable[tuple[str, str]]) -> bool:
        """Return whether a table's tags are among those that are asked for.

        :param tags: its keys and values
        """
        has = dict(tags)
        return all(has.get(key) in values for key, values in (self.table_tags or {}).items())

    def check_size(self, names: Iterable[str], context: ErrorContext) -> None:
        """Refuse a selection that is empty or too large.

        :param names: the tables that are selected
        :param context: the region, for messages
        :raises EmptySelectionError: there is none
        :raises AirflowSkipException: there is none, and the task is to be skipped then
        :raises TooManyTablesError: there are more than ``max_tables``
        """
        found = sorted(names)
        if not found:
            error = exceptions.EmptySelectionError.about(context, f"{self} selects 0 tables.")
            raise AirflowSkipException(str(error)) if self.if_empty is IfEmpty.SKIP else error
        if len(found) > self.max_tables:
            some = ", ".join(found[:NAMED]) + (", …" if len(found) > NAMED else ".")
            detail = f"{self} selects {len(found)} tables, max_tables is {self.max_tables}: {some}"
            raise exceptions.TooManyTablesError.about(context, detail)

    def __str__(self) -> str:
        tags = {key: list(values) for key, values in (self.table_tags or {}).items()}
        parts = {"table_names": list(self.table_names), "exclude": list(self.exclude), "table_tags": tags}
        return ", ".join(f"{name}={value!r}" for name, value in parts.items() if value or name == "table_names")


def select_tables(
    hook: DynamoDBBackupHook,
    selection: TableSelection,
    report: Report[Any],
    *,
    context: ErrorContext,
    deadline: Deadline,
    too_late: BackupError,
    log: Any,
) -> list[SelectedTable]:
    """Return the selected tables, by name. Their number is not checked.

    :param hook: makes the calls
    :param selection: what the task says about its tables
    :param report: takes in which tables the task names and lack the tags, and of which that can't be known
    :param context: the region, for messages
    :param deadline: when to give up
    :param too_late: why a call that would begin after it has failed
    :param log: the task's log
    :raises BackupError: a listing has failed
    """
    retry = retrying(deadline, log, too_late=too_late)
    retry_of_one = retrying(deadline, log, patience=TABLE_PATIENCE, too_late=too_late)

    def has_tags(table: SelectedTable) -> bool:
        about = replace(context, table=table.name)
        try:
            arn = retry_of_one(hook.describe_table, about, table.arn or table.name).arn
            tags = read_pages(lambda cursor: retry_of_one(hook.list_tags, about, arn, cursor), about)
        except exceptions.AccountError:
            raise
        except BackupError as error:
            report.fail(table.name, error, log)
            return False
        if selection.has_tags(tags or ()):
            return True
        report.skipped[table.name] = "It lacks the tags."
        log.warning("Skipped, since it lacks the tags: table %s", table.name)
        return False

    named = selection.named()
    selected = [table for table in named.values() if not selection.table_tags or has_tags(table)]
    if selection.has_patterns:
        chosen = set(read_pages(lambda cursor: retry(hook.list_tables, context, cursor), context) or ())
        if tags := selection.table_tags:
            tagged = read_pages(lambda cursor: retry(hook.list_tagged_tables, context, tags, cursor), context)
            chosen &= set(tagged or ())
        selected += [SelectedTable(name) for name in filter(selection.matches, chosen - named.keys())]
    return sorted(selected, key=lambda table: table.name)


def _check_tags(value: object) -> dict[str, tuple[str, ...]] | None:
    """Return the values that each tag may have.

    :param value: up to 50 keys, with a value each, or a list of up to 20; ``None``: no tags
    :raises InvalidValueError: it is not; an empty dict would select all tables that were ever tagged
    """
    if value is None or value is parameters.LATER:
        return None
    rule = f"a dict of 1 to {MOST_TAGS} keys, with a value each or a list of 1 to {MOST_TAG_VALUES}, or None"
    if not isinstance(value, Mapping) or not 0 < len(value) <= MOST_TAGS:
        raise exceptions.InvalidValueError.of("table_tags", value, rule)
    tags = {}
    for key in parameters.check_texts("table_tags", list(value), f"{rule}, without braces", _BRACES.isdisjoint):
        several = isinstance(value[key], Sequence | AbstractSet) and not isinstance(value[key], str | bytes)
        texts = [_text_of(one) for one in (value[key] if several else [value[key]])]
        if not 0 < len(texts) <= MOST_TAG_VALUES:
            raise exceptions.InvalidValueError.of("table_tags", value, rule)
        tags[key] = parameters.check_texts("table_tags", texts, f"{rule}, without braces", _BRACES.isdisjoint)
    return tags


def _text_of(value: object) -> object:
    # A template that renders to native objects makes a number of a value that is all digits.
    return str(value) if type(value) is int and abs(value) <= LARGEST_NUMBER else value


def _name_of(text: str) -> str:
    return text.rpartition("/")[2]


def _any_matches(texts: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, text) if parameters.is_pattern(text) else _name_of(text) == name for text in texts)
