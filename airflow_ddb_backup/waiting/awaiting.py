"""Awaits the end of waits on an event loop, a triggerer's or a worker's own: of one, or of many with one progress."""

from __future__ import annotations

import asyncio
import time
from concurrent import futures
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.waiting.poller import BackupPoller
from airflow_ddb_backup.waiting.state import LAST_POLL_LIMIT, REPORT_INTERVAL, BackupWait, WaitResult, WaitStatus
from airflow_ddb_backup.waiting.threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_ddb_backup.models import BackupArn
    from airflow_ddb_backup.waiting.rate_limited_client import AwsSettings
    from airflow_ddb_backup.waiting.state import Wait

_Result = TypeVar("_Result")
# So many waits begin before the loop gets its turn: thousands at once would block it.
_BEGIN_AT_ONCE = 50
# Seconds after which the main thread sees that all waits have ended.
_TICK = 0.1


async def end_of(wait: Wait[Any, _Result], result: asyncio.Future[_Result], report: Callable[[str], object]) -> _Result:
    """Return the end of a wait.

    :param wait: the state of the wait
    :param result: how it ends, once a poll has told
    :param report: takes a line on the progress every 30 s
    """
    while not result.done():
        await asyncio.wait([result], timeout=wait.seconds_until_wakeup(time.time()))
        if line := wait.report(time.time()):
            report(line)
        if not result.done() and (expired := wait.expire(time.time())):
            return expired
    return result.result()


async def wait_for_backup(
    settings: AwsSettings, wait: BackupWait, poll_interval: float, first_delay: float, report: Callable[[str], object]
) -> WaitResult:
    """Return the end of the wait for a backup.

    :param settings: the AWS settings
    :param wait: the state of the wait
    :param poll_interval: seconds between polls
    :param first_delay: seconds until the first
    :param report: takes a line on the progress every 30 s
    """
    async with BackupPoller.of(settings, wait.arn).subscribe(wait, poll_interval, first_delay) as result:
        return await end_of(wait, result, report)


class BackupsWait:
    """The wait for many backups, with one line on all of them every 30 s, and one for each that fails.

    :param settings: the AWS settings
    :param deadline: when time is up, in Unix seconds
    :param poll_interval: seconds between polls
    :param log: the task's log
    :param last: there is no other wait for them after this: one whose time is up has failed
    """

    def __init__(
        self, settings: AwsSettings, deadline: float, poll_interval: float, log: Any, *, last: bool = True
    ) -> None:
        self._settings = settings
        self._deadline = deadline
        self._poll_interval = poll_interval
        self._log = log
        self._last = last
        self._last_poll_limit = LAST_POLL_LIMIT
        self._results: dict[str, WaitResult] = {}

    async def run(self, arns: Collection[BackupArn], first_delay: float) -> dict[str, WaitResult]:
        """Return the end of each wait, by ARN.

        :param arns: the backups
        :param first_delay: seconds until the first polls
        """
        reporting = asyncio.ensure_future(self._report(len(arns)))
        try:
            async with asyncio.TaskGroup() as waits:
                for number, arn in enumerate(arns, start=1):
                    waits.create_task(self._wait(arn, first_delay))
                    if number % _BEGIN_AT_ONCE == 0:
                        await asyncio.sleep(0)
        finally:
            reporting.cancel()
            await asyncio.wait([reporting])
        self._log.info("%s", self._progress(len(arns)))
        return self._results

    def run_on_worker(self, arns: Collection[BackupArn]) -> dict[str, WaitResult]:
        """Return the end of each wait, by ARN, on a worker.

        The event loop runs in a thread of its own: an exception that Airflow raises in the main thread, for the task's
        execution_timeout say, would get lost in a callback of the loop. What hangs there at its end is left behind.

        :param arns: the backups
        """
        # As on a worker any call: none outlives the timeout by more.
        self._last_poll_limit = DynamoDBBackupHook.call_seconds
        outcome: futures.Future[dict[str, WaitResult]] = futures.Future()
        running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

        async def run() -> None:
            if task := asyncio.current_task():
                running.append((asyncio.get_running_loop(), task))
            outcome.set_result(await self.run(arns, 0.0))

        thread = run_in_thread(lambda: asyncio.run(run()))
        ends: list[futures.Future[Any]] = [outcome, thread]
        try:
            while not any(end.done() for end in ends):
                futures.wait(ends, _TICK, futures.FIRST_COMPLETED)
            if not outcome.done():
                thread.result()
            return outcome.result()
        finally:
            for loop, task in running if not outcome.done() else ():
                loop.call_soon_threadsafe(task.cancel)

    async def _wait(self, arn: BackupArn, first_delay: float) -> None:
        wait = BackupWait(arn, self._deadline, time.time(), self._last_poll_limit)
        result = await wait_for_backup(self._settings, wait, self._poll_interval, first_delay, lambda _: None)
        self._results[arn.text] = result
        if self._has_failed(result):
            self._log.error("%s", result.message)

    async def _report(self, count: int) -> None:
        while True:
            await asyncio.sleep(REPORT_INTERVAL)
            self._log.info("%s", self._progress(count))

    def _progress(self, count: int) -> str:
        failed = sum(map(self._has_failed, self._results.values()))
        done = sum(result.status is WaitStatus.SUCCESS for result in self._results.values())
        return f"{count} backups: {done} AVAILABLE, {count - done - failed} waiting, {failed} failed"

    def _has_failed(self, result: WaitResult) -> bool:
        return result.status is WaitStatus.ERROR or (self._last and result.status is WaitStatus.TIMEOUT)
