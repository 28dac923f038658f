"""The trigger, on a fast event loop."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import asdict
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.clock import Clock as PackageClock
from airflow_ddb_backup.limits import LARGEST_CLOCK_ERROR, LONGEST_WAIT
from airflow_ddb_backup.models import BackupArn, RestoreSource
from airflow_ddb_backup.triggers.dynamodb import (
    DynamoDBBackupsTrigger,
    DynamoDBBackupTrigger,
    DynamoDBFreshBackupTrigger,
    DynamoDBRestoreTrigger,
)
from airflow_ddb_backup.waiting.fresh_state import FreshRequest
from airflow_ddb_backup.waiting.poller import BackupPoller
from tests.simulator.faults import THROTTLED, Answer, Fault
from tests.unit.conftest import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.triggers.base import BaseTrigger

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

DENIED = Fault(code="AccessDeniedException")
NOT_FOUND = Fault(code="ResourceNotFoundException")
ONE_ATTEMPT = {"retries": {"total_max_attempts": 1}}
pytestmark = pytest.mark.anyio
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"


def source_of(arn: str) -> dict[str, Any]:
    """Return a backup as what a table is restored from, as it is serialized."""
    return asdict(RestoreSource.of_backup(BackupArn.parse(arn)))


def trigger(clock: Clock, arn: str = ARN, timeout: float = 600, **kwargs: Any) -> DynamoDBBackupTrigger:
    """Return a trigger that polls every 5 s."""
    return DynamoDBBackupTrigger(backup_arn=arn, poll_interval=5, deadline=clock.time() + timeout, **kwargs)


async def event_of(waiting: BaseTrigger) -> dict[str, Any]:
    """Run a trigger to its end; it has one event."""
    events = [event.payload async for event in waiting.run()]
    assert len(events) == 1
    payload: dict[str, Any] = events[0]
    return payload


async def test_it_goes_through_airflow_s_own_serialization(clock: Clock) -> None:
    """A triggerer builds the trigger from what the database holds."""
    # In a thread: Airflow reads files when it is imported.
    models = await asyncio.to_thread(import_module, "airflow.models.trigger")
    before = trigger(clock, **SETTINGS)
    row = await asyncio.to_thread(models.Trigger.from_object, before)
    after = DynamoDBBackupTrigger(**await asyncio.to_thread(lambda: row.kwargs))
    assert row.classpath == "airflow_ddb_backup.triggers.dynamodb.DynamoDBBackupTrigger"
    assert after.serialize() == before.serialize()


async def test_all_and_only_its_arguments_are_serialized(clock: Clock) -> None:
    """A value that is not serialized is lost in a restart."""
    own = {"backup_arn", "poll_interval", "deadline", "connection_found", "carry"}
    assert set(trigger(clock).serialize()[1]) == own | set(SETTINGS)


async def test_a_default_connection_that_the_worker_has_found_is_waited_for(
    control_plane: ControlPlane, clock: Clock, backup_arn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its secrets backend is down, the triggerer's own credentials may be another account's."""
    connection = os.environ["AIRFLOW_CONN_AWS_DEFAULT"]
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    monkeypatch.setenv("AWS_ENDPOINT_URL", control_plane.url)
    for name, value in (await asyncio.to_thread(control_plane.role_keys, "210987654321")).items():
        monkeypatch.setenv(name.upper(), value)
    control_plane.calls.clear()
    waiting = asyncio.ensure_future(event_of(trigger(clock, backup_arn, connection_found=True)))
    await asyncio.sleep(60)
    assert not control_plane.calls
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection)
    assert (await waiting)["status"] == "success"


async def test_the_longest_wait_of_a_worker_whose_clock_is_ahead(
    control_plane: ControlPlane, clock: Clock, backup_arn: str
) -> None:
    """Its deadline seems further away than any."""
    timeout = LONGEST_WAIT + LARGEST_CLOCK_ERROR
    assert (await event_of(trigger(clock, backup_arn, timeout=timeout)))["status"] == "success"


async def test_its_text_shows_no_secret(clock: Clock) -> None:
    """Airflow logs it."""
    text = repr(trigger(clock, botocore_config={"proxies": {"https": "http://shop:hunter2@proxy"}}))
    assert "hunter2" not in text
    assert f"DynamoDBBackupTrigger poll_interval=5, deadline={clock.time() + 600}" in text
    assert "botocore_config=['proxies']" in text


async def test_the_event_returns_what_it_carries(control_plane: ControlPlane, clock: Clock, backup_arn: str) -> None:
    """As it is: what the worker has decided is not decided again."""
    carried = {"try_number": 2, "nested": [{"a": None}]}
    assert (await event_of(trigger(clock, backup_arn, carry=carried)))["carry"] == carried


@pytest.mark.parametrize("step", [3600, -3600])
async def test_a_wall_clock_that_is_set_moves_no_wait(
    control_plane: ControlPlane, clock: Clock, backup_arn: str, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """Only the deadline is wall time, and it is read when the trigger starts."""
    control_plane.creating_for = 9999
    begun = clock.monotonic()
    waiting = asyncio.ensure_future(event_of(trigger(clock, backup_arn, timeout=100)))
    await asyncio.sleep(20)
    stepped = SimpleNamespace(time=lambda: clock.time() + step, monotonic=clock.monotonic, sleep=clock.sleep)
    monkeypatch.setattr(PackageClock, "source", stepped)
    assert (await waiting)["status"] == "timeout"
    assert 100 <= clock.monotonic() - begun < 110
    # 7 s after the start, each 5 s, and when time is up.
    assert 19 <= control_plane.calls["DescribeBackup"] <= 21


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
    lines = {line.rpartition("Status CREATING, ")[2] for line in log().splitlines() if "Status CREATING" in line}
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
    ("code", "status", "calls"),
    [
        # Another describe is taken to cost more than a page.
        ("ThrottlingException", 400, (1, 1)),
        ("InternalServerError", 500, (3, 0)),
        ("ExpiredTokenException", 400, (3, 0)),
        ("BackupNotFoundException", 400, (3, 0)),
    ],
)
async def test_what_may_pass_is_waited_out(
    control_plane: ControlPlane, clock: Clock, backup_arn: str, code: str, status: int, calls: tuple[int, int]
) -> None:
    """The next poll may succeed."""
    control_plane.fail_next("DescribeBackup", Fault(code=code, status=status), times=2)
    event = await event_of(trigger(clock, backup_arn, botocore_config=ONE_ATTEMPT))
    assert event["status"] == "success"
    assert (control_plane.calls["DescribeBackup"], control_plane.calls["ListBackups"]) == calls


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


class TestConnection:
    """A connection that is not found is waited for; the triggerer's own credentials are another account's."""

    @pytest.fixture(autouse=True)
    def _own_credentials(self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, backup_arn: str) -> None:
        control_plane.client().restore_table_from_backup(TargetTableName="restored", BackupArn=backup_arn)
        monkeypatch.setenv("AWS_ENDPOINT_URL", control_plane.url)
        for name, value in control_plane.role_keys("210987654321").items():
            monkeypatch.setenv(name.upper(), value)
        control_plane.calls.clear()

    @staticmethod
    def trigger(kind: str, arn: str, deadline: float) -> Any:
        """Return a trigger of a kind."""
        settings: dict[str, Any] = {"poll_interval": 5, "deadline": deadline, "aws_conn_id": "shop"}
        if kind == "many":
            return DynamoDBBackupsTrigger(backup_arns=[arn], **settings)
        if kind == "restore":
            return DynamoDBRestoreTrigger(source=source_of(arn), table_name="restored", **settings)
        return DynamoDBBackupTrigger(backup_arn=arn, **settings)

    @pytest.mark.parametrize("kind", ["one", "many", "restore"])
    async def test_one_that_comes_back(
        self, control_plane: ControlPlane, clock: Clock, backup_arn: str, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        """Nothing is asked of anybody until then."""
        waiting = asyncio.ensure_future(event_of(self.trigger(kind, backup_arn, clock.time() + 600)))
        await asyncio.sleep(120)
        assert not control_plane.calls
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", control_plane.connection())
        assert (await waiting)["status"] == "success"

    async def test_one_that_never_does(self, control_plane: ControlPlane, clock: Clock, backup_arn: str) -> None:
        """The message of the timeout says so, and not that the backup was not found."""
        event = await event_of(self.trigger("one", backup_arn, clock.time() + 60))
        assert event["status"] == "timeout"
        assert "The Airflow connection is not found" in event["message"]
        assert not control_plane.calls


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


class TestRestore:
    """The trigger that waits for a restored table."""

    @pytest.fixture
    def arn(self, control_plane: ControlPlane, backup_arn: str) -> str:
        """Restore a backup, which takes 200 s."""
        control_plane.restoring_for = 200
        control_plane.client().restore_table_from_backup(TargetTableName="restored", BackupArn=backup_arn)
        return backup_arn

    @staticmethod
    def trigger(clock: Clock, arn: str, timeout: float = 600, **kwargs: Any) -> DynamoDBRestoreTrigger:
        """Return a trigger that polls every 30 s."""
        settings: dict[str, Any] = {"table_name": "restored", "poll_interval": 30, **kwargs}
        return DynamoDBRestoreTrigger(source=source_of(arn), deadline=clock.time() + timeout, **settings)

    async def test_it_goes_through_airflow_s_own_serialization(self, clock: Clock) -> None:
        """With the settings that the worker has read."""
        models = await asyncio.to_thread(import_module, "airflow.models.trigger")
        before = self.trigger(clock, ARN, carry={"settings": {"values": {"tags": {"team": "shop"}}}}, **SETTINGS)
        row = await asyncio.to_thread(models.Trigger.from_object, before)
        after = DynamoDBRestoreTrigger(**await asyncio.to_thread(lambda: row.kwargs))
        assert row.classpath == "airflow_ddb_backup.triggers.dynamodb.DynamoDBRestoreTrigger"
        assert after.serialize() == before.serialize()

    async def test_it_waits_until_the_table_is_complete(
        self, control_plane: ControlPlane, clock: Clock, arn: str, log: Callable[[], str]
    ) -> None:
        """Every 30 s there is a line; the settings come back with the event."""
        begun = clock.time()
        event = await event_of(self.trigger(clock, arn, carry={"settings": {"arn": ARN, "values": {}}}))
        assert 200 <= clock.time() - begun < 240
        assert event == {
            "status": "success",
            "table_arn": "arn:aws:dynamodb:us-east-1:123456789012:table/restored",
            "message": "Table arn:aws:dynamodb:us-east-1:123456789012:table/restored is restored.",
            "carry": {"settings": {"arn": ARN, "values": {}}},
        }
        lines = [line for line in log().splitlines() if "after it was started. Restore of table restored" in line]
        assert 6 <= len(lines) <= 7

    async def test_a_complete_table_fires_no_event_in_the_first_seven_seconds(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """An earlier event makes Airflow fail the task."""
        await asyncio.sleep(300)
        begun = clock.time()
        assert (await event_of(self.trigger(clock, arn, poll_interval=0.5)))["status"] == "success"
        assert clock.time() - begun >= 7

    async def test_time_is_up_at_the_deadline_whenever_it_started(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """A restarted triggerer gives no more time."""
        event = await event_of(self.trigger(clock, arn, timeout=-60))
        assert event["status"] == "timeout"
        assert f"table 'restored', backup '{arn}', region 'us-east-1'. Last status CREATING" in event["message"]

    async def test_a_call_that_hangs_outlives_no_deadline(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """By more than half a minute."""
        control_plane.fail_next("DescribeTable", Fault(Answer.HANGING), times=99)
        begun = clock.time()
        assert (await event_of(self.trigger(clock, arn, timeout=60)))["status"] == "timeout"
        assert clock.time() - begun <= 91

    async def test_a_table_that_vanishes_is_an_error(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """Within three polls."""
        control_plane.drop_table("restored")
        begun = clock.time()
        event = await event_of(self.trigger(clock, arn))
        assert event["status"] == "error"
        assert "not found 3 times in a row" in event["message"]
        assert clock.time() - begun < 100

    @pytest.mark.parametrize("poll_interval", [1, 30])
    async def test_a_table_that_is_not_known_everywhere_yet(
        self, control_plane: ControlPlane, clock: Clock, arn: str, poll_interval: float
    ) -> None:
        """DescribeTable is eventually consistent."""
        times = 2 if poll_interval > 5 else 6
        control_plane.fail_next("DescribeTable", Fault(code="ResourceNotFoundException"), times=times)
        assert (await event_of(self.trigger(clock, arn, poll_interval=poll_interval)))["status"] == "success"

    @pytest.mark.parametrize(
        "fault", [Fault(code="ThrottlingException"), Fault(code="InternalServerError", status=500)], ids=repr
    )
    async def test_what_may_pass_is_waited_out(
        self, control_plane: ControlPlane, clock: Clock, arn: str, fault: Fault, log: Callable[[], str]
    ) -> None:
        """One line when it begins, and one when it ends."""
        control_plane.fail_next("DescribeTable", fault, times=3)
        assert (await event_of(self.trigger(clock, arn)))["status"] == "success"
        lines = log()
        assert (
            lines.count("DescribeTable in us-east-1 fails")
            == lines.count("DescribeTable in us-east-1 succeeds again")
            == 1
        )

    async def test_it_shares_the_poller_of_backups(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """Whoever ends first leaves it to the other, and the last ends it."""
        control_plane.creating_for = 9999
        waiting = [
            asyncio.ensure_future(event_of(one))
            for one in (trigger(clock, arn, region_name="us-east-1"), self.trigger(clock, arn, region_name="us-east-1"))
        ]
        await asyncio.sleep(30)
        assert len(BackupPoller._running) == 1  # noqa: SLF001  # one for both
        assert (await waiting[1])["status"] == "success"
        assert len(BackupPoller._running) == 1  # noqa: SLF001  # as above
        control_plane.creating_for = 0
        assert (await waiting[0])["status"] == "success"
        assert not BackupPoller._running  # noqa: SLF001  # nothing is left

    async def test_cancelled_it_stops_polling_and_deletes_nothing(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """A cleared or killed task leaves its table alone."""
        task = asyncio.ensure_future(event_of(self.trigger(clock, arn)))
        await asyncio.sleep(45)
        calls = control_plane.calls["DescribeTable"]
        assert calls
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(300)
        assert control_plane.calls["DescribeTable"] == calls
        assert not BackupPoller._running  # noqa: SLF001  # nothing is left
        assert "restored" in await asyncio.to_thread(lambda: control_plane.client().list_tables()["TableNames"])

    async def test_cancelled_again_and_again_in_a_call_it_closes_its_client(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """Also while it waits for the first time to take effect."""
        control_plane.fail_next("DescribeTable", Fault(Answer.HANGING), times=9)
        task = asyncio.ensure_future(event_of(self.trigger(clock, arn)))
        await asyncio.sleep(9)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        assert task.cancelled()
        await asyncio.sleep(60)
        assert not BackupPoller._running  # noqa: SLF001  # nothing is left

    async def test_one_that_is_cancelled_leaves_the_client_to_the_others(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """The last one closes it."""
        waiting = []
        for _ in range(4):
            trigger = self.trigger(clock, arn, region_name="us-east-1")
            waiting.append(asyncio.ensure_future(event_of(trigger)))
            await asyncio.sleep(1)
        await asyncio.sleep(20)
        waiting[0].cancel()
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        events = await asyncio.gather(*waiting[1:])
        assert [event["status"] for event in events] == ["success"] * 3
        assert not BackupPoller._running  # noqa: SLF001  # nothing is left

    async def test_a_denied_poll_is_not_called_a_failed_restore(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """The restore goes on in AWS."""
        control_plane.fail_next("DescribeTable", DENIED, times=9)
        event = await event_of(self.trigger(clock, arn))
        assert event["status"] == "error"
        assert "The restore itself may go on" in event["message"]
        assert "The table was not found" not in event["message"]

    async def test_a_table_that_vanishes_in_an_outage_is_an_error_all_the_same(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """Every other poll is throttled; whatever AWS does answer says that the table is gone."""
        await asyncio.to_thread(control_plane.drop_table, "restored")
        for _ in range(18):
            for fault in (NOT_FOUND, THROTTLED):
                control_plane.fail_next("DescribeTable", fault)
        begun = clock.time()
        event = await event_of(self.trigger(clock, arn, timeout=6 * 3600, botocore_config=ONE_ATTEMPT))
        assert event["status"] == "error"
        assert "not found 3 times in a row" in event["message"]
        assert clock.time() - begun < 600


class TestMany:
    """The trigger that waits for many backups."""

    @staticmethod
    def trigger(clock: Clock, arns: list[str], timeout: float = 600, **kwargs: Any) -> DynamoDBBackupsTrigger:
        """Return a trigger that polls every 5 s."""
        settings: dict[str, Any] = {"poll_interval": 5, **kwargs}
        return DynamoDBBackupsTrigger(backup_arns=arns, deadline=clock.time() + timeout, **settings)

    async def test_it_goes_through_airflow_s_own_serialization(self, clock: Clock) -> None:
        """With what the worker knows already."""
        models = await asyncio.to_thread(import_module, "airflow.models.trigger")
        before = self.trigger(clock, [ARN], carry={"report": {"failed": {}, "skipped": {"orders": "gone"}}}, **SETTINGS)
        row = await asyncio.to_thread(models.Trigger.from_object, before)
        after = DynamoDBBackupsTrigger(**await asyncio.to_thread(lambda: row.kwargs))
        assert row.classpath == "airflow_ddb_backup.triggers.dynamodb.DynamoDBBackupsTrigger"
        assert after.serialize() == before.serialize()

    async def test_what_was_deferred_before_the_first_release_is_taken(self, clock: Clock) -> None:
        """The report that was to come back with the event had a name of its own."""
        stored: dict[str, Any] = {
            "backup_arns": [ARN],
            "poll_interval": 5,
            "deadline": clock.time(),
            "report": {"failed": {}},
        }
        assert DynamoDBBackupsTrigger(**stored).serialize()[1]["carry"] == {"failed": {}}

    async def test_its_event_names_only_what_failed(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Lost, or not AVAILABLE in time; the others are not in it."""
        arns = [str(arn) for arn in control_plane.add_backups("orders", 200)]
        control_plane.statuses = {arns[7]: "DELETED", arns[9]: "CREATING"}
        event = await event_of(self.trigger(clock, arns, timeout=60, carry={"failed": {}}))
        assert (event["status"], event["carry"]) == ("error", {"failed": {}})
        assert {arn: one["status"] for arn, one in event["failed"].items()} == {arns[7]: "error", arns[9]: "timeout"}
        assert control_plane.calls["ListBackups"] + control_plane.calls["DescribeBackup"] < 100

    async def test_success_has_no_failures(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Not before Airflow can take it."""
        begun, arns = clock.time(), [str(arn) for arn in control_plane.add_backups("orders", 20)]
        event = await event_of(self.trigger(clock, arns, poll_interval=0.5))
        assert (event["status"], event["failed"]) == ("success", {})
        assert clock.time() - begun >= 7

    async def test_one_line_tells_the_progress_of_all(
        self, control_plane: ControlPlane, clock: Clock, log: Callable[[], str]
    ) -> None:
        """Every 30 s, and one for each that fails."""
        arns = [str(arn) for arn in control_plane.add_backups("orders", 50)]
        control_plane.statuses = dict.fromkeys(arns[:2], "CREATING") | {arns[3]: "DELETED"}
        await event_of(self.trigger(clock, arns, timeout=70))
        lines = log()
        assert lines.count("50 backups: 47 AVAILABLE, 2 waiting, 1 failed") == 2
        assert lines.count("50 backups: 47 AVAILABLE, 0 waiting, 3 failed") == 1
        assert lines.count("It was deleted") == 1

    async def test_time_is_up_at_the_deadline_whenever_it_started(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """A restarted triggerer gives no more time."""
        control_plane.creating_for = 9999
        arns = [str(arn) for arn in control_plane.add_backups("orders", 20)]
        event = await event_of(self.trigger(clock, arns, timeout=-60))
        assert (event["status"], len(event["failed"])) == ("timeout", 20)

    @pytest.mark.load
    async def test_each_has_a_last_answer_at_the_rate_that_there_is(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """300 backups, on a triggerer that was away until after their deadline, and ListBackups denied."""
        arns = [str(arn) for arn in control_plane.add_backups("orders", 300, age=3600)]
        control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"), times=9999)
        event = await event_of(self.trigger(clock, arns, timeout=-60))
        assert (event["status"], event["failed"]) == ("success", {})

    async def test_cancelled_it_leaves_nothing(self, control_plane: ControlPlane, clock: Clock) -> None:
        """No client, no call, and the backups as they are."""
        control_plane.creating_for = 9999
        arns = [str(arn) for arn in control_plane.add_backups("orders", 20)]
        task = asyncio.ensure_future(event_of(self.trigger(clock, arns)))
        await asyncio.sleep(45)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        calls = control_plane.calls.total()
        await asyncio.sleep(300)
        assert control_plane.calls.total() == calls
        assert not BackupPoller._running  # noqa: SLF001  # nothing is left
        assert len(control_plane.backup_arns()) == 20


class TestFresh:
    """The trigger that waits for a fresh backup."""

    @staticmethod
    def trigger(clock: Clock, timeout: float = 600, **kwargs: Any) -> DynamoDBFreshBackupTrigger:
        """Return a trigger that polls every 60 s."""
        settings: dict[str, Any] = {
            "table_name": "orders",
            "max_age": 7200.0,
            "backup_name_prefix": None,
            "account": "123456789012",
            "region_name": "us-east-1",
            "poll_interval": 60,
            **kwargs,
        }
        return DynamoDBFreshBackupTrigger(deadline=clock.time() + timeout, **settings)

    async def test_it_goes_through_airflow_s_own_serialization(self, clock: Clock) -> None:
        """With all of its arguments."""
        models = await asyncio.to_thread(import_module, "airflow.models.trigger")
        before = self.trigger(clock, backup_name_prefix="nightly-", **SETTINGS)
        row = await asyncio.to_thread(models.Trigger.from_object, before)
        after = DynamoDBFreshBackupTrigger(**await asyncio.to_thread(lambda: row.kwargs))
        assert row.classpath == "airflow_ddb_backup.triggers.dynamodb.DynamoDBFreshBackupTrigger"
        assert after.serialize() == before.serialize()

    async def test_it_waits_for_the_first_that_counts(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Not for another name's, nor for one that is CREATING; and not before Airflow can take it."""
        control_plane.add_backups("orders", 1, "weekly-1", age=60)
        waiting = asyncio.ensure_future(event_of(self.trigger(clock, backup_name_prefix="nightly-")))
        await asyncio.sleep(100)
        control_plane.creating_for = 90
        (arn,) = await asyncio.to_thread(control_plane.add_backups, "orders", 1, "nightly-1")
        made = clock.time()
        event = await waiting
        assert (event["status"], event["backup"]["backup_arn"]) == ("success", arn)
        assert 90 <= clock.time() - made <= 90 + 60 + 1

    async def test_its_first_poll_comes_a_poll_interval_after_the_worker_s(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """Whose answer is no older: hundreds that are deferred together would take minutes of the rate for nothing."""
        waiting = asyncio.ensure_future(event_of(self.trigger(clock)))
        await asyncio.sleep(59)
        assert not control_plane.calls
        await asyncio.sleep(2)
        assert dict(control_plane.calls) == {"DescribeTable": 1, "ListBackups": 1}
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def test_an_event_is_held_back(self, control_plane: ControlPlane, clock: Clock) -> None:
        """An earlier one makes Airflow fail the task."""
        control_plane.add_backups("orders", 1, age=60)
        begun = clock.time()
        assert (await event_of(self.trigger(clock, poll_interval=0.5)))["status"] == "success"
        assert clock.time() - begun >= 7

    async def test_time_is_up_at_the_deadline_whenever_it_started(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """A restarted triggerer gives no more time."""
        event = await event_of(self.trigger(clock, timeout=-60))
        assert event["status"] == "timeout"
        assert "table 'orders', region 'us-east-1'. Last no backup of the last 2 h 0 min counts" in event["message"]

    @pytest.mark.parametrize("operation", ["DescribeTable", "ListBackups"])
    @pytest.mark.parametrize("fault", [THROTTLED, Fault(code="InternalServerError", status=500)], ids=repr)
    async def test_what_may_pass_is_waited_out(
        self, control_plane: ControlPlane, clock: Clock, operation: str, fault: Fault
    ) -> None:
        """However often."""
        control_plane.add_backups("orders", 1, age=60)
        control_plane.fail_next(operation, fault, times=4)
        assert (await event_of(self.trigger(clock, botocore_config=ONE_ATTEMPT)))["status"] == "success"

    @pytest.mark.parametrize("operation", ["DescribeTable", "ListBackups"])
    async def test_the_log_names_the_call_that_fails(
        self, control_plane: ControlPlane, clock: Clock, operation: str, log: Callable[[], str]
    ) -> None:
        """Of the two that a poll has."""
        control_plane.add_backups("orders", 1, age=60)
        control_plane.fail_next(operation, Fault(code="InternalServerError", status=500), times=2)
        await event_of(self.trigger(clock))
        begun = re.findall(r"(\w+) in us-east-1 fails;", log())
        assert begun == [operation]

    async def test_a_table_that_is_being_deleted_ends_it(self, control_plane: ControlPlane, clock: Clock) -> None:
        """As one that is gone does, whatever backups it has: nothing can be rewritten there."""
        control_plane.add_backups("orders", 1, age=60)
        control_plane.statuses["orders"] = "DELETING"
        event = await event_of(self.trigger(clock))
        assert event["status"] == "error"
        assert "was not found 3 times in a row: The table does not exist: table 'orders'" in event["message"]
        assert "It is DELETING." in event["message"]

    async def test_one_that_is_made_again_does_not(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Soon enough: the new table's backup counts."""
        control_plane.add_backups("orders", 1, age=60)
        control_plane.statuses["orders"] = "DELETING"
        waiting = asyncio.ensure_future(event_of(self.trigger(clock)))
        await asyncio.sleep(100)
        del control_plane.statuses["orders"]
        await asyncio.to_thread(control_plane.drop_table, "orders")
        await asyncio.to_thread(control_plane.create_table, "orders")
        (arn,) = await asyncio.to_thread(control_plane.add_backups, "orders", 1)
        event = await waiting
        assert (event["status"], event["backup"]["backup_arn"]) == ("success", arn)

    async def test_a_denied_poll_ends_it(self, control_plane: ControlPlane, clock: Clock) -> None:
        """With the permission."""
        control_plane.fail_next("ListBackups", DENIED)
        event = await event_of(self.trigger(clock))
        assert (event["status"], event["backup"]) == ("error", None)
        assert "Grant dynamodb:ListBackups on '*'" in event["message"]

    async def test_the_longest_age_is_taken(self, control_plane: ControlPlane, clock: Clock) -> None:
        """As on a worker it means any backup."""
        control_plane.add_backups("orders", 1, age=1000 * 86400)
        longest = FreshRequest("orders", timedelta.max).max_age.total_seconds()
        assert (await event_of(self.trigger(clock, max_age=longest)))["status"] == "success"

    async def test_another_account_s_table_is_not_taken(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The connection may have changed since the worker called it."""
        control_plane.add_backups("orders", 1, age=60)
        event = await event_of(self.trigger(clock, account="210987654321"))
        assert event["status"] == "error"

    async def test_a_cursor_whose_backup_was_deleted_does_not_end_it(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """The next poll begins anew."""
        control_plane.add_backups("orders", 250, age=60)
        refused = Fault(code="ValidationException")
        control_plane.before("ListBackups", lambda: control_plane.fail_next("ListBackups", refused))
        assert (await event_of(self.trigger(clock)))["status"] == "success"
        assert control_plane.calls["ListBackups"] == 2 + 3

    async def test_waits_for_one_table_share_their_polls(self, control_plane: ControlPlane, clock: Clock) -> None:
        """And the poller of other waits, which ends with the last."""
        control_plane.creating_for = 200
        (arn,) = control_plane.add_backups("orders", 1)
        waiting = [
            self.trigger(clock, backup_name_prefix=prefix) for prefix in (None, "oth", "other") for _ in range(9)
        ]
        events = [asyncio.ensure_future(event_of(one)) for one in waiting]
        other = asyncio.ensure_future(event_of(trigger(clock, arn, region_name="us-east-1")))
        await asyncio.sleep(100)
        assert len(BackupPoller._running) == 1  # noqa: SLF001  # one for all
        assert {event["status"] for event in await asyncio.gather(*events, other)} == {"success"}
        assert control_plane.calls["DescribeTable"] <= 6
        assert not BackupPoller._running  # noqa: SLF001  # nothing is left

    @pytest.mark.load
    async def test_hundreds_are_told_within_the_rate(self, control_plane: ControlPlane, clock: Clock) -> None:
        """300 tables, each told within two pokes and the time that 2.5 calls a second need; nothing is throttled."""
        tables = [f"table-{number:03}" for number in range(300)]
        for table in tables:
            await asyncio.to_thread(control_plane.create_table, table)
        told: dict[str, float] = {}

        async def wait(table: str) -> None:
            event = await event_of(self.trigger(clock, timeout=3600, table_name=table))
            assert event["backup"]["table_name"] == table
            told[table] = clock.time()

        waiting = [asyncio.ensure_future(wait(table)) for table in tables]
        await asyncio.sleep(150)
        assert not told
        made: dict[str, float] = {}
        for table in tables:
            await asyncio.to_thread(control_plane.add_backups, table, 1)
            made[table] = clock.time()
        await asyncio.gather(*waiting)
        latest = max(told[table] - made[table] for table in tables)
        assert latest <= 2 * 60 + 300 / 2.5
        assert control_plane.throttled.total() == 0
        assert not BackupPoller._running  # noqa: SLF001  # nothing is left
