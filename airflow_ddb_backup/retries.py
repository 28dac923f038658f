"""When a call is made again, and after how long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

from tenacity import Retrying, retry_if_exception_type, wait_exponential_jitter

from airflow_ddb_backup.exceptions import AmbiguousOutcomeError, ErrorContext, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenacity import RetryCallState

_P = ParamSpec("_P")
_T = TypeVar("_T")
_BACKOFF = wait_exponential_jitter(initial=1, max=30, jitter=2)


class Retry(Protocol):
    """Makes a call, again and again where it may yet succeed."""

    def __call__(self, call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Make the call and return what it returns."""


class Page(Protocol):
    """A page of a listing."""

    @property
    def cursor(self) -> str | None:
        """Where the next page starts; ``None``: this is the last."""


_Page = TypeVar("_Page", bound=Page)


def all_pages(page_at: Callable[[str | None], _Page], context: ErrorContext) -> Iterator[_Page]:
    """Yield the pages of a listing.

    :param page_at: returns the page at a cursor; ``None``: the first
    :param context: the table and region, for messages
    :raises AmbiguousOutcomeError: a cursor comes back, so that the listing would never end
    """
    seen: set[str] = set()
    cursor: str | None = None
    while True:
        page = page_at(cursor)
        yield page
        cursor = page.cursor
        if cursor is None:
            return
        if cursor in seen:
            raise AmbiguousOutcomeError.about(context, f"The listing goes round: {cursor!r} has been a cursor before.")
        seen.add(cursor)


def retrying(deadline: float, log: Any, must_stop: Callable[[], bool] = lambda: False) -> Retry:
    """Return a tenacity retrier: exponential backoff, 1 to 30 s, plus up to 2 s of jitter.

    It retries any :class:`TransientError` and :class:`AmbiguousOutcomeError`. The last attempt is made at the deadline.

    :param deadline: Unix seconds
    :param log: takes a line for each failure
    :param must_stop: whether another attempt is out of the question
    """

    def log_failure(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s Retrying in %.1f s.", error, state.upcoming_sleep)

    retry = Retrying(
        retry=retry_if_exception_type((TransientError, AmbiguousOutcomeError)),
        wait=lambda state: min(_BACKOFF(state), max(0.0, deadline - time.time())),
        stop=lambda _: time.time() >= deadline or must_stop(),
        sleep=time.sleep,
        before_sleep=log_failure,
        reraise=True,
    )
    # Its own types lose those of the call.
    return cast("Retry", retry)
