"""One poller for every trigger that waits with the same AWS settings."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakValueDictionary

from airflow_ddb_backup.exceptions import BackupError, PermanentError
from airflow_ddb_backup.models import Backup
from airflow_ddb_backup.waiting.client import RateLimitedClient
from airflow_ddb_backup.waiting.planner import DESCRIBED_PER_ROUND, Plan, Traffic, missed, plan_round

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from airflow_ddb_backup.models import BackupArn
    from airflow_ddb_backup.waiting.client import AwsSettings
    from airflow_ddb_backup.waiting.planner import Sweep
    from airflow_ddb_backup.waiting.state import BackupWait, WaitResult

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Watch:
    """A trigger's place in the poller.

    :param wait: what its looks mean
    :param poll_interval: seconds between looks
    :param verdict: how the wait ends
    :param due: when to look next, by the event loop's clock
    :param asked: when AWS was last asked for it
    """

    wait: BackupWait
    poll_interval: float
    verdict: asyncio.Future[WaitResult]
    due: float
    asked: float

    def answer(self, judge: Callable[[BackupWait], WaitResult | None], asked: float) -> None:
        """Take in a look, or that there was none.

        :param judge: what it means for the wait
        :param asked: when AWS was asked, by the event loop's clock
        """
        self.asked, self.due = asked, asked + self.wait.pause(self.poll_interval, time.time())
        try:
            verdict = judge(self.wait)
        except Exception as error:  # noqa: BLE001  # an answer that nobody foresaw ends this wait, not everyone's
            self.verdict.set_exception(error)
        else:
            if verdict:
                self.verdict.set_result(verdict)


class BackupPoller:
    """Looks at the backups of all triggers of one event loop and the same AWS settings.

    It starts with its first trigger and ends with its last, and nothing of it is left then.

    :param settings: how AWS is asked
    """

    # Weak, so that an event loop that is closed takes its watchers along. A living one keeps its loop, and so its id.
    _running: ClassVar[WeakValueDictionary[tuple[int, str], BackupPoller]] = WeakValueDictionary()

    def __init__(self, settings: AwsSettings) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = RateLimitedClient(settings)
        self._traffic = Traffic()
        self._watches: dict[str, list[_Watch]] = {}
        self._sooner = asyncio.Event()
        self._wakes_at = float("inf")
        # In a context of its own: in its first trigger's, all log lines would go to that task's log.
        self._poller = self._loop.create_task(self._poll(), context=contextvars.Context())

    @classmethod
    def of(cls, settings: AwsSettings) -> BackupPoller:
        """Return the watcher of the running event loop.

        :param settings: how AWS is asked
        """
        key = id(asyncio.get_running_loop()), settings.key()
        return cls._running.get(key) or cls._running.setdefault(key, cls(settings))

    @asynccontextmanager
    async def watching(
        self, wait: BackupWait, poll_interval: float, first_look: float
    ) -> AsyncIterator[asyncio.Future[WaitResult]]:
        """Have a backup looked at until its wait ends, or this block does.

        :param wait: what the looks mean
        :param poll_interval: seconds between looks
        :param first_look: seconds until the first
        """
        watch = self._join(wait, poll_interval, first_look)
        try:
            yield watch.verdict
        finally:
            await self._leave(watch)

    def _join(self, wait: BackupWait, poll_interval: float, first_look: float) -> _Watch:
        now = self._loop.time()
        watch = _Watch(wait, poll_interval, self._loop.create_future(), now + wait.pause(first_look, time.time()), now)
        self._watches.setdefault(wait.arn.text, []).append(watch)
        if watch.due < self._wakes_at:
            self._sooner.set()
        return watch

    async def _leave(self, watch: _Watch) -> None:
        watch.verdict.cancel()
        others = self._watches[watch.wait.arn.text]
        others.remove(watch)
        if not others:
            del self._watches[watch.wait.arn.text]
        if not self._watches:
            self._retire()
            self._poller.cancel()
            await asyncio.wait([self._poller])

    def _retire(self) -> None:
        for key, watcher in list(self._running.items()):
            if watcher is self:
                del self._running[key]

    async def _poll(self) -> None:
        try:
            while True:
                await self._sleep_until_due()
                await self._round()
        except Exception as error:  # noqa: BLE001  # a defect, which would leave every trigger to its deadline
            self._retire()
            for watch in self._waiting():
                watch.verdict.set_exception(error)
        finally:
            await self._client.close()

    async def _sleep_until_due(self) -> None:
        while True:
            self._sooner.clear()
            self._wakes_at = min((watch.due for watch in self._waiting()), default=float("inf"))
            if self._wakes_at <= self._loop.time():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._wakes_at):
                    await self._sooner.wait()

    async def _round(self) -> None:
        start = self._loop.time()
        due = sorted((watch for watch in self._waiting() if watch.due <= start), key=lambda watch: watch.asked)
        arns = list(dict.fromkeys(watch.wait.arn for watch in due))
        try:
            await self._client.refresh()
        except BackupError as error:
            self._miss(arns, error, start)
            return
        plan = Plan(arns)
        if self._client.may_list:
            plan = plan_round(arns, {watch.wait.arn for watch in self._waiting()}, self._traffic)
        described = list(plan.describe)
        if plan.sweep:
            described += await self._sweep(plan.sweep, [arn for arn in arns if arn not in plan.describe])
        await self._describe(described)

    async def _sweep(self, sweep: Sweep, due: Sequence[BackupArn]) -> Sequence[BackupArn]:
        """Look at backups with one sweep, and return those that are to be described instead."""
        start, began = self._loop.time(), datetime.fromtimestamp(time.time(), tz=UTC)
        shown: set[str] = set()
        try:
            await self._list(sweep, shown)
        except PermanentError as error:
            log.warning("%s Until then each backup is described, which takes longer.", error)
            return due
        except BackupError as error:
            self._miss([arn for arn in due if arn.text not in shown], error, start)
            return []
        unseen = [arn for arn in due if arn.text not in shown]
        asked_for = missed(unseen, began)
        for arn in set(unseen) - set(asked_for):
            self._answer(arn.text, lambda wait: wait.skip(time.time()), start)
        return asked_for

    async def _list(self, sweep: Sweep, shown: set[str]) -> None:
        listed = 0
        asked = self._loop.time()
        async for page in self._client.list_backups(sweep):
            listed += len(page)
            for summary in page:
                if summary["BackupArn"] in self._watches:
                    shown.add(summary["BackupArn"])
                    self._see(summary["BackupArn"], partial(Backup.from_details, summary), asked)
            asked = self._loop.time()
        self._traffic.learn(sweep, listed - len(shown))

    async def _describe(self, arns: Sequence[BackupArn]) -> None:
        # The others stay due, and come first in the next round.
        async with asyncio.TaskGroup() as group:
            for arn in arns[:DESCRIBED_PER_ROUND]:
                group.create_task(self._look(arn))

    async def _look(self, arn: BackupArn) -> None:
        asked = self._loop.time()
        try:
            response = await self._client.describe_backup(arn)
        except BackupError as error:
            self._miss([arn], error, asked)
        else:
            self._see(arn.text, lambda: Backup.from_description(response), asked)

    def _waiting(self) -> Iterable[_Watch]:
        return (watch for watch in chain.from_iterable(self._watches.values()) if not watch.verdict.done())

    def _see(self, arn: str, read: Callable[[], Backup], asked: float) -> None:
        self._answer(arn, lambda wait: wait.see(read(), time.time()), asked)

    def _miss(self, arns: Iterable[BackupArn], error: BackupError, asked: float) -> None:
        log.warning("%s", error)
        for arn in arns:
            self._answer(arn.text, lambda wait: wait.miss(error, time.time()), asked)

    def _answer(self, arn: str, judge: Callable[[BackupWait], WaitResult | None], asked: float) -> None:
        for watch in self._watches.get(arn, ()):
            if not watch.verdict.done():
                watch.answer(judge, asked)
