"""Forged input: events, XComs and stored values that this package has not written, or that have been changed since.

An older version, another package or an attacker may have written them. They are refused with a sentence, or ignored:
nothing is deleted, restored or changed by them beyond what the task says.
"""

from __future__ import annotations

import copy
import traceback
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, TaskDeferred
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_ddb_backup.exceptions import BackupError, InvalidValueError, OtherAccountError, TriggerFailedError
from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBCreateBackupOperator
from airflow_ddb_backup.sensors.dynamodb import (
    DynamoDBBackupSensor,
    DynamoDBBackupsSensor,
    DynamoDBFreshBackupSensor,
)
from airflow_ddb_backup.triggers.dynamodb import (
    DynamoDBBackupsTrigger,
    DynamoDBBackupTrigger,
    DynamoDBFreshBackupTrigger,
    DynamoDBRestoreTrigger,
)
from tests.sampling import EXAMPLES
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.simulator.faults import Answer, Fault
from tests.unit.classes import parameters_of, public_classes, usual_arguments
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.restoring.drills import back_up_items, drill_operator
from tests.unit.restoring.support import SHOP, TARGET, give, make_source, operator, restore_by_others, tags_of
from tests.unit.strategies import JSON

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("fast_loop")
A_MOMENT = timedelta(microseconds=1)
REFUSED = "not one that this package sends"
#: operations that read; any other changes something
READS = ("Describe", "Get", "List", "Scan")
OTHERS = {
    "another backup": "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee",
    "another table": "arn:aws:dynamodb:us-east-1:123456789012:table/customers/backup/01795422913684-770da1ee",
    "another account": "arn:aws:dynamodb:us-east-1:210987654321:table/orders/backup/01795422913684-770da1ee",
    "another region": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/backup/01795422913684-770da1ee",
}


@dataclass
class Deferred:
    """A task that waits on the triggerer, and the event that would end its wait well.

    :param make: makes the task anew, as the worker does that it comes back to
    :param ti: its task instance
    :param event: the event
    """

    make: Callable[[], Any]
    ti: FakeTaskInstance
    event: dict[str, Any]

    def resume(self, event: object = None) -> Any:
        """Come back with an event, by default the right one."""
        given = self.event if event is None else event
        return self.make().resume_execution("execute_complete", {"event": given}, context_of(self.ti))


def details_of(arn: str) -> dict[str, Any]:
    """Return the details of a backup, as an event tells them."""
    return {
        "backup_arn": arn,
        "backup_name": "nightly",
        "table_name": arn.split("/")[1],
        "status": "AVAILABLE",
        "size_bytes": 5,
        "created_at": "2026-11-23T02:00:00+00:00",
    }


def defer(make: Callable[[], Any], clock: Clock) -> Deferred:
    """Execute a task until it defers, and let what it waits for end well."""
    ti = FakeTaskInstance(task_id="task")
    with pytest.raises(TaskDeferred) as deferred:
        make().execute(context_of(ti))
    kwargs = deferred.value.trigger.serialize()[1]
    event: dict[str, Any] = {"status": "success", "message": "", "carry": kwargs["carry"]}
    if "backup_arn" in kwargs:
        event["backup"] = details_of(kwargs["backup_arn"])
    elif "backup_arns" in kwargs:
        event["failed"] = {}
    elif "source" in kwargs:
        event["table_arn"] = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{kwargs['table_name']}"
    else:
        event["backup"] = details_of(OTHERS["another backup"])
    clock.sleep(300)
    return Deferred(make, ti, event)


def make_all(plane: ControlPlane) -> dict[str, Callable[[], Any]]:
    """Return what makes a task of each kind that defers; none is done at once."""
    make_source(plane)
    give(plane, "tags")
    arn = back_up_items(plane)
    plane.creating_for = plane.restoring_for = 200
    waited = plane.client().create_backup(TableName="orders", BackupName="nightly")["BackupDetails"]["BackupArn"]
    common: dict[str, Any] = {"task_id": "task", "deferrable": True}
    return {
        "create": lambda: DynamoDBCreateBackupOperator(table_name="orders", **common),
        "create without XCom": lambda: DynamoDBCreateBackupOperator(table_name="orders", do_xcom_push=False, **common),
        "tables": lambda: DynamoDBBackupTablesOperator(table_names=["orders", "source"], **common),
        "sensor": lambda: DynamoDBBackupSensor(backup_arn=waited, **common),
        "sensor of many": lambda: DynamoDBBackupsSensor(backup_arns=[waited], **common),
        "fresh": lambda: DynamoDBFreshBackupSensor(table_name="orders", max_age=A_MOMENT, **common),
        "restore": lambda: operator(arn, deferrable=True),
        "drill": lambda: drill_operator(deferrable=True),
    }


KINDS = ("create", "create without XCom", "tables", "sensor", "sensor of many", "fresh", "restore", "drill")


@pytest.fixture
def deferred(control_plane: ControlPlane, clock: Clock, request: pytest.FixtureRequest) -> Deferred:
    """Return a deferred task of the kind that the test names."""
    return defer(make_all(control_plane)[request.param], clock)


def kinds(*names: str) -> pytest.MarkDecorator:
    """Run the test with a deferred task of each of these kinds."""
    return pytest.mark.parametrize("deferred", names, indirect=True, ids=str)


def changes(plane: ControlPlane) -> set[tuple[str, str]]:
    """Return what has been changed by the requests so far: each operation with the table or backup."""
    made = [(call, body) for call, body in plane.requests if not call.startswith(READS)]
    named = ("TableName", "ResourceArn", "BackupArn", "TargetTableName")
    return {(call, str(next((body[name] for name in named if name in body), ""))) for call, body in made}


@kinds(*KINDS)
def test_the_right_event_is_taken(deferred: Deferred) -> None:
    """The tests below change something in it."""
    assert deferred.resume() is not None


NO_EVENTS: list[Any] = [
    {"event": None},
    [],
    "success",
    5,
    True,
    {},
    {"status": "success"},
    {"status": ["success"]},
    {"carry": {"try": 1}},
    [[[[]]]],
]


@kinds(*KINDS)
def test_what_is_no_event_is_refused(deferred: Deferred) -> None:
    """With a sentence that says so."""
    for event in NO_EVENTS:
        with pytest.raises(TriggerFailedError, match=REFUSED):
            deferred.resume(event)


@kinds(*KINDS)
def test_an_event_that_is_refused_is_told_with_what_it_should_be_about(
    deferred: Deferred, request: pytest.FixtureRequest
) -> None:
    """The table and region, as an event that never came is; of many tables the region."""
    kind = request.node.callspec.params["deferred"]
    table = {"restore": "table 'target', ", "drill": "table 'airflow-drill-"}.get(kind, "table 'orders', ")
    expected = f"{'' if kind in ('tables', 'sensor of many') else table}.*region '{REGION}'"
    with pytest.raises(TriggerFailedError, match=expected):
        deferred.resume({"event": None})
    with pytest.raises(BackupError, match=expected):
        deferred.make().resume_execution("__fail__", {"error": "Trigger timeout"}, context_of(deferred.ti))


@kinds("create", "create without XCom", "sensor")
@pytest.mark.parametrize("other", OTHERS)
def test_a_success_of_another_backup_is_refused(deferred: Deferred, other: str) -> None:
    """Even though all else is right."""
    with pytest.raises(TriggerFailedError, match=REFUSED):
        deferred.resume({**deferred.event, "backup": details_of(OTHERS[other])})


@kinds("create", "sensor", "fresh")
def test_one_that_carries_nothing_is_held_to_the_task_itself(deferred: Deferred) -> None:
    """An earlier version may have sent it; another backup is no success either."""
    event = {name: value for name, value in deferred.event.items() if name != "carry"}
    assert deferred.resume(event)
    with pytest.raises(TriggerFailedError, match=REFUSED):
        deferred.resume({**event, "backup": details_of(OTHERS["another table"])})


@kinds("create")
@pytest.mark.parametrize("other", OTHERS)
def test_an_event_that_is_about_another_backup_throughout_is_refused(deferred: Deferred, other: str) -> None:
    """The task has pushed its own, which counts, whatever the event carries."""
    carry = {**deferred.event["carry"], "backup_arn": OTHERS[other]}
    with pytest.raises(TriggerFailedError, match=REFUSED):
        deferred.resume({**deferred.event, "backup": details_of(OTHERS[other]), "carry": carry})


@kinds("tables")
def test_what_an_event_of_many_backups_carries_does_not_count(deferred: Deferred) -> None:
    """The task has pushed its own, and returns those."""
    own, others = dict(deferred.ti.xcoms["backup_arns"]), {"orders": OTHERS["another backup"]}
    event = {**deferred.event, "carry": {**deferred.event["carry"], "backups": others}}
    assert deferred.resume(event)["backups"] == own


@kinds("fresh")
def test_a_success_of_another_table_is_refused(deferred: Deferred) -> None:
    """Any backup of this one will do."""
    with pytest.raises(TriggerFailedError, match=REFUSED):
        deferred.resume({**deferred.event, "backup": details_of(OTHERS["another table"])})


@kinds("tables", "sensor of many")
@pytest.mark.parametrize("other", OTHERS)
def test_a_failure_of_another_backup_is_refused(deferred: Deferred, other: str) -> None:
    """Nobody has waited for it here."""
    failed = {OTHERS[other]: {"status": "error", "message": "gone"}}
    with pytest.raises(TriggerFailedError, match=REFUSED):
        deferred.resume({**deferred.event, "status": "error", "failed": failed})


@kinds(*KINDS)
def test_an_event_of_another_task_instance_is_refused(
    control_plane: ControlPlane, deferred: Deferred, log: Callable[[], str]
) -> None:
    """Airflow finds the task by its trigger's ID, which SQLite gives anew. Nothing is begun again, nor changed."""
    own = deferred.ti
    control_plane.requests.clear()
    for other in (
        {"dag_id": "x"},
        {"run_id": "x"},
        {"task_id": "x"},
        {"map_index": 0},
        {"map_index": 1, "try_number": 2},
    ):
        deferred.ti = replace(own, **other)
        with pytest.raises(TriggerFailedError, match=REFUSED):
            deferred.resume()
        assert f"The event is of task instance {[own.dag_id, own.run_id, own.task_id, -1]}, this is" in log()
    assert changes(control_plane) == set()


NO_SETTINGS: list[Any] = [
    {"table_name": "customers"},
    {"target_table_name": "customers"},
    {"keep_on_failure": True},
    {"execute": "x"},
    {"region_name": "us-east-1.example.com/"},
    {"region_name": ["us-east-1"]},
    {"aws_conn_id": ""},
    {"aws_conn_id": 5},
    {"verify": 0},
    [["verify", False]],
    "verify",
    None,
]


@kinds(*KINDS)
def test_an_event_sets_nothing_but_aws_settings(deferred: Deferred) -> None:
    """Not what the task is about, nor a setting that none can be."""
    for aws in NO_SETTINGS:
        with pytest.raises(TriggerFailedError, match=REFUSED):
            deferred.resume({**deferred.event, "carry": {**deferred.event["carry"], "aws": aws}})


@kinds("restore", "drill")
def test_account_id_counts_as_it_renders_after_the_wait(control_plane: ControlPlane, deferred: Deferred) -> None:
    """Nothing is changed or dropped in an account that it does not name any more."""
    task = deferred.make()
    task.account_id = "210987654321"
    control_plane.requests.clear()
    expected = f"table '.*', region '{REGION}'. The ARN is of account '{ACCOUNT}', account_id is '210987654321'. Check"
    with pytest.raises(OtherAccountError, match=expected):
        task.resume_execution("execute_complete", {"event": deferred.event}, context_of(deferred.ti))
    assert changes(control_plane) == set()
    task.account_id = ACCOUNT
    assert task.resume_execution("execute_complete", {"event": deferred.event}, context_of(deferred.ti))


class TestRestore:
    """Settings go to the table that the task has restored, and only those that it asks for."""

    @kinds("restore")
    def test_another_table_gets_none(self, control_plane: ControlPlane, clock: Clock, deferred: Deferred) -> None:
        """Not even one that was restored from the same backup."""
        (arn,) = [arn for arn in control_plane.backup_arns() if "/source/" in arn]
        restore_by_others(control_plane, arn, "production")
        clock.sleep(300)
        event = copy.deepcopy(deferred.event)
        event["carry"]["target"] = "production"
        with pytest.raises(TriggerFailedError, match=REFUSED):
            deferred.resume(event)
        event["table_arn"] = TARGET.replace("target", "production")
        with pytest.raises(TriggerFailedError, match=REFUSED):
            deferred.resume(event)
        assert tags_of(control_plane, event["table_arn"]) == {}
        assert deferred.resume() == TARGET
        assert tags_of(control_plane, TARGET) == SHOP

    @kinds("restore")
    @pytest.mark.parametrize("name", ["ttl", "resource_policy", "kinesis", "auto_scaling", "unheard_of\n"])
    def test_a_setting_that_is_not_asked_for(
        self, control_plane: ControlPlane, deferred: Deferred, log: Callable[[], str], name: str
    ) -> None:
        """Time to live deletes data, and a resource policy lets others in. It is left out, with a warning."""
        event = copy.deepcopy(deferred.event)
        event["carry"]["values"][name] = "ends"
        control_plane.requests.clear()
        assert deferred.resume(event) == TARGET
        assert changes(control_plane) == {("TagResource", TARGET)}
        assert f"does not ask for it now: { ({name})!r}" in log()

    @kinds("restore")
    def test_a_template_that_renders_to_something_else_by_now(
        self, control_plane: ControlPlane, deferred: Deferred
    ) -> None:
        """What it still asks for is put back: the table is restored, and nothing of it fails the task."""
        task = deferred.make()
        task.settings = ["tags", "ttl"]
        control_plane.requests.clear()
        known = {"event": deferred.event}
        assert task.resume_execution("execute_complete", known, context_of(deferred.ti)) == TARGET
        assert changes(control_plane) == {("TagResource", TARGET)}
        assert set(deferred.ti.xcoms["settings"]) == {"tags"}

    @kinds("restore")
    def test_a_template_that_renders_to_nothing_by_now(self, deferred: Deferred) -> None:
        """The message names the parameter."""
        task = deferred.make()
        task.settings = None
        with pytest.raises(InvalidValueError, match="settings must be"):
            task.resume_execution("execute_complete", {"event": deferred.event}, context_of(deferred.ti))

    @kinds("restore")
    @pytest.mark.parametrize("pushed", ["", 5, ["x"], TARGET + "-2"], ids=repr)
    def test_an_xcom_that_was_changed_meanwhile(
        self, control_plane: ControlPlane, deferred: Deferred, pushed: object
    ) -> None:
        """It names the table that the worker has begun to restore."""
        deferred.ti.xcoms["table_arn"] = pushed
        control_plane.requests.clear()
        with pytest.raises(TriggerFailedError, match=REFUSED):
            deferred.resume()
        assert changes(control_plane) == set()


class TestXComs:
    """A user may change an XCom while its task waits on the triggerer."""

    @kinds("tables")
    @pytest.mark.parametrize("pushed", [5, "x", [OTHERS["another backup"]], {"orders": 5}, {"orders": ["x"]}], ids=repr)
    def test_what_are_no_backups_fails_the_task(self, deferred: Deferred, pushed: object) -> None:
        """With a report, whether the wait has ended well or not."""
        deferred.ti.xcoms["backup_arns"] = pushed
        with pytest.raises(TriggerFailedError, match=REFUSED):
            deferred.resume()
        with pytest.raises(BackupError, match="No triggerer has reported"):
            deferred.make().resume_execution("__fail__", {"error": "Trigger timeout"}, context_of(deferred.ti))
        assert deferred.ti.xcoms["report"]["error"]

    @kinds("tables")
    @pytest.mark.parametrize("other", ["another table", "another account", "another region"])
    def test_other_backups_fail_the_task(self, deferred: Deferred, other: str) -> None:
        """One that is not its table's, and one of another account or region than the others."""
        deferred.ti.xcoms["backup_arns"]["orders"] = OTHERS[other]
        with pytest.raises(TriggerFailedError, match=REFUSED):
            deferred.resume()

    @kinds("tables")
    @pytest.mark.parametrize("report", [5, "x", [], {"failed": 5}, {"skipped": ["x"]}, {"failed": {"orders": {}}}])
    def test_a_report_that_is_none_is_left_out(self, deferred: Deferred, report: object) -> None:
        """The task fails as it would without."""
        deferred.ti.xcoms["report"] = report
        with pytest.raises(BackupError, match="No triggerer has reported"):
            deferred.make().resume_execution("__fail__", {"error": "Trigger timeout"}, context_of(deferred.ti))
        assert {"orders", "source"} <= deferred.ti.xcoms["report"]["failed"].keys()

    @kinds("create")
    @pytest.mark.parametrize("pushed", [5, "x", ["x"], {"a": 1}, "arn:aws:s3:::bucket"], ids=repr)
    def test_what_is_no_backup_is_not_told(self, deferred: Deferred, pushed: object) -> None:
        """The message names the backup as the task knows it."""
        deferred.ti.xcoms["backup_arn"] = pushed
        with pytest.raises(BackupError, match="table 'orders', backup 'shop.task.*No triggerer has reported"):
            deferred.make().resume_execution("__fail__", {"error": "Trigger timeout"}, context_of(deferred.ti))


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """Draw a value in which something was replaced, removed or added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        name = draw(st.sampled_from(sorted(value)))
        rest = {key: one for key, one in value.items() if key != name}
        if not draw(st.integers(0, 4)):
            return rest
        return {**rest, name: draw(changed(value[name]))}
    return draw(JSON | st.sampled_from([*OTHERS.values(), TARGET, "orders", "source", 10**400, "x" * 10**6]))


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=max(4, EXAMPLES // 3), suppress_health_check=list(HealthCheck), phases=set(Phase) - {Phase.explain}
)
@given(data=st.data())
def test_whatever_an_event_says(control_plane: ControlPlane, clock: Clock, kind: str, data: st.DataObject) -> None:
    """It is taken, or refused by an exception of this package, and changes nothing but what the right one would."""
    known = defer(_makers(control_plane)[kind], clock)
    event = data.draw(changed(known.event))
    control_plane.requests.clear()
    try:
        known.resume(event)
    except TaskDeferred:
        # An event of another try: the task has run from the top.
        assert event["carry"]["try"] != 1
    except BackupError:
        pass
    scratch = str(known.event.get("table_arn")).rpartition("/")[2]
    allowed: dict[str, set[tuple[str, str]]] = {
        "restore": {("TagResource", TARGET), ("UpdateContinuousBackups", "target"), ("UpdateTable", "target")},
        "drill": {("DeleteTable", scratch)},
    }
    begins = {("CreateBackup", "orders"), ("CreateBackup", "source"), ("RestoreTableFromBackup", "target")}
    assert changes(control_plane) <= allowed.get(kind, set()) | begins


def _makers(plane: ControlPlane) -> dict[str, Callable[[], Any]]:
    """Return the makers of an empty account: whatever an earlier example has left is dropped."""
    for name in plane.client().list_tables()["TableNames"]:
        if name != "orders":
            plane.drop_table(name)
    return make_all(plane)


OPERATORS = {**public_classes("operators"), **public_classes("sensors")}
RIGHT = OTHERS["another backup"]
#: what no XCom may hold where the ARN of a backup of ``orders`` in this region is meant
WRONG_ARNS: list[Any] = [
    None,
    5,
    RIGHT.encode(),
    {"backup_arn": RIGHT},
    "",
    "nightly",
    "arn:aws:s3:::bucket",
    "arn:aws:rds:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee",
    "arn:aws:backup:us-east-1:123456789012:recovery-point:1",
    "arn:aws:dynamodb:us-east-1:123456789012:table/orders",
    "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-11-23T02:00:00.000",
    OTHERS["another region"],
    RIGHT.replace("123456789012", "12345678901"),
    RIGHT + "/more",
    RIGHT + "\n",
    "\n" + RIGHT,
    RIGHT + "\x1b[2J",
    RIGHT + "\x00",
    RIGHT + "\u202e",
    RIGHT + "\u2028",
    RIGHT.replace("orders", "orders\x7f"),
    RIGHT + "0" * 10**6,
]


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        (name, one)
        for name, kind in OPERATORS.items()
        for one in ("backup_arn", "backup_arns")
        if one in parameters_of(kind)
    ],
)
def test_a_wrong_arn_reaches_no_one(control_plane: ControlPlane, name: str, parameter: str) -> None:
    """A task that is given one by a template asks AWS nothing, and shows it as what it is."""
    kind = OPERATORS[name]
    for wrong in WRONG_ARNS:
        task: Any = kind(task_id="task", **usual_arguments(kind, RIGHT, parameter) | {parameter: "{{ params.arn }}"})
        setattr(task, parameter, [wrong] if parameter == "backup_arns" else wrong)
        with pytest.raises(BackupError) as raised:
            task.execute(context_of(FakeTaskInstance(task_id="task")))
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 3000
    assert not control_plane.calls


# What a trigger of each class may be given; the wrong values below take the place of one.
TRIGGERS: dict[type[Any], dict[str, Any]] = {
    DynamoDBBackupTrigger: {"backup_arn": OTHERS["another backup"]},
    DynamoDBBackupsTrigger: {"backup_arns": [OTHERS["another backup"]]},
    DynamoDBRestoreTrigger: {
        "source": {"table_arn": TARGET, "backup_arn": TARGET + "/backup/01795422913684-770da1ee"},
        "table_name": "restored",
    },
    DynamoDBFreshBackupTrigger: {
        "table_name": "orders",
        "max_age": 60,
        "backup_name_prefix": None,
        "account": None,
        "region_name": REGION,
    },
}
OF_ANY: dict[str, list[Any]] = {
    "poll_interval": [0, -1, float("nan"), float("inf"), "5", None, True, 10**400],
    "deadline": [float("nan"), float("inf"), -1, 10**400, "soon", None, [0]],
    "region_name": ["eu-west-1 ", "us-east-1.example.com/#", 5, "\x1b[31m", "eu-west-1"],
    "aws_conn_id": ["", 5, "a b", ["aws_default"]],
    "verify": ["", 5, {}],
    "botocore_config": ["x", [], {"proxies": 5}, {"unheard_of": 1}, {"read_timeout": -1}],
}
OF_EACH: dict[type[Any], dict[str, list[Any]]] = {
    DynamoDBBackupTrigger: {
        "backup_arn": [None, 5, "", [TARGET], TARGET, "x" * 10**6, OTHERS["another backup"] + "\n", "arn:aws:s3:::b"]
    },
    DynamoDBBackupsTrigger: {
        "backup_arns": [
            None,
            5,
            [],
            "",
            OTHERS["another backup"],
            [5],
            [OTHERS["another backup"], OTHERS["another account"]],
            [OTHERS["another backup"], OTHERS["another region"]],
            [OTHERS["another backup"] + "\u202e"],
        ]
    },
    DynamoDBRestoreTrigger: {
        "table_name": [None, 5, "", "ab", "a b", "orders\n", "x" * 300],
        "source": [None, [], {}, {"table_arn": 5}, {"table_arn": TARGET, "moment": "now"}, {"unheard_of": 1}],
    },
    DynamoDBFreshBackupTrigger: {
        "table_name": [None, 5, "ab", "orders\n"],
        "max_age": [None, "60", -1, float("nan"), float("inf"), 10**400],
        "backup_name_prefix": [5, "", "a\x00b"],
        "region_name": [None, ""],
    },
}


def wrong_values(kind: type[Any], name: str) -> list[Any]:
    """Return the wrong values of an argument of a trigger."""
    values = [*OF_ANY.get(name, ()), *OF_EACH[kind].get(name, ())]
    # Fresh backups are those of the region that is named.
    return [one for one in values if (kind, one) != (DynamoDBFreshBackupTrigger, "eu-west-1")]


class TestTriggers:
    """What a triggerer builds a trigger from has lain in a database."""

    pytestmark = pytest.mark.anyio

    @pytest.mark.parametrize(
        ("kind", "name"), [(kind, name) for kind, own in OF_EACH.items() for name in {**OF_ANY, **own}]
    )
    async def test_a_wrong_argument_asks_aws_nothing(
        self, control_plane: ControlPlane, clock: Clock, kind: type[Any], name: str
    ) -> None:
        """The trigger ends with an exception, which fails its task."""
        right = {"poll_interval": 5, "deadline": clock.time() + 600, **TRIGGERS[kind]}
        for value in wrong_values(kind, name):
            with pytest.raises((BackupError, TypeError, ValueError)):
                _ = [event async for event in kind(**right | {name: value}).run()]
        assert not control_plane.calls


@kinds("create", "tables", "drill")
def test_whatever_a_failed_trigger_says(deferred: Deferred, log: Callable[[], str]) -> None:
    """The task fails with a sentence."""
    errors: tuple[object, ...] = (None, 5, "", "a\nb\x1b[2J", ["x"], {})
    tracebacks: tuple[object, ...] = (None, 5, "x", [], [5], [None], {"x": 1}, ["a\x1b[2J\u202e\n"])
    for error, lines in product(errors, tracebacks):
        failure = {"error": error, "traceback": lines}
        with pytest.raises(TriggerFailedError) as raised:
            deferred.make().resume_execution("__fail__", failure, context_of(deferred.ti))
        assert str(raised.value).isprintable()
    assert all(line.isprintable() for line in log().split("\n"))


#: a text that would make a line of its own, erase what is above it, and turn the rest round
LINE = "forged {sensors.py:1} INFO - All backups are AVAILABLE"
TEXT = f"No\r\n{LINE}\x1b[2J\x85\u2028{LINE}\u202e\u2066\x00\x9b1A"
READ = ("DescribeTable", "ListTables", "DescribeBackup", "ListBackups", "CreateBackup")


def texts_in(value: object) -> list[str]:
    """Return every text in a JSON value, keys too."""
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in texts_in(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts_in(one)]
    return [value] if isinstance(value, str) else []


class TestLogs:
    """A text of another makes no line of its own: neither in the log, nor in a message, an XCom or a traceback."""

    @pytest.fixture
    def task(self, control_plane: ControlPlane, request: pytest.FixtureRequest) -> Any:
        """Return a task of the class that the test names."""
        control_plane.switch_recovery("orders")
        (arn,) = control_plane.add_backups("orders", 1, "nightly-1")
        kind = OPERATORS[request.param]
        return kind(task_id="task", **usual_arguments(kind, arn))

    def check(self, task: Any, log: Callable[[], str]) -> None:
        """Execute a task, which need not fail, and look at all that it leaves."""
        ti, left = FakeTaskInstance(task_id="task"), ""
        try:
            task.execute(context_of(ti))
        except (BackupError, AirflowSensorTimeout) as error:
            left = "".join(traceback.format_exception(error))
        for text in (*texts_in(ti.xcoms), *left.split("\n"), *log().split("\n")):
            assert text.isprintable(), repr(text)
            assert not text.startswith(LINE)

    @pytest.mark.parametrize("task", OPERATORS, indirect=True)
    def test_the_text_of_an_error(self, control_plane: ControlPlane, log: Callable[[], str], task: Any) -> None:
        """A proxy may have written it, or whoever has the endpoint."""
        for code in ("ValidationException", "Unheard\nOf"):
            for operation in (*READ, "DeleteBackup"):
                control_plane.fail_next(operation, Fault(code=code, text=TEXT), times=99)
            self.check(task, log)
            control_plane.clear_faults()

    @pytest.mark.parametrize("task", OPERATORS, indirect=True)
    def test_a_name_in_a_response(self, control_plane: ControlPlane, log: Callable[[], str], task: Any) -> None:
        """AWS's own have no such characters: it is not AWS's response."""
        for member in ("TableName", "TableStatus", "BackupName", "BackupStatus"):
            altered = Fault(Answer.ALTERED, set_members={member: TEXT, "TableNames": [TEXT]}, adds=True)
            for operation in READ:
                control_plane.fail_next(operation, altered, times=9999)
            self.check(task, log)
            control_plane.clear_faults()
