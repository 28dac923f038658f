"""What can happen to a call on its way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Answer(Enum):
    """What the caller gets to see."""

    ERROR = "an error response"
    DROPPED = "a closed connection"
    HANGING = "nothing, for as long as it waits"
    TRICKLING = "one byte after another, and never the last"
    FOREIGN = "a page of HTML, as a proxy sends it"
    EMPTY = "a response without any members"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    :param answer: what the caller gets to see
    :param committed: whether the call has taken effect all the same
    :param code: the code of an error response
    :param status: the HTTP status of an error response
    """

    answer: Answer = Answer.ERROR
    committed: bool = False
    code: str = ""
    status: int = 400


# AWS.md, "Errors": InternalServerError, a read timeout and a dropped connection are ambiguous.
INTERNAL_ERROR = Fault(code="InternalServerError", status=500)
INTERNAL_ERROR_AFTER_COMMIT = Fault(code="InternalServerError", status=500, committed=True)
DROPPED_BEFORE_COMMIT = Fault(Answer.DROPPED)
DROPPED_AFTER_COMMIT = Fault(Answer.DROPPED, committed=True)
HANGING_AFTER_COMMIT = Fault(Answer.HANGING, committed=True)
# AWS.md, "Errors": any call over its rate.
THROTTLED = Fault(code="ThrottlingException")
# AWS.md, "Errors": an answer that is not the API's has an unknown outcome.
HTML_OF_A_PROXY = Fault(Answer.FOREIGN, status=200)
HTML_OF_A_PROXY_AFTER_COMMIT = Fault(Answer.FOREIGN, status=200, committed=True)
BAD_GATEWAY = Fault(Answer.FOREIGN, status=502)
UNAVAILABLE_PROXY = Fault(Answer.FOREIGN, status=503)
THROTTLED_BY_A_PROXY = Fault(Answer.FOREIGN, status=429)
EMPTY_RESPONSE = Fault(Answer.EMPTY, status=200)
EMPTY_RESPONSE_AFTER_COMMIT = Fault(Answer.EMPTY, status=200, committed=True)
TRICKLING_AFTER_COMMIT = Fault(Answer.TRICKLING, committed=True)
