"""The books of the soak: a true story has no findings, and each lie is found by its own book."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.dag_bag import dag_bag
from tests.system.soak import results
from tests.system.soak.__main__ import DAG_IDS
from tests.system.soak.books import End, Task, audit
from tests.system.soak.ledger import Ledger, Made, Restored
from tests.system.soak.results import DAGS
from tests.system.soak.samples import Sample, rise
from tests.system.soak.tape import tape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_800_000_000.0
TABLES = [f"soak-{number:02}" for number in range(50)]
DRILL = "airflow-drill-0123456789-0123456789abcdef"


def arn(table: str, number: int) -> str:
    """Return an ARN of a backup."""
    return f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}/backup/{number}"


class Story:
    """Three backups of each table by three runs, the oldest pruned; a single one; a restore, a drill and a report."""

    def __init__(self) -> None:
        self.ledger = Ledger(creating_for=20.0)
        for age in (3, 2, 1):
            for table in TABLES:
                self.make(arn(table, age), f"soak_tables.back_up.digest.run{age}.{table}.0", NOW - 600 * age)
        for table in TABLES:
            self.ledger.deleted[arn(table, 3)] = NOW - 400
        self.make(arn("soak-00", 9), "soak_single.deferred.digest.run1.0", NOW - 300)
        self.ledger.restored = [
            Restored("restored-1", arn("soak-00", 1), 0, NOW - 100),
            Restored(DRILL, arn("soak-01", 1), 0, NOW - 100),
            Restored("rewound-1", "soak-02", NOW - 450, NOW - 80),
        ]
        self.ledger.dropped = [(DRILL, NOW - 60)]
        self.tasks = {
            **{f"tables {age}": self.backed_up(age) for age in (3, 2, 1)},
            "single": self.task("soak_single.deferred", {"table_name": "soak-00"}, arn("soak-00", 9), NOW - 310),
            "restore": self.task(
                "soak_restore.restore",
                {"table_name": "soak-00", "target_table_name": "restored-1"},
                "arn:aws:dynamodb:us-east-1:123456789012:table/restored-1",
                NOW - 110,
            ),
            "rewind": self.task(
                "soak_point_in_time.restore",
                {"source_table_name": "soak-02", "target_table_name": "rewound-1"},
                "",
                NOW - 90,
            ),
            "drill": self.task(
                "soak_drill.drill",
                {"table_name": "soak-01"},
                {"verdict": "passed", "items": 1, "backup_arn": arn("soak-01", 1)},
                NOW - 110,
            ),
            "prune": self.task(
                "soak_prune.of_tables",
                {},
                {"failed": {}, "error": None, "deleted": [arn(table, 3) for table in TABLES]},
                NOW - 410,
            ),
            "check": self.task("soak_coverage.check", {}, self.report(), NOW - 50),
            "failed": replace(
                self.task("soak_unretried.back_up", {}, None, NOW - 30),
                state="failed",
                log='"error_detail": [{"exc_type": "TablesFailedError", "exc_value": "…"}]',
            ),
        }
        tags = {"team": "soak"}
        self.end = End(NOW, NOW - 30, dict.fromkeys((*TABLES, "restored-1", "rewound-1"), tags))

    def make(self, made: str, name: str, at: float) -> None:
        """Note a backup."""
        self.ledger.made[made] = Made(made, name, made.split("/")[1], at)

    def task(self, name: str, fields: dict[str, Any], returned: Any, start: float) -> Task:
        """Return a task that has succeeded."""
        dag_id, task_id = name.split(".")
        return Task(
            dag_id, "run1", task_id, "success", 1, start, start + 60, start, start, fields, {"return_value": returned}
        )

    def backed_up(self, age: int) -> Task:
        """Return the task of many tables that has made the backups of an age."""
        backups = {table: arn(table, age) for table in TABLES}
        report = {"backups": backups, "failed": {}, "skipped": {}}
        return replace(self.task("soak_tables.back_up", {}, report, NOW - 600 * age - 1), run_id=f"run{age}")

    def report(self) -> dict[str, Any]:
        """Return a coverage report that is true."""
        newest = {table: arn(table, 1) for table in TABLES} | {"soak-00": arn("soak-00", 9)}
        tables = [{"table_name": table, "status": "late", "newest_backup_arn": newest[table]} for table in TABLES]
        return {"checked_at": datetime.fromtimestamp(NOW - 45, UTC).isoformat(), "tables": tables}

    def findings(self) -> list[str]:
        """Return the promises that have a finding."""
        return [book.promise for book in audit(self.ledger, list(self.tasks.values()), self.end) if book.findings]

    def change(self, name: str, **changes: Any) -> None:
        """Change a task."""
        self.tasks[name] = replace(self.tasks[name], **changes)


def test_a_true_story_has_no_findings() -> None:
    """Every promise is kept."""
    assert not Story().findings()


def made_twice(story: Story) -> None:
    """Make two backups of a run's table."""
    for number in (7, 8):
        story.make(arn("soak-05", number), "soak_unretried.back_up.digest.run1.0", NOW - 620 + number)


def made_for_nobody(story: Story) -> None:
    """Make a backup that is named for no run."""
    story.make(arn("soak-05", 8), "soak_unretried.back_up.digest.run7.0", NOW - 620)


def keeps_deleted(story: Story) -> None:
    """Delete what the policy keeps."""
    story.ledger.deleted[arn("soak-05", 2)] = NOW - 399


def deletes_by_hand(story: Story) -> None:
    """Delete what a person has made."""
    story.ledger.by_hand.add(arn("soak-05", 3))


def leaves_too_many(story: Story) -> None:
    """Leave what the policy does not keep."""
    del story.ledger.deleted[arn("soak-05", 3)]
    story.change("prune", xcoms={"return_value": {"failed": {}, "error": None, "deleted": []}})


def lies_of_deletion(story: Story) -> None:
    """Report a deletion that never was."""
    story.change("prune", xcoms={"return_value": {"failed": {}, "error": None, "deleted": [arn("soak-05", 2)]}})


def returns_anothers(story: Story) -> None:
    """Return another table's backup."""
    story.change("single", xcoms={"return_value": arn("soak-01", 1)})


def leaves_one_out(story: Story) -> None:
    """Report one table less."""
    report = dict(story.tasks["tables 1"].xcoms["return_value"])
    backups = {table: one for table, one in report["backups"].items() if table != "soak-05"}
    story.change("tables 1", xcoms={"return_value": report | {"backups": backups}})


def succeeds_early(story: Story) -> None:
    """Succeed before the backup is AVAILABLE."""
    story.change("single", end=NOW - 299)


def restores_twice(story: Story) -> None:
    """Make a target twice."""
    story.ledger.restored.append(story.ledger.restored[0])


def restores_the_older(story: Story) -> None:
    """Restore the backup before the newest."""
    story.ledger.restored[0] = replace(story.ledger.restored[0], source=arn("soak-00", 2))


def loses_tags(story: Story) -> None:
    """Leave the tags out."""
    story.end = replace(story.end, tables={**story.end.tables, "restored-1": {}})


def rewinds_too_far(story: Story) -> None:
    """Restore to another minute."""
    story.ledger.restored[2] = replace(story.ledger.restored[2], moment=NOW - 510)


def drills_another(story: Story) -> None:
    """Report a backup that was not restored."""
    report = {"verdict": "passed", "items": 1, "backup_arn": arn("soak-01", 2)}
    story.change("drill", xcoms={"return_value": report})


def leaves_the_drills(story: Story) -> None:
    """Leave the drill's table."""
    story.end = replace(story.end, tables={**story.end.tables, DRILL: {}})


def drops_anothers(story: Story) -> None:
    """Drop a table that is no drill's."""
    story.ledger.dropped.append(("soak-05", NOW))


def reports_the_older(story: Story) -> None:
    """Report an older backup as the newest."""
    report = story.report()
    report["tables"][5]["newest_backup_arn"] = arn("soak-05", 2)
    story.change("check", xcoms={"return_value": report})


def fails_without_a_word(story: Story) -> None:
    """Fail, and say nothing."""
    story.change("failed", log="Task exited with return code 1")


def fails_by_a_defect(story: Story) -> None:
    """Fail by an exception that is not the package's."""
    story.change("failed", log='"error_detail": [{"exc_type": "KeyError", "exc_value": "…"}]')


def never_ends(story: Story) -> None:
    """Stay deferred."""
    story.change("failed", state="deferred")


@pytest.mark.parametrize(
    ("lie", "promises"),
    [
        (made_twice, ["a run has one backup of a table"]),
        (made_for_nobody, ["a run has one backup of a table"]),
        (keeps_deleted, ["no prune deletes what its policy keeps"]),
        (deletes_by_hand, ["no prune deletes what its policy keeps"]),
        (leaves_too_many, ["at the end, what a policy does not keep is deleted"]),
        (lies_of_deletion, ["a prune has deleted what it says"]),
        (returns_anothers, ["a task for one table returns its backup", "no two runs return the same backup"]),
        (leaves_one_out, ["a task for many tables returns all of theirs"]),
        (succeeds_early, ["a task for one table returns its backup"]),
        (restores_twice, ["a restore makes one table"]),
        (restores_the_older, ["a restore is of the newest backup from before its run"]),
        (loses_tags, ["a restored table has its source's tags"]),
        (rewinds_too_far, ["a restore to a point in time is to that time"]),
        (drills_another, ["a drill that passed has restored its backup"]),
        (leaves_the_drills, ["every drill's table is dropped, and no other"]),
        (drops_anothers, ["every drill's table is dropped, and no other"]),
        (reports_the_older, ["a coverage report is true"]),
        (fails_without_a_word, ["a task that failed says why"]),
        (fails_by_a_defect, ["a task that failed says why"]),
        (never_ends, ["every run has ended"]),
    ],
)
def test_a_lie_is_found(lie: Callable[[Story], None], promises: list[str]) -> None:
    """By the book of its promise, and by no other."""
    story = Story()
    lie(story)
    assert story.findings() == promises


def test_a_killed_task_needs_no_word() -> None:
    """The soak itself has killed it."""
    story = Story()
    story.change("failed", log="", killed=True)
    assert not story.findings()


def test_all_is_kept_beside_the_books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records, tasks, end and samples: whatever a book then makes of them, they are not lost."""
    monkeypatch.setattr(results, "_BUILD", tmp_path)
    story = Story()
    samples = {"triggerer-2": [Sample(0.0, 100.0, 5, 5, 9)]}
    results.keep(7, story.ledger, list(story.tasks.values()), story.end, samples)
    kept = json.loads((tmp_path / "soak-7.json").read_text())
    assert len(kept["ledger"]["made"]) == len(story.ledger.made)
    assert len(kept["tasks"]) == len(story.tasks)
    assert kept["end"]["at"] == NOW
    assert kept["samples"]["triggerer-2"][0][1] == 100.0


def test_every_dag_is_unpaused() -> None:
    """The soak names all DAGs that its folder has."""
    assert sorted(dag_bag(DAGS).dags) == [f"soak_{name}" for name in DAG_IDS]


def test_one_seed_makes_one_tape() -> None:
    """Another makes another."""
    first = [str(event) for event in tape(7, 600)]
    assert first == [str(event) for event in tape(7, 600)]
    assert first != [str(event) for event in tape(8, 600)]


def test_the_rise_is_an_hours() -> None:
    """What grows by a megabyte a minute grows by sixty in an hour; what was before it was warm does not count."""
    samples = [Sample(60.0 * minute, 100.0 + minute, 5, 5, 9) for minute in range(30)]
    cold = [Sample(0.0, 900.0, 5, 5, 9)]
    assert rise(cold + samples, "memory", 60.0) == pytest.approx(60.0)
    assert rise(cold + samples, "threads", 60.0) == pytest.approx(0.0)
