"""The few checks that the values of parameters are made of. No I/O.

A request (of a backup, a prune, a restore) is a frozen value that checks itself by these. The operator makes it twice,
by one method: in ``__init__``, to fail when the DAG is parsed, and in ``execute``, to use it. In ``__init__`` a
templated field that is not rendered yet is :data:`LATER`, which passes every check.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from math import nextafter
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from botocore.config import Config

from airflow_ddb_backup import limits
from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.models import TABLE_ARN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from enum import StrEnum

_Choice = TypeVar("_Choice", bound="StrEnum")
_CHARACTERS = string.ascii_letters + string.digits + "_.-"
_NAME = re.compile(rf"[a-zA-Z0-9_.-]{{{limits.SHORTEST_NAME},{limits.LONGEST_NAME}}}")
_LENGTHS = f"{limits.SHORTEST_NAME} to {limits.LONGEST_NAME} characters"
_A_NAME = f"{_LENGTHS} of a-z, A-Z, 0-9, '_', '.' and '-'"
# What Jinja's delimiters may be made of, those of any DAG, and no name, pattern, number, time or ARN has.
_TEMPLATE_MARK = re.compile(r"""\[\[|[{}<>()$%#@&|\\~^`"']""")
# A name's characters, and the parts of a shell pattern: a character, a wildcard, or a set that is closed.
_PATTERN_PART = re.compile(r"[a-zA-Z0-9_.*?-]|\[!?[a-zA-Z0-9_.-]+\]")
#: the settings of an AWS connection that are texts: what each is like, and the rule for messages
_CONNECTION_RULES = {
    "aws_conn_id": (
        # As Airflow takes it: RE_SANITIZE_CONN_ID of its models/connection.py.
        re.compile(r"[\w#!()\-.:/\\]+"),
        "the ID of an Airflow connection, or None for the worker's own credentials",
    ),
    "region_name": (re.compile(r"[a-z0-9-]+"), "a region, such as 'eu-west-1', or None for the connection's"),
    "account_id": (re.compile(r"[0-9]{12}"), "an account, 12 digits in quotes, or None for any"),
}
#: the settings of an AWS connection, but for ``botocore_config``
CONNECTION_SETTINGS = ("verify", *_CONNECTION_RULES)
# No table's name has any of these.
_PATTERN_MARKS = frozenset("*?[")


class _Later:
    def __repr__(self) -> str:
        return "a value that is rendered later"


#: a templated field that is not rendered yet
LATER: Final[Any] = _Later()


def literal(value: Any) -> Any:
    """Return a templated field as far as it is known when the DAG is parsed: itself, or :data:`LATER`.

    :param value: a literal, a Jinja template, another task's output, or a callable that renders it; of a list or a
        dict, the members that are rendered later are left out
    """
    if callable(value) or hasattr(value, "resolve") or (isinstance(value, str) and _TEMPLATE_MARK.search(value)):
        return LATER
    if isinstance(value, Mapping) and value:
        return {key: literal(one) for key, one in value.items() if literal(one) is not LATER} or LATER
    if isinstance(value, list | tuple | set | frozenset) and value:
        known = [one for one in value if literal(one) is not LATER]
        return known or LATER
    return value


def rendered(value: Any) -> Any:
    """Return a templated field as it is in ``execute``.

    :param value: the value
    """
    return value


def set_checked(value: object, **fields: object) -> None:
    """Set fields of a frozen value to what their checks have returned, in its ``__post_init__``.

    :param value: the value
    :param fields: the fields, by name
    """
    for name, checked in fields.items():
        object.__setattr__(value, name, checked)


def check_name(parameter: str, value: object) -> str:
    """Return the name of a table or a backup, or what such names begin with.

    :param parameter: the name of the parameter
    :param value: 3 to 255 characters of ``[a-zA-Z0-9_.-]``
    :raises InvalidValueError: it is not
    """
    if value is LATER or (isinstance(value, str) and _NAME.fullmatch(value)):
        return value
    raise InvalidValueError.of(parameter, value, _A_NAME, text=True)


def check_table(parameter: str, value: object) -> str:
    """Return the name or ARN of a table.

    :param parameter: the name of the parameter
    :param value: 3 to 255 characters of ``[a-zA-Z0-9_.-]``, or an ARN of up to 1024
    :raises InvalidValueError: it is neither
    """
    if value is LATER or (isinstance(value, str) and is_table(value)):
        return value
    raise InvalidValueError.of(
        parameter, value, f"a table's name, {_A_NAME}, or its ARN, up to {limits.LONGEST_ARN} characters", text=True
    )


def check_seconds(parameter: str, value: object, shortest: float, longest: float, rule: str = "") -> float:
    """Return a length of time in seconds.

    :param parameter: the name of the parameter
    :param value: a number of seconds, or a ``timedelta``
    :param shortest: the fewest seconds that it may be
    :param longest: the most seconds that it may be
    :param rule: both, for the message
    :raises InvalidValueError: it is not
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and shortest <= seconds <= longest:
        return seconds
    rule = rule or f"{shortest:g} to {longest:g} seconds"
    raise InvalidValueError.of(parameter, value, f"{rule}, as a number or a timedelta")


def check_timeout(value: object, longest: float = limits.LONGEST_TIMEOUT) -> float:
    """Return a timeout in seconds.

    :param value: 60 seconds or more, or a ``timedelta`` of as much
    :param longest: the most seconds that it may be
    :raises InvalidValueError: it is not
    """
    return check_seconds("timeout", value, limits.SHORTEST_TIMEOUT, longest)


def check_interval(parameter: str, value: object) -> float:
    """Return the seconds between two polls.

    :param parameter: the name of the parameter
    :param value: more than 0 seconds, or a ``timedelta`` of as much
    :raises InvalidValueError: it is not
    """
    return check_seconds(parameter, value, nextafter(0.0, 1.0), limits.LONGEST_WAIT, "more than 0 seconds")


def check_span(parameter: str, value: object) -> timedelta | None:
    """Return how old something may be, as :func:`check_age` does, or ``None`` where that may be left out.

    :param parameter: the name of the parameter
    :param value: a ``timedelta`` above 0, or ``None``
    :raises InvalidValueError: it is neither
    """
    return None if value is None else check_age(parameter, value, "a timedelta above 0, or None")


def check_age(parameter: str, value: object, rule: str = "a timedelta above 0") -> timedelta:
    """Return how old something may be: a century at most, which is as good as any longer time.

    :param parameter: the name of the parameter
    :param value: a ``timedelta`` above 0
    :param rule: the same, for the message
    :raises InvalidValueError: it is not
    """
    if isinstance(value, timedelta) and value > timedelta(0):
        return min(value, limits.LONGEST_AGE)
    raise InvalidValueError.of(parameter, value, rule)


def check_moment(parameter: str, value: object) -> datetime:
    """Return a moment in UTC. One without its offset may be meant in anyone's time.

    :param parameter: the name of the parameter
    :param value: a ``datetime`` with a timezone, or ISO 8601 text with an offset from UTC
    :raises InvalidValueError: it is neither
    """
    if value is LATER:
        return cast("datetime", value)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment.utcoffset() is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    rule = (
        "a moment with its offset from UTC: ISO 8601 text such as '2026-11-28T14:00:00+00:00', or a datetime with a "
        "timezone"
    )
    raise InvalidValueError.of(parameter, value, rule)


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


def check_count(parameter: str, value: object, lowest: int = 0, *, text: bool = True) -> int:
    """Return a whole number.

    :param parameter: the name of the parameter
    :param value: the number, or the plain text that a template renders it to
    :param lowest: the lowest that it may be
    :param text: it may be such a text
    :raises InvalidValueError: it is not one, or lower, or of more than 64 bits
    """
    number: Any = int(value) if text and isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value) else value
    if value is LATER or (type(number) is int and lowest <= number <= limits.LARGEST_NUMBER):
        return cast("int", number)
    most = "to 2**63 - 1" if type(number) is int and number > lowest else "or more"
    raise InvalidValueError.of(parameter, value, f"a whole number, {lowest} {most}")


def check_flag(parameter: str, value: object) -> bool:
    """Return a switch. A string must be a plain true or false: "no" must not mean "yes".

    :param parameter: the name of the parameter
    :param value: a ``bool``, or the text that a template renders it to
    :raises InvalidValueError: it is neither
    """
    if value is LATER or isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise InvalidValueError.of(parameter, value, "True or False, or a template that renders to 'true' or 'false'")


def check_texts(parameter: str, value: object, rule: str, fits: Callable[[str], object] = bool) -> tuple[str, ...]:
    """Return some texts.

    :param parameter: the name of the parameter
    :param value: a list, or another task's mapped output
    :param rule: what it must be, for the message
    :param fits: whether a text will do
    :raises InvalidValueError: it is no list, or a member won't do
    """
    if value is LATER:
        return ()
    if isinstance(value, str):
        rule += (
            " (where a template renders it, set the DAG's render_template_as_native_obj=True, or pass another task's "
            "output)"
        )
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | AbstractSet):
        raise InvalidValueError.of(parameter, value, rule)
    for one in value:
        if not isinstance(one, str) or not fits(one):
            raise InvalidValueError.of(parameter, one, rule, text=True)
    return tuple(value)


def check_patterns(parameter: str, value: object, *, arns: bool = False) -> tuple[str, ...]:
    """Return some names and patterns.

    :param parameter: the name of the parameter
    :param value: a list of names, such as ``orders``, and patterns, such as ``orders-*``
    :param arns: a name may be the ARN of a table
    :raises InvalidValueError: it is no list, or something in it is neither, and would match nothing
    """
    names = "names, ARNs" if arns else "names"
    rule = f"a list of {names} ({_LENGTHS}) and patterns such as 'orders-*'"

    def fits(text: str) -> bool:
        return _is_good_pattern(text) if is_pattern(text) else is_table(text) if arns else bool(_NAME.fullmatch(text))

    return check_texts(parameter, value, rule, fits)


def check_structure(
    parameter: str, value: object, keys: Collection[str], *, all_keys: bool = True, unlimited: bool = False
) -> dict[str, int] | None:
    """Return a structure of whole numbers in AWS's shape. An empty one is never sent: AWS answers an error and acts.

    :param parameter: the name of the parameter
    :param value: a dict of whole numbers, 1 or more; ``None``: left out
    :param keys: the keys that it may have
    :param all_keys: it must have all of them; otherwise at least one
    :param unlimited: AWS takes -1 for "no limit"
    :raises InvalidValueError: it has another shape
    """
    if value is None:
        return None
    numbers = f"whole numbers, 1 or more{', or -1' if unlimited else ''}"
    rule = f"a dict with {' and '.join(keys) if all_keys else ' or '.join(keys)}, {numbers}, or None"
    counts = dict(value) if isinstance(value, Mapping) else {}
    fits = counts and set(counts) <= set(keys) and (not all_keys or len(counts) == len(keys))

    def is_right(one: object) -> bool:
        return type(one) is int and (0 < one <= limits.LARGEST_NUMBER or (unlimited and one == -1))

    if not fits or not all(map(is_right, counts.values())):
        raise InvalidValueError.of(parameter, value, rule)
    return counts


def check_connection_setting(name: str, value: object) -> None:
    """Check a setting of an AWS connection.

    :param name: one of :data:`CONNECTION_SETTINGS`
    :param value: its value; ``None``: left out
    :raises InvalidValueError: it is wrong
    """
    if value is None or value is LATER:
        return
    if name == "verify":
        if not isinstance(value, bool) and not (isinstance(value, str) and value.strip()):
            raise InvalidValueError.of(name, value, "True, False, the path of a CA bundle, or None")
        return
    pattern, rule = _CONNECTION_RULES[name]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidValueError.of(name, value, rule, text=True)


def check_botocore_config(value: object) -> None:
    """Check the arguments of botocore's ``Config``.

    A deferred task stores them in Airflow's database, so they must be plain JSON, deferrable or not. botocore itself
    checks few of their values before a call. A refusal shows none of these: a proxy's address may hold its password.

    :param value: a dict of arguments of :class:`botocore.config.Config`, or ``None``
    :raises InvalidValueError: it is neither, JSON can't hold it, or ``Config`` would refuse it
    """
    if value is None:
        return
    rule = "a dict of arguments of botocore.config.Config with plain JSON values, or None"
    if not isinstance(value, dict):
        raise InvalidValueError.of("botocore_config", type(value), rule)
    shown = dict.fromkeys(value, "…")
    try:
        Config(**json.loads(json.dumps(value, allow_nan=False)))
    except TypeError as error:
        # An argument that there is not, or a value that JSON can't hold: these messages have no values.
        raise InvalidValueError.of("botocore_config", shown, f"{rule} ({error})") from None
    except Exception:  # noqa: BLE001  # whatever it is, its message may show a value
        raise InvalidValueError.of("botocore_config", shown, rule) from None
    for name in ("connect_timeout", "read_timeout", "max_pool_connections"):
        number = value.get(name, 1)
        if isinstance(number, bool) or not isinstance(number, int | float) or number <= 0:
            raise InvalidValueError.of("botocore_config", shown, f"{rule}; {name} is a number above 0")
    proxies = value.get("proxies") or {}
    if not isinstance(proxies, dict) or not all(isinstance(url, str) for url in proxies.values()):
        raise InvalidValueError.of("botocore_config", shown, f"{rule}; proxies is a dict of addresses")


def is_table(text: str) -> bool:
    """Return whether this is the name or the ARN of a table.

    :param text: the text
    """
    pattern = TABLE_ARN if text.startswith("arn:") else _NAME
    return len(text) <= limits.LONGEST_ARN and bool(pattern.fullmatch(text))


def is_pattern(text: str) -> bool:
    """Return whether this is meant as a pattern, and no table's name or ARN.

    :param text: the text
    """
    return not _PATTERN_MARKS.isdisjoint(text)


def _is_good_pattern(text: str) -> bool:
    """Return whether some name can match the pattern: others would protect nothing, in silence."""
    parts = _PATTERN_PART.findall(text)
    if "".join(parts) != text:
        return False
    long_enough = "*" in parts or len(parts) >= limits.SHORTEST_NAME
    return long_enough and all(any(fnmatchcase(one, part) for one in _CHARACTERS) for part in parts)
