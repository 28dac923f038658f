"""What a rule is, and how it ends: confirmed, wrong or not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.world import World

CONFIRMED, WRONG, NOT_SEEN = "confirmed", "wrong", "not seen"


class WrongError(Exception):
    """AWS does something else than the rule says."""


class NotSeenError(Exception):
    """Whether the rule holds could not be seen, and why."""


class LostError(NotSeenError):
    """A call has failed on its way, and may have been done."""


@dataclass(frozen=True)
class Rule:
    """A rule of AWS.md.

    :param name: its name, the same for ever
    :param section: the section of AWS.md
    :param fact: the rule in a sentence
    :param check: looks whether it holds, returns what else was seen, or raises one of the two errors
    :param also: checked only if it is asked for, by this word
    """

    name: str
    section: str
    fact: str
    check: Callable[[World], str | None]
    also: str = ""


def rule(section: str, also: str = "") -> Callable[[Callable[[World], str | None]], Rule]:
    """Make a rule of a function: its name is the rule's, the first line of its docstring the fact.

    :param section: the section of AWS.md
    :param also: see :class:`Rule`
    """

    def make(check: Callable[[World], str | None]) -> Rule:
        fact = (check.__doc__ or "").strip().partition("\n")[0]
        return Rule(check.__name__, section, fact, check, also)

    return make


def unseen(name: str, section: str, fact: str, why: str) -> Rule:
    """Return a rule that can't be seen in an account.

    :param name: its name
    :param section: the section of AWS.md
    :param fact: the rule in a sentence
    :param why: why it can't
    """

    def check(world: World) -> None:
        raise NotSeenError(why)

    return Rule(name, section, fact, check)


def expect(holds: object, told: str) -> None:
    """Raise unless something holds.

    :param holds: whether it does
    :param told: what was seen instead
    :raises WrongError: it does not
    """
    if not holds:
        raise WrongError(told)


def same(seen: Any, expected: Any, of: str) -> None:
    """Raise unless two values are equal.

    :param seen: what was seen
    :param expected: what the rule says
    :param of: what it is
    :raises WrongError: they differ
    """
    expect(seen == expected, f"{of}: {seen!r}, not {expected!r}")


def needs(holds: object, why_not: str) -> None:
    """End the rule unless it can be seen.

    :param holds: whether it can
    :param why_not: why it can't
    :raises NotSeenError: it can't
    """
    if not holds:
        raise NotSeenError(why_not)
