"""When a call is made again, and after how long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_exception_type, wait_exponential_jitter

from airflow_ddb_backup.exceptions import AmbiguousOutcomeError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState


def retrying(deadline: float, log: Any, *stops: Callable[[RetryCallState], bool]) -> Retrying:
    """Return what repeats a call that may yet succeed: 1, 2, 4, … at most 30 s apart, and up to 2 s at random.

    :param deadline: when to give up, in Unix seconds
    :param log: takes a line for each failure
    :param stops: other reasons to give up
    """

    def log_failure(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s Trying again in %.1f s.", error, state.upcoming_sleep)

    return Retrying(
        retry=retry_if_exception_type((TransientError, AmbiguousOutcomeError)),
        wait=wait_exponential_jitter(initial=1, max=30, jitter=2),
        stop=lambda state: time.time() + state.upcoming_sleep > deadline or any(stop(state) for stop in stops),
        sleep=time.sleep,
        before_sleep=log_failure,
        reraise=True,
    )
