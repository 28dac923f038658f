"""The words of docs/stability.rst: each public name has one in the API reference, and what the page says holds."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from airflow.exceptions import AirflowProviderDeprecationWarning

import airflow_ddb_backup

ROOT = Path(__file__).parents[2]
PACKAGE = Path(airflow_ddb_backup.__file__).parent
PAGE = (ROOT / "docs" / "stability.rst").read_text()
WORDS = ("Stable", "Provisional", "Internal")
#: the modules that users import from; all others are internal as a whole
PUBLIC = {
    f"airflow_ddb_backup.{name}"
    for name in (
        "exceptions",
        "get_provider_info",
        "hooks.dynamodb",
        "links.dynamodb",
        "models",
        "operators.dynamodb",
        "sensors.dynamodb",
        "triggers.dynamodb",
    )
}
USERS = sorted([*(ROOT / "example_dags").glob("*.py"), *(ROOT / "docs" / "getting_started").glob("*.py")])


def sections(page: str) -> dict[str, str]:
    """Return the parts of the API reference by their word."""
    parts = re.split(rf"^({'|'.join(WORDS)})\n-+\n", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def names_of(part: str) -> list[str]:
    """Return the names that a part of the API reference lists, with their modules."""
    modules = re.findall(r"^\.\. automodule:: (\S+)\n {4}:members: (.+(?:\n {8}.+)*)", part, re.MULTILINE)
    modules += re.findall(r"^``(\S+)``\n {4}(``.+(?:\n {4}``.+)*)", part, re.MULTILINE)
    listed = [f"{module}.{name}" for module, names in modules for name in re.findall(r"\w+", names)]
    return listed + re.findall(r"^\.\. autoclass:: (\S+)", part, re.MULTILINE)


WORD_OF = {
    name: word for word, part in sections((ROOT / "docs" / "api.rst").read_text()).items() for name in names_of(part)
}


def defined(module: str) -> set[str]:
    """Return the names that a module offers: those of its ``__all__``, or the public ones that it defines itself."""
    loaded = import_module(module)
    if hasattr(loaded, "__all__"):
        return {f"{module}.{name}" for name in loaded.__all__}
    found: set[str] = set()
    for node in ast.parse(Path(str(loaded.__file__)).read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return {f"{module}.{name}" for name in found if not name.startswith("_")}


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_every_public_name_has_its_word(module: str) -> None:
    """A new one is put under the word that it deserves, and one that is gone is missed."""
    assert {name for name in WORD_OF if name.rpartition(".")[0] == module} == defined(module)


def test_a_name_has_one_word() -> None:
    """And a module that is not public is not on the page."""
    parts = sections((ROOT / "docs" / "api.rst").read_text())
    listed = [name for part in parts.values() for name in names_of(part)]
    assert tuple(parts) == WORDS
    assert sorted(listed) == sorted(WORD_OF)
    assert {name.rpartition(".")[0] for name in WORD_OF} == PUBLIC


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_defined_once(word: str) -> None:
    """On the page that the API reference leads to."""
    assert len(re.findall(rf"^\.\. _{word.lower()}:\n\n{word}\n    \S", PAGE, re.MULTILINE)) == 1
    assert f":ref:`what that means <{word.lower()}>`" in sections((ROOT / "docs" / "api.rst").read_text())[word]


def test_everything_in_the_table_has_its_word() -> None:
    """No other words are used."""
    rows = re.findall(r"^    \* - (.+)\n      - (.+)\n      - ", PAGE, re.MULTILINE)
    words = {what: word for what, word in rows if what != "what"}
    assert {*words.values()} == {"as in :doc:`api`", *(word.lower() for word in WORDS)}
    assert len(words) > 10


@pytest.mark.parametrize("path", USERS, ids=lambda path: path.stem)
def test_no_example_uses_what_is_internal(path: Path) -> None:
    """What users copy stays."""
    used = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("airflow_ddb_backup")
        for alias in node.names
    }
    assert {name: WORD_OF.get(name, "Internal") for name in used} == {
        name: WORD_OF[name] for name in used if WORD_OF.get(name) in WORDS[:2]
    }


def test_the_warning_of_a_deprecation_exists() -> None:
    """Under the path that a user filters."""
    kind = AirflowProviderDeprecationWarning
    assert issubclass(kind, DeprecationWarning)
    assert f"error::{kind.__module__}.{kind.__name__}" in PAGE
