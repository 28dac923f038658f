"""The package as a whole: the direction of its imports, and the few places that may wait, retry or hold a number."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import airflow_ddb_backup

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    {"coverage", "creation", "waiting", "retention", "restoring"},
    {"selection"},
    {"connection"},
    {"hooks"},
    {"metrics", "rates", "report", "retries"},
    {"boto_errors", "clock", "parameters"},
    {"models"},
    {"exceptions"},
    {"limits"},
]


def own_imports(module: Path) -> set[str]:
    """Return the modules of this package that one imports, for types or for real."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "airflow_ddb_backup":
            names |= {f"airflow_ddb_backup.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
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


TREES = {name: ast.parse(module.read_text()) for name, module in NAMED.items()}
#: a sleep that the event loop makes: the one wait, its poller, and what holds an event back
ON_THE_LOOP = {"rates", "waiting", "triggers"}
#: numbers that are no choice of this package, and stay with what they explain
NOT_CHOSEN = {
    "boto_errors._SERVER_ERROR",  # HTTP's
    "coverage.page.REFUSALS",  # HTTP's
}


def calls(tree: ast.AST) -> Iterator[str]:
    """Yield what a module calls, as it is written, such as ``asyncio.sleep``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def imported(tree: ast.AST) -> set[str]:
    """Return the modules that one imports, and the names of what it imports from modules."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def users_of(*names: str) -> set[str]:
    """Return the modules that import one of some others."""
    return {module for module, tree in TREES.items() if imported(tree) & set(names)}


def holds_a_number(value: ast.expr) -> bool:
    """Return whether an expression has a number of its own, written or made of written ones."""
    numbers = (node.value for node in ast.walk(value) if isinstance(node, ast.Constant))
    return any(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)


def constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield the constants of a module and of its classes, which have upper-case names, with their values."""
    for body in [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]:
        for node in body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AnnAssign):
                targets = [node.target]
            for target in targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
                for name in names:
                    if value is not None and isinstance(name, ast.Name) and name.id.isupper():
                        yield name.id, value


def test_only_the_clock_asks_for_the_time() -> None:
    """All else goes by one that is passed: the tests replace it in one place."""
    assert users_of("time") == {"clock"}
    asking = {"time.time", "time.monotonic", "time.sleep"}
    assert {name for name, tree in TREES.items() if asking & set(calls(tree))} == set()


def test_only_the_loops_sleep_on_a_worker() -> None:
    """What waits otherwise calls one of the four."""
    sleeping = {
        name
        for name, tree in TREES.items()
        if any(call.endswith(".sleep") and call != "asyncio.sleep" for call in calls(tree))
    }
    assert sleeping == {"clock", "retries", "rates"}


def test_only_the_wait_sleeps_on_an_event_loop() -> None:
    """And a turn at AWS's rate."""
    sleeping = {name.partition(".")[0] for name, tree in TREES.items() if "asyncio.sleep" in calls(tree)}
    assert sleeping <= ON_THE_LOOP


def test_there_is_one_backoff() -> None:
    """Tenacity and jitter are used nowhere else."""
    assert users_of("tenacity") == {"retries"}
    assert users_of("random") == {"rates", "retries"}
    powers = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and isinstance(node.left, ast.Constant)
    }
    # The planner's is the half-life of what it has learned.
    assert powers == {"retries", "waiting.planner"}


def test_one_function_judges() -> None:
    """What has failed is raised by the report."""
    defined = {
        name: {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for name, tree in TREES.items()
    }
    assert {name for name, found in defined.items() if "raise_for_failures" in found} == {"report"}
    assert not [name for name, found in defined.items() if found & {"judge", "_judge"}]


def test_values_check_themselves() -> None:
    """There is no module of checks that a flow could forget."""
    assert "validation" not in NAMED
    assert not users_of("airflow_ddb_backup.validation")


@pytest.mark.parametrize("name", sorted(NAMED.keys() - {"limits"}))
def test_a_number_has_its_place_and_its_source(name: str) -> None:
    """In ``limits.py``, once."""
    found = {constant for constant, value in constants(TREES[name]) if holds_a_number(value)}
    assert {f"{name}.{constant}" for constant in found} <= NOT_CHOSEN


def test_numbers_are_found() -> None:
    """A search that finds nothing would prove nothing."""
    tree = ast.parse("A = 5\n_B: float = -1.5\nC, D = timedelta(days=1), 'x'\nE = True\nf = 3\n")
    found = [(name, holds_a_number(value)) for name, value in constants(tree)]
    assert found == [("A", True), ("_B", True), ("C", True), ("D", True), ("E", False)]


TESTS = Path(__file__).parents[1]
#: tests of more than one module, by what they are about
OF_SEVERAL = {
    "test_bad_input",
    "test_calls",
    "test_docs",
    "test_examples",
    "test_forged",
    "test_iam",
    "test_many_nights",
    "test_package",
    "test_pages",
    "test_proxy",
    "test_readme",
    "test_release",
    "test_security",
    "test_signatures",
    "test_stability",
    "test_stored",
    "test_troubleshooting",
}
UNIT = sorted((TESTS / "unit").rglob("test_*.py"))


@pytest.mark.parametrize("path", UNIT, ids=lambda path: str(path.relative_to(TESTS / "unit")))
def test_a_test_is_named_after_its_module(path: Path) -> None:
    """A file, or a folder, for each."""
    folder = path.relative_to(TESTS / "unit").parent
    module = ROOT / folder / path.stem.removeprefix("test_")
    in_folder = (ROOT / folder).with_suffix(".py")
    known = module.with_suffix(".py").exists() or module.is_dir() or in_folder.exists()
    assert known or path.stem in OF_SEVERAL


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_imports_another(path: Path) -> None:
    """What several need is in a conftest, or in a module of its own."""
    assert not [name for name in imported(ast.parse(path.read_text())) if re.search(r"(^|[.])test_", name)]


def test_no_operator_s_execute_calls_another() -> None:
    """Airflow warns of one that is called by anything but itself, also by that of a subclass."""
    operators = [path for name, path in NAMED.items() if name.startswith("operators.")]
    assert len(operators) > 8
    assert not [path.stem for path in operators if "super().execute(" in path.read_text(encoding="utf-8")]
