"""What the readers of the documentation compare, and that its pages are theirs to follow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.system.reader import blocks, pattern_of

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / name for name in ("getting_started.rst", "on_call.rst")]


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        ("done", "done\n"),
        ("3 of … failed", "3 of 40 failed\n"),
        ("…\nnightly True\n…", "a warning\ndag_id   is_paused\nnightly  True\n\n"),
        ("nightly … success …", "nightly  by-hand  success  2026-11-28T02:00:00+00:00  \n"),
    ],
)
def test_an_output_is_as_shown(shown: str, output: str) -> None:
    """What varies and the widths of columns do not count."""
    assert pattern_of(shown).fullmatch(output)


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        ("done", ""),
        ("done", "done\nand more\n"),
        ("3 of … failed", "4 of 40 failed\n"),
        ("…\nnightly True\n…", "nightly False\n"),
        ("nightly … success …", "nightly by-hand failed 1\nweekly by-hand success 1\n"),
        ("a.b", "a-b\n"),
    ],
)
def test_an_output_is_not_as_shown(shown: str, output: str) -> None:
    """All else does."""
    assert not pattern_of(shown).fullmatch(output)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_is_one_that_a_reader_follows(page: Path) -> None:
    """Commands are typed, and each log is that of a DAG's task."""
    found = list(blocks(page))
    assert len([block for block in found if block.kind == "console"]) > 10
    assert all(list(block.commands()) for block in found if block.kind == "console")
    assert all(re.fullmatch(r"\w+, \w+", block.caption) for block in found if block.kind == "text")
    assert len(found) == len(re.findall(r"\.\. (?:code-block|literalinclude)::", page.read_text()))
