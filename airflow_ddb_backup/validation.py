"""Checks of the parameters of operators and sensors. No I/O."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.config import Config

from airflow_ddb_backup.exceptions import ErrorContext, InvalidValueError, OtherRegionError
from airflow_ddb_backup.models import TABLE_ARN

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

_Choice = TypeVar("_Choice", bound="StrEnum")
_TEMPLATE_MARKS = ("{{", "{%", "{#")
# Lengths and characters: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateBackup.html
_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_LONGEST_TABLE = 1024
# Chosen in the package's first contract: shorter than a minute, a new table's first backup and one burst of throttling
# already exceed it; beyond two hours, a sensor in its own task is the better place to wait.
_SHORTEST_TIMEOUT = 60
_LONGEST_TIMEOUT = 7200


def check_literal(check: Callable[[object], Any], value: object) -> None:
    """Check a templated field while the DAG is parsed, if it is not rendered later.

    :param check: raises for a wrong value
    :param value: a literal, a Jinja template, another task's output, or a callable that renders it
    :raises InvalidValueError: a literal is wrong
    """
    jinja = isinstance(value, str) and any(mark in value for mark in _TEMPLATE_MARKS)
    if not jinja and not callable(value) and not hasattr(value, "resolve"):
        check(value)


def check_table_name(value: object) -> str:
    """Return a table's name or ARN.

    :param value: 3 to 255 characters of ``[a-zA-Z0-9_.-]``, or an ARN of up to 1024
    :raises InvalidValueError: it is neither
    """
    if isinstance(value, str) and len(value) <= _LONGEST_TABLE:
        pattern = TABLE_ARN if value.startswith("arn:") else _NAME
        if pattern.fullmatch(value):
            return value
    rule = "a table's name, 3 to 255 characters of a-z, A-Z, 0-9, '_', '.' and '-', or its ARN, up to 1024 characters"
    raise InvalidValueError.of("table_name", value, rule, text=True)


def check_backup_name(value: object) -> str:
    """Return a backup's name.

    :param value: 3 to 255 characters of ``[a-zA-Z0-9_.-]``
    :raises InvalidValueError: CreateBackup would refuse it
    """
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    rule = "3 to 255 characters of a-z, A-Z, 0-9, '_', '.' and '-'"
    raise InvalidValueError.of("backup_name", value, rule, text=True)


def table_region(table_name: str) -> str | None:
    """Return the region that a table's ARN names; ``None`` for a plain name."""
    match = TABLE_ARN.fullmatch(table_name)
    return match["region"] if match else None


def check_region(arn_region: str | None, context: ErrorContext) -> None:
    """Refuse an ARN of another region: AWS ignores that part of it, and looks in the region of the call.

    :param arn_region: the region in the ARN; ``None``: there is no ARN
    :param context: the table, backup and region of the calls
    :raises OtherRegionError: the ARN's is another
    """
    if arn_region not in {None, context.region}:
        raise OtherRegionError.about(context, f"The ARN is of {arn_region!r}.")


def check_botocore_config(value: object) -> dict[str, Any] | None:
    """Return the arguments of botocore's ``Config``.

    A deferred task stores them in Airflow's database, so they must be plain JSON, deferrable or not.

    :param value: a dict of arguments of :class:`botocore.config.Config`, or ``None``
    :raises InvalidValueError: it is neither, JSON can't hold it, or ``Config`` refuses it
    """
    if value is None:
        return None
    rule = "a dict of arguments of botocore.config.Config with plain JSON values, or None"
    if not isinstance(value, dict):
        raise InvalidValueError.of("botocore_config", value, rule)
    try:
        Config(**json.loads(json.dumps(value)))
    except Exception as error:
        raise InvalidValueError.of("botocore_config", value, f"{rule} ({error})") from error
    return value


def check_timeout(value: object) -> float:
    """Return a timeout in seconds.

    :param value: 60 to 7200 seconds, or a ``timedelta`` of as much
    :raises InvalidValueError: it is not
    """
    seconds = _seconds(value)
    if seconds is None or not _SHORTEST_TIMEOUT <= seconds <= _LONGEST_TIMEOUT:
        rule = f"{_SHORTEST_TIMEOUT} to {_LONGEST_TIMEOUT} seconds, as a number or a timedelta"
        raise InvalidValueError.of("timeout", value, rule)
    return seconds


def check_interval(parameter: str, value: object) -> float:
    """Return the seconds between two polls.

    :param parameter: the name of the parameter
    :param value: more than 0 seconds, or a ``timedelta`` of as much
    :raises InvalidValueError: it is not
    """
    seconds = _seconds(value)
    if seconds is None or not 0 < seconds < float("inf"):
        raise InvalidValueError.of(parameter, value, "more than 0 seconds, as a number or a timedelta")
    return seconds


def check_choice(parameter: str, value: object, choices: type[_Choice]) -> _Choice:
    """Return one of a parameter's choices.

    :param parameter: the name of the parameter
    :param value: one of the choices
    :param choices: all of them
    :raises InvalidValueError: it is none
    """
    try:
        return choices(str(value))
    except ValueError:
        rule = "one of " + ", ".join(repr(choice.value) for choice in choices)
        raise InvalidValueError.of(parameter, value, rule) from None


def check_reuse_within(value: object) -> timedelta | None:
    """Return how old a backup may be that is reused.

    :param value: a ``timedelta`` above 0, or ``None``
    :raises InvalidValueError: it is neither
    """
    if value is None or (isinstance(value, timedelta) and value > timedelta(0)):
        return value
    raise InvalidValueError.of("reuse_within", value, "a timedelta above 0, or None")


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
