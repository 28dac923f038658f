"""Awaits the end of waits, of one or of many, on a triggerer's event loop or on one of a worker's own.

There is one coroutine for all of it. On a worker its event loop runs in a thread of its own: an exception that Airflow
raises in the main thread, for the task's execution_timeout say, would get lost in a callback of the loop.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.limits import CALL_SECONDS, DOCUMENTED_RATES, LAST_POLL_LIMIT, PROGRESS_INTERVAL, SHARE
from airflow_ddb_backup.waiting.client import HookClient, RateLimits
from airflow_ddb_backup.waiting.poller import BackupPoller
from airflow_ddb_backup.waiting.state import WaitStatus, progress
from airflow_ddb_backup.waiting.threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.waiting.client import AwsSettings
    from airflow_ddb_backup.waiting.state import Wait, WaitResult

_T = TypeVar("_T")
#: makes a worker's event loop; ``None``: asyncio's own. The tests' loop skips the time in which nothing happens
loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None


def last_polls_limit(count: int) -> float:
    """Return the seconds that the last polls may take, at the deadline or at the start of a wait resumed after it.

    :param count: how many there are; where ListBackups is denied, each is described
    """
    return LAST_POLL_LIMIT + (count - 1) / (DOCUMENTED_RATES["DescribeBackup"] * SHARE)


async def wait_on_triggerer(
    settings: AwsSettings, waits: Sequence[Wait], poll_interval: float, log: Any
) -> list[WaitResult]:
    """Return how the waits have ended, in their order. The worker has just polled: the first poll comes later.

    :param settings: the AWS settings
    :param waits: the states of the waits, of one account, until one deadline
    :param poll_interval: seconds between polls
    :param log: takes a line on the progress every 30 s, and of many waits one for each that fails
    """
    async with BackupPoller.of(settings, waits[0].account).subscribe(waits, poll_interval, poll_interval) as results:
        return await _ends(waits, results, last_polls_limit(len(waits)), log)


def wait_on_worker(
    hook: DynamoDBBackupHook,
    waits: Sequence[Wait],
    poll_interval: float,
    log: Any,
    *,
    first_delay: float = 0.0,
) -> list[WaitResult]:
    """Return how the waits have ended, in their order.

    :param hook: the task's hook, open for the region of the calls
    :param waits: the states of the waits, of one account, until one deadline
    :param poll_interval: seconds between polls
    :param log: takes a line on the progress every 30 s, and of many waits one for each that fails
    :param first_delay: seconds until the first poll
    """

    async def run() -> list[WaitResult]:
        async with _hook_poller(hook, waits).subscribe(waits, poll_interval, first_delay) as results:
            # As on a worker any call: none outlives the timeout by more.
            return await _ends(waits, results, CALL_SECONDS, log)

    return _run(run())


def poll_on_worker(hook: DynamoDBBackupHook, waits: Sequence[Wait], limit: float, log: Any) -> list[WaitResult | None]:
    """Poll each once; return how the waits have ended, in their order; ``None``: a wait goes on.

    :param hook: the task's hook, open for the region of the calls
    :param waits: the states of the waits, of one account
    :param limit: the most seconds that it takes; the rates of AWS may need some for many
    :param log: takes a line on the progress every 30 s, and of many waits one for each that fails
    """

    async def run() -> list[WaitResult | None]:
        async with _hook_poller(hook, waits).subscribe(waits, inf, 0.0) as results:
            return await _until(waits, results, limit, log)

    return _run(run())


def _hook_poller(hook: DynamoDBBackupHook, waits: Sequence[Wait]) -> BackupPoller:
    account, region = waits[0].account, waits[0].region
    return BackupPoller(HookClient(hook, RateLimits.of(account, region), region))


async def _ends(
    waits: Sequence[Wait], results: Sequence[asyncio.Future[WaitResult]], last_poll_limit: float, log: Any
) -> list[WaitResult]:
    """Return how the waits have ended: those whose last poll was never answered are timeouts."""
    await _until(waits, results, waits[0].deadline.left + last_poll_limit, log)
    for wait, result in zip(waits, results, strict=True):
        if not result.done():
            result.set_result(wait.timed_out())
    ends = [result.result() for result in results]
    if len(waits) > 1:
        log.info("%s", progress(waits, ends))
    return ends


async def _until(
    waits: Sequence[Wait], results: Sequence[asyncio.Future[WaitResult]], limit: float, log: Any
) -> list[WaitResult | None]:
    """Return how the waits have ended within so many seconds; ``None``: one goes on. Meanwhile log the progress."""
    for result in results if len(results) > 1 else ():
        result.add_done_callback(partial(_tell_of_failure, log))
    end, line_due = Deadline.after(limit), Deadline.after(waits[0].seconds_until_report())
    while True:
        _, pending = await asyncio.wait(results, timeout=min(end.left, line_due.left))
        ends = [result.result() if result.done() else None for result in results]
        if line_due.passed:
            line_due = Deadline.after(PROGRESS_INTERVAL)
            log.info("%s", progress(waits, ends))
        if end.passed or not pending:
            return ends


def _tell_of_failure(log: Any, result: asyncio.Future[Any]) -> None:
    end = None if result.cancelled() else result.result()
    if end and end.status is not WaitStatus.SUCCESS:
        log.error("%s", end.message)


def _run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine on an event loop in a thread of its own, and wait for it."""
    runner = asyncio.Runner(loop_factory=loop_factory or asyncio.new_event_loop)
    loop = runner.get_loop()
    task = loop.create_task(main)

    async def ended() -> _T:
        return await task

    def run() -> _T:
        with runner:
            return runner.run(ended())

    outcome = run_in_thread(run)
    try:
        return outcome.result()
    finally:
        if not outcome.done():
            with suppress(RuntimeError):  # closed just now
                loop.call_soon_threadsafe(task.cancel)
