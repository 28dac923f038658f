"""The metadata for provider discovery and for the provider registry."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import entry_points, version
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

import airflow_ddb_backup
from airflow_ddb_backup.get_provider_info import get_provider_info
from tests.unit.classes import MODULES, public_classes

ROOT = Path(__file__).parents[2]
REGISTRY = ROOT / ".airflow-registry.yaml"


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


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers"])
def test_it_names_the_module_of_every_public_class(kind: str) -> None:
    """Airflow's provider pages read their classes off these."""
    assert get_provider_info()[kind][0]["python-modules"] == [MODULES[kind]]
    assert public_classes(kind)


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers"])
def test_the_provider_registry_is_told_every_public_class(kind: str) -> None:
    """And nothing else, each once, with a description of its own."""
    registry = yaml.safe_load(REGISTRY.read_text())
    told = [entry["module"] for entry in registry[kind]]
    assert told == [f"{MODULES[kind]}.{name}" for name in public_classes(kind)]
    descriptions = [entry["description"] for entry in registry[kind]]
    assert len(set(descriptions)) == len(descriptions)


def test_the_provider_registry_is_told_the_package() -> None:
    """By the name that it is installed by."""
    assert yaml.safe_load(REGISTRY.read_text())["package-name"] == get_provider_info()["package-name"]


def test_airflow_loads_every_extra_link() -> None:
    """A link that is missing here shows on no page."""
    assert get_provider_info()["extra-links"] == [f"{MODULES['links']}.{name}" for name in public_classes("links")]


@pytest.mark.parametrize("kind", ["operators", "sensors"])
def test_every_operator_and_sensor_has_its_guide(kind: str) -> None:
    """Under the label that its docstring refers to, and it is named in README."""
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.rst"))
    for name, one in public_classes(kind).items():
        label = f"howto/{kind.removesuffix('s')}:{name}"
        assert f":ref:`{label}`" in str(one.__doc__)
        assert f".. _{label}:\n" in pages
        assert f"`{name}`" in (ROOT / "README.md").read_text()
