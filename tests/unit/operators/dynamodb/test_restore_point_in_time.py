"""DynamoDBRestoreTableToPointInTimeOperator: waiting, resuming and rendering; other tests show the restore itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_ddb_backup.exceptions import RestoreLostError, RestoreTimeoutError
from airflow_ddb_backup.operators.dynamodb import DynamoDBRestoreTableToPointInTimeOperator
from tests.simulator.control_plane import REGION
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.restoring.support import (
    ARN,
    DEFAULTS,
    LATEST,
    SHOP,
    TARGET,
    enable_recovery,
    fresh_context,
    give,
    make_source,
    restore_by_others,
    restores_sent,
    run,
    success_event,
    tags_of,
    to_point_in_time,
)

if TYPE_CHECKING:
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


@pytest.fixture(autouse=True)
def moment(control_plane: ControlPlane, clock: Clock) -> str:
    """Return a time to which the table ``source`` can be restored, which takes 200 s."""
    make_source(control_plane)
    control_plane.restoring_for = 200
    enabled = enable_recovery(control_plane, clock)
    return (enabled + timedelta(minutes=10)).replace(microsecond=0).isoformat()


@pytest.fixture(params=["moment", "latest"])
def when(request: pytest.FixtureRequest, moment: str) -> str:
    """Return that time, or ``LATEST``."""
    return LATEST if request.param == "latest" else moment


def test_it_waits_on_the_worker(control_plane: ControlPlane, clock: Clock, when: str) -> None:
    """Until the table is complete; the settings are put back, and the link leads to it."""
    give(control_plane, "tags")
    begun, ti = clock.time(), FakeTaskInstance(task_id="restore")
    assert run(when, ti=ti) == TARGET
    assert 200 <= clock.time() - begun < 300
    assert ti.xcoms["table_arn"] == TARGET
    applied = dict.fromkeys(("tags", "point_in_time_recovery"), "applied")
    assert ti.xcoms["settings"] == dict.fromkeys(DEFAULTS, "same") | applied
    assert ti.xcoms["dynamodb_table"]["table_name"] == "target"


def test_it_waits_on_the_triggerer(control_plane: ControlPlane, clock: Clock, when: str) -> None:
    """What it is restored from crosses the deferral, and what templates render to by then does not matter."""
    give(control_plane, "tags")
    ti = FakeTaskInstance(task_id="restore")
    event = success_event(clock, when, ti)
    source = event["carry"]["source"]
    assert (source["table_arn"], source["backup_arn"]) == (ARN, None)
    task = to_point_in_time(when, deferrable=True)
    task.source_table_name = task.target_table_name = ""
    assert task.resume_execution("execute_complete", {"event": event}, context_of(ti)) == TARGET
    assert tags_of(control_plane, TARGET) == SHOP


def test_a_table_that_replaced_it_meanwhile_gets_no_settings(
    control_plane: ControlPlane, clock: Clock, moment: str
) -> None:
    """It is of another second."""
    give(control_plane, "tags")
    ti = FakeTaskInstance(task_id="restore")
    event = success_event(clock, moment, ti)
    control_plane.drop_table("target")
    restore_by_others(control_plane, (datetime.fromisoformat(moment) + timedelta(seconds=1)).isoformat())
    clock.sleep(300)
    with pytest.raises(RestoreLostError, match="there is another table of its name now"):
        to_point_in_time(moment).resume_execution("execute_complete", {"event": event}, context_of(ti))
    assert tags_of(control_plane, TARGET) == {}


@pytest.mark.parametrize("known", [{"region_name": REGION}, {"source_table_name": ARN}])
def test_no_triggerer_has_answered(moment: str, known: dict[str, str]) -> None:
    """The message says which table, to which time, and where."""
    task = to_point_in_time(moment, **known)
    about = "table 'target', point in time '.*source at .*', region 'us-east-1'"
    with pytest.raises(RestoreTimeoutError, match=about):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, fresh_context())


@pytest.mark.parametrize("native", [False, True])
def test_its_time_is_rendered(control_plane: ControlPlane, moment: str, *, native: bool) -> None:
    """Text stays text, also where templates render to native objects."""
    task = to_point_in_time("{{ params.moment }}", source_table_name="{{ params.table }}", settings=())
    task.dag = DAG("restore", schedule=None, render_template_as_native_obj=native)
    task.render_template_fields(cast("Any", {"params": {"moment": moment, "table": "source"}}))
    assert task.execute(fresh_context()) == TARGET
    assert restores_sent(control_plane)[0]["RestoreDateTime"] == datetime.fromisoformat(moment).timestamp()


def test_it_can_be_mapped(moment: str) -> None:
    """A whole system goes back to one moment, a table a task."""
    with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        mapped = DynamoDBRestoreTableToPointInTimeOperator.partial(task_id="restore", restore_date_time=moment).expand(
            source_table_name=["orders"], target_table_name=["orders-restored"]
        )
    given = {"source_table_name": "orders", "target_table_name": "orders-restored"}
    task = cast("DynamoDBRestoreTableToPointInTimeOperator", mapped.unmap(given))
    assert (task.source_table_name, task.restore_date_time) == ("orders", moment)
