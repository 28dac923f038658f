"""One poller for everything that waits with the same AWS settings: the triggers of a triggerer, or a worker's one task.

The problem: a triggerer holds thousands of waits on one event loop, and AWS allows a few calls a second for all of
them. The plan: three tasks, one that describes backups, one that sweeps them and one that describes tables, each at its
own rate, and none waits for another. They ask the planner what is next, and deliver what AWS says to the subscribers of
each backup or table: a page's item is parsed once. A fourth has the metrics sent, where Airflow sends any.

Invariants, at every await:

* a subscriber's future is done exactly once, by :meth:`BackupPoller.deliver`, or cancelled by its own trigger;
* an exception ends no wait but the one that AWS has said it of: those of calls are observations, all others are defects
  that are logged, and polling goes on;
* the tasks run in an empty context: in their first trigger's, all log lines would go to that task's log;
* with its last subscriber the poller ends: its tasks are cancelled and awaited, then its client is closed;
* nothing goes by the wall clock, which may be set at any moment.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from airflow_ddb_backup import exceptions, metrics
from airflow_ddb_backup.clock import Clock
from airflow_ddb_backup.exceptions import BackupError, PermanentError
from airflow_ddb_backup.limits import AFTER_A_DEFECT, LAST_METRICS, METRICS_INTERVAL, POLLER_TICK
from airflow_ddb_backup.models import Backup
from airflow_ddb_backup.retries import backoff
from airflow_ddb_backup.waiting.client import AsyncClient, RateLimits, is_answer
from airflow_ddb_backup.waiting.planner import Planner
from airflow_ddb_backup.waiting.state import NOT_LISTED, WaitStatus
from airflow_ddb_backup.waiting.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from airflow_ddb_backup.waiting.client import AwsSettings, Client
    from airflow_ddb_backup.waiting.planner import Entry, Sweep
    from airflow_ddb_backup.waiting.state import Observation, Wait, WaitResult

log = logging.getLogger(__name__)
# The metrics of how long something takes, by the operation that polls it; a wait for a fresh backup has none.
_DURATIONS = {"DescribeBackup": metrics.BACKUP_DURATION, "DescribeTable": metrics.RESTORE_DURATION}


@dataclass(eq=False, slots=True)
class Subscriber:
    """A task that waits for a backup or a table.

    :param wait: the state of its wait
    :param poll_interval: seconds between polls; infinity: one poll
    :param due: when to poll next, in monotonic seconds
    :param result: how the wait ends; ``None``: one poll has not ended it
    """

    wait: Wait
    poll_interval: float
    due: float
    result: asyncio.Future[Any]

    def observe(self, observation: Observation) -> WaitResult | None:
        """Take in what a poll has said; return the end of the wait, or ``None`` if it goes on."""
        ended = None
        try:
            ended = self.wait.observe(observation)
        except Exception:
            log.exception("A defect in one wait; all others go on.")
        if ended or (self.poll_interval == inf and observation is not NOT_LISTED):
            self.result.set_result(ended)
        return ended


class BackupPoller:
    """Polls the backups and tables of all tasks of one event loop with the same AWS settings.

    It starts with its first subscriber and ends with its last, and nothing of it is left then.

    :param client: makes the calls; closed at the end
    """

    # Weak, so that an event loop that is closed takes its pollers along. A living one keeps its loop, and so its id.
    _running: ClassVar[WeakValueDictionary[tuple[int, str], BackupPoller]] = WeakValueDictionary()

    def __init__(self, client: Client) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = Clock().monotonic
        self._client = client
        self._limits = client.limits
        self._planner = Planner()
        # By the operation whose rate a poll takes.
        self._planners = {"DescribeBackup": self._planner, "DescribeTable": Planner(), "ListBackups": Planner()}
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._changed = asyncio.Event()
        self._describing: set[asyncio.Task[None]] = set()
        tasks: list[Callable[[], Awaitable[None]]] = [self._sweep_due]
        tasks += [self._send_metrics] if metrics.is_on() else []
        tasks += [partial(self._describe_due, operation) for operation in self._planners]
        self._tasks = [self._start(self._keep_on(task)) for task in tasks]

    @classmethod
    def of(cls, settings: AwsSettings, account: str | None) -> BackupPoller:
        """Return the poller of the running event loop, on a triggerer.

        :param settings: the AWS settings
        :param account: the account that they lead to; ``None``: not known
        """
        key = id(asyncio.get_running_loop()), f"{account}:{settings.key()}"
        if poller := cls._running.get(key):
            return poller
        limits = RateLimits.of(account, settings.region_name)
        return cls._running.setdefault(key, cls(AsyncClient(settings, limits)))

    @asynccontextmanager
    async def subscribe(
        self, waits: Sequence[Wait], poll_interval: float, first_delay: float
    ) -> AsyncIterator[list[asyncio.Future[Any]]]:
        """Have backups and tables polled until their waits end, or this block does.

        :param waits: the states of the waits
        :param poll_interval: seconds between polls; infinity: one poll of each
        :param first_delay: seconds until the first
        """
        subscribers = [self._join(wait, poll_interval, first_delay) for wait in waits]
        self._changed.set()
        try:
            yield [subscriber.result for subscriber in subscribers]
        finally:
            await self._leave(subscribers)

    def deliver(self, key: str, observation: Observation, asked: float) -> None:
        """Hand what AWS says of a backup or a table to its subscribers.

        :param key: tells it from others
        :param observation: the backup or table, an exception, or that it is not listed
        :param asked: when AWS was asked
        """
        subscribers = self._subscribers.get(key)
        if not subscribers:
            return
        for subscriber in subscribers:
            if not subscriber.result.done():
                subscriber.due = asked + subscriber.wait.next_delay(subscriber.poll_interval)
                ended = subscriber.observe(observation)
                if ended and ended.status is WaitStatus.SUCCESS:
                    self._count_success(subscriber.wait)
        entry = self._planners[subscribers[0].wait.operation].entries[key]
        if observation is not NOT_LISTED:
            entry.polled, entry.missed = asked, False
            if isinstance(observation, Backup):
                entry.created_at = observation.created_at
            answered = not isinstance(observation, BackupError) or is_answer(observation)
            entry.told(answered=answered, throttled=isinstance(observation, exceptions.ThrottledError))
        self._reschedule(entry)

    def _count_success(self, wait: Wait) -> None:
        name, duration = _DURATIONS.get(wait.operation), wait.duration(self._client.now())
        if name and duration is not None:
            self._client.tally.time(name, duration, region=wait.region)

    def _join(self, wait: Wait, poll_interval: float, first_delay: float) -> Subscriber:
        now = self._now()
        due = now + wait.next_delay(first_delay)
        subscriber = Subscriber(wait, poll_interval, due, self._loop.create_future())
        self._subscribers.setdefault(wait.key, []).append(subscriber)
        self._planners[wait.operation].add(wait.key, wait.created_hint, due, now)
        return subscriber

    async def _leave(self, leaving: Sequence[Subscriber]) -> None:
        for subscriber in leaving:
            subscriber.result.cancel()
            key, entries = subscriber.wait.key, self._planners[subscriber.wait.operation].entries
            others = self._subscribers[key]
            others.remove(subscriber)
            if others:
                self._reschedule(entries[key])
            else:
                del self._subscribers[key], entries[key]
        if not self._subscribers:
            for name, poller in list(self._running.items()):
                if poller is self:
                    del self._running[name]
            # A trigger may be cancelled a second time meanwhile.
            await asyncio.shield(self._start(self._end()))

    async def _end(self) -> None:
        tasks = [*self._tasks, *self._describing]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if metrics.is_on():
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_METRICS):
                    await self._send_kept()
        try:
            await self._client.close()
        except Exception:
            log.exception("The client could not be closed.")

    async def _send_metrics(self) -> None:
        await self._send_kept()
        await asyncio.sleep(METRICS_INTERVAL)

    async def _send_kept(self) -> None:
        """Send what is kept, on a triggerer with the number of waits in the region, of all its pollers."""
        try:
            tally, region = self._client.tally, self._client.region_name
            if tally.on_triggerer:
                pollers = [one for one in self._running.values() if one._client.region_name == region]  # noqa: SLF001
                waits = sum(len(each) for one in pollers for each in one._subscribers.values())  # noqa: SLF001
                tally.gauge(metrics.WAITS, waits, region=region)
            await in_thread(tally.send)
        except Exception as error:  # noqa: BLE001  # no thread to be had, or a client of the user's that exits
            log.debug("Metrics could not be sent: %r", error)

    def _start(self, coroutine: Awaitable[None]) -> asyncio.Task[None]:
        return self._loop.create_task(coroutine, context=contextvars.Context())  # type: ignore[arg-type]  # a coroutine

    def _reschedule(self, entry: Entry) -> None:
        waiting = (one.due for one in self._subscribers[entry.key] if not one.result.done())
        entry.due = min(waiting, default=inf)

    async def _keep_on(self, task: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await task()
            except Exception:
                log.exception("A defect of the poller; polling goes on.")
                await asyncio.sleep(AFTER_A_DEFECT)

    async def _until_due(self, planner: Planner) -> None:
        """Return once something is due."""
        while (due := planner.next_due()) > self._now():
            await self._until_changed(due - self._now())

    async def _until_changed(self, seconds: float = POLLER_TICK) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == inf else seconds):
                await self._changed.wait()

    async def _is_open(self) -> bool:
        """Open the client; if that fails, tell everyone who is due."""
        asked = self._now()
        try:
            await self._client.open()
        except BackupError as error:
            for planner in self._planners.values():
                for entry in planner.due(asked):
                    self.deliver(entry.key, error, asked)
            return False
        return True

    async def _describe_due(self, operation: str) -> None:
        planner = self._planners[operation]
        await self._until_due(planner)
        if not await self._is_open():
            await asyncio.sleep(POLLER_TICK)
            return
        if planner.next_described(self._limits.now(), self._now()) is None:
            await self._until_changed()
            return
        await self._limits[operation].turn()
        # Chosen again: by the time that the rate allows the call, a sweep may have shown it.
        entry = planner.next_described(self._limits.now(), self._now())
        if entry is None:
            return
        entry.asking = True
        describing = self._start(self._describe(entry, self._subscribers[entry.key][0].wait))
        self._describing.add(describing)
        describing.add_done_callback(self._describing.discard)

    async def _describe(self, entry: Entry, wait: Wait) -> None:
        asked = self._now()
        observation: Observation
        try:
            observation = await wait.poll(self._client)
        except BackupError as error:
            observation = error
        finally:
            entry.asking = False
            self._changed.set()
        self.deliver(entry.key, observation, asked)

    async def _sweep_due(self) -> None:
        await self._until_due(self._planner)
        sweep = self._planner.begin_sweep(self._limits.now(), self._now())
        if sweep is None:
            await self._until_changed()
            return
        others: int | None = None
        try:
            others = await self._read(sweep)
        finally:
            for entry in self._planner.end_sweep(others, self._now()):
                self._deliver_not_listed(entry)
            self._changed.set()

    def _deliver_not_listed(self, entry: Entry) -> None:
        # After its deadline a subscriber is still owed a final poll.
        if any(one.poll_interval == inf or one.wait.deadline.passed for one in self._subscribers[entry.key]):
            entry.missed = True
        else:
            self.deliver(entry.key, NOT_LISTED, self._now())

    async def _read(self, sweep: Sweep) -> int | None:
        """Read all pages of a sweep, even if calls fail; return how many backups nobody waits for.

        ``None``: it did not come to its end, since it is denied or there is nothing left for it to show.
        """
        others = failures = 0
        cursor: str | None = None
        while self._planner.is_needed():
            if not await self._is_open():
                self._planner.page_ended(failed=True)
                await asyncio.sleep(POLLER_TICK)
                continue
            await self._limits["ListBackups"].turn()
            asked = self._now()
            try:
                page = await self._client.call("ListBackups", self._client.context, **sweep.request(cursor))
            except BackupError as error:
                if isinstance(error, exceptions.InvalidRequestError):
                    # The backup that the cursor names was deleted.
                    cursor, others = None, 0
                elif isinstance(error, PermanentError):
                    log.warning("%s Until it is allowed each backup is described, which takes longer.", error)
                    self._planner.denied(self._now())
                    return None
                self._page_ended(failed=True)
                # A throttled call has slowed down the rate; that is enough.
                failures = 0 if isinstance(error, exceptions.ThrottledError) else failures + 1
                await asyncio.sleep(backoff(failures) if failures else 0)
                continue
            failures = 0
            for backup in page.items:
                others += backup.arn.text not in self._subscribers
                self.deliver(backup.arn.text, backup, asked)
            self._page_ended(failed=False)
            if (cursor := page.cursor) is None:
                return others
        return None

    def _page_ended(self, *, failed: bool) -> None:
        self._planner.page_ended(failed=failed)
        self._changed.set()
