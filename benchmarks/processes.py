"""One process that serves a simulated account, and one that is measured against it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.control_plane import ControlPlane

_KB = 1024
#: what boto3 is given where the package has an Airflow connection
KEYS = {"aws_access_key_id": "simulated", "aws_secret_access_key": "simulated", "region_name": "us-east-1"}


def serve(plane: ControlPlane, told: dict[str, Any] | None = None) -> None:
    """Serve until standard input closes; print how to reach it first, and the calls at the end.

    :param plane: the account, which is served already
    :param told: what else the measured process is told
    """
    plane.calls.clear()
    plane.throttled.clear()
    print(json.dumps({"connection": plane.connection(), "url": plane.url, **(told or {})}), flush=True)  # noqa: T201  # asked for
    sys.stdin.read()
    print(json.dumps({"calls": plane.calls, "throttled": plane.throttled}), flush=True)  # noqa: T201  # as above


def run(module: str, server: list[str], subject: list[str], home: str) -> dict[str, Any]:
    """Return what a process has measured of itself, with the calls that AWS has got.

    :param module: what both processes run
    :param server: the arguments of the one that serves; the other is told by one more what it has printed
    :param subject: the arguments of the one that is measured, which prints JSON on standard error at its end
    :param home: Airflow's
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AWS_"))}
    env = kept | {"AIRFLOW_HOME": home, "AWS_EC2_METADATA_DISABLED": "true", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", module]
    with subprocess.Popen(
        [*command, *server], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as serving:
        assert serving.stdin
        assert serving.stdout
        told = serving.stdout.readline()
        measuring = subprocess.run(
            [*command, *subject, told],
            env=env | {"AIRFLOW_CONN_AWS_DEFAULT": json.loads(told)["connection"]},
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        serving.stdin.close()
        counted = json.loads(serving.stdout.readline())
    measured: dict[str, Any] = json.loads(measuring.stderr.splitlines()[-1])
    return measured | {name: sum(counted[name].values()) for name in ("calls", "throttled")}


@contextmanager
def measuring(into: dict[str, float]) -> Iterator[None]:
    """Measure what the block takes: CPU-seconds and memory of this process, and seconds.

    :param into: takes the figures
    """
    cpu, memory, began = time.process_time(), _memory(), time.monotonic()
    yield
    into["cpu"] = time.process_time() - cpu
    into["memory"] = (_memory() - memory) / _KB
    into["seconds"] = time.monotonic() - began


def _memory() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def context() -> Any:
    """Return what ``execute`` is given: of the first try of a run that is due now, with its XComs in a dict."""
    xcoms: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="bench",
        task_id="bench",
        run_id="manual",
        map_index=-1,
        try_number=1,
        xcom_push=lambda key, value: xcoms.update({key: value}),
        xcom_pull=lambda task_ids, key, map_indexes: xcoms.get(key),  # noqa: ARG005  # Airflow's names
    )
    now = datetime.now(tz=UTC)
    return {"ti": ti, "dag_run": SimpleNamespace(run_after=now, start_date=now, clear_number=0)}
