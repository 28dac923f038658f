"""Restores of backups and to points in time, and drills: one table for a run, no other dropped, no setting lost.

Tries are killed between any two calls, responses are lost, calls fail; tasks are retried and cleared. Meanwhile others
make tables of the same names, restore, drop and replace tables, delete backups, and change the source.

Whose a table is, the simulated control plane tells: a table's ID is noted when a call of a try has made it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, rule

from airflow_ddb_backup.exceptions import BackupError, PermanentError
from airflow_ddb_backup.waiting.awaiting import wait_on_worker
from tests.machines.support import LOST, TIMEOUT, KilledError, Machine, Script
from tests.simulator import faults
from tests.simulator.faults import Fault
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.restoring.drills import SCRATCH, drill_operator
from tests.unit.restoring.support import ARN, BY_ARN, LATEST, REQUESTS, SHOP, operator, to_point_in_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.machines.support import Search
    from tests.simulator.control_plane import ControlPlane

HOUR = 3600.0
TARGETS = ("target-0", "target-1")
# The settings that the source may have, and those that only its backups hold once it is gone.
SETTINGS = ("tags", "table_class", "point_in_time_recovery", "deletion_protection", "ttl", "stream", "resource_policy")
HELD = ("ttl", "stream")
OPERATIONS = {
    "tags": "TagResource",
    "resource_policy": "PutResourcePolicy",
    "table_class": "UpdateTable",
    "deletion_protection": "UpdateTable",
    "stream": "UpdateTable",
    "point_in_time_recovery": "UpdateContinuousBackups",
    "ttl": "UpdateTimeToLive",
}
DENIED = Fault(code="AccessDeniedException")
FAULTS = {
    "RestoreTableFromBackup": (*LOST, Fault(code="LimitExceededException")),
    "RestoreTableToPointInTime": LOST,
    "DeleteTable": (*LOST, DENIED, Fault(code="ResourceInUseException")),
    "DescribeTable": (faults.INTERNAL_ERROR, faults.THROTTLED, Fault(code="ResourceNotFoundException"), DENIED),
    "DescribeBackup": (faults.INTERNAL_ERROR, Fault(code="BackupNotFoundException")),
    "ListBackups": (faults.INTERNAL_ERROR, faults.THROTTLED),
    "ListTables": (faults.INTERNAL_ERROR, DENIED),
    "Scan": (faults.INTERNAL_ERROR, faults.THROTTLED, DENIED),
    "ListTagsOfResource": (faults.INTERNAL_ERROR, faults.THROTTLED, DENIED),
    "DescribeContinuousBackups": (faults.INTERNAL_ERROR,),
    "DescribeTimeToLive": (faults.INTERNAL_ERROR,),
    "GetResourcePolicy": (faults.INTERNAL_ERROR, DENIED),
    **dict.fromkeys(OPERATIONS.values(), (*LOST, DENIED)),
}


@dataclass(frozen=True)
class Task:
    """What a task restores, and how.

    :param kind: from what: ``backup``, ``moment``, ``latest``, or ``drill``
    :param number: which backup
    :param target: the new table's name
    :param if_exists: as the operator has it
    :param settings: those that are put back
    :param deferrable: where it waits
    :param keep_on_failure: as the drill has it
    """

    kind: str
    number: int
    target: str
    if_exists: str
    settings: tuple[str, ...]
    deferrable: bool
    keep_on_failure: bool


@dataclass(eq=False)
class ModelRun:
    """A DAG run as the test knows it; times are true ones, in Unix seconds.

    :param task: what its task does
    :param run_id: its ID
    :param origin: the backup's ARN or the time; of a drill, nothing
    :param due: when it was due
    :param started: when it was started, or cleared after it had finished
    :param made: the IDs of the tables that its calls have made
    :param earlier: those of them that are from before it was started again, and no longer its own
    """

    task: Task
    run_id: str
    origin: str
    due: float
    started: float
    tries: int = 0
    clears: int = 0
    made: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Try:
    """One try, and what it has seen.

    :param run: its run
    :param began: when it began
    :param made: the IDs of the tables that its calls have made
    :param source: the ID of the source that it began with, and the settings that it had
    :param before: the call before, with the ID of the table that it was about
    :param alone: nobody else did anything meanwhile
    :param faultless: no call has gone wrong, as far as it was to
    """

    run: ModelRun
    began: float
    source: tuple[str | None, frozenset[str]]
    made: list[str] = field(default_factory=list)
    before: tuple[str, str, str | None] = ("", "", None)
    alone: bool = True
    faultless: bool = True


ACTS = st.one_of(
    st.tuples(st.just("give"), st.sampled_from(SETTINGS)),
    st.tuples(st.just("back_up"), st.sampled_from([0.0, HOUR])),
    st.tuples(st.just("delete_backup"), st.integers(0, 3)),
    st.tuples(st.just("make_target"), st.sampled_from(["", *TARGETS])),
    st.tuples(st.just("restore_target"), st.sampled_from(["", *TARGETS]), st.integers(0, 3)),
    st.tuples(st.just("drop_target"), st.sampled_from(["", *TARGETS])),
    st.tuples(st.just("replace_target"), st.integers(0, 3)),
    st.tuples(st.just("drop_source")),
    st.tuples(st.just("make_source")),
    st.tuples(st.just("wait"), st.sampled_from([5.0, 100.0, 400.0])),
    st.sampled_from(sorted(FAULTS)).flatmap(
        lambda operation: st.tuples(st.just("fail"), st.just(operation), st.sampled_from(FAULTS[operation]))
    ),
)
Acts = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Fate:
    """What happens to a try.

    :param killed_at: the number of the call at which it is killed; 0: at none
    :param after: it is killed after that call, and not before
    :param killed_while_it_waits: it is killed then
    :param between: what others do, by the number of the call that follows
    """

    killed_at: int
    after: bool
    killed_while_it_waits: bool
    between: dict[int, Acts]


FATES = st.builds(
    Fate,
    killed_at=st.one_of(st.just(0), st.integers(1, 30)),
    after=st.booleans(),
    killed_while_it_waits=st.sampled_from([False, False, True]),
    between=st.dictionaries(st.integers(1, 24), st.lists(ACTS, min_size=1, max_size=2), max_size=3),
)
GOOD = Fate(0, after=False, killed_while_it_waits=False, between={})
TASKS = st.builds(
    Task,
    kind=st.sampled_from(["backup", "moment", "latest", "drill", "drill"]),
    number=st.integers(0, 3),
    target=st.sampled_from(TARGETS),
    if_exists=st.sampled_from(["reuse", "reuse", "fail"]),
    settings=st.lists(st.sampled_from(SETTINGS), unique=True).map(tuple),
    deferrable=st.sampled_from([False, False, True]),
    keep_on_failure=st.sampled_from([False, False, True]),
)


class Restores(Machine):
    """Runs that restore, their tries, and everything that happens to them."""

    loop_factory: ClassVar[Any]
    runs = Bundle("runs")

    @initialize(offset=st.sampled_from([0.0, 200.0, -200.0]), young=st.sampled_from([0.0, 40.0]))
    def begin(self, offset: float, young: float) -> None:
        """Make the source, with continuous backups that reach back for an hour."""
        plane = self.plane
        plane.clock_offset, plane.backups_enabled_after = offset, 0.0
        plane.restoring_for, plane.dropping_for, plane.updating_for = 200.0, 20.0, 5.0
        plane.on_restore = self.note_restore
        self.source_was_dropped = False
        self.like_drills: set[str] = set()
        self.had: dict[str, frozenset[str]] = {}
        self.on: set[str] = set()
        self.current: Try | None = None
        self.ids = 0
        self.all_runs: list[ModelRun] = []
        self.scratch: dict[str, ModelRun] = {}
        self.make_source()
        self.clock.sleep(2 * HOUR)
        self.back_up(0.0)
        self.clock.sleep(100)
        plane.backups_enabled_after = young

    def now(self) -> float:
        """Return the time by AWS's clock."""
        return self.plane.now()

    # What others do.

    @rule(act=ACTS)
    def somebody_acts(self, act: tuple[Any, ...]) -> None:
        """Do something while no try goes on."""
        self.do([act])

    def do(self, acts: Acts) -> None:
        """Do some things, one after another."""
        for name, *arguments in acts:
            getattr(self, name)(*arguments)
            if self.current:
                self.current.alone &= name in {"fail", "wait"}
                self.current.faultless &= name != "fail"

    def give(self, name: str) -> None:
        """Give the source a setting."""
        if "source" in self.plane.table_ids() and name not in self.on:
            self.on.add(name)
            request = REQUESTS[name][1] | {"TableName": "source"} if name in REQUESTS else BY_ARN[name][1]
            where = {"ResourceArn": ARN} if name in BY_ARN else {}
            self.plane.ask(OPERATIONS[name], **request, **where)

    def back_up(self, age: float) -> None:
        """Back the source up."""
        if "source" in self.plane.table_ids():
            (arn,) = self.plane.add_backups("source", 1, age=age)
            self.had[arn] = frozenset(self.on)

    def delete_backup(self, number: int) -> None:
        """Delete a backup, but the first, from which the last drill is made."""
        arns = [arn for arn in self.plane.backup_arns() if arn in self.had]
        if len(arns) > 1:
            self.plane.lose_backup(arns[1 + number % (len(arns) - 1)])

    def make_target(self, name: str) -> None:
        """Make a table of the name that a try is about, or of another target's."""
        name = name or self.target_of_current()
        if name and name not in self.plane.table_ids():
            self.plane.create_table(name)

    def restore_target(self, name: str, number: int) -> None:
        """Restore a backup as a table of such a name."""
        name = name or self.target_of_current()
        arns = [arn for arn in self.plane.backup_arns() if arn in self.had]
        if name and name not in self.plane.table_ids() and arns:
            self.plane.ask("RestoreTableFromBackup", TargetTableName=name, BackupArn=arns[number % len(arns)])
            if name in self.scratch:
                # By its name and its source it is a drill's.
                self.like_drills.add(self.plane.table_ids()[name])

    def drop_target(self, name: str) -> None:
        """Drop a table of such a name."""
        name = name or self.target_of_current()
        if name in self.plane.table_ids():
            self.plane.drop_table(name)

    def replace_target(self, number: int) -> None:
        """Put another table in the place of the one that a try is about: somebody's, or one that they restore."""
        self.drop_target("")
        self.clock.sleep(1)
        if number:
            self.restore_target("", number - 1)
        else:
            self.make_target("")

    def target_of_current(self) -> str:
        """Return the name of the table that the try on its way is about, as far as it is known."""
        return self.target_of(self.current.run) if self.current else ""

    def target_of(self, run: ModelRun) -> str:
        """Return the name of the table that a run is about; of a drill that has made none, nothing."""
        drilled = {one.run_id: name for name, one in self.scratch.items()}
        return drilled.get(run.run_id, "") if run.task.kind == "drill" else run.task.target

    def drop_source(self) -> None:
        """Drop the source; its backups stay."""
        if "source" in self.plane.table_ids():
            self.plane.drop_table("source")
            self.on = set()
            self.source_was_dropped = True

    def make_source(self) -> None:
        """Make the source, with an item and continuous backups."""
        if "source" not in self.plane.table_ids():
            self.plane.create_table("source")
            self.plane.ask("PutItem", TableName="source", Item={"id": {"S": "1"}})
            self.plane.switch_recovery("source")
            self.on = {"point_in_time_recovery"}

    def wait(self, seconds: float) -> None:
        """Let the time pass."""
        self.clock.sleep(seconds)

    def fail(self, operation: str, fault: Fault) -> None:
        """Let the next call of an operation go wrong."""
        self.plane.fail_next(operation, fault)

    # Runs and their tries.

    @rule(target=runs, task=TASKS, fate=FATES)
    def start(self, task: Task, fate: Fate) -> ModelRun:
        """Start a run."""
        self.ids += 1
        arns = [arn for arn in self.plane.backup_arns() if arn in self.had]
        moment = datetime.fromtimestamp(self.now() - 1200, UTC).replace(microsecond=0).isoformat()
        origin = {"backup": arns[task.number % len(arns)], "moment": moment, "latest": LATEST, "drill": ""}[task.kind]
        run = ModelRun(task, f"run-{self.ids}", origin, self.now(), self.now())
        self.all_runs.append(run)
        self.try_once(run, fate)
        return run

    @rule(run=runs, fate=FATES, pause=st.sampled_from([1.0, 150.0, HOUR]))
    def retry(self, run: ModelRun, fate: Fate, pause: float) -> None:
        """Try a run again."""
        self.clock.sleep(pause)
        self.try_once(run, fate)

    @rule(run=runs, fate=FATES, finished=st.booleans())
    def clear(self, run: ModelRun, fate: Fate, finished: bool) -> None:
        """Clear a run's task; a run that had finished starts again."""
        self.clock.sleep(60)
        run.clears += 1
        if finished:
            run.started = self.now()
            # The latest time is another one then.
            run.earlier = [*run.made] if run.task.kind == "latest" else []
        self.try_once(run, fate)

    @rule(run=runs)
    def retry_undisturbed(self, run: ModelRun) -> None:
        """Try a run again, and let nothing happen to it: it succeeds, unless the account keeps it from that."""
        self.clock.sleep(300)
        self.plane.clear_faults()
        can_succeed = self.can_succeed(run)
        error = self.try_once(run, GOOD)
        assert error is None or not can_succeed, f"it fails for no reason: {error}"

    def can_succeed(self, run: ModelRun) -> bool:
        """Return whether a try that nobody disturbs has what it needs, and its table's name free or taken by itself."""
        name = self.target_of(run)
        present = self.plane.table_ids().get(name)
        is_own = present in run.made and present not in run.earlier
        is_free = present is None or (is_own and run.task.if_exists == "reuse")
        if run.task.kind == "backup" and present is None:
            return run.origin in self.plane.backup_arns()
        return is_free and (run.task.kind == "backup" or not self.source_was_dropped)

    def try_once(self, run: ModelRun, fate: Fate) -> BaseException | None:
        """Run one try, and hold it to what it may do and say; return how it has failed."""
        run.tries += 1
        this = Try(run, self.clock.time(), (self.plane.table_ids().get("source"), frozenset(self.on)))
        this.faultless = not self.plane.has_faults
        self.current = this
        between = {number: partial(self.do, acts) for number, acts in fate.between.items()}
        script = Script(fate.killed_at, fate.after, between, partial(self.sees, this))
        ti = FakeTaskInstance(
            task_id=run.task.kind,
            run_id=run.run_id,
            try_number=run.tries,
            run_after=datetime.fromtimestamp(run.due, UTC),
            started=datetime.fromtimestamp(run.started, UTC),
            clear_number=run.clears,
        )
        error: BaseException | None = None
        result: Any = None
        try:
            result = self.execute(run, ti, script, killed=fate.killed_while_it_waits)
        except (BackupError, AirflowSkipException, KilledError) as failure:
            error = failure
        self.current = None
        self.plane.clear_faults()
        self.clock.sleep(10)
        self.check_tables(run)
        if not isinstance(error, KilledError):
            (self.check_drill if run.task.kind == "drill" else self.check_restore)(this, ti, result, error)
        return error

    def execute(self, run: ModelRun, ti: FakeTaskInstance, script: Script, *, killed: bool) -> Any:
        """Run the task, through its deferral if it defers."""
        context = context_of(ti)

        def wait(*arguments: Any, **more: Any) -> Any:
            if killed:
                raise KilledError
            with self.wire.play(None):
                return wait_on_worker(*arguments, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_ddb_backup.operators.dynamodb.restore.wait_on_worker", wait)
            try:
                with self.wire.play(script):
                    return self.task_of(run).execute(context)
            except TaskDeferred as deferred:
                if killed:
                    raise KilledError from None
                event = self.event_of(deferred)
                with self.wire.play(script):
                    return self.task_of(run).resume_execution(deferred.method_name, {"event": event}, context)

    def event_of(self, deferred: TaskDeferred) -> dict[str, Any]:
        """Run the trigger of a deferral as a triggerer does, from what the database holds."""
        _, arguments = deferred.trigger.serialize()
        trigger = type(deferred.trigger)(**json.loads(json.dumps(arguments)))

        async def first() -> dict[str, Any]:
            async for event in trigger.run():
                return dict(json.loads(json.dumps(event.payload)))
            raise AssertionError

        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(first())

    def task_of(self, run: ModelRun) -> Any:
        """Return the task of a run, as a worker makes it of the DAG."""
        task = run.task
        if task.kind == "drill":
            return drill_operator(keep_on_failure=task.keep_on_failure, deferrable=task.deferrable)
        kind = operator if task.kind == "backup" else to_point_in_time
        more = {"target_table_name": task.target, "if_exists": task.if_exists, "settings": task.settings}
        return kind(run.origin, deferrable=task.deferrable, **more)

    # What is held.

    def note_restore(self, arn: str, port: int) -> None:
        """Take in which table a restore has made, and whose."""
        if self.current and port:
            name = arn.rpartition("/")[2]
            made = self.plane.table_ids()[name]
            self.current.made.append(made)
            self.current.run.made.append(made)
            if name.startswith(SCRATCH):
                self.scratch[name] = self.current.run

    def sees(self, this: Try, operation: str, body: bytes) -> None:
        """Take in a call of a try, just before it is sent."""
        name = json.loads(body).get("TableName", "") if body.startswith(b"{") else ""
        present = self.plane.table_ids().get(name)
        if operation == "DeleteTable":
            self.check_drop(this, name)
        this.before = operation, name, present

    def check_drop(self, this: Try, name: str) -> None:
        """Hold that only drills drop tables, and only those that they have made, read directly before."""
        run = this.run
        assert run.task.kind == "drill", "a restore drops a table"
        operation, described, table_id = this.before
        assert (operation, described) == ("DescribeTable", name), "dropped without a look"
        if table_id in self.like_drills:
            return
        owners = [one for one in self.all_runs if table_id is None or table_id in one.made]
        assert [one for one in owners if one.task.kind == "drill"], "another's table is dropped"
        assert run in owners or owners[0].started < self.now() - 6 * HOUR, "a drill's that may go on is dropped"

    def check_tables(self, run: ModelRun) -> None:
        """Hold that a run has one table at most."""
        there = set(self.plane.table_ids().values())
        assert len([made for made in run.made if made in there]) <= 1, "a second table for one run"

    def check_restore(self, this: Try, ti: FakeTaskInstance, result: Any, error: BaseException | None) -> None:
        """Hold that the returned table is the restored one, and has the settings that the task says it has."""
        run, target = this.run, this.run.task.target
        told: dict[str, str] = ti.xcoms.get("settings", {})
        if error is None:
            assert result == ARN.replace("source", target)
            assert told.keys() == set(run.task.settings), "a setting that nothing is said of"
            assert not [name for name, outcome in told.items() if outcome.startswith("failed")], "failed, and green"
            if this.alone:
                self.check_target(this)
        if not this.alone or target not in self.plane.table_ids():
            return
        source, had = this.source
        for name, outcome in told.items():
            was_on = name in had if source else False
            if name in HELD and run.task.kind == "backup":
                was_on = name in self.had[run.origin]
            if was_on and outcome in {"applied", "same", "begun"}:
                assert has(self.plane, target, name), f"{name} is lost, and is told as {outcome}"
            if was_on and source and not self.source_was_dropped and this.faultless:
                assert outcome != "unavailable", f"{name} can be read, and is told as {outcome}"

    def check_target(self, this: Try) -> None:
        """Hold that the returned table is complete, and this run's or of its origin."""
        run, target = this.run, this.run.task.target
        described = self.plane.ask("DescribeTable", TableName=target)["Table"]
        summary = described["RestoreSummary"]
        assert (described["TableStatus"], summary["RestoreInProgress"]) == ("ACTIVE", False), "not complete"
        if run.task.kind == "backup":
            assert summary["SourceBackupArn"] == run.origin, "another backup's"
        else:
            assert "SourceBackupArn" not in summary
            assert summary["SourceTableArn"] == ARN
            at = summary["RestoreDateTime"]
            assert run.origin == LATEST or at == datetime.fromisoformat(run.origin).timestamp(), "another time's"
        if run.task.if_exists == "fail":
            assert self.plane.table_ids()[target] in this.made, "not made by this try's own call"

    def check_drill(self, this: Try, ti: FakeTaskInstance, result: Any, error: BaseException | None) -> None:
        """Hold that a drill leaves no table of its own, or fails and names it."""
        run = this.run
        report = result if error is None else ti.xcoms.get("report", {})
        left = [name for name, table_id in self.plane.table_ids().items() if table_id in run.made]
        if error is None:
            assert report["verdict"] == "passed"
            assert report["items"] == 1, "it has counted what is not there"
            assert not left, "passed, and its table is there"
        elif left and isinstance(error, PermanentError):
            assert left[0] in str(error), "no retry, and its table is there and is not named"
            if this.alone and this.faultless:
                assert run.task.keep_on_failure, "no retry, and its table is there"
        if report and report["verdict"] == "passed":
            assert report["backup_arn"], "passed, and nothing was restored"

    def teardown(self) -> None:
        """Let time pass, and hold that a later drill leaves no table of the earlier ones."""
        try:
            if any(run.task.kind == "drill" for run in self.all_runs):
                self.check_left_overs()
        finally:
            super().teardown()

    def check_left_overs(self) -> None:
        """Hold that the next drill drops what killed ones have left."""
        self.plane.clear_faults()
        self.make_source()
        self.back_up(0.0)
        self.clock.sleep(9 * HOUR)
        last = ModelRun(
            Task("drill", 0, "", "reuse", (), deferrable=False, keep_on_failure=False),
            "last",
            "",
            self.now(),
            self.now(),
        )
        self.all_runs.append(last)
        self.try_once(last, GOOD)
        left = self.plane.table_ids()
        drilled = {made for run in self.all_runs if run.task.kind == "drill" for made in run.made}
        assert not [name for name, table_id in left.items() if table_id in drilled], "left over"


def has(plane: ControlPlane, table: str, name: str) -> bool:
    """Return whether a table has a setting, as AWS says."""
    arn = ARN.replace("source", table)
    described = plane.ask("DescribeTable", TableName=table)["Table"]
    tags = {tag["Key"]: tag["Value"] for tag in plane.ask("ListTagsOfResource", ResourceArn=arn)["Tags"]}
    ttl = plane.ask("DescribeTimeToLive", TableName=table)["TimeToLiveDescription"]
    backups = plane.ask("DescribeContinuousBackups", TableName=table)["ContinuousBackupsDescription"]
    shown: dict[str, bool] = {
        "tags": SHOP.items() <= tags.items(),
        "table_class": described.get("TableClassSummary", {}).get("TableClass") == "STANDARD_INFREQUENT_ACCESS",
        "deletion_protection": described["DeletionProtectionEnabled"] is True,
        "stream": described.get("StreamSpecification", {}).get("StreamViewType") == "NEW_IMAGE",
        "ttl": (ttl.get("TimeToLiveStatus"), ttl.get("AttributeName")) == ("ENABLED", "ends"),
        "point_in_time_recovery": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED",
        "resource_policy": name == "resource_policy" and bool(plane.ask("GetResourcePolicy", ResourceArn=arn)),
    }
    return shown[name]


@pytest.mark.load
@pytest.mark.timeout(TIMEOUT)
def test_restores(search: Search, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """One table for a run, a drill's own dropped and no other, and every setting is where the task says."""
    search.bases["loop_factory"] = staticmethod(loop_factory)
    search.run(Restores, histories=20, steps=8)
