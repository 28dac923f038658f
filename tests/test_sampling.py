"""Which cases a short run has."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.sampling import sampled


def test_a_short_run_has_a_third_of_each_test_s_cases() -> None:
    """They are the same each time, and in no step with those of another parameter."""
    cases = [f"test_killed[{name}-{number}]" for number in range(10) for name in ("one", "many", "none")]
    kept = sampled([*cases, "test_lost[1]", "test_lost[2]", "test_alone"])
    assert len(kept.intersection(cases)) == 10
    assert len({case.partition("-")[0] for case in kept.intersection(cases)}) == 3
    assert len(kept) == 12
    assert kept == sampled([*cases, "test_lost[1]", "test_lost[2]", "test_alone"])


def test_a_process_that_a_test_starts_keeps_its_environment() -> None:
    """The tests' own settings leave out what the machine says of AWS: they are for pytest's processes."""
    code = "import tests.unit.conftest, os; print(os.environ['AWS_DEFAULT_REGION'])"
    environment = os.environ | {"AWS_DEFAULT_REGION": "eu-west-1"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "eu-west-1"
