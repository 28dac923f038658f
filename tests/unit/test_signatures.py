"""Signatures: what type checkers and editors know of every operator and sensor."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from tests.unit.classes import public_classes, usual_arguments

USES = Path(__file__).parents[1] / "typing" / "every_parameter.py"
CLASSES = {**public_classes("operators"), **public_classes("sensors")}
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee"
#: the amazon provider's own, whose base classes take them
AWS = {"aws_conn_id", "region_name", "verify", "botocore_config"}
EACH = pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)


def named(kind: type) -> dict[str, inspect.Parameter]:
    """Return the parameters that a class's own constructor names."""
    parameters = inspect.signature(vars(kind).get("__init__", lambda: None)).parameters
    return {name: one for name, one in parameters.items() if name not in {"self", "kwargs"}}


def documented(kind: type) -> list[str]:
    """Return the parameters that a class's docstring describes."""
    return re.findall(r"^ *:param (\w+):", str(kind.__doc__), re.MULTILINE)


def used(kind: type) -> set[str]:
    """Return the parameters that the typical uses of a class name where all are right."""
    (right,) = (node for node in ast.parse(USES.read_text()).body if getattr(node, "name", "") == "right")
    return {
        str(keyword.arg)
        for node in ast.walk(right)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == kind.__name__
        for keyword in node.keywords
    } - {"task_id"}


@EACH
def test_every_parameter_is_named_by_the_class_itself(kind: type) -> None:
    """Whatever disappears in a base's ``**kwargs`` is known to no editor."""
    assert set(named(kind)) - AWS == set(documented(kind)) - AWS


@EACH
def test_every_parameter_is_documented_once(kind: type) -> None:
    """Those of the amazon provider too."""
    names = documented(kind)
    assert sorted(set(names)) == sorted(names)
    assert set(names) >= AWS


@EACH
def test_every_parameter_is_by_keyword_and_typed(kind: type) -> None:
    """As Airflow's are."""
    for name, one in named(kind).items():
        assert one.kind is inspect.Parameter.KEYWORD_ONLY, name
        assert one.annotation not in {inspect.Parameter.empty, Any, "Any"}, name


@EACH
def test_type_checkers_read_a_use_of_every_parameter(kind: type) -> None:
    """``make lint`` checks them."""
    assert used(kind) == set(named(kind))


@EACH
def test_a_misspelt_parameter_is_refused(kind: type) -> None:
    """Airflow knows none of that name."""
    kind(task_id="task", **usual_arguments(kind, ARN))
    with pytest.raises((AirflowException, TypeError), match="tagz"):
        kind(task_id="task", **usual_arguments(kind, ARN), tagz={})
