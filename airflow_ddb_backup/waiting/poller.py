"""One poller for every trigger that waits with the same AWS settings.

The problem: a triggerer holds thousands of waits on one event loop, and AWS allows a few calls a second for all of
them. The plan: two tasks, one that describes and one that sweeps, each at its own rate, and neither waits for the
other. Both ask the planner what is next, and deliver what AWS says to the subscribers of each backup: a page's item is
parsed once.

Invariants, at every await:

* a subscriber's future is done exactly once, by :meth:`BackupPoller.deliver`, or cancelled by its own trigger;
* an exception ends no wait but the one that AWS has said it of: those of calls are observations, all others are defects
  that are logged, and polling goes on;
* both tasks run in an empty context: in their first trigger's, all log lines would go to that task's log;
* with its last subscriber the poller ends: its tasks are cancelled and awaited, then its client is closed.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakValueDictionary

from airflow_ddb_backup.exceptions import (
    BackupError,
    BackupNotFoundError,
    InvalidRequestError,
    PermanentError,
    ThrottledError,
)
from airflow_ddb_backup.waiting.outage import Outage
from airflow_ddb_backup.waiting.planner import Planner
from airflow_ddb_backup.waiting.rate_limited_client import RateLimitedClient, RateLimits
from airflow_ddb_backup.waiting.state import NOT_LISTED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from airflow_ddb_backup.models import BackupArn
    from airflow_ddb_backup.waiting.planner import Entry, Sweep
    from airflow_ddb_backup.waiting.rate_limited_client import AwsSettings
    from airflow_ddb_backup.waiting.state import BackupWait, Observation, WaitResult

log = logging.getLogger(__name__)

# Seconds after which a task asks the planner again, while the backups that are due wait for the other task.
_TICK = 1.0
_LONGEST_BACKOFF = 30.0
_AFTER_A_DEFECT = 5.0
# AWS refuses signatures that are 5 minutes off.
_LARGEST_CLOCK_ERROR = timedelta(minutes=5)
# On-demand backups are not older: AWS launched them on that day.
_FIRST_BACKUP = datetime(2017, 11, 29, tzinfo=UTC)
# An outage is over when no call has failed for so many seconds: beside a neighbour they fail and succeed in turns.
_STEADY = 30.0


@dataclass(eq=False, slots=True)
class Subscriber:
    """A trigger that waits for a backup.

    :param wait: the state of its wait
    :param poll_interval: seconds between polls
    :param due: when to poll next, by the event loop's clock
    :param result: how the wait ends
    """

    wait: BackupWait
    poll_interval: float
    due: float
    result: asyncio.Future[WaitResult]


class BackupPoller:
    """Polls the backups of all triggers of one event loop with the same AWS settings.

    It starts with its first subscriber and ends with its last, and nothing of it is left then.

    :param settings: the AWS settings
    :param limits: the rate limits of the account and region
    """

    # Weak, so that an event loop that is closed takes its pollers along. A living one keeps its loop, and so its id.
    _running: ClassVar[WeakValueDictionary[tuple[int, str], BackupPoller]] = WeakValueDictionary()

    def __init__(self, settings: AwsSettings, limits: RateLimits) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._client = RateLimitedClient.of(settings, limits)
        self._planner = Planner()
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._changed = asyncio.Event()
        self._outages = {
            operation: Outage(f"{operation} in {settings.region_name}", log, _STEADY)
            for operation in ("Opening the client", "DescribeBackup", "ListBackups")
        }
        self._describing: set[asyncio.Task[None]] = set()
        self._tasks = [self._start(self._keep_on(task)) for task in (self._describe_due, self._sweep_due)]

    @classmethod
    def of(cls, settings: AwsSettings, arn: BackupArn) -> BackupPoller:
        """Return the poller of the running event loop.

        :param settings: the AWS settings
        :param arn: a backup of the account
        """
        key = id(asyncio.get_running_loop()), f"{arn.partition}:{arn.account}:{settings.key()}"
        limits = RateLimits.of(arn, settings.region_name)
        return cls._running.get(key) or cls._running.setdefault(key, cls(settings, limits))

    @asynccontextmanager
    async def subscribe(
        self, wait: BackupWait, poll_interval: float, first_delay: float
    ) -> AsyncIterator[asyncio.Future[WaitResult]]:
        """Have a backup polled until its wait ends, or this block does.

        :param wait: the state of the wait
        :param poll_interval: seconds between polls
        :param first_delay: seconds until the first
        """
        subscriber = self._join(wait, poll_interval, first_delay)
        try:
            yield subscriber.result
        finally:
            await self._leave(subscriber)

    def deliver(self, arn: str, observation: Observation, asked: float) -> None:
        """Hand what AWS says of a backup to its subscribers.

        :param arn: the backup
        :param observation: the backup, an exception, or that it is not listed
        :param asked: when AWS was asked, by the event loop's clock
        """
        entry = self._planner.entries.get(arn)
        if entry is None:
            return
        now = time.time()
        for subscriber in self._subscribers[arn]:
            if not subscriber.result.done():
                subscriber.due = asked + subscriber.wait.next_delay(subscriber.poll_interval, now)
                self._observe(subscriber, observation, now)
        if observation is not NOT_LISTED:
            entry.polled, entry.missed = asked, False
            if not isinstance(observation, BackupError):
                entry.created_at = _plausible(observation.created_at)
            if _is_answer(observation):
                entry.awaited, entry.failures = False, 0
        self._schedule(entry)

    def _observe(self, subscriber: Subscriber, observation: Observation, now: float) -> None:
        try:
            if result := subscriber.wait.observe(observation, now):
                subscriber.result.set_result(result)
        except Exception:
            log.exception("A defect in one wait; all others go on.")

    def _join(self, wait: BackupWait, poll_interval: float, first_delay: float) -> Subscriber:
        now = self._loop.time()
        due = now + wait.next_delay(first_delay, time.time())
        subscriber = Subscriber(wait, poll_interval, due, self._loop.create_future())
        self._subscribers.setdefault(wait.arn.text, []).append(subscriber)
        entry = self._planner.add(wait.arn, due, now)
        entry.created_at = _plausible(entry.created_at)
        self._changed.set()
        return subscriber

    async def _leave(self, subscriber: Subscriber) -> None:
        subscriber.result.cancel()
        arn = subscriber.wait.arn
        others = self._subscribers[arn.text]
        others.remove(subscriber)
        if others:
            self._schedule(self._planner.entries[arn.text])
        else:
            del self._subscribers[arn.text]
            self._planner.remove(arn)
        if not self._subscribers:
            for key, poller in list(self._running.items()):
                if poller is self:
                    del self._running[key]
            # A trigger may be cancelled a second time meanwhile.
            await asyncio.shield(self._start(self._end()))

    async def _end(self) -> None:
        tasks = [*self._tasks, *self._describing]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for outage in self._outages.values():
            outage.end()
        try:
            await self._client.close()
        except Exception:
            log.exception("The client could not be closed.")

    def _start(self, coroutine: Awaitable[None]) -> asyncio.Task[None]:
        return self._loop.create_task(coroutine, context=contextvars.Context())  # type: ignore[arg-type]  # a coroutine

    def _schedule(self, entry: Entry) -> None:
        waiting = (one.due for one in self._subscribers[entry.arn.text] if not one.result.done())
        entry.due = min(waiting, default=float("inf"))

    async def _keep_on(self, task: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await task()
            except Exception:
                log.exception("A defect of the poller; polling goes on.")
                await asyncio.sleep(_AFTER_A_DEFECT)

    async def _until_due(self) -> None:
        """Return once a backup is due."""
        while (due := self._planner.next_due()) > self._loop.time():
            await self._until_changed(due)

    async def _until_changed(self, until: float) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._changed.wait()

    async def _is_open(self) -> bool:
        """Open the client; if that fails, tell everyone who is due."""
        asked, outage = self._loop.time(), self._outages["Opening the client"]
        try:
            await self._client.open()
        except BackupError as error:
            outage.failed(error, asked)
            for entry in self._planner.due(asked):
                self.deliver(entry.arn.text, error, asked)
            return False
        outage.succeeded(self._loop.time())
        return True

    async def _describe_due(self) -> None:
        await self._until_due()
        if not await self._is_open():
            await asyncio.sleep(_TICK)
            return
        if self._next_described() is None:
            await self._until_changed(self._loop.time() + _TICK)
            return
        await self._limits.acquire("DescribeBackup")
        # Chosen anew: by the time that the rate allows the call, a sweep may have shown it.
        entry = self._next_described()
        if entry is None:
            return
        entry.asking = True
        describing = self._start(self._describe(entry))
        self._describing.add(describing)
        describing.add_done_callback(self._describing.discard)

    def _next_described(self) -> Entry | None:
        return self._planner.next_described(self._limits.now(), self._loop.time())

    async def _describe(self, entry: Entry) -> None:
        asked, outage = self._loop.time(), self._outages["DescribeBackup"]
        observation: Observation = NOT_LISTED
        try:
            observation = await self._client.describe_backup(entry.arn)
            outage.succeeded(self._loop.time())
        except BackupError as error:
            observation = error
            if not _is_answer(error):
                entry.failures += 1
                outage.failed(error, self._loop.time())
        except Exception:
            log.exception("A defect of the poller; polling goes on.")
        finally:
            entry.asking = False
            self._changed.set()
        self.deliver(entry.arn.text, observation, asked)

    async def _sweep_due(self) -> None:
        await self._until_due()
        sweep = self._planner.begin_sweep(self._limits.now(), self._loop.time())
        if sweep is None:
            await self._until_changed(self._loop.time() + _TICK)
            return
        others: int | None = None
        try:
            others = await self._read(sweep)
        finally:
            for entry in self._planner.end_sweep(others, self._loop.time()):
                self._deliver_not_listed(entry)
            self._changed.set()

    def _deliver_not_listed(self, entry: Entry) -> None:
        # Nothing was said of it; whose time is up has a right to a last answer.
        if any(one.wait.deadline <= time.time() for one in self._subscribers[entry.arn.text]):
            entry.missed = True
        else:
            self.deliver(entry.arn.text, NOT_LISTED, self._loop.time())

    async def _read(self, sweep: Sweep) -> int | None:
        """Read all pages of a sweep, even if calls fail; return how many backups nobody waits for.

        ``None``: it did not come to its end, since it is denied or there is nothing left for it to show.
        """
        others = failures = 0
        cursor: str | None = None
        while self._planner.is_needed():
            if not await self._is_open():
                self._planner.page_failed()
                await asyncio.sleep(_TICK)
                continue
            await self._limits.acquire("ListBackups")
            asked = self._loop.time()
            try:
                page = await self._client.list_backups(sweep, cursor)
            except InvalidRequestError as error:
                # The backup that the cursor names was deleted.
                self._page_failed(error)
                cursor, others = None, 0
                failures += 1
                await asyncio.sleep(min(_LONGEST_BACKOFF, 2**failures))
            except PermanentError as error:
                log.warning("%s Until it is allowed each backup is described, which takes longer.", error)
                self._planner.denied(self._loop.time())
                return None
            except BackupError as error:
                self._page_failed(error)
                # A throttled call has slowed down the rate; that is enough.
                failures = 0 if isinstance(error, ThrottledError) else failures + 1
                await asyncio.sleep(min(_LONGEST_BACKOFF, 2**failures) if failures else 0)
            else:
                failures = 0
                self._outages["ListBackups"].succeeded(self._loop.time())
                self._planner.page_succeeded()
                for backup in page.items:
                    others += backup.arn.text not in self._subscribers
                    self.deliver(backup.arn.text, backup, asked)
                self._changed.set()
                if (cursor := page.cursor) is None:
                    return others
        return None

    def _page_failed(self, error: BackupError) -> None:
        self._outages["ListBackups"].failed(error, self._loop.time())
        self._planner.page_failed()
        self._changed.set()


def _is_answer(observation: Observation) -> bool:
    """Return whether AWS has said something of the backup; a call that failed otherwise has not."""
    return not isinstance(observation, BackupError) or isinstance(observation, PermanentError | BackupNotFoundError)


def _plausible(created_at: datetime | None) -> datetime | None:
    """Return a backup's creation time if it can be one: a sweep must not reach for another."""
    if created_at and _FIRST_BACKUP <= created_at <= datetime.fromtimestamp(time.time(), UTC) + _LARGEST_CLOCK_ERROR:
        return created_at
    return None
