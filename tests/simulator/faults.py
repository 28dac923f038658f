"""Faults: the things that can happen to a call on its way."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


class Answer(Enum):
    """The response, or the lack of one, that the caller sees."""

    ERROR = "an error response"
    DROPPED = "a closed connection"
    HANGING = "nothing, for as long as it waits"
    TRICKLING = "one byte after another, and never the last"
    FOREIGN = "a page of HTML, as a proxy sends it"
    EMPTY = "a response without any members"
    ALTERED = "its response, with some members dropped or changed"
    BROKEN_TLS = "plain text where TLS records should be"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    :param answer: what the caller gets to see
    :param committed: whether the call has taken effect all the same
    :param code: the code of an error response
    :param status: the HTTP status of an error response
    :param text: the text of an error response
    :param drop_members: names of members that ``ALTERED`` drops, wherever they are
    :param set_members: values of members that ``ALTERED`` changes, wherever they are
    :param adds: whether ``ALTERED`` also adds to a response those of ``set_members`` that it does not have
    :param table: the one table whose calls it happens to; empty: any call
    """

    answer: Answer = Answer.ERROR
    committed: bool = False
    code: str = ""
    status: int = 400
    text: str = "The simulation refuses this call"
    drop_members: Collection[str] = ()
    set_members: Mapping[str, object] = field(default_factory=dict, hash=False)
    adds: bool = False
    table: str = ""

    def alter(self, content: object) -> object:
        """Return a response's content without what is dropped and with what is changed."""
        if isinstance(content, list):
            return [self.alter(one) for one in content]
        if not isinstance(content, dict):
            return content
        kept = {name: value for name, value in content.items() if name not in self.drop_members}
        return {name: self.set_members.get(name, self.alter(value)) for name, value in kept.items()}


# AWS.md, "Errors": InternalServerError, a read timeout and a dropped connection are ambiguous.
INTERNAL_ERROR = Fault(code="InternalServerError", status=500)
INTERNAL_ERROR_AFTER_COMMIT = Fault(code="InternalServerError", status=500, committed=True)
DROPPED_BEFORE_COMMIT = Fault(Answer.DROPPED)
DROPPED_AFTER_COMMIT = Fault(Answer.DROPPED, committed=True)
HANGING_AFTER_COMMIT = Fault(Answer.HANGING, committed=True)
# AWS.md, "Errors": any call over its rate.
THROTTLED = Fault(code="ThrottlingException")
# AWS.md, "Errors": a response that is not AWS's is ambiguous. A proxy's has its own clock and no request ID.
HTML_OF_A_PROXY = Fault(Answer.FOREIGN, status=200)
HTML_OF_A_PROXY_AFTER_COMMIT = Fault(Answer.FOREIGN, status=200, committed=True)
BAD_GATEWAY = Fault(Answer.FOREIGN, status=502)
BAD_GATEWAY_AFTER_COMMIT = Fault(Answer.FOREIGN, status=502, committed=True)
UNAVAILABLE_PROXY = Fault(Answer.FOREIGN, status=503)
UNAVAILABLE_PROXY_AFTER_COMMIT = Fault(Answer.FOREIGN, status=503, committed=True)
THROTTLED_BY_A_PROXY = Fault(Answer.FOREIGN, status=429)
REFUSED_BY_A_PROXY = Fault(Answer.FOREIGN, status=407)
EMPTY_RESPONSE = Fault(Answer.EMPTY, status=200)
EMPTY_RESPONSE_AFTER_COMMIT = Fault(Answer.EMPTY, status=200, committed=True)
TRICKLING = Fault(Answer.TRICKLING)
TRICKLING_AFTER_COMMIT = Fault(Answer.TRICKLING, committed=True)
# AWS.md, "Errors": a TLS failure after the handshake. Only where the control plane is reached over TLS.
BROKEN_TLS = Fault(Answer.BROKEN_TLS)
BROKEN_TLS_AFTER_COMMIT = Fault(Answer.BROKEN_TLS, committed=True)


def after_call(number: int, then: Callable[[], object], operations: str = "") -> Callable[[str], None]:
    """Return what does something once the n-th call has taken effect: for ``ControlPlane.after``.

    :param number: which call, from 1 on
    :param then: what to do
    :param operations: a regular expression; calls of operations that begin so are counted
    """
    calls = count(1)

    def after(operation: str) -> None:
        if re.match(operations, operation) and next(calls) == number:
            then()

    return after
