"""The public classes of the package, read off its modules."""

from __future__ import annotations

import inspect
from importlib import import_module

#: the modules that users import classes from, by the kind that Airflow calls them
MODULES = {
    kind: f"airflow_ddb_backup.{kind}.dynamodb" for kind in ("hooks", "links", "operators", "sensors", "triggers")
}


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
