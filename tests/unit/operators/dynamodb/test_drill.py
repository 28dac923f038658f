"""DynamoDBRestoreDrillOperator: the wait on the triggerer, its parameters, and the report that it hands on."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, TaskDeferred

from airflow_ddb_backup.exceptions import (
    ConnectionNotFoundError,
    DrillFailedForGoodError,
    DrillTimeoutError,
    ForeignTableError,
    InvalidValueError,
    OtherAccountError,
    RestoreLostError,
    TriggerFailedError,
)
from airflow_ddb_backup.limits import LARGEST_CLOCK_ERROR, LONGEST_RESTORE_TIMEOUT
from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from tests.simulator.control_plane import REGION
from tests.simulator.faults import after_call
from tests.unit.conftest import FakeTaskInstance, TaskTimeout, context_of
from tests.unit.restoring.drills import back_up_items, drill, drill_operator, scratch_tables, tables
from tests.unit.restoring.support import ARN as SOURCE
from tests.unit.restoring.support import make_source, restore_by_others

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


@pytest.fixture
def arn(control_plane: ControlPlane) -> str:
    """Back up the table ``source`` with an item, an hour ago; restoring and dropping a table take a while."""
    make_source(control_plane)
    control_plane.restoring_for, control_plane.dropping_for = 200, 20
    return back_up_items(control_plane)


@pytest.fixture
def ti() -> FakeTaskInstance:
    """Return the task instance of a drill."""
    return FakeTaskInstance(task_id="drill")


def deferred(ti: FakeTaskInstance, **kwargs: Any) -> dict[str, Any]:
    """Defer a drill, and return the arguments of its trigger."""
    with pytest.raises(TaskDeferred) as raised:
        drill(ti=ti, deferrable=True, **kwargs)
    arguments: dict[str, Any] = raised.value.trigger.serialize()[1]
    return arguments


def event_of(trigger: dict[str, Any], status: str = "success", message: str = "") -> dict[str, Any]:
    """Return the event of a trigger."""
    arn = f"arn:aws:dynamodb:{REGION}:123456789012:table/{trigger['table_name']}"
    return {"status": status, "table_arn": arn, "message": message, "carry": trigger["carry"]}


def resume(ti: FakeTaskInstance, event: dict[str, Any] | None, **kwargs: Any) -> Any:
    """Resume a deferred drill with an event."""
    task = drill_operator(deferrable=True, **kwargs)
    return task.resume_execution("execute_complete", {"event": event}, context_of(ti))


def fail(ti: FakeTaskInstance, **kwargs: Any) -> None:
    """Resume a deferred drill as Airflow does where no triggerer has answered."""
    drill_operator(**kwargs).resume_execution("__fail__", {"error": "Trigger timeout"}, context_of(ti))


class TestDeferring:
    """The wait on the triggerer."""

    def test_it_ends_as_on_the_worker(
        self, control_plane: ControlPlane, clock: Clock, arn: str, ti: FakeTaskInstance
    ) -> None:
        """The same report, with the seconds until a worker has taken the task back."""
        event = event_of(deferred(ti))
        clock.sleep(300)
        report = resume(ti, event)
        assert (report["verdict"], report["backup_arn"], report["items"]) == ("passed", arn, 1)
        assert 300 <= report["restore_seconds"] <= 302
        assert scratch_tables(control_plane) == []
        worker = drill(ti=FakeTaskInstance(task_id="drill", run_id="another"))
        assert worker.keys() == report.keys()

    def test_a_worker_whose_clock_is_behind(
        self, control_plane: ControlPlane, clock: Clock, arn: str, ti: FakeTaskInstance
    ) -> None:
        """It takes the task back, though the longest timeout now seems longer still."""
        event = event_of(deferred(ti, timeout=LONGEST_RESTORE_TIMEOUT))
        clock.sleep(300)
        event["carry"]["deadline"] += 300 + LARGEST_CLOCK_ERROR
        assert resume(ti, event)["verdict"] == "passed"

    def test_a_complete_table_is_not_waited_for(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """A small one may be there at once."""
        control_plane.restoring_for = 0
        assert drill(deferrable=True)["verdict"] == "passed"

    @pytest.mark.parametrize("rendered", ["", "None", None, "orders"], ids=repr)
    def test_what_templates_render_to_on_resume_does_not_matter(
        self, control_plane: ControlPlane, clock: Clock, arn: str, ti: FakeTaskInstance, rendered: Any
    ) -> None:
        """What was decided comes with the event; only account_id, which pins the account, is read again."""
        event = event_of(deferred(ti))
        clock.sleep(300)
        task = drill_operator(deferrable=True)
        task.table_name = task.backup_name_prefix = task.region_name = rendered
        report = task.resume_execution("execute_complete", {"event": event}, context_of(ti))
        assert (report["verdict"], report["table_name"]) == ("passed", "source")

    def test_a_table_that_has_replaced_it_meanwhile(
        self, control_plane: ControlPlane, clock: Clock, arn: str, ti: FakeTaskInstance
    ) -> None:
        """It is neither checked nor dropped, though it is of the same backup."""
        trigger = deferred(ti)
        control_plane.drop_table(trigger["table_name"])
        restore_by_others(control_plane, arn, trigger["table_name"])
        clock.sleep(300)
        with pytest.raises(ForeignTableError, match="not the table that was waited for"):
            resume(ti, event_of(trigger))
        assert scratch_tables(control_plane) == [trigger["table_name"]]
        assert not control_plane.calls["Scan"]

    def test_a_table_that_has_gone_meanwhile(
        self, control_plane: ControlPlane, clock: Clock, arn: str, ti: FakeTaskInstance
    ) -> None:
        """There is no verdict but that."""
        trigger = deferred(ti)
        control_plane.drop_table(trigger["table_name"])
        with pytest.raises(DrillFailedForGoodError, match="The restored table no longer exists"):
            resume(ti, event_of(trigger))

    def test_another_account_on_resume(
        self, control_plane: ControlPlane, clock: Clock, arn: str, ti: FakeTaskInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is dropped there, whatever it has of that name."""
        trigger = deferred(ti)
        other = "210987654321"
        control_plane.create_table(trigger["table_name"], account=other)
        role = control_plane.connection(role_arn=f"arn:aws:iam::{other}:role/backup")
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", role)
        told = "The calls go to account '210987654321', and went to '123456789012' before"
        with pytest.raises(OtherAccountError, match=told):
            resume(ti, event_of(trigger))
        assert not control_plane.calls["DeleteTable"]

    def test_a_secrets_backend_that_is_down_on_resume_fails_the_try(
        self, control_plane: ControlPlane, clock: Clock, arn: str, ti: FakeTaskInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``aws_default`` was found when the drill began: the worker's own credentials do not stand in for it."""
        event = event_of(deferred(ti))
        monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
        monkeypatch.setenv("AWS_ENDPOINT_URL", control_plane.url)
        for name, value in control_plane.role_keys("210987654321").items():
            monkeypatch.setenv(name.upper(), value)
        calls = control_plane.calls.total()
        with pytest.raises(ConnectionNotFoundError, match="aws_conn_id is 'aws_default'"):
            resume(ti, event)
        assert control_plane.calls.total() == calls

    def test_left_overs_that_failed_before_the_wait_fail_the_task_after_it(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """They cross the deferral."""
        left = deferred(FakeTaskInstance(task_id="drill", run_id="killed"))["table_name"]
        clock.sleep(86_400)
        control_plane.client().update_table(TableName=left, DeletionProtectionEnabled=True)
        ti = FakeTaskInstance(task_id="drill", run_id="next")
        event = event_of(deferred(ti))
        clock.sleep(300)
        with pytest.raises(DrillFailedForGoodError, match=f"{left}: The table of an earlier drill"):
            resume(ti, event)
        assert ti.xcoms["report"]["verdict"] == "passed"

    @pytest.mark.load
    def test_killed_after_any_call_of_the_resumed_task(
        self, control_plane: ControlPlane, clock: Clock, arn: str, execution_timeout: Callable[[], None]
    ) -> None:
        """The next try runs from the top, and ends with a verdict and no table left."""
        for number in count(1):
            ti, again = (FakeTaskInstance(task_id="drill", run_id=str(number), try_number=n) for n in (1, 2))
            event = event_of(deferred(ti))
            clock.sleep(300)
            control_plane.after = after_call(number, execution_timeout)
            try:
                resume(ti, event)
            except TaskTimeout:
                pass
            else:
                break
            control_plane.after = lambda _: None
            assert drill(ti=again)["verdict"] == "passed"
            assert tables(control_plane) == ["orders", "source"]
        assert number > 5

    def test_the_time_is_up(self, control_plane: ControlPlane, arn: str, ti: FakeTaskInstance) -> None:
        """The report says why, and the table stays for the retry."""
        event = event_of(deferred(ti), "timeout", "It is so.")
        with pytest.raises(DrillTimeoutError, match="It is so. A retry goes on with that table"):
            resume(ti, event)
        assert ti.xcoms["report"]["verdict"] == "failed"
        assert "It is so." in ti.xcoms["report"]["error"]
        assert len(scratch_tables(control_plane)) == 1

    def test_a_restore_that_was_lost(
        self, control_plane: ControlPlane, clock: Clock, arn: str, ti: FakeTaskInstance
    ) -> None:
        """The table is dropped, if there still is one."""
        event = event_of(trigger := deferred(ti), "error", "It is so.")
        clock.sleep(300)
        control_plane.statuses[trigger["table_name"]] = "ARCHIVED"
        control_plane.before("DeleteTable", control_plane.statuses.clear)
        with pytest.raises(DrillFailedForGoodError, match="restore: It is so."):
            resume(ti, event)
        assert scratch_tables(control_plane) == []

    def test_a_wait_that_was_refused_is_no_verdict(
        self, control_plane: ControlPlane, clock: Clock, arn: str, ti: FakeTaskInstance
    ) -> None:
        """A triggerer may not describe the table, say: it stays until it is restored, and then it is judged."""
        event = event_of(deferred(ti), "error", "Access is denied.")
        with pytest.raises(RestoreLostError, match="Access is denied."):
            resume(ti, event)
        assert (ti.xcoms["report"]["checks"], len(scratch_tables(control_plane))) == ({}, 1)
        clock.sleep(300)
        assert resume(ti, event)["verdict"] == "passed"
        assert scratch_tables(control_plane) == []

    @pytest.mark.parametrize("part", ["report", "table_id", "deadline"])
    def test_no_event_but_its_own_is_taken(
        self, control_plane: ControlPlane, arn: str, ti: FakeTaskInstance, part: str
    ) -> None:
        """Nothing is dropped on the word of another."""
        trigger = deferred(ti)
        del trigger["carry"][part]
        with pytest.raises(TriggerFailedError, match=f"table '{trigger['table_name']}'"):
            resume(ti, event_of(trigger))
        with pytest.raises(TriggerFailedError):
            resume(ti, None)
        assert ti.xcoms["report"]["verdict"] == "failed"
        assert not control_plane.calls["DeleteTable"]

    @pytest.mark.parametrize("deadline", [None, "soon", -1, float("nan"), float("inf"), 1e300, True, [1]], ids=repr)
    def test_an_event_whose_time_never_ends_is_refused(
        self, control_plane: ControlPlane, arn: str, ti: FakeTaskInstance, deadline: object
    ) -> None:
        """The calls of the checks are retried until then."""
        trigger = deferred(ti)
        trigger["carry"]["deadline"] = deadline
        with pytest.raises(TriggerFailedError, match="not one that this package sends"):
            resume(ti, event_of(trigger))
        assert not control_plane.calls["DeleteTable"]

    def test_an_event_about_another_table_drops_nothing(
        self, control_plane: ControlPlane, clock: Clock, arn: str, ti: FakeTaskInstance
    ) -> None:
        """Not even one that the event describes without a flaw, and that a restore of the same backup has made."""
        restore_by_others(control_plane, arn, "production")
        trigger = deferred(ti)
        clock.sleep(300)
        trigger["carry"]["report"]["restored_table_name"] = "production"
        trigger["carry"]["table_id"] = control_plane.client().describe_table(TableName="production")["Table"]["TableId"]
        with pytest.raises(TriggerFailedError, match="not one that this package sends"):
            resume(ti, event_of(trigger))
        assert "production" in tables(control_plane)
        assert not control_plane.calls["DeleteTable"]

    @pytest.mark.parametrize(
        ("part", "forged"),
        [
            ("restored_table_name", "airflow-drill-0123456789-0123456789abcdef"),
            ("table_name", "orders"),
            ("run_id", "another"),
            ("dag_id", "another"),
            ("done", {"schema": "passed"}),
            ("items", 10**6),
            ("backup", {"backup_arn": SOURCE + "/backup/01795422913684-770da1ee"}),
            ("left_overs", []),
            ("text", "an attribute that reports do not have"),
        ],
    )
    def test_an_event_that_tells_more_than_the_worker_knew_is_refused(
        self, control_plane: ControlPlane, arn: str, ti: FakeTaskInstance, part: str, forged: object
    ) -> None:
        """Another task's table, another run, or checks that nobody has made."""
        trigger = deferred(ti)
        trigger["carry"]["report"][part] = forged
        with pytest.raises(TriggerFailedError, match="not one that this package sends"):
            resume(ti, event_of(trigger))
        assert ti.xcoms["report"]["verdict"] == "failed"
        assert not control_plane.calls["DeleteTable"]

    @pytest.mark.parametrize("name", ["source", SOURCE])
    def test_no_triggerer_has_answered(self, arn: str, ti: FakeTaskInstance, name: str) -> None:
        """Airflow's own limit is the net below; message and report name the table that is left, not the drilled one."""
        scratch = deferred(ti, table_name=name)["table_name"]
        with pytest.raises(DrillTimeoutError, match=f"table '{scratch}', region '{REGION}'"):
            fail(ti, table_name=name)
        report = ti.xcoms["report"]
        assert (report["dag_id"], report["table_name"], report["restored_table_name"]) == ("shop", "source", scratch)

    def test_no_triggerer_has_answered_about_a_template(self, arn: str, ti: FakeTaskInstance) -> None:
        """Where it renders to nothing any more, the message does without the table."""
        with pytest.raises(DrillTimeoutError, match="not complete in time: region"):
            fail(ti, table_name="{{ nothing }}")


class TestReport:
    """What is handed on."""

    def test_outlets_carry_it(self, control_plane: ControlPlane, arn: str, ti: FakeTaskInstance) -> None:
        """An auditor finds it with the asset."""
        context = context_of(ti)
        event = SimpleNamespace(extra={})

        class Events:
            """Without a dict: Airflow 3.1.0's assets can't be hashed."""

            def __getitem__(self, _: object) -> SimpleNamespace:
                return event

        context["outlet_events"] = Events()  # type: ignore[typeddict-item]  # all that is used of it
        report = drill_operator(outlets=[Asset("drills")]).execute(context)
        assert event.extra == report

    def test_a_task_that_fails_before_anything_is_known_pushes_one(
        self, control_plane: ControlPlane, ti: FakeTaskInstance
    ) -> None:
        """Whatever made it fail."""
        task = drill_operator()
        task.table_name = None
        with pytest.raises(InvalidValueError):
            task.execute(context_of(ti))
        report = ti.xcoms["report"]
        assert (report["verdict"], report["checks"]) == ("failed", {})
        assert "table_name must be" in report["text"]


class TestPicking:
    """Which backup is drilled."""

    def test_created_by_and_prefix_narrow_it(self, control_plane: ControlPlane, arn: str, ti: FakeTaskInstance) -> None:
        """The derived names of a task, or given ones."""
        control_plane.add_backups("source", 1, "nightly-1", age=60)
        with DAG("shop", schedule=None):
            DynamoDBCreateBackupOperator(task_id="back_up", table_name="source")
            by_task = drill_operator(created_by="back_up")
        derived = DynamoDBCreateBackupOperator(task_id="back_up", table_name="source")
        own = derived.execute(context_of(FakeTaskInstance(task_id="back_up")))
        control_plane.add_backups("source", 1, "other")
        assert by_task.execute(context_of(ti))["backup_arn"] == own
        named = drill(ti=FakeTaskInstance(task_id="drill", run_id="2"), backup_name_prefix="nightly-")
        assert named["backup_arn"] in control_plane.backup_arns()

    @pytest.mark.parametrize("name", ["source", SOURCE])
    def test_a_table_may_be_named_by_its_arn(self, arn: str, name: str) -> None:
        """As everywhere."""
        assert drill(table_name=name)["table_name"] == "source"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"table_name": None},
            {"backup_arn": "nightly", "table_name": None},
            {"backup_arn": f"arn:aws:dynamodb:{REGION}:123456789012:table/source/backup/01795422913684-770da1ee"},
            {"backup_arn": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders", "table_name": None},
            {"pick": "oldest"},
            {"within": timedelta(0)},
            {"within": 30},
            {"created_by": []},
            {"checks": ["items"]},
            {"max_size_bytes": 0},
            {"max_size_bytes": None},
            {"poll_interval": 0},
            {"timeout": 59},
        ],
        ids=repr,
    )
    def test_a_wrong_value_is_refused_when_the_dag_is_parsed(self, wrong: dict[str, Any]) -> None:
        """The message names the parameter."""
        with pytest.raises(InvalidValueError, match="|".join(wrong)):
            drill_operator(**{"table_name": "source", **wrong})
