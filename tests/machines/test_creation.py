"""One backup per run, for every history that hypothesis can think of, over the simulated control plane.

A model beside the control plane keeps what nobody but the test knows: which run made which backup, when in true time,
and of which table. Clocks of scheduler and worker may be up to five minutes off AWS's, listings may be behind, answers
are lost before and after the commit, runs overlap, are cleared, deleted and made again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from logging import Handler, getLogger
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, precondition, rule

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.creation.find_or_create import find_or_create
from airflow_ddb_backup.creation.matching import Run, TableBackup
from airflow_ddb_backup.creation.names import derive_backup_name
from airflow_ddb_backup.creation.request import BackupRequest
from airflow_ddb_backup.exceptions import BackupError, ErrorContext
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.limits import SCHEDULER_CLOCK_TOLERANCE
from tests.machines.support import TIMEOUT, Machine
from tests.simulator.faults import (
    DROPPED_AFTER_COMMIT,
    DROPPED_BEFORE_COMMIT,
    EMPTY_RESPONSE_AFTER_COMMIT,
    INTERNAL_ERROR,
    INTERNAL_ERROR_AFTER_COMMIT,
    THROTTLED,
    Fault,
)

if TYPE_CHECKING:
    from tests.machines.support import Search

GIVEN = "ledger-nightly"
FAULTS = [
    DROPPED_AFTER_COMMIT,
    DROPPED_BEFORE_COMMIT,
    EMPTY_RESPONSE_AFTER_COMMIT,
    INTERNAL_ERROR,
    INTERNAL_ERROR_AFTER_COMMIT,
    THROTTLED,
]


@dataclass(eq=False)
class ModelRun:
    """A DAG run as the test knows it; times are true ones, in Unix seconds.

    :param run_id: its ID; a run that is made again has the ID of the deleted one
    :param derived: whether its backup's name is derived
    :param due: when it was due
    :param created: when it came to be, which is not before it was due unless by hand
    :param namespace: its Airflow's
    :param made: the backups that its tries have made
    :param first: what the first try has returned, by the run's start, the table and ``reuse_within``
    """

    run_id: str
    derived: bool
    due: float
    created: float
    started: float
    tries: int = 0
    clears: int = 0
    namespace: str = ""
    finished: bool = False
    made: list[str] = field(default_factory=list)
    first: dict[Any, str] = field(default_factory=dict)


class Fate(Enum):
    """How a try ends."""

    ENDS = "by itself"
    KILLED_BEFORE_THE_CALL = "killed before it creates"
    KILLED_AFTER_THE_COMMIT = "killed after it has created"


@dataclass(frozen=True)
class Try:
    """One try of a task.

    :param fate: how it ends
    :param faults: what its calls of CreateBackup meet
    :param orphan: the try before goes on beside it
    :param reuse_within: what the task says
    :param pause: seconds since the try before
    """

    fate: Fate
    faults: tuple[Fault, ...]
    orphan: bool
    reuse_within: timedelta | None
    pause: float


PLAIN = Try(Fate.ENDS, (), orphan=False, reuse_within=None, pause=1.0)
RESTING = replace(PLAIN, reuse_within=timedelta(hours=1))
Tries = list[Try]
# Most tries end by themselves; the faults, kills and orphans have files of their own.
TRIES = st.lists(
    st.builds(
        Try,
        st.sampled_from([Fate.ENDS, Fate.ENDS, *Fate]),
        st.lists(st.sampled_from(FAULTS), max_size=2).map(tuple),
        st.booleans(),
        st.sampled_from([None, None, timedelta(hours=1)]),
        st.sampled_from([1.0, 30.0, 300.0, 86400.0]),
    ),
    min_size=1,
    max_size=3,
)


class Warnings(Handler):
    """Keeps what was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: Any) -> None:
        """Keep a line."""
        self.text += record.getMessage() + "\n"


class Creations(Machine):
    """Runs, their tries, and everything that happens to them."""

    runs = Bundle("runs")

    @initialize(
        worker=st.sampled_from([0, -300, 300, 7]), scheduler=st.sampled_from([0, 0, 5, -5]), lag=st.sampled_from([0, 8])
    )
    def begin(self, worker: float, scheduler: float, lag: float) -> None:
        """Set the clocks: AWS's is the true one; the worker's is the test's own."""
        self.plane.clock_offset = worker
        self.plane.listing_lag = lag
        self.plane.requested_before = 1.5
        self.plane.create_table("orders")
        self.scheduler = scheduler
        self.clock.sleep(100)
        self.made: dict[str, tuple[ModelRun | None, float, int]] = {}
        self.tables = 0
        self.ids = 0
        self.known = set(self.plane.backup_arns())
        self.log = getLogger("histories")
        self.warnings = Warnings()
        self.log.handlers = [self.warnings]

    def now(self) -> float:
        """Return the true time."""
        return self.plane.now()

    def scheduled(self, seconds: float) -> datetime:
        """Return a time as the scheduler's clock has it."""
        return datetime.fromtimestamp(seconds + self.scheduler, tz=UTC)

    @rule(target=runs, derived=st.booleans(), late=st.sampled_from([0.0, 90 * 86400.0, -3600.0]), tries=TRIES)
    def start_run(self, derived: bool, late: float, tries: Tries) -> ModelRun:
        """Start a run of today, a backfilled one, or one ahead of its time."""
        return self.new_run(derived, tries, late)

    @rule(target=runs, run=runs, tries=TRIES)
    def delete_and_make_again(self, run: ModelRun, tries: Tries) -> ModelRun:
        """Under the same ID and due date; its backups stay."""
        run.finished = True
        self.clock.sleep(30)
        return self.begun(ModelRun(run.run_id, run.derived, run.due, self.now(), self.now()), tries)

    @rule(target=runs, run=runs, tries=TRIES)
    def run_in_another_airflow(self, run: ModelRun, tries: Tries) -> ModelRun:
        """On the same account, with the same IDs."""
        other = "" if run.namespace else "green"
        return self.begun(ModelRun(run.run_id, run.derived, run.due, self.now(), self.now(), namespace=other), tries)

    @rule(target=runs, tries=TRIES)
    def start_back_to_back(self, tries: Tries) -> ModelRun:
        """One ends when its backup is made, the next begins: catch-up with one run at a time, under a given name."""
        self.new_run(derived=False, tries=[PLAIN]).finished = True
        self.clock.sleep(2)
        return self.new_run(derived=False, tries=tries)

    @rule(target=runs, derived=st.booleans(), tries=TRIES)
    def clear_while_it_goes_on(self, derived: bool, tries: Tries) -> ModelRun:
        """Rest on another's backup; before Airflow 3.2 only the next try tells that it was cleared."""
        self.someone_else_backs_up("other", 3)
        run = self.new_run(derived=derived, tries=[RESTING])
        self.someone_else_backs_up("other", 3)
        return self.begun(run, [RESTING, *tries])

    @rule(run=runs, finished=st.booleans(), counted=st.booleans(), tries=TRIES)
    def clear(self, run: ModelRun, finished: bool, counted: bool, tries: Tries) -> None:
        """Clear the task, or another one of its run; a run that had finished starts again.

        Before Airflow 3.2 ``clear_number`` does not count a task that is cleared while its run goes on.
        """
        finished = finished or run.finished
        run.clears += counted or finished
        if finished:
            run.started, run.finished = self.now(), False
        self.begun(run, tries)

    @rule(name=st.sampled_from([GIVEN, "other"]), seconds=st.sampled_from([3, 60]))
    def someone_else_backs_up(self, name: str, seconds: float) -> None:
        """By hand, or by a script; AWS's clock is known to a second."""
        self.plane.ask("CreateBackup", TableName="orders", BackupName=name)
        self.note(None)
        self.clock.sleep(seconds)

    @rule()
    @precondition(lambda self: self.tables < 2)
    def drop_and_make_the_table_again(self) -> None:
        """Backups outlive it."""
        self.tables += 1
        self.clock.sleep(20)
        self.plane.drop_table("orders")
        self.clock.sleep(20)
        self.plane.create_table("orders")
        self.clock.sleep(20)

    def new_run(self, derived: bool, tries: Tries, late: float = 0.0) -> ModelRun:
        """Start a run of an ID of its own."""
        self.ids += 1
        return self.begun(ModelRun(f"run-{self.ids}", derived, self.now() - late, self.now(), self.now()), tries)

    def begun(self, run: ModelRun, tries: Tries) -> ModelRun:
        """Run one try of the run after another."""
        for attempt in tries:
            if run.tries:
                self.clock.sleep(attempt.pause)
            run.tries += 1
            if attempt.fate is Fate.ENDS:
                self.try_once(run, attempt.faults, attempt.orphan, attempt.reuse_within)
            elif attempt.fate is Fate.KILLED_AFTER_THE_COMMIT:
                self.orphan_creates(run)
            # AWS's clock is known to a second.
            self.clock.sleep(3)
        return run

    def try_once(self, run: ModelRun, faults: tuple[Fault, ...], orphan: bool, reuse_within: timedelta | None) -> None:
        """Run one try; an orphan of the try before may create beside it."""
        self.plane.clear_faults()
        for fault in faults:
            self.plane.fail_next("CreateBackup", fault)
        if orphan and run.tries > 1:
            self.plane.before("CreateBackup", lambda: self.orphan_creates(run))
        self.warnings.text = ""
        searching = run.tries > 1 or (run.derived and run.clears > 0)
        self.plane.calls.clear()
        try:
            backup = find_or_create(DynamoDBBackupHook(), self.request(run, reuse_within), self.log)
        except BackupError:
            self.note(run)
            return
        finally:
            self.plane.before("CreateBackup", lambda: None)
        self.note(run)
        self.check(run, backup.arn.text, reuse_within)
        if not searching and not faults and reuse_within is None:
            assert self.plane.calls["ListBackups"] == 0

    def name_of(self, run: ModelRun) -> str:
        """Return the name of a run's backup."""
        return derive_backup_name(run.namespace, "shop", "back_up", run.run_id) if run.derived else GIVEN

    def orphan_creates(self, run: ModelRun) -> None:
        """Let the try before go on beside its retry."""
        self.plane.ask("CreateBackup", TableName="orders", BackupName=self.name_of(run))
        self.note(run)
        self.clock.sleep(1)

    def request(self, run: ModelRun, reuse_within: timedelta | None) -> TableBackup:
        """Return what the operator would ask for."""
        name = self.name_of(run)
        return TableBackup(
            BackupRequest("orders", None if run.derived else name, reuse_within=reuse_within),
            name,
            Run(self.scheduled(run.due), self.scheduled(run.started), run.tries, run.clears),
            ErrorContext("orders", name, "us-east-1"),
            Deadline.after(1800),
        )

    def note(self, run: ModelRun | None) -> None:
        """Take in which backups are new, and whose."""
        for arn in self.plane.backup_arns():
            if arn not in self.known:
                self.known.add(arn)
                self.made[arn] = run, self.now(), self.tables
                if run:
                    run.made.append(arn)

    def check(self, run: ModelRun, arn: str, reuse_within: timedelta | None) -> None:
        """Hold the promises."""
        maker, made_at, table = self.made[arn]
        assert table == self.tables, "a backup of an earlier table"
        if maker is run:
            self.check_twins(run, arn)
            return
        tolerance = SCHEDULER_CLOCK_TOLERANCE.total_seconds() + abs(self.scheduler) + 2
        # A deleted run of its ID can't be told from it.
        is_twin = run.derived and maker and (maker.namespace, maker.run_id) == (run.namespace, run.run_id)
        if reuse_within and made_at >= run.started - reuse_within.total_seconds() - tolerance:
            # By a scheduler's clock that is behind, another's of a given name counts as the run's own.
            if not is_twin and (run.derived or made_at < run.started + self.scheduler - 0.1):
                self.check_later_try(run, arn, (run.started, table, reuse_within))
            return
        assert is_twin or not reuse_within, "too old to be reused"
        assert made_at >= run.due - tolerance or made_at >= run.started - tolerance, "made before the run was due"
        if run.derived:
            assert is_twin, "another run's under a derived name"
            assert run.clears or run.tries > 1, "a deleted run's, on a first try"
        else:
            assert run.tries > 1, "another run's, on a first try"
            assert made_at >= run.started + self.scheduler - 0.1, "another run's, made while this one was not running"

    def check_later_try(self, run: ModelRun, arn: str, reused: Any) -> None:
        """Hold that a task cleared while its run goes on takes none that is newer than what its first try took."""
        if not run.made:
            first = run.first.setdefault(reused, arn)
            assert self.made[arn][1] <= self.made[first][1], "newer than what the run has rested on"

    def check_twins(self, run: ModelRun, arn: str) -> None:
        """Two backups of one run under a derived name are told."""
        # One made ahead of its time is not known any more once clearing has set the start anew.
        since = min(run.due, run.started)
        mine = [one for one in run.made if self.made[one][1] >= since and self.made[one][2] == self.tables]
        if run.derived and len(mine) > 1 and run.tries > 1 and not self.plane.listing_lag:
            named = re.findall(r"arn:\S+?backup/[\w-]+", self.warnings.text)
            assert arn == min(mine), "not the oldest"
            assert arn in named, "twins without a warning"
            assert len(set(named) & set(mine)) > 1, "a warning that does not name both"


@pytest.mark.load
@pytest.mark.timeout(TIMEOUT)
def test_creations(search: Search) -> None:
    """No run takes another's backup unless both were running, one of an earlier table, or one from before its time."""
    search.run(Creations, histories=15, steps=10)
