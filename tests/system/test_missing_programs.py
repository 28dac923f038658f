"""The tests of the cluster on a machine that lacks its programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    """Nothing is started, and nothing is skipped without a word."""
    command = [sys.executable, "-m", "pytest", "-m", "cluster", "tests/system/test_cluster.py"]
    # Redis is looked for on the PATH alone.
    environment = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "not on this machine: " in done.stdout
    assert "redis-server. Install them: apt-get install " in done.stdout
