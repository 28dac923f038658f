"""The browser of the tests that look at pages."""

from __future__ import annotations

import os
import shutil
from importlib import resources
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium")
MISSING = "chromium is not on this machine: apt-get install chromium"
# Set where skipping would hide something.
REQUIRED = "REQUIRE_CHROMIUM"
# Where pictures go; by default nowhere.
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM and REQUIRED not in os.environ, reason=MISSING),
]
# Root's Chromium has no sandbox; and it calls nobody but the pages' own server.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def violations(page: Page, where: str = "html") -> list[tuple[str, list[str]]]:
    """Return what axe finds wrong for people with disabilities, and in which elements, in some part of a page."""
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("where => axe.run(where)", where)
    assert found["passes"]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]
