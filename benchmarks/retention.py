"""A prune of a whole account: 50,000 backups of 2,500 tables are listed and planned; nothing is deleted.

The rates are lifted, since only calls, CPU and memory are of interest: at AWS's rates the pages alone take 200 s.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.simulator.server import Request, Response, Server

RESULTS = Path(__file__).parents[1] / "docs" / "retention.csv"
TABLES, NIGHTS = 2500, 20
PAGE = 100
NAME = "shop-production-orders-{:04}"
ACCOUNT_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table"
# What the package allows itself.
MOST_CPU, MOST_MEMORY, MOST_PAGES = 2.0, 150.0, TABLES * NIGHTS / PAGE + 10
_MB = 2**20


def summaries() -> list[dict[str, Any]]:
    """Return the account's backups, in an order that tells nothing."""
    now = time.time()
    made = []
    for night in range(NIGHTS):
        for table in range(TABLES):
            at = now - 86_400 * (night + 1) + table
            name = NAME.format(table)
            made.append(
                {
                    "TableName": name,
                    "TableId": f"00000000-0000-0000-0000-{table:012}",
                    "TableArn": f"{ACCOUNT_ARN}/{name}",
                    "BackupArn": f"{ACCOUNT_ARN}/{name}/backup/{int(at * 1000):014}-{table:08x}",
                    "BackupName": f"nightly.back_up.scheduled__{night:02}",
                    "BackupCreationDateTime": at,
                    "BackupStatus": "AVAILABLE",
                    "BackupType": "USER",
                    "BackupSizeBytes": 0,
                }
            )
    return made


class Account:
    """Answers the four calls of a plan, from memory."""

    def __init__(self) -> None:
        self.made = summaries()
        self.calls: Counter[str] = Counter()

    def answer(self, request: Request) -> Response:
        """Answer a call."""
        operation = request.headers["x-amz-target"].rpartition(".")[2]
        self.calls[operation] += 1
        response = Response.of(getattr(self, operation)(json.loads(request.body)))
        response.headers["x-amzn-RequestId"] = "1"
        return response

    def ListTables(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802  # AWS's name
        """Return a page of names."""
        last = body.get("ExclusiveStartTableName")
        start = int(last[-4:]) + 1 if last else 0
        names = [NAME.format(table) for table in range(start, min(start + PAGE, TABLES))]
        return {"TableNames": names} | ({"LastEvaluatedTableName": names[-1]} if start + PAGE < TABLES else {})

    def ListBackups(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802  # AWS's name
        """Return a page of backups."""
        start = int(body.get("ExclusiveStartBackupArn", "/0").rpartition("/")[2])
        cursor = {"LastEvaluatedBackupArn": f"{ACCOUNT_ARN}/{NAME.format(0)}/backup/{start + PAGE}"}
        more = start + PAGE < len(self.made)
        return {"BackupSummaries": self.made[start : start + PAGE]} | (cursor if more else {})

    def DescribeTable(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802  # AWS's name
        """Return a table."""
        name = body["TableName"]
        return {
            "Table": {
                "TableName": name,
                "TableArn": f"{ACCOUNT_ARN}/{name}",
                "TableId": f"00000000-0000-0000-0000-{int(name[-4:]):012}",
                "TableStatus": "ACTIVE",
                "CreationDateTime": 0,
            }
        }

    def DescribeBackup(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802  # AWS's name
        """Return a backup."""
        arn = body["BackupArn"]
        details = {"BackupArn": arn, "BackupName": "x", "BackupStatus": "AVAILABLE", "BackupCreationDateTime": 0}
        return {"BackupDescription": {"BackupDetails": details}}


def serve() -> None:
    """Serve the account until the standard input ends; then say how often each operation was called."""
    account = Account()
    with Server(account.answer).serve() as server:
        print(server.url, flush=True)  # noqa: T201  # for the parent
        sys.stdin.read()
    print(json.dumps(account.calls))  # noqa: T201  # for the parent


def memory() -> int:
    """Return the resident memory of this process, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def measure() -> dict[str, float]:
    """Plan over HTTP, and the planning once more by itself."""
    from airflow_ddb_backup import rates

    vars(rates)["SHARE"] = 1e6
    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Table, read_backup_page
    from airflow_ddb_backup.retention.plan import make_plan
    from airflow_ddb_backup.retention.policy import RetentionPolicy
    from airflow_ddb_backup.retention.prune import Prune, PruneReport, PruneRequest
    from airflow_ddb_backup.selection import TableSelection

    policy = RetentionPolicy(keep_daily=7, keep_weekly=4, keep_monthly=12)
    context = ErrorContext(region="us-east-1")
    hook = DynamoDBBackupHook("aws_default", region_name="us-east-1")
    hook.list_tables(context)
    before, began = memory(), time.process_time()
    deadline = Deadline.after(7200)
    request = PruneRequest(
        selection=TableSelection(table_names=("*",), max_tables=TABLES),
        policy=policy,
        prefixes=("nightly.",),
        dropped_tables=False,
        max_deletions=TABLES * NIGHTS,
        plan_only=True,
        timeout=7200,
    )
    report = PruneReport(plan_only=True)
    Prune(hook, request, context, deadline, report, logging.getLogger("benchmark")).run()
    whole, added = time.process_time() - began, (memory() - before) / _MB
    now = datetime.now(tz=UTC)
    made = [
        summary | {"BackupCreationDateTime": datetime.fromtimestamp(summary["BackupCreationDateTime"], tz=UTC)}
        for summary in summaries()
    ]
    backups = read_backup_page({"BackupSummaries": made}).items
    tables = {
        NAME.format(table): Table(
            NAME.format(table), "", f"00000000-0000-0000-0000-{table:012}", "ACTIVE", now - timedelta(days=99)
        )
        for table in range(TABLES)
    }
    began = time.process_time()
    plan = make_plan(policy, backups, tables, now, dropped_tables=False)
    deletions, _, _ = len(plan.deletions), plan.summary(), plan.rows(now)
    planning = time.process_time() - began
    assert deletions == len(report.done) > TABLES
    return {"planning": planning, "whole": whole, "memory": added, "deletions": deletions}


def run(module: str, what: str) -> tuple[dict[str, float], dict[str, int]]:
    """Measure against the account, each in a process of its own; return that, and the calls by operation.

    :param module: of this package
    :param what: its argument
    """
    python = [sys.executable, "-W", "ignore", "-m"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AWS_"))}
    serve = [*python, "benchmarks.retention", "serve"]
    with subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        url = server.stdout.readline().strip()
        connection = {"conn_type": "aws", "login": "x", "password": "x", "extra": {"endpoint_url": url}}
        subject = subprocess.run(
            [*python, f"benchmarks.{module}", what],
            env=kept | {"AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection), "AWS_EC2_METADATA_DISABLED": "true"},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        server.stdin.close()
        calls = json.loads(server.stdout.read())
    return json.loads(subject.stdout.splitlines()[-1]), calls


def write(results: Path, rows: list[tuple[str, str, str, bool]]) -> int:
    """Write a table of the docs, and print it; return the exit code.

    :param rows: what was measured, its value, the most that it may be, and whether it is
    """
    with results.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", "measured", "at most"])
        writer.writerows(row[:3] for row in rows)
    print(results.read_text(encoding="utf-8"))  # noqa: T201  # what it is for
    return int(not all(held for *_, held in rows))


def main() -> int:
    """Measure, print, and write the table of the docs."""
    measured, calls = run("retention", "measure")
    pages = calls["ListBackups"]
    rows = [
        ("planning, CPU-seconds", f"{measured['planning']:.2f}", f"{MOST_CPU:g}", measured["planning"] <= MOST_CPU),
        ("memory added, MB", f"{measured['memory']:.0f}", f"{MOST_MEMORY:g}", measured["memory"] <= MOST_MEMORY),
        ("calls of ListBackups", f"{pages}", f"{MOST_PAGES:g}", pages <= MOST_PAGES),
        ("calls of ListTables, DescribeTable", f"{calls['ListTables']}, {calls['DescribeTable']}", "", True),
        ("calls of DescribeBackup", f"{calls['DescribeBackup']}", "", True),
        ("the whole plan, CPU-seconds", f"{measured['whole']:.1f}", "", True),
        ("backups that it would delete", f"{measured['deletions']}", "", True),
    ]
    return write(RESULTS, rows)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    elif sys.argv[1:] == ["measure"]:
        print(json.dumps(measure()))  # noqa: T201  # for the parent
    else:
        sys.exit(main())
