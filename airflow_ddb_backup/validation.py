"""Checks of the parameters of operators and sensors. No I/O."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from botocore.config import Config

from airflow_ddb_backup.exceptions import ErrorContext, InvalidValueError, OtherRegionError, RecoveryPointError
from airflow_ddb_backup.models import TABLE_ARN, BackupArn

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

_Choice = TypeVar("_Choice", bound="StrEnum")
_TEMPLATE_MARKS = ("{{", "{%", "{#")
# Lengths and characters: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateBackup.html
_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_LONGEST_TABLE = 1024
# A name's characters, and the parts of a shell pattern: a character, a wildcard, or a set that is closed.
_CHARACTERS = string.ascii_letters + string.digits + "_.-"
_SHORTEST_NAME = 3
_PATTERN_PART = re.compile(r"[a-zA-Z0-9_.*?-]|\[!?[a-zA-Z0-9_.-]+\]")
_RECOVERY_POINT = re.compile(r"arn:[a-z0-9-]+:backup:\S+")
# https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
_MOST_TAGS = 50
_MOST_TAG_VALUES = 20
_NO_ZONES = ("Factory", "localtime", "posixrules")
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


def check_literal_table_names(value: object) -> None:
    """Check a list of tables while the DAG is parsed, apart from what is rendered later.

    :param value: a list of literals and templates, or a template of the whole list
    :raises InvalidValueError: a literal is wrong
    """
    if isinstance(value, list | tuple | set | frozenset):
        check_table_names([one for one in value if not _is_rendered_later(one)])
    else:
        check_literal(check_table_names, value)


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


def check_count(parameter: str, value: object, lowest: int = 0) -> int:
    """Return a whole number.

    :param parameter: the name of the parameter
    :param value: the number
    :param lowest: the lowest that it may be
    :raises InvalidValueError: it is not one, or lower
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= lowest:
        return value
    raise InvalidValueError.of(parameter, value, f"a whole number, {lowest} or more")


def check_bool(parameter: str, value: object) -> bool:
    """Return a switch that is not templated.

    :param parameter: the name of the parameter
    :param value: a ``bool``
    :raises InvalidValueError: it is not
    """
    if isinstance(value, bool):
        return value
    raise InvalidValueError.of(parameter, value, "True or False")


def check_flag(parameter: str, value: object) -> bool:
    """Return a switch. A string must be a plain true or false: "no" must not mean "yes".

    :param parameter: the name of the parameter
    :param value: a ``bool``, or the string that a template renders one to
    :raises InvalidValueError: it is neither
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise InvalidValueError.of(parameter, value, "True or False, or a template that renders to 'true' or 'false'")


def check_timezone(value: object) -> ZoneInfo:
    """Return a time zone.

    :param value: a name of the IANA database, such as ``Europe/Berlin``
    :raises InvalidValueError: there is no such time zone
    """
    try:
        # These are in some databases, and no zone that is the same everywhere.
        return ZoneInfo("" if value in _NO_ZONES else value)  # type: ignore[arg-type]  # refused below
    except (AttributeError, OSError, TypeError, ValueError, LookupError):
        rule = "the name of a time zone, such as 'UTC' or 'Europe/Berlin'"
        raise InvalidValueError.of("timezone", value, rule) from None


def check_region_name(value: object) -> None:
    """Refuse a region that renders to nothing: the connection's, which may be another, would be taken.

    :param value: the region; ``None``: the connection's, or boto3's default
    :raises InvalidValueError: it is empty
    """
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise InvalidValueError.of("region_name", value, "a region, or None", text=True)


def check_backup_name_prefix(value: object) -> str:
    """Return what the names of some backups begin with.

    :param value: 3 to 255 characters of ``[a-zA-Z0-9_.-]``
    :raises InvalidValueError: it is not: a shorter one would mean nearly all backups
    """
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    rule = "3 to 255 characters of a-z, A-Z, 0-9, '_', '.' and '-'"
    raise InvalidValueError.of("backup_name_prefix", value, rule, text=True)


def check_table_names(value: object) -> list[str]:
    """Return the names, ARNs and patterns of tables.

    :param value: a list; ``None``: an empty one, and never all tables
    :raises InvalidValueError: it is no list, or something in it is neither
    """
    if value is None:
        return []
    if isinstance(value, str):
        rule = (
            "a list of tables' names, ARNs and patterns (where a template renders it, set the DAG's "
            "render_template_as_native_obj=True, or pass another task's output)"
        )
        raise InvalidValueError.of("table_names", value, rule)
    rule = "a list of tables' names, ARNs and patterns such as 'orders-*'"
    names = _texts("table_names", value, rule)
    for name in names:
        if not _is_pattern(name) and not _is_table(name):
            raise InvalidValueError.of("table_names", name, rule)
    return names


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


def check_patterns(parameter: str, value: object, *, arns: bool = False) -> tuple[str, ...]:
    """Return some names and patterns.

    :param parameter: the name of the parameter
    :param value: a list of names, such as ``orders``, and patterns, such as ``orders-*``
    :param arns: a name may be the ARN of a table
    :raises InvalidValueError: it is no list, or something in it is neither, and would match nothing
    """
    rule = "a list of names (3 to 255 characters) and patterns such as 'orders-*' or 'orders-[0-9]'"
    texts = _texts(parameter, value, rule)
    for text in texts:
        if not _is_pattern(text) and not (_is_table(text) if arns else _NAME.fullmatch(text)):
            raise InvalidValueError.of(parameter, text, rule)
    return tuple(texts)


def check_tags(value: object) -> dict[str, tuple[str, ...]]:
    """Return the values that each tag may have.

    :param value: up to 50 keys, with a value each, or a list of up to 20; ``None``: no tags
    :raises InvalidValueError: it is not; an empty dict would select all tables that were ever tagged
    """
    if value is None:
        return {}
    rule = f"a dict of 1 to {_MOST_TAGS} keys, with a value each or a list of 1 to {_MOST_TAG_VALUES}, or None"
    if not isinstance(value, Mapping) or not 0 < len(value) <= _MOST_TAGS:
        raise InvalidValueError.of("tags", value, rule)
    tags: dict[str, tuple[str, ...]] = {}
    for key, values in value.items():
        several = (values,) if isinstance(values, str) else values
        listed = isinstance(several, Sequence | AbstractSet) and all(isinstance(one, str) for one in several)
        if not isinstance(key, str) or not key or not listed or not 0 < len(several) <= _MOST_TAG_VALUES:
            raise InvalidValueError.of("tags", value, rule)
        tags[key] = tuple(several)
    return tags


def check_deletable(value: object) -> BackupArn:
    """Return the parts of the ARN of a backup that DeleteBackup can delete.

    :param value: the ARN
    :raises RecoveryPointError: it is that of a recovery point of AWS Backup
    :raises InvalidValueError: it is not the ARN of a backup
    """
    if isinstance(value, str) and _RECOVERY_POINT.fullmatch(value):
        raise RecoveryPointError.about(ErrorContext(backup=value))
    arn = BackupArn.parse(value)
    # AWS may say of an ARN that can't be one's what it says of one that is gone.
    if not _NAME.fullmatch(arn.table_name) or set("*?,{}") & set(arn.text):
        raise InvalidValueError.of("backup_arn", value, "the ARN of one backup")
    return arn


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


def _is_pattern(text: str) -> bool:
    """Return whether this is a pattern that some name can match: others would protect nothing, in silence."""
    parts = _PATTERN_PART.findall(text)
    if "".join(parts) != text or not any(mark in text for mark in "*?["):
        return False
    long_enough = "*" in parts or len(parts) >= _SHORTEST_NAME
    return long_enough and all(any(fnmatchcase(one, part) for one in _CHARACTERS) for part in parts)


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
