"""The checks of a drill, a function each: what a restored table must be like. It tells what is wrong, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.boto_errors import map_exceptions
from airflow_ddb_backup.exceptions import BackupError, BackupNotFoundError, CheckFailedError, InvalidValueError
from airflow_ddb_backup.limits import DESCRIBE_LAG, LONGEST_TEXT
from airflow_ddb_backup.models import INDEX_KINDS
from airflow_ddb_backup.parameters import check_count, check_flag, check_texts, set_checked
from airflow_ddb_backup.retries import read_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow_ddb_backup.models import Backup, BackupArn
    from airflow_ddb_backup.restoring.settings import SettingsOf

PASSED = "passed"
# What makes an index what it is; its capacity is not, nor is its status.
_INDEX_MEMBERS = ("KeySchema", "Projection", "VectorAttribute", "Dimensions", "DistanceFunction")


@dataclass
class Restored:
    """A restored table that is checked.

    :param table: the table
    :param arn: the backup that it was restored from
    """

    table: SettingsOf
    arn: BackupArn
    #: how many items it has; ``None``: they were not counted
    items: int | None = None

    @property
    def backup(self) -> Backup:
        """The backup, as described when it was first asked for.

        :raises BackupNotFoundError: it is gone
        """
        if isinstance(self._described, BackupNotFoundError):
            raise self._described
        return self._described

    @cached_property
    def _described(self) -> Backup | BackupNotFoundError:
        # A prune may have deleted it since it was restored: then no check need wait for it.
        known = self.table.deadline.within(DESCRIBE_LAG)

        def describe() -> Backup | BackupNotFoundError:
            try:
                return self.table.hook.describe_backup(self.arn)
            except BackupNotFoundError as error:
                if not known.passed:
                    raise
                return error

        return self.table.retry(describe)

    def count(self) -> int:
        """Count the items."""
        table, hook = self.table, self.table.hook
        counts = read_pages(
            lambda cursor: table.retry(hook.count_items, table.context, table.name, cursor), table.context
        )
        self.items = sum(counts or ())
        return self.items


def _schema(restored: Restored) -> str | None:
    """Compare the primary key with the backup's. Nothing tells which types the backup has."""
    wanted = (restored.backup.table or {})["KeySchema"]
    has = restored.table.description["KeySchema"]
    return None if wanted == has else f"Its key schema is {has}, the backup's is {wanted}."


def _indexes(restored: Restored) -> str | None:
    """Compare the global, local and vector indexes with the backup's: their names, keys and projections."""
    backup, table = restored.backup, restored.table.description
    for kind in INDEX_KINDS:
        wanted, has = _by_name(backup.indexes[kind]), _by_name(table.get(kind) or ())
        if differing := sorted(name for name in wanted | has if wanted.get(name) != has.get(name)):
            parts = (f"{name} is {has.get(name)}, the backup's is {wanted.get(name)}" for name in differing)
            return f"Of its {kind}, {'; '.join(parts)}."
    return None


def _by_name(indexes: Collection[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        index["IndexName"]: {name: _unordered(index[name]) for name in _INDEX_MEMBERS if name in index}
        for index in indexes
    }


def _unordered(member: Any) -> Any:
    """Return a member of an index; AWS promises no order of the attributes that are projected."""
    if isinstance(member, dict) and "NonKeyAttributes" in member:
        return {**member, "NonKeyAttributes": sorted(member["NonKeyAttributes"])}
    return member


def _min_items(least: int, restored: Restored) -> str | None:
    count = restored.count()
    return None if count >= least else f"It has {count} items, min_items is {least}."


def _validate(accept: Callable[[Any, str], object], restored: Restored) -> str | None:
    try:
        accept(restored.table.hook.conn, restored.table.name)
    except Exception as error:  # noqa: BLE001  # whatever the user's own code raises
        return f"validate has raised {type(error).__name__}: {str(error)[:LONGEST_TEXT]}"
    return None


_BY_NAME: Mapping[str, Callable[[Restored], str | None]] = {"schema": _schema, "indexes": _indexes}


@dataclass(frozen=True, slots=True)
class DrillChecks:
    """The checks that a drill asks for. It checks itself.

    :param checks: ``"schema"`` and ``"indexes"``, or one of them, or none
    :param min_items: how many items the table must have, 0 or more
    :param validate: is given a boto3 client and the table's name, and raises to refuse; ``None``: nothing is
    :param keep_on_failure: keep a table that fails a check
    :raises InvalidValueError: a value is wrong
    """

    checks: Collection[str]
    min_items: int
    validate: Callable[[Any, str], object] | None
    keep_on_failure: bool

    def __post_init__(self) -> None:
        rule = f"a list of {', '.join(map(repr, _BY_NAME))}"
        set_checked(
            self,
            checks=check_texts("checks", self.checks, rule, _BY_NAME.__contains__),
            min_items=check_count("min_items", self.min_items, text=False),
            keep_on_failure=check_flag("keep_on_failure", self.keep_on_failure),
        )
        if self.validate is not None and not callable(self.validate):
            raise InvalidValueError.of("validate", self.validate, "a callable that takes a client and a name, or None")

    def run(self, restored: Restored) -> dict[str, BackupError | None]:
        """Make every check; return why each has failed, ``None`` for one that passed.

        :param restored: the table
        """
        checks = {name: _BY_NAME[name] for name in self.checks}
        checks["min_items"] = partial(_min_items, self.min_items)
        if self.validate is not None:
            checks["validate"] = partial(_validate, self.validate)
        return {name: _failure(check, restored) for name, check in checks.items()}


def _failure(check: Callable[[Restored], str | None], restored: Restored) -> BackupError | None:
    context = restored.table.context
    try:
        with map_exceptions(context):
            wrong = check(restored)
    except BackupError as error:
        return error
    return CheckFailedError.about(context, wrong) if wrong else None
