"""The settings that a restore drops, put back on the restored table."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ddb_backup.exceptions import (
    PermanentError,
    SettingsFailedError,
    SettingsFailedForGoodError,
)
from airflow_ddb_backup.report import Report
from airflow_ddb_backup.restoring.put_back import put_back
from airflow_ddb_backup.restoring.request import SettingsRequest
from airflow_ddb_backup.restoring.settings import (
    SettingsOf,
    SimpleSetting,
    read_settings,
)
from tests.simulator.control_plane import REGION
from tests.simulator.faults import (
    DROPPED_AFTER_COMMIT,
    EMPTY_RESPONSE,
    HTML_OF_A_PROXY,
    HTML_OF_A_PROXY_AFTER_COMMIT,
    INTERNAL_ERROR_AFTER_COMMIT,
    THROTTLED,
    Answer,
    Fault,
)
from tests.unit.conftest import FakeTaskInstance
from tests.unit.restoring.support import (
    ARN,
    DENIED,
    KINESIS,
    NAMES,
    NOT_FOUND,
    READS,
    SOURCE,
    TARGET,
    WRITES,
    back_up,
    give,
    make_source,
    put,
    restore,
    restore_with,
    run,
    scaling,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_ddb_backup.restoring.settings import Change
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("source")

# Responses that are lost, or are a proxy's, who has passed the call on or not.
LOST = {
    "dropped": DROPPED_AFTER_COMMIT,
    "internal error": INTERNAL_ERROR_AFTER_COMMIT,
    "HTML after the commit": HTML_OF_A_PROXY_AFTER_COMMIT,
    "HTML": HTML_OF_A_PROXY,
}


def move(names: list[str]) -> dict[str, str]:
    """Put settings of the source back on the target."""
    return put(read_settings(names, table("source")))


def test_every_setting_is_put_back(control_plane: ControlPlane) -> None:
    """Reading both tables gives the same values, and a second time there is nothing to do."""
    for name in NAMES:
        give(control_plane, name)
    restore(control_plane)
    control_plane.updating_for = 5
    assert move(NAMES) == dict.fromkeys(NAMES, "applied")
    source, target = (read_settings(NAMES, table(name)) for name in ("source", "target"))
    assert source == target
    new = ARN.replace("source", "target")
    policy = json.loads(control_plane.client().get_resource_policy(ResourceArn=new)["Policy"])
    assert policy["Statement"][0]["Resource"] == [new, f"{new}/index/*", f"{ARN}-eu"]
    calls = control_plane.calls.copy()
    assert move(NAMES) == dict.fromkeys(NAMES, "same")
    changes = {operation for operation in control_plane.calls if control_plane.calls[operation] > calls[operation]}
    assert not [operation for operation in changes if not operation.startswith(("Describe", "List", "Get"))]


def test_a_table_without_any_has_nothing_to_put_back(control_plane: ControlPlane) -> None:
    """No call changes anything."""
    restore(control_plane)
    before = control_plane.calls.copy()
    assert move(NAMES) == dict.fromkeys(NAMES, "same")
    assert control_plane.calls["UpdateTable"] == before["UpdateTable"]


def test_a_resource_policy_that_keeps_the_task_from_reading_it_is_applied(control_plane: ControlPlane) -> None:
    """AWS has accepted it: a retry could tell no more."""
    give(control_plane, "resource_policy")
    restore(control_plane)
    denied = Fault(code="AccessDeniedException")
    reads = control_plane.calls["GetResourcePolicy"]
    control_plane.before("PutResourcePolicy", lambda: control_plane.fail_next("GetResourcePolicy", denied, times=99))
    assert move(["resource_policy"]) == {"resource_policy": "applied"}
    assert control_plane.calls["GetResourcePolicy"] > reads


def test_one_that_can_t_be_put_back_stops_no_other(control_plane: ControlPlane) -> None:
    """A retry does only the rest."""
    for name in NAMES:
        give(control_plane, name)
    restore(control_plane)
    control_plane.fail_next("UpdateTimeToLive", Fault(code="ValidationException"))
    went = move(NAMES)
    assert went.pop("ttl").startswith("failed: AWS finds the request invalid: table 'target'")
    assert went.pop("resource_policy").startswith("failed: not tried, since it may deny the retry")
    assert set(went.values()) == {"applied"}
    assert move(NAMES) == dict.fromkeys(NAMES, "same") | {"ttl": "applied", "resource_policy": "applied"}


def test_what_passes_is_waited_for(control_plane: ControlPlane) -> None:
    """Throttled for a minute, a table that is UPDATING, and backups that are being enabled."""
    names = ["tags", "table_class", "point_in_time_recovery", "deletion_protection"]
    for name in names:
        give(control_plane, name)
    restore(control_plane)
    control_plane.updating_for = 40
    control_plane.backups_enabled_after = 6
    control_plane.fail_next("TagResource", THROTTLED, times=5)
    assert move(names) == dict.fromkeys(names, "applied")


def test_a_setting_that_does_not_take_is_a_failure(control_plane: ControlPlane) -> None:
    """It is read again: what AWS has answered is no proof."""
    give(control_plane, "tags")
    restore(control_plane)
    control_plane.fail_next("TagResource", Fault(committed=False, code="", status=200))
    (outcome,) = move(["tags"]).values()
    assert "It reads as {}, and not as {'team': 'shop', 'tier': '1'}." in outcome


def test_what_is_not_known_is_unavailable(control_plane: ControlPlane) -> None:
    """As when the source is gone."""
    restore(control_plane)
    assert put({"ttl": "ends"}, ["tags"]) == {"tags": "unavailable", "ttl": "applied"}


def test_indexes_that_were_not_restored_are_left_out(control_plane: ControlPlane) -> None:
    """Of insights and scaling."""
    names = ["contributor_insights", "auto_scaling"]
    for name in names:
        give(control_plane, name)
    restore(control_plane, GlobalSecondaryIndexOverride=[])
    assert move(names) == dict.fromkeys(names, "applied")
    assert list(read_settings(names, table("target"))["contributor_insights"]) == [""]


def test_other_tags_stay(control_plane: ControlPlane) -> None:
    """Those of AWS are not copied, those that were given to the new table are kept."""
    give(control_plane, "tags")
    control_plane.tag_table("source", **{"aws:cloudformation:stack-name": "shop"})
    restore(control_plane)
    control_plane.tag_table("target", restored="yes", tier="2")
    assert move(["tags"]) == {"tags": "applied"}
    assert read_settings(["tags"], table("target"))["tags"] == {"team": "shop", "tier": "1", "restored": "yes"}


class TestPartsAndStates:
    """A setting of several parts, each put back by itself; it is on, on its way, or failed."""

    def test_a_lost_response_of_one_part_stops_no_other(self, control_plane: ControlPlane) -> None:
        """The second try is refused, since the first stream is on; the second one has its turn."""
        other = KINESIS.replace("changes", "other")
        for arn in (KINESIS, other):
            control_plane.client().enable_kinesis_streaming_destination(TableName="source", StreamArn=arn)
        restore(control_plane)
        control_plane.fail_next("EnableKinesisStreamingDestination", DROPPED_AFTER_COMMIT)
        assert move(["kinesis"]) == {"kinesis": "applied"}
        assert read_settings(["kinesis"], table("target"))["kinesis"].keys() == {KINESIS, other}

    def test_a_missing_kinesis_stream_is_no_missing_table(self, control_plane: ControlPlane) -> None:
        """AWS has one code for both, and the table was described just before."""
        give(control_plane, "kinesis")
        restore(control_plane)
        control_plane.fail_next("EnableKinesisStreamingDestination", NOT_FOUND)
        assert move(["kinesis"])["kinesis"].startswith("failed: The Kinesis stream does not exist: table 'target'")

    def test_a_denied_part_stops_no_other(self, control_plane: ControlPlane) -> None:
        """And is the reason of the failure."""
        give(control_plane, "contributor_insights")
        restore(control_plane)
        control_plane.fail_next("UpdateContributorInsights", DENIED)
        assert move(["contributor_insights"])["contributor_insights"].startswith("failed: Access is denied")
        assert list(read_settings(["contributor_insights"], table("target"))["contributor_insights"]) == ["by-one"]

    def test_a_refusal_counts_once_reads_have_had_their_lag(self, control_plane: ControlPlane) -> None:
        """A lost response, and reads that are behind: AWS refuses a second change within an hour."""
        give(control_plane, "ttl")
        restore(control_plane)
        control_plane.fail_next("UpdateTimeToLive", DROPPED_AFTER_COMMIT)
        behind = Fault(Answer.ALTERED, set_members={"TimeToLiveStatus": "DISABLED"})
        values = read_settings(["ttl"], table("source"))
        control_plane.fail_next("DescribeTimeToLive", behind, times=4)
        assert put(values) == {"ttl": "applied"}

    @pytest.mark.parametrize(
        ("name", "operation", "member"),
        [
            ("kinesis", "DescribeKinesisStreamingDestination", "DestinationStatus"),
            ("contributor_insights", "DescribeContributorInsights", "ContributorInsightsStatus"),
        ],
    )
    def test_what_is_on_its_way_is_waited_for(
        self, control_plane: ControlPlane, clock: Clock, name: str, operation: str, member: str
    ) -> None:
        """For a minute; then it is begun, and a later try finds it on."""
        give(control_plane, name)
        values = read_settings([name], table("source"))
        restore(control_plane)
        put(values)
        enabling = Fault(Answer.ALTERED, set_members={member: "ENABLING"})
        control_plane.fail_next(operation, enabling, times=9)
        assert put(values) == {name: "applied"}
        control_plane.clear_faults()
        control_plane.fail_next(operation, enabling, times=999)
        begun = clock.time()
        assert put(values) == {name: "begun"}
        assert 60 <= clock.time() - begun < 70
        control_plane.clear_faults()
        assert put(values) == {name: "same"}

    @pytest.mark.parametrize(
        ("name", "operation", "enabling", "failed", "told"),
        [
            (
                "kinesis",
                "DescribeKinesisStreamingDestination",
                {"DestinationStatus": "ENABLING"},
                {"DestinationStatus": "ENABLE_FAILED", "DestinationStatusDescription": "The stream is full."},
                f"{KINESIS} The stream is full.",
            ),
            (
                "contributor_insights",
                "DescribeContributorInsights",
                {"ContributorInsightsStatus": "ENABLING"},
                {
                    "ContributorInsightsStatus": "FAILED",
                    "FailureException": {"ExceptionName": "Limit", "ExceptionDescription": "Too many rules."},
                },
                "Too many rules.; by-one Too many rules.",
            ),
        ],
        ids=["kinesis", "insights"],
    )
    def test_what_has_failed_is_told_with_aws_s_reason(
        self,
        control_plane: ControlPlane,
        name: str,
        operation: str,
        enabling: dict[str, Any],
        failed: dict[str, Any],
        told: str,
    ) -> None:
        """Though the call was taken, and it was on its way at first."""
        give(control_plane, name)
        values = read_settings([name], table("source"))
        restore(control_plane)
        parts = len(values[name])
        control_plane.fail_next(operation, Fault(Answer.ALTERED), times=parts)
        control_plane.fail_next(operation, Fault(Answer.ALTERED, set_members=enabling), times=4 * parts)
        control_plane.fail_next(operation, Fault(Answer.ALTERED, set_members=failed, adds=True), times=99)
        (outcome,) = put(values).values()
        assert f"AWS could not turn it on: {told}" in outcome

    def test_a_change_of_ttl_within_an_hour_is_left_to_a_retry(self, control_plane: ControlPlane) -> None:
        """AWS takes it then: the failure is not permanent."""
        give(control_plane, "ttl")
        restore(control_plane)
        another = {"Enabled": True, "AttributeName": "another"}
        control_plane.client().update_time_to_live(TableName="target", TimeToLiveSpecification=another)
        report = Report[str]()
        request = SettingsRequest(SOURCE, "target", {"ttl": "ends"})
        put_back(request, table("target"), report)
        assert not isinstance(report.failed["ttl"], PermanentError)
        assert "multiple times" in str(report.failed["ttl"])

    @pytest.mark.parametrize("seconds", [90, 1200])
    def test_recovery_of_a_young_table_is_waited_for(
        self, control_plane: ControlPlane, clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: float
    ) -> None:
        """AWS may not be ready for it for twenty minutes."""
        give(control_plane, "point_in_time_recovery")
        restore(control_plane)
        fault = Fault(code="ContinuousBackupsUnavailableException")
        control_plane.fail_next("UpdateContinuousBackups", fault, times=9999)
        begun, end = clock.time(), clock.time() + seconds
        sleep = clock.sleep

        def until_it_is_ready(slept: float, until: Any = None) -> None:
            sleep(slept, until)
            if clock.time() >= end:
                control_plane.clear_faults()

        monkeypatch.setattr(clock, "sleep", until_it_is_ready)
        assert move(["point_in_time_recovery"]) == {"point_in_time_recovery": "applied"}
        assert seconds <= clock.time() - begun < seconds + 60


class TestAutoScaling:
    """Targets, policies and scheduled actions."""

    @pytest.mark.parametrize(
        "code", ["ConcurrentUpdateException", "ObjectNotFoundException", "FailedResourceAccessException"]
    )
    @pytest.mark.parametrize("operation", ["RegisterScalableTarget", "PutScalingPolicy", "PutScheduledAction"])
    def test_a_passing_error_is_retried(self, control_plane: ControlPlane, code: str, operation: str) -> None:
        """As AWS's own services answer one another."""
        give(control_plane, "auto_scaling")
        restore(control_plane)
        control_plane.fail_next(operation, Fault(code=code), times=2)
        assert move(["auto_scaling"]) == {"auto_scaling": "applied"}

    def test_scheduled_actions_are_part_of_it(self, control_plane: ControlPlane) -> None:
        """With their times."""
        give(control_plane, "auto_scaling")
        restore(control_plane)
        move(["auto_scaling"])
        (action,) = scaling(control_plane).describe_scheduled_actions(
            ServiceNamespace="dynamodb", ResourceId="table/target"
        )["ScheduledActions"]
        assert action["StartTime"] == datetime(2026, 12, 1, tzinfo=UTC)
        assert action["ScalableTargetAction"] == {"MinCapacity": 5, "MaxCapacity": 50}

    def test_on_demand_there_is_nothing_to_scale(self, control_plane: ControlPlane) -> None:
        """No call is made."""
        give(control_plane, "auto_scaling")
        restore(control_plane, BillingModeOverride="PAY_PER_REQUEST")
        calls = control_plane.calls["RegisterScalableTarget"]
        assert move(["auto_scaling"]) == {"auto_scaling": "unavailable"}
        assert control_plane.calls["RegisterScalableTarget"] == calls

    def test_the_log_says_why_there_is_nothing_to_scale(
        self, control_plane: ControlPlane, log: Callable[[], str]
    ) -> None:
        """The new table is on demand."""
        give(control_plane, "auto_scaling")
        ti = FakeTaskInstance(task_id="restore")
        run(back_up(control_plane), ti=ti, settings=["auto_scaling"], billing_mode="PAY_PER_REQUEST")
        assert ti.xcoms["settings"] == {"auto_scaling": "unavailable"}
        assert "There is no place for setting auto_scaling: a table on demand has nothing to scale" in log()


class TestResourcePolicy:
    """It may deny the calls that put back the others."""

    def test_it_is_the_last_of_all_and_has_no_white_space(self, control_plane: ControlPlane) -> None:
        """White space counts for AWS's limit."""
        for name in NAMES:
            give(control_plane, name)
        restore(control_plane)
        move(NAMES)
        changes = [called for called in control_plane.requests if not called[0].startswith(("Describe", "List", "Get"))]
        operation, body = changes[-1]
        assert operation == "PutResourcePolicy"
        assert body["Policy"] == json.dumps(json.loads(body["Policy"]), separators=(",", ":"))


@pytest.mark.load
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    given_names=st.sets(st.sampled_from(NAMES)),
    had=st.sets(st.sampled_from(NAMES)),
    asked=st.sets(st.sampled_from(NAMES)),
)
def test_any_mix_of_settings(
    control_plane: ControlPlane, given_names: set[str], had: set[str], asked: set[str]
) -> None:
    """On source and target: each that is asked for is equal afterwards, and nothing else has changed."""
    for name in ("source", "target"):
        if name in control_plane.client().list_tables()["TableNames"]:
            control_plane.drop_table(name)
    make_source(control_plane)
    # These are kept beside their tables.
    for name in given_names - {"auto_scaling", "resource_policy"}:
        give(control_plane, name)
    restore(control_plane)
    # As an earlier try has left it, and with a tag of its own.
    move(sorted(had))
    control_plane.tag_table("target", owner="night")
    before = read_settings(NAMES, table("target"))
    went = move(sorted(asked))
    source, after = (read_settings(NAMES, table(name)) for name in ("source", "target"))
    assert set(went) == asked
    assert after["tags"] == before["tags"] | (source["tags"] if "tags" in asked else {})
    for name in set(NAMES) - {"auto_scaling", "resource_policy", "tags"}:
        assert after[name] == (source if name in asked else before)[name]


@pytest.mark.usefixtures("slow_restores")
class TestAfterARestore:
    """Put back by the task that has restored the table."""

    def test_one_that_can_t_be_put_back(self, control_plane: ControlPlane, arn: str) -> None:
        """The others are, the task fails with all reasons, and a retry does only the rest."""
        for name in NAMES:
            give(control_plane, name)
        (arn,) = control_plane.add_backups("source", 1)
        control_plane.fail_next("UpdateTimeToLive", THROTTLED, times=999)
        control_plane.fail_next("TagResource", Fault(code="AccessDeniedException"))
        ti = FakeTaskInstance(task_id="restore")
        with pytest.raises(SettingsFailedError, match=r"tags: Access is denied.* ttl: AWS throttles") as failure:
            run(arn, ti=ti, settings=NAMES)
        assert not isinstance(failure.value, PermanentError)
        assert ti.xcoms["table_arn"] == TARGET
        failed = ("tags", "ttl", "resource_policy")
        assert all(ti.xcoms["settings"].pop(name).startswith("failed: ") for name in failed)
        assert set(ti.xcoms["settings"].values()) == {"applied"}
        control_plane.clear_faults()
        ti = FakeTaskInstance(task_id="restore", try_number=2)
        run(arn, ti=ti, settings=NAMES)
        assert ti.xcoms["settings"] == dict.fromkeys(NAMES, "same") | dict.fromkeys(failed, "applied")

    def test_one_that_no_retry_can_put_back(self, control_plane: ControlPlane, arn: str) -> None:
        """The task fails at once."""
        give(control_plane, "tags")
        control_plane.fail_next("TagResource", Fault(code="AccessDeniedException"))
        with pytest.raises(SettingsFailedForGoodError, match=f"table 'target', backup '{arn}', region '{REGION}'"):
            run(arn)

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
        changes = SimpleSetting.changes
        begun: list[int] = []

        def change_late(self: SimpleSetting, table: SettingsOf, missing: str) -> Iterable[Change]:
            if not begun:
                begun.append(1)
                control_plane.client().update_table(TableName="target", BillingMode="PAY_PER_REQUEST")
            return changes(self, table, missing)

        monkeypatch.setattr(SimpleSetting, "changes", change_late)
        ti = FakeTaskInstance(task_id="restore")
        run(arn, ti=ti, settings=["table_class"])
        assert begun
        assert ti.xcoms["settings"] == {"table_class": "applied"}

    def test_an_empty_answer_loses_no_insights_of_the_table_itself(self, control_plane: ControlPlane, arn: str) -> None:
        """It is asked again: the table gets them as its index does."""
        give(control_plane, "contributor_insights")
        control_plane.fail_next("DescribeContributorInsights", EMPTY_RESPONSE)
        run(arn, settings=["contributor_insights"])
        for named in ({}, {"IndexName": "by-one"}):
            described = control_plane.client().describe_contributor_insights(TableName="target", **named)
            assert described["ContributorInsightsStatus"] == "ENABLED"

    @pytest.mark.load
    @pytest.mark.parametrize("foreign", [EMPTY_RESPONSE, HTML_OF_A_PROXY], ids=["empty", "HTML"])
    @pytest.mark.parametrize("name", READS)
    def test_an_empty_answer_stops_neither_this_setting_nor_others(
        self, control_plane: ControlPlane, name: str, foreign: Fault
    ) -> None:
        """It is asked for again."""
        names = (name, "deletion_protection")
        for one in names:
            give(control_plane, one)
        control_plane.on_restore = lambda *_: control_plane.fail_next(READS[name], foreign)
        assert restore_with(back_up(control_plane), *names) == dict.fromkeys(names, "applied")

    @pytest.mark.load
    @pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
    @pytest.mark.parametrize("name", WRITES)
    def test_a_setting_whose_answer_was_lost_is_applied(
        self, control_plane: ControlPlane, name: str, fault: Fault
    ) -> None:
        """AWS has done it, and refuses some of them a second time: what the table has decides."""
        give(control_plane, name)
        control_plane.on_restore = lambda *_: control_plane.fail_next(WRITES[name], fault)
        assert restore_with(back_up(control_plane), name) == {name: "applied"}

    def test_a_long_update_whose_answer_was_lost_is_waited_for(self, control_plane: ControlPlane) -> None:
        """The table is UPDATING for ten minutes."""
        give(control_plane, "table_class")
        control_plane.updating_for = 600
        control_plane.on_restore = lambda *_: control_plane.fail_next("UpdateTable", DROPPED_AFTER_COMMIT)
        assert restore_with(back_up(control_plane), "table_class") == {"table_class": "applied"}

    def test_a_setting_that_another_try_puts_back_first_is_applied(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A task whose supervisor was killed may go on beside its retry; AWS refuses time to live a second time."""
        give(control_plane, "ttl")
        changes = SimpleSetting.changes

        def change_second(self: SimpleSetting, table: SettingsOf, missing: str) -> Iterable[Change]:
            specification = {"Enabled": True, "AttributeName": missing}
            control_plane.client().update_time_to_live(TableName="target", TimeToLiveSpecification=specification)
            return changes(self, table, missing)

        monkeypatch.setattr(SimpleSetting, "changes", change_second)
        assert restore_with(back_up(control_plane), "ttl") == {"ttl": "applied"}
