"""Bad input: every parameter of every operator and sensor, given any value.

The parameters are read off the signatures, so that a new one is tried as soon as it is there. A value is given to the
constructor, as a DAG file does, and set on a finished task, as rendered templates, ``pre_execute`` and cluster policies
do. Then there are two ends: :class:`~airflow_ddb_backup.exceptions.InvalidValueError` that names the parameter, before
any call, or the task does its work. An answer to a right value, such as that there is no such table, is part of that
work.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from airflow_ddb_backup import exceptions
from airflow_ddb_backup.exceptions import BackupError, EmptySelectionError, InvalidValueError
from tests.sampling import EXAMPLES
from tests.simulator.control_plane import REGION
from tests.unit.classes import parameters_of, public_classes, usual_arguments
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.strategies import JSON

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.loop import SkippingLoop

AWS = ("aws_conn_id", "region_name", "verify", "botocore_config")
#: a template, for parameters that have one
TEMPLATE = "{{ params.value }}"
#: the exceptions that would blame AWS or the network for a wrong value
UNCHECKED = (exceptions.InvalidRequestError, exceptions.AmbiguousOutcomeError, exceptions.TriggerFailedError)
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"
#: values that are nearly right somewhere
NASTY: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    10**30,
    10**5000,
    float("nan"),
    float("inf"),
    "",
    "no",
    "all",
    "60",
    "orders ",
    "öre-table",
    "a" * 256,
    "a\x00b",
    "\ud800\ud800\ud800",
    "*",
    "[",
    "eu-west-1\n",
    "orders\n",
    "orders\x1b[2J",
    "orders\u202e",
    "orders" * 10**5,
    "arn:aws:s3:::orders",
    ARN.replace("us-east-1", "eu-west-1"),
    ARN.replace("123456789012", "210987654321"),
    ARN + "\n",
    "arn:aws:dynamodb:eu-west-1:123456789012:table/orders",
    ARN,
    [],
    ["orders", None],
    ["orders", "["],
    [ARN, 5],
    {},
    {"backup": [1]},
    {"aws:backup": "x"},
    {"ReadCapacityUnits": 1},
    {"ReadCapacityUnits": 10**30, "WriteCapacityUnits": 1},
    {"ReadCapacityUnits": 10**5000, "WriteCapacityUnits": 1},
    {"backup": 10**5000},
    {"read_timeout": "x"},
    {"proxies": 5},
    {"region_name": 5},
    {"connect_timeout": None, "read_timeout": -1},
]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a class.

    :param kind: the operator or sensor
    :param name: the parameter
    """

    kind: type
    name: str

    def __str__(self) -> str:
        return f"{self.kind.__name__}-{self.name}"

    @property
    def is_templated(self) -> bool:
        """Whether Airflow renders it."""
        return self.name in self.kind.template_fields  # type: ignore[attr-defined]  # every operator has them


CLASSES = {**public_classes("operators"), **public_classes("sensors")}
PARAMETERS = [Parameter(kind, name) for kind in CLASSES.values() for name in sorted({*parameters_of(kind), *AWS})]


class Attempt:
    """A class given a value for one parameter, in all ways."""

    _runs = count()

    def __init__(self, control_plane: ControlPlane, arn: str, parameter: Parameter, value: object) -> None:
        self._plane = control_plane
        self._arn = arn
        self._parameter = parameter
        self._value = value

    def check(self) -> None:
        """Give the value to the constructor, and set it on a finished task where that may make a difference."""
        built = self._build(self._value)
        if built is not None:
            self._execute(built)
        templated = self._parameter.is_templated
        if built is None or templated:
            later = self._build(TEMPLATE if templated else None, as_usual=not templated)
            assert later is not None
            setattr(later, self._parameter.name, self._value)
            self._execute(later)

    def _build(self, value: object, *, as_usual: bool = False) -> Any:
        arguments = {"task_id": "task", **usual_arguments(self._parameter.kind, self._arn, self._parameter.name)}
        if not as_usual:
            arguments[self._parameter.name] = value
        asked = len(self._plane.requests)
        try:
            return self._parameter.kind(**arguments)
        except InvalidValueError as error:
            self._assert_named(error)
        assert len(self._plane.requests) == asked
        return None

    def _execute(self, task: Any) -> None:
        asked = sum(self._plane.calls.values())
        # AWS's limits are full again.
        self._plane.clock.sleep(60)
        ti = FakeTaskInstance(task_id="task", run_id=f"manual__{next(self._runs)}")
        error: BackupError | None = None
        try:
            task.execute(context_of(ti))
        except (TaskDeferred, AirflowSkipException):
            return
        except BackupError as raised:
            error = raised
        if isinstance(error, InvalidValueError):
            self._assert_named(error)
            assert sum(self._plane.calls.values()) == asked, f"a call was made before: {error}"
        elif any(kind.summary in str(error) for kind in UNCHECKED):
            assert self._is_only_unknown(str(error)), f"AWS was sent an unchecked value: {error}"

    def _is_only_unknown(self, message: str) -> bool:
        """Return whether a value is of the right kind, and only this machine or the simulation does not have it."""
        if self._parameter.name == "verify":
            # A bundle's path, which is there on some workers.
            return isinstance(self._value, str)
        # Another region: AWS has more of them each year.
        return self._parameter.name == "region_name" and "answered 500" in message

    def _assert_named(self, error: InvalidValueError) -> None:
        assert self._parameter.name in str(error), f"{self._parameter.name} is not named: {error}"


@pytest.fixture(autouse=True)
def _fast_loop(loop_factory: Callable[[], SkippingLoop], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loop of a worker skip the time in which nothing happens."""
    monkeypatch.setattr("asyncio.events.new_event_loop", loop_factory)


@pytest.fixture(autouse=True)
def _default_credentials(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a connection that does not exist fall back on credentials that work."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", control_plane.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "simulated")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "simulated")


@pytest.fixture
def arn(control_plane: ControlPlane) -> str:
    """Create a backup that all tasks may wait for, and restore, of a table that has point-in-time recovery too."""
    control_plane.switch_recovery("orders")
    (arn,) = control_plane.add_backups("orders", 1, "nightly-1")
    return arn


def test_every_class_has_parameters() -> None:
    """A search that finds nothing would prove nothing."""
    assert len(CLASSES) >= 7
    assert all(len(parameters_of(kind)) >= 2 for kind in CLASSES.values())


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_the_usual_arguments_are_right(control_plane: ControlPlane, arn: str, kind: type) -> None:
    """The tests below change one of them."""
    task: Any = kind(task_id="task", **usual_arguments(kind, arn))
    assert task.execute(context_of(FakeTaskInstance(task_id="task"))) is not None
    assert control_plane.calls


@pytest.mark.parametrize("parameter", [one for one in PARAMETERS if one.is_templated], ids=str)
def test_a_template_of_any_dag_may_be_right(arn: str, parameter: Parameter) -> None:
    """A DAG may have other delimiters: what they render to is checked when the task runs."""
    for template in (TEMPLATE, "[[ params.value ]]", "<< params.value >>", "(( params.value ))", "<% value %>", "$v$"):
        usual = usual_arguments(parameter.kind, arn, parameter.name)
        task = parameter.kind(task_id="task", **usual | {parameter.name: template})
        assert getattr(task, parameter.name) == template


@pytest.mark.parametrize("parameter", [one for one in PARAMETERS if one.is_templated], ids=str)
def test_a_template_that_renders_to_none_is_never_the_default(
    control_plane: ControlPlane, arn: str, parameter: Parameter
) -> None:
    """A connection, a flag, a number, another table's settings: nothing is called."""
    arguments = usual_arguments(parameter.kind, arn, parameter.name) | {parameter.name: TEMPLATE}
    task: Any = parameter.kind(task_id="task", **arguments)
    setattr(task, parameter.name, None)
    asked = sum(control_plane.calls.values())
    empty = EmptySelectionError if parameter.name == "table_names" else InvalidValueError
    with pytest.raises(empty, match=parameter.name):
        task.execute(context_of(FakeTaskInstance(task_id="task")))
    assert sum(control_plane.calls.values()) == asked


@pytest.mark.load
@pytest.mark.parametrize("parameter", PARAMETERS, ids=str)
def test_a_nasty_value_is_refused_by_name_or_works(control_plane: ControlPlane, arn: str, parameter: Parameter) -> None:
    """Each of those that are nearly right somewhere."""
    wrong = []
    for value in NASTY:
        try:
            Attempt(control_plane, arn, parameter, value).check()
        except Exception as error:  # noqa: BLE001  # each is a finding
            wrong.append(f"{exceptions.shown(value):.60}: {type(error).__name__}: {error}"[:400])
    assert not wrong, "\n".join(wrong)


@pytest.mark.load
@pytest.mark.parametrize("parameter", PARAMETERS, ids=str)
@settings(
    max_examples=max(4, EXAMPLES // 12), suppress_health_check=list(HealthCheck), phases=set(Phase) - {Phase.explain}
)
@given(value=JSON | st.sampled_from(NASTY))
@example(value={"a": [{"b": None}]})
def test_any_value_is_refused_by_name_or_works(
    control_plane: ControlPlane, arn: str, parameter: Parameter, value: object
) -> None:
    """Whatever JSON can hold."""
    Attempt(control_plane, arn, parameter, value).check()
