"""DynamoDBRestoreTableFromBackupOperator: one table for a run, with the settings that a restore drops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    BackupNotReadyError,
    BackupNotRestorableError,
    InvalidValueError,
    OtherRegionError,
    PermanentError,
    RestoreLostError,
    RestoreTimeoutError,
    SettingsFailedError,
    SettingsFailedForGoodError,
    TableNotFoundError,
    TargetTableDeletingError,
    TargetTableExistsError,
    ThrottledError,
    TriggerFailedError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableFromBackupOperator
from tests.simulator import faults
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.simulator.faults import THROTTLED, Fault
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.restoring.tables import ARN, NAMES, give, make_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

TARGET = ARN.replace("source", "target")
DEFAULTS = ["tags", "point_in_time_recovery", "table_class", "deletion_protection"]
INDEX = {
    "IndexName": "by-one",
    "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}


@pytest.fixture(autouse=True)
def _slow_restores(control_plane: ControlPlane) -> None:
    make_source(control_plane)
    control_plane.restoring_for = 200


@pytest.fixture
def arn(control_plane: ControlPlane) -> str:
    """Back up the table ``source``, and return the ARN."""
    (arn,) = control_plane.add_backups("source", 1)
    return str(arn)


def operator(arn: str, **kwargs: Any) -> DynamoDBRestoreTableFromBackupOperator:
    """Return a task that restores a backup as ``target``."""
    settings: dict[str, Any] = {"target_table_name": "target", "backup_arn": arn, **kwargs}
    return DynamoDBRestoreTableFromBackupOperator(task_id="restore", **settings)


def describe(control_plane: ControlPlane, name: str = "target") -> dict[str, Any]:
    """Return the description of a table."""
    description: dict[str, Any] = control_plane.client().describe_table(TableName=name)["Table"]
    return description


def sent(control_plane: ControlPlane, operation: str = "RestoreTableFromBackup") -> list[dict[str, Any]]:
    """Return the bodies of the calls of an operation."""
    return [body for called, body in control_plane.requests if called == operation]


def fresh_context(ti: FakeTaskInstance | None = None) -> Context:
    """Return the context of a task instance that restores."""
    return context_of(ti or FakeTaskInstance(task_id="restore"))


class TestRestoring:
    """The usual way, and the values that are sent."""

    def test_the_table_is_restored_and_its_arn_returned(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """It waits until the table is ACTIVE, and pushes the ARN."""
        begun, ti = clock.time(), FakeTaskInstance(task_id="restore")
        assert operator(arn).execute(fresh_context(ti)) == TARGET
        assert 200 <= clock.time() - begun < 240
        assert describe(control_plane)["TableStatus"] == "ACTIVE"
        assert describe(control_plane)["RestoreSummary"]["SourceBackupArn"] == arn
        assert ti.xcoms["table_arn"] == TARGET
        assert ti.xcoms["settings"] == dict.fromkeys(DEFAULTS, "same")
        assert sent(control_plane) == [{"BackupArn": arn, "TargetTableName": "target"}]

    def test_every_setting_is_put_back(self, control_plane: ControlPlane, arn: str) -> None:
        """Also ttl and stream, of which the backup itself tells."""
        for name in NAMES:
            give(control_plane, name)
        (newer,) = control_plane.add_backups("source", 1)
        ti = FakeTaskInstance(task_id="restore")
        operator(newer, settings="all", tags={"restored": "yes"}).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == dict.fromkeys(NAMES, "applied")
        tags = control_plane.client().list_tags_of_resource(ResourceArn=TARGET)["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "shop", "tier": "1", "restored": "yes"}

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
        """Such as one that was made anew, by infrastructure as code."""
        control_plane.tag_table("orders", team="shop")
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=["tags"], settings_from="orders").execute(fresh_context(ti))
        assert control_plane.client().list_tags_of_resource(ResourceArn=TARGET)["Tags"] == [
            {"Key": "team", "Value": "shop"}
        ]

    def test_nothing_is_put_back_where_nothing_is_asked_for(self, control_plane: ControlPlane, arn: str) -> None:
        """And nothing is read."""
        give(control_plane, "tags")
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=()).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == {}
        assert control_plane.calls["ListTagsOfResource"] == control_plane.calls["DescribeContinuousBackups"] == 0

    def test_more_tags_alone(self, control_plane: ControlPlane, arn: str) -> None:
        """They need no tags of the source."""
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings=(), tags={"restored": "yes"}).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == {"tags": "applied"}

    def test_without_waiting_it_returns_at_once(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """The settings are none of its business then."""
        begun = clock.time()
        assert operator(arn, settings=(), wait_for_completion=False).execute(fresh_context()) == TARGET
        assert clock.time() - begun < 10
        assert describe(control_plane)["TableStatus"] == "CREATING"

    def test_overrides_are_sent_in_aws_s_shapes(self, control_plane: ControlPlane, arn: str) -> None:
        """None that is left out is sent."""
        units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
        task = operator(arn, billing_mode="PROVISIONED", provisioned_throughput=units, kms_key_id="alias/shop")
        task.execute(fresh_context())
        assert sent(control_plane) == [
            {
                "BackupArn": arn,
                "TargetTableName": "target",
                "BillingModeOverride": "PROVISIONED",
                "ProvisionedThroughputOverride": units,
                "SSESpecificationOverride": {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "alias/shop"},
            }
        ]

    def test_a_limit_of_on_demand_throughput_is_sent(self, control_plane: ControlPlane, arn: str) -> None:
        """-1 is no limit."""
        task = operator(arn, billing_mode="PAY_PER_REQUEST", on_demand_throughput={"MaxReadRequestUnits": -1})
        task.execute(fresh_context())
        (body,) = sent(control_plane)
        assert body["OnDemandThroughputOverride"] == {"MaxReadRequestUnits": -1}

    @pytest.mark.parametrize("excluded", ["all", ["by-one"]])
    def test_an_empty_list_excludes_all_indexes(self, control_plane: ControlPlane, arn: str, excluded: Any) -> None:
        """It is sent only where there are indexes."""
        operator(arn, exclude_indexes=excluded).execute(fresh_context())
        (body,) = sent(control_plane)
        assert body["GlobalSecondaryIndexOverride"] == []
        assert "LocalSecondaryIndexOverride" not in body
        assert not describe(control_plane)["GlobalSecondaryIndexes"]

    def test_an_index_that_the_backup_has_not_is_refused(self, control_plane: ControlPlane, arn: str) -> None:
        """Nothing is made, and the message has the names that there are."""
        with pytest.raises(InvalidValueError, match=r"names of the backup's indexes.*\['by-two'\]") as refusal:
            operator(arn, exclude_indexes=["by-two"]).execute(fresh_context())
        assert "by-one" in str(refusal.value)
        assert not sent(control_plane)


def run(arn: str, *, first: bool = True, ti: FakeTaskInstance | None = None, **kwargs: Any) -> str:
    """Run a try of the task; a later one has another task instance of the same run."""
    ti = ti or FakeTaskInstance(task_id="restore", try_number=1 if first else 2)
    return operator(arn, **kwargs).execute(context_of(ti))


def kill(*_: object, **__: object) -> None:
    """Stand for a worker that is killed while it waits."""
    raise KeyboardInterrupt


class TestOneTable:
    """However responses are lost and tasks are killed, cleared and retried: one table, restored from this backup."""

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
    def test_a_lost_response(
        self, control_plane: ControlPlane, arn: str, fault: Fault, if_exists: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whether the restore was committed or not is found out."""
        # The hook counts in real seconds.
        monkeypatch.setattr(DynamoDBBackupHook, "call_seconds", 0.5)
        control_plane.fail_next("RestoreTableFromBackup", fault)
        assert run(arn, if_exists=if_exists) == TARGET
        assert describe(control_plane)["RestoreSummary"]["SourceBackupArn"] == arn
        assert control_plane.calls["RestoreTableFromBackup"] <= 2

    def test_many_ambiguous_outcomes(self, control_plane: ControlPlane, arn: str) -> None:
        """After four calls that have made nothing, the task fails with AWS's reason."""
        control_plane.fail_next("RestoreTableFromBackup", faults.INTERNAL_ERROR, times=9)
        with pytest.raises(AmbiguousOutcomeError, match=f"table 'target', backup '{arn}'.*InternalServerError"):
            run(arn)
        assert control_plane.calls["RestoreTableFromBackup"] == 4

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

    @pytest.mark.parametrize("if_exists", ["reuse", "fail"])
    @pytest.mark.parametrize("passed", [0, 9999])
    def test_a_later_try_takes_the_table(
        self, control_plane: ControlPlane, clock: Clock, arn: str, if_exists: str, passed: float
    ) -> None:
        """Also one that is complete by then; the settings are put back once."""
        give(control_plane, "tags")
        started = datetime.fromtimestamp(clock.time(), tz=UTC)
        first, second = (FakeTaskInstance(task_id="restore", try_number=number, run_after=started) for number in (1, 2))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_ddb_backup.operators.dynamodb.restore.wait_on_worker", kill)
            with pytest.raises(KeyboardInterrupt):
                run(arn, ti=first, if_exists=if_exists)
        clock.sleep(passed)
        assert run(arn, ti=second, if_exists=if_exists) == TARGET
        assert control_plane.calls["RestoreTableFromBackup"] == 1
        assert [body["ResourceArn"] for body in sent(control_plane, "TagResource")] == [ARN, TARGET]

    def test_a_cleared_run_takes_the_table(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """It was started anew since, but the table is from after it was due."""
        due = datetime.fromtimestamp(clock.time(), tz=UTC)
        assert run(arn, ti=FakeTaskInstance(task_id="restore", run_after=due), if_exists="fail") == TARGET
        cleared = FakeTaskInstance(
            task_id="restore", try_number=2, run_after=due, started=due + timedelta(days=1), clear_number=1
        )
        clock.sleep(86_400)
        assert run(arn, ti=cleared, if_exists="fail") == TARGET
        assert control_plane.calls["RestoreTableFromBackup"] == 1

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
        later = datetime.fromtimestamp(clock.time(), tz=UTC)
        assert run(arn, ti=FakeTaskInstance(task_id="restore", run_after=later)) == TARGET
        assert "was restored before this run started" in log()

    def test_another_run_may_refuse_it(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """if_exists is 'fail'."""
        run(arn)
        clock.sleep(86_400)
        later = datetime.fromtimestamp(clock.time(), tz=UTC)
        with pytest.raises(TargetTableExistsError, match="It is this backup's restore, created at .*'fail'"):
            run(arn, ti=FakeTaskInstance(task_id="restore", run_after=later), if_exists="fail")

    @pytest.mark.parametrize("moment", ["before", "meanwhile"])
    @pytest.mark.parametrize(
        ("made_by", "text"),
        [("another backup", "It was restored from backup"), ("somebody", "It was not made by a restore")],
    )
    def test_another_table_is_refused(
        self, control_plane: ControlPlane, arn: str, moment: str, made_by: str, text: str
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
            run(arn)
        assert f"table 'target', backup '{arn}', region '{REGION}'" in str(refusal.value)

    def test_a_table_that_is_being_deleted_is_refused(self, control_plane: ControlPlane, arn: str) -> None:
        """A retry may restore it."""
        control_plane.create_table("target")
        control_plane.statuses["target"] = "DELETING"
        with pytest.raises(TargetTableDeletingError, match="A retry restores") as refusal:
            run(arn)
        assert not isinstance(refusal.value, PermanentError)


class TestBackups:
    """Backups that can't be restored: nothing is made."""

    @pytest.fixture(autouse=True)
    def _nothing_is_made(self, control_plane: ControlPlane) -> Iterator[None]:
        yield
        assert "target" not in control_plane.client().list_tables()["TableNames"]

    def test_one_that_does_not_exist(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """It is asked for three times."""
        control_plane.lose_backup(arn)
        begun = clock.time()
        with pytest.raises(BackupNotRestorableError, match="3 times in a row"):
            run(arn)
        assert clock.time() - begun < 60

    def test_one_that_vanishes_before_the_call(self, control_plane: ControlPlane, arn: str) -> None:
        """The call is made three times."""
        control_plane.fail_next("RestoreTableFromBackup", Fault(code="BackupNotFoundException"), times=9)
        with pytest.raises(BackupNotRestorableError, match="3 times in a row"):
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

    def test_one_of_another_region(self, arn: str) -> None:
        """AWS would look for it in the region of the call."""
        with pytest.raises(OtherRegionError):
            run(arn, region_name="eu-west-1")

    def test_one_of_another_account(self, arn: str) -> None:
        """AWS denies it."""
        with pytest.raises(AccessDeniedError, match="DescribeBackup"):
            run(arn.replace(ACCOUNT, "999999999999"))


class TestSettings:
    """Settings that can't be read, or can't be put back."""

    def test_one_that_can_t_be_read(self, control_plane: ControlPlane, arn: str) -> None:
        """It is known before anything is made."""
        allowed = ["dynamodb:DescribeTable", "dynamodb:DescribeBackup", "dynamodb:RestoreTableFromBackup"]
        control_plane.policy = {"Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}
        with pytest.raises(AccessDeniedError, match="dynamodb:ListTagsOfResource"):
            run(arn)
        assert not sent(control_plane)

    def test_one_that_can_t_be_read_for_minutes(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """The task gives up long before its own time is up."""
        control_plane.fail_next("ListTagsOfResource", THROTTLED, times=999)
        begun = clock.time()
        with pytest.raises(ThrottledError):
            run(arn)
        assert clock.time() - begun < 400
        assert not sent(control_plane)

    def test_one_that_can_t_be_put_back(self, control_plane: ControlPlane, arn: str) -> None:
        """The others are, the task fails with all reasons, and a retry does only the rest."""
        for name in NAMES:
            give(control_plane, name)
        (arn,) = control_plane.add_backups("source", 1)
        control_plane.fail_next("UpdateTimeToLive", THROTTLED, times=999)
        control_plane.fail_next("TagResource", Fault(code="AccessDeniedException"))
        ti = FakeTaskInstance(task_id="restore")
        with pytest.raises(SettingsFailedError, match=r"tags: Access is denied.* ttl: AWS throttles") as failure:
            run(arn, ti=ti, settings="all")
        assert not isinstance(failure.value, PermanentError)
        assert ti.xcoms["table_arn"] == TARGET
        for name in ("tags", "ttl"):
            assert ti.xcoms["settings"].pop(name).startswith("failed: ")
        assert set(ti.xcoms["settings"].values()) == {"applied"}
        control_plane.clear_faults()
        ti = FakeTaskInstance(task_id="restore", try_number=2)
        run(arn, ti=ti, settings="all")
        assert ti.xcoms["settings"] == dict.fromkeys(NAMES, "same") | {"tags": "applied", "ttl": "applied"}

    def test_one_that_no_retry_can_put_back(self, control_plane: ControlPlane, arn: str) -> None:
        """The task fails at once."""
        give(control_plane, "tags")
        control_plane.fail_next("TagResource", Fault(code="AccessDeniedException"))
        with pytest.raises(SettingsFailedForGoodError, match=f"table 'target', backup '{arn}', region '{REGION}'"):
            run(arn)

    def test_a_report_that_can_t_be_pushed_hides_no_failure(
        self, control_plane: ControlPlane, arn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The failure is the task's."""
        give(control_plane, "tags")
        control_plane.fail_next("TagResource", Fault(code="AccessDeniedException"))
        push = FakeTaskInstance.xcom_push

        def break_down(ti: FakeTaskInstance, key: str, value: object) -> None:
            if key == "settings":
                message = "no database"
                raise RuntimeError(message)
            push(ti, key, value)

        monkeypatch.setattr(FakeTaskInstance, "xcom_push", break_down)
        with pytest.raises(SettingsFailedForGoodError):
            run(arn)

    @pytest.mark.parametrize("moment", ["before", "made anew", "deleting", "meanwhile"])
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
        if moment == "made anew":
            make_source(control_plane)
            give(control_plane, "tags")
        ti = FakeTaskInstance(task_id="restore")
        run(arn, ti=ti, settings=["tags", "table_class", "ttl"], tags={"restored": "yes"})
        assert ti.xcoms["settings"] == {"tags": "unavailable", "ttl": "applied", "table_class": "unavailable"}
        assert control_plane.client().list_tags_of_resource(ResourceArn=TARGET)["Tags"] == [
            {"Key": "restored", "Value": "yes"}
        ]

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

    def test_a_table_that_is_updating_for_long_is_waited_for(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """Such as a large one whose class changes; the others are put back before it."""
        for name in ("table_class", "deletion_protection"):
            give(control_plane, name)
        control_plane.updating_for = 600
        ti = FakeTaskInstance(task_id="restore")
        run(arn, ti=ti)
        assert ti.xcoms["settings"]["table_class"] == ti.xcoms["settings"]["deletion_protection"] == "applied"


class TestWaiting:
    """Waiting, on the worker and on the triggerer."""

    def test_a_restore_that_vanishes(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """AWS undoes one that fails: the task says so within three polls."""
        control_plane.on_restore = lambda *_: control_plane.drop_table("target")
        begun = clock.time()
        with pytest.raises(RestoreLostError, match=f"table 'target', backup '{arn}'.*3 times in a row"):
            run(arn)
        assert clock.time() - begun < 100

    def test_a_table_that_another_one_replaces(self, control_plane: ControlPlane, arn: str) -> None:
        """It is not this backup's restore."""

        def replace(*_: object) -> None:
            control_plane.drop_table("target")
            control_plane.create_table("target")

        control_plane.on_restore = replace
        with pytest.raises(RestoreLostError, match="another table of that name"):
            run(arn)

    def test_a_table_that_somebody_deletes(self, control_plane: ControlPlane, arn: str) -> None:
        """It is DELETING."""
        control_plane.on_restore = lambda *_: control_plane.statuses.update(target="DELETING")
        with pytest.raises(RestoreLostError, match="The table is DELETING"):
            run(arn)

    def test_time_is_up(self, control_plane: ControlPlane, arn: str) -> None:
        """The message names table, backup, elapsed time, and that the restore goes on."""
        control_plane.restoring_for = 9999
        with pytest.raises(RestoreTimeoutError, match="The restore goes on") as failure:
            run(arn, timeout=300)
        assert f"table 'target', backup '{arn}', region '{REGION}'. Last status CREATING" in str(failure.value)
        assert "restore in progress, 1 of 1 indexes not ACTIVE, " in str(failure.value)

    def test_it_defers_with_all_that_the_wait_needs(self, control_plane: ControlPlane, arn: str) -> None:
        """The settings were read before the restore, and come back with the event."""
        give(control_plane, "tags")
        with pytest.raises(TaskDeferred) as deferred:
            run(arn, deferrable=True, settings=["tags"], poll_interval=20)
        kwargs = deferred.value.trigger.serialize()[1]
        assert kwargs.pop("deadline") > 0
        assert kwargs == {
            "backup_arn": arn,
            "table_name": "target",
            "carry": {
                "backup_arn": arn,
                "settings": {"arn": ARN, "values": {"tags": {"team": "shop", "tier": "1"}}},
            },
            "poll_interval": 20,
            "aws_conn_id": "aws_default",
            "region_name": REGION,
            "verify": None,
            "botocore_config": None,
        }

    def test_it_puts_the_settings_back_on_the_worker(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """Those that were read before, though the source is gone by then."""
        give(control_plane, "tags")
        ti = FakeTaskInstance(task_id="restore")
        with pytest.raises(TaskDeferred) as deferred:
            run(arn, ti=ti, deferrable=True)
        control_plane.drop_table("source")
        clock.sleep(300)
        kwargs = deferred.value.trigger.serialize()[1]
        event = {"status": "success", "table_arn": TARGET, "message": "", "carry": kwargs["carry"]}
        task = operator(arn, deferrable=True)
        assert task.resume_execution("execute_complete", {"event": event}, context_of(ti)) == TARGET
        assert ti.xcoms["settings"] == dict.fromkeys(DEFAULTS, "same") | {"tags": "applied"}

    def test_a_complete_table_is_not_waited_for(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """Deferrable or not."""
        run(arn)
        assert run(arn, deferrable=True) == TARGET

    @pytest.mark.parametrize(
        "event",
        [
            None,
            {},
            {"status": "success"},
            {
                "status": "running",
                "table_arn": TARGET,
                "message": "",
                "carry": {"settings": {"arn": ARN, "values": {}}},
            },
            {"status": "success", "table_arn": "", "message": "", "carry": {"settings": {"arn": ARN, "values": {}}}},
            {"status": "success", "table_arn": TARGET, "message": "", "carry": {"settings": None}},
            {
                "status": "success",
                "table_arn": TARGET,
                "message": "",
                "carry": {"settings": {"arn": ARN, "values": "tags"}},
            },
            {
                "status": "success",
                "table_arn": TARGET,
                "message": "",
                "carry": {"settings": {"arn": ARN, "values": {}}},
            },
        ],
        ids=repr,
    )
    def test_no_event_but_its_own_is_a_success(self, arn: str, event: Any) -> None:
        """Nothing unknown or incomplete is."""
        with pytest.raises(TriggerFailedError, match=f"table 'target', backup '{arn}', region '{REGION}'"):
            operator(arn).resume_execution("execute_complete", {"event": event}, fresh_context())

    @pytest.mark.parametrize(("status", "kind"), [("error", RestoreLostError), ("timeout", RestoreTimeoutError)])
    def test_the_event_of_a_wait_that_failed(self, arn: str, status: str, kind: type[Exception]) -> None:
        """Its message is the exception's."""
        event: dict[str, Any] = {"status": status, "table_arn": "", "message": "It is so."}
        event["carry"] = {"settings": {"arn": ARN, "values": {}}, "backup_arn": arn}
        with pytest.raises(kind, match="It is so"):
            operator(arn).resume_execution("execute_complete", {"event": event}, fresh_context())

    def test_no_triggerer_has_answered(self, arn: str) -> None:
        """Airflow's own limit is the net below."""
        with pytest.raises(RestoreTimeoutError, match=f"table 'target', backup '{arn}', region '{REGION}'"):
            operator(arn).resume_execution("__fail__", {"error": "Trigger timeout"}, fresh_context())


class TestBadInput:
    """Literal values are refused when the DAG is parsed, templated ones when rendered."""

    @pytest.mark.parametrize(
        "wrong",
        [
            {"target_table_name": "ab"},
            {"target_table_name": ARN},
            {"target_table_name": 123},
            {"if_exists": "create"},
            {"billing_mode": "ON_DEMAND"},
            {"billing_mode": ""},
            {"provisioned_throughput": {}},
            {"provisioned_throughput": {"ReadCapacityUnits": 5}},
            {"provisioned_throughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 1}},
            {"provisioned_throughput": {"ReadCapacityUnits": "5", "WriteCapacityUnits": "5"}},
            {"provisioned_throughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5, "Units": 1}},
            {"provisioned_throughput": [5, 5]},
            {
                "provisioned_throughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
                "billing_mode": "PAY_PER_REQUEST",
            },
            {"on_demand_throughput": {}},
            {"on_demand_throughput": {"MaxReadRequestUnits": 0}},
            {"on_demand_throughput": {"ReadCapacityUnits": 5}},
            {"on_demand_throughput": {"MaxReadRequestUnits": 5}, "billing_mode": "PROVISIONED"},
            {
                "provisioned_throughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
                "on_demand_throughput": {"MaxReadRequestUnits": 5},
            },
            {"kms_key_id": ""},
            {"kms_key_id": 5},
            {"exclude_indexes": "by-one"},
            {"exclude_indexes": None},
            {"exclude_indexes": [""]},
            {"settings": "tags"},
            {"settings": ["tag"]},
            {"settings": None},
            {"settings": [None]},
            {"settings_from": "ab"},
            {"settings_from": ARN},
            {"tags": {}},
            {"tags": {"aws:team": "shop"}},
            {"tags": {"": "shop"}},
            {"tags": {"team": 5}},
            {"tags": {"team": "s" * 257}},
            {"tags": ["team"]},
            {"wait_for_completion": False},
            {"wait_for_completion": False, "settings": (), "tags": {"team": "shop"}},
            {"poll_interval": 0},
            {"timeout": 59},
            {"timeout": timedelta(days=7, seconds=1)},
            {"botocore_config": {"nonsense": 1}},
        ],
        ids=repr,
    )
    def test_a_wrong_value_is_refused_when_the_dag_is_parsed(self, arn: str, wrong: dict[str, Any]) -> None:
        """The message names the parameter."""
        with pytest.raises(InvalidValueError, match="|".join(wrong)):
            operator(arn, **wrong)

    @pytest.mark.parametrize(
        "rendered",
        [{"backup_arn": None}, {"backup_arn": ""}, {"target_table_name": None}, {"target_table_name": "a b c"}],
        ids=repr,
    )
    def test_a_wrong_value_is_refused_when_it_is_rendered(
        self, control_plane: ControlPlane, arn: str, rendered: dict[str, Any]
    ) -> None:
        """Nothing is made."""
        task = operator(arn)
        for name, value in rendered.items():
            setattr(task, name, value)
        with pytest.raises(InvalidValueError):
            task.execute(fresh_context())
        assert not sent(control_plane)

    def test_templates_are_not_checked_when_the_dag_is_parsed(self) -> None:
        """They are rendered later."""
        assert operator("{{ arn }}", target_table_name="{{ name }}").target_table_name == "{{ name }}"

    def test_settings_of_the_new_table_itself(self, control_plane: ControlPlane, arn: str) -> None:
        """It has none yet."""
        with pytest.raises(InvalidValueError, match="settings_from"):
            run(arn, settings_from="target")
        assert not sent(control_plane)
