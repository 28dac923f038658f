"""The four loops: retry a call, rounds over items, poll until there is an answer, read all pages.

Nothing else in the package sleeps and tries again on a worker. All of them end by a :class:`~.clock.Deadline`, back off
alike, and retry the same two kinds of failure: what AWS has not done and may do later, and what it may have done.
"""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

from tenacity import Retrying, retry_if_exception

from airflow_ddb_backup import exceptions, limits
from airflow_ddb_backup.exceptions import BackupError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from tenacity import RetryCallState

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.models import Page

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Item = TypeVar("_Item")


def may_pass(error: BaseException) -> bool:
    """Return whether what has failed may yet succeed.

    :param error: the failure
    """
    if isinstance(error, exceptions.AmbiguousOutcomeError):
        return error.may_call_again
    return isinstance(error, exceptions.TransientError)


def backoff(failures: int) -> float:
    """Return the seconds before the next try: 1, 2, 4, … 30, and up to 2 s of jitter.

    :param failures: how many tries in a row have failed, 1 or more
    """
    jitter = random.uniform(0, limits.BACKOFF_JITTER)  # noqa: S311  # no secret
    return min(limits.FIRST_BACKOFF * 2.0 ** min(failures - 1, 10), limits.LONGEST_BACKOFF) + jitter


class Retry(Protocol):
    """Makes a call, again and again where it may yet succeed."""

    def __call__(self, call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Make the call and return what it returns."""


def retrying(deadline: Deadline, log: Any, *, patience: float = math.inf, too_late: BackupError | None = None) -> Retry:
    """Return what makes a call again while it may yet succeed. The last attempt is made at the deadline.

    :param deadline: when to give up
    :param log: takes a line for each failure
    :param patience: seconds after which to give up a call, within the deadline
    :param too_late: raised in place of a call that would begin after the deadline; ``None``: it is made once
    """

    def log_failure(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s Retrying in %.1f s.", error, state.upcoming_sleep)

    def retry(call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if too_late and deadline.passed:
            raise too_late
        until = deadline.within(patience)
        attempts = Retrying(
            retry=retry_if_exception(may_pass),
            wait=lambda state: min(backoff(state.attempt_number), until.left),
            stop=lambda _: until.passed,
            sleep=deadline.clock.sleep,
            before_sleep=log_failure,
            reraise=True,
        )
        return attempts(call, *args, **kwargs)

    return retry


def poll_until(look: Callable[[], _T | None], deadline: Deadline, interval: float) -> _T | None:
    """Poll until there is an answer. The last poll is made at the deadline.

    :param look: polls once; ``None``: no answer yet
    :param deadline: when to give up
    :param interval: seconds between two polls
    """
    while True:
        is_last = deadline.passed
        if (seen := look()) is not None or is_last:
            return seen
        deadline.sleep(interval)


def read_pages(
    page_at: Callable[[str | None], Page[_T]], context: exceptions.ErrorContext, most: int | None = None
) -> list[_T] | None:
    """Return the items of all pages of a listing, which begins again if AWS does not take a cursor.

    The item that a cursor names may have been deleted since.

    :param page_at: returns the page at a cursor; ``None``: the first
    :param context: the table and region, for messages
    :param most: return ``None`` if there are more pages than this
    :raises AmbiguousOutcomeError: AWS returns a cursor again, or refuses cursors again and again
    """
    refusal: exceptions.InvalidRequestError | None = None
    for _ in range(limits.MOST_LISTINGS):
        items: list[_T] = []
        seen: set[str | None] = set()
        cursor: str | None = None
        while cursor not in seen:
            if most is not None and len(seen) >= most:
                return None
            seen.add(cursor)
            try:
                page = page_at(cursor)
            except exceptions.InvalidRequestError as error:
                if cursor is None:
                    raise
                refusal = error
                break
            items += page.items
            cursor = page.cursor
            if cursor is None:
                return items
        else:
            raise exceptions.AmbiguousOutcomeError.about(context, f"AWS returned the cursor {cursor!r} twice.")
    detail = f"AWS has refused a cursor of the listing {limits.MOST_LISTINGS} times."
    raise exceptions.AmbiguousOutcomeError.about(context, detail) from refusal


class Work(Protocol[_Item]):
    """What :func:`rounds` does for many items."""

    def step(self, item: _Item, /) -> None:
        """Do what there is to do for an item.

        :raises TransientError: it may yet succeed, in another round
        :raises AmbiguousOutcomeError: likewise
        :raises BackupError: it can't
        """

    def failed(self, item: _Item, error: BackupError, /) -> None:
        """Note that an item has failed for good, or that time was up; unless it does otherwise, raise."""
        raise error

    def untried(self, item: _Item, /) -> BackupError:
        """Return why an item has failed that time was up for before it was tried."""

    def confirm(self, items: list[_Item], /) -> list[_Item]:
        """Return those of the items that the next round may still be about."""
        return items

    def progress(self, open_items: int, /) -> str:
        """Return a line for the log, every 30 s."""
        return f"{open_items} to be tried again"


def rounds(items: Iterable[_Item], work: Work[_Item], deadline: Deadline, log: Any, *, threads: int = 1) -> None:
    """Take a step for every item, and again in further rounds for those that may yet succeed: none holds up others.

    The last round begins just before the deadline, and no step after it. Calls that go to another account than before
    end the rounds, and so does an exception that is not this package's, such as the one that Airflow raises for a
    task's execution_timeout.

    :param items: the items
    :param work: what is done for them
    :param deadline: when to give up
    :param log: the task's log
    :param threads: how many steps are taken at once
    """
    attempt = _Attempt(work, deadline, log)
    clock, pending = deadline.clock, list(items)
    report_at = clock.monotonic() + limits.PROGRESS_INTERVAL
    while pending:
        again = []
        with closing(_attempts(attempt, pending, threads)) as attempts:
            for count, (item, is_open) in enumerate(attempts, start=1):
                again += [item] if is_open else []
                if clock.monotonic() >= report_at:
                    report_at = clock.monotonic() + limits.PROGRESS_INTERVAL
                    log.info("%s", work.progress(len(pending) - count + len(again)))
        pending, attempt.round = again, attempt.round + 1
        if pending:
            left = deadline.left
            deadline.sleep(min(backoff(attempt.round), left - limits.LAST_ROUND if left > limits.LAST_ROUND else left))
            pending = pending if deadline.passed else work.confirm(pending)


class _Attempt(Generic[_Item]):
    """Takes the step for an item; returns whether the item is worth another round.

    Of each kind of failure only the first of a round is logged, and only if it is new: thousands of items may be
    throttled together, and again and again.
    """

    def __init__(self, work: Work[_Item], deadline: Deadline, log: Any) -> None:
        self._work = work
        self._deadline = deadline
        self._log = log
        self._errors: dict[_Item, BackupError] = {}
        self._told: dict[object, object] = {}
        #: how many rounds are over
        self.round = 0

    def __call__(self, item: _Item) -> bool:
        error = self._errors.get(item)
        if self._deadline.passed:
            self._work.failed(item, error or self._work.untried(item))
            return False
        try:
            self._work.step(item)
        except exceptions.AccountError:
            # It is no failure of this item: nothing more may be done there.
            raise
        except BackupError as failure:
            if not may_pass(failure):
                self._work.failed(item, failure)
                return False
            is_new, is_first = self._is_first(str(failure)), self._is_first((type(failure), self.round))
            if is_new and is_first:
                self._log.warning("%s Trying again.", failure)
            self._errors[item] = failure
            return True
        return False

    def _is_first(self, thing: object) -> bool:
        # One step, whatever other threads do.
        token = object()
        return self._told.setdefault(thing, token) is token


def _attempts(
    attempt: Callable[[_Item], bool], items: Sequence[_Item], threads: int
) -> Generator[tuple[_Item, bool], None, None]:
    """Yield each item with the result of its attempt, in the order in which they end."""
    if threads == 1:
        for item in items:
            yield item, attempt(item)
        return
    pool = ThreadPoolExecutor(threads, "dynamodb")
    try:
        # Airflow's log goes by the context.
        running = {pool.submit(copy_context().run, attempt, item): item for item in items}
        for ended in as_completed(running):
            yield running[ended], ended.result()
    finally:
        # Steps that have begun continue: a thread can't be ended.
        pool.shutdown(wait=False, cancel_futures=True)
