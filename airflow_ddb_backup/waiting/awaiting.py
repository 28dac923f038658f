"""Awaits the end of waits on an event loop, a triggerer's or a worker's own: of one, or of many with one progress."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_ddb_backup.waiting.poller import BackupPoller
from airflow_ddb_backup.waiting.state import REPORT_INTERVAL, BackupWait, WaitResult, WaitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_ddb_backup.models import BackupArn
    from airflow_ddb_backup.waiting.rate_limited_client import AwsSettings
    from airflow_ddb_backup.waiting.state import Wait

_Result = TypeVar("_Result")
# So many waits begin before the loop gets its turn: thousands at once would block it.
_BEGIN_AT_ONCE = 50


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
    """

    def __init__(self, settings: AwsSettings, deadline: float, poll_interval: float, log: Any) -> None:
        self._settings = settings
        self._deadline = deadline
        self._poll_interval = poll_interval
        self._log = log
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

    async def _wait(self, arn: BackupArn, first_delay: float) -> None:
        wait = BackupWait(arn, self._deadline, time.time())
        result = await wait_for_backup(self._settings, wait, self._poll_interval, first_delay, lambda _: None)
        self._results[arn.text] = result
        if result.status is not WaitStatus.SUCCESS:
            self._log.error("%s", result.message)

    async def _report(self, count: int) -> None:
        while True:
            await asyncio.sleep(REPORT_INTERVAL)
            self._log.info("%s", self._progress(count))

    def _progress(self, count: int) -> str:
        done = len(self._results)
        failed = sum(result.status is not WaitStatus.SUCCESS for result in self._results.values())
        return f"{count} backups: {done - failed} AVAILABLE, {count - done} waiting, {failed} failed"
