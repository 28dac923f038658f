"""The poller as its triggers see it, over real HTTP, on a fast event loop."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
import weakref
from collections import Counter
from functools import partial
from hashlib import sha1
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.credentials import SSOProvider

from airflow_ddb_backup import limits
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupTrigger
from airflow_ddb_backup.waiting.client import AsyncClient, RateLimits
from airflow_ddb_backup.waiting.poller import BackupPoller
from airflow_ddb_backup.waiting.state import BackupWait
from airflow_ddb_backup.waiting.threads import run_in_thread
from tests.simulator.faults import (
    DROPPED_BEFORE_COMMIT,
    EMPTY_RESPONSE,
    HANGING_AFTER_COMMIT,
    HTML_OF_A_PROXY,
    INTERNAL_ERROR,
    THROTTLED,
    Answer,
    Fault,
)
from tests.simulator.server import Response, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from airflow_ddb_backup.waiting.state import Observation, WaitResult
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.anyio
FOR_EVER = 99_999.0


class Waiting:
    """Triggers on one loop.

    :param clock: the time
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        #: when each event came, by ARN
        self.ended: dict[str, float] = {}

    async def event(self, arn: str, patience: float = 600, **kwargs: Any) -> dict[str, Any]:
        """Run one trigger to its end."""
        kwargs = {"poll_interval": 5, **kwargs}
        trigger = DynamoDBBackupTrigger(backup_arn=arn, deadline=self.clock.time() + patience, **kwargs)
        (event,) = [event async for event in trigger.run()]
        self.ended[arn] = self.clock.time()
        payload: dict[str, Any] = event.payload
        return payload

    async def statuses(self, arns: list[str], **kwargs: Any) -> Counter[str]:
        """Run a trigger for each backup, and count how they have ended."""
        events = await asyncio.gather(*(self.event(arn, **kwargs) for arn in arns))
        return Counter(event["status"] for event in events)


@pytest.fixture
def waiting(clock: Clock) -> Waiting:
    """Return what runs triggers."""
    return Waiting(clock)


@pytest.fixture
def collect() -> Iterator[Callable[[], None]]:
    """Return what collects the garbage of the test alone: all of Airflow's takes half a second."""

    def collect() -> None:
        # What is finalized in one collection is freed in the next.
        for _ in range(3):
            gc.collect()

    gc.freeze()
    yield collect
    gc.unfreeze()


def all_tasks() -> set[str]:
    """Name the tasks of the loop."""
    return {task.get_name() for task in asyncio.all_tasks()}


def calls(control_plane: ControlPlane) -> tuple[int, int]:
    """Return how often backups were described and listed."""
    return control_plane.calls["DescribeBackup"], control_plane.calls["ListBackups"]


async def some_time() -> None:
    """Let two rounds pass."""
    await asyncio.sleep(12)


class TestSharing:
    """One poller, however many wait."""

    async def test_three_hundred_are_seen_by_sweeps(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """Three pages a round, none throttled, where a describe each would make three hundred calls."""
        control_plane.creating_for = 30
        arns = control_plane.add_backups("orders", 300)
        assert await waiting.statuses(arns) == {"success": 300}
        described, listed = calls(control_plane)
        assert described <= 20
        assert listed <= 40
        assert not control_plane.throttled

    async def test_one_backup_is_described(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """Every five seconds, the first time five seconds after the worker's own poll."""
        control_plane.creating_for = 62
        await waiting.statuses(control_plane.add_backups("orders", 1))
        described, listed = calls(control_plane)
        # Opening the client takes its time.
        assert 1 < described <= 13
        assert not listed

    async def test_tasks_that_wait_for_one_backup_share_its_calls(
        self, control_plane: ControlPlane, waiting: Waiting
    ) -> None:
        """Runs that reuse a backup wait for the same one."""
        control_plane.creating_for = 62
        arn = control_plane.add_backups("orders", 1) * 20
        assert await waiting.statuses(arn) == {"success": 20}
        described, listed = calls(control_plane)
        assert 1 < described <= 13
        assert not listed

    async def test_other_settings_have_another_poller(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """Another region, say, is another endpoint."""
        control_plane.creating_for = FOR_EVER
        arn = control_plane.add_backups("orders", 1)[0]
        tasks = [asyncio.ensure_future(waiting.event(arn, verify=verify)) for verify in (None, False, None)]
        await some_time()
        assert len(BackupPoller._running) == 2  # noqa: SLF001  # that there is one poller is its promise
        await stop(tasks)

    async def test_a_slow_one_costs_no_extra_calls(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """The sweeps for the others show it."""
        control_plane.creating_for = 62
        slow, *fast = control_plane.add_backups("orders", 51)
        await asyncio.gather(waiting.statuses(fast), waiting.event(slow, poll_interval=60))
        described, listed = calls(control_plane)
        assert described <= 2
        assert listed <= 14

    @pytest.mark.load
    async def test_each_is_looked_at_as_often_as_it_asks(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """One every 5 s and one every 20 s: 5 s and 20 s after the start, and so on."""
        control_plane.creating_for = 41
        arns = control_plane.add_backups("orders", 2)
        start = waiting.clock.time()
        await asyncio.gather(waiting.event(arns[0]), waiting.event(arns[1], poll_interval=20))
        assert 41 <= waiting.ended[arns[0]] - start < 52
        assert 41 <= waiting.ended[arns[1]] - start < 72
        # 9 polls of the one; 7, 27 and 47 s after the start for the other.
        assert calls(control_plane)[0] <= 9 + 3 + 1


class TestTrouble:
    """A failure of one is no trouble of the others."""

    async def test_a_hanging_describe_delays_the_others_by_its_timeout_at_most(
        self, control_plane: ControlPlane, waiting: Waiting, log: Callable[[], str]
    ) -> None:
        """Ten seconds."""
        control_plane.creating_for = 8
        control_plane.fail_next("DescribeBackup", HANGING_AFTER_COMMIT)
        start = waiting.clock.time()
        assert await waiting.statuses(control_plane.add_backups("orders", 2)) == {"success": 2}
        assert max(waiting.ended.values()) - start < 8 + 5 + 10 + 7
        assert "DescribeBackup took more than 10 s" in log()

    async def test_a_hanging_sweep_delays_them_by_its_timeout_at_most(
        self, control_plane: ControlPlane, waiting: Waiting, log: Callable[[], str]
    ) -> None:
        """Ten seconds."""
        control_plane.creating_for = 8
        control_plane.fail_next("ListBackups", HANGING_AFTER_COMMIT)
        start = waiting.clock.time()
        assert await waiting.statuses(control_plane.add_backups("orders", 50)) == {"success": 50}
        assert max(waiting.ended.values()) - start < 8 + 5 + 10 + 7
        assert "ListBackups took more than 10 s" in log()

    async def test_one_lost_backup_of_a_hundred_ends_its_own_trigger(
        self, control_plane: ControlPlane, waiting: Waiting
    ) -> None:
        """The sweep does not show it, three calls do not find it."""
        control_plane.creating_for = 60
        arns = control_plane.add_backups("orders", 100, age=20)
        control_plane.lose_backup(arns[0])
        assert await waiting.statuses(arns) == {"success": 99, "error": 1}

    async def test_one_refusal_ends_its_own_trigger(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """Another account's backup, say."""
        control_plane.creating_for = 20
        control_plane.fail_next("DescribeBackup", Fault(code="AccessDeniedException"))
        arns = control_plane.add_backups("orders", 2)
        assert await waiting.statuses(arns) == {"success": 1, "error": 1}

    async def test_a_status_that_is_not_known_is_waited_out(
        self, control_plane: ControlPlane, waiting: Waiting
    ) -> None:
        """AWS may add one; the deadline's message has it."""
        control_plane.creating_for = 20
        odd, *others = control_plane.add_backups("orders", 50)
        control_plane.statuses[odd] = "ARCHIVED"
        results = await asyncio.gather(waiting.statuses(others), waiting.event(odd, patience=60))
        assert results[0] == {"success": 49}
        assert results[1]["status"] == "timeout"
        assert "Last status ARCHIVED" in results[1]["message"]

    @pytest.mark.load
    @pytest.mark.parametrize("fault", [THROTTLED, INTERNAL_ERROR, DROPPED_BEFORE_COMMIT])
    @pytest.mark.parametrize("count", [1, 50])
    async def test_a_bad_minute_ends_nobody(
        self, control_plane: ControlPlane, waiting: Waiting, count: int, fault: Fault
    ) -> None:
        """All of them finish once it is over."""
        for operation in ("DescribeBackup", "ListBackups"):
            control_plane.fail_next(operation, fault, times=9999)
        arns = control_plane.add_backups("orders", count)
        waits = asyncio.ensure_future(waiting.statuses(arns))
        await asyncio.sleep(60)
        assert not waiting.ended
        control_plane.clear_faults()
        assert await waits == {"success": count}

    @pytest.mark.load
    async def test_throttled_it_asks_less(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """About one call in two seconds, where its share is five in two; the backups are described meanwhile."""
        # One that happens to be due alone is described.
        control_plane.creating_for = FOR_EVER
        control_plane.fail_next("ListBackups", THROTTLED, times=9999)
        waits = asyncio.ensure_future(waiting.statuses(control_plane.add_backups("orders", 50), patience=120))
        assert await waits == {"timeout": 50}
        described, listed = calls(control_plane)
        assert listed < 100
        assert described > 100

    async def test_without_list_backups_each_is_described(
        self, control_plane: ControlPlane, waiting: Waiting, log: Callable[[], str]
    ) -> None:
        """At its share of the rate; the log says once why it takes longer."""
        control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"), times=9999)
        assert await waiting.statuses(control_plane.add_backups("orders", 50)) == {"success": 50}
        described, listed = calls(control_plane)
        assert (described, listed) == (50, 1)
        assert not control_plane.throttled
        assert "Until it is allowed each backup is described" in log()

    async def test_an_old_backup_does_not_make_sweeps_read_the_whole_history(
        self, control_plane: ControlPlane, waiting: Waiting
    ) -> None:
        """It is described; the sweeps begin with the others, a page each."""
        month = 30 * 24 * 3600.0
        control_plane.add_backups("orders", 1000, age=month / 2)
        old = control_plane.add_backups("orders", 1, age=month)
        control_plane.statuses[old[0]] = "CREATING"
        control_plane.creating_for = 40
        young = control_plane.add_backups("orders", 50)
        waits = asyncio.ensure_future(waiting.event(old[0], patience=60))
        assert await waiting.statuses(young) == {"success": 50}
        assert (await waits)["status"] == "timeout"
        assert calls(control_plane)[1] <= 12

    async def test_a_listing_that_is_behind_is_waited_for(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """New backups are not described because the first sweep does not show them yet."""
        control_plane.listing_lag = 8
        control_plane.creating_for = 20
        assert await waiting.statuses(control_plane.add_backups("orders", 100)) == {"success": 100}
        assert calls(control_plane)[0] <= 4


class TestCredentials:
    """They may change while it waits."""

    @pytest.mark.parametrize("count", [1, 50])
    async def test_an_expired_token_is_replaced(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch, count: int
    ) -> None:
        """The client is opened again, with what the Airflow connection says by then."""
        arns = control_plane.add_backups("orders", count)
        broken = control_plane.connection().replace(control_plane.url, "http://127.0.0.1:1")
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", broken)
        waits = asyncio.ensure_future(waiting.statuses(arns))
        await some_time()
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection())
        for operation in ("DescribeBackup", "ListBackups"):
            control_plane.fail_next(operation, Fault(code="ExpiredTokenException"))
        assert await waits == {"success": count}

    async def test_a_connection_that_cannot_be_read_is_waited_for(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Airflow's database may be away for a while."""
        arns = control_plane.add_backups("orders", 1)
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "{")
        waits = asyncio.ensure_future(waiting.statuses(arns))
        await some_time()
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection())
        assert await waits == {"success": 1}


async def stop(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel triggers, as Airflow does."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class TestNothingIsLeft:
    """No task, no connection, no reference, once the last trigger is gone."""

    @pytest.mark.parametrize("after", [0.0, 0.01, 4.9, 5.0, 5.5, 6.0, 8.0])
    async def test_cancelled_at_any_point(self, control_plane: ControlPlane, waiting: Waiting, after: float) -> None:
        """Before it has begun, while the client opens, while it asks, while it waits."""
        control_plane.creating_for = FOR_EVER
        before = all_tasks()
        task = asyncio.ensure_future(waiting.event(control_plane.add_backups("orders", 1)[0]))
        await asyncio.sleep(after)
        await stop([task])
        assert all_tasks() == before
        assert not BackupPoller._running  # noqa: SLF001  # nothing else would show it

    async def test_cancelled_twice(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """The second time while it ends."""
        control_plane.creating_for = FOR_EVER
        before = all_tasks()
        task = asyncio.ensure_future(waiting.event(control_plane.add_backups("orders", 1)[0]))
        await some_time()
        task.cancel()
        await asyncio.sleep(0)
        await stop([task])
        await asyncio.sleep(5)
        assert all_tasks() == before
        assert not BackupPoller._running  # noqa: SLF001  # as above

    @pytest.mark.load
    async def test_two_thousand_five_hundred_cancelled_at_once(
        self, control_plane: ControlPlane, waiting: Waiting
    ) -> None:
        """In the middle of their first rounds."""
        control_plane.creating_for = FOR_EVER
        arn = control_plane.add_backups("orders", 1)[0]
        arns = [f"{arn[:-8]}{number:08x}" for number in range(2500)]
        before = all_tasks()
        tasks = [asyncio.ensure_future(waiting.event(arn)) for arn in arns]
        await asyncio.sleep(30)
        await stop(tasks)
        assert all_tasks() == before
        assert not BackupPoller._running  # noqa: SLF001  # as above

    async def test_the_poller_itself_is_gone(
        self, control_plane: ControlPlane, waiting: Waiting, collect: Callable[[], None]
    ) -> None:
        """So is its client, with its connections."""
        task = asyncio.ensure_future(waiting.event(control_plane.add_backups("orders", 1)[0]))
        await asyncio.sleep(1)
        poller = weakref.ref(next(iter(BackupPoller._running.values())))  # noqa: SLF001  # as above
        await task
        del task
        collect()
        assert poller() is None

    async def test_others_go_on_when_one_is_cancelled(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """Only the last one ends the poller."""
        control_plane.creating_for = 30
        arns = control_plane.add_backups("orders", 2)
        first, second = (asyncio.ensure_future(waiting.event(arn)) for arn in arns)
        await some_time()
        await stop([first])
        assert (await second)["status"] == "success"


def has_described(control_plane: ControlPlane, times: int) -> bool:
    """Return whether backups were described so often."""
    return calls(control_plane)[0] >= times


def on_a_loop_of_its_own(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], until: Callable[[], bool], *, tidy: bool
) -> None:
    """Run a trigger on a loop for a while, and close the loop, with or without cancelling what runs on it."""
    task = loop.create_task(coroutine)
    while not until():
        loop.run_until_complete(asyncio.sleep(1))
    if tidy:
        loop.run_until_complete(stop([task]))
    loop.close()


@pytest.mark.parametrize("tidy", [True, False])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_closed_loop_takes_its_poller_along(
    control_plane: ControlPlane,
    clock: Clock,
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    tidy: bool,
    collect: Callable[[], None],
) -> None:
    """The next loop of the process has one of its own."""
    control_plane.creating_for = FOR_EVER
    # A connection that is open when its loop is closed stays open, and warns whenever it is collected.
    control_plane.keeps_connections = False
    arn = control_plane.add_backups("orders", 1)[0]
    for _ in range(2):
        until = partial(has_described, control_plane, calls(control_plane)[0] + 1)
        on_a_loop_of_its_own(loop_factory(), Waiting(clock).event(arn, patience=FOR_EVER), until, tidy=tidy)
        collect()
        assert not BackupPoller._running  # noqa: SLF001  # as above


@pytest.mark.load
class TestNeighbours:
    """Another client of the account uses up a rate."""

    @pytest.mark.parametrize("count", [150])
    async def test_who_waits_is_described_while_list_backups_is_used_up(
        self, control_plane: ControlPlane, waiting: Waiting, count: int
    ) -> None:
        """Twenty calls a second leave none; five describes a second answer 150 waits in half a minute."""
        control_plane.add_neighbour("ListBackups", 20)
        control_plane.creating_for = 20
        start = waiting.clock.time()
        arns = control_plane.add_backups("orders", count)
        assert await waiting.statuses(arns, patience=120) == {"success": count}
        assert max(waiting.ended.values()) - start < 110

    @pytest.mark.parametrize(
        "fault", [INTERNAL_ERROR, DROPPED_BEFORE_COMMIT, HANGING_AFTER_COMMIT, HTML_OF_A_PROXY, EMPTY_RESPONSE]
    )
    async def test_who_waits_is_described_while_list_backups_is_broken(
        self, control_plane: ControlPlane, waiting: Waiting, fault: Fault
    ) -> None:
        """A sweep that fails is no answer."""
        control_plane.fail_next("ListBackups", fault, times=9999)
        control_plane.creating_for = 20
        assert await waiting.statuses(control_plane.add_backups("orders", 150), patience=150) == {"success": 150}

    @pytest.mark.load
    @pytest.mark.parametrize("head_start", [0.01, 0.11])
    async def test_2500_are_answered_beside_a_neighbour(
        self, control_plane: ControlPlane, waiting: Waiting, head_start: float
    ) -> None:
        """Eight calls a second: the sweep goes on from its cursor, page by page."""
        control_plane.add_neighbour("ListBackups", 8)
        # Where the neighbour is in its round.
        await asyncio.sleep(head_start)
        arns = control_plane.add_backups("orders", 2500)
        assert await waiting.statuses(arns, patience=300) == {"success": 2500}

    @pytest.mark.parametrize("count", [150])
    @pytest.mark.parametrize("fault", [INTERNAL_ERROR, HANGING_AFTER_COMMIT])
    async def test_who_waits_is_swept_while_describe_backup_is_broken(
        self, control_plane: ControlPlane, waiting: Waiting, count: int, fault: Fault
    ) -> None:
        """Neither operation waits for the other."""
        control_plane.fail_next("DescribeBackup", fault, times=9999)
        control_plane.creating_for = 20
        assert await waiting.statuses(control_plane.add_backups("orders", count), patience=200) == {"success": count}

    @pytest.mark.parametrize("count", [1, 150])
    async def test_who_waits_is_swept_while_describe_backup_is_used_up(
        self, control_plane: ControlPlane, waiting: Waiting, count: int
    ) -> None:
        """Neither operation waits for the other."""
        control_plane.add_neighbour("DescribeBackup", 40)
        control_plane.creating_for = 20
        assert await waiting.statuses(control_plane.add_backups("orders", count), patience=120) == {"success": count}

    @pytest.mark.parametrize("poll_interval", [5, 30])
    async def test_one_wait_is_swept_while_every_describe_is_throttled(
        self, control_plane: ControlPlane, waiting: Waiting, poll_interval: float
    ) -> None:
        """Between two polls the rate is taken to have come back, so that a call alone looks cheap each time."""
        control_plane.fail_next("DescribeBackup", THROTTLED, times=9999)
        arns = control_plane.add_backups("orders", 1)
        assert await waiting.statuses(arns, patience=200, poll_interval=poll_interval) == {"success": 1}
        # After each answer it is tried again: it may be over.
        assert control_plane.calls["DescribeBackup"] <= 3

    async def test_hanging_describes_hold_up_no_sweep(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """Old backups are described, each for ten seconds; the young ones are swept meanwhile."""
        month = 30 * 24 * 3600.0
        for index in range(20):
            control_plane.add_backups("orders", 1, age=month + index * 24 * 3600)
        old = control_plane.backup_arns()
        control_plane.add_backups("orders", 1000, age=month / 2)
        control_plane.fail_next("DescribeBackup", HANGING_AFTER_COMMIT, times=9999)
        young = control_plane.add_backups("orders", 100)
        start = waiting.clock.time()
        waits = asyncio.ensure_future(waiting.statuses(old, patience=60))
        assert await waiting.statuses(young, patience=60) == {"success": 100}
        assert max(waiting.ended[arn] for arn in young) - start < 7 + 10
        assert await waits == {"timeout": 20}


class TestRates:
    """They are an account's and a region's."""

    async def test_an_absurd_creation_time_spoils_no_other_wait(
        self, control_plane: ControlPlane, waiting: Waiting
    ) -> None:
        """AWS's or not: nobody sweeps from the year 1 on."""
        control_plane.creating_for = 60
        altered = Fault(Answer.ALTERED, set_members={"BackupCreationDateTime": -62135596800})
        control_plane.fail_next("DescribeBackup", altered)
        control_plane.fail_next("ListBackups", altered)
        assert await waiting.statuses(control_plane.add_backups("orders", 60), patience=300) == {"success": 60}

    async def test_an_id_that_is_no_time_spoils_no_sweep(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """Its digits would be in the year 2286: no sweep reaches so far."""
        control_plane.creating_for = 30
        arns = control_plane.add_backups("orders", 300)
        odd = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/09999999999999-0123abcd"
        control_plane.fail_next("DescribeBackup", THROTTLED, times=9999)
        other = asyncio.ensure_future(waiting.event(odd, patience=500))
        try:
            assert await waiting.statuses(arns, patience=200) == {"success": 300}
        finally:
            await stop([other])

    @pytest.mark.load
    async def test_five_triggerers_share_an_account(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each knows only of its own throttled calls: together they make at least half of the documented rate."""
        # Five processes have five limits; here their pollers are told apart by a setting.
        monkeypatch.setattr(RateLimits, "of", lambda *_: RateLimits())
        control_plane.creating_for = 9999
        arns = control_plane.add_backups("orders", 600)
        tasks = [
            asyncio.ensure_future(waiting.event(arn, patience=9999, botocore_config={"user_agent_extra": str(n % 5)}))
            for n, arn in enumerate(arns)
        ]
        await asyncio.sleep(15)
        control_plane.calls.clear()
        control_plane.throttled.clear()
        start = waiting.clock.time()
        await asyncio.sleep(30)
        passed = control_plane.calls["ListBackups"] - control_plane.throttled["ListBackups"]
        assert passed / (waiting.clock.time() - start) >= 2.5
        await stop(tasks)

    async def test_other_settings_of_one_account_and_region_share_its_rates(
        self, control_plane: ControlPlane, waiting: Waiting, collect: Callable[[], None]
    ) -> None:
        """Two connections, or a region that one task names and another leaves to the connection."""
        loop = id(asyncio.get_running_loop())
        control_plane.creating_for = FOR_EVER
        arns = control_plane.add_backups("orders", 3)
        settings: list[dict[str, Any]] = [{"region_name": None}, {"region_name": "us-east-1"}, {"verify": False}]
        tasks = [asyncio.ensure_future(waiting.event(arn, **each)) for arn, each in zip(arns, settings, strict=True)]
        await some_time()
        assert len(BackupPoller._running) == 2  # noqa: SLF001  # the region is resolved
        assert [key[0] for key in RateLimits._shared].count(loop) == 1  # noqa: SLF001  # as above
        await stop(tasks)
        collect()
        assert loop not in {key[0] for key in RateLimits._shared}  # noqa: SLF001  # as above

    async def test_a_sweep_whose_cursor_was_deleted_begins_again(
        self, control_plane: ControlPlane, waiting: Waiting
    ) -> None:
        """AWS may refuse a cursor that names a backup which is gone."""
        control_plane.creating_for = 20
        waits = asyncio.ensure_future(waiting.statuses(control_plane.add_backups("orders", 150)))
        while not control_plane.calls["ListBackups"]:  # noqa: ASYNC110  # the control plane is in another thread
            await asyncio.sleep(0.5)
        control_plane.fail_next("ListBackups", Fault(code="ValidationException"), times=2)
        assert await waits == {"success": 150}

    async def test_denied_lists_are_tried_again(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After some minutes, here half of one; a policy may have changed."""
        monkeypatch.setattr(limits, "DENIED_FOR", 30.0)
        control_plane.creating_for = 60
        control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"))
        assert await waiting.statuses(control_plane.add_backups("orders", 30), patience=600) == {"success": 30}
        assert calls(control_plane)[1] > 1

    async def test_an_id_of_another_shape_is_described_until_its_time_is_known(
        self, control_plane: ControlPlane, waiting: Waiting
    ) -> None:
        """AWS documents no shape; then it is swept with the others."""
        control_plane.make_backup_id = lambda: str(uuid4())
        control_plane.creating_for = 60

        def create() -> list[str]:
            client = control_plane.client()
            made = (client.create_backup(TableName="orders", BackupName="nightly") for _ in range(40))
            return [one["BackupDetails"]["BackupArn"] for one in made]

        assert await waiting.statuses(await asyncio.to_thread(create)) == {"success": 40}
        described, listed = calls(control_plane)
        assert described < 100
        assert listed > 0


class TestOutages:
    """One line when calls begin to fail, one when they succeed again."""

    async def test_a_bad_minute_is_two_lines(
        self, control_plane: ControlPlane, waiting: Waiting, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not one for each call; the second has its length."""
        caplog.set_level(logging.INFO)
        control_plane.creating_for = 100
        control_plane.fail_next("DescribeBackup", INTERNAL_ERROR, times=9999)
        waits = asyncio.ensure_future(waiting.event(control_plane.add_backups("orders", 1)[0]))
        await asyncio.sleep(60)
        control_plane.clear_faults()
        assert (await waits)["status"] == "success"
        said = [message for message in caplog.messages if "DescribeBackup in" in message]
        assert ["succeeds again, after" in message for message in said] == [False, True]

    @pytest.mark.load
    async def test_beside_a_neighbour_it_is_one_outage(
        self, control_plane: ControlPlane, waiting: Waiting, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Calls fail and succeed in turns for as long as it is there."""
        control_plane.add_neighbour("ListBackups", 8)
        control_plane.creating_for = 120
        assert await waiting.statuses(control_plane.add_backups("orders", 600)) == {"success": 600}
        assert control_plane.throttled["ListBackups"] > 10
        assert outages(caplog, "ListBackups") <= 2

    async def test_a_client_that_can_t_be_opened_is_one_outage(
        self,
        control_plane: ControlPlane,
        waiting: Waiting,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Not one of each operation that it is opened for."""
        arns = control_plane.add_backups("orders", 50)
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "{")
        waits = asyncio.ensure_future(waiting.statuses(arns))
        await asyncio.sleep(60)
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection())
        assert await waits == {"success": 50}
        assert outages(caplog, "Opening the client") == 1
        assert not outages(caplog, "ListBackups")


def outages(caplog: pytest.LogCaptureFixture, operation: str) -> int:
    """Count the outages of an operation that the log tells of."""
    return sum(f"{operation} in us-east-1 fails;" in message for message in caplog.messages)


@pytest.fixture
def _identity_center(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve IAM Identity Center's portal, as far as it hands out a role's credentials."""
    keys = {"accessKeyId": "simulated", "secretAccessKey": "simulated", "sessionToken": "x", "expiration": 4e12}
    with Server(lambda _: Response.of({"roleCredentials": keys})).serve() as portal:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", portal.url)
        yield


def with_role(control_plane: ControlPlane, **extra: Any) -> str:
    """Return a connection with a role."""
    return control_plane.connection(role_arn="arn:aws:iam::123456789012:role/wait", **extra)


class TestCredentialsOffTheLoop:
    """Nothing of credentials ever runs on the loop: blockbuster fails the test where something blocks."""

    async def test_credentials_that_hang_leave_few_threads(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A thread that hangs can't be ended: it is replaced after five minutes, then after ten, and so on."""
        hanging, release = list[threading.Thread](), threading.Event()

        def prepare(_: object) -> None:
            hanging.append(threading.current_thread())
            release.wait(60)
            raise OSError

        async def in_thread(function: Callable[[], Any]) -> Any:
            # The loop lets no time pass while a thread works; this one hangs.
            return await asyncio.wrap_future(run_in_thread(function))

        monkeypatch.setattr("airflow_ddb_backup.waiting.client.prepare", prepare)
        monkeypatch.setattr("airflow_ddb_backup.waiting.client.in_thread", in_thread)
        try:
            assert await waiting.statuses(control_plane.add_backups("orders", 1), patience=1800) == {"timeout": 1}
            assert len(hanging) == 3
        finally:
            release.set()

    async def test_a_slow_sts_stops_nobody_also_when_a_role_is_renewed(
        self,
        control_plane: ControlPlane,
        waiting: Waiting,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Short sessions are always due for renewal; each takes STS most of a second of real time."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", with_role(control_plane))
        control_plane.session_seconds = 300
        control_plane.delays["AssumeRole"] = 20
        control_plane.creating_for = 280
        event = await waiting.event(control_plane.add_backups("orders", 1)[0], patience=1800, poll_interval=20)
        assert event["status"] == "success"
        assert control_plane.calls["AssumeRole"] > 3

    async def test_cancelled_while_sts_hangs_it_ends_at_once(
        self,
        control_plane: ControlPlane,
        waiting: Waiting,
        monkeypatch: pytest.MonkeyPatch,
        log: Callable[[], str],
        collect: Callable[[], None],
    ) -> None:
        """Nothing is left, and nothing is said of it later."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", with_role(control_plane))
        control_plane.fail_next("AssumeRole", HANGING_AFTER_COMMIT, times=99)
        before = all_tasks()
        task = asyncio.ensure_future(waiting.event(control_plane.add_backups("orders", 1)[0]))
        while not control_plane.calls["AssumeRole"]:  # noqa: ASYNC110  # the control plane is in another thread
            await asyncio.sleep(0.5)
        cancelled_at = waiting.clock.time()
        await stop([task])
        assert waiting.clock.time() == cancelled_at
        assert all_tasks() == before
        assert not BackupPoller._running  # noqa: SLF001  # as above
        # The thread ends late, and nobody is told.
        await asyncio.to_thread(control_plane.close)
        await some_time()
        collect()
        assert "never retrieved" not in log()

    async def test_a_token_file_that_is_missing_ends_no_wait(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Nor does any other exception of a credential provider, botocore's or not."""
        token = tmp_path / "token"
        web_identity = {
            "assume_role_method": "assume_role_with_web_identity",
            "assume_role_with_web_identity_federation": "file",
            "assume_role_with_web_identity_token_file": str(token),
        }
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", with_role(control_plane, **web_identity))
        # The oldest amazon provider does not hand the connection's endpoint on to this call.
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", control_plane.url)
        waits = asyncio.ensure_future(waiting.statuses(control_plane.add_backups("orders", 20)))
        await some_time()
        assert not waiting.ended
        await asyncio.to_thread(token.write_text, "a token")
        assert await waits == {"success": 20}
        assert control_plane.calls["AssumeRoleWithWebIdentity"] > 0

    async def test_a_role_that_is_denied_for_a_while_ends_no_wait(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """STS has said nothing of any backup."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", with_role(control_plane))
        control_plane.fail_next("AssumeRole", Fault(code="AccessDenied", status=403), times=2)
        assert await waiting.statuses(control_plane.add_backups("orders", 20)) == {"success": 20}

    async def test_credentials_of_a_process_are_resolved_in_a_thread(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """So are those of IAM Identity Center and of files."""
        keys = '{"Version": 1, "AccessKeyId": "simulated", "SecretAccessKey": "simulated"}'
        config = tmp_path / "config"
        await asyncio.to_thread(config.write_text, f"[profile shop]\ncredential_process = echo '{keys}'\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        parts = json.loads(control_plane.connection())
        del parts["login"], parts["password"]
        parts["extra"]["profile_name"] = "shop"
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(parts))
        assert await waiting.statuses(control_plane.add_backups("orders", 20)) == {"success": 20}

    @pytest.mark.usefixtures("_identity_center")
    async def test_credentials_of_iam_identity_center_are_resolved_in_a_thread(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Its portal is asked over HTTP, with a token from a file."""
        start = "https://shop.awsapps.com/start"
        account = f"sso_start_url = {start}\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = wait\n"
        token = {"accessToken": "token", "expiresAt": "2099-01-01T00:00:00Z", "startUrl": start, "region": "us-east-1"}
        config, cached = tmp_path / "config", tmp_path / f"{sha1(start.encode()).hexdigest()}.json"  # noqa: S324  # as botocore names it
        await asyncio.to_thread(config.write_text, f"[profile shop]\n{account}")
        await asyncio.to_thread(cached.write_text, json.dumps(token))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path))
        parts = json.loads(control_plane.connection())
        del parts["login"], parts["password"]
        parts["extra"]["profile_name"] = "shop"
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(parts))
        assert await waiting.statuses(control_plane.add_backups("orders", 20)) == {"success": 20}

    async def test_a_session_that_is_over_is_replaced(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its refusal opens the client again."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", with_role(control_plane))
        control_plane.session_seconds = 30
        control_plane.creating_for = 100
        assert await waiting.statuses(control_plane.add_backups("orders", 20)) == {"success": 20}


class TestDefects:
    """One defect is one wait's."""

    async def test_in_one_wait_it_starves_no_other(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are answered from the same page."""
        odd, *others = control_plane.add_backups("orders", 50)
        observe = BackupWait.observe

        def defective(self: BackupWait, observation: Observation) -> WaitResult | None:
            if self.arn.text == odd:
                raise RuntimeError
            return observe(self, observation)

        monkeypatch.setattr(BackupWait, "observe", defective)
        waits = asyncio.ensure_future(waiting.event(odd, patience=30))
        assert await waiting.statuses(others, patience=120) == {"success": 49}
        await stop([waits])

    async def test_a_client_that_can_t_be_opened_keeps_nothing_busy(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However short the poll intervals are."""
        arns = control_plane.add_backups("orders", 100)
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "{")
        delivered: list[str] = []
        deliver = BackupPoller.deliver

        def counted(self: BackupPoller, key: str, observation: Observation, asked: float) -> None:
            delivered.append(key)
            deliver(self, key, observation, asked)

        monkeypatch.setattr(BackupPoller, "deliver", counted)
        tasks = [asyncio.ensure_future(waiting.event(arn, poll_interval=0.001)) for arn in arns]
        await some_time()
        delivered.clear()
        await asyncio.sleep(60)
        # Once a second by each of the two tasks.
        assert 0 < len(delivered) <= 2 * 61 * len(arns)
        await stop(tasks)

    async def test_refused_credentials_open_no_client_for_each_call(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """STS has limits too."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", with_role(control_plane))
        for operation in ("DescribeBackup", "ListBackups"):
            control_plane.fail_next(operation, Fault(code="UnrecognizedClientException"), times=9999)
        tasks = [asyncio.ensure_future(waiting.event(arn)) for arn in control_plane.add_backups("orders", 50)]
        await asyncio.sleep(120)
        assert control_plane.calls["AssumeRole"] <= 120 / 5 + 2
        await stop(tasks)

    async def test_a_timeout_of_a_secrets_backend_is_told_as_it_is(
        self,
        control_plane: ControlPlane,
        waiting: Waiting,
        monkeypatch: pytest.MonkeyPatch,
        log: Callable[[], str],
    ) -> None:
        """It has the class of the client's own."""

        def get_session(*_: object, **__: object) -> None:
            message = "vault.example.com did not answer"
            raise TimeoutError(message)

        monkeypatch.setattr(DynamoDBBackupHook, "get_session", get_session)
        await waiting.event(control_plane.add_backups("orders", 1)[0], patience=20)
        assert "vault.example.com did not answer" in log()

    async def test_a_backup_that_no_sweep_lists_has_its_last_answer_after_the_deadline(
        self, control_plane: ControlPlane, waiting: Waiting
    ) -> None:
        """A system backup beside fifty others, taken up by a triggerer that was away for long."""
        arns = control_plane.add_backups("orders", 50, age=3600)
        arns += control_plane.add_backups("orders", 1, kind="SYSTEM", age=3600)
        assert await waiting.statuses(arns, patience=-60) == {"success": 51}

    async def test_another_account_s_arn_takes_no_share(self, control_plane: ControlPlane, waiting: Waiting) -> None:
        """Rates are an account's: whoever came first."""
        control_plane.creating_for = FOR_EVER
        arns = control_plane.add_backups("orders", 2)
        foreign = arns[0].replace("123456789012", "999999999999")
        tasks = [asyncio.ensure_future(waiting.event(foreign))]
        await asyncio.sleep(1)
        for arn, verify in zip(arns, (None, False), strict=True):
            tasks.append(asyncio.ensure_future(waiting.event(arn, verify=verify)))  # reads better
        await asyncio.sleep(1)
        limits = Counter(id(poller._limits) for poller in BackupPoller._running.values())  # noqa: SLF001  # as above
        assert sorted(limits.values()) == [1, 2]
        await stop(tasks)

    @pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
    async def test_a_credential_provider_that_exits_ends_no_triggerer(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
    ) -> None:
        """Nor a wait."""
        get_session, times = DynamoDBBackupHook.get_session, []

        def exiting(self: DynamoDBBackupHook, *args: Any, **kwargs: Any) -> Any:
            times.append(1)
            if len(times) == 1:
                raise error
            return get_session(self, *args, **kwargs)

        monkeypatch.setattr(DynamoDBBackupHook, "get_session", exiting)
        assert await waiting.statuses(control_plane.add_backups("orders", 1), patience=120) == {"success": 1}

    async def test_a_client_that_can_t_be_closed_loses_no_event(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The backup is AVAILABLE all the same."""
        close = AsyncClient.close

        async def failing(self: AsyncClient) -> None:
            await close(self)
            raise OSError

        monkeypatch.setattr(AsyncClient, "close", failing)
        assert await waiting.statuses(control_plane.add_backups("orders", 1)) == {"success": 1}

    async def test_cancelled_while_a_client_is_replaced_nothing_is_left(
        self, control_plane: ControlPlane, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At whatever await."""
        control_plane.creating_for = FOR_EVER
        for operation in ("DescribeBackup", "ListBackups"):
            control_plane.fail_next(operation, Fault(code="ExpiredTokenException"), times=9999)
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", with_role(control_plane))
        arns, before = control_plane.add_backups("orders", 5), all_tasks()
        for steps in range(12):
            seen = control_plane.calls["DescribeBackup"]
            tasks = [asyncio.ensure_future(waiting.event(arn, poll_interval=1)) for arn in arns]
            while control_plane.calls["DescribeBackup"] == seen:  # noqa: ASYNC110  # the control plane is in another thread
                await asyncio.sleep(0.03)
            for _ in range(steps):
                await asyncio.sleep(0)
            await stop(tasks)
            assert all_tasks() == before
            assert not BackupPoller._running  # noqa: SLF001  # as above

    async def test_one_refused_call_ends_no_wait_that_is_past_its_deadline(
        self, control_plane: ControlPlane, waiting: Waiting
    ) -> None:
        """Its last answer is still to come: the client is opened at once."""
        control_plane.fail_next("ListBackups", Fault(code="ExpiredTokenException"))
        assert await waiting.statuses(control_plane.add_backups("orders", 50, age=3600), patience=-60) == {
            "success": 50
        }
