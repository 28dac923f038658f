"""The trigger, on a fast event loop."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupTrigger
from tests.simulator.faults import Fault
from tests.unit.conftest import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

ONE_ATTEMPT = {"retries": {"total_max_attempts": 1}}
pytestmark = pytest.mark.anyio
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"


def trigger(clock: Clock, arn: str = ARN, timeout: float = 600, **kwargs: Any) -> DynamoDBBackupTrigger:
    """Return a trigger that polls every 5 s."""
    return DynamoDBBackupTrigger(backup_arn=arn, poll_interval=5, deadline=clock.time() + timeout, **kwargs)


async def event_of(waiting: DynamoDBBackupTrigger) -> dict[str, Any]:
    """Run a trigger to its end; it has one event."""
    events = [event.payload async for event in waiting.run()]
    assert len(events) == 1
    payload: dict[str, Any] = events[0]
    return payload


async def test_it_goes_through_airflow_s_own_serialization(clock: Clock) -> None:
    """A triggerer builds the trigger anew from what the database holds."""
    # In a thread: Airflow reads files when it is imported.
    models = await asyncio.to_thread(import_module, "airflow.models.trigger")
    before = trigger(clock, **SETTINGS)
    row = await asyncio.to_thread(models.Trigger.from_object, before)
    after = DynamoDBBackupTrigger(**await asyncio.to_thread(lambda: row.kwargs))
    assert row.classpath == "airflow_ddb_backup.triggers.dynamodb.DynamoDBBackupTrigger"
    assert after.serialize() == before.serialize()


async def test_all_and_only_its_arguments_are_serialized(clock: Clock) -> None:
    """A value that is not serialized is lost in a restart."""
    assert set(trigger(clock).serialize()[1]) == {"backup_arn", "poll_interval", "deadline", *SETTINGS}


async def test_kwargs_that_an_older_version_serialized_still_run(
    control_plane: ControlPlane, clock: Clock, backup_arn: str
) -> None:
    """Triggers live on in Airflow's database while the package is upgraded: these are version 0.1.0's."""
    kwargs: dict[str, Any] = {
        "backup_arn": backup_arn,
        "poll_interval": 5,
        "deadline": clock.time() + 600,
        "aws_conn_id": "aws_default",
        "region_name": None,
        "verify": None,
        "botocore_config": None,
    }
    assert (await event_of(DynamoDBBackupTrigger(**kwargs)))["status"] == "success"


async def test_an_available_backup_is_a_success_but_not_in_the_first_seven_seconds(
    control_plane: ControlPlane, clock: Clock, backup_arn: str
) -> None:
    """An earlier event makes Airflow fail the task."""
    start = clock.time()
    event = await event_of(trigger(clock, backup_arn))
    assert clock.time() - start >= 7
    assert event["status"] == "success"
    assert (event["backup"]["backup_arn"], event["backup"]["status"]) == (backup_arn, "AVAILABLE")


async def test_it_waits_until_the_backup_is_available(
    control_plane: ControlPlane, clock: Clock, backup_arn: str, log: Callable[[], str]
) -> None:
    """Every 30 s there is a line with status and elapsed time."""
    control_plane.creating_for = 70
    event = await event_of(trigger(clock, backup_arn))
    assert event["status"] == "success"
    lines = {line.rpartition("status CREATING, ")[2] for line in log().splitlines() if "status CREATING" in line}
    assert len(lines) == 2


async def test_time_is_up_at_the_deadline_whenever_it_started(
    control_plane: ControlPlane, clock: Clock, backup_arn: str
) -> None:
    """A restarted triggerer gives no more time."""
    control_plane.creating_for = 9999
    event = await event_of(trigger(clock, backup_arn, timeout=-60))
    assert event["status"] == "timeout"
    assert f"backup '{backup_arn}', region 'us-east-1'. Last status CREATING" in event["message"]


async def test_a_lost_backup_is_an_error(control_plane: ControlPlane, clock: Clock) -> None:
    """It was polled three times."""
    event = await event_of(trigger(clock))
    assert event["status"] == "error"
    assert "not found 3 times in a row" in event["message"]
    assert event["backup"]["backup_arn"] == ARN
    assert control_plane.calls["DescribeBackup"] == 3


async def test_a_deleted_backup_is_an_error(control_plane: ControlPlane, clock: Clock, backup_arn: str) -> None:
    """The details show its status."""
    control_plane.statuses[backup_arn] = "DELETED"
    event = await event_of(trigger(clock, backup_arn))
    assert (event["status"], event["backup"]["status"]) == ("error", "DELETED")


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException"])
async def test_what_never_passes_is_an_error_at_once(
    control_plane: ControlPlane, clock: Clock, backup_arn: str, code: str
) -> None:
    """AWS's reason is in the message."""
    control_plane.fail_next("DescribeBackup", Fault(code=code), times=9)
    event = await event_of(trigger(clock, backup_arn))
    assert event["status"] == "error"
    assert code in event["message"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("InternalServerError", 500),
        ("ExpiredTokenException", 400),
        ("BackupNotFoundException", 400),
    ],
)
async def test_what_may_pass_is_waited_out(
    control_plane: ControlPlane, clock: Clock, backup_arn: str, code: str, status: int
) -> None:
    """The next poll may succeed."""
    control_plane.fail_next("DescribeBackup", Fault(code=code, status=status), times=2)
    event = await event_of(trigger(clock, backup_arn, botocore_config=ONE_ATTEMPT))
    assert (event["status"], control_plane.calls["DescribeBackup"]) == ("success", 3)


async def test_an_endpoint_that_is_not_there_is_waited_for(
    control_plane: ControlPlane, clock: Clock, backup_arn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the deadline, whose message has the trouble."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection().replace(control_plane.url, "http://127.0.0.1:1")
    )
    event = await event_of(trigger(clock, backup_arn, timeout=12, botocore_config=ONE_ATTEMPT))
    assert event["status"] == "timeout"
    assert "AWS can't be reached" in event["message"]


async def test_cancelled_it_stops_watching_and_deletes_nothing(
    control_plane: ControlPlane, clock: Clock, backup_arn: str
) -> None:
    """A cleared or killed task leaves its backup alone."""
    control_plane.creating_for = 9999
    task = asyncio.ensure_future(event_of(trigger(clock, backup_arn)))
    while not control_plane.calls["DescribeBackup"]:  # noqa: ASYNC110  # the control plane is in another thread
        await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert control_plane.backup_arns() == [backup_arn]
    assert control_plane.calls["DeleteBackup"] == 0
