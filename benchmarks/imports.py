"""``make bench-imports``: what a DAG file pays for its imports, beside the amazon provider's operators for RDS."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

RESULTS = Path(__file__).parents[1] / "docs" / "imports.csv"
OURS = "airflow_ddb_backup.operators.dynamodb"
PEER = "airflow.providers.amazon.aws.operators.rds"
MODULES = (OURS, "airflow_ddb_backup.sensors.dynamodb", PEER)
MOST = 1.1
_TIMES = 20


def seconds(module: str, home: str) -> float:
    """Import a module in a new process."""
    env = {"AIRFLOW_HOME": home, "PATH": "/usr/bin:/bin"}
    start = perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {module}"], check=True, env=env, capture_output=True)
    return perf_counter() - start


def main() -> int:
    """Measure in turns, print, and write the table of the docs."""
    taken: dict[str, list[float]] = {module: [] for module in MODULES}
    with tempfile.TemporaryDirectory() as home:
        for module in MODULES:
            # The first import writes Airflow's configuration, and fills the machine's caches.
            seconds(module, home)
        for _ in range(_TIMES):
            for module, times in taken.items():
                times.append(seconds(module, home))
    quickest = {module: min(times) for module, times in taken.items()}
    rows = [
        [module, f"{quickest[module]:.2f}", f"{median(times):.2f}", f"{quickest[module] / quickest[PEER]:.2f}"]
        for module, times in taken.items()
    ]
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["module", "quickest, s", "median, s", "beside operators.rds"])
        writer.writerows(rows)
    print(RESULTS.read_text(encoding="utf-8"))  # noqa: T201  # what it is for
    return int(quickest[OURS] > MOST * quickest[PEER])


if __name__ == "__main__":
    sys.exit(main())
