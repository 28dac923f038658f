"""The books: what the control plane did against what the runs say, and against what should be. No I/O.

Nothing here asks the package: names are read, and policies computed, anew.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import airflow_ddb_backup
from tests.system.soak.ledger import table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tests.system.soak.ledger import Ledger, Made

# Of times that Airflow and the control plane tell, and of ListBackups, which is behind.
_TOLERANCE = 1.0
_LAG = 5.0
_DRILLS = "airflow-drill-"
_BY_TABLES = ("soak_tables.back_up.",)
_BY_SINGLE = tuple(f"soak_single.{task}." for task in ("deferred", "on_worker", "unwaited"))
#: the tasks that make a backup of one table
_CREATIONS = {
    (f"soak_{dag}", task)
    for dag, task in (("single", "deferred"), ("single", "on_worker"), ("single", "unwaited"), ("unretried", "back_up"))
}
# The exception that ends a try, in Airflow's log.
_ENDED_BY = re.compile(r'"exc_type": ?"(\w+)"')
_EXCEPTIONS = Path(airflow_ddb_backup.__file__).with_name("exceptions.py")
_OWN = set(re.findall(r"^class (\w+)", _EXCEPTIONS.read_text(encoding="utf-8"), re.MULTILINE))


@dataclass(frozen=True)
class Task:
    """A task of a run, as Airflow tells.

    :param state: how it ended
    :param tries: how many tries it took
    :param start: when its last try began, in Unix seconds
    :param end: when that ended
    :param due: when the run was due
    :param begun: when the run began
    :param fields: the rendered fields
    :param xcoms: its XComs
    :param log: of a failed task: the log of its last try
    :param killed: whether its last try was killed by the soak itself
    """

    dag_id: str
    run_id: str
    task_id: str
    state: str
    tries: int
    start: float
    end: float
    due: float
    begun: float
    fields: Mapping[str, Any] = field(default_factory=dict)
    xcoms: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""
    killed: bool = False

    def __str__(self) -> str:
        """Name it."""
        return f"{self.dag_id}.{self.task_id} of {self.run_id}"


@dataclass(frozen=True)
class Book:
    """A promise, and what is found against it.

    :param promise: the promise
    :param checked: how many things it was held for
    :param findings: where it was not
    """

    promise: str
    checked: int
    findings: Sequence[str]


@dataclass(frozen=True)
class End:
    """The state at the end.

    :param at: when
    :param pruned: when the last prune began
    :param tables: the tables that exist, with their tags
    """

    at: float
    pruned: float
    tables: Mapping[str, Mapping[str, str]]


def audit(ledger: Ledger, tasks: Sequence[Task], end: End) -> list[Book]:
    """Return all books.

    :param ledger: the control plane's records
    :param tasks: the tasks of all runs
    :param end: the state at the end
    """
    done = [task for task in tasks if task.state == "success"]
    creations = [task for task in done if (task.dag_id, task.task_id) in _CREATIONS]
    many = _named(done, "soak_tables")
    failed = [task for task in tasks if task.state == "failed"]
    restores, rewinds, drills = (_named(done, f"soak_{name}") for name in ("restore", "point_in_time", "drill"))
    prunes = [*_named(done, "soak_prune"), *_named(done, "soak_last_prune")]
    reports = [task for task in tasks if task.task_id == "check" and _report(task)]
    sensors = [task for task in done if task.task_id == "sensor"]
    drilled = [one for one in ledger.restored if one.table.startswith(_DRILLS)]
    mine = len(ledger.made) - len(ledger.by_hand)
    targets = [one for one in ledger.restored if not one.table.startswith(_DRILLS)]
    return [
        Book("every run has ended", len(tasks), [*_unended(tasks)]),
        Book("a run has one backup of a table", mine, [*_twice(ledger), *_unowned(ledger, tasks)]),
        Book("a task for one table returns its backup", len(creations), [*_creations(ledger, creations)]),
        Book("a task for many tables returns all of theirs", len(many) * 50, [*_many(ledger, many, end)]),
        Book("no two runs return the same backup", len(creations) + len(many) * 50, [*_shared(creations, many)]),
        Book("a sensor returns an AVAILABLE backup", len(sensors), [*_sensors(ledger, sensors)]),
        Book("no prune deletes what its policy keeps", len(ledger.deleted), [*_deletions(ledger)]),
        Book(
            "at the end, what a policy does not keep is deleted", len([*ledger.living(end.at)]), [*_left(ledger, end)]
        ),
        Book("a prune has deleted what it says", len(prunes), [*_prunes(ledger, prunes)]),
        Book("a restore makes one table", len(targets), [*_targets(ledger)]),
        Book(
            "a restore is of the newest backup from before its run", len(restores), [*_restores(ledger, restores, end)]
        ),
        Book("a restored table has its source's tags", len(restores) + len(rewinds), [*_tags(restores + rewinds, end)]),
        Book("a restore to a point in time is to that time", len(rewinds), [*_rewinds(ledger, rewinds)]),
        Book("a drill that passed has restored its backup", len(drills), [*_drills(ledger, drills)]),
        Book("every drill's table is dropped, and no other", len(drilled), [*_dropped(ledger, end)]),
        Book("a coverage report is true", len(reports), [*_reports(ledger, reports)]),
        Book("a task that failed says why", len(failed), [*_reasons(failed)]),
    ]


def _named(tasks: Iterable[Task], dag_id: str) -> list[Task]:
    return [task for task in tasks if task.dag_id == dag_id]


def _unended(tasks: Iterable[Task]) -> Iterator[str]:
    ended = {"success", "failed", "upstream_failed"}
    return (f"{task} is {task.state}" for task in tasks if task.state not in ended)


def _twice(ledger: Ledger) -> Iterator[str]:
    """Find backups that were made while another of the same run and table existed."""
    by_name: defaultdict[tuple[str, str], list[Made]] = defaultdict(list)
    for one in sorted(ledger.made.values(), key=lambda one: one.at):
        if one.arn not in ledger.by_hand:
            by_name[one.table, one.name].append(one)
    for several in by_name.values():
        for earlier, later in pairwise(several):
            if later.at <= ledger.deleted.get(earlier.arn, float("inf")):
                yield f"{later.arn} was made beside {earlier.arn}, both named {later.name}"


def _unowned(ledger: Ledger, tasks: Iterable[Task]) -> Iterator[str]:
    """Find backups that no run is the owner of, by the readable part of their names."""
    owners = {(f"{task.dag_id}.{task.task_id}", _legal(task.run_id)) for task in tasks}
    for one in ledger.made.values():
        dag_id, task_id, _, rest = one.name.split(".", 3) if one.arn not in ledger.by_hand else ("", "", "", "")
        if dag_id and not any(rest.startswith(run) for owner, run in owners if owner == f"{dag_id}.{task_id}"):
            yield f"{one.arn}, named {one.name}, belongs to no run"


def _legal(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_.-]", "-", text)


def _wrong(ledger: Ledger, task: Task, table: str, arn: object, *, waited: bool = True) -> Iterator[str]:
    """Find what is wrong with the backup that a task returns."""
    made = ledger.made.get(str(arn))
    if made is None:
        yield f"{task} returns {arn!r}, which was never made"
    elif made.table != table or _legal(task.run_id) not in made.name:
        yield f"{task} for {table} returns {arn}, of {made.table}, named {made.name}"
    elif made.at < task.due - _TOLERANCE:
        yield f"{task} returns {arn}, which is older than the run"
    elif waited and ledger.available_from(made) > task.end + _TOLERANCE:
        yield f"{task} has succeeded before {arn} was AVAILABLE"
    elif ledger.deleted.get(made.arn, float("inf")) < task.start:
        yield f"{task} returns {arn}, which was deleted before it began"


def _creations(ledger: Ledger, tasks: Iterable[Task]) -> Iterator[str]:
    for task in tasks:
        waited = task.task_id != "unwaited"
        yield from _wrong(ledger, task, task.fields["table_name"], task.xcoms.get("return_value"), waited=waited)


def _many(ledger: Ledger, tasks: Iterable[Task], end: End) -> Iterator[str]:
    names = {name for name in end.tables if name.startswith("soak-")}
    for task in tasks:
        report = task.xcoms.get("return_value") or {}
        if set(report.get("backups", ())) != names or report["failed"] or report["skipped"]:
            yield f"{task} has succeeded, and reports {str(report)[:500]}"
            continue
        for table, arn in report["backups"].items():
            yield from _wrong(ledger, task, table, arn)


def _shared(creations: Iterable[Task], many: Iterable[Task]) -> Iterator[str]:
    counted = Counter(str(task.xcoms.get("return_value")) for task in creations)
    for task in many:
        counted.update((task.xcoms.get("return_value") or {}).get("backups", {}).values())
    return (f"{arn} is returned {count} times" for arn, count in counted.items() if count > 1)


def _sensors(ledger: Ledger, tasks: Iterable[Task]) -> Iterator[str]:
    for task in tasks:
        told = task.xcoms.get("return_value") or {}
        made = ledger.made.get(told.get("backup_arn", ""))
        if not made or told["status"] != "AVAILABLE" or ledger.available_from(made) > task.end + _TOLERANCE:
            yield f"{task} returns {told}"


def _kept_of_tables(backups: Sequence[Made], now: float) -> set[str]:
    """Compute ``keep_last=2, keep_within=timedelta(minutes=3)``."""
    return {one.arn for index, one in enumerate(backups) if index < 2 or one.at >= backups[0].at - 180}


def _kept_of_single(backups: Sequence[Made], now: float) -> set[str]:
    """Compute ``keep_hourly=1, older_than=timedelta(minutes=2), minimum_redundancy=2``."""
    # The newest of the newest hour is the newest of all.
    return {one.arn for index, one in enumerate(backups) if index < 2 or one.at > now - 120}


# By what the names begin with.
_POLICIES: dict[tuple[str, ...], Callable[[Sequence[Made], float], set[str]]] = {
    _BY_TABLES: _kept_of_tables,
    _BY_SINGLE: _kept_of_single,
}


def _kept(ledger: Ledger, table: str, prefixes: tuple[str, ...], at: float) -> set[str]:
    """Compute which of a table's backups a policy keeps at a time."""

    def counts(one: Made) -> bool:
        return one.table == table and one.arn not in ledger.by_hand and one.name.startswith(prefixes)

    return _POLICIES[prefixes](ledger.available(at, counts), at)


def _deletions(ledger: Ledger) -> Iterator[str]:
    for arn, at in ledger.deleted.items():
        one = ledger.made[arn]
        policy = next((prefixes for prefixes in _POLICIES if one.name.startswith(prefixes)), None)
        if policy is None or arn in ledger.by_hand:
            yield f"{arn}, named {one.name}, was deleted, and no policy is about it"
        # Just before: what is kept then was kept when the plan was made, since newer ones only let more go.
        elif arn in _kept(ledger, one.table, policy, at - 0.001):
            yield f"{arn}, named {one.name}, was deleted, and its policy keeps it"


def _left(ledger: Ledger, end: End) -> Iterator[str]:
    """Compare what is left with what the last prune had to keep; a backup may have grown old enough meanwhile."""
    living = {one.arn for one in ledger.living(end.at)}
    for table in (name for name in end.tables if name.startswith("soak-")):
        for prefixes in _POLICIES:
            kept = _kept(ledger, table, prefixes, end.pruned) & living
            should_go = {
                one.arn
                for one in ledger.available(end.pruned)
                if one.table == table and one.arn not in ledger.by_hand and one.name.startswith(prefixes)
            } - kept
            if too_many := should_go & living:
                yield f"left of {table}, although {prefixes} keep {len(kept)}: {sorted(too_many)}"


def _prunes(ledger: Ledger, tasks: Iterable[Task]) -> Iterator[str]:
    for task in tasks:
        report = task.xcoms.get("return_value") or {}
        if report.get("failed", True) or report.get("error", True):
            yield f"{task} has succeeded, and reports {str(report)[:500]}"
        untrue = [arn for arn in report.get("deleted", ()) if ledger.deleted.get(arn, float("inf")) > task.end]
        if untrue:
            yield f"{task} says that it has deleted {untrue}"


def _targets(ledger: Ledger) -> Iterator[str]:
    counted = Counter(one.table for one in ledger.restored if not one.table.startswith(_DRILLS))
    return (f"{table} was restored {count} times" for table, count in counted.items() if count > 1)


def _restores(ledger: Ledger, tasks: Iterable[Task], end: End) -> Iterator[str]:
    by_target = {one.table: one for one in ledger.restored}
    for task in tasks:
        target, table = task.fields["target_table_name"], task.fields["table_name"]
        restored = by_target.get(target)
        source = restored and ledger.made.get(restored.source)
        arn = str(task.xcoms.get("return_value"))
        if not restored or not source or table_of(arn) != target or target not in end.tables:
            yield f"{task} returns {arn}; {restored}"
            continue

        def counts(one: Made, table: str = table, begun: float = task.begun) -> bool:
            return one.table == table and one.name.startswith(_BY_TABLES) and one.at < begun

        better = [
            one
            for one in ledger.available(restored.at, counts)
            if one.at > source.at and ledger.available_from(one) < task.begun - _LAG and one.arn not in ledger.by_hand
        ]
        if not counts(source) or better:
            yield f"{task} has restored {source}, and not {better}"


def _tags(tasks: Iterable[Task], end: End) -> Iterator[str]:
    for task in tasks:
        source = task.fields.get("table_name") or task.fields["source_table_name"]
        tags = end.tables.get(task.fields["target_table_name"], {})
        if not end.tables[source].items() <= tags.items():
            yield f"{task} has left {tags}"


def _rewinds(ledger: Ledger, tasks: Iterable[Task]) -> Iterator[str]:
    by_target = {one.table: one for one in ledger.restored}
    for task in tasks:
        restored = by_target.get(task.fields["target_table_name"])
        is_right = restored and restored.source == task.fields["source_table_name"]
        if not restored or not is_right or abs(restored.moment - (task.due - 360)) > 1:
            yield f"{task}, due at {task.due}, has made {restored}"


def _drills(ledger: Ledger, tasks: Iterable[Task]) -> Iterator[str]:
    restored = {one.source for one in ledger.restored if one.table.startswith(_DRILLS)}
    for task in tasks:
        report = task.xcoms.get("return_value") or {}
        made = ledger.made.get(report.get("backup_arn", ""))
        is_true = made and made.arn in restored and made.table == task.fields["table_name"]
        if not is_true or report["verdict"] != "passed" or report["items"] != 1:
            yield f"{task} reports {report}"


def _dropped(ledger: Ledger, end: End) -> Iterator[str]:
    yield from (f"{name} is left" for name in end.tables if name.startswith(_DRILLS))
    yield from (f"{name} was dropped" for name, _ in ledger.dropped if not name.startswith(_DRILLS))


def _report(task: Task) -> Mapping[str, Any]:
    return task.xcoms.get("return_value") or task.xcoms.get("report") or {}


def _reports(ledger: Ledger, tasks: Iterable[Task]) -> Iterator[str]:
    for task in tasks:
        report = _report(task)
        checked = datetime.fromisoformat(report["checked_at"]).astimezone(UTC).timestamp()
        if len(report["tables"]) != 50:
            yield f"{task} reports {len(report['tables'])} tables"
        for told in report["tables"]:
            yield from _told(ledger, task, told, checked)


def _told(ledger: Ledger, task: Task, told: Mapping[str, Any], checked: float) -> Iterator[str]:
    def counts(one: Made) -> bool:
        return bool(one.table == told["table_name"])

    if told["status"] == "unknown":
        return
    newest = ledger.made.get(told["newest_backup_arn"] or "")
    earlier = ledger.available(task.start - _LAG, counts)
    if not newest or not counts(newest):
        yield f"{task} tells {told}, and there was {earlier[:1]}"
    elif newest.at < earlier[0].at or ledger.available_from(newest) > checked + _TOLERANCE:
        yield f"{task} tells {told} at {checked}, and the newest was {earlier[0]}"
    elif (told["status"] == "fresh") != (checked - newest.at <= 240) and abs(checked - newest.at - 240) > 2:
        yield f"{task} tells {told} at {checked}"


def _reasons(tasks: Iterable[Task]) -> Iterator[str]:
    """Find tasks that failed, were not killed, and by no exception of the package's own."""
    for task in tasks:
        if not task.killed and not _OWN.intersection(_ENDED_BY.findall(task.log)):
            yield f"{task}:\n{task.log[-2000:]}"
