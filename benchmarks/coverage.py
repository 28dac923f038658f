"""Which tables of a whole account have a fresh backup: 2,500 tables, 50,000 backups, at the rates that AWS allows."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.retention import TABLES, memory, run, write

RESULTS = Path(__file__).parents[1] / "docs" / "coverage.csv"
# What the package allows itself.
MOST_PAGES, MOST_CPU, MOST_MEMORY, MOST_KB = 520, 3.0, 100.0, 500.0
# Ten threads, the values that are made of the backups, and the report come on top of the calls.
MOST_OF_PEER = 1.25
_MB, _KB = 2**20, 1000


def measure() -> dict[str, float]:
    """Check all tables over HTTP."""
    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.coverage.check import CoverageCheck, CoverageReport, CoverageRequest
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.selection import TableSelection

    context = ErrorContext(region="us-east-1")
    hook = DynamoDBBackupHook("aws_default", region_name="us-east-1")
    hook.list_tables(context)
    request = CoverageRequest(
        selection=TableSelection(table_names=("*",), max_tables=TABLES),
        max_age=timedelta(hours=26),
        fail_on=(),
        point_in_time_recovery=False,
        timeout=1800,
    )
    report = CoverageReport(checked_at=datetime.now(tz=UTC), max_age=request.max_age, region="us-east-1")
    deadline = Deadline.after(request.timeout)
    before, began, started = memory(), time.process_time(), time.monotonic()
    CoverageCheck(hook, request, context, deadline, report, logging.getLogger("benchmark")).run()
    told = report.as_dict()
    cpu, added, seconds = time.process_time() - began, (memory() - before) / _MB, time.monotonic() - started
    assert told["counts"]["fresh"] == TABLES
    rows = [{"newest_backup_arn": None, **row} for row in told["tables"]]
    for row in rows:
        row["newest_backup_arn"] = report.done[row["table_name"]].as_dict()["newest_backup_arn"]
    sizes = {"report": len(json.dumps(told)) / _KB, "with_arns": len(json.dumps(told | {"tables": rows})) / _KB}
    return {"cpu": cpu, "memory": added, "seconds": seconds, **sizes}


def measure_peer() -> dict[str, float]:
    """Make the same calls by boto3's own client, one after another, and at the same rates.

    A call that waits for its turn costs half as much again as one that follows another at once.
    """
    import boto3

    from airflow_ddb_backup.limits import DOCUMENTED_RATES
    from airflow_ddb_backup.rates import RateLimit

    tables, pages = (RateLimit(DOCUMENTED_RATES[operation]) for operation in ("DescribeTable", "ListBackups"))
    endpoint = json.loads(os.environ["AIRFLOW_CONN_AWS_DEFAULT"])["extra"]["endpoint_url"]
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client("dynamodb", "us-east-1", endpoint_url=endpoint, **keys)
    client.list_tables()
    began = time.process_time()
    for page in client.get_paginator("list_tables").paginate():
        for name in page["TableNames"]:
            tables.acquire()
            client.describe_table(TableName=name)
    cursor: dict[str, str] = {}
    while True:
        pages.acquire()
        page = client.list_backups(BackupType="ALL", **cursor)
        if "LastEvaluatedBackupArn" not in page:
            return {"cpu": time.process_time() - began}
        cursor = {"ExclusiveStartBackupArn": page["LastEvaluatedBackupArn"]}


def main() -> int:
    """Measure, print, and write the table of the docs."""
    measured, calls = run("coverage", "measure")
    # What the calls cost differs threefold from machine to machine, and is boto3's.
    peer = run("coverage", "measure_peer")[0]["cpu"]
    most = max(MOST_CPU, MOST_OF_PEER * peer)
    pages, cpu = calls["ListBackups"], measured["cpu"]
    rows = [
        ("calls of ListBackups", f"{pages}", f"{MOST_PAGES}", pages <= MOST_PAGES),
        ("CPU-seconds", f"{cpu:.1f}", f"{most:.1f}", cpu <= most),
        ("CPU-seconds of boto3's client alone, for the same calls at the same rates", f"{peer:.1f}", "", True),
        ("memory added, MB", f"{measured['memory']:.0f}", f"{MOST_MEMORY:g}", measured["memory"] <= MOST_MEMORY),
        ("report as JSON, KB", f"{measured['report']:.0f}", f"{MOST_KB:g}", measured["report"] <= MOST_KB),
        ("the same with the ARNs, which are left out, KB", f"{measured['with_arns']:.0f}", "", True),
        ("calls of ListTables, DescribeTable", f"{calls['ListTables']}, {calls['DescribeTable']}", "", True),
        ("seconds", f"{measured['seconds']:.0f}", "", True),
    ]
    return write(RESULTS, rows)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps({"measure": measure, "measure_peer": measure_peer}[sys.argv[1]]()))  # noqa: T201  # for the parent
    else:
        sys.exit(main())
