"""The package as a whole: the direction of its imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import airflow_ddb_backup

ROOT = Path(airflow_ddb_backup.__file__).parent
# Apart from what holds no story.
NAMED = {
    ".".join(module.relative_to(ROOT).with_suffix("").parts): module
    for module in sorted(ROOT.rglob("*.py"))
    if module.stem not in {"__init__", "get_provider_info"}
}
# What each layer may import: the layers below it. A story imports no other story's inside.
LAYERS = [
    {"operators", "sensors"},
    {"waiting.deferral"},
    {"triggers", "links"},
    {"creation", "waiting", "retention", "restoring"},
    {"selection"},
    {"connection"},
    {"hooks", "waiting.threads"},
    {"rates", "report", "retries", "validation"},
    {"boto_errors", "clock", "parameters"},
    {"models"},
    {"exceptions"},
    {"limits"},
]


def own_imports(module: Path) -> set[str]:
    """Return the modules of this package that one imports, for types or for real."""
    nodes = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ImportFrom)]
    names = {node.module for node in nodes if node.module}
    return {name.removeprefix("airflow_ddb_backup.") for name in names if name.startswith("airflow_ddb_backup.")}


def layer_of(name: str) -> int:
    """Return the place of a module's layer, from the top: the longest name that it begins with counts."""
    places = {prefix: place for place, layer in enumerate(LAYERS) for prefix in layer}
    return places[max((prefix for prefix in places if f"{name}.".startswith(f"{prefix}.")), key=len)]


def loaded_by(*modules: str) -> set[str]:
    """Return the top-level packages that are loaded once a new process has imported some modules."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}}, sep='\\n')"
    seen = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True)
    return set(seen.stdout.split())


def test_the_root_imports_neither_airflow_nor_boto() -> None:
    """Another provider whose root did crashed every ``airflow`` command."""
    assert not loaded_by("airflow_ddb_backup") & {"airflow", "boto3", "botocore"}


def test_operators_load_no_aiobotocore() -> None:
    """Only the triggerer needs it, and DAG files are imported again and again."""
    loaded = loaded_by("airflow_ddb_backup.operators.dynamodb", "airflow_ddb_backup.sensors.dynamodb")
    assert "boto3" in loaded
    assert "aiobotocore" not in loaded


def test_imports_point_downwards_only() -> None:
    """A lower layer knows nothing of a higher one, and a story nothing of another's inside."""
    for name, module in NAMED.items():
        for imported in own_imports(module):
            same_story = imported.partition(".")[0] == name.partition(".")[0]
            assert same_story or layer_of(imported) > layer_of(name), f"{name} imports {imported}"


def test_every_module_has_its_layer() -> None:
    """A new module is put where it belongs."""
    assert [layer_of(name) for name in NAMED]
