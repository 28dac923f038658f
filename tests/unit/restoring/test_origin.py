"""Restores to a point in time: which times can be restored, and what differs from a backup."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from airflow_ddb_backup.exceptions import (
    InvalidValueError,
    OtherRegionError,
    PermanentError,
    PointInTimeRecoveryUnavailableError,
    RestoreLostError,
    RestoreTimeError,
    RestoreTimeNotReachedError,
    SourceTableGoneError,
    TargetTableExistsError,
)
from airflow_ddb_backup.restoring.request import MomentRequest
from tests.simulator.faults import THROTTLED, Answer, Fault
from tests.unit.conftest import FakeTaskInstance
from tests.unit.restoring.support import (
    ARN,
    DEFAULTS,
    LATEST,
    NAMES,
    SHOP,
    TARGET,
    back_up,
    describe,
    enable_recovery,
    fresh_context,
    give,
    is_restored,
    make_source,
    now,
    restores_sent,
    run,
    tags_of,
    to_point_in_time,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("slow_restores")
MINUTE = timedelta(minutes=1)


def seconds(moment: datetime) -> datetime:
    """Return a time without its fraction."""
    return moment.replace(microsecond=0)


@pytest.fixture
def enabled(control_plane: ControlPlane, clock: Clock, slow_restores: None) -> datetime:
    """Enable point-in-time recovery of the source, an hour ago, and return the first second that it has."""
    return seconds(enable_recovery(control_plane, clock) + timedelta(seconds=1))


class TestTimes:
    """The time is checked before anything is made, and the message has the window."""

    def test_a_time_within_the_window(self, control_plane: ControlPlane, clock: Clock, enabled: datetime) -> None:
        """It is sent in whole seconds."""
        moment = enabled + 10 * MINUTE
        assert run(moment) == TARGET
        assert restores_sent(control_plane) == [
            {
                "SourceTableArn": ARN,
                "TargetTableName": "target",
                "RestoreDateTime": int(moment.timestamp()),
            }
        ]
        assert is_restored(control_plane, seconds(moment).isoformat())

    @pytest.mark.parametrize("moment", ["too early", "future"])
    def test_a_time_outside_is_refused(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime, moment: str
    ) -> None:
        """For good, and nothing is made."""
        times = {"too early": enabled - MINUTE, "future": now(clock) + MINUTE}
        # A minute may begin meanwhile.
        latest = {seconds(now(clock) - 5 * MINUTE).isoformat()[:16]}
        with pytest.raises(RestoreTimeError) as refusal:
            run(times[moment].isoformat())
        reason = "That is too early" if moment == "too early" else "That is in the future, by AWS's clock"
        latest.add(seconds(now(clock) - 5 * MINUTE).isoformat()[:16])
        message = str(refusal.value)
        assert f"{reason}: the table can be restored to any time from {enabled.isoformat()} to " in message
        assert any(minute in message for minute in latest)
        assert f"point in time 'source at {seconds(times[moment]).isoformat()}'" in message
        assert isinstance(refusal.value, PermanentError)
        assert not restores_sent(control_plane)

    def test_the_earliest_that_the_message_names_can_be_restored(
        self, control_plane: ControlPlane, enabled: datetime
    ) -> None:
        """It is in whole seconds, as a time to restore to is."""
        with pytest.raises(RestoreTimeError) as refusal:
            run(enabled - MINUTE)
        earliest = str(refusal.value).partition("any time from ")[2].partition(" to ")[0]
        assert run(earliest) == TARGET

    def test_the_future_is_told_by_aws_s_clock(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime
    ) -> None:
        """The worker's may be minutes behind: a time that has passed there is taken."""
        control_plane.clock_offset = 240
        assert run(now(clock) + 3 * MINUTE) == TARGET

    def test_a_time_later_than_the_latest_is_waited_for(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime
    ) -> None:
        """The latest is five minutes behind: AWS decides, and refuses until it has come."""
        moment, begun = now(clock) - MINUTE, clock.time()
        assert run(moment) == TARGET
        assert 240 <= clock.time() - begun < 240 + 60 + 240
        assert len(restores_sent(control_plane)) > 1
        assert is_restored(control_plane, seconds(moment).isoformat())

    def test_time_is_up_before_the_latest_has_come(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime
    ) -> None:
        """A retry restores."""
        with pytest.raises(RestoreTimeNotReachedError, match="the table can be restored to any time from .* a retry"):
            run(now(clock), timeout=60)
        assert "target" not in control_plane.client().list_tables()["TableNames"]

    def test_a_time_that_moves_out_of_the_window_before_the_call_is_refused(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime
    ) -> None:
        """By AWS, with the window that there is by then."""

        def enable_again() -> None:
            for on in (False, True):
                control_plane.switch_recovery("source", on=on)

        give(control_plane, "tags")
        control_plane.before("ListTagsOfResource", enable_again)
        with pytest.raises(RestoreTimeError, match="That is too early: .*InvalidRestoreTimeException"):
            run(enabled + MINUTE)
        assert "target" not in control_plane.client().list_tables()["TableNames"]

    def test_a_refusal_without_a_reason_is_told_with_the_window(
        self, control_plane: ControlPlane, enabled: datetime
    ) -> None:
        """AWS's own text is in it."""
        control_plane.fail_next("RestoreTableToPointInTime", Fault(code="InvalidRestoreTimeException"), times=9)
        with pytest.raises(RestoreTimeError, match="AWS has refused it: the table can be restored .* The simulation"):
            run(enabled + MINUTE)

    @pytest.mark.parametrize("moment", [LATEST, "a time"])
    @pytest.mark.parametrize("when", ["never", "before the call"])
    def test_a_table_without_recovery_is_refused(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime, moment: str, when: str
    ) -> None:
        """The message names the operator that restores a backup."""

        def disable() -> None:
            control_plane.switch_recovery("source", on=False)

        if when == "never":
            disable()
        else:
            give(control_plane, "tags")
            control_plane.before("ListTagsOfResource", disable)
        with pytest.raises(PointInTimeRecoveryUnavailableError, match="DynamoDBRestoreTableFromBackupOperator"):
            run(LATEST if moment == LATEST else enabled + MINUTE)
        assert "target" not in control_plane.client().list_tables()["TableNames"]

    def test_a_window_that_is_not_told_is_left_to_aws(self, control_plane: ControlPlane, enabled: datetime) -> None:
        """The times are optional in the response; none is earlier than the table."""
        drop = {"EarliestRestorableDateTime", "LatestRestorableDateTime"}
        control_plane.fail_next("DescribeContinuousBackups", Fault(Answer.ALTERED, drop_members=drop), times=2)
        assert run(enabled + MINUTE) == TARGET
        with pytest.raises(RestoreTimeError, match="to any time from .*, on|too early"):
            run(enabled - 999 * MINUTE, target_table_name="another")

    def test_throttled_checks_are_made_again(self, control_plane: ControlPlane, enabled: datetime) -> None:
        """As all calls are."""
        control_plane.fail_next("DescribeContinuousBackups", THROTTLED, times=3)
        assert run(enabled + MINUTE) == TARGET


class TestGoneSource:
    """A table that is gone takes its continuous backups with it."""

    @pytest.mark.parametrize("when", ["before", "before the call", "deleting"])
    @pytest.mark.parametrize("named", ["source", ARN])
    def test_it_is_refused_with_its_system_backup(
        self, control_plane: ControlPlane, enabled: datetime, when: str, named: str
    ) -> None:
        """Which the other operator restores; without one the message says so."""
        if when == "deleting":
            control_plane.statuses["source"] = "DELETING"
        elif when == "before":
            control_plane.drop_table("source")
        else:
            control_plane.fail_next("RestoreTableToPointInTime", Fault(code="TableNotFoundException"))
        with pytest.raises(SourceTableGoneError, match="DynamoDBRestoreTableFromBackupOperator") as refusal:
            run(enabled + MINUTE, source_table_name=named)
        system = [
            one["BackupArn"]
            for one in control_plane.client().list_backups(TableName="source", BackupType="SYSTEM")["BackupSummaries"]
        ]
        assert (system[0] if system else "Table source has no system backup") in str(refusal.value)
        assert bool(system) == (when == "before")
        assert "target" not in control_plane.client().list_tables()["TableNames"]

    def test_a_name_that_never_was_may_be_wrong(self, enabled: datetime) -> None:
        """The message says where to read it."""
        with pytest.raises(SourceTableGoneError, match="give source_table_name as the DynamoDB console lists it"):
            run(enabled + MINUTE, source_table_name="sauce")

    def test_a_listing_that_is_denied_hides_no_reason(self, control_plane: ControlPlane, enabled: datetime) -> None:
        """The table is gone all the same."""
        control_plane.drop_table("source")
        control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"))
        with pytest.raises(SourceTableGoneError, match="Whether it has a system backup is not known: Backups can't be"):
            run(enabled + MINUTE)

    def test_one_that_was_made_again_has_no_earlier_time(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime
    ) -> None:
        """Whatever DescribeContinuousBackups says: the window begins with the table."""
        moment = now(clock) - 10 * MINUTE
        control_plane.drop_table("source")
        make_source(control_plane)
        created = describe(control_plane, "source")["CreationDateTime"].timestamp()
        earliest = datetime.fromtimestamp(math.ceil(created), UTC)
        control_plane.switch_recovery("source")
        fault = Fault(Answer.ALTERED, set_members={"EarliestRestorableDateTime": enabled.timestamp()})
        control_plane.fail_next("DescribeContinuousBackups", fault)
        with pytest.raises(RestoreTimeError, match=f"too early.* from {re.escape(earliest.isoformat())} to"):
            run(moment)
        assert not restores_sent(control_plane)

    def test_it_goes_while_it_is_restored(self, control_plane: ControlPlane, clock: Clock, enabled: datetime) -> None:
        """The restore goes on, and the settings were read before."""
        give(control_plane, "tags")
        control_plane.on_restore = lambda *_: control_plane.drop_table("source")
        assert run(enabled + MINUTE) == TARGET
        assert tags_of(control_plane, TARGET) == SHOP

    @pytest.mark.parametrize("moment", [LATEST, "a time"])
    @pytest.mark.parametrize("again", [False, True])
    def test_it_goes_before_a_retry(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime, moment: str, *, again: bool
    ) -> None:
        """The table is there, and is taken; one that was made again under the name gives it no settings."""
        given = LATEST if moment == LATEST else enabled + MINUTE
        started = now(clock)
        first, second = (FakeTaskInstance(task_id="restore", try_number=one, run_after=started) for one in (1, 2))
        run(given, ti=first, settings=())
        control_plane.drop_table("source")
        if again:
            make_source(control_plane)
            give(control_plane, "tags")
        assert run(given, ti=second) == TARGET
        assert second.xcoms["settings"] == dict.fromkeys(DEFAULTS, "unavailable")
        assert tags_of(control_plane, TARGET) == {}


class TestLatest:
    """The latest restorable time is another one for each run."""

    @pytest.mark.parametrize("number", [1, 2])
    def test_an_earlier_run_s_table_is_refused(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime, number: int
    ) -> None:
        """On every try; also where a run that had finished is cleared, which starts it again."""
        due = now(clock)
        run(LATEST, ti=FakeTaskInstance(task_id="restore", run_after=due))
        clock.sleep(3600)
        later = FakeTaskInstance(
            task_id="restore", run_after=due, started=now(clock), try_number=number, clear_number=number - 1
        )
        with pytest.raises(TargetTableExistsError, match=f"It was restored to a point in time, table '{ARN}' at"):
            run(LATEST, ti=later)

    def test_a_scheduler_s_clock_may_be_ahead(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime
    ) -> None:
        """By some seconds: the run's own table counts."""
        ahead = now(clock) + timedelta(seconds=9)
        for number in (1, 2):
            assert run(LATEST, ti=FakeTaskInstance(task_id="restore", run_after=ahead, try_number=number)) == TARGET
        assert len(restores_sent(control_plane)) == 1

    def test_it_is_asked_for_as_such(self, control_plane: ControlPlane, enabled: datetime) -> None:
        """AWS says which it was."""
        run(LATEST)
        assert restores_sent(control_plane)[0]["UseLatestRestorableTime"] is True
        assert "RestoreDateTime" not in restores_sent(control_plane)[0]


class TestOneTable:
    """What the matrix of both restores does not show."""

    def test_a_cleared_run_takes_the_table_of_its_time(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime
    ) -> None:
        """A time is one run's as much as any other's."""
        due = now(clock)
        run(enabled + MINUTE, ti=FakeTaskInstance(task_id="restore", run_after=due))
        clock.sleep(86_400)
        cleared = FakeTaskInstance(task_id="restore", try_number=2, run_after=due, started=now(clock), clear_number=1)
        assert run(enabled + MINUTE, ti=cleared) == TARGET
        assert len(restores_sent(control_plane)) == 1

    @pytest.mark.parametrize("other", ["another moment", "another table"])
    def test_another_restore_is_refused(
        self, control_plane: ControlPlane, clock: Clock, enabled: datetime, other: str
    ) -> None:
        """By a second, or of another table."""
        client, moment = control_plane.client(), seconds(enabled + 10 * MINUTE)
        table, at = "source", moment + timedelta(seconds=1)
        if other == "another table":
            table, at = "orders", moment
            control_plane.switch_recovery("orders")
            clock.sleep(900)
            moment = at = seconds(now(clock) - 8 * MINUTE)
        client.restore_table_to_point_in_time(SourceTableName=table, TargetTableName="target", RestoreDateTime=at)
        with pytest.raises(TargetTableExistsError, match="It was restored to a point in time, table '.*' at"):
            run(moment)
        assert len(restores_sent(control_plane)) == 1

    def test_a_table_that_another_restore_replaces_is_lost(
        self, control_plane: ControlPlane, enabled: datetime
    ) -> None:
        """While it is waited for."""
        arn = back_up(control_plane)

        def replace(*_: object) -> None:
            control_plane.on_restore = lambda *_: None
            control_plane.drop_table("target")
            control_plane.client().restore_table_from_backup(TargetTableName="target", BackupArn=arn)

        control_plane.on_restore = replace
        with pytest.raises(RestoreLostError, match="not this restore"):
            run(enabled + MINUTE)


class TestSource:
    """What the source gives to the new table, besides its items."""

    def test_every_setting_is_put_back(self, control_plane: ControlPlane, enabled: datetime) -> None:
        """Also those that a backup would hold: all are the table's, as it is now."""
        for name in NAMES:
            give(control_plane, name)
        ti = FakeTaskInstance(task_id="restore")
        run(enabled + MINUTE, ti=ti, settings=NAMES, tags={"restored": "yes"})
        assert ti.xcoms["settings"] == dict.fromkeys(NAMES, "applied")
        assert tags_of(control_plane, TARGET) == SHOP | {"restored": "yes"}

    def test_settings_of_another_table(self, control_plane: ControlPlane, enabled: datetime) -> None:
        """settings_from names it."""
        control_plane.tag_table("orders", team="shop")
        run(enabled + MINUTE, settings=["tags"], settings_from="orders")
        assert tags_of(control_plane, TARGET) == {"team": "shop"}

    def test_indexes_are_left_out(self, control_plane: ControlPlane, enabled: datetime) -> None:
        """They are those that the table has now; the message has their names."""
        with pytest.raises(InvalidValueError, match=r"names of the source's indexes, which are \['by-one'\]"):
            run(enabled + MINUTE, exclude_indexes=["by-two"])
        run(enabled + MINUTE, exclude_indexes=["by-one"], billing_mode="PAY_PER_REQUEST")
        (body,) = restores_sent(control_plane)
        assert (body["GlobalSecondaryIndexOverride"], body["BillingModeOverride"]) == ([], "PAY_PER_REQUEST")
        assert not describe(control_plane).get("GlobalSecondaryIndexes")

    def test_it_is_named_by_its_arn(self, control_plane: ControlPlane, enabled: datetime) -> None:
        """One of another region is refused."""
        assert run(enabled + MINUTE, source_table_name=ARN) == TARGET
        with pytest.raises(OtherRegionError):
            run(enabled + MINUTE, source_table_name=ARN.replace("us-east-1", "eu-west-1"), region_name="us-east-1")

    def test_the_log_says_from_when(
        self, control_plane: ControlPlane, enabled: datetime, log: Callable[[], str]
    ) -> None:
        """With the window."""
        moment = seconds(enabled + MINUTE).isoformat()
        run(moment)
        assert f"Restoring point in time 'source at {moment}' as table target" in (lines := log())
        assert f"The table can be restored to any time from {enabled.isoformat()} to " in lines


class TestWrittenTimes:
    """A time says which one it is, wherever it is read."""

    @pytest.mark.parametrize(
        "wrong",
        ["2026-10-25T02:30:00", "yesterday", "", 5, datetime(2026, 10, 25, 2, 30), "2026-10-25"],  # noqa: DTZ001
        ids=repr,
    )
    def test_one_without_its_offset_is_refused_when_the_dag_is_parsed(self, wrong: Any) -> None:
        """The message says how to write it."""
        with pytest.raises(InvalidValueError, match=r"restore_date_time must be a moment with its offset .*\+00:00"):
            to_point_in_time(wrong)

    @pytest.mark.parametrize("rendered", ["2026-10-25T02:30:00", "", None], ids=repr)
    def test_one_that_is_rendered_without_its_offset_is_refused(
        self, control_plane: ControlPlane, enabled: datetime, rendered: str | None
    ) -> None:
        """Nothing is made."""
        task = to_point_in_time("{{ params.moment }}")
        task.restore_date_time = rendered
        with pytest.raises(InvalidValueError, match="restore_date_time must be"):
            task.execute(fresh_context())
        assert not restores_sent(control_plane)

    def test_the_hour_that_comes_twice(self) -> None:
        """A text has its offset, and of a ``datetime`` the fold tells."""
        twice = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
        summer, winter = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
        for given, meant in (
            ("2026-10-25T02:30:00+02:00", summer),
            ("2026-10-25T02:30:00+01:00", winter),
            (twice, summer),
            (twice.replace(fold=1), winter),
        ):
            request = MomentRequest("orders", given, use_latest_restorable_time=False)  # type: ignore[arg-type]  # as written
            assert request.restore_date_time == meant
            assert request.source(ARN, winter).at == meant

    @pytest.mark.parametrize(
        "wrong",
        [
            {"use_latest_restorable_time": False},
            {"use_latest_restorable_time": True, "restore_date_time": "2026-10-25T02:30:00+01:00"},
        ],
        ids=repr,
    )
    def test_exactly_one_of_both_is_given(self, wrong: dict[str, Any]) -> None:
        """Neither is a default that could be meant otherwise."""
        with pytest.raises(InvalidValueError, match="restore_date_time must be a time, or None with use_latest"):
            to_point_in_time(None, **wrong)
