"""The package as a whole: its imports and its sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from statistics import median

import airflow_ddb_backup

ROOT = Path(airflow_ddb_backup.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
# What each module may import, from the top down.
LAYERS = [
    {"operators.dynamodb", "sensors.dynamodb"},
    {"deferral"},
    {"triggers.dynamodb", "links.dynamodb"},
    {"watcher"},
    {"paced_client"},
    {"hooks.dynamodb"},
    {"hooks.run_backup"},
    {"hooks.retrying"},
    {"waiting", "creation", "polling"},
    {"translation", "parameters"},
    {"backup"},
    {"errors"},
]


def own_imports(module: Path) -> set[str]:
    """Return the modules of this package that one imports, for types or for real."""
    nodes = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ImportFrom)]
    names = {node.module for node in nodes if node.module}
    return {name.removeprefix("airflow_ddb_backup.") for name in names if name.startswith("airflow_ddb_backup.")}


def functions() -> list[tuple[str, int]]:
    """Return every function with its lines, docstring aside."""
    found = []
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node, clean=False)
                lines = (node.end_lineno or 0) - node.lineno + 1 - (len(docstring.split("\n")) if docstring else 0)
                found.append((f"{module.name}:{node.name}", lines))
    return found


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
    """A lower layer knows nothing of a higher one."""
    for depth, layer in enumerate(LAYERS):
        allowed = set().union(*LAYERS[depth + 1 :])
        for name in layer:
            assert own_imports(ROOT / f"{name.replace('.', '/')}.py") <= allowed, name


def test_every_module_has_its_layer() -> None:
    """A new module is put where it belongs."""
    names = {".".join(module.relative_to(ROOT).with_suffix("").parts) for module in MODULES}
    packages = {name for name in names if name.endswith("__init__")}
    assert names - packages - {"get_provider_info"} == set().union(*LAYERS)


def test_modules_and_functions_stay_small() -> None:
    """A module that needs a table of contents is two modules."""
    assert {module.name: n for module in MODULES if (n := len(module.read_text().splitlines())) > 250} == {}
    assert median(lines for _, lines in functions()) <= 10
