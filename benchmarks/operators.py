"""Every other operator and sensor, beside a script of boto3 that does the same, as people write it.

Each is a process of its own, against AWS's rates in another process, and waits on the worker, by its own defaults. The
script has boto3's waiter where there is one, and a loop where there is none; what it leaves out it does not pay for:
it finds no earlier try's backup or table, settles no lost response, and puts back the two settings that it knows of.
"""

from __future__ import annotations

import csv
import json
import logging
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import KEYS, context, measuring, run, serve

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parents[1] / "docs" / "operators.csv"
COLUMNS = ["task", "by", "calls", "throttled", "CPU seconds", "seconds", "MB more"]
OURS, PEER = "this package", "boto3 script"
CREATING_FOR, RESTORING_FOR, DROPPING_FOR = 10.0, 25.0, 10.0
TABLES, NIGHTS, KEPT = 20, 5, 2
AT_ONCE = 4
# The most CPU-seconds that a task may take beyond the script's.
MOST_CPU = 1.0


def prepare() -> None:
    """Serve an account: a table with settings, and backups of it and of others."""
    from tests.simulator.control_plane import ControlPlane  # the measured processes need none of it

    with ControlPlane(creating_for=CREATING_FOR).serve() as plane:
        plane.create_table("source")
        plane.tag_table("source", team="shop")
        plane.switch_recovery("source")
        plane.client().put_item(TableName="source", Item={"id": {"S": "1"}})
        # So that there is a time to restore to: the latest one is five minutes ago.
        plane.clock_offset = 3600.0
        (old,) = plane.add_backups("source", 1, age=600)
        for number in range(TABLES):
            plane.create_table(f"table-{number:02}")
            for night in range(NIGHTS):
                plane.add_backups(f"table-{number:02}", 1, "nightly", age=86_400 * (night + 0.5))
        plane.restoring_for, plane.dropping_for = RESTORING_FOR, DROPPING_FOR
        (new,) = plane.add_backups("source", 1)
        plane.statuses[new] = "CREATING"

        def asked() -> None:
            # Whatever a process has imported by then, it waits for as long as any other.
            timer = threading.Timer(CREATING_FOR, plane.statuses.pop, [new, None])
            timer.daemon = True
            timer.start()

        for operation in ("DescribeBackup", "ListBackups"):
            plane.before(operation, asked)
        serve(plane, {"old": old, "new": new})


def task(name: str, told: dict[str, Any]) -> Any:
    """Return a task of this package."""
    from airflow_ddb_backup.operators import dynamodb as operators
    from airflow_ddb_backup.sensors import dynamodb as sensors

    old, new = told["old"], told["new"]
    restored: dict[str, Any] = {"target_table_name": "target"}
    pruned: dict[str, Any] = {"table_names": ["table-*"], "backup_name_prefix": "nightly", "keep_last": KEPT}
    made: dict[str, Callable[[], Any]] = {
        "create": lambda: operators.DynamoDBCreateBackupOperator(task_id="bench", table_name="source"),
        "delete": lambda: operators.DynamoDBDeleteBackupOperator(task_id="bench", backup_arn=old),
        "prune": lambda: operators.DynamoDBPruneBackupsOperator(task_id="bench", **pruned),
        "restore": lambda: operators.DynamoDBRestoreTableFromBackupOperator(
            task_id="bench", backup_arn=old, **restored
        ),
        "point in time": lambda: operators.DynamoDBRestoreTableToPointInTimeOperator(
            task_id="bench", source_table_name="source", use_latest_restorable_time=True, **restored
        ),
        "drill": lambda: operators.DynamoDBRestoreDrillOperator(task_id="bench", backup_arn=old),
        "sensor": lambda: sensors.DynamoDBBackupSensor(task_id="bench", backup_arn=new),
        "fresh sensor": lambda: sensors.DynamoDBFreshBackupSensor(
            task_id="bench", table_name="source", max_age=timedelta(hours=1), poke_interval=5
        ),
    }
    return made[name]()


class Script:
    """What a PythonOperator does by boto3."""

    def __init__(self, told: dict[str, Any]) -> None:
        import boto3  # measured from here on

        self.client = boto3.client("dynamodb", endpoint_url=told["url"], **KEYS)
        self.old, self.new = told["old"], told["new"]

    def create(self) -> None:
        """Back a table up, and describe the backup every 5 s."""
        created = self.client.create_backup(TableName="source", BackupName="nightly")
        self._until_available(created["BackupDetails"]["BackupArn"])

    def delete(self) -> None:
        """Delete a backup."""
        self.client.delete_backup(BackupArn=self.old)

    def prune(self) -> None:
        """List each table's backups, and delete all but the newest."""
        for page in self.client.get_paginator("list_tables").paginate():
            for table in page["TableNames"]:
                pages = self.client.get_paginator("list_backups").paginate(TableName=table)
                backups = [one for page in pages for one in page["BackupSummaries"] if table.startswith("table-")]
                backups.sort(key=lambda one: one["BackupCreationDateTime"])
                for backup in backups[:-KEPT]:
                    self.client.delete_backup(BackupArn=backup["BackupArn"])

    def restore(self) -> None:
        """Restore a backup, wait, and put tags and point-in-time recovery back."""
        self.client.restore_table_from_backup(TargetTableName="target", BackupArn=self.old)
        self._put_back()

    def point_in_time(self) -> None:
        """Restore the latest state, wait, and put the two settings back."""
        self.client.restore_table_to_point_in_time(
            SourceTableName="source", TargetTableName="target", UseLatestRestorableTime=True
        )
        self._put_back()

    def drill(self) -> None:
        """Restore a backup, wait, count the items, and drop the table."""
        self.client.restore_table_from_backup(TargetTableName="drill", BackupArn=self.old)
        self.client.get_waiter("table_exists").wait(TableName="drill")
        assert self.client.scan(TableName="drill", Select="COUNT")["Count"]
        self.client.delete_table(TableName="drill")
        self.client.get_waiter("table_not_exists").wait(TableName="drill")

    def sensor(self) -> None:
        """Describe a backup every 5 s."""
        self._until_available(self.new)

    def fresh_sensor(self) -> None:
        """List a table's backups of the last hour every 5 s."""
        since = datetime.now(tz=UTC)  # AWS's clock is an hour ahead
        while not any(
            one["BackupStatus"] == "AVAILABLE"
            for one in self.client.list_backups(TableName="source", TimeRangeLowerBound=since)["BackupSummaries"]
        ):
            time.sleep(5)

    def _until_available(self, arn: str) -> None:
        while True:
            described = self.client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
            if described["BackupStatus"] == "AVAILABLE":
                return
            time.sleep(5)

    def _put_back(self) -> None:
        self.client.get_waiter("table_exists").wait(TableName="target")
        source, target = (
            self.client.describe_table(TableName=name)["Table"]["TableArn"] for name in ("source", "target")
        )
        self.client.tag_resource(ResourceArn=target, Tags=self.client.list_tags_of_resource(ResourceArn=source)["Tags"])
        self.client.update_continuous_backups(
            TableName="target", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )


#: what the table calls each
TASKS = {
    "create": "back a table up",
    "delete": "delete a backup",
    "prune": f"prune {TABLES * NIGHTS} backups of {TABLES} tables",
    "restore": "restore a backup",
    "point in time": "restore to a point in time",
    "drill": "drill a backup",
    "sensor": "wait for a backup",
    "fresh sensor": "wait for a fresh backup that there is",
}


def measure(name: str, kind: str, told: dict[str, Any]) -> dict[str, float]:
    """Return what one way of a task takes, once everything is imported."""
    logging.disable(logging.WARNING)
    measured: dict[str, float] = {}
    if kind == OURS:
        made, given = task(name, told), context()
        with measuring(measured):
            made.execute(given)
    else:
        import boto3  # noqa: F401  # what follows is measured without it

        with measuring(measured):
            getattr(Script(told), name.replace(" ", "_"))()
    return measured


def main() -> int:
    """Measure both ways of each, print, and write the table of the docs."""
    rows, held = [], True
    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(AT_ONCE) as pool:
        # They mostly wait.
        each = {
            name: {
                kind: pool.submit(run, "benchmarks.operators", ["serve"], [name, kind], home) for kind in (OURS, PEER)
            }
            for name in TASKS
        }
        for name, both in each.items():
            shown = TASKS[name]
            figures = {kind: one.result() for kind, one in both.items()}
            for kind, one in figures.items():
                numbers = [f"{one['cpu']:.2f}", f"{one['seconds']:.0f}", f"{one['memory']:.0f}"]
                rows.append([shown, kind, one["calls"], one["throttled"], *numbers])
                print(dict(zip(COLUMNS, rows[-1], strict=True)), flush=True)  # noqa: T201  # what it is for
            held = held and figures[OURS]["cpu"] <= figures[PEER]["cpu"] + MOST_CPU and not figures[OURS]["throttled"]
    with RESULTS.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    print("all bars held" if held else "a bar was missed", flush=True)  # noqa: T201  # what it is for
    return int(not held)


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            sys.exit(main())
        case ["serve"]:
            prepare()
        case [name, kind, told]:
            print(json.dumps(measure(name, kind, json.loads(told))), file=sys.stderr)  # noqa: T201  # asked for
