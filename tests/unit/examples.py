"""The example DAGs, as Airflow reads them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tests.conftest import DAGS_FOLDER


@cache
def dags() -> dict[str, Any]:
    """Return all example DAGs, by their IDs."""
    since_3_1 = "airflow.dag_processing.dagbag"
    module = import_module(since_3_1 if find_spec(since_3_1) else "airflow.models.dagbag")
    bag = module.DagBag(DAGS_FOLDER / "examples")
    assert bag.import_errors == {}
    return dict(bag.dags)
