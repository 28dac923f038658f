"""The public classes of the package and their parameters, read off its modules, and arguments that are right."""

from __future__ import annotations

import inspect
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import Any

#: the modules that users import classes from, by the kind that Airflow calls them
MODULES = {
    kind: f"airflow_ddb_backup.{kind}.dynamodb" for kind in ("hooks", "links", "operators", "sensors", "triggers")
}
#: a right value for each parameter without a default, by name; a new one needs its own
REQUIRED: dict[str, Any] = {
    "max_age": timedelta(hours=26),
    "source_table_name": "orders",
    "table_name": "orders",
    "table_names": ["orders"],
    "target_table_name": "orders-restored",
}
#: a right value where the default would take time, or is refused alone
USUAL: dict[str, Any] = {
    "backup_name_prefix": "nightly-",
    "before": "2100-01-01T00:00:00+00:00",
    "deferrable": False,
    "keep_last": 1,
    "min_items": 0,
    "poke_interval": 0.01,
    "settings": (),
    "table_name": "orders",
    "table_names": ["orders"],
    "timeout": 60,
    "use_latest_restorable_time": True,
}
#: what a parameter takes the place of
INSTEAD: dict[str, tuple[str, ...]] = {
    "backup_arn": ("table_name", "before", "backup_name_prefix"),
    "restore_date_time": ("use_latest_restorable_time",),
}
#: a sensor sleeps by Airflow's own clock
SHORT = {"timeout": 0.05}


@cache
def public_classes(kind: str) -> dict[str, type]:
    """Return the classes of one kind that are the package's own and not private, by name.

    :param kind: one of :data:`MODULES`
    """
    module = import_module(MODULES[kind])
    return {
        name: one
        for name, one in sorted(vars(module).items())
        if inspect.isclass(one)
        and one.__module__.startswith(MODULES[kind])
        and not name.startswith("_")
        and name.startswith("DynamoDB")
    }


@cache
def parameters_of(kind: type) -> dict[str, inspect.Parameter]:
    """Return a class's own parameters: those of its constructor, and of its bases' in this package."""
    found: dict[str, inspect.Parameter] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("airflow_ddb_backup.") and "__init__" in vars(base):
            found |= inspect.signature(vars(base)["__init__"]).parameters
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: one for name, one in found.items() if one.kind in named and name != "self"}


def usual_arguments(kind: type, arn: str, varied: str = "") -> dict[str, Any]:
    """Return arguments with which a task does its work at once.

    :param kind: the operator or sensor
    :param arn: a backup of ``orders``
    :param varied: the parameter that gets another value: those whose place it takes are left out
    """
    given = {**REQUIRED, "backup_arn": arn, "backup_arns": [arn]}
    arguments = {
        name: given[name] for name, one in parameters_of(kind).items() if one.default is inspect.Parameter.empty
    }
    more = USUAL | (SHORT if kind in public_classes("sensors").values() else {})
    arguments |= {name: value for name, value in more.items() if name in parameters_of(kind)}
    return {name: value for name, value in arguments.items() if name not in INSTEAD.get(varied, ())}
