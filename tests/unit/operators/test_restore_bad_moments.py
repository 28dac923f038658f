"""Restores at a bad moment: tables that come and go, answers that say too little, others who do the same."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    CredentialsError,
    InvalidValueError,
    RestoreLostError,
    RestoreTimeoutError,
    SettingsFailedError,
    TargetTableExistsError,
)
from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableFromBackupOperator
from airflow_ddb_backup.restoring.settings import TableClass
from airflow_ddb_backup.triggers.dynamodb import DynamoDBRestoreTrigger
from airflow_ddb_backup.waiting.poller import BackupPoller
from tests.simulator.faults import EMPTY_RESPONSE, THROTTLED, Answer, Fault
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.operators.test_restore import DEFAULTS, TARGET, describe, kill, operator, run, sent
from tests.unit.restoring.tables import give, make_source
from tests.unit.triggers.test_dynamodb import ONE_ATTEMPT, event_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from airflow_ddb_backup.restoring.settings import SettingsOf
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

SHOP = {"team": "shop", "tier": "1"}
DENIED = Fault(code="AccessDeniedException")
NOT_FOUND = Fault(code="ResourceNotFoundException")


@pytest.fixture(autouse=True)
def _slow_restores(control_plane: ControlPlane) -> None:
    make_source(control_plane)
    control_plane.restoring_for = 200


@pytest.fixture
def arn(control_plane: ControlPlane) -> str:
    """Back up the table ``source``, and return the ARN."""
    (arn,) = control_plane.add_backups("source", 1)
    return str(arn)


def tags_of(control_plane: ControlPlane, arn: str) -> dict[str, str]:
    """Return the tags of a table."""
    tags = control_plane.client().list_tags_of_resource(ResourceArn=arn)["Tags"]
    return {tag["Key"]: tag["Value"] for tag in tags}


def now(clock: Clock) -> datetime:
    """Return the present."""
    return datetime.fromtimestamp(clock.time(), tz=UTC)


def restore_by_others(control_plane: ControlPlane, arn: str) -> None:
    """Restore the backup as ``target``, past the package."""
    control_plane.client().restore_table_from_backup(TargetTableName="target", BackupArn=arn)


def success_event(clock: Clock, arn: str, ti: FakeTaskInstance, **kwargs: Any) -> dict[str, Any]:
    """Defer a restore until it is complete, and return the event of its trigger."""
    with pytest.raises(TaskDeferred) as deferred:
        run(arn, ti=ti, deferrable=True, **kwargs)
    trigger = deferred.value.trigger.serialize()[1]
    clock.sleep(300)
    return {"status": "success", "table_arn": TARGET, "message": "", "carry": trigger["carry"]}


def resume(arn: str, ti: FakeTaskInstance, event: dict[str, Any], **kwargs: Any) -> Any:
    """Resume a deferred task with an event."""
    task = operator(arn, deferrable=True, **kwargs)
    return task.resume_execution("execute_complete", {"event": event}, context_of(ti))


class TestResuming:
    """Time passes between the trigger's event and the worker that takes it."""

    def test_a_name_that_renders_to_another_table_on_resume_changes_nothing_there(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """The settings go to the table that was waited for."""
        give(control_plane, "tags")
        production = control_plane.create_table("production")
        ti = FakeTaskInstance(task_id="restore")
        event = success_event(clock, arn, ti)
        assert resume(arn, ti, event, target_table_name="production") == TARGET
        assert tags_of(control_plane, production) == {}
        assert tags_of(control_plane, TARGET) == SHOP

    def test_a_foreign_table_that_replaced_the_target_gets_no_settings(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """The task fails, since its own table is gone."""
        for name in ("tags", "deletion_protection"):
            give(control_plane, name)
        ti = FakeTaskInstance(task_id="restore")
        event = success_event(clock, arn, ti)
        control_plane.drop_table("target")
        control_plane.create_table("target")
        with pytest.raises(RestoreLostError, match="there is another table of its name now"):
            resume(arn, ti, event)
        assert not describe(control_plane).get("DeletionProtectionEnabled")
        assert tags_of(control_plane, TARGET) == {}

    @pytest.mark.parametrize("settings", [DEFAULTS, ["stream"], ()], ids=repr)
    def test_a_target_that_vanished_meanwhile_is_no_success(
        self, control_plane: ControlPlane, clock: Clock, arn: str, settings: Any
    ) -> None:
        """Whether or not there is anything to put back; the message does not say that the table stays."""
        give(control_plane, "tags")
        ti = FakeTaskInstance(task_id="restore")
        event = success_event(clock, arn, ti, settings=settings)
        control_plane.drop_table("target")
        with pytest.raises(RestoreLostError, match="The table was restored, but is gone") as failure:
            resume(arn, ti, event, settings=settings)
        assert "The table stays" not in str(failure.value)

    @pytest.mark.parametrize("more", [None, {"restored": "yes"}])
    def test_a_setting_of_an_unknown_shape_in_the_event_fails_alone(
        self, control_plane: ControlPlane, clock: Clock, arn: str, more: dict[str, str] | None
    ) -> None:
        """Another version of the package may have sent it; the other settings are put back."""
        for name in ("tags", "deletion_protection"):
            give(control_plane, name)
        ti = FakeTaskInstance(task_id="restore")
        event = success_event(clock, arn, ti)
        event["carry"]["settings"]["values"]["tags"] = [{"Key": "team", "Value": "shop"}]
        with pytest.raises(SettingsFailedError, match="tags: "):
            resume(arn, ti, event, tags=more)
        assert ti.xcoms["settings"]["tags"].startswith("failed: ")
        assert ti.xcoms["settings"]["deletion_protection"] == "applied"


class TestSource:
    """The backed up table may be replaced, and the backup gone, at any moment."""

    def test_settings_of_a_table_that_replaces_the_source_meanwhile_are_not_taken(
        self, control_plane: ControlPlane, arn: str
    ) -> None:
        """It is another table, whose tags are its own."""
        give(control_plane, "tags")

        def replace() -> None:
            control_plane.drop_table("source")
            make_source(control_plane)
            control_plane.tag_table("source", team="somebody-else")

        control_plane.fail_next("ListTagsOfResource", THROTTLED, times=5)
        control_plane.before("ListTagsOfResource", replace)
        ti = FakeTaskInstance(task_id="restore")
        run(arn, ti=ti)
        assert ti.xcoms["settings"]["tags"] == "unavailable"
        assert tags_of(control_plane, TARGET) == {}

    def test_a_later_try_without_settings_asks_for_no_backup(self, control_plane: ControlPlane, arn: str) -> None:
        """Nothing of it is needed for a table that is there already."""
        run(arn, settings=())
        calls = control_plane.calls["DescribeBackup"]
        assert run(arn, first=False, settings=()) == TARGET
        assert control_plane.calls["DescribeBackup"] == calls

    def test_a_later_try_may_be_denied_the_description_of_the_backup(
        self, control_plane: ControlPlane, arn: str
    ) -> None:
        """The settings are the backed up table's."""
        give(control_plane, "tags")
        run(arn, settings=())
        control_plane.fail_next("DescribeBackup", DENIED, times=9)
        ti = FakeTaskInstance(task_id="restore", try_number=2)
        assert run(arn, ti=ti) == TARGET
        assert ti.xcoms["settings"]["tags"] == "applied"


class TestIfExistsFail:
    """``if_exists="fail"`` takes what this run has made, and nothing else."""

    def test_a_restore_that_another_task_began_at_the_same_time_is_refused(
        self, control_plane: ControlPlane, arn: str
    ) -> None:
        """AWS has refused this task's own call without a doubt."""
        give(control_plane, "tags")
        control_plane.before("ListTagsOfResource", lambda: restore_by_others(control_plane, arn))
        with pytest.raises(TargetTableExistsError, match="It is this backup's restore, created at .*'fail'"):
            run(arn, if_exists="fail")

    def test_a_restore_that_others_began_while_this_one_was_throttled_is_refused(
        self, control_plane: ControlPlane, clock: Clock, arn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """None of this task's calls can have made it."""
        control_plane.fail_next("RestoreTableFromBackup", Fault(code="LimitExceededException"), times=60)
        sleep, begun = clock.sleep, clock.time()

        def sleep_while_others_restore(seconds: float, until: threading.Event | None = None) -> None:
            sleep(seconds, until)
            if clock.time() - begun > 600 and "target" not in control_plane.client().list_tables()["TableNames"]:
                control_plane.clear_faults()
                restore_by_others(control_plane, arn)

        monkeypatch.setattr(clock, "sleep", sleep_while_others_restore)
        with pytest.raises(TargetTableExistsError, match="It is this backup's restore, created at .*'fail'"):
            run(arn, if_exists="fail")

    def test_a_later_try_takes_its_own_table_though_clocks_differ(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """AWS's clock is a minute behind: the table seems to be from before the run."""
        control_plane.clock_offset = -60
        started = now(clock)
        first, second = (FakeTaskInstance(task_id="restore", try_number=number, run_after=started) for number in (1, 2))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_ddb_backup.operators.dynamodb.restore.wait_on_worker", kill)
            with pytest.raises(KeyboardInterrupt):
                run(arn, ti=first, if_exists="fail")
        clock.sleep(60)
        assert run(arn, ti=second, if_exists="fail") == TARGET
        assert len(sent(control_plane)) == 1


class TestFirstTryInAClearedRun:
    """A task that has never run, in a run of which another task was cleared, has made no table."""

    @pytest.fixture
    def never_ran(self, control_plane: ControlPlane, clock: Clock, arn: str) -> FakeTaskInstance:
        """Let another run restore the table after this run was due, and return this run's first try."""
        due = now(clock)
        clock.sleep(86_400)
        run(arn, ti=FakeTaskInstance(task_id="restore", run_id="another", run_after=now(clock)))
        clock.sleep(86_400)
        return FakeTaskInstance(task_id="restore", run_after=due, started=now(clock), clear_number=1)

    def test_it_refuses_another_run_s_table(self, arn: str, never_ran: FakeTaskInstance) -> None:
        """if_exists is 'fail'."""
        with pytest.raises(TargetTableExistsError, match="It is this backup's restore, created at .*'fail'"):
            run(arn, ti=never_ran, if_exists="fail")

    def test_it_takes_another_run_s_table_with_a_warning(
        self, arn: str, never_ran: FakeTaskInstance, log: Callable[[], str]
    ) -> None:
        """It may have been written to."""
        assert run(arn, ti=never_ran) == TARGET
        assert "was restored before this run started" in log()


class TestAnswers:
    """Answers that leave out what they should tell."""

    def test_an_answer_without_the_summary_of_the_restore(self, control_plane: ControlPlane, arn: str) -> None:
        """AWS has taken the call: its table is found, and no other call is made."""
        fault = Fault(Answer.ALTERED, drop_members={"RestoreSummary"})
        control_plane.fail_next("RestoreTableFromBackup", fault)
        assert run(arn, if_exists="fail") == TARGET
        assert len(sent(control_plane)) == 1

    def test_all_indexes_are_excluded_where_the_backup_does_not_tell_which_there_are(
        self, control_plane: ControlPlane, arn: str
    ) -> None:
        """A response without the features says nothing of them."""
        fault = Fault(Answer.ALTERED, drop_members={"SourceTableFeatureDetails"})
        control_plane.fail_next("DescribeBackup", fault)
        run(arn, exclude_indexes="all")
        assert not describe(control_plane).get("GlobalSecondaryIndexes")

    def test_an_empty_answer_loses_no_insights_of_the_table_itself(self, control_plane: ControlPlane, arn: str) -> None:
        """It is asked again: the table gets them as its index does."""
        give(control_plane, "contributor_insights")
        control_plane.fail_next("DescribeContributorInsights", EMPTY_RESPONSE)
        run(arn, settings=["contributor_insights"])
        for named in ({}, {"IndexName": "by-one"}):
            described = control_plane.client().describe_contributor_insights(TableName="target", **named)
            assert described["ContributorInsightsStatus"] == "ENABLED"

    def test_a_listing_of_settings_that_goes_round_ends(self, control_plane: ControlPlane, arn: str) -> None:
        """It is read anew some times, and nothing is made."""
        control_plane.tag_table("source", **{f"key-{number:02}": "x" for number in range(30)})
        fault = Fault(Answer.ALTERED, set_members={"NextToken": "key-00"})
        control_plane.fail_next("ListTagsOfResource", fault, times=999)
        with pytest.raises(AmbiguousOutcomeError, match="The listing goes round: 'key-00' has been a cursor before"):
            run(arn)
        assert control_plane.calls["ListTagsOfResource"] < 60
        assert not sent(control_plane)


class TestPatience:
    """How long a task goes on with what does not succeed."""

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_wrong_credentials_hold_no_worker_for_the_whole_timeout(
        self, control_plane: ControlPlane, clock: Clock, arn: str, *, deferrable: bool
    ) -> None:
        """Until the restore has begun, the task gives up within an hour."""
        control_plane.fail_next("DescribeTable", Fault(code="UnrecognizedClientException"), times=9999)
        begun = clock.time()
        with pytest.raises(CredentialsError, match="UnrecognizedClientException"):
            run(arn, deferrable=deferrable)
        assert clock.time() - begun < 3600

    def test_settings_that_are_all_throttled_take_two_minutes_each_at_most(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """Each has its turn."""
        names = ["tags", "ttl", "table_class", "deletion_protection"]
        for name in names:
            give(control_plane, name)
        (arn,) = control_plane.add_backups("source", 1)

        def throttle(*_: object) -> None:
            for operation in ("TagResource", "UpdateTimeToLive", "UpdateTable"):
                control_plane.fail_next(operation, THROTTLED, times=999)

        control_plane.on_restore = throttle
        begun, ti = clock.time(), FakeTaskInstance(task_id="restore")
        with pytest.raises(SettingsFailedError):
            run(arn, ti=ti, settings=names)
        assert all(ti.xcoms["settings"][name].startswith("failed: AWS throttles") for name in names)
        assert clock.time() - begun < 200 + 4 * 120

    def test_an_update_that_begins_just_before_a_setting_is_put_back_is_waited_for(
        self, control_plane: ControlPlane, arn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Such as one of auto scaling, which was just put back: the table is UPDATING for ten minutes."""
        give(control_plane, "table_class")
        control_plane.updating_for = 600
        put_back = TableClass.put_back
        begun: list[int] = []

        def put_back_late(self: TableClass, table: SettingsOf, wanted: str, present: str) -> None:
            if not begun:
                begun.append(1)
                control_plane.client().update_table(TableName="target", BillingMode="PAY_PER_REQUEST")
            put_back(self, table, wanted, present)

        monkeypatch.setattr(TableClass, "put_back", put_back_late)
        ti = FakeTaskInstance(task_id="restore")
        run(arn, ti=ti, settings=["table_class"])
        assert begun
        assert ti.xcoms["settings"] == {"table_class": "applied"}


class TestMessages:
    """Their hints are true where they are read."""

    def test_a_denied_poll_is_not_called_a_failed_restore(self, control_plane: ControlPlane, arn: str) -> None:
        """The restore goes on in AWS."""
        control_plane.on_restore = lambda *_: control_plane.fail_next("DescribeTable", DENIED, times=99)
        with pytest.raises(RestoreLostError, match="Access is denied.*The restore itself may go on") as failure:
            run(arn)
        control_plane.clear_faults()
        assert describe(control_plane)["RestoreSummary"]["RestoreInProgress"]
        assert "The restore has failed" not in str(failure.value)

    def test_a_denied_call_of_auto_scaling_is_named_with_its_own_service(
        self, control_plane: ControlPlane, arn: str
    ) -> None:
        """It is none of DynamoDB's."""
        control_plane.fail_next("DescribeScalableTargets", DENIED, times=9)
        named = "application-autoscaling:DescribeScalableTargets answered"
        with pytest.raises(AccessDeniedError, match=named) as failure:
            run(arn, settings=["auto_scaling"])
        assert "dynamodb:DescribeScalableTargets" not in str(failure.value)

    def test_a_replaced_table_is_told_without_a_hint_to_clear_the_task(
        self, control_plane: ControlPlane, arn: str
    ) -> None:
        """Clearing can't help: the name is taken."""

        def replace(*_: object) -> None:
            control_plane.drop_table("target")
            control_plane.create_table("target")

        control_plane.on_restore = replace
        with pytest.raises(RestoreLostError, match="Choose another target_table_name") as failure:
            run(arn)
        assert "clear the task" not in str(failure.value)
        with pytest.raises(TargetTableExistsError, match="It was not made by a restore"):
            run(arn, ti=FakeTaskInstance(task_id="restore", try_number=2, clear_number=1))

    def test_a_table_that_is_complete_and_updating_is_not_called_incomplete(
        self, control_plane: ControlPlane, arn: str
    ) -> None:
        """Its restore is over, and something else changes it now."""
        run(arn)
        control_plane.statuses["target"] = "UPDATING"
        with pytest.raises(RestoreTimeoutError, match="Last status UPDATING") as failure:
            run(arn, first=False, timeout=60)
        assert "The restore goes on" not in str(failure.value)


class TestValues:
    """What the parameters mean, and may be."""

    def test_a_list_with_the_name_all_is_one_index(self, control_plane: ControlPlane) -> None:
        """And not all of them."""
        control_plane.client().create_table(
            TableName="two",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "by")],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": name,
                    "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
                for name in ("all", "by-one")
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        (arn,) = control_plane.add_backups("two", 1)
        run(arn, exclude_indexes=["all"])
        assert [index["IndexName"] for index in describe(control_plane)["GlobalSecondaryIndexes"]] == ["by-one"]

    @pytest.mark.parametrize("tags", [{"run": "{{ run_id }}"}, {"restored": "yes!"}, {"a,b": "c"}], ids=repr)
    def test_tags_with_characters_that_aws_refuses_are_refused_when_the_dag_is_parsed(
        self, arn: str, tags: dict[str, str]
    ) -> None:
        """And not after a restore of hours."""
        with pytest.raises(InvalidValueError, match="tags must be .* of letters, digits, white space and"):
            operator(arn, tags=tags)

    def test_it_can_be_mapped(self, arn: str) -> None:
        """``partial`` and ``expand`` take every parameter."""
        with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
            mapped = DynamoDBRestoreTableFromBackupOperator.partial(
                task_id="restore", target_table_name="target", timeout=timedelta(hours=1)
            ).expand(backup_arn=[arn])
        task = cast("DynamoDBRestoreTableFromBackupOperator", mapped.unmap({"backup_arn": arn}))
        assert (task.backup_arn, task.target_table_name, task.timeout) == (arn, "target", timedelta(hours=1))


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
        assert not BackupPoller._running  # noqa: SLF001  # nothing is left

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
        assert not BackupPoller._running  # noqa: SLF001  # nothing is left

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
