"""DynamoDBBackupsSensor: many backups that were started elsewhere, in every mode."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest
from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_ddb_backup.exceptions import (
    BackupLostError,
    BackupSensorTimeoutError,
    InvalidValueError,
    OtherRegionError,
    TriggerFailedError,
)
from airflow_ddb_backup.sensors.dynamodb import DynamoDBBackupsSensor
from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupsTrigger
from airflow_ddb_backup.waiting import awaiting
from tests.simulator.faults import INTERNAL_ERROR, THROTTLED, Answer, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.loop import SkippingLoop

COUNT = 30
# Airflow's own sensors sleep by a clock of their own: real seconds between two pokes.
SOON = 0.001
OTHER = "arn:aws:dynamodb:us-east-1:123456789012:table/others/backup/01795422913684-770da1ee"


@pytest.fixture(autouse=True)
def _fast_loop(loop_factory: Callable[[], SkippingLoop]) -> None:
    """Let a trigger's loop skip the time in which nothing happens, as a worker's does."""


@pytest.fixture
def arns(control_plane: ControlPlane) -> list[str]:
    """Create some backups, and return their ARNs, newest first."""
    return [str(arn) for arn in reversed(control_plane.add_backups("orders", COUNT))]


def wait(arns: Any, context: Context, **kwargs: Any) -> Any:
    """Run the sensor to its end, on the triggerer too."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, **kwargs)
    try:
        return task.execute(context)
    except TaskDeferred as deferred:
        return task.resume_execution("execute_complete", {"event": event_of(deferred)}, context)


def event_of(deferred: TaskDeferred) -> Any:
    """Run a trigger to its event."""
    trigger = DynamoDBBackupsTrigger(**deferred.trigger.serialize()[1])

    async def event() -> Any:
        return [event.payload async for event in trigger.run()]

    with asyncio.Runner(loop_factory=awaiting.loop_factory) as runner:
        (payload,) = runner.run(event())
    return payload


DEFERRABLE = pytest.mark.parametrize("deferrable", [True, False])


@DEFERRABLE
def test_it_returns_their_arns_in_their_order(
    control_plane: ControlPlane, context: Context, arns: list[str], deferrable: bool
) -> None:
    """Once all are AVAILABLE; one listing shows them all."""
    control_plane.statuses = dict.fromkeys(arns[:5], "CREATING")

    def end() -> None:
        if control_plane.calls["ListBackups"] > 4:
            control_plane.statuses.clear()
        control_plane.before("ListBackups", end)

    end()
    assert wait(arns, context, deferrable=deferrable, poke_interval=5 if deferrable else SOON) == arns
    assert control_plane.calls["ListBackups"] + control_plane.calls["DescribeBackup"] < COUNT


@DEFERRABLE
def test_all_are_waited_for_before_it_is_judged(
    control_plane: ControlPlane, context: Context, arns: list[str], deferrable: bool
) -> None:
    """Two are lost; the message names them, and the failure is final."""
    control_plane.statuses[arns[3]] = "DELETED"
    control_plane.lose_backup(arns[7])
    with pytest.raises(BackupLostError, match="2 backups are not AVAILABLE") as failure:
        wait(arns, context, deferrable=deferrable)
    assert arns[3] in str(failure.value)
    assert arns[7] in str(failure.value)


@DEFERRABLE
def test_time_is_up(control_plane: ControlPlane, context: Context, arns: list[str], deferrable: bool) -> None:
    """As every sensor's timeout, which Airflow does not retry."""
    control_plane.statuses[arns[3]] = "CREATING"
    with pytest.raises(BackupSensorTimeoutError, match="region 'us-east-1'"):
        wait(arns, context, deferrable=deferrable, timeout=20 if deferrable else SOON, poke_interval=SOON)


@DEFERRABLE
def test_a_soft_failure_skips(control_plane: ControlPlane, context: Context, arns: list[str], deferrable: bool) -> None:
    """In every mode."""
    control_plane.statuses[arns[3]] = "DELETED"
    with pytest.raises(AirflowSkipException):
        wait(arns, context, deferrable=deferrable, soft_fail=True)


def test_a_listing_that_fails_is_replaced(control_plane: ControlPlane, context: Context, arns: list[str]) -> None:
    """Each backup is described, at the rate that AWS allows."""
    control_plane.fail_next("ListBackups", INTERNAL_ERROR, times=99)
    assert len(wait(arns, context)) == COUNT


def test_throttled_polls_end_no_wait(control_plane: ControlPlane, context: Context, arns: list[str]) -> None:
    """The next poke may succeed."""
    for operation in ("ListBackups", "DescribeBackup"):
        control_plane.fail_next(operation, THROTTLED, times=40)
    assert len(wait(arns, context, poke_interval=SOON)) == COUNT


def test_a_few_are_described(control_plane: ControlPlane, context: Context, arns: list[str]) -> None:
    """A listing would take longer."""
    assert len(wait(arns[:2], context)) == 2
    assert control_plane.calls["ListBackups"] == 0


def test_repeated_arns_count_once(control_plane: ControlPlane, context: Context, arns: list[str]) -> None:
    """In the order of their first mention."""
    assert wait([*arns, arns[0]], context) == arns


@DEFERRABLE
def test_the_dict_that_the_operator_for_many_tables_pushes(context: Context, arns: list[str], deferrable: bool) -> None:
    """ARNs by the tables' names."""
    by_table = {f"table-{index}": arn for index, arn in enumerate(arns)}
    assert wait(by_table, context, deferrable=deferrable) == arns


@pytest.mark.parametrize("empty", [[], {}, None], ids=repr)
def test_nothing_to_wait_for_skips_if_asked_to(context: Context, empty: Any) -> None:
    """It fails by default: an upstream task may have pushed nothing by accident."""
    with pytest.raises(InvalidValueError, match="if_empty='skip'"):
        DynamoDBBackupsSensor(task_id="wait", backup_arns=empty)
    with pytest.raises(AirflowSkipException):
        wait(empty, context, if_empty="skip")


@pytest.mark.parametrize("wrong", ["arn", "", ["arn"], {"orders": "arn"}, [None], 5], ids=repr)
def test_wrong_values_are_refused(wrong: Any) -> None:
    """Whatever is to be done with none."""
    with pytest.raises(InvalidValueError, match="backup_arn"):
        DynamoDBBackupsSensor(task_id="wait", backup_arns=wrong, if_empty="skip")


def test_a_string_says_what_to_set(context: Context) -> None:
    """Airflow renders templates to strings by default."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns="{{ arns }}")
    task.backup_arns = "['arn']"
    with pytest.raises(InvalidValueError, match="render_template_as_native_obj"):
        task.execute(context)


def test_backups_of_several_regions_are_refused(context: Context, arns: list[str]) -> None:
    """A call goes to one region."""
    with pytest.raises(OtherRegionError):
        wait([*arns, arns[0].replace("us-east-1", "eu-west-1")], context)


SUCCESS: dict[str, Any] = {"status": "success", "failed": {}, "message": ""}


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"status": "success"},
        {"status": "success", "failed": [1]},
        SUCCESS,
        SUCCESS | {"carry": None},
        SUCCESS | {"carry": {"backup_arns": []}},
        SUCCESS | {"carry": {"backup_arns": ["arn"]}},
    ],
    ids=repr,
)
def test_no_event_but_its_own_is_a_success(context: Context, arns: list[str], event: Any) -> None:
    """Nothing unknown or incomplete."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns)
    with pytest.raises(TriggerFailedError):
        task.resume_execution("execute_complete", {"event": event}, context)


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_poke_polls_each_once(
    control_plane: ControlPlane, context: Context, arns: list[str], mode: Literal["poke", "reschedule"]
) -> None:
    """What is lost must be known within one poke, what is CREATING is left to the next."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, mode=mode, poke_interval=60)
    control_plane.statuses = dict.fromkeys(arns[:5], "CREATING")
    assert not task.poke(context).is_done
    assert control_plane.calls["ListBackups"] == 1
    control_plane.lose_backup(arns[0])
    control_plane.statuses.clear()
    with pytest.raises(BackupLostError, match="1 backups are not AVAILABLE. .*not found 3 times in a row"):
        task.poke(context)


def test_a_poke_asks_no_more_for_what_has_ended(control_plane: ControlPlane, context: Context, arns: list[str]) -> None:
    """As far as this process has seen it."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns)
    control_plane.statuses = {arns[0]: "CREATING"}
    assert not task.poke(context).is_done
    control_plane.calls.clear()
    control_plane.statuses.clear()
    assert task.poke(context).xcom_value == arns
    # The one that is left; a listing would show them all.
    assert control_plane.calls == {"DescribeBackup": 1}


@pytest.mark.load
def test_a_poke_takes_as_long_as_the_rate_needs(control_plane: ControlPlane, clock: Clock, context: Context) -> None:
    """150 backups, and ListBackups denied: each is described, five in a second."""
    arns = [str(arn) for arn in control_plane.add_backups("orders", 150)]
    control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"), times=9999)
    begun = clock.time()
    poked = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, mode="reschedule").poke(context)
    assert (poked.is_done, poked.xcom_value) == (True, arns)
    assert 25 < clock.time() - begun < 60


def test_what_the_triggerer_has_seen_is_not_asked_for_again(
    control_plane: ControlPlane, context: Context, arns: list[str]
) -> None:
    """The event says enough."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns)
    event = {"event": SUCCESS | {"carry": {"backup_arns": arns}}}
    control_plane.calls.clear()
    assert task.resume_execution("execute_complete", event, context) == arns
    assert not control_plane.calls


# What another task may have pushed meanwhile.
RENDERED = pytest.mark.parametrize("rendered", [None, [], {}, "arns", [OTHER]], ids=repr)


@RENDERED
@pytest.mark.parametrize("if_empty", ["fail", "skip"])
def test_what_the_template_renders_to_on_resume_does_not_matter(
    control_plane: ControlPlane,
    context: Context,
    arns: list[str],
    rendered: Any,
    if_empty: Literal["fail", "skip"],
) -> None:
    """What was waited for comes with the event."""
    control_plane.statuses[arns[3]] = "CREATING"
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, deferrable=True, if_empty=if_empty)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    control_plane.statuses.clear()
    event = event_of(deferred.value)
    task.backup_arns = rendered
    assert task.resume_execution("execute_complete", {"event": event}, context) == arns


@RENDERED
def test_no_triggerer_has_answered_and_the_template_renders_to_something_else(
    context: Context, arns: list[str], rendered: Any
) -> None:
    """It is a timeout all the same, and no wrong value."""
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, deferrable=True, if_empty="skip")
    task.backup_arns = rendered
    with pytest.raises(BackupSensorTimeoutError, match="No triggerer has reported"):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, context)


def test_a_rescheduled_sensor_s_timeout_names_what_is_missing(
    control_plane: ControlPlane, context: Context, arns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's own message names no backup, and no reason."""
    control_plane.statuses[arns[3]] = "CREATING"
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, mode="reschedule", poke_interval=60)

    def time_out(_: object, context: Context) -> None:
        assert not task.poke(context).is_done
        message = "Sensor has timed out; run duration of 1800.2 seconds exceeds the specified timeout of 1800.0."
        raise AirflowSensorTimeout(message)

    monkeypatch.setattr(AwsBaseSensor, "execute", time_out)
    with pytest.raises(BackupSensorTimeoutError, match="1 backups are not AVAILABLE") as failure:
        task.execute(context)
    told = str(failure.value)
    assert told.index("table 'orders', region 'us-east-1'. Last status CREATING") < told.index(
        f"For backup '{arns[3]}'"
    )


class TestTimeouts:
    """They hold, and say what is missing."""

    @DEFERRABLE
    def test_hanging_calls_outlive_none(
        self,
        control_plane: ControlPlane,
        clock: Clock,
        context: Context,
        arns: list[str],
        deferrable: bool,
    ) -> None:
        """One look at all backups ends with the sensor's time, and before a deferral too."""
        for operation in ("ListBackups", "DescribeBackup"):
            control_plane.fail_next(operation, Fault(Answer.HANGING), times=9999)
        task = DynamoDBBackupsSensor(
            task_id="wait", backup_arns=arns, deferrable=deferrable, timeout=60, mode="reschedule"
        )
        began = clock.time()
        if deferrable:
            with pytest.raises(TaskDeferred):
                task.execute(context)
        else:
            task.poke(context)
        assert clock.time() - began < 60 + 60

    def test_the_message_names_what_is_missing(
        self, control_plane: ControlPlane, context: Context, arns: list[str]
    ) -> None:
        """While it pokes, as when it is deferred."""
        control_plane.statuses[arns[3]] = "CREATING"
        with pytest.raises(BackupSensorTimeoutError) as failure:
            wait(arns, context, timeout=SOON, poke_interval=SOON)
        assert arns[3] in str(failure.value)

    def test_the_message_names_what_was_lost(
        self, control_plane: ControlPlane, context: Context, arns: list[str]
    ) -> None:
        """Beside one that is still CREATING when time is up."""
        control_plane.statuses |= {arns[3]: "CREATING", arns[4]: "DELETED"}
        with pytest.raises((BackupLostError, BackupSensorTimeoutError)) as failure:
            wait(arns, context, timeout=SOON, poke_interval=SOON)
        assert arns[4] in str(failure.value)


class TestSkips:
    """A sensor that may not fail skips."""

    def test_soft_fail_without_a_triggerer(self, context: Context, arns: list[str]) -> None:
        """Airflow's own limit of the trigger's time is a failure like any other."""
        task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, deferrable=True, soft_fail=True)
        with pytest.raises(AirflowSkipException):
            task.resume_execution("__fail__", {"error": "Trigger timeout"}, context)

    @DEFERRABLE
    def test_never_fail(self, control_plane: ControlPlane, context: Context, arns: list[str], deferrable: bool) -> None:
        """In every mode."""
        control_plane.statuses[arns[3]] = "DELETED"
        with pytest.raises(AirflowSkipException):
            wait(arns, context, deferrable=deferrable, never_fail=True)


def test_the_triggerer_has_time_for_a_last_answer_of_each(
    control_plane: ControlPlane, clock: Clock, context: Context, arns: list[str]
) -> None:
    """At the sensor's interval and until its timeout; Airflow's own limit comes later the more there are."""
    control_plane.statuses[arns[3]] = "CREATING"
    task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, deferrable=True, poke_interval=20, timeout=600)
    begun = clock.time()
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    kwargs = deferred.value.trigger.serialize()[1]
    assert (kwargs["poll_interval"], kwargs["deadline"]) == (20, begun + 600)
    assert deferred.value.timeout == timedelta(seconds=begun + 600 - clock.time() + 60 + (COUNT - 1) / 5)


@pytest.mark.load
class TestListings:
    """They are asked for where they help, and no further than needed."""

    def test_one_page_is_enough(self, control_plane: ControlPlane, context: Context) -> None:
        """It ends where all that are waited for were seen; the other pages are nobody's."""
        control_plane.add_backups("orders", 3000)
        first_page = control_plane.client().list_backups()["BackupSummaries"]
        listings = control_plane.calls["ListBackups"]
        mine = [one["BackupArn"] for one in first_page[:6]]
        assert len(wait(mine, context)) == 6
        assert control_plane.calls["ListBackups"] - listings == 1

    @DEFERRABLE
    def test_thousands_beside_a_neighbour(
        self, control_plane: ControlPlane, context: Context, deferrable: bool
    ) -> None:
        """It takes eight of ten calls a second: all are found AVAILABLE, in one poke too."""
        arns = [str(arn) for arn in control_plane.add_backups("orders", 2500)]
        control_plane.add_neighbour("ListBackups", 8)
        if deferrable:
            assert wait(arns, context, deferrable=True) == arns
        else:
            task = DynamoDBBackupsSensor(task_id="wait", backup_arns=arns, mode="reschedule")
            assert task.poke(context).xcom_value == arns

    def test_thousands_of_backups(self, control_plane: ControlPlane, context: Context) -> None:
        """One trigger waits for them all."""
        arns = [str(arn) for arn in control_plane.add_backups("orders", 2500)]
        assert wait(arns, context, deferrable=True) == arns
