"""How the asynchronous client is made."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.exceptions import ThrottledError
from airflow_ddb_backup.limits import PREPARATIONS, PREPARING_SECONDS
from airflow_ddb_backup.rates import RateLimit
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupTrigger
from airflow_ddb_backup.waiting import client
from airflow_ddb_backup.waiting.client import AwsSettings, Outage, RateLimits
from airflow_ddb_backup.waiting.threads import in_thread
from tests.simulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.proxy import Proxy


ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"


def test_reading_ahead_only_saves_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A botocore that keeps its models elsewhere fails no wait."""

    class Loader:
        """Finds nothing."""

        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            raise FileNotFoundError(name)

    asked: list[str] = []
    monkeypatch.setattr(client, "_LOADER", Loader())
    client._warm_up.__wrapped__()  # noqa: SLF001  # its failure is the case
    assert asked


@pytest.mark.parametrize(("given", "used"), [({}, 10), ({"read_timeout": 25}, 25)])
def test_a_hanging_sts_is_left_after_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], used: int
) -> None:
    """Unless the user has set a timeout: the provider makes its STS client of the hook's configuration."""
    extra = json.dumps({"config_kwargs": given})
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))
    config = AwsSettings("aws_default", "us-east-1", None, None).hook().config
    assert (config.connect_timeout, config.read_timeout) == (10, used)


@pytest.mark.anyio
async def test_all_calls_go_to_the_regional_host(proxy: Proxy, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with an ARN too: many networks allow no other. A proxy sees the host that it is asked for."""
    extra = {"region_name": "us-east-1", "config_kwargs": {"proxies": {"https": proxy.url}}}
    connection = {"conn_type": "aws", "login": "simulated", "password": "simulated", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    trigger = DynamoDBBackupTrigger(backup_arn=ARN, poll_interval=5, deadline=clock.time() + 20)
    event = await anext(trigger.run())
    assert event.payload["status"] == "timeout"
    assert set(proxy.targets) == {"dynamodb.us-east-1.amazonaws.com:443"}


@pytest.mark.anyio
async def test_a_poller_with_nothing_to_describe_takes_no_share_of_describe_backup(
    control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other pollers of the account share the rate."""
    taken: Counter[RateLimit] = Counter()
    turn = RateLimit.turn

    async def counted(self: RateLimit) -> None:
        taken[self] += 1
        await turn(self)

    monkeypatch.setattr(RateLimit, "turn", counted)
    limits = RateLimits.of("123456789012", "us-east-1")
    control_plane.creating_for = 60
    arns = control_plane.add_backups("orders", 150)
    deadline = clock.time() + 600
    waits = [DynamoDBBackupTrigger(backup_arn=arn, poll_interval=5, deadline=deadline).run() for arn in arns]
    await asyncio.gather(*(anext(wait) for wait in waits))
    assert taken[limits["DescribeBackup"]] == control_plane.calls["DescribeBackup"]


def triggers(clock: Clock, arns: list[str], *names: str) -> list[DynamoDBBackupTrigger]:
    """Return a trigger for each backup, with settings of their own."""
    deadline = clock.time() + 600
    named = zip(arns, names, strict=True)
    return [
        DynamoDBBackupTrigger(
            backup_arn=arn, poll_interval=5, deadline=deadline, botocore_config={"user_agent_extra": name}
        )
        for arn, name in named
    ]


async def statuses(waiting: list[DynamoDBBackupTrigger]) -> list[str]:
    """Run triggers to their ends."""
    events = await asyncio.gather(*(anext(trigger.run()) for trigger in waiting))
    return [event.payload["status"] for event in events]


@pytest.fixture
def prepare_slowly(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], Counter[str]]:
    """Return what makes preparations take so many seconds; it returns a count of them."""
    begun = Counter[str]()

    def prepare_slowly(name: str, seconds: float) -> Counter[str]:
        async def slowly(function: Any) -> Any:
            config = getattr(getattr(function, "__self__", None), "_settings", None)
            if config is not None:
                who = config.botocore_config["user_agent_extra"]
                begun[who] += 1
                await asyncio.sleep(seconds if who.startswith(name) else 0)
            return await in_thread(function)

        monkeypatch.setattr(client, "in_thread", slowly)
        return begun

    return prepare_slowly


@pytest.mark.anyio
async def test_few_clients_are_prepared_at_once_and_all_in_turn(
    control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A triggerer that restarts needs hundreds: a thread each would hold up its loop."""
    prepare, lock, running, most = client.prepare, threading.Lock(), set[int](), list[int]()
    threads, count = list[int](), 4 * PREPARATIONS

    def counted(settings: AwsSettings) -> Any:
        with lock:
            running.add(id(settings))
            most.append(len(running))
            threads.append(sum(one.name == "dynamodb" for one in threading.enumerate()))
        try:
            return prepare(settings)
        finally:
            with lock:
                running.discard(id(settings))

    monkeypatch.setattr(client, "prepare", counted)
    arns = [str(arn) for arn in control_plane.add_backups("orders", count)]
    assert await statuses(triggers(clock, arns, *map(str, range(count)))) == ["success"] * count
    # None is thrown away.
    assert len(most) == count
    assert max(most) <= PREPARATIONS
    assert max(threads) <= 2 * PREPARATIONS  # one that has just ended may still be listed


@pytest.mark.anyio
async def test_a_preparation_that_takes_long_is_not_thrown_away(
    control_plane: ControlPlane, clock: Clock, prepare_slowly: Callable[[str, float], Counter[str]]
) -> None:
    """Longer than those who wait are left in the dark, and no second one begins meanwhile."""
    begun = prepare_slowly("slow", 100)
    arns = [str(arn) for arn in control_plane.add_backups("orders", 1)]
    start = clock.time()
    assert await statuses(triggers(clock, arns, "slow")) == ["success"]
    assert 100 <= clock.time() - start < 150
    assert begun == {"slow": 1}


@pytest.mark.anyio
async def test_one_that_hangs_gives_up_its_place(
    control_plane: ControlPlane,
    clock: Clock,
    prepare_slowly: Callable[[str, float], Counter[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are prepared after a second, however many hang: they wait, and need no processor."""
    monkeypatch.setattr(client, "PREPARATIONS", 1)
    prepare_slowly("hangs", 99_999)
    arns = [str(arn) for arn in control_plane.add_backups("orders", 6)]
    *hanging, other = triggers(clock, arns, *(f"hangs {number}" for number in range(5)), "other")
    task = asyncio.ensure_future(statuses(hanging))
    await asyncio.sleep(5)
    start = clock.time()
    assert await statuses([other]) == ["success"]
    assert 5 * PREPARING_SECONDS < clock.time() - start < 5 * PREPARING_SECONDS + 10
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.anyio
@pytest.mark.clock_speed(30)  # no simulated time passes while a thread is at work
@pytest.mark.parametrize("of_environment", [False, True])
async def test_a_ca_bundle_on_a_disk_that_hangs_takes_none_of_the_loop_s_threads(
    control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, of_environment: bool
) -> None:
    """They are few, and resolve the names of hosts for all triggers. A pipe that nobody writes hangs alike."""
    os.mkfifo(bundle := tmp_path / "ca.pem")
    if of_environment:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    arn = control_plane.add_backups("orders", 1)[0]
    verify = None if of_environment else str(bundle)
    trigger = DynamoDBBackupTrigger(backup_arn=arn, poll_interval=5, deadline=clock.time() + 60, verify=verify)
    event = await anext(trigger.run())
    hanging = {thread.name for thread in threading.enumerate() if thread.name.startswith("asyncio")}
    await in_thread(partial(bundle.write_bytes, b""))
    assert event.payload["status"] == "timeout"
    assert "No credentials after 30 s" in event.payload["message"]
    assert not hanging


@pytest.mark.anyio
async def test_a_client_that_is_refused_is_opened_later_and_later(
    control_plane: ControlPlane, clock: Clock, prepare_slowly: Callable[[str, float], Counter[str]]
) -> None:
    """At once after the first refusal; STS has limits too."""
    begun = prepare_slowly("", 0)
    control_plane.fail_next("DescribeBackup", Fault(code="UnrecognizedClientException"), times=9999)
    arns = [str(arn) for arn in control_plane.add_backups("orders", 1)]
    assert await statuses(triggers(clock, arns, "refused")) == ["timeout"]
    # 0, 1, 2, 4, 8, 16, 30, … s, and up to 2 s of jitter, after each refused call, for 600 s.
    assert 600 / 37 <= begun["refused"] <= 600 / 30 + 7


class TestOutage:
    """When an outage is logged. No clock."""

    @pytest.fixture
    def outage(self, caplog: pytest.LogCaptureFixture) -> Outage:
        """Return an operation that may fail."""
        caplog.set_level(logging.INFO)
        return Outage("ListBackups")

    def test_one_line_when_it_begins_and_one_when_it_ends(
        self, outage: Outage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not one for each call."""
        outage.succeeded(0)
        for now in (10, 20, 30):
            outage.failed(ThrottledError("too many"), now)
        outage.succeeded(60)
        outage.succeeded(90)
        assert caplog.messages == [
            "ListBackups fails; waits go on until their deadlines. too many",
            "ListBackups succeeds again, after 50 s.",
        ]

    def test_calls_that_fail_and_succeed_in_turns_are_one_outage(
        self, outage: Outage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Beside a neighbour they do so for hours; it is over when none has failed for a while."""
        for now in range(0, 300, 20):
            outage.failed(ThrottledError("too many"), now)
            outage.succeeded(now + 5)
        assert len(caplog.messages) == 1
        outage.succeeded(290)
        outage.succeeded(311)
        assert caplog.messages[1:] == ["ListBackups succeeds again, after 285 s."]

    def test_it_ends_with_its_last_call_if_that_succeeded(
        self, outage: Outage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its poller may end before the outage is known to be over."""
        outage.failed(ThrottledError("too many"), 10)
        outage.end()
        assert len(caplog.messages) == 1
        outage.succeeded(20)
        outage.end()
        outage.end()
        assert caplog.messages[1:] == ["ListBackups succeeds again, after 10 s."]
