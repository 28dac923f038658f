"""Answers that are lost, empty or incomplete while settings are read and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.restoring.settings import TimeToLive
from tests.simulator.faults import (
    DROPPED_AFTER_COMMIT,
    EMPTY_RESPONSE,
    INTERNAL_ERROR_AFTER_COMMIT,
    Answer,
    Fault,
)
from tests.unit.conftest import FakeTaskInstance
from tests.unit.operators.test_restore import TARGET, run
from tests.unit.restoring.tables import give, make_source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_ddb_backup.restoring.settings import Change, SettingsOf
    from tests.simulator.control_plane import ControlPlane

# The calls that read a setting beside DescribeTable, and those that put it back.
READS = {
    "tags": "ListTagsOfResource",
    "point_in_time_recovery": "DescribeContinuousBackups",
    "ttl": "DescribeTimeToLive",
    "kinesis": "DescribeKinesisStreamingDestination",
    "contributor_insights": "DescribeContributorInsights",
    "auto_scaling": "DescribeScalableTargets",
    "resource_policy": "GetResourcePolicy",
}
WRITES = {
    "tags": "TagResource",
    "point_in_time_recovery": "UpdateContinuousBackups",
    "ttl": "UpdateTimeToLive",
    "stream": "UpdateTable",
    "kinesis": "EnableKinesisStreamingDestination",
    "contributor_insights": "UpdateContributorInsights",
    "auto_scaling": "PutScalingPolicy",
    "resource_policy": "PutResourcePolicy",
    "table_class": "UpdateTable",
    "deletion_protection": "UpdateTable",
}


@pytest.fixture(autouse=True)
def _source(control_plane: ControlPlane) -> None:
    make_source(control_plane)
    control_plane.restoring_for = 100


def back_up(control_plane: ControlPlane) -> str:
    """Back up the table ``source`` with the settings that it has by now, and return the ARN."""
    (arn,) = control_plane.add_backups("source", 1)
    return str(arn)


def move(arn: str, *names: str) -> dict[str, str]:
    """Restore a backup with some settings, and return what the task reports of them."""
    ti = FakeTaskInstance(task_id="restore")
    assert run(arn, ti=ti, settings=names) == TARGET
    outcomes: dict[str, str] = ti.xcoms["settings"]
    return outcomes


class TestReading:
    """Settings of the source."""

    @pytest.mark.parametrize("name", [name for name in READS if name != "ttl"])
    def test_an_empty_answer_is_asked_for_again(self, control_plane: ControlPlane, name: str) -> None:
        """It is not AWS's, and says nothing of the setting."""
        give(control_plane, name)
        control_plane.fail_next(READS[name], EMPTY_RESPONSE)
        assert move(back_up(control_plane), name) == {name: "applied"}

    @pytest.mark.parametrize("name", ["kinesis", "contributor_insights"])
    def test_a_precision_or_mode_that_is_not_told_is_not_compared(self, control_plane: ControlPlane, name: str) -> None:
        """They are optional: the source's answer has none, the new table's has."""
        give(control_plane, name)
        untold = {"ApproximateCreationDateTimePrecision", "ContributorInsightsMode"}
        control_plane.fail_next(READS[name], Fault(Answer.ALTERED, drop_members=untold), times=2)
        control_plane.on_restore = lambda *_: control_plane.clear_faults()
        assert move(back_up(control_plane), name) == {name: "applied"}

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
        assert move(back_up(control_plane), *names) == dict.fromkeys(names, "applied")

    def test_more_tags_than_a_table_can_have_are_refused_before_anything_is_made(
        self, control_plane: ControlPlane
    ) -> None:
        """The source has 50, and the task has one more."""
        control_plane.tag_table("source", **{f"key-{number}": "x" for number in range(50)})
        with pytest.raises(InvalidValueError, match="tags must be so few that the table has at most 50"):
            run(back_up(control_plane), tags={"restored": "yes"})
        assert "target" not in control_plane.client().list_tables()["TableNames"]


class TestPuttingBack:
    """Settings of the new table."""

    @pytest.mark.parametrize("name", ["tags", "point_in_time_recovery", "ttl", "resource_policy"])
    def test_an_empty_answer_stops_neither_this_setting_nor_others(
        self, control_plane: ControlPlane, name: str
    ) -> None:
        """It is asked for again."""
        names = (name, "deletion_protection")
        for one in names:
            give(control_plane, one)
        control_plane.on_restore = lambda *_: control_plane.fail_next(READS[name], EMPTY_RESPONSE)
        assert move(back_up(control_plane), *names) == dict.fromkeys(names, "applied")

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
        assert move(back_up(control_plane), name) == {name: "applied"}

    def test_a_long_update_whose_answer_was_lost_is_waited_for(self, control_plane: ControlPlane) -> None:
        """The table is UPDATING for ten minutes."""
        give(control_plane, "table_class")
        control_plane.updating_for = 600
        control_plane.on_restore = lambda *_: control_plane.fail_next("UpdateTable", DROPPED_AFTER_COMMIT)
        assert move(back_up(control_plane), "table_class") == {"table_class": "applied"}

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
        assert move(back_up(control_plane), "ttl") == {"ttl": "applied"}
