"""DynamoDBRestoreTrigger: the wait for a restored table on the triggerer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.triggers.dynamodb import DynamoDBRestoreTrigger
from airflow_ddb_backup.waiting.rate_limited_client import RateLimitedClient
from tests.simulator.faults import (
    THROTTLED,
    Answer,
    Fault,
)
from tests.unit.restoring.support import (
    DENIED,
    NOT_FOUND,
    make_source,
    restore_by_others,
)

if TYPE_CHECKING:
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

ONE_ATTEMPT = {"retries": {"total_max_attempts": 1}}


@pytest.fixture(autouse=True)
def _slow_restores(control_plane: ControlPlane) -> None:
    make_source(control_plane)
    control_plane.restoring_for = 200


@pytest.fixture
def arn(control_plane: ControlPlane) -> str:
    """Back up the table ``source``, and return the ARN."""
    (arn,) = control_plane.add_backups("source", 1)
    return str(arn)


async def event_of(waiting: DynamoDBRestoreTrigger) -> dict[str, Any]:
    """Run a trigger to its end; it has one event."""
    (event,) = [event.payload async for event in waiting.run()]
    payload: dict[str, Any] = event
    return payload


@pytest.mark.anyio
class TestTrigger:
    """The wait on the triggerer."""

    @pytest.fixture
    def restored(self, control_plane: ControlPlane, arn: str) -> str:
        """Restore the backup, which takes 200 s, and return its ARN."""
        restore_by_others(control_plane, arn)
        return arn

    @staticmethod
    def trigger(clock: Clock, arn: str, timeout: float = 600, **kwargs: Any) -> DynamoDBRestoreTrigger:
        """Return a trigger that polls every 30 s."""
        settings: dict[str, Any] = {"table_name": "target", "poll_interval": 30, **kwargs}
        return DynamoDBRestoreTrigger(backup_arn=arn, deadline=clock.time() + timeout, **settings)

    async def test_cancelled_again_and_again_in_a_call_it_closes_its_client(
        self, control_plane: ControlPlane, clock: Clock, restored: str
    ) -> None:
        """Also while it waits for the first time to take effect."""
        control_plane.fail_next("DescribeTable", Fault(Answer.HANGING), times=9)
        task = asyncio.ensure_future(event_of(self.trigger(clock, restored)))
        await asyncio.sleep(9)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        assert task.cancelled()
        await asyncio.sleep(60)
        assert not list(RateLimitedClient._shared.values())  # noqa: SLF001  # nothing is left

    async def test_one_that_is_cancelled_leaves_the_client_to_the_others(
        self, control_plane: ControlPlane, clock: Clock, restored: str
    ) -> None:
        """The last one closes it."""
        waiting = []
        for _ in range(4):
            trigger = self.trigger(clock, restored, region_name="us-east-1")
            waiting.append(asyncio.ensure_future(event_of(trigger)))
            await asyncio.sleep(1)
        await asyncio.sleep(20)
        waiting[0].cancel()
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        events = await asyncio.gather(*waiting[1:])
        assert [event["status"] for event in events] == ["success"] * 3
        assert not list(RateLimitedClient._shared.values())  # noqa: SLF001  # nothing is left

    async def test_a_denied_poll_is_not_called_a_failed_restore(
        self, control_plane: ControlPlane, clock: Clock, restored: str
    ) -> None:
        """The restore goes on in AWS."""
        control_plane.fail_next("DescribeTable", DENIED, times=9)
        event = await event_of(self.trigger(clock, restored))
        assert event["status"] == "error"
        assert "The restore itself may go on" in event["message"]
        assert "The restore has failed" not in event["message"]

    async def test_a_table_that_vanishes_in_an_outage_is_an_error_all_the_same(
        self, control_plane: ControlPlane, clock: Clock, restored: str
    ) -> None:
        """Every other poll is throttled; whatever AWS does answer says that the table is gone."""
        await asyncio.to_thread(control_plane.drop_table, "target")
        for _ in range(18):
            for fault in (NOT_FOUND, THROTTLED):
                control_plane.fail_next("DescribeTable", fault)
        begun = clock.time()
        event = await event_of(self.trigger(clock, restored, timeout=6 * 3600, botocore_config=ONE_ATTEMPT))
        assert event["status"] == "error"
        assert "not found 3 times in a row" in event["message"]
        assert clock.time() - begun < 600
