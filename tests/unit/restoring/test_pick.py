"""Which backup of a table is picked, and what a task is told where none counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import (
    BackupNotPickedError,
    ErrorContext,
    InvalidValueError,
    ListBackupsDeniedError,
    OtherAccountError,
    PermanentError,
    PickedBackupGoneError,
    TableNotFoundError,
    TargetTableExistsError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.models import Backup, BackupArn, Table
from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator, DynamoDBRestoreTableFromBackupOperator
from airflow_ddb_backup.restoring.pick import eligible_and_others, none_eligible, read_backups
from tests.simulator.control_plane import REGION
from tests.simulator.faults import THROTTLED
from tests.unit.conftest import FakeTaskInstance, context_of
from tests.unit.restoring.support import ARN, DENIED, Silent, describe, make_source, sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
TABLE = Table("source", ARN, "id-2", "ACTIVE", NOON - timedelta(hours=10))
ABOUT = ErrorContext("source", region=REGION)
BACKUP = f"{ARN}/backup/01795422913684-770da1ee"


def backup(hour: int, **others: Any) -> Backup:
    """Return a backup that was made at an hour of the day, of the table that there is now."""
    made = NOON.replace(hour=hour)
    arn = BackupArn.parse(f"{ARN}/backup/0{int(made.timestamp() * 1000)}-770da1ee")
    usual = Backup(arn, f"nightly-{hour}", "AVAILABLE", 0, made, table_id="id-2", kind="USER")
    return replace(usual, **others)


def hours(backups: list[Backup]) -> list[int]:
    """Return at which hours backups were made."""
    return [one.created_at.hour for one in backups]


def eligible(table: Table | None, backups: list[Backup], **limiting: Any) -> list[Backup]:
    """Return the backups that may be picked."""
    return eligible_and_others(table, backups, **limiting)[0]


class TestEligible:
    """The backups that may be picked."""

    def test_the_newest_comes_first(self) -> None:
        """Whatever order ListBackups has."""
        assert hours(eligible(TABLE, [backup(7), backup(9), backup(8)])) == [9, 8, 7]

    def test_one_that_is_listed_twice_counts_once(self) -> None:
        """A page may repeat what another has shown."""
        assert hours(eligible(TABLE, [backup(8), backup(7), backup(8)])) == [8, 7]

    def test_of_two_made_at_once_every_try_takes_the_same(self) -> None:
        """The ARN decides."""
        first = backup(8)
        second = replace(first, arn=BackupArn.parse(f"{first.arn.text[:-1]}f"))
        assert eligible(TABLE, [first, second]) == eligible(TABLE, [second, first]) == [second, first]

    def test_before_and_since(self) -> None:
        """One that was made at that very time is not made before it, and is made since."""
        backups = [backup(hour) for hour in range(5, 12)]
        found = eligible(TABLE, backups, before=NOON.replace(hour=9), since=NOON.replace(hour=6))
        assert hours(found) == [8, 7, 6]

    @pytest.mark.parametrize(
        ("others", "reason"),
        [
            ({"status": "CREATING"}, "CREATING"),
            ({"status": "DELETED"}, "DELETED"),
            ({"kind": "AWS_BACKUP"}, "of AWS Backup"),
            ({"kind": None}, "of AWS Backup"),
            ({"kind": "SYSTEM"}, "made by DynamoDB itself when a table was deleted"),
            ({"table_id": "id-1"}, "of another table of this name"),
            ({"table_id": "id-1", "kind": "SYSTEM"}, "made by DynamoDB itself when a table was deleted"),
            ({"name": "weekly"}, "whose name does not begin with nightly- or monthly-"),
        ],
    )
    def test_what_does_not_count(self, others: dict[str, object], reason: str) -> None:
        """Each has its reason."""
        backups = [backup(8), other := backup(9, **others)]
        prefixes = ("nightly-", "monthly-")
        assert eligible_and_others(TABLE, backups, prefixes=prefixes) == ([backups[0]], {reason: [other]})

    def test_without_ids_the_times_tell_the_tables_apart(self) -> None:
        """A backup that is older than the table is of an earlier one."""
        backups = [backup(1, table_id=None), backup(3, table_id=None)]
        assert hours(eligible(TABLE, backups)) == [3]


class TestGone:
    """The table has been deleted."""

    def test_the_last_of_the_name_counts(self) -> None:
        """Not those before it."""
        assert hours(eligible(None, [backup(9), backup(5, table_id="id-1"), backup(8)])) == [9, 8]

    def test_its_system_backup_tells_which_was_the_last(self) -> None:
        """A backup of the one before would bring back other data than those that are missed."""
        backups = [backup(5, table_id="id-1"), backup(9, kind="SYSTEM")]
        assert eligible(None, backups) == []

    def test_the_last_is_the_last_before_the_moment(self) -> None:
        """What the name has stood for since says nothing about then."""
        backups = [backup(5, table_id="id-1"), backup(9)]
        assert hours(eligible(None, backups, before=NOON.replace(hour=7))) == [5]


KINDS = st.sampled_from(["USER", "SYSTEM", "AWS_BACKUP"])
BACKUPS = st.lists(
    st.builds(
        backup,
        st.integers(0, 11),
        kind=KINDS,
        status=st.sampled_from(["AVAILABLE", "CREATING"]),
        table_id=st.sampled_from(["id-1", "id-2"]),
        name=st.sampled_from(["nightly-1", "weekly-1"]),
    ),
    max_size=8,
    unique_by=lambda one: one.arn,
)
HOURS = st.none() | st.integers(0, 11).map(lambda hour: NOON.replace(hour=hour))


@given(st.sampled_from([TABLE, None]), BACKUPS, HOURS, HOURS, st.sampled_from([(), ("nightly-",)]))
def test_all_that_count_and_no_other(
    table: Table | None,
    backups: list[Backup],
    before: datetime | None,
    since: datetime | None,
    prefixes: tuple[str, ...],
) -> None:
    """As the rules say it, one after another; each other has a reason, and the order of the listing is none."""
    known = sorted(backups, key=lambda one: one.created_at)
    known = [one for one in known if before is None or one.created_at < before]
    table_id = "id-2" if table else known[-1].table_id if known else None
    expected = [
        one
        for one in reversed(known)
        if one.table_id == table_id and (one.kind, one.status) == ("USER", "AVAILABLE")
        if (since is None or one.created_at >= since) and (not prefixes or one.name.startswith("nightly-"))
    ]
    found, others = eligible_and_others(table, backups, before=before, since=since, prefixes=prefixes)
    assert found == expected
    assert {one for found in others.values() for one in found} == set(backups) - set(expected)
    assert eligible(table, backups[::-1], before=before, since=since, prefixes=prefixes) == expected


def refuse(table: Table | None, backups: list[Backup], before: datetime | None = None) -> PermanentError:
    """Return the exception for some backups, none of which counts."""
    return none_eligible(ABOUT, table, eligible_and_others(table, backups, before=before)[1], before)


class TestNone:
    """The message for a table of whose backups none counts."""

    def test_it_lists_what_there_is(self) -> None:
        """Each with its name, time and ARN, by the reason."""
        backups = [backup(3, table_id="id-1"), backup(9), backup(8, status="CREATING")]
        error = refuse(TABLE, backups, before=NOON.replace(hour=9))
        assert isinstance(error, BackupNotPickedError)
        assert str(error) == (
            f"No backup of the table counts: table 'source', region '{REGION}'. The first one that counts is "
            "restored with before=2026-11-28T09:00:01+00:00 or later. There are others: "
            f"1 not made before 2026-11-28T09:00:00+00:00: 'nightly-9' of 2026-11-28T09:00:00+00:00 "
            f"({backup(9).arn.text}); "
            f"1 CREATING: 'nightly-8' of 2026-11-28T08:00:00+00:00 ({backup(8).arn.text}); "
            f"1 of another table of this name: 'nightly-3' of 2026-11-28T03:00:00+00:00 ({backup(3).arn.text}). "
            "To take one of these as it is, give its ARN as backup_arn."
        )

    def test_it_names_the_first_few(self) -> None:
        """The newest ones."""
        error = refuse(TABLE, [backup(hour, status="CREATING") for hour in range(3, 12)])
        assert "9 CREATING: 'nightly-11'" in str(error)
        assert "'nightly-7'" in str(error)
        assert "'nightly-6'" not in str(error)
        assert "and 4 more" in str(error)

    def test_of_those_made_too_late_it_names_the_earliest(self) -> None:
        """They are nearest to what was asked for."""
        error = refuse(TABLE, [backup(hour) for hour in range(3, 12)], before=NOON.replace(hour=3))
        assert "'nightly-3'" in str(error)
        assert "'nightly-11'" not in str(error)

    def test_a_table_that_is_gone(self) -> None:
        """Its system backup is named."""
        error = refuse(None, [backup(9, kind="SYSTEM")])
        assert "The table does not exist. There are others: 1 made by DynamoDB itself" in str(error)

    def test_a_table_without_backups(self) -> None:
        """There is nothing to type, but something to do."""
        assert str(refuse(TABLE, [])).endswith("It has no backup at all: make one first.")


class TestReading:
    """DescribeTable, and all pages of ListBackups."""

    @pytest.mark.usefixtures("source")
    def test_backups_of_all_kinds_on_all_pages(self, control_plane: ControlPlane) -> None:
        """Throttled calls are tried again."""
        control_plane.add_backups("source", 120)
        control_plane.fail_next("ListBackups", THROTTLED)
        hook = DynamoDBBackupHook(region_name=REGION)
        table, backups = read_backups(hook, ABOUT, "source", Deadline.after(600, hook.clock), Silent())
        assert table is not None
        assert table.name == "source"
        assert len(backups) == len(eligible(table, backups)) == 120

    def test_a_table_that_was_dropped(self, control_plane: ControlPlane) -> None:
        """Its backups and DynamoDB's own are listed by its name."""
        control_plane.create_table("gone")
        control_plane.add_backups("gone", 1)
        control_plane.add_backups("gone", 1, "gone$DeletedTableBackup", kind="SYSTEM")
        control_plane.drop_table("gone")
        hook = DynamoDBBackupHook(region_name=REGION)
        table, backups = read_backups(hook, ABOUT, "gone", Deadline.after(600, hook.clock), Silent())
        assert table is None
        assert [one.kind for one in eligible(table, backups)] == ["USER"]
        assert {one.kind for one in backups} == {"USER", "SYSTEM"}


def pick_and_restore(ti: FakeTaskInstance | None = None, **settings: Any) -> str:
    """Let a task pick a backup of ``source`` and restore it as ``target``; return the backup's ARN."""
    given: dict[str, Any] = {"table_name": "source", "target_table_name": "target", "settings": (), **settings}
    task = DynamoDBRestoreTableFromBackupOperator(task_id="restore", **given)
    ti = ti or FakeTaskInstance(task_id="restore")
    arn = task.execute(context_of(ti))
    table = task.hook.conn.describe_table(TableName=arn.rpartition("/")[2])["Table"]
    return str(table["RestoreSummary"]["SourceBackupArn"])


def add(plane: ControlPlane, age: float, name: str = "nightly-1", **others: Any) -> str:
    """Add a backup of ``source``, so many seconds old; return its ARN."""
    (arn,) = plane.add_backups("source", 1, name, age=age, **others)
    return str(arn)


def ago(clock: Clock, seconds: float) -> datetime:
    """Return the time so many seconds ago."""
    return datetime.fromtimestamp(clock.time() - seconds, tz=UTC)


@pytest.fixture
def old_source(control_plane: ControlPlane, clock: Clock, source: None) -> None:
    """Let a day go by since the table ``source`` was created."""
    clock.sleep(86_400)


@pytest.mark.usefixtures("old_source")
class TestPicking:
    """The backup that a task restores by ``table_name``."""

    @pytest.mark.parametrize("name", ["source", ARN])
    def test_the_newest_from_before_the_run(self, control_plane: ControlPlane, clock: Clock, name: str) -> None:
        """By the table's name or ARN; one that is made while the run goes on is no state to go back to."""
        add(control_plane, 500)
        expected = add(control_plane, 300)
        ti = FakeTaskInstance(task_id="restore", started=ago(clock, 200))
        add(control_plane, 100)
        assert pick_and_restore(ti, table_name=name) == expected

    @pytest.mark.parametrize("as_text", [True, False])
    def test_the_newest_before_a_moment(self, control_plane: ControlPlane, clock: Clock, *, as_text: bool) -> None:
        """As a datetime or as text."""
        expected = add(control_plane, 500)
        add(control_plane, 300)
        before = ago(clock, 400)
        assert pick_and_restore(before=before.isoformat() if as_text else before) == expected

    def test_narrowed_by_a_prefix(self, control_plane: ControlPlane) -> None:
        """Others don't count."""
        expected = add(control_plane, 500, "weekly-1")
        add(control_plane, 300)
        assert pick_and_restore(backup_name_prefix="weekly-") == expected

    def test_narrowed_to_what_a_task_creates(self, control_plane: ControlPlane, clock: Clock) -> None:
        """By the names that it derives."""
        with DAG("shop", schedule=None):
            task = DynamoDBCreateBackupOperator(task_id="back_up", table_name="source")
            restore = DynamoDBRestoreTableFromBackupOperator(
                task_id="restore", table_name="source", created_by="back_up", target_table_name="target", settings=()
            )
        expected = task.execute(context_of(FakeTaskInstance()))
        clock.sleep(60)
        add(control_plane, 1)
        restore.execute(context_of(FakeTaskInstance(task_id="restore")))
        assert describe(control_plane)["RestoreSummary"]["SourceBackupArn"] == expected

    def test_a_backup_that_is_creating_is_told_and_not_picked(
        self, control_plane: ControlPlane, log: Callable[[], str]
    ) -> None:
        """Nor are system backups, which are none of a table that there is."""
        expected = add(control_plane, 500)
        control_plane.statuses[add(control_plane, 300)] = "CREATING"
        add(control_plane, 200, kind="SYSTEM")
        assert pick_and_restore() == expected
        lines = log()
        assert "Picked the newest of 1 backups before" in lines
        assert f": {expected} of table source" in lines
        assert "Newer backups that don't count: 1 made by DynamoDB itself when a table was deleted, 1 CREATING" in lines

    def test_none_of_an_earlier_table(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Nothing is made; the message says what there is, and which value to type."""
        arn = add(control_plane, 500)
        control_plane.drop_table("source")
        make_source(control_plane)
        clock.sleep(60)
        with pytest.raises(BackupNotPickedError, match="1 of another table of this name: 'nightly-1'") as raised:
            pick_and_restore()
        assert f"({arn}). To take one of these as it is, give its ARN as backup_arn." in str(raised.value)
        assert not sent(control_plane)

    def test_of_a_table_that_is_gone(self, control_plane: ControlPlane) -> None:
        """The last of its name counts."""
        add(control_plane, 700)
        control_plane.drop_table("source")
        make_source(control_plane)
        expected = add(control_plane, 300)
        control_plane.drop_table("source")
        assert pick_and_restore() == expected

    def test_no_table_and_no_backup(self, control_plane: ControlPlane) -> None:
        """The name, the region or the account is wrong."""
        text = "There is no backup of a table of that name either: give table_name as the DynamoDB console lists it"
        with pytest.raises(TableNotFoundError, match=text):
            pick_and_restore(table_name="sauce")

    def test_the_new_name_is_the_old_one(self, control_plane: ControlPlane) -> None:
        """Nothing is made; and nobody is told that the table does not exist."""
        with pytest.raises(BackupNotPickedError, match="It has no backup at all: make one first"):
            pick_and_restore(target_table_name="source")
        add(control_plane, 500)
        with pytest.raises(BackupNotPickedError, match=r"'us-east-1'\. The first one that counts is restored"):
            pick_and_restore(target_table_name="source", before="2026-01-01T00:00:00Z")
        with pytest.raises(PermanentError, match="such as this one with '-2' at its end"):
            pick_and_restore(target_table_name="source")
        assert not sent(control_plane)

    def test_listing_is_denied(self, control_plane: ControlPlane) -> None:
        """The message says how to do without."""
        control_plane.fail_next("ListBackups", DENIED)
        with pytest.raises(ListBackupsDeniedError, match="those that restore, with backup_arn"):
            pick_and_restore()

    def test_the_pick_crosses_the_deferral(self, control_plane: ControlPlane, clock: Clock) -> None:
        """A backup that is made meanwhile changes nothing; without backup_arn the wait is known by its table."""
        expected, control_plane.restoring_for = add(control_plane, 500), 200
        task = DynamoDBRestoreTableFromBackupOperator(
            task_id="restore", table_name=ARN, target_table_name="target", settings=(), deferrable=True
        )
        context = context_of(FakeTaskInstance(task_id="restore"))
        with pytest.raises(TaskDeferred) as deferred:
            task.execute(context)
        assert deferred.value.trigger.serialize()[1]["source"]["backup_arn"] == expected
        assert str(task.awaited(context)) == f"table 'target', region '{REGION}'"


@pytest.mark.usefixtures("old_source")
class TestTheSameOnEveryTry:
    """A table that was restored since the run started tells what was picked."""

    def test_newer_and_vanished_backups_change_nothing(self, control_plane: ControlPlane) -> None:
        """A retry, and a task that is cleared while its run goes on."""
        control_plane.statuses[newer := add(control_plane, 300)] = "CREATING"
        picked = add(control_plane, 500)
        ti = FakeTaskInstance(task_id="restore")
        assert pick_and_restore(ti) == picked
        control_plane.statuses[newer] = "AVAILABLE"
        control_plane.lose_backup(picked)
        assert pick_and_restore(replace(ti, try_number=2)) == picked
        assert len(sent(control_plane)) == 1

    def test_the_table_comes_back_under_its_own_name(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The table that there is by then is the restored one, and backed up by others."""
        picked = add(control_plane, 500)
        control_plane.drop_table("source")
        ti = FakeTaskInstance(task_id="restore")
        assert pick_and_restore(ti, target_table_name="source") == picked
        clock.sleep(60)
        add(control_plane, 1)
        assert pick_and_restore(replace(ti, try_number=2), target_table_name="source") == picked
        later = replace(ti, started=ago(clock, 0), clear_number=1, try_number=2)
        before = ti.run_after.isoformat()
        assert pick_and_restore(later, target_table_name="source", before=before) == picked
        assert len(sent(control_plane)) == 1

    def test_the_source_is_made_again_meanwhile(self, control_plane: ControlPlane, clock: Clock) -> None:
        """It is not the table that the run is about."""
        picked = add(control_plane, 500)
        ti = FakeTaskInstance(task_id="restore")
        assert pick_and_restore(ti) == picked
        control_plane.drop_table("source")
        make_source(control_plane)
        assert pick_and_restore(replace(ti, try_number=2)) == picked

    def test_a_picked_backup_that_a_prune_deletes(self, control_plane: ControlPlane) -> None:
        """ListBackups may list it for a while; a retry picks another."""
        other, newest = add(control_plane, 500), add(control_plane, 300)
        control_plane.before("DescribeBackup", lambda: control_plane.client().delete_backup(BackupArn=newest))
        ti = FakeTaskInstance(task_id="restore")
        with pytest.raises(PickedBackupGoneError, match=newest):
            pick_and_restore(ti)
        assert pick_and_restore(replace(ti, try_number=2)) == other

    def test_a_finished_run_that_is_cleared_keeps_a_given_moment(
        self, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """It starts again, but the moment stays; its start does not, and another table is never taken for it."""
        picked, before = add(control_plane, 500), ago(clock, 400)
        ti = FakeTaskInstance(task_id="restore")
        assert pick_and_restore(ti, before=before) == picked
        clock.sleep(3600)
        newer = add(control_plane, 60)
        cleared = replace(ti, started=ago(clock, 0), clear_number=1, try_number=2)
        assert pick_and_restore(cleared, before=before) == picked
        with pytest.raises(TargetTableExistsError, match=f"It was restored from backup '{picked}'"):
            pick_and_restore(cleared)
        assert pick_and_restore(cleared, target_table_name="another") == newer

    def test_a_later_run_picks_its_own(self, control_plane: ControlPlane, clock: Clock) -> None:
        """An earlier run's table is not taken for it."""
        add(control_plane, 500)
        pick_and_restore()
        clock.sleep(3600)
        newer = add(control_plane, 60)
        with pytest.raises(TargetTableExistsError):
            pick_and_restore()
        assert pick_and_restore(target_table_name="another") == newer

    @pytest.mark.parametrize("how", [{"kind": "SYSTEM"}, {}])
    def test_a_table_that_nobody_restored_is_refused(self, control_plane: ControlPlane, how: dict[str, Any]) -> None:
        """Whatever there is to pick."""
        add(control_plane, 500)
        add(control_plane, 300, **how)
        control_plane.create_table("target")
        with pytest.raises(TargetTableExistsError, match="It was not made by a restore"):
            pick_and_restore()

    @pytest.mark.load
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        events=st.lists(st.sampled_from(["back up", "lose", "finish", "drop", "make"]), max_size=4),
        is_explicit=st.booleans(),
    )
    def test_whatever_happens_between_two_tries(
        self, control_plane: ControlPlane, clock: Clock, events: list[str], *, is_explicit: bool
    ) -> None:
        """Backups are made, end and vanish, and the table with them: the pick stays."""
        _begin_again(control_plane, clock)
        first, creating = add(control_plane, 500), add(control_plane, 300)
        control_plane.statuses[creating] = "CREATING"
        ti = FakeTaskInstance(task_id="restore")
        given_values = {"before": ago(clock, 0)} if is_explicit else {}
        assert pick_and_restore(ti, **given_values) == first
        for event in events:
            clock.sleep(60)
            names = control_plane.client().list_tables()["TableNames"]
            if event == "back up" and "source" in names:
                add(control_plane, 1)
            elif event == "lose" and first in control_plane.backup_arns():
                control_plane.lose_backup(first)
            elif event == "finish":
                control_plane.statuses[creating] = "AVAILABLE"
            elif event == "drop" and "source" in names:
                control_plane.drop_table("source")
            elif event == "make" and "source" not in names:
                make_source(control_plane)
        assert pick_and_restore(replace(ti, try_number=2), **given_values) == first


def _begin_again(plane: ControlPlane, clock: Clock) -> None:
    """Leave a table ``source`` that is a day old, and no backup."""
    for name in {"source", "target"}.intersection(plane.client().list_tables()["TableNames"]):
        plane.drop_table(name)
    for arn in plane.backup_arns():
        plane.lose_backup(arn)
    make_source(plane)
    clock.sleep(86_400)


class TestValues:
    """One of two ways to say which backup, and what narrows the second."""

    @pytest.mark.parametrize(
        ("given_values", "message"),
        [
            ({}, "backup_arn must be the ARN of the backup, or None with table_name"),
            ({"backup_arn": BACKUP, "table_name": "source"}, "exactly one of the two"),
            ({"backup_arn": BACKUP, "before": "2026-11-28T14:00:00Z"}, "before must be None with backup_arn"),
            ({"backup_arn": BACKUP, "backup_name_prefix": "abc"}, "backup_name_prefix must be None with backup_arn"),
            ({"table_name": "source", "before": "2026-11-28T14:00:00"}, "before must be a moment with its offset"),
            ({"table_name": "source", "before": ""}, "before must be a moment with its offset"),
            ({"table_name": "so"}, "table_name must be a table's name"),
            ({"table_name": "source", "backup_name_prefix": "ab"}, "backup_name_prefix must be 3 to 255"),
            (
                {"table_name": "source", "backup_name_prefix": "abc", "created_by": "back_up"},
                "created_by must be None with backup_name_prefix",
            ),
        ],
    )
    def test_what_is_refused_when_the_dag_is_parsed(self, given_values: dict[str, Any], message: str) -> None:
        """The message names the parameter and what it must be."""
        with pytest.raises(InvalidValueError, match=message):
            DynamoDBRestoreTableFromBackupOperator(task_id="restore", target_table_name="target", **given_values)

    @pytest.mark.usefixtures("source")
    def test_a_moment_that_renders_to_nothing_is_not_the_run_s_start(self, control_plane: ControlPlane) -> None:
        """Nothing is called."""
        for nothing in (None, ""):
            task = DynamoDBRestoreTableFromBackupOperator(
                task_id="restore", table_name="source", before="{{ x }}", target_table_name="target"
            )
            task.before = nothing
            with pytest.raises(InvalidValueError, match="before must be"):
                task.execute(context_of(FakeTaskInstance(task_id="restore")))
        assert not control_plane.calls["ListBackups"]

    @pytest.mark.usefixtures("source")
    def test_another_account(self, control_plane: ControlPlane) -> None:
        """Nothing is made."""
        with pytest.raises(OtherAccountError):
            pick_and_restore(account_id="210987654321")
        assert not sent(control_plane)
