"""What the parameters of operator and sensor may be. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_ddb_backup.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

_Choice = TypeVar("_Choice", bound="StrEnum")
_TEMPLATE_MARKS = ("{{", "{%", "{#")
_SHORTEST_TIMEOUT = 60
_LONGEST_TIMEOUT = 7200


def check_literal(check: Callable[[object], Any], value: object) -> None:
    """Check a templated field while the DAG is parsed, if its value is there already.

    :param check: raises for a wrong value
    :param value: a literal, a Jinja template, or another task's output
    :raises InvalidValueError: a literal is wrong
    """
    jinja = isinstance(value, str) and any(mark in value for mark in _TEMPLATE_MARKS)
    if not jinja and not hasattr(value, "resolve"):
        check(value)


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
    """Return the seconds between two looks.

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
