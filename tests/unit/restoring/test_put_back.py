"""The settings that a restore drops, put back on the restored table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ddb_backup.exceptions import (
    PermanentError,
    SettingsFailedError,
    SettingsFailedForGoodError,
)
from airflow_ddb_backup.restoring.settings import (
    SettingsOf,
    TableClass,
    TimeToLive,
    read_settings,
)
from tests.simulator.control_plane import REGION
from tests.simulator.faults import (
    DROPPED_AFTER_COMMIT,
    EMPTY_RESPONSE,
    INTERNAL_ERROR_AFTER_COMMIT,
    THROTTLED,
    Fault,
)
from tests.unit.conftest import FakeTaskInstance
from tests.unit.restoring.support import (
    ARN,
    NAMES,
    READS,
    TARGET,
    WRITES,
    back_up,
    give,
    make_source,
    put,
    restore,
    restore_with,
    run,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_ddb_backup.restoring.settings import Change
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("source")


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
    new = ARN.replace("source", "target")
    assert target.pop("resource_policy")["Statement"][0]["Resource"] == [new, f"{new}/index/*", f"{ARN}-eu"]
    del source["resource_policy"]
    assert source == target
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
            run(arn, ti=ti, settings="all")
        assert not isinstance(failure.value, PermanentError)
        assert ti.xcoms["table_arn"] == TARGET
        failed = ("tags", "ttl", "resource_policy")
        assert all(ti.xcoms["settings"].pop(name).startswith("failed: ") for name in failed)
        assert set(ti.xcoms["settings"].values()) == {"applied"}
        control_plane.clear_faults()
        ti = FakeTaskInstance(task_id="restore", try_number=2)
        run(arn, ti=ti, settings="all")
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
        changes = TableClass.changes
        begun: list[int] = []

        def change_late(self: TableClass, table: SettingsOf, missing: str) -> Iterable[Change]:
            if not begun:
                begun.append(1)
                control_plane.client().update_table(TableName="target", BillingMode="PAY_PER_REQUEST")
            return changes(self, table, missing)

        monkeypatch.setattr(TableClass, "changes", change_late)
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

    @pytest.mark.parametrize("name", ["tags", "point_in_time_recovery", "ttl", "resource_policy"])
    def test_an_empty_answer_stops_neither_this_setting_nor_others(
        self, control_plane: ControlPlane, name: str
    ) -> None:
        """It is asked for again."""
        names = (name, "deletion_protection")
        for one in names:
            give(control_plane, one)
        control_plane.on_restore = lambda *_: control_plane.fail_next(READS[name], EMPTY_RESPONSE)
        assert restore_with(back_up(control_plane), *names) == dict.fromkeys(names, "applied")

    @pytest.mark.parametrize(
        "fault", [DROPPED_AFTER_COMMIT, INTERNAL_ERROR_AFTER_COMMIT], ids=["dropped", "internal error"]
    )
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
        changes = TimeToLive.changes

        def change_second(self: TimeToLive, table: SettingsOf, missing: str) -> Iterable[Change]:
            specification = {"Enabled": True, "AttributeName": missing}
            control_plane.client().update_time_to_live(TableName="target", TimeToLiveSpecification=specification)
            return changes(self, table, missing)

        monkeypatch.setattr(TimeToLive, "changes", change_second)
        assert restore_with(back_up(control_plane), "ttl") == {"ttl": "applied"}
