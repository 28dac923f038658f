"""The calls of a restore: one table for a run, and its settings read before anything is made."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    BackupNotReadyError,
    BackupNotRestorableError,
    CredentialsError,
    InvalidValueError,
    OtherRegionError,
    PermanentError,
    RecoveryPointError,
    SettingsDeniedError,
    TableNotFoundError,
    TargetTableDeletingError,
    TargetTableExistsError,
    ThrottledError,
)
from tests.simulator import faults
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.simulator.faults import (
    EMPTY_RESPONSE,
    THROTTLED,
    Answer,
    Fault,
    after_call,
)
from tests.simulator.rules import action_of
from tests.unit.conftest import FakeTaskInstance, TaskTimeout
from tests.unit.restoring.support import (
    ARN,
    DENIED,
    READS,
    SHOP,
    TARGET,
    back_up,
    describe,
    fail_restores,
    fresh_context,
    give,
    is_restored,
    killed_while_it_waits,
    make_source,
    now,
    operator,
    restore_by_others,
    restore_with,
    restores_sent,
    run,
    sent,
    tags_of,
    told,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("slow_restores")


class TestOneTable:
    """However responses are lost and tasks are killed, cleared and retried: one table, and the one asked for."""

    @pytest.mark.load
    @pytest.mark.parametrize(
        "fault",
        [
            faults.DROPPED_BEFORE_COMMIT,
            faults.DROPPED_AFTER_COMMIT,
            faults.HANGING_AFTER_COMMIT,
            faults.INTERNAL_ERROR,
            faults.INTERNAL_ERROR_AFTER_COMMIT,
            faults.HTML_OF_A_PROXY_AFTER_COMMIT,
            faults.EMPTY_RESPONSE_AFTER_COMMIT,
            Fault(faults.Answer.HANGING),
            THROTTLED,
            Fault(code="LimitExceededException"),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("if_exists", ["reuse", "fail"])
    def test_a_lost_response(self, control_plane: ControlPlane, origin: str, fault: Fault, if_exists: str) -> None:
        """Whether the restore was committed or not is found out."""
        fail_restores(control_plane, fault)
        assert run(origin, if_exists=if_exists) == TARGET
        assert is_restored(control_plane, origin)
        assert len(restores_sent(control_plane)) <= 2

    def test_many_ambiguous_outcomes(self, control_plane: ControlPlane, origin: str) -> None:
        """After four calls that have made nothing, the task fails with AWS's reason."""
        fail_restores(control_plane, faults.INTERNAL_ERROR, times=9)
        with pytest.raises(
            AmbiguousOutcomeError, match=re.escape(f"table 'target', {told(origin)}") + ".*InternalServerError"
        ):
            run(origin)
        assert len(restores_sent(control_plane)) == 4

    def test_the_fifty_first_restore_waits_for_the_others(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """AWS allows 50 at once."""
        for number in range(50):
            control_plane.client().restore_table_from_backup(TargetTableName=f"other-{number}", BackupArn=arn)
            clock.sleep(0.1)
        begun = clock.time()
        assert run(arn) == TARGET
        assert clock.time() - begun >= 390

    @pytest.mark.parametrize("passed", [0, 9999])
    def test_a_later_try_takes_the_table(
        self, control_plane: ControlPlane, clock: Clock, origin: str, passed: float
    ) -> None:
        """Also one that is complete by then; the settings are put back once."""
        give(control_plane, "tags")
        started = now(clock)
        first, second = (FakeTaskInstance(task_id="restore", try_number=number, run_after=started) for number in (1, 2))
        with killed_while_it_waits():
            run(origin, ti=first)
        clock.sleep(passed)
        assert run(origin, ti=second) == TARGET
        assert len(restores_sent(control_plane)) == 1
        assert [body["ResourceArn"] for body in sent(control_plane, "TagResource")] == [ARN, TARGET]

    @pytest.mark.load
    def test_killed_after_any_call(
        self, control_plane: ControlPlane, clock: Clock, origin: str, execution_timeout: Callable[[], None]
    ) -> None:
        """The next try returns the one table that there is, with its settings."""
        give(control_plane, "tags")
        for number in count(1):
            target, started = f"target-{number}", now(clock)
            first, second = (
                FakeTaskInstance(task_id="restore", run_id=target, try_number=n, run_after=started) for n in (1, 2)
            )
            control_plane.after = after_call(number, execution_timeout)
            try:
                run(origin, ti=first, target_table_name=target)
            except TaskTimeout:
                pass
            else:
                break
            control_plane.after = lambda _: None
            clock.sleep(number)
            made = run(origin, ti=second, target_table_name=target)
            assert [body["TargetTableName"] for body in restores_sent(control_plane)].count(target) == 1
            assert (made, tags_of(control_plane, made)) == (TARGET.replace("target", target), SHOP)
        assert number > 10

    def test_a_cleared_run_takes_the_table(
        self, control_plane: ControlPlane, clock: Clock, arn: str, log: Callable[[], str]
    ) -> None:
        """Clearing has started the run again, but the table is from after it was due."""
        due = now(clock)
        assert run(arn, ti=FakeTaskInstance(task_id="restore", run_after=due)) == TARGET
        cleared = FakeTaskInstance(
            task_id="restore", try_number=2, run_after=due, started=due + timedelta(days=1), clear_number=1
        )
        clock.sleep(86_400)
        assert run(arn, ti=cleared) == TARGET
        assert control_plane.calls["RestoreTableFromBackup"] == 1
        assert "It was restored before this run started" not in log()

    def test_a_later_try_needs_no_backup_any_more(self, control_plane: ControlPlane, arn: str) -> None:
        """It was deleted while it was restored."""
        give(control_plane, "tags")
        run(arn, settings=())
        control_plane.lose_backup(arn)
        ti = FakeTaskInstance(task_id="restore", try_number=2)
        assert run(arn, ti=ti) == TARGET
        assert ti.xcoms["settings"]["tags"] == "applied"

    def test_a_backup_that_is_deleted_meanwhile_does_no_harm(self, control_plane: ControlPlane, arn: str) -> None:
        """AWS has begun to restore it."""
        control_plane.on_restore = lambda *_: control_plane.lose_backup(arn)
        assert run(arn) == TARGET

    def test_another_run_takes_the_table_with_a_warning(
        self, control_plane: ControlPlane, clock: Clock, arn: str, log: Callable[[], str]
    ) -> None:
        """It may have been written to."""
        run(arn)
        clock.sleep(86_400)
        later = now(clock)
        assert run(arn, ti=FakeTaskInstance(task_id="restore", run_after=later)) == TARGET
        assert "It was restored before this run started" in log()

    def test_another_run_may_refuse_it(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """if_exists is 'fail'."""
        run(arn)
        clock.sleep(86_400)
        later = now(clock)
        with pytest.raises(TargetTableExistsError, match="It is this very restore, created at .*'fail'"):
            run(arn, ti=FakeTaskInstance(task_id="restore", run_after=later), if_exists="fail")

    @pytest.mark.parametrize("moment", ["before", "meanwhile"])
    @pytest.mark.parametrize(
        ("made_by", "text"),
        [("another backup", "It was restored from backup"), ("somebody", "It was not made by a restore")],
    )
    def test_another_table_is_refused(
        self, control_plane: ControlPlane, origin: str, moment: str, made_by: str, text: str
    ) -> None:
        """The message says which; also of one that appears between the check and the call."""

        def make(*_: object) -> None:
            if made_by == "somebody":
                control_plane.create_table("target")
                return
            (other,) = control_plane.add_backups("source", 1)
            control_plane.client().restore_table_from_backup(TargetTableName="target", BackupArn=other)

        if moment == "before":
            make()
        else:
            give(control_plane, "tags")
            control_plane.before("ListTagsOfResource", make)
        with pytest.raises(TargetTableExistsError, match=text) as refusal:
            run(origin)
        assert f"table 'target', {told(origin)}, region '{REGION}'" in str(refusal.value)

    def test_a_table_that_is_being_deleted_is_refused(self, control_plane: ControlPlane, origin: str) -> None:
        """A retry may restore it."""
        control_plane.create_table("target")
        control_plane.statuses["target"] = "DELETING"
        with pytest.raises(TargetTableDeletingError, match="A retry restores") as refusal:
            run(origin)
        assert not isinstance(refusal.value, PermanentError)


class TestIfExistsFail:
    """``if_exists="fail"`` takes what this try has made, and nothing else."""

    def test_a_restore_that_another_task_began_at_the_same_time_is_refused(
        self, control_plane: ControlPlane, origin: str
    ) -> None:
        """AWS has refused this task's own call without a doubt."""
        give(control_plane, "tags")
        control_plane.before("ListTagsOfResource", lambda: restore_by_others(control_plane, origin))
        with pytest.raises(TargetTableExistsError, match="It is this very restore, created at .*'fail'"):
            run(origin, if_exists="fail")

    @pytest.mark.parametrize("answer", [[], [faults.INTERNAL_ERROR]], ids=["refused", "ambiguous"])
    def test_a_restore_that_others_began_while_this_one_was_throttled_is_refused(
        self,
        control_plane: ControlPlane,
        clock: Clock,
        origin: str,
        monkeypatch: pytest.MonkeyPatch,
        answer: list[Fault],
    ) -> None:
        """None of this task's calls can have made it, also if the next one's outcome is not known."""
        fail_restores(control_plane, Fault(code="LimitExceededException"), times=60)
        sleep, begun = clock.sleep, clock.time()

        def sleep_while_others_restore(seconds: float, until: threading.Event | None = None) -> None:
            if clock.time() - begun > 600 and "target" not in control_plane.client().list_tables()["TableNames"]:
                control_plane.clear_faults()
                restore_by_others(control_plane, origin)
                for fault in answer:
                    fail_restores(control_plane, fault)
            sleep(seconds, until)

        monkeypatch.setattr(clock, "sleep", sleep_while_others_restore)
        with pytest.raises(TargetTableExistsError, match="It is this very restore, created at .*'fail'"):
            run(origin, if_exists="fail")

    @pytest.mark.parametrize("made_by", ["an earlier try", "another run"])
    def test_a_later_try_refuses_what_was_made_before_its_own_call(
        self, control_plane: ControlPlane, clock: Clock, origin: str, made_by: str
    ) -> None:
        """Nothing tells the one from the other."""
        ti = FakeTaskInstance(task_id="restore", run_after=now(clock))
        if made_by == "another run":
            restore_by_others(control_plane, origin)
            with pytest.raises(TargetTableExistsError):
                run(origin, ti=ti, if_exists="fail")
        else:
            with killed_while_it_waits():
                run(origin, ti=ti, if_exists="fail")
        clock.sleep(60)
        later = FakeTaskInstance(task_id="restore", try_number=2, run_after=ti.run_after, clear_number=1)
        with pytest.raises(TargetTableExistsError, match="It is this very restore, created at .*'fail'"):
            run(origin, ti=later, if_exists="fail")
        assert len(restores_sent(control_plane)) == 1


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
        with pytest.raises(TargetTableExistsError, match="It is this very restore, created at .*'fail'"):
            run(arn, ti=never_ran, if_exists="fail")

    def test_it_takes_another_run_s_table_with_a_warning(
        self, arn: str, never_ran: FakeTaskInstance, log: Callable[[], str]
    ) -> None:
        """It may have been written to."""
        assert run(arn, ti=never_ran) == TARGET
        assert "It was restored before this run started" in log()


class TestBackups:
    """Backups that can't be restored: nothing is made."""

    @pytest.fixture(autouse=True)
    def _nothing_is_made(self, control_plane: ControlPlane) -> Iterator[None]:
        yield
        assert "target" not in control_plane.client().list_tables()["TableNames"]

    def test_one_that_does_not_exist(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """It is asked for three times at least, and for as long as reads may be behind."""
        control_plane.lose_backup(arn)
        begun = clock.time()
        with pytest.raises(BackupNotRestorableError, match="times in a row"):
            run(arn)
        assert 10 <= clock.time() - begun < 60

    def test_one_that_is_not_known_everywhere_yet_is_not_gone(self, control_plane: ControlPlane, arn: str) -> None:
        """Three tries take less time than DescribeBackup may be behind."""
        control_plane.statuses[arn] = "CREATING"
        control_plane.fail_next("DescribeBackup", Fault(code="BackupNotFoundException"), times=3)
        with pytest.raises(BackupNotReadyError, match="It is CREATING"):
            run(arn)

    def test_one_that_vanishes_before_the_call(self, control_plane: ControlPlane, arn: str) -> None:
        """The call is made again, as above."""
        control_plane.fail_next("RestoreTableFromBackup", Fault(code="BackupNotFoundException"), times=9)
        with pytest.raises(BackupNotRestorableError, match="times in a row"):
            run(arn)

    def test_one_that_is_being_created(self, control_plane: ControlPlane, arn: str) -> None:
        """A retry finds it AVAILABLE."""
        control_plane.statuses[arn] = "CREATING"
        with pytest.raises(BackupNotReadyError, match="It is CREATING") as refusal:
            run(arn)
        assert not isinstance(refusal.value, PermanentError)

    def test_one_that_is_deleted(self, control_plane: ControlPlane, arn: str) -> None:
        """DescribeBackup may still know it."""
        control_plane.statuses[arn] = "DELETED"
        with pytest.raises(BackupNotRestorableError, match="It is DELETED"):
            run(arn)

    def test_a_recovery_point_is_refused_with_the_way(self) -> None:
        """AWS Backup restores it, and no call is made."""
        with pytest.raises(RecoveryPointError, match="StartRestoreJob restores it"):
            operator(f"arn:aws:backup:{REGION}:{ACCOUNT}:recovery-point:1EB3B5E7")

    def test_one_of_another_region(self, arn: str) -> None:
        """AWS would look for it in the region of the call."""
        with pytest.raises(OtherRegionError):
            run(arn, region_name="eu-west-1")

    def test_one_of_another_account(self, arn: str) -> None:
        """AWS denies it."""
        with pytest.raises(AccessDeniedError, match="DescribeBackup"):
            run(arn.replace(ACCOUNT, "999999999999"))


class TestSource:
    """Where the settings are read from, and how."""

    def test_ttl_and_stream_are_the_backup_s(self, control_plane: ControlPlane, arn: str) -> None:
        """The backup was made before the table had them."""
        for name in ("ttl", "stream"):
            give(control_plane, name)
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=["ttl", "stream"]).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == {"ttl": "same", "stream": "same"}

    def test_ttl_and_stream_are_the_table_s_where_the_backup_does_not_tell(
        self, control_plane: ControlPlane, arn: str
    ) -> None:
        """A response without the features says nothing of them."""
        give(control_plane, "ttl")
        control_plane.fail_next(
            "DescribeBackup",
            Fault(faults.Answer.ALTERED, committed=True, drop_members={"SourceTableFeatureDetails"}),
        )
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=["ttl"]).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == {"ttl": "applied"}

    def test_settings_of_another_table(self, control_plane: ControlPlane, arn: str) -> None:
        """Such as one that infrastructure as code has made again."""
        control_plane.tag_table("orders", team="shop")
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=["tags"], settings_from="orders").execute(fresh_context(ti))
        assert control_plane.client().list_tags_of_resource(ResourceArn=TARGET)["Tags"] == [
            {"Key": "team", "Value": "shop"}
        ]

    @pytest.mark.parametrize("moment", ["before", "made again", "deleting", "meanwhile"])
    def test_the_source_is_gone(self, control_plane: ControlPlane, arn: str, moment: str) -> None:
        """Its settings are unavailable but for those that the backup has."""
        for name in ("ttl", "tags"):
            give(control_plane, name)
        (arn,) = control_plane.add_backups("source", 1)
        if moment == "deleting":
            control_plane.statuses["source"] = "DELETING"
        elif moment == "meanwhile":
            control_plane.before("ListTagsOfResource", lambda: control_plane.drop_table("source"))
        else:
            control_plane.drop_table("source")
        if moment == "made again":
            make_source(control_plane)
            give(control_plane, "tags")
        ti = FakeTaskInstance(task_id="restore")
        run(arn, ti=ti, settings=["tags", "table_class", "ttl"], tags={"restored": "yes"})
        assert ti.xcoms["settings"] == {"tags": "unavailable", "ttl": "applied", "table_class": "unavailable"}
        assert control_plane.client().list_tags_of_resource(ResourceArn=TARGET)["Tags"] == [
            {"Key": "restored", "Value": "yes"}
        ]

    def test_the_source_goes_before_a_retry(self, control_plane: ControlPlane, arn: str) -> None:
        """What the first try has put back is the same; what the task adds says nothing of the source's."""
        for name in ("tags", "table_class"):
            give(control_plane, name)
        names, added = ["tags", "table_class", "kinesis"], {"restored": "yes"}
        run(arn, settings=["tags", "table_class"], tags=added)
        control_plane.drop_table("source")
        second, third = (FakeTaskInstance(task_id="restore", try_number=number) for number in (2, 3))
        run(arn, ti=second, settings=names, tags=added)
        assert second.xcoms["settings"] == {"tags": "same", "table_class": "same", "kinesis": "unavailable"}
        control_plane.client().untag_resource(ResourceArn=TARGET, TagKeys=["team", "tier"])
        run(arn, ti=third, settings=names, tags=added)
        assert third.xcoms["settings"]["tags"] == "unavailable"

    def test_the_log_says_which_backup_and_what_else_the_source_has(
        self, control_plane: ControlPlane, log: Callable[[], str]
    ) -> None:
        """Those that can't be read are left out."""
        for name in ("tags", "ttl", "kinesis", "resource_policy"):
            give(control_plane, name)
        arn = back_up(control_plane)
        control_plane.fail_next("GetResourcePolicy", DENIED)
        run(arn, settings=["tags"])
        lines = log()
        assert "Not asked for by settings: ttl, kinesis, which table source also has." in lines
        made = control_plane.client().describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
        assert f"The backup was created at {made['BackupCreationDateTime']:%Y-%m-%d}" in lines
        assert f"123 bytes: {arn}, named {made['BackupName']}" in lines

    def test_it_is_restored_under_its_own_name(self, control_plane: ControlPlane, arn: str) -> None:
        """Once the table is gone; a retry does not take the restore for the source."""
        control_plane.drop_table("source")
        first, second = FakeTaskInstance(task_id="restore"), FakeTaskInstance(task_id="restore", try_number=2)
        for ti in (first, second):
            assert run(arn, ti=ti, target_table_name="source") == ARN
            assert set(ti.xcoms["settings"].values()) == {"unavailable"}

    def test_the_table_named_for_them_does_not_exist(self, control_plane: ControlPlane, arn: str) -> None:
        """Nothing is made."""
        with pytest.raises(TableNotFoundError, match="table 'orders-2'"):
            run(arn, settings_from="orders-2")
        assert not sent(control_plane)

    @pytest.mark.parametrize("more", [{}, {"settings_from": "orders"}], ids=["its own", "another's"])
    @pytest.mark.parametrize(
        ("name", "operation"),
        # The backup itself tells of time to live.
        [*((name, read) for name, read in READS.items() if name != "ttl"), ("table_class", "DescribeTable")],
    )
    def test_one_that_can_t_be_read(
        self, control_plane: ControlPlane, arn: str, name: str, operation: str, more: dict[str, Any]
    ) -> None:
        """It is known before anything is made, and left out of ``settings`` it does no harm."""
        action = action_of(operation)
        items = ("PutItem", "UpdateItem", "DeleteItem", "GetItem", "Query", "Scan", "BatchWriteItem")
        restores = ("DescribeTable", "DescribeBackup", "RestoreTableFromBackup", *items)
        needed = {*restores, *READS.values()} - {operation}
        control_plane.policy = {
            "Statement": [
                {"Effect": "Allow", "Action": [action_of(one) for one in needed], "Resource": "*"},
                {"Effect": "Allow", "Action": action, "Resource": TARGET},
            ]
        }
        refused = f"table '{more.get('settings_from', 'source')}', region '{REGION}'. .*'{name}'"
        with pytest.raises(SettingsDeniedError, match=f"{refused}.*{action} answered .*leave these settings out"):
            run(arn, settings=["ttl", "stream", name], **more)
        assert not sent(control_plane)
        assert run(arn, settings=[], **more) == TARGET

    def test_one_that_can_t_be_read_for_minutes(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """The task gives up long before its own time is up."""
        control_plane.fail_next("ListTagsOfResource", THROTTLED, times=999)
        begun = clock.time()
        with pytest.raises(ThrottledError):
            run(arn)
        assert clock.time() - begun < 400
        assert not sent(control_plane)

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

    def test_a_later_try_waits_for_the_description_of_the_backup_as_for_a_setting(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """A neighbour may use up the rate of DescribeBackup for hours, and the table is there."""
        run(arn, settings=())
        control_plane.fail_next("DescribeBackup", THROTTLED, times=999)
        begun = clock.time()
        assert run(arn, first=False) == TARGET
        assert clock.time() - begun < 400

    def test_a_later_try_does_not_tell_to_choose_another_backup(
        self, control_plane: ControlPlane, log: Callable[[], str], arn: str
    ) -> None:
        """The table is there, and keeps what the backup had."""
        run(arn, settings=())
        control_plane.lose_backup(arn)
        assert run(arn, first=False) == TARGET
        assert "its backup can't be described: The backup does not exist: table 'source'" in (told := log())
        assert "Choose another backup" not in told

    @pytest.mark.parametrize("name", [name for name in READS if name != "ttl"])
    def test_an_empty_answer_is_asked_for_again(self, control_plane: ControlPlane, name: str) -> None:
        """It is not AWS's, and says nothing of the setting."""
        give(control_plane, name)
        control_plane.fail_next(READS[name], EMPTY_RESPONSE)
        assert restore_with(back_up(control_plane), name) == {name: "applied"}

    @pytest.mark.parametrize("name", ["kinesis", "contributor_insights"])
    def test_a_precision_or_mode_that_is_not_told_is_not_compared(self, control_plane: ControlPlane, name: str) -> None:
        """They are optional: the source's answer has none, the new table's has."""
        give(control_plane, name)
        untold = {"ApproximateCreationDateTimePrecision", "ContributorInsightsMode"}
        control_plane.fail_next(READS[name], Fault(Answer.ALTERED, drop_members=untold), times=2)
        control_plane.on_restore = lambda *_: control_plane.clear_faults()
        assert restore_with(back_up(control_plane), name) == {name: "applied"}

    def test_an_index_that_goes_while_insights_are_read_costs_no_other_setting(
        self, control_plane: ControlPlane
    ) -> None:
        """It is the index that does not exist, and not the table."""
        names = ("tags", "deletion_protection", "contributor_insights")
        for name in names:
            give(control_plane, name)
        gone = Fault(code="ResourceNotFoundException")
        # The table's own description is the first, the index's the second.
        control_plane.before(
            "DescribeContributorInsights", lambda: control_plane.fail_next("DescribeContributorInsights", gone)
        )
        assert restore_with(back_up(control_plane), *names) == dict.fromkeys(names, "applied")

    def test_more_tags_than_a_table_can_have_are_refused_before_anything_is_made(
        self, control_plane: ControlPlane
    ) -> None:
        """The source has 50, and the task has one more."""
        control_plane.tag_table("source", **{f"key-{number}": "x" for number in range(50)})
        with pytest.raises(InvalidValueError, match="tags must be so few that the table has at most 50"):
            run(back_up(control_plane), tags={"restored": "yes"})
        assert "target" not in control_plane.client().list_tables()["TableNames"]

    def test_a_listing_of_settings_that_goes_round_ends(self, control_plane: ControlPlane, arn: str) -> None:
        """It is read again some times, and nothing is made."""
        control_plane.tag_table("source", **{f"key-{number:02}": "x" for number in range(30)})
        fault = Fault(Answer.ALTERED, set_members={"NextToken": "key-00"})
        control_plane.fail_next("ListTagsOfResource", fault, times=999)
        with pytest.raises(AmbiguousOutcomeError, match="AWS returned the cursor 'key-00' twice"):
            run(arn)
        assert control_plane.calls["ListTagsOfResource"] < 60
        assert not sent(control_plane)


class TestAnswers:
    """Responses that leave out what they should tell, and calls that never succeed."""

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
