"""Waits on a triggerer: everyone is told the truth, once and in bounded time, and within AWS's rates.

Triggers join and leave, are cancelled, and are serialized and made again as in a restart; backups become AVAILABLE,
are deleted or are gone, tables are restored or lost; calls fail, neighbours use up the rates, ListBackups is denied,
and the wall clock steps. The test knows since when the truth about each backup could be known, and until when something
stood in the way.
"""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from math import inf
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from airflow_ddb_backup.clock import Clock as PackageClock
from airflow_ddb_backup.limits import DESCRIBE_LAG, DOCUMENTED_RATES, FIRST_EVENT_AFTER, NOT_FOUND_LIMIT, SHARE
from airflow_ddb_backup.models import BackupArn, RestoreSource
from airflow_ddb_backup.triggers.dynamodb import (
    DynamoDBBackupsTrigger,
    DynamoDBBackupTrigger,
    DynamoDBRestoreTrigger,
)
from airflow_ddb_backup.waiting.awaiting import last_polls_limit
from airflow_ddb_backup.waiting.poller import BackupPoller
from airflow_ddb_backup.waiting.shared_client import SharedClient
from tests.machines.support import TIMEOUT, Machine
from tests.simulator import faults
from tests.simulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.machines.support import Search

DENIED = Fault(code="AccessDeniedException")
PASSING = (
    faults.INTERNAL_ERROR,
    faults.DROPPED_BEFORE_COMMIT,
    faults.HANGING_AFTER_COMMIT,
    faults.EMPTY_RESPONSE,
    faults.HTML_OF_A_PROXY,
    faults.THROTTLED,
    Fault(code="ExpiredTokenException"),
)
FAULTS = {"DescribeBackup": PASSING, "ListBackups": (*PASSING, DENIED), "DescribeTable": PASSING}
# Seconds in which a poll is made and answered, apart from its interval: where nothing has stood in the way, and after
# an outage, whose last backoffs of calls, of the client and of the rates take a while; and more for each wait.
_LATE, _LATE_AFTER_AN_OUTAGE, _EACH = 15.0, 75.0, 0.4
# Of a window, seconds.
_WINDOW = 20.0


@dataclass(eq=False)
class Thing:
    """A backup or a table that is waited for.

    :param arn: the backup's ARN, of a table the one of the backup that it is restored from
    :param table: the table's name; empty: it is a backup
    :param at: when it was made
    :param ends: how it has ended so far, and when, the earliest first: ``success`` or ``error``
    """

    arn: str
    table: str
    at: float
    ends: list[tuple[float, str]] = field(default_factory=list)


@dataclass(eq=False)
class Waiting:
    """A task that waits.

    :param things: for what
    :param trigger: what Airflow's database holds: the class and its arguments
    :param joined: when it began to wait, or was made again
    :param deadline: when its time is up, by the clock that is never set
    :param task: the trigger's run
    :param event: its payload, and when it came
    """

    things: list[Thing]
    trigger: tuple[type[Any], dict[str, Any]]
    joined: float
    deadline: float
    task: asyncio.Task[None] | None = None
    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    cancelled: bool = False


class Waits(Machine):
    """Triggers on one event loop, and everything that happens to them."""

    loop_factory: ClassVar[Any]
    patch: ClassVar[pytest.MonkeyPatch]

    @initialize(
        offset=st.sampled_from([0.0, 200.0, -200.0]),
        lag=st.sampled_from([0.0, 0.0, 8.0]),
        count=st.sampled_from([1, 3, 40]),
        many=st.booleans(),
    )
    def begin(self, offset: float, lag: float, count: int, many: bool) -> None:
        """Set the clocks, AWS's may be off the triggerer's, and listings be behind; let some tasks wait already."""
        self.plane.clock_offset, self.plane.listing_lag, self.plane.requested_before = offset, lag, 1.5
        self.plane.create_table("orders")
        self.plane.restoring_for = 9e9
        self.plane.after = self.note_call
        self.step = 0.0
        self.patch.setattr(PackageClock, "source", self.stepped())
        self.loop = self.loop_factory()
        self.things: list[Thing] = []
        self.waits: list[Waiting] = []
        #: when each call was made, by operation
        self.made_at: defaultdict[str, list[float]] = defaultdict(list)
        #: the number of its first call in whose window there may still be others
        self.open_since: defaultdict[str, int] = defaultdict(int)
        #: until when something has stood in the way
        self.disturbed_until = self.now()
        self.was_disturbed = False
        self.neighbours: set[str] = set()
        self.clock.sleep(1000)
        self.create(count, known=True)
        self.join(0, count, many, 5.0, 600.0)

    def stepped(self) -> Any:
        """Return the time as the triggerer has it: its wall clock may be set."""
        return SimpleNamespace(
            time=lambda: self.clock.time() + self.step, monotonic=self.clock.monotonic, sleep=self.clock.sleep
        )

    def now(self) -> float:
        """Return the true time."""
        return self.clock.time()

    def note_call(self, operation: str) -> None:
        """Take in when a call was made."""
        self.made_at[operation].append(self.now())

    def run(self, seconds: float) -> None:
        """Let the event loop run for so long."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    # What is waited for.

    @rule(count=st.sampled_from([1, 2, 8, 40]), known=st.booleans())
    def create(self, count: int, known: bool) -> None:
        """Begin to create backups, whose IDs may tell nothing of their time."""
        make_id, number = self.plane.make_backup_id, len(self.things)
        assert make_id
        if not known:
            self.plane.make_backup_id = lambda: f"id-{number}-{make_id()[-8:]}"
        for arn in self.plane.add_backups("orders", count):
            self.plane.statuses[arn] = "CREATING"
            self.things.append(Thing(arn, "", self.now()))
        self.plane.make_backup_id = make_id
        self.run(1)

    @rule()
    def restore(self) -> None:
        """Begin to restore a backup."""
        (arn,) = self.plane.add_backups("orders", 1, "for-restore")
        table = f"restored-{len(self.things)}"
        self.plane.ask("RestoreTableFromBackup", TargetTableName=table, BackupArn=arn)
        self.things.append(Thing(arn, table, self.now()))

    @rule(
        number=st.integers(0, 99),
        count=st.sampled_from([1, 5, 40]),
        end=st.sampled_from(["AVAILABLE", "AVAILABLE", "AVAILABLE", "DELETED", "gone"]),
    )
    def end(self, number: int, count: int, end: str) -> None:
        """Let some of them end: AVAILABLE or complete, DELETED, or gone."""
        going_on = [thing for thing in self.things if not thing.ends]
        for thing in going_on[number % max(1, len(going_on)) :][:count]:
            if thing.table and end == "AVAILABLE":
                self.plane.end_restore(thing.table)
            elif thing.table:
                self.plane.drop_table(thing.table)
            elif end == "gone":
                self.plane.lose_backup(thing.arn)
            else:
                self.plane.statuses[thing.arn] = end
            thing.ends.append((self.now(), "success" if end == "AVAILABLE" else "error"))
        self.run(0.5)

    # Who waits.

    @rule(
        number=st.integers(0, 99),
        count=st.sampled_from([1, 1, 3, 30]),
        many=st.booleans(),
        interval=st.sampled_from([5.0, 5.0, 1.0, 30.0]),
        patience=st.sampled_from([600.0, 60.0, 10.0, -5.0]),
    )
    def join(self, number: int, count: int, many: bool, interval: float, patience: float) -> None:
        """Let tasks wait, each for one of them, or one task for several backups."""
        chosen = self.things[number % max(1, len(self.things)) :][:count]
        if many and (backups := [thing for thing in chosen if not thing.table]):
            self.begin_wait(
                backups, DynamoDBBackupsTrigger, interval, patience, backup_arns=[one.arn for one in backups]
            )
            chosen = [thing for thing in chosen if thing.table]
        for thing in chosen:
            if thing.table:
                source = asdict(RestoreSource.of_backup(BackupArn.parse(thing.arn)))
                about = {"source": source, "table_name": thing.table}
                self.begin_wait([thing], DynamoDBRestoreTrigger, interval, patience, **about)
            else:
                self.begin_wait([thing], DynamoDBBackupTrigger, interval, patience, backup_arn=thing.arn)
        self.run(0.1)

    def begin_wait(self, things: list[Thing], kind: type[Any], interval: float, patience: float, **about: Any) -> None:
        """Let a task wait."""
        deadline = self.now() + self.step + patience
        trigger = kind(poll_interval=interval, deadline=deadline, **about)
        wait = Waiting(things, (kind, {}), self.now(), self.now() + patience)
        self.waits.append(wait)
        self.make(wait, kind(**json.loads(json.dumps(trigger.serialize()[1]))))

    def make(self, wait: Waiting, trigger: Any) -> None:
        """Run a trigger as a triggerer does."""
        wait.trigger = type(trigger), json.loads(json.dumps(trigger.serialize()[1]))
        wait.task = self.loop.create_task(self.events_of(wait, trigger))

    async def events_of(self, wait: Waiting, trigger: Any) -> None:
        """Keep what a trigger has to say."""
        async for event in trigger.run():
            wait.events.append((self.now(), json.loads(json.dumps(event.payload))))

    def running(self) -> list[Waiting]:
        """Return who waits still."""
        return [wait for wait in self.waits if wait.task and not wait.task.done()]

    @rule(number=st.integers(0, 99), count=st.sampled_from([1, 10, 99]), twice=st.booleans())
    def cancel(self, number: int, count: int, twice: bool) -> None:
        """Cancel some triggers, perhaps a second time while they end."""
        running = self.running()
        leaving = running[number % max(1, len(running)) :][:count]
        self.stop(leaving, twice=twice)
        for wait in leaving:
            wait.cancelled = True

    def stop(self, leaving: list[Waiting], *, twice: bool = False) -> None:
        """Cancel triggers, and await their ends."""
        tasks = [wait.task for wait in leaving if wait.task]
        for _ in range(1 + twice):
            for task in tasks:
                task.cancel()
            self.run(0)
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
            self.run(0.1)

    @rule(away=st.sampled_from([0.0, 20.0, 90.0]))
    def restart(self, away: float) -> None:
        """Restart the triggerer: each trigger is made again, of what the database holds."""
        running = self.running()
        self.stop(running)
        self.clock.sleep(away)
        for wait in running:
            # Its deadline is the wall clock's.
            wait.deadline = self.now() + wait.trigger[1]["deadline"] - (self.now() + self.step)
            wait.joined = self.now()
            self.make(wait, wait.trigger[0](**wait.trigger[1]))
        self.run(0.1)

    # What stands in the way.

    @rule(
        faults=st.sampled_from(sorted(FAULTS)).flatmap(
            lambda operation: st.tuples(st.just(operation), st.sampled_from(FAULTS[operation]))
        ),
        times=st.sampled_from([1, 3, 20]),
        seconds=st.sampled_from([12.0, 40.0]),
    )
    def fail(self, faults: tuple[str, Fault], times: int, seconds: float) -> None:
        """Let calls go wrong for a while."""
        self.plane.fail_next(*faults, times)
        self.run(seconds)
        self.plane.clear_faults()
        self.disturb()

    @rule(operation=st.sampled_from(["DescribeBackup", "ListBackups"]), rate=st.sampled_from([4.0, 8.0, 20.0]))
    def neighbour(self, operation: str, rate: float) -> None:
        """Let somebody else in the account use up a rate, or stop doing so."""
        self.plane.add_neighbour(operation, 0 if operation in self.neighbours else rate)
        self.neighbours ^= {operation}
        self.disturb()

    @rule(seconds=st.sampled_from([3600.0, -3600.0, 40.0]))
    def set_wall_clock(self, seconds: float) -> None:
        """Set the triggerer's wall clock."""
        self.step += seconds

    @rule(seconds=st.sampled_from([1.0, 7.0, 30.0, 100.0]))
    def let_time_pass(self, seconds: float) -> None:
        """Let the triggers run."""
        self.run(seconds)
        if self.neighbours:
            self.disturb()
        self.check()

    def disturb(self) -> None:
        """Note that something stands in the way, or did until now."""
        self.disturbed_until, self.was_disturbed = self.now(), True

    @property
    def late(self) -> float:
        """The seconds in which a poll is made and answered, apart from its interval."""
        return (_LATE_AFTER_AN_OUTAGE if self.was_disturbed else _LATE) + _EACH * len(self.waits)

    # What is held.

    def check(self) -> None:
        """Hold all promises so far."""
        self.check_rates()
        for wait in self.waits:
            if wait.events:
                self.check_event(wait)
            elif not wait.cancelled:
                self.check_patience(wait)

    def check_event(self, wait: Waiting) -> None:
        """Hold that a task is told once, and the truth."""
        assert len(wait.events) == 1, "told twice"
        ((at, event),) = wait.events
        assert at >= wait.joined + FIRST_EVENT_AFTER - 0.001, "told before Airflow can take it"
        ends = event.get("failed")
        for thing in wait.things:
            told = event if ends is None else ends.get(thing.arn, {"status": "success"})
            self.check_end(wait, thing, told["status"], at)
        if ends is not None:
            assert (event["status"] == "success") == (not ends)

    def check_end(self, wait: Waiting, thing: Thing, status: str, at: float) -> None:
        """Hold that what a task is told of one thing is true, and that no timeout hides what could be known."""
        known = thing.ends[0] if thing.ends else (inf, "")
        if status == "timeout":
            assert at >= wait.deadline - 0.01, "a timeout before the time is up"
            free = max(known[0], wait.joined, self.disturbed_until)
            polls = NOT_FOUND_LIMIT * wait.trigger[1]["poll_interval"] + DESCRIBE_LAG
            assert free + self.late + polls >= wait.deadline, "a timeout, and it could be known"
        else:
            assert (known[0] <= at, status) == (True, known[1]), "not the truth"

    def check_patience(self, wait: Waiting) -> None:
        """Hold that who waits is told in bounded time after all that it waits for can be known, or time is up."""
        interval = wait.trigger[1]["poll_interval"]
        knowable = max(thing.ends[0][0] if thing.ends else inf for thing in wait.things)
        free = max(knowable, wait.joined + FIRST_EVENT_AFTER, self.disturbed_until)
        until = wait.deadline
        latest = max(until, wait.joined + FIRST_EVENT_AFTER) + last_polls_limit(len(wait.things)) + 5
        # What is gone is asked for again.
        polls = NOT_FOUND_LIMIT * interval + DESCRIBE_LAG
        assert self.now() <= min(latest, free + self.late + polls), "not told in time"

    def check_rates(self) -> None:
        """Hold that in no window more calls are made than a triggerer's share of AWS's rate."""
        for operation in FAULTS:
            calls = self.made_at[operation]
            most = DOCUMENTED_RATES[operation] * SHARE * _WINDOW + 2
            for begin in range(self.open_since[operation], len(calls)):
                count = bisect_right(calls, calls[begin] + _WINDOW) - begin
                assert count <= most, f"{count} calls of {operation} in {_WINDOW:.0f} s"
            self.open_since[operation] = bisect_left(calls, self.now() - _WINDOW)

    def teardown(self) -> None:
        """Let all waits end, and hold that everyone is told, and that nothing is left behind."""
        try:
            self.plane.clear_faults()
            for operation in self.neighbours:
                self.plane.add_neighbour(operation, 0)
                self.disturb()
            self.check()
            while self.running():
                self.run(45)
                self.check()
            self.check_nothing_is_left()
        finally:
            self.stop(self.running())
            self.loop.close()
            super().teardown()

    def check_nothing_is_left(self) -> None:
        """Hold that everyone is told, and that no task, poller or client is left."""
        for wait in self.waits:
            assert wait.task, "not run"
            assert wait.cancelled or wait.events, "never told"
            assert wait.cancelled or not wait.task.exception(), "a trigger has failed"
        self.run(15)
        assert not asyncio.all_tasks(self.loop), "a task is left"
        assert not [key for key in BackupPoller._running if key[0] == id(self.loop)], "a poller is left"  # noqa: SLF001  # nothing else would show it
        assert not [key for key in SharedClient.shared if key[0] == id(self.loop)], "a client is left"


@pytest.mark.load
@pytest.mark.timeout(TIMEOUT)
def test_waits(
    search: Search, loop_factory: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everyone is told the truth once and in time, within the rates, and nothing is left behind."""
    search.bases |= {"loop_factory": staticmethod(loop_factory), "patch": monkeypatch}
    search.run(Waits, histories=15, steps=12)
