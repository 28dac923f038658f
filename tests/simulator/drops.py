"""Dropping tables as AWS does it, and moto does not (AWS.md, "Deleting"): it takes time, and is refused meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moto.dynamodb.models.table import Table

_IN_USE = "Attempt to change a resource which is still in use: Table is being"
_PROTECTED = (
    "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
)


def refusal(table: Table, status: str) -> tuple[str, str] | None:
    """Return code and text of the error with which AWS refuses a DeleteTable; ``None``: it does not.

    :param table: the table
    :param status: its status
    """
    if status in {"CREATING", "UPDATING", "DELETING"}:
        return "ResourceInUseException", f"{_IN_USE} {status[:-3].lower()}ed: {table.name}"
    return ("ValidationException", _PROTECTED) if table.deletion_protection_enabled else None


def begin(table: Table, now: float, seconds: float) -> None:
    """Begin to drop a table.

    :param table: the table
    :param now: Unix seconds by the tests' clock
    :param seconds: how long it takes
    """
    vars(table)["gone_at"] = now + seconds


def describe(table: Table, description: dict[str, Any]) -> None:
    """Correct the description of a table that is being dropped."""
    if "gone_at" in vars(table):
        description["TableStatus"] = "DELETING"


def is_gone(table: Table, now: float) -> bool:
    """Return whether a table that was dropped is gone by now."""
    return now >= float(vars(table).get("gone_at", "inf"))
