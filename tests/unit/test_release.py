"""The obstacles to a release."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "release.py"
CHANGELOG = """Changelog
=========

1.2.0 (2026-12-01)
------------------

* A line.

1.1.0 (2026-11-01)
------------------
"""
RIGHT = {"version": "1.2.0", "tag": "v1.2.0", "changelog": CHANGELOG, "changed": ""}


@pytest.fixture(scope="module")
def release() -> Any:
    """Return the script."""
    spec = importlib.util.spec_from_file_location("release", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_if_all_agree(release: Any) -> None:
    """Tag, version and changelog name the same."""
    assert release.problems(**RIGHT) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": "1.2"}, "none to release"),
        ({"tag": ""}, "tag is missing"),
        ({"tag": "v1.1.0"}, "asks for v1.2.0"),
        ({"changelog": CHANGELOG.replace("1.2.0 (2026-12-01)", "Unreleased")}, "begins with 'Unreleased'"),
        ({"changelog": CHANGELOG.replace(" (2026-12-01)", "")}, "YYYY-MM-DD"),
        ({"changelog": ""}, "begins with ''"),
        ({"changed": " M README.md"}, "not committed"),
    ],
)
def test_each_disagreement_is_named(release: Any, change: dict[str, str], problem: str) -> None:
    """The message names what to fix."""
    assert problem in "\n".join(release.problems(**RIGHT | change))
