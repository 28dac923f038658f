"""The browser of the tests that look at pages."""

from __future__ import annotations

import os
import shutil

import pytest

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
