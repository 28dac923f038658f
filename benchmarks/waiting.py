"""``make bench``: many backups waited for at once, by this package and by the amazon provider's waiter trigger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.server import CREATING_FOR

# The peer's calls beyond 300 are throttled for most of an hour.
RUNS = [
    ("ours", 1),
    ("peer", 1),
    ("ours", 50),
    ("peer", 50),
    ("ours", 300),
    ("peer", 300),
    ("neighbour", 300),
    ("connections", 300),
    ("ours", 1000),
    ("ours", 2500),
]


def run(kind: str, count: int, home: str) -> dict[str, Any]:
    """Measure one kind of trigger with so many backups."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AWS_"))}
    env = kept | {"AIRFLOW_HOME": home, "AWS_EC2_METADATA_DISABLED": "true", "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", str(count), kind],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin
        assert server.stdout
        told = json.loads(server.stdout.readline())
        arns = Path(home, "arns.json")
        arns.write_text(json.dumps(told["arns"]), encoding="ascii")
        subject = subprocess.run(
            [sys.executable, "-m", "benchmarks.subject", kind, str(arns), str(CREATING_FOR)],
            env=env | {"AIRFLOW_CONN_AWS_DEFAULT": told["connection"]},
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        server.stdin.close()
        counted = json.loads(server.stdout.readline())
    measured: dict[str, Any] = json.loads(subject.stderr.splitlines()[-1])
    return measured | {name: sum(counted[name].values()) for name in ("calls", "throttled")}


def main() -> int:
    """Measure, print, and write the page of the docs."""
    results: report.Results = {}
    with tempfile.TemporaryDirectory() as home:
        for kind, count in RUNS:
            print(f"waiting for {count} backups: {kind}", flush=True)  # noqa: T201  # progress
            results[kind, count] = run(kind, count, home)
    print(report.text(results))  # noqa: T201  # what it is for
    report.plot(results, report.DOCS / "benchmarks.svg")
    (report.DOCS / "benchmarks.rst").write_text(report.page(results), encoding="utf-8")
    return int(not all(held for _, _, held in report.bars(results)))


if __name__ == "__main__":
    sys.exit(main())
