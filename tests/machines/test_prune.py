"""Prunes beside everything else that goes on in an account: the last good backups stay, and reports tell the truth.

The account has tables that are dropped and made again, creations that fail, people who create and delete by hand, tags
that change, restores, and prunes with the same and with overlapping prefixes. All of it happens between any two calls
of a prune, whose calls fail, and whose worker is killed between any two of them.

What a prune may delete is told here without its code: by the name, the kind, the age and the very table of a backup,
and by how many newer good ones its table had when the prune last looked at them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from airflow_ddb_backup.exceptions import BackupError, TooManyDeletionsError
from airflow_ddb_backup.operators.dynamodb import DynamoDBPruneBackupsOperator
from tests.machines.support import LOST, TIMEOUT, KilledError, Machine, Script
from tests.simulator import faults
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.simulator.faults import Answer, Fault
from tests.unit.conftest import FakeTaskInstance, context_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.machines.support import Search

TABLES = ("orders", "orders-eu", "users")
NAMES = ("night-1", "nightly-2", "nightly-keep", "other-3")
KINDS = ("USER", "USER", "USER", "SYSTEM", "AWS_BACKUP")
# Seconds since a backup was made.
AGES = (0.0, 60.0, 3600.0, 86_400.0, 200_000.0)
TAG = {"backup": "yes"}
FAULTS = {
    "DeleteBackup": (*LOST, Fault(code="AccessDeniedException"), Fault(code="LimitExceededException")),
    "ListBackups": (
        faults.INTERNAL_ERROR,
        faults.EMPTY_RESPONSE,
        faults.THROTTLED,
        Fault(code="ValidationException"),
        Fault(Answer.ALTERED, drop_members=("TableId",)),
        Fault(Answer.ALTERED, drop_members=("BackupStatus",)),
    ),
    "DescribeBackup": (faults.INTERNAL_ERROR, faults.THROTTLED, Fault(code="AccessDeniedException")),
    "DescribeTable": (faults.INTERNAL_ERROR, faults.HTML_OF_A_PROXY, Fault(code="ResourceNotFoundException")),
    "ListTagsOfResource": (faults.INTERNAL_ERROR, faults.THROTTLED),
    "ListTables": (faults.INTERNAL_ERROR, faults.DROPPED_BEFORE_COMMIT),
    "GetResources": (faults.INTERNAL_ERROR, faults.THROTTLED),
}
# Seconds from a prune's last call, after which it has begun a round anew.
_ROUND = 1.0


@dataclass(eq=False)
class Made:
    """A backup as the test knows it; times are the tests'.

    :param arn: its ARN
    :param name: its name
    :param table: its table's name
    :param table_id: its very table
    :param kind: who made it
    :param at: when it was made
    :param good: it becomes AVAILABLE
    """

    arn: str
    name: str
    table: str
    table_id: int
    kind: str
    at: float
    good: bool = True

    @property
    def order(self) -> tuple[float, str]:
        """What tells the newer of two."""
        return self.at, self.arn


@dataclass(frozen=True)
class Task:
    """The parameters of a prune."""

    table_names: tuple[str, ...]
    backup_name_prefix: str
    keep_last: int
    keep_daily: int
    older_than: timedelta | None
    minimum_redundancy: int
    keep_names: tuple[str, ...]
    dropped_tables: bool
    tagged: bool
    max_deletions: int | None
    plan_only: bool

    def operator(self) -> DynamoDBPruneBackupsOperator:
        """Return the task."""
        given = dict(vars(self))
        if given.pop("tagged"):
            given |= {"table_tags": TAG, "dropped_tables": False}
        if not (self.keep_last or self.keep_daily or self.older_than):
            given["keep_last"] = 1
        return DynamoDBPruneBackupsOperator(task_id="prune", if_empty="skip", **given)

    @property
    def about_dropped(self) -> bool:
        """Whether backups of tables that are gone are pruned too."""
        return self.dropped_tables and not self.tagged

    @property
    def last(self) -> int:
        """How many of the newest the rules keep."""
        return self.keep_last if self.keep_last or self.keep_daily or self.older_than else 1

    def selects(self, table: str) -> bool:
        """Return whether it is about tables of a name."""
        return any(fnmatchcase(table, text) for text in self.table_names)

    def counts(self, made: Made) -> bool:
        """Return whether it counts a backup among the good ones of its table."""
        named = made.name.startswith(self.backup_name_prefix)
        return named and made.kind == "USER" and not any(fnmatchcase(made.name, kept) for kept in self.keep_names)


TASKS = st.builds(
    Task,
    table_names=st.sampled_from([("orders",), ("orders*",), ("*",), ("orders", "users"), ("orders-eu", "u*")]),
    backup_name_prefix=st.sampled_from(["night", "nightly-", "night-"]),
    keep_last=st.integers(0, 2),
    keep_daily=st.integers(0, 2),
    older_than=st.sampled_from([None, None, timedelta(minutes=10), timedelta(days=1)]),
    minimum_redundancy=st.sampled_from([0, 0, 1, 1, 2, 3]),
    keep_names=st.sampled_from([(), ("*keep",)]),
    dropped_tables=st.booleans(),
    tagged=st.sampled_from([False, False, True]),
    max_deletions=st.sampled_from([None, None, None, 2]),
    plan_only=st.sampled_from([False] * 7 + [True]),
)
#: what others do: a method of the machine, and its arguments
ACTS = st.one_of(
    st.tuples(
        st.just("create"),
        st.sampled_from(TABLES),
        st.sampled_from(NAMES),
        st.sampled_from(AGES),
        st.integers(1, 3),
        st.sampled_from(KINDS),
    ),
    st.tuples(st.just("create_in_vain"), st.sampled_from(TABLES), st.sampled_from(NAMES)),
    st.tuples(st.just("delete_by_hand"), st.sampled_from(TABLES), st.integers(0, 3)),
    st.tuples(st.just("drop"), st.sampled_from(TABLES)),
    st.tuples(st.just("replace"), st.sampled_from(TABLES)),
    st.tuples(st.just("make_again"), st.sampled_from(TABLES)),
    st.tuples(st.just("tag"), st.sampled_from(TABLES), st.booleans()),
    st.tuples(st.just("restore"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 15.0, 700.0, 90_000.0])),
    st.sampled_from(sorted(FAULTS)).flatmap(
        lambda operation: st.tuples(st.just("fail"), st.just(operation), st.sampled_from(FAULTS[operation]))
    ),
)
Acts = list[tuple[Any, ...]]


@dataclass(eq=False)
class Try:
    """One try of a prune, and what it has seen.

    :param task: its parameters
    :param began: when it began
    :param table_ids: the very tables that it may have seen, by name
    :param looked: the good backups that a very table had when the try began to look at them, the last time
    :param tags: whether a table had the tags when the try last asked it
    :param deleted: what its calls have deleted
    :param quiet: nothing went wrong, and nobody else did anything
    """

    task: Task
    began: float
    table_ids: dict[str, set[int]]
    looked: tuple[int, list[Made]] | None = None
    tags: dict[str, bool] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    quiet: bool = True
    asked_at: float = 0.0


class Prunes(Machine):
    """Prunes, and everything that happens beside them."""

    @initialize(
        offset=st.sampled_from([0.0, 200.0, -200.0]),
        lag=st.sampled_from([0.0, 0.0, 8.0]),
        creating_for=st.sampled_from([0.0, 20.0]),
        backups=st.lists(st.tuples(st.sampled_from(TABLES), st.sampled_from(NAMES), st.sampled_from(AGES)), max_size=9),
        replaced=st.lists(st.sampled_from(TABLES), max_size=2),
        later=st.lists(st.sampled_from(TABLES), max_size=4),
    )
    def begin(
        self,
        offset: float,
        lag: float,
        creating_for: float,
        backups: list[tuple[str, str, float]],
        replaced: list[str],
        later: list[str],
    ) -> None:
        """Set the clocks, AWS's may be off the worker's; make tables and backups, and make some tables again."""
        self.plane.clock_offset, self.plane.listing_lag = offset, lag
        self.plane.creating_for = creating_for
        self.made: dict[str, Made] = {}
        #: when a backup was first seen to be gone
        self.gone: dict[str, float] = {}
        self.born: dict[str, float] = {}
        self.table_ids: dict[str, int] = {}
        self.dropped = 0
        self.tags: dict[str, bool] = {}
        self.tries: list[Try] = []
        for table in TABLES:
            self.make_again(table)
        self.clock.sleep(300_000)
        for table, name, age in backups:
            self.create(table, name, age, 1)
        for table in replaced:
            self.replace(table)
        for table in later:
            self.create(table, "nightly-2", 0.0, 1)
            self.clock.sleep(30)

    # What others do.

    def do(self, acts: Acts) -> None:
        """Do some things, one after another; a prune does not begin another round by the time that they take."""
        began = self.clock.time()
        for name, *arguments in acts:
            getattr(self, name)(*arguments)
            self.note_gone()
        for one in self.tries:
            one.quiet = False
            one.asked_at += self.clock.time() - began

    def create(self, table: str, name: str, age: float, number: int, kind: str = "USER") -> None:
        """Back a table up, or have backed it up some time ago; beside a prune there is no past to change."""
        longest = 0.0 if self.tries else self.clock.time() - self.born.get(table, self.clock.time())
        for turn in range(number if table in self.table_ids else 0):
            ago = max(0.0, min(age, longest) - turn)
            (arn,) = self.plane.add_backups(table, 1, name, kind, ago)
            self.note(arn, name, table, self.clock.time() - ago, kind)

    def note(self, arn: str, name: str, table: str, at: float, kind: str = "USER") -> None:
        """Keep what nobody else knows of a backup."""
        self.made[arn] = Made(arn, name, table, self.table_ids[table], kind, at)

    def note_gone(self) -> None:
        """Keep when backups have gone."""
        for arn in self.made.keys() - self.plane.backup_arns():
            self.gone.setdefault(arn, self.clock.time())

    def create_in_vain(self, table: str, name: str) -> None:
        """Begin a backup that never becomes AVAILABLE."""
        self.create(table, name, 0.0, 1)
        if table in self.table_ids:
            arn = next(reversed(self.made))
            self.made[arn].good = False
            self.plane.statuses[arn] = "CREATING"

    def delete_by_hand(self, table: str, newest: int) -> None:
        """Delete one of a table's newest good backups."""
        good = sorted((one for one in self.good() if one.table == table), key=lambda one: one.order)
        if len(good) > newest and good[-1 - newest].arn not in self.plane.restoring:
            self.plane.lose_backup(good[-1 - newest].arn)

    def drop(self, table: str) -> None:
        """Drop a table; its backups stay."""
        if table in self.table_ids:
            before = set(self.plane.backup_arns())
            self.plane.switch_recovery(table)
            self.plane.drop_table(table)
            for arn in set(self.plane.backup_arns()) - before:
                self.note(arn, f"{table}$DeletedTableBackup", table, self.clock.time(), "SYSTEM")
            del self.table_ids[table]
            self.tags[table] = False

    def make_again(self, table: str) -> None:
        """Make a table, with another ID than any before."""
        if table not in self.table_ids:
            self.plane.create_table(table)
            self.born[table] = self.clock.time()
            self.dropped += 1
            self.table_ids[table] = self.dropped
            for one in self.tries:
                one.table_ids.setdefault(table, set()).add(self.dropped)

    def replace(self, table: str) -> None:
        """Drop a table, and make it again."""
        self.drop(table)
        self.clock.sleep(1)
        self.make_again(table)

    def tag(self, table: str, on: bool) -> None:
        """Give a table the tag that prunes select by, or take it; GetResources lists it for a while."""
        if table in self.table_ids and self.tags.get(table, False) != on:
            arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}"
            self.plane.ghosts[arn] = TAG
            change = {"Tags": [{"Key": "backup", "Value": "yes"}]} if on else {"TagKeys": ["backup"]}
            self.plane.ask("TagResource" if on else "UntagResource", ResourceArn=arn, **change)
            self.tags[table] = on

    def has_tag(self, table: str) -> bool:
        """Return whether a table, by name or ARN, has the tag."""
        return self.tags.get(table.rpartition("/")[2], False)

    def restore(self, number: int, begin: bool) -> None:
        """Begin to restore a backup, or end all restores."""
        if not begin:
            self.plane.restoring.clear()
        elif good := self.good():
            self.plane.restoring.add(good[number % len(good)].arn)

    def wait(self, seconds: float) -> None:
        """Let the time pass."""
        self.clock.sleep(seconds)

    def fail(self, operation: str, fault: Fault) -> None:
        """Let the next call of an operation go wrong."""
        self.plane.fail_next(operation, fault)

    # Prunes.

    @rule(
        before=st.lists(ACTS, max_size=3),
        task=TASKS,
        killed_at=st.one_of(st.just(0), st.just(0), st.integers(1, 20)),
        after=st.booleans(),
        between=st.dictionaries(
            st.integers(1, 3) | st.integers(1, 16), st.lists(ACTS, min_size=1, max_size=2), max_size=3
        ),
        other=st.one_of(st.none(), st.none(), st.none(), st.tuples(st.integers(1, 16), TASKS)),
    )
    def prune(
        self,
        before: Acts,
        task: Task,
        killed_at: int,
        after: bool,
        between: dict[int, Acts],
        other: tuple[int, Task] | None,
    ) -> None:
        """Run a prune; others act before and between its calls, perhaps another prune; its worker may be killed."""
        self.do(before)
        acts: dict[int, Callable[[], object]] = {number: partial(self.do, some) for number, some in between.items()}
        if other:
            acts[other[0]] = partial(self.do, [("prune_beside", other[1])])
        self.try_once(task, Script(killed_at, after, acts))
        self.plane.clear_faults()
        self.clock.sleep(30)

    def prune_beside(self, task: Task) -> None:
        """Run another prune between two calls of one."""
        self.try_once(task, Script())

    def try_once(self, task: Task, script: Script) -> None:
        """Run one try of a prune, and hold it to what it may do and say."""
        one = Try(task, self.clock.time(), {name: {known} for name, known in self.table_ids.items()})
        # GetResources lists a table that has lost its tag.
        lags = self.plane.listing_lag or (
            task.tagged and any(arn for arn in self.plane.ghosts if not self.has_tag(arn))
        )
        one.quiet = not (lags or self.plane.has_faults)
        candidates = self.candidates(task)
        self.tries.append(one)
        script.sees, script.ended = partial(self.sees, one), partial(self.ended, one)
        self.note_gone()
        # A listing that is behind shows what was deleted just before, and so "deleted" has what was deleted already.
        there = set(self.plane.backup_arns())
        there |= {arn for arn, at in self.gone.items() if one.began - at < self.plane.listing_lag}
        ti = FakeTaskInstance(task_id="prune")
        error: BaseException | None = None
        report: dict[str, Any] | None = None
        try:
            with self.wire.play(script):
                report = task.operator().execute(context_of(ti))
        except (BackupError, AirflowSkipException, KilledError) as failure:
            error, report = failure, ti.xcoms.get("report")
        finally:
            self.tries.remove(one)
            self.note_gone()
        assert self.clock.time() - one.began < 1800 + 60 or not one.quiet, "it outlives its timeout"
        if report is not None:
            self.check_report(one, report, error, there)
        if isinstance(error, TooManyDeletionsError):
            assert not one.deleted, "a refused plan has deleted"
        if one.quiet and isinstance(error, BackupError) and not isinstance(error, TooManyDeletionsError):
            named = [name for name in task.table_names if "*" not in name]
            assert not self.table_ids.keys() >= set(named), f"it fails for no reason: {error}"
        if one.quiet and error is None and not task.plan_only and report is not None:
            self.check_policy(one, candidates, report)

    def sees(self, one: Try, operation: str, body: bytes) -> None:
        """Take in a call of a try, just before it is sent."""
        now = self.clock.time()
        if now - one.asked_at >= _ROUND:
            one.looked = None
        request = json.loads(body)
        if operation == "ListTagsOfResource":
            table = request["ResourceArn"].rpartition("/")[2]
            one.tags[table] = self.has_tag(table)
        elif operation in {"DescribeBackup", "DeleteBackup"}:
            made = self.made[request["BackupArn"]]
            if operation == "DescribeBackup" and (one.looked is None or one.looked[0] != made.table_id):
                good = [other for other in self.good() if other.table_id == made.table_id and one.task.counts(other)]
                one.looked = made.table_id, good
            elif operation == "DeleteBackup":
                self.check_deletion(one, made)
                # What has no effect, or an unknown one, is told by what is there at the end.
                one.deleted.append(made.arn)

    def ended(self, one: Try) -> None:
        """Take in that a call of a try has ended, which may have taken long: that is no pause between rounds."""
        one.asked_at = self.clock.time()

    def check_deletion(self, one: Try, made: Made) -> None:
        """Hold that a prune deletes nothing but what it was written to delete, and no last good backup."""
        task, exists = one.task, made.arn in self.plane.backup_arns()
        assert not task.plan_only, "a plan deletes"
        assert task.counts(made), "a backup of another prefix, kind or name"
        assert task.selects(made.table), "a backup of a table that is not selected"
        assert not exists or made in self.good(), "a backup that is not AVAILABLE"
        assert made.at < one.began, "a backup that is younger than the task"
        if task.older_than:
            assert made.at < one.began - task.older_than.total_seconds() + 2, "a backup that is too young"
        if not task.about_dropped:
            assert made.table_id in one.table_ids.get(made.table, ()), "a backup of an earlier table"
        if task.tagged:
            assert one.tags.get(made.table), "a backup of a table that lacks the tags"
        if task.minimum_redundancy:
            assert one.looked, "nobody has looked at the last good backups"
            assert one.looked[0] == made.table_id, "the last good backups of another table"
            newer = [other for other in one.looked[1] if other.order > made.order]
            assert len(newer) >= task.minimum_redundancy, "one of the last good backups"

    def check_report(self, one: Try, report: dict[str, Any], error: BaseException | None, there: set[str]) -> None:
        """Hold that a report tells the truth about what is deleted."""
        left = set(self.plane.backup_arns())
        deleted, failed, in_use = set(report["deleted"]), set(report["failed"]), set(report["in_use"])
        assert deleted <= there, "deleted, but it was gone before"
        if one.task.plan_only:
            assert not one.deleted
        else:
            assert not deleted & left, "deleted, but it is there"
            gone = {arn for arn in one.deleted if arn not in left}
            assert gone <= deleted | failed | in_use, "deleted, and not reported"
        assert not deleted & failed
        assert not deleted & in_use
        assert (report["error"] is None) == (error is None)
        assert error or not failed, "failed, and the task has not"

    def candidates(self, task: Task) -> list[Made]:
        """Return the good backups that a prune is about."""
        return [
            made
            for made in self.good()
            if made.name.startswith(task.backup_name_prefix)
            and made.kind == "USER"
            and task.selects(made.table)
            and (not task.tagged or self.tags.get(made.table))
            and (task.about_dropped or self.table_ids.get(made.table) == made.table_id)
        ]

    def check_policy(self, one: Try, candidates: Sequence[Made], report: dict[str, Any]) -> None:
        """Hold that a prune that nobody disturbs keeps what its words say, and nothing else but what is in use."""
        by_id: defaultdict[int, list[Made]] = defaultdict(list)
        for made in candidates:
            by_id[made.table_id].append(made)
        offset = self.plane.clock_offset
        # AWS tells its time in whole seconds: what is less than one older than "older_than" may be kept.
        kept, perhaps = (
            {made.arn for group in by_id.values() for made in promised(one.task, group, one.began, offset, doubt)}
            for doubt in (0.0, 1.0)
        )
        told = set(report["deleted"]) | set(report["in_use"])
        everything = {made.arn for made in candidates}
        assert everything - perhaps <= told <= everything - kept
        assert report["kept"] == len(everything - told)

    def good(self) -> list[Made]:
        """Return the AVAILABLE backups that there are."""
        there, now = set(self.plane.backup_arns()), self.clock.time()
        return [
            made
            for arn, made in self.made.items()
            if arn in there and made.good and now - made.at >= self.plane.creating_for
        ]


def promised(task: Task, group: Sequence[Made], began: float, offset: float, doubt: float) -> set[Made]:
    """Return what the policy's words promise to keep of the good backups of one very table.

    :param doubt: seconds that a backup may be older than ``older_than`` and kept
    """
    counted = sorted((made for made in group if task.counts(made)), key=lambda made: made.order, reverse=True)
    kept = {made for made in group if not task.counts(made)}
    kept |= set(counted[: max(task.minimum_redundancy, task.last)])
    days: dict[str, Made] = {}
    for made in counted:
        days.setdefault(f"{datetime.fromtimestamp(made.at + offset, UTC):%Y-%m-%d}", made)
    kept |= set(list(days.values())[: task.keep_daily])
    if task.older_than:
        kept |= {made for made in counted if made.at >= began - task.older_than.total_seconds() - doubt}
    return kept | {made for made in counted if made.at >= began}


@pytest.mark.load
@pytest.mark.timeout(TIMEOUT)
def test_prunes(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last good backups stay, nothing of others is deleted, and a report tells what is."""
    # Small pages: there are as many with fewer backups.
    monkeypatch.setattr("tests.simulator.rules.PAGE", 4)
    search.run(Prunes, histories=25, steps=8)
