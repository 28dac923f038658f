"""Backups of many tables: by one task of this package, and by a loop of boto3 in one task.

Each is a process of its own, against AWS's rates in another process. The task defers, and its trigger is made of what
the database would hold; the loop describes every backup in turn until it is AVAILABLE, as scripts do.
"""

from __future__ import annotations

import asyncio
import csv
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ddb_backup.waiting.state import Observation, Wait, WaitResult

RESULTS = Path(__file__).parents[1] / "docs" / "tables.csv"
CREATING_FOR = 60.0
RUNS = [("this package", 100), ("boto3 loop", 300), ("this package", 300), ("this package", 2500)]
COLUMNS = ["by", "tables", "CPU seconds", "started within", "calls", "throttled", "MB more", "latest notice"]
# What the package allows itself for 2,500 tables.
MOST_CPU, MOST_START, MOST_MEMORY, LATEST_NOTICE, MOST_THROTTLED = 60.0, 130.0, 150.0, 20.0, 0.01
_MB = 1024


def serve(count: int) -> None:
    """Serve so many tables until standard input closes; print the connection, then the calls."""
    from tests.simulator.control_plane import ControlPlane  # the subject needs none of it

    with ControlPlane(creating_for=CREATING_FOR).serve() as plane:
        for number in range(count):
            plane.create_table(f"table-{number:04}")
        print(json.dumps({"connection": plane.connection(), "url": plane.url}), flush=True)  # noqa: T201  # asked for
        sys.stdin.read()
        print(json.dumps({"calls": plane.calls, "throttled": plane.throttled}), flush=True)  # noqa: T201  # as above


def back_up_by_task() -> dict[str, float]:
    """Back all tables up by the operator, its deferral and its trigger; return what it took."""
    from airflow.providers.common.compat.sdk import TaskDeferred  # measured from here on

    from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator
    from airflow_ddb_backup.triggers.dynamodb import DynamoDBBackupsTrigger
    from airflow_ddb_backup.waiting.state import BackupWait

    logging.disable(logging.WARNING)
    task = DynamoDBBackupTablesOperator(
        task_id="back_up", table_names=["*"], max_tables=2500, deferrable=True, do_xcom_push=True, timeout=1800
    )
    from datetime import UTC, datetime

    xcoms: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="bench",
        task_id="back_up",
        run_id="manual",
        map_index=-1,
        try_number=1,
        xcom_push=lambda key, value: xcoms.update({key: value}),
        xcom_pull=lambda task_ids, key, map_indexes: xcoms.get(key),  # noqa: ARG005  # Airflow's names
    )
    now = datetime.now(tz=UTC)
    context: Any = {"ti": ti, "dag_run": SimpleNamespace(run_after=now, start_date=now, clear_number=0)}
    noticed: dict[str, float] = {}
    observe = BackupWait.observe

    def timed(self: Wait, observation: Observation) -> WaitResult | None:
        result = observe(self, observation)
        if result:
            noticed[self.key] = time.time()
        return result

    BackupWait.observe = timed  # type: ignore[method-assign]  # the time is taken where the result comes in
    before, memory, began = time.process_time(), _memory(), time.time()
    try:
        task.execute(context)
    except TaskDeferred as deferred:
        started = time.time() - began
        trigger = DynamoDBBackupsTrigger(**json.loads(json.dumps(deferred.trigger.serialize()[1])))
    else:
        message = "the task has not deferred"
        raise RuntimeError(message)

    async def event() -> Any:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(event())
    report = task.resume_execution("execute_complete", {"event": payload}, context)
    assert len(report["backups"]) == len(noticed)
    hints = {arn: _created(arn) for arn in noticed}
    return {
        "cpu": time.process_time() - before,
        "started": started,
        "memory": (_memory() - memory) / _MB,
        # The first are AVAILABLE before the last are started, and nobody asks for them until then.
        "notice": max(noticed[arn] - max(hints[arn] + CREATING_FOR, began + started) for arn in noticed),
    }


def back_up_by_loop(url: str) -> dict[str, float]:
    """Back all tables up by boto3 alone; return what it took."""
    import boto3  # measured from here on

    before, memory, began = time.process_time(), _memory(), time.time()
    keys = {"aws_access_key_id": "simulated", "aws_secret_access_key": "simulated"}
    client = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=url, **keys)
    tables = [name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]]
    arns = []
    for table in tables:
        created = client.create_backup(TableName=table, BackupName="nightly")
        arns.append(created["BackupDetails"]["BackupArn"])
    started, latest = time.time() - began, 0.0
    for arn in arns:
        while client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"] == "CREATING":
            time.sleep(5)
        latest = max(latest, time.time() - max(_created(arn) + CREATING_FOR, began + started))
    return {
        "cpu": time.process_time() - before,
        "started": started,
        "memory": (_memory() - memory) / _MB,
        "notice": latest,
    }


def _created(arn: str) -> float:
    return int(arn.rpartition("/")[2].partition("-")[0]) / 1000


def _memory() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def run(kind: str, count: int, home: str) -> dict[str, Any]:
    """Measure one way with so many tables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AWS_"))}
    env = kept | {"AIRFLOW_HOME": home, "AWS_EC2_METADATA_DISABLED": "true", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "benchmarks.tables"]
    with subprocess.Popen(
        [*command, "serve", str(count)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        told = json.loads(server.stdout.readline())
        subject = subprocess.run(
            [*command, kind, told["url"]],
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
    """Measure, print, and write the table of the docs."""
    rows, held = [], True
    with tempfile.TemporaryDirectory() as home:
        for kind, count in RUNS:
            print(f"backing {count} tables up: {kind}", flush=True)  # noqa: T201  # progress
            one = run(kind, count, home)
            rows.append(
                [
                    kind,
                    count,
                    f"{one['cpu']:.1f}",
                    f"{one['started']:.0f} s",
                    one["calls"],
                    one["throttled"],
                    f"{one['memory']:.0f}",
                    f"{one['notice']:.1f} s",
                ]
            )
            print(dict(zip(COLUMNS, rows[-1], strict=True)), flush=True)  # noqa: T201  # what it is for
            if kind == "this package":
                held = (
                    held
                    and one["cpu"] <= MOST_CPU
                    and one["started"] <= MOST_START
                    and one["memory"] <= MOST_MEMORY
                    and one["notice"] <= LATEST_NOTICE
                    and one["throttled"] <= MOST_THROTTLED * one["calls"]
                )
    with RESULTS.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    print("all bars held" if held else "a bar was missed", flush=True)  # noqa: T201  # what it is for
    return int(not held)


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            sys.exit(main())
        case ["serve", count]:
            serve(int(count))
        case ["this package", _]:
            print(json.dumps(back_up_by_task()), file=sys.stderr)  # noqa: T201  # asked for
        case [_, url]:
            print(json.dumps(back_up_by_loop(url)), file=sys.stderr)  # noqa: T201  # asked for
