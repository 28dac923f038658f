"""The event loop of the tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.simulator.faults import HANGING_AFTER_COMMIT

if TYPE_CHECKING:
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.anyio


async def test_hours_take_no_time(clock: Clock) -> None:
    """To the second."""
    start = clock.time()
    await asyncio.sleep(7200)
    assert clock.time() - start == pytest.approx(7200, abs=0.01)


async def test_the_time_stands_still_while_a_thread_is_at_work(clock: Clock) -> None:
    """However long it takes."""
    start = clock.time()
    timer = asyncio.ensure_future(asyncio.sleep(1))
    # A busy machine, which is no wait for anything.
    await asyncio.to_thread(lambda: sum(range(3_000_000)))
    assert clock.time() == start
    await timer
    assert clock.time() - start == pytest.approx(1, abs=0.01)


async def test_a_thread_that_sleeps_lets_the_time_pass(clock: Clock) -> None:
    """For as long as it sleeps."""
    start = clock.time()
    await asyncio.gather(asyncio.to_thread(clock.sleep, 60), asyncio.sleep(90))
    assert clock.time() - start == pytest.approx(90, abs=1)


async def test_a_call_that_hangs_comes_to_its_timeout(control_plane: ControlPlane, clock: Clock) -> None:
    """Ten seconds of the package's own, which take no time."""
    from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupTrigger

    control_plane.fail_next("DescribeBackup", HANGING_AFTER_COMMIT)
    (arn,) = control_plane.add_backups("orders", 1)
    start = clock.time()
    waiting = DynamoDBBackupTrigger(backup_arn=arn, poll_interval=5, deadline=start + 600)
    assert [event.payload["status"] async for event in waiting.run()] == ["success"]
    assert 10 < clock.time() - start < 30
