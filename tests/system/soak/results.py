"""The results: in the terminal, as tables and a drawing of the docs, and whole in ``build/``."""

from __future__ import annotations

import csv
import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_ddb_backup import __version__
from benchmarks.drawing import drawing
from tests.system.cluster import TRIGGERERS
from tests.system.soak.samples import rise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.system.soak.books import Book, End, Task
    from tests.system.soak.ledger import Ledger
    from tests.system.soak.samples import Sample

DAGS = Path(__file__).parent / "dags"
_ROOT = Path(__file__).parents[3]
_DOCS, _BUILD = _ROOT / "docs", _ROOT / "build"
#: the share of the time after which a triggerer is warm
WARM = 1 / 4
#: by how much each figure may grow in an hour: what is lost with each run or poll would be more
BOUNDS = {"memory": 20.0, "threads": 1.0, "connections": 1.0, "files": 2.0}
_WRONG = {
    "fault": "series of one to four calls that went wrong",
    "outage": "times when all calls failed",
    "throttled": "times when all calls were throttled",
    "neighbour": "times with another client",
    "lag": "changes of ListBackups' lag",
    "kill caller": "tasks killed just after a call had taken effect",
    "kill task": "tasks killed anywhere",
    "kill program": "workers, triggerers and schedulers killed",
    "restart program": "workers, triggerers and schedulers restarted",
    "clear": "runs cleared",
}
_TITLES = {"memory": "memory, MB", "threads": "threads", "connections": "TCP connections", "files": "open files"}


@dataclass(frozen=True)
class Results:
    """All of them.

    :param books: the books
    :param samples: of each triggerer
    :param states: how many tasks ended how
    :param tries: of all tasks
    :param wrong: what has gone wrong, by kind
    :param cpu: processor seconds a second, of Airflow and all of its tasks
    """

    seed: int
    minutes: float
    books: Sequence[Book]
    samples: Mapping[str, Sequence[Sample]]
    states: Mapping[str, int]
    tries: int
    made: int
    deleted: int
    restored: int
    wrong: Mapping[str, int]
    calls: int
    throttled: int
    cpu: float

    @property
    def rises(self) -> dict[str, float]:
        """By how much each figure of the triggerer that lived grows in an hour."""
        return {what: rise(self.samples[TRIGGERERS[1]], what, self.minutes * 60 * WARM) for what in BOUNDS}

    @property
    def held(self) -> bool:
        """Whether there is no finding, and nothing grows."""
        level = all(grown <= BOUNDS[what] for what, grown in self.rises.items())
        return level and not any(book.findings for book in self.books)


def text(found: Results) -> str:
    """Return what the terminal shows."""
    lines = [f"{name}: {value}" for name, value in _figures(found).items()]
    lines += [
        f"{'held  ' if not book.findings else 'MISSED'}  {book.promise}: {book.checked} checked" for book in found.books
    ]
    lines += [
        f"{'held  ' if grown <= BOUNDS[what] else 'MISSED'}  {what}: {grown:+.1f} an hour, at most {BOUNDS[what]:g}"
        for what, grown in found.rises.items()
    ]
    findings = [f"FINDING  {book.promise}: {finding}" for book in found.books for finding in book.findings]
    return "\n".join([*lines, *findings, f"{len(findings)} findings"])


def keep(seed: int, ledger: Ledger, tasks: Sequence[Task], end: End, samples: Mapping[str, Sequence[Sample]]) -> None:
    """Write everything there is into ``build/``: an hour is long, and a book may be wrong."""
    _BUILD.mkdir(exist_ok=True)
    whole = {
        "ledger": asdict(ledger) | {"by_hand": sorted(ledger.by_hand)},
        "tasks": [asdict(task) for task in tasks],
        "end": asdict(end),
        "samples": samples,
    }
    (_BUILD / f"soak-{seed}.json").write_text(json.dumps(whole), encoding="utf-8")


def write(found: Results) -> None:
    """Write the docs' tables and drawing."""
    _table(_DOCS / "soak.csv", [("the run", ""), *_figures(found).items()])
    books = [(book.promise, f"{book.checked:,}", len(book.findings)) for book in found.books]
    _table(_DOCS / "soak_books.csv", [("promise", "checked", "findings"), *books])
    lived = [one for one in found.samples[TRIGGERERS[1]] if one.seconds >= found.minutes * 60 * WARM]
    level = [
        (
            title,
            *(f"{getter([getattr(one, what) for one in lived]):.0f}" for getter in (min, max)),
            f"{found.rises[what]:+.1f}",
            f"{BOUNDS[what]:g}",
        )
        for what, title in _TITLES.items()
    ]
    _table(_DOCS / "soak_level.csv", [("the triggerer that lived", "least", "most", "rise an hour", "at most"), *level])
    with drawing(_DOCS / "soak.svg", len(_TITLES)) as axes:
        for axis, (what, title) in zip(axes, _TITLES.items(), strict=True):
            for name, samples in found.samples.items():
                points = [(one.seconds / 60, getattr(one, what)) for one in samples]
                axis.plot(*zip(*points, strict=True), label=name, linewidth=1)
            axis.set(title=title, xlabel="minutes")
            axis.set_ylim(bottom=0)
        axes[0].legend()


def _figures(found: Results) -> dict[str, str]:
    packages = ("apache-airflow", "apache-airflow-providers-amazon", "aiobotocore")
    versions = {f"version of {package}": version(package) for package in packages}
    versions["version of airflow-ddb-backup"] = __version__
    return {
        "seed": str(found.seed),
        "minutes": f"{found.minutes:g}",
        **{f"tasks that ended in {state}": f"{count:,}" for state, count in sorted(found.states.items())},
        "tries of these tasks": f"{found.tries:,}",
        "backups made, and deleted": f"{found.made:,}, {found.deleted:,}",
        "tables restored": f"{found.restored:,}",
        "calls, and those above AWS's rates": f"{found.calls:,}, {found.throttled:,}",
        **{what: f"{found.wrong.get(kind, 0):,}" for kind, what in _WRONG.items()},
        "processors busy with Airflow, on average": f"{found.cpu:.2f} of {os.cpu_count()}",
        "Python": platform.python_version(),
        **versions,
    }


def _table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
