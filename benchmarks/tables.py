"""Backups of many tables: by one task of this package, and by a loop of boto3 in one task.

Each is a process of its own, against AWS's rates in another process. The task defers, and its trigger is made of what
the database would hold; the loop describes every backup in turn until it is AVAILABLE, as scripts do.
"""

from __future__ import annotations

import asyncio
import csv
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import KEYS, context, measuring, run, serve

if TYPE_CHECKING:
    from airflow_ddb_backup.waiting.state import Observation, Wait, WaitResult

RESULTS = Path(__file__).parents[1] / "docs" / "tables.csv"
CREATING_FOR = 60.0
RUNS = [("this package", 100), ("boto3 loop", 300), ("this package", 300), ("this package", 2500)]
COLUMNS = ["by", "tables", "CPU seconds", "started within", "calls", "throttled", "MB more", "latest notice"]
# What the package allows itself for 2,500 tables.
MOST_CPU, MOST_START, MOST_MEMORY, LATEST_NOTICE, MOST_THROTTLED = 60.0, 130.0, 150.0, 20.0, 0.01


def prepare(count: int) -> None:
    """Serve so many tables."""
    from tests.simulator.control_plane import ControlPlane  # the subject needs none of it

    with ControlPlane(creating_for=CREATING_FOR).serve() as plane:
        for number in range(count):
            plane.create_table(f"table-{number:04}")
        serve(plane)


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
    given = context()
    noticed: dict[str, float] = {}
    observe = BackupWait.observe

    def timed(self: Wait, observation: Observation) -> WaitResult | None:
        result = observe(self, observation)
        if result:
            noticed[self.key] = time.time()
        return result

    BackupWait.observe = timed  # type: ignore[method-assign]  # the time is taken where the result comes in
    measured: dict[str, float] = {}

    async def event(trigger: Any) -> Any:
        return [event.payload async for event in trigger.run()]

    began = time.time()
    with measuring(measured):
        try:
            task.execute(given)
        except TaskDeferred as deferred:
            started = time.time() - began
            trigger = DynamoDBBackupsTrigger(**json.loads(json.dumps(deferred.trigger.serialize()[1])))
        else:
            message = "the task has not deferred"
            raise RuntimeError(message)
        (payload,) = asyncio.run(event(trigger))
        report = task.resume_execution("execute_complete", {"event": payload}, given)
    assert len(report["backups"]) == len(noticed)
    hints = {arn: _created(arn) for arn in noticed}
    return measured | {
        "started": started,
        # The first are AVAILABLE before the last are started, and nobody asks for them until then.
        "notice": max(noticed[arn] - max(hints[arn] + CREATING_FOR, began + started) for arn in noticed),
    }


def back_up_by_loop(url: str) -> dict[str, float]:
    """Back all tables up by boto3 alone; return what it took."""
    import boto3  # measured from here on

    measured: dict[str, float] = {}
    began = time.time()
    with measuring(measured):
        client = boto3.client("dynamodb", endpoint_url=url, **KEYS)
        tables = [name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]]
        arns = []
        for table in tables:
            created = client.create_backup(TableName=table, BackupName="nightly")
            arns.append(created["BackupDetails"]["BackupArn"])
        started, latest = time.time() - began, 0.0
        for arn in arns:
            while _status(client, arn) == "CREATING":
                time.sleep(5)
            latest = max(latest, time.time() - max(_created(arn) + CREATING_FOR, began + started))
    return measured | {"started": started, "notice": latest}


def _status(client: Any, arn: str) -> Any:
    return client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"]


def _created(arn: str) -> float:
    return int(arn.rpartition("/")[2].partition("-")[0]) / 1000


def main() -> int:
    """Measure, print, and write the table of the docs."""
    rows, held = [], True
    with tempfile.TemporaryDirectory() as home:
        for kind, count in RUNS:
            print(f"backing {count} tables up: {kind}", flush=True)  # noqa: T201  # progress
            one = run("benchmarks.tables", ["serve", str(count)], [kind], home)
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
            prepare(int(count))
        case ["this package", _]:
            print(json.dumps(back_up_by_task()), file=sys.stderr)  # noqa: T201  # asked for
        case [_, told]:
            print(json.dumps(back_up_by_loop(json.loads(told)["url"])), file=sys.stderr)  # noqa: T201  # asked for
