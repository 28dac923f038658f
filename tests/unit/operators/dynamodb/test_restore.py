"""DynamoDBRestoreTableFromBackupOperator: a restore, the wait for it, and the settings that a restore drops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    InvalidValueError,
    OtherAccountError,
    RestoreLostError,
    RestoreTimeoutError,
    SettingsFailedError,
    SettingsFailedForGoodError,
    TargetTableExistsError,
    TriggerFailedError,
)
from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableFromBackupOperator
from tests.simulator.control_plane import REGION
from tests.simulator.faults import (
    Fault,
)
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.restoring.support import (
    ARN,
    DEFAULTS,
    DENIED,
    NAMES,
    SHOP,
    TARGET,
    describe,
    fresh_context,
    give,
    make_source,
    operator,
    run,
    sent,
    success_event,
    tags_of,
)

if TYPE_CHECKING:
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


@pytest.fixture(autouse=True)
def _slow_restores(control_plane: ControlPlane) -> None:
    make_source(control_plane)
    control_plane.restoring_for = 200


@pytest.fixture
def arn(control_plane: ControlPlane) -> str:
    """Back up the table ``source``, and return the ARN."""
    (arn,) = control_plane.add_backups("source", 1)
    return str(arn)


def resume(arn: str, ti: FakeTaskInstance, event: dict[str, Any], **kwargs: Any) -> Any:
    """Resume a deferred task with an event."""
    task = operator(arn, deferrable=True, **kwargs)
    return task.resume_execution("execute_complete", {"event": event}, context_of(ti))


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
        operator(newer, settings=NAMES, tags={"restored": "yes"}).execute(fresh_context(ti))
        assert ti.xcoms["settings"] == dict.fromkeys(NAMES, "applied")
        tags = control_plane.client().list_tags_of_resource(ResourceArn=TARGET)["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "shop", "tier": "1", "restored": "yes"}

    def test_all_settings_are_all_but_ttl(self, control_plane: ControlPlane, arn: str) -> None:
        """It deletes data, and must be named."""
        ti = FakeTaskInstance(task_id="restore")
        operator(arn, settings="all").execute(fresh_context(ti))
        assert set(ti.xcoms["settings"]) == set(NAMES) - {"ttl"}

    @pytest.mark.parametrize("names", ["all", ["tags", "ttl"]])
    def test_settings_and_their_table_are_rendered(self, control_plane: ControlPlane, arn: str, names: Any) -> None:
        """Wrong ones are refused before anything is made."""
        control_plane.tag_table("orders", team="shop")
        task = operator(arn, settings="{{ settings }}", settings_from="{{ table }}")
        task.dag = DAG("restore", schedule=None, render_template_as_native_obj=True)
        task.render_template_fields(cast("Any", {"settings": names, "table": "orders"}))
        assert task.execute(fresh_context()) == TARGET
        assert tags_of(control_plane, TARGET) == {"team": "shop"}
        with pytest.raises(InvalidValueError, match=r"settings must be 'all' \(but 'ttl'\), or a list.*'{{ x }}'"):
            operator(arn, settings=["tags", "{{ x }}"]).execute(fresh_context())

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
        with pytest.raises(InvalidValueError, match=r"names of the source's indexes.*\['by-two'\]") as refusal:
            operator(arn, exclude_indexes=["by-two"]).execute(fresh_context())
        assert "by-one" in str(refusal.value)
        assert not sent(control_plane)


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
        source = {"table_arn": ARN, "backup_arn": arn, "moment": None, "since": None}
        assert kwargs.pop("deadline") > 0
        assert kwargs == {
            "source": source,
            "table_name": "target",
            "carry": {
                "of": ["shop", "manual__2026-11-23", "restore", -1],
                "try": 1,
                "aws": {
                    "aws_conn_id": "aws_default",
                    "region_name": REGION,
                    "verify": None,
                    "connection_found": True,
                },
                "source": source,
                "target": "target",
                "values": {"tags": {"team": "shop", "tier": "1"}},
                "unavailable": [],
            },
            "poll_interval": 20,
            "aws_conn_id": "aws_default",
            "region_name": REGION,
            "verify": None,
            "botocore_config": None,
            "connection_found": True,
        }

    def test_it_puts_the_settings_back_on_the_worker(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """Those that were read before, though the source is gone by then."""
        give(control_plane, "tags")
        ti = FakeTaskInstance(task_id="restore")
        event = success_event(clock, arn, ti)
        control_plane.drop_table("source")
        assert resume(arn, ti, event) == TARGET
        assert ti.xcoms["settings"] == dict.fromkeys(DEFAULTS, "same") | {"tags": "applied"}

    def test_settings_are_put_back_in_the_backup_s_account_only(
        self, control_plane: ControlPlane, clock: Clock, arn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection may lead elsewhere by then, where there is a table of that name too."""
        other = "210987654321"
        give(control_plane, "tags")
        event = success_event(clock, arn, ti := FakeTaskInstance(task_id="restore"))
        control_plane.create_table("target", account=other)
        role = control_plane.connection(role_arn=f"arn:aws:iam::{other}:role/backup")
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", role)
        tagged = control_plane.calls["TagResource"]
        with pytest.raises(OtherAccountError, match=f"'{other}'"):
            resume(arn, ti, event)
        assert control_plane.calls["TagResource"] == tagged

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
            {"status": "running", "table_arn": TARGET, "message": "", "carry": {"arn": ARN, "values": {}}},
            {"status": "success", "table_arn": "", "message": "", "carry": {"arn": ARN, "values": {}}},
            {"status": "success", "table_arn": TARGET, "message": "", "carry": None},
            {"status": "success", "table_arn": TARGET, "message": "", "carry": {"arn": ARN, "values": "tags"}},
            {"status": "success", "table_arn": TARGET, "message": "", "carry": {"arn": ARN, "values": {}}},
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
        event["carry"] = {"arn": ARN, "values": {}}
        with pytest.raises(kind, match="It is so"):
            operator(arn).resume_execution("execute_complete", {"event": event}, fresh_context())

    def test_no_triggerer_has_answered(self, arn: str) -> None:
        """Airflow's own limit is the net below."""
        with pytest.raises(RestoreTimeoutError, match=f"table 'target', backup '{arn}', region '{REGION}'"):
            operator(arn).resume_execution("__fail__", {"error": "Trigger timeout"}, fresh_context())


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

    @pytest.mark.parametrize("rendered", ["", "None", None], ids=repr)
    def test_what_templates_render_to_on_resume_does_not_matter(
        self, control_plane: ControlPlane, clock: Clock, arn: str, rendered: Any
    ) -> None:
        """What was decided comes with the event: also which settings, and where from."""
        for name in ("tags", "deletion_protection"):
            give(control_plane, name)
        ti = FakeTaskInstance(task_id="restore")
        event = success_event(clock, arn, ti, settings=["tags"], tags={"restored": "yes"})
        task = operator(arn, deferrable=True)
        task.backup_arn = task.target_table_name = task.region_name = task.aws_conn_id = task.verify = rendered
        assert task.resume_execution("execute_complete", {"event": event}, context_of(ti)) == TARGET
        assert ti.xcoms["settings"] == {"tags": "applied"}
        assert tags_of(control_plane, TARGET) == SHOP | {"restored": "yes"}

    def test_no_triggerer_has_answered_and_templates_render_to_nothing(self, arn: str) -> None:
        """The task may be retried all the same."""
        task = operator(arn)
        task.backup_arn = task.target_table_name = ""
        with pytest.raises(RestoreTimeoutError, match="No triggerer has reported"):
            task.resume_execution("__fail__", {"error": "Trigger timeout"}, fresh_context())

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
        with pytest.raises(RestoreLostError, match="The restored table no longer exists") as failure:
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
        event["carry"]["values"]["tags"] = [{"Key": "team", "Value": "shop"}]
        with pytest.raises(SettingsFailedError, match="tags: "):
            resume(arn, ti, event, tags=more)
        assert ti.xcoms["settings"]["tags"].startswith("failed: ")
        assert ti.xcoms["settings"]["deletion_protection"] == "applied"


class TestMessages:
    """Their hints are true where they are read, and no other failure hides them."""

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
        [
            {"backup_arn": None},
            {"backup_arn": ""},
            {"target_table_name": None},
            {"target_table_name": "a b c"},
            {"region_name": ""},
            # Not templated, but set by pre_execute, a subclass or a cluster policy.
            {"settings": ["tag"]},
            {"tags": {"aws:team": "shop"}},
            {"timeout": 59},
            {"kms_key_id": ""},
        ],
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
