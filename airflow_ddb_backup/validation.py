"""Checks of the parameters of operators and sensors. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.config import Config

from airflow_ddb_backup.exceptions import ErrorContext, InvalidValueError, OtherRegionError
from airflow_ddb_backup.models import TABLE_ARN, BackupArn

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

_Choice = TypeVar("_Choice", bound="StrEnum")
_TEMPLATE_MARKS = ("{{", "{%", "{#")
# Lengths and characters: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateBackup.html
_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_LONGEST_TABLE = 1024
# https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
_MOST_TAGS = 50
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
    if not _is_rendered_later(value):
        check(value)


def check_literal_backup_arns(value: object) -> None:
    """Check a list of backups while the DAG is parsed, apart from what is rendered later.

    :param value: a list of literals and templates, or a template of the whole list
    :raises InvalidValueError: a literal is wrong
    """
    if isinstance(value, list | tuple):
        literals = [one for one in value if not _is_rendered_later(one)]
        if literals or not value:
            check_backup_arns(literals)
    else:
        check_literal(check_backup_arns, value)


def _is_rendered_later(value: object) -> bool:
    jinja = isinstance(value, str) and any(mark in value for mark in _TEMPLATE_MARKS)
    return jinja or callable(value) or hasattr(value, "resolve")


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


def check_timeout(value: object, longest: int = _LONGEST_TIMEOUT) -> float:
    """Return a timeout in seconds.

    :param value: 60 seconds or more, or a ``timedelta`` of as much
    :param longest: the most seconds that it may be
    :raises InvalidValueError: it is not
    """
    seconds = _seconds(value)
    if seconds is None or not _SHORTEST_TIMEOUT <= seconds <= longest:
        rule = f"{_SHORTEST_TIMEOUT} to {longest} seconds, as a number or a timedelta"
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


def check_span(parameter: str, value: object) -> timedelta | None:
    """Return a length of time that may be left out.

    :param parameter: the name of the parameter
    :param value: a ``timedelta`` above 0, or ``None``
    :raises InvalidValueError: it is neither
    """
    if value is None or (isinstance(value, timedelta) and value > timedelta(0)):
        return value
    raise InvalidValueError.of(parameter, value, "a timedelta above 0, or None")


def check_region_name(value: object) -> None:
    """Refuse a region that renders to nothing: the connection's, which may be another, would be taken.

    :param value: the region; ``None``: the connection's, or boto3's default
    :raises InvalidValueError: it is empty
    """
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise InvalidValueError.of("region_name", value, "a region, or None", text=True)


def check_backup_arns(value: object) -> list[BackupArn]:
    """Return the parts of the ARNs of some backups, each once.

    :param value: a list with at least one ARN
    :raises InvalidValueError: it is no such list
    """
    if isinstance(value, str):
        rule = (
            "a list of the ARNs of backups (where a template renders it, set the DAG's "
            "render_template_as_native_obj=True, or pass another task's output)"
        )
        raise InvalidValueError.of("backup_arns", value, rule)
    texts = _texts("backup_arns", value, "a list of the ARNs of backups")
    if not texts:
        raise InvalidValueError.of("backup_arns", value, "a list with at least one ARN")
    return [BackupArn.parse(text) for text in dict.fromkeys(texts)]


def _texts(parameter: str, value: object, rule: str) -> list[str]:
    # A mapped task's output is a sequence, and no list.
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | AbstractSet):
        raise InvalidValueError.of(parameter, value, rule)
    for one in value:
        if not isinstance(one, str):
            raise InvalidValueError.of(parameter, one, rule, text=True)
    return list(value)


def _is_table(text: str) -> bool:
    pattern = TABLE_ARN if text.startswith("arn:") else _NAME
    return len(text) <= _LONGEST_TABLE and bool(pattern.fullmatch(text))


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
