"""The documentation's pages as a reader sees them, in a real browser, on a screen and on a phone.

``SCREENSHOTS=FOLDER`` takes pictures of ten of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.browser import IN_A_BROWSER, SCREENSHOTS, violations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = IN_A_BROWSER
DOCS = Path(__file__).parents[2] / "docs"
ALL = sorted(path.stem for path in DOCS.glob("*.rst"))
PICTURES = {
    "index",
    "getting_started",
    "where_you_run_it",
    "iam",
    "tables",
    "coverage",
    "prune",
    "policies",
    "how_it_works",
    "troubleshooting",
}
#: wider than the screen whatever is done: ten numbers a row
WIDE = {"benchmarks"}
#: pixels, and the colours that the reader prefers
SCREEN, PHONE = (1300, "light"), (420, "dark")
#: of each table its first column's right edge, whether it has more than it shows, and whether a word is cut
TABLES = """() => [...document.querySelectorAll(".table-wrapper > table")].filter(a => a.offsetParent).map(table => {
    const first = [...table.rows].map(row => row.cells[0]).filter(cell => cell.colSpan === 1);
    const frame = table.parentElement;
    return {
        starts: table.innerText.slice(0, 40),
        firstEnds: Math.max(...first.map(cell => cell.getBoundingClientRect().right)),
        firstIsCut: first.some(cell => cell.scrollWidth > cell.clientWidth + 1),
        scrolls: frame.scrollWidth > frame.clientWidth + 1,
    };
})"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the documentation; return where it is."""
    built = tmp_path_factory.mktemp("docs")
    subprocess.run([sys.executable, "-m", "sphinx", "-q", "-b", "html", DOCS, built], check=True, cwd=DOCS.parent)
    return built.as_uri()


@pytest.fixture(scope="module", params=[SCREEN, PHONE], ids=["screen", "phone"])
def window(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """Open a window."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context.new_page()
    context.close()


def opened(window: Page, site: str, name: str) -> Page:
    """Open a page."""
    window.goto(f"{site}/{name}.html")
    return window


@pytest.mark.parametrize("name", ALL)
def test_a_page_fits_its_window(window: Page, site: str, name: str) -> None:
    """It never scrolls sideways; a table may, by itself, but not its first column, and on a screen hardly any does."""
    page = opened(window, site, name)
    width = page.evaluate("innerWidth")
    if SCREENSHOTS and name in PICTURES:
        page.screenshot(path=Path(SCREENSHOTS, f"{name}-{width}.png"), full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tables: list[dict[str, Any]] = page.evaluate(TABLES)
    assert [table for table in tables if table["firstEnds"] > width or table["firstIsCut"]] == []
    if width == SCREEN[0] and name not in WIDE:
        assert [table["starts"] for table in tables if table["scrolls"]] == []


def test_tables_are_found(window: Page, site: str) -> None:
    """A search that finds nothing would prove nothing."""
    assert len(opened(window, site, "tables").evaluate(TABLES)) == 5


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_page_asks_nobody(browser: Browser, site: str, name: str) -> None:
    """Neither a font nor a script of another site."""
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, site, name)
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    page.close()


def copied(page: Page, selector: str) -> tuple[str, str]:
    """Press the button of the first block of some kind; return what the block shows, and what is copied."""
    block = page.locator(f"div.{selector}:visible").first
    block.hover()
    block.locator("button.copybtn").click()
    return block.locator("pre").inner_text().strip(), page.evaluate("navigator.clipboard.readText()").strip()


def test_code_is_copied_by_a_button(window: Page, site: str) -> None:
    """All of it, as it is shown."""
    shown, taken = copied(opened(window, site, "index"), "highlight-python")
    assert shown == taken


def test_commands_are_copied_without_prompts_and_outputs(window: Page, site: str) -> None:
    """So that they can be pasted into a terminal."""
    shown, taken = copied(opened(window, site, "on_call"), "highlight-console")
    lines = [line.removeprefix("$ ") for line in shown.splitlines() if line.startswith(("$ ", "    "))]
    assert 1 < len(lines) < len(shown.splitlines())
    assert taken == "\n".join(lines)


def test_a_tab_shows_its_own_code(window: Page, site: str) -> None:
    """In all policies of the page at once."""
    page = opened(window, site, "iam")
    page.get_by_text("Terraform", exact=True).first.click()
    shown = page.locator(".sd-tab-content:visible")
    assert shown.count() > 5
    assert all('data "aws_iam_policy_document"' in text for text in shown.all_inner_texts())


def test_the_diagrams_are_accessible(window: Page, site: str) -> None:
    """Axe finds no violation in them, in either colours, and each tells its steps."""
    page = opened(window, site, "how_it_works")
    assert violations(page, ".sequence") == []
    told = page.locator(".sequence svg > desc").all_text_contents()
    assert [text[:3] for text in told] == ["1. "] * 4
