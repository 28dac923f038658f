"""The results: against the bars that the package sets itself, as a table, as a page of the docs, as a plot."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.drawing import drawing
from benchmarks.subject import FIRST_CLIENT, POLL_INTERVAL

# By ("ours" or "peer", number of backups).
Results = dict[tuple[str, int], dict[str, Any]]

DOCS = Path(__file__).parents[1] / "docs"
_COLUMNS = {
    "calls": "calls",
    "throttled": "throttled",
    "cpu": "CPU, s",
    "memory": "memory added, MB",
    "stall": "longest stall, s",
    "stalls": "stalls over 0.2 s",
    "computed": "computed between two beats, at most, s",
    "notice_p50": "noticed after, median, s",
    "notice_max": "noticed after, latest, s",
}
_NAMES = {
    "ours": "airflow-ddb-backup",
    "peer": "waiter trigger",
    "neighbour": "airflow-ddb-backup, beside a neighbour",
    "connections": "airflow-ddb-backup, a connection each",
}
_PLOTTED = ("ours", "peer")


def bars(results: Results) -> list[tuple[str, str, bool]]:
    """Return each bar, the figure, and whether it is held."""
    ours, peer, all_ours = results["ours", 300], results["peer", 300], results["ours", 2500]
    one, one_peer = results["ours", 1], results["peer", 1]
    beside, connections = results["neighbour", 300], results["connections", 300]
    growth = 2500 / 300
    late_stalls = [length for start, length in all_ours["stalls"] if start > FIRST_CLIENT]
    calls, cpu, memory = (peer[key] / ours[key] for key in ("calls", "cpu", "memory"))
    return [
        ("300 backups: at most 1/100 of the peer's calls", f"1/{calls:.0f}", calls >= 100),
        ("300: at most 1/15 of its CPU", f"1/{cpu:.1f}", cpu >= 15),
        ("300: at most 1/12 of the memory that it adds", f"1/{memory:.1f}", memory >= 12),
        (
            f"300: the latest notice at most {POLL_INTERVAL + 3} s after",
            f"{ours['notice_max']:.1f} s",
            ours["notice_max"] <= POLL_INTERVAL + 3,
        ),
        ("2,500: all succeed", f"{all_ours['succeeded']}", all_ours["succeeded"] == 2500),
        ("2,500: at most 10 throttled calls", f"{all_ours['throttled']}", all_ours["throttled"] <= 10),
        (
            "2,500: the latest notice at most 20 s after",
            f"{all_ours['notice_max']:.1f} s",
            all_ours["notice_max"] <= 20,
        ),
        ("2,500: at most 25 CPU-seconds", f"{all_ours['cpu']:.1f} s", all_ours["cpu"] <= 25),
        ("2,500: at most 80 MB added", f"{all_ours['memory']:.0f} MB", all_ours["memory"] <= 80),
        ("2,500: no stall over 0.2 s but the first client's", f"{len(late_stalls)}", not late_stalls),
        (
            "one backup: no more calls than the peer",
            f"{one['calls']} to {one_peer['calls']}",
            one["calls"] <= one_peer["calls"],
        ),
        (
            # When in its first interval a trigger polls is chance: it may be noticed sooner by either.
            f"one backup: noticed at most {POLL_INTERVAL} s, and half a second for the poll, after",
            f"{one['notice_max']:.2f} s",
            one["notice_max"] <= POLL_INTERVAL + 0.5,
        ),
        (
            "300 to 2,500 (8.3 times as many): calls grow no faster",
            f"{all_ours['calls'] / ours['calls']:.1f} times",
            all_ours["calls"] / ours["calls"] <= growth,
        ),
        ("300 beside a neighbour: all succeed", f"{beside['succeeded']}", beside["succeeded"] == 300),
        (
            "300 beside a neighbour: the latest notice at most 90 s after",
            f"{beside['notice_max']:.1f} s",
            beside["notice_max"] <= 90,
        ),
        ("300 connections: all succeed", f"{connections['succeeded']}", connections["succeeded"] == 300),
        (
            "300 connections: at most 0.2 s computed between two beats",
            f"{connections['computed']:.2f} s",
            connections["computed"] <= 0.2,
        ),
        (
            "300 to 2,500: CPU grows no faster",
            f"{all_ours['cpu'] / ours['cpu']:.1f} times",
            all_ours["cpu"] / ours["cpu"] <= growth,
        ),
    ]


def _cells(row: dict[str, Any]) -> list[str]:
    shown = row | {"stall": max((length for _, length in row["stalls"]), default=0.0), "stalls": len(row["stalls"])}
    return [f"{value:,}" if isinstance(value := shown[key], int) else f"{value:,.1f}" for key in _COLUMNS]


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [".. list-table::", "    :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"    {'*' if not column else ' '} - {cell}" for column, cell in enumerate(row)]
    return "\n".join(lines)


def machine() -> str:
    """Name the machine and the versions."""
    cpu = next(line.partition(": ")[2].strip() for line in _cpuinfo() if line.startswith("model name"))
    packages = ("apache-airflow", "apache-airflow-providers-amazon", "aiobotocore", "moto")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return f"{os.cpu_count()} cores of {cpu}, {platform.system()}, Python {platform.python_version()}, {versions}"


def _cpuinfo() -> list[str]:
    return [*Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines(), "model name: an unnamed processor"]


def page(results: Results) -> str:
    """Return the page of the docs."""
    figures = [[_NAMES[kind], f"{count:,}", *_cells(row)] for (kind, count), row in results.items()]
    held = [[bar, figure, "yes" if ok else "**no**"] for bar, figure, ok in bars(results)]
    return f"""Benchmarks
==========

Made by ``make bench``: the package's trigger and the amazon provider's own ``AwsBaseWaiterTrigger`` over
DescribeBackup, in one run, each in a process of its own on one event loop, against a simulated control plane that
keeps AWS's documented rates. All backups are waited for at once, polled every {POLL_INTERVAL} s; they become
AVAILABLE one after another, 30 to 60 s after the start. *Noticed after* is the time from AVAILABLE to the trigger's
event. *Beside a neighbour* means that another client makes 20 ListBackups calls a second, which is four times AWS's
rate and leaves none of it: each backup is then described, at five a second. *Computed between two beats* is the CPU
time of the process while its loop was to wait for 0.05 s, after the first client: about as long as the loop stands
still on a machine with nothing else to do, whatever else runs on this one. With a connection each it is a full
collection of Python's garbage, a third of it over Airflow's own objects.

Machine: {machine()}.

{_table(["trigger", "backups", *_COLUMNS.values()], figures)}

.. image:: benchmarks.svg
    :alt: calls, CPU-seconds and memory by the number of backups, for both triggers

The package's promises, and the results of this run:

{_table(["bar", "measured", "held"], held)}

:doc:`scaling` explains the figures.

Pruning
-------

A plan over 50,000 backups of 2,500 tables, twenty nightly ones each, by ``keep_daily=7, keep_weekly=4,
keep_monthly=12``, over HTTP and with the rates lifted. At AWS's rates the 500 pages take 200 s, and the last look at
the backups that must stay a fifth of a second for each table of which any is deleted.

.. csv-table::
    :file: retention.csv
    :header-rows: 1

Coverage
--------

Which of 2,500 tables have a fresh backup, of 50,000 backups in all, over HTTP at AWS's rates.

.. csv-table::
    :file: coverage.csv
    :header-rows: 1

Every other task
----------------

By their own defaults, on the worker, beside a script of boto3 that does the same, as people write it: with boto3's
waiter where there is one, and a loop where there is none. Importing is not counted. A backup takes 10 s, a restore
25 s, dropping a table 10 s; the rest of *seconds* is polling and AWS's rates. What the script leaves out it does not
pay for: it finds no earlier try's backup or table, settles no lost response, and puts two settings back, where the
package puts four back, compares each, and tells which others the table has. :doc:`tables` has the figures of many
tables.

.. csv-table::
    :file: operators.csv
    :header-rows: 1

Importing
---------

DAG files are parsed again and again, and each parse pays for what they import. Made by ``make bench-imports``: the time
of a new process that imports one module, the quickest of many, in turns with the other; the package's own may take
1.1 times as long as the amazon provider's operators for RDS.

.. csv-table::
    :file: imports.csv
    :header-rows: 1
"""


def plot(results: Results, path: Path) -> None:
    """Draw calls, CPU and memory by the number of backups."""
    from matplotlib.ticker import ScalarFormatter

    with drawing(path, 3) as axes:
        for axis, key in zip(axes, ("calls", "cpu", "memory"), strict=True):
            for kind in _PLOTTED:
                name = _NAMES[kind]
                points = sorted((count, row[key]) for (one, count), row in results.items() if one == kind)
                axis.plot(*zip(*points, strict=True), marker="o", label=name)
            axis.set(title=_COLUMNS[key], xlabel="backups", xscale="log", yscale="log")
            for numbers in (axis.xaxis, axis.yaxis):
                numbers.set_major_formatter(ScalarFormatter())
        axes[0].legend()


def text(results: Results) -> str:
    """Return what the terminal shows."""
    header = ["trigger", "backups", *_COLUMNS.values()]
    rows = [[_NAMES[kind], f"{count:,}", *_cells(row)] for (kind, count), row in results.items()]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    lines += ["", *(f"{'held  ' if ok else 'MISSED'}  {bar}: {figure}" for bar, figure, ok in bars(results))]
    return "\n".join(lines)
