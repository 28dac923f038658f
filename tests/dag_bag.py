"""DAGs as Airflow reads them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tests.conftest import DAGS_FOLDER

if TYPE_CHECKING:
    from pathlib import Path


def dag_bag(folder: Path = DAGS_FOLDER) -> Any:
    """Read all DAGs of a folder."""
    since_3_1 = "airflow.dag_processing.dagbag"
    module = import_module(since_3_1 if find_spec(since_3_1) else "airflow.models.dagbag")
    bag = module.DagBag(folder)
    assert bag.import_errors == {}
    return bag


@cache
def examples() -> dict[str, Any]:
    """Return all example DAGs, by their IDs."""
    return dict(dag_bag(DAGS_FOLDER / "examples").dags)
