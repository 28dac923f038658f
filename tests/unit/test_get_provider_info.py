"""The metadata for provider discovery."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import entry_points, version
from importlib.resources import files
from pathlib import Path

import jsonschema
import yaml

import airflow_ddb_backup
from airflow_ddb_backup.get_provider_info import get_provider_info

REGISTRY = Path(__file__).parents[2] / ".airflow-registry.yaml"


def test_it_is_valid_by_airflow_s_schema() -> None:
    """Discovery refuses a provider that is not."""
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_it_is_the_distribution_s_entry_point() -> None:
    """Airflow finds it by group, and compares the name."""
    found = [entry for entry in entry_points(group="apache_airflow_provider") if entry.module.startswith("airflow_ddb")]
    assert [entry.load()()["package-name"] for entry in found] == ["airflow-ddb-backup"]
    assert version("airflow-ddb-backup") == airflow_ddb_backup.__version__


def test_every_module_and_class_that_it_names_exists() -> None:
    """A wrong name would break Airflow's pages."""
    info = get_provider_info()
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for module in info[kind][0]["python-modules"]:
            import_module(module)
    for path in info["extra-links"]:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name)


def test_the_provider_registry_is_told_the_same() -> None:
    """Its file names this package, and a class of each module."""
    info, registry = get_provider_info(), yaml.safe_load(REGISTRY.read_text())
    assert registry["package-name"] == info["package-name"]
    for kind in ("hooks", "operators", "sensors", "triggers"):
        classes = [entry["module"].rpartition(".") for entry in registry[kind]]
        assert [module for module, _, _ in classes] == info[kind][0]["python-modules"]
        assert all(hasattr(import_module(module), name) for module, _, name in classes)
