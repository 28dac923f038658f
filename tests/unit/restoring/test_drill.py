"""A drill: one verdict for a run, no table left, and no other table touched, whatever happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_ddb_backup.exceptions import (
    AccountNotCertainError,
    BackupNotPickedError,
    BackupNotRestorableError,
    DrillFailedError,
    DrillFailedForGoodError,
    DrillTimeoutError,
    ForeignTableError,
    OtherAccountError,
    PermanentError,
    PickedBackupGoneError,
    TableNotDroppedError,
)
from tests.simulator import faults
from tests.simulator.faults import THROTTLED, Answer, Fault, after_call
from tests.unit.conftest import FakeTaskInstance, TaskTimeout
from tests.unit.restoring.drills import (
    SCRATCH,
    back_up_items,
    drill,
    drill_operator,
    scratch_tables,
    tables,
)
from tests.unit.restoring.support import (
    DENIED,
    LATEST,
    NOT_FOUND,
    describe,
    killed_while_it_waits,
    make_source,
    restore_by_others,
    sent,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("slow_restores")
IN_USE = Fault(code="ResourceInUseException")
HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def arn(control_plane: ControlPlane, source: None) -> str:
    """Back up the table ``source`` with an item, an hour ago; dropping a table takes a while too."""
    control_plane.dropping_for = 20
    return back_up_items(control_plane, age=3700)


def leave_one(plane: ControlPlane, run_id: str = "killed") -> str:
    """Have a drill of another run killed once its restore has begun; return the table that it leaves."""
    before = set(scratch_tables(plane))
    with killed_while_it_waits():
        drill(ti=FakeTaskInstance(task_id="drill", run_id=run_id))
    (left,) = set(scratch_tables(plane)) - before
    return left


class TestGood:
    """A backup that is as it should be."""

    def test_it_passes_and_leaves_no_table(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """The report has all that an auditor asks for."""
        report = drill()
        (body,) = sent(control_plane)
        scratch = body["TargetTableName"]
        assert body == {"BackupArn": arn, "TargetTableName": scratch, "BillingModeOverride": "PAY_PER_REQUEST"}
        text = report.pop("text")
        assert text.startswith("A backup was restored within ")
        assert f"It is 1 h 1 min old, 123 bytes, of table source: {arn}. AWS account" in text
        assert 200 <= report.pop("restore_seconds") <= 240
        assert 3698 <= report.pop("backup_age_seconds") <= 3701
        assert report.pop("checked_at") > report.pop("backup_created_at")
        assert report == {
            "backup_arn": arn,
            "backup_bytes": 123,
            "backup_items": 1,
            "table_name": "source",
            "restored_table_name": scratch,
            "items": 1,
            "checks": {"schema": "passed", "indexes": "passed", "min_items": "passed"},
            "verdict": "passed",
            "left_overs": {},
            "account": "123456789012",
            "region": "us-east-1",
            "dag_id": "shop",
            "run_id": "manual__2026-11-23",
            "error": None,
        }
        assert tables(control_plane) == ["orders", "source"]

    def test_the_name_is_the_run_s(self, control_plane: ControlPlane, arn: str) -> None:
        """Its task's part is the same in every run; the rest tells run, table, and given backup or prefix apart."""
        narrowed: list[dict[str, Any]] = [{"backup_arn": arn}, {"backup_name_prefix": "oth"}]
        given: list[tuple[str, dict[str, Any]]] = [("1", {}), ("1", {}), ("2", {}), *(("1", one) for one in narrowed)]
        for run_id, more in given:
            drill(ti=FakeTaskInstance(task_id="drill", run_id=run_id), **more)
        names = [body["TargetTableName"] for body in sent(control_plane)]
        assert (names[0] == names[1], len(set(names))) == (True, 4)
        assert len({name[: -len("0123456789abcdef")] for name in names}) == 1
        assert all(name.startswith(SCRATCH) for name in names)

    def test_no_setting_is_read_or_put_back(self, control_plane: ControlPlane, arn: str) -> None:
        """The table does not live long."""
        drill()
        assert not {"ListTagsOfResource", "TagResource", "DescribeContinuousBackups"} & control_plane.calls.keys()

    def test_a_dropped_table_s_backup(self, control_plane: ControlPlane, arn: str) -> None:
        """It is what is left of the table."""
        control_plane.drop_table("source")
        assert drill(backup_arn=arn)["verdict"] == "passed"
        assert tables(control_plane) == ["orders"]

    def test_a_random_backup_is_the_same_on_a_retry(self, control_plane: ControlPlane, arn: str) -> None:
        """And not in every run."""
        arns = {arn, *(control_plane.add_backups("source", 1, age=n * DAY)[0] for n in range(1, 8))}
        seen = set()
        for number in range(6):
            first, second = (FakeTaskInstance(task_id="drill", run_id=str(number)) for _ in range(2))
            drilled = drill(ti=first, pick="random")["backup_arn"]
            assert drill(ti=second, pick="random")["backup_arn"] == drilled
            seen.add(drilled)
            control_plane.clock.sleep(60)
        assert len(seen) > 1
        assert seen <= arns

    def test_a_backup_that_is_larger_is_skipped(self, control_plane: ControlPlane, arn: str) -> None:
        """Nothing is made; the greater of its two sizes counts."""
        big = Fault(Answer.ALTERED, set_members={"TableSizeBytes": 20 * 1024**3}, adds=False)
        control_plane.fail_next("DescribeBackup", big)
        with pytest.raises(AirflowSkipException, match=r"It has 20\.0 GB, max_size_bytes is 10\.0 GB"):
            drill()
        assert not sent(control_plane)
        with pytest.raises(AirflowSkipException):
            drill(max_size_bytes=122)
        assert drill(max_size_bytes=123)["verdict"] == "passed"

    def test_a_size_of_nothing_is_not_known(self, control_plane: ControlPlane, arn: str) -> None:
        """AWS tells it hours later."""
        unknown = Fault(Answer.ALTERED, set_members={"TableSizeBytes": 0, "BackupSizeBytes": 0})
        control_plane.fail_next("DescribeBackup", unknown, times=9)
        assert "size not known" in drill(max_size_bytes=1)["text"]

    def test_a_table_that_is_there_already_is_not_skipped(self, control_plane: ControlPlane, arn: str) -> None:
        """The restore is paid for, and the table must go."""
        leave_one(control_plane, "run")
        report = drill(ti=FakeTaskInstance(task_id="drill", run_id="run", try_number=2), max_size_bytes=1)
        assert (report["verdict"], scratch_tables(control_plane)) == ("passed", [])


class TestBad:
    """A backup that is not as it should be, or can't be checked."""

    @pytest.mark.parametrize("kept", [False, True])
    @pytest.mark.parametrize(
        ("name", "fault", "more"),
        [
            ("schema", {"set_members": {"KeySchema": []}}, {"checks": ["schema"]}),
            ("indexes", {"set_members": {"GlobalSecondaryIndexes": []}}, {}),
            ("min_items", {}, {"min_items": 2}),
            ("validate", {}, {"validate": lambda *_: 1 / 0}),
        ],
        ids=["schema", "indexes", "min_items", "validate"],
    )
    def test_a_check_that_fails(
        self, control_plane: ControlPlane, arn: str, name: str, fault: Any, more: dict[str, Any], *, kept: bool
    ) -> None:
        """The task fails for good and says which; the table is dropped, or kept and named."""
        control_plane.fail_next("DescribeBackup", Fault(Answer.ALTERED, **fault), times=9)
        ti = FakeTaskInstance(task_id="drill")
        with pytest.raises(DrillFailedForGoodError, match=f"1 failed.*{name}: ") as failure:
            drill(ti=ti, keep_on_failure=kept, **more)
        report = ti.xcoms["report"]
        assert report["verdict"] == "failed"
        assert [check for check, result in report["checks"].items() if result != "passed"] == [name]
        assert report["text"].startswith(str(failure.value))
        scratch = report["restored_table_name"]
        assert f"table {scratch} is {'kept: drop it yourself' if kept else 'gone'}" in str(failure.value)
        assert scratch_tables(control_plane) == ([scratch] if kept else [])

    def test_a_kept_table_is_checked_again_by_a_cleared_task(self, control_plane: ControlPlane, arn: str) -> None:
        """And dropped once it passes."""
        with pytest.raises(DrillFailedError):
            drill(keep_on_failure=True, min_items=2)
        assert drill(first=False, keep_on_failure=True)["verdict"] == "passed"
        assert (len(sent(control_plane)), scratch_tables(control_plane)) == (1, [])

    def test_a_check_that_can_t_be_made_may_be_retried(self, control_plane: ControlPlane, arn: str) -> None:
        """It says nothing of the backup; the table is dropped all the same."""
        control_plane.fail_next("Scan", THROTTLED, times=999)
        with pytest.raises(DrillFailedError, match="min_items: AWS throttles") as failure:
            drill()
        assert not isinstance(failure.value, PermanentError)
        assert scratch_tables(control_plane) == []

    def test_a_restore_that_aws_undoes(self, control_plane: ControlPlane, arn: str) -> None:
        """It is the verdict."""
        control_plane.on_restore = lambda *_: control_plane.drop_table(scratch_tables_of(control_plane))
        ti = FakeTaskInstance(task_id="drill")
        with pytest.raises(DrillFailedForGoodError, match="restore: .*3 times in a row"):
            drill(ti=ti)
        assert ti.xcoms["report"]["verdict"] == "failed"
        assert "3 times in a row" in ti.xcoms["report"]["checks"]["restore"]

    def test_a_restore_that_ends_in_a_broken_table(self, control_plane: ControlPlane, arn: str) -> None:
        """The table is dropped."""
        control_plane.on_restore = lambda arn, _: control_plane.statuses.update({_name(arn): "ARCHIVED"})
        control_plane.before("DeleteTable", control_plane.statuses.clear)
        with pytest.raises(DrillFailedForGoodError, match="restore: .*The table is ARCHIVED"):
            drill()
        assert scratch_tables(control_plane) == []

    def test_a_backup_that_is_gone(self, control_plane: ControlPlane, arn: str) -> None:
        """Nothing is made."""
        control_plane.lose_backup(arn)
        with pytest.raises(BackupNotRestorableError):
            drill(backup_arn=arn)
        assert not sent(control_plane)

    @pytest.mark.parametrize("operation", ["DescribeBackup", "RestoreTableFromBackup"])
    def test_a_picked_backup_that_a_prune_deletes(
        self, control_plane: ControlPlane, clock: Clock, arn: str, operation: str
    ) -> None:
        """ListBackups may list it for a while; a retry picks another."""
        (newest,) = control_plane.add_backups("source", 1, age=60)
        control_plane.before(operation, lambda: control_plane.client().delete_backup(BackupArn=newest))
        with pytest.raises(PickedBackupGoneError, match=f"{newest}.* a retry picks another"):
            drill()
        assert scratch_tables(control_plane) == []
        assert drill(first=False)["backup_arn"] == arn

    def test_a_backup_that_goes_before_a_retry(self, control_plane: ControlPlane, arn: str) -> None:
        """What must be compared with it fails, and the table is dropped."""
        leave_one(control_plane, "run")
        control_plane.lose_backup(arn)
        ti = FakeTaskInstance(task_id="drill", run_id="run", try_number=2)
        with pytest.raises(DrillFailedError, match="schema: The backup does not exist"):
            drill(ti=ti)
        assert ti.xcoms["report"]["checks"]["min_items"] == "passed"
        assert scratch_tables(control_plane) == []

    def test_a_backup_that_goes_while_it_is_restored(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """The checks that need it hold the worker for seconds, all together, and a retry may pick another."""
        control_plane.on_restore = lambda *_: control_plane.lose_backup(arn)
        begun = clock.time()
        with pytest.raises(DrillFailedError, match="schema: The backup does not exist") as failure:
            drill(poll_interval=5)
        assert "indexes: The backup does not exist" in str(failure.value)
        assert not isinstance(failure.value, PermanentError)
        assert clock.time() - begun < control_plane.restoring_for + control_plane.dropping_for + 30


def scratch_tables_of(plane: ControlPlane) -> str:
    """Return the name of the one scratch table that there is."""
    (name,) = scratch_tables(plane)
    return name


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]


class TestKilled:
    """A try that ends at any moment, and the next one."""

    @pytest.mark.load
    def test_after_any_call(
        self, control_plane: ControlPlane, clock: Clock, arn: str, execution_timeout: Callable[[], None]
    ) -> None:
        """The next try ends with a verdict and no table left; only one that finds no table restores again."""
        for number in count(1):
            control_plane.clock.sleep(60)
            restores = control_plane.calls["RestoreTableFromBackup"]
            control_plane.after = after_call(number, execution_timeout)
            ti, again = (FakeTaskInstance(task_id="drill", run_id=str(number), try_number=n) for n in (1, 2))
            try:
                drill(ti=ti)
            except TaskTimeout:
                pass
            else:
                break
            control_plane.after = lambda _: None
            clock.sleep(number)
            is_dropped = control_plane.calls["DeleteTable"] == number
            report = drill(ti=again)
            assert (report["verdict"], report["items"]) == ("passed", 1)
            assert tables(control_plane) == ["orders", "source"]
            assert control_plane.calls["RestoreTableFromBackup"] - restores in ({2} if is_dropped else {1, 2})
        assert number > 15

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_timed_out(self, control_plane: ControlPlane, clock: Clock, arn: str, *, deferrable: bool) -> None:
        """The restore goes on, and a retry takes its table."""
        control_plane.restoring_for = 1000
        with pytest.raises(DrillTimeoutError, match="The restore goes on.* A retry goes on with that table"):
            drill(timeout=300)
        assert len(scratch_tables(control_plane)) == 1
        clock.sleep(1000)
        assert drill(first=False, timeout=300, deferrable=deferrable)["verdict"] == "passed"
        assert (len(sent(control_plane)), scratch_tables(control_plane)) == (1, [])

    @pytest.mark.load
    @pytest.mark.parametrize(
        "fault",
        [
            faults.DROPPED_BEFORE_COMMIT,
            faults.DROPPED_AFTER_COMMIT,
            faults.HANGING_AFTER_COMMIT,
            faults.INTERNAL_ERROR,
            faults.INTERNAL_ERROR_AFTER_COMMIT,
            faults.HTML_OF_A_PROXY_AFTER_COMMIT,
            faults.EMPTY_RESPONSE_AFTER_COMMIT,
            THROTTLED,
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("operation", ["RestoreTableFromBackup", "DeleteTable"])
    def test_a_lost_response(self, control_plane: ControlPlane, arn: str, operation: str, fault: Fault) -> None:
        """Whether it was done is found out."""
        control_plane.fail_next(operation, fault)
        assert drill()["verdict"] == "passed"
        assert (control_plane.calls[operation] <= 2, tables(control_plane)) == (True, ["orders", "source"])

    def test_a_table_that_is_being_dropped_is_waited_for(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """An earlier try was killed there: the backup is drilled anew."""
        scratch = leave_one(control_plane, "run")
        clock.sleep(300)
        control_plane.dropping_for = 400
        control_plane.client().delete_table(TableName=scratch)
        ti = FakeTaskInstance(task_id="drill", run_id="run", try_number=2)
        assert drill(ti=ti)["verdict"] == "passed"
        assert len(sent(control_plane)) == 2

    def test_a_table_that_stays_deleting(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """The task holds its worker for half an hour at most, and may be retried."""
        scratch = leave_one(control_plane, "run")
        control_plane.statuses[scratch] = "DELETING"
        begun = clock.time()
        with pytest.raises(TableNotDroppedError, match=scratch):
            drill(ti=FakeTaskInstance(task_id="drill", run_id="run", try_number=2))
        assert clock.time() - begun < 1900

    def test_the_pick_of_an_earlier_try_stays(self, control_plane: ControlPlane, arn: str) -> None:
        """Though there is a newer backup by now."""
        leave_one(control_plane, "run")
        control_plane.add_backups("source", 1)
        report = drill(ti=FakeTaskInstance(task_id="drill", run_id="run", try_number=2))
        assert (report["backup_arn"], len(sent(control_plane))) == (arn, 1)

    def test_a_table_that_is_not_known_at_once(self, control_plane: ControlPlane, arn: str) -> None:
        """DescribeTable is behind, and there is a newer backup by now: the pick stays all the same."""
        scratch = leave_one(control_plane, "run")
        control_plane.add_backups("source", 1)
        control_plane.fail_next("DescribeTable", replace(NOT_FOUND, table=scratch))
        report = drill(ti=FakeTaskInstance(task_id="drill", run_id="run", try_number=2))
        assert (report["backup_arn"], len(sent(control_plane))) == (arn, 1)


class TestOtherTables:
    """None is ever dropped but the drill's own."""

    @pytest.mark.parametrize("kind", ["created", "another table's", "moment"])
    def test_another_table_of_the_scratch_table_s_name(
        self, control_plane: ControlPlane, clock: Clock, arn: str, kind: str
    ) -> None:
        """The task fails for good and names it."""
        scratch = leave_one(control_plane, "run")
        control_plane.drop_table(scratch)
        if kind == "created":
            control_plane.create_table(scratch)
        elif kind == "another table's":
            (other,) = control_plane.add_backups("orders", 1)
            restore_by_others(control_plane, other, scratch)
        else:
            control_plane.switch_recovery("source")
            restore_by_others(control_plane, LATEST, scratch)
        clock.sleep(300)
        with pytest.raises(ForeignTableError, match=f"table '{scratch}'"):
            drill(ti=FakeTaskInstance(task_id="drill", run_id="run", try_number=2))
        assert (scratch in tables(control_plane), control_plane.calls["DeleteTable"]) == (True, 0)

    @pytest.mark.parametrize("restored", [True, False])
    @pytest.mark.parametrize("moment", ["RestoreTableFromBackup", "Scan", "DeleteTable"])
    def test_a_swap_at_any_moment(self, control_plane: ControlPlane, arn: str, moment: str, *, restored: bool) -> None:
        """Also if the other one is of the same backup: the table's ID tells."""

        def swap() -> None:
            name = scratch_tables_of(control_plane)
            control_plane.drop_table(name)
            if restored:
                restore_by_others(control_plane, arn, name)
            else:
                control_plane.create_table(name)

        if moment == "RestoreTableFromBackup":
            control_plane.after = after_call(1, swap, "RestoreTableFromBackup")
        elif moment == "Scan":
            control_plane.before("Scan", swap)
        else:
            # The drop is refused once, and the table replaced before it is tried again.
            control_plane.before("Scan", lambda: control_plane.fail_next("DeleteTable", IN_USE))
            control_plane.after = after_call(1, swap, "DeleteTable")
        with pytest.raises(PermanentError, match=SCRATCH):
            drill()
        assert len(scratch_tables(control_plane)) == 1
        assert {"orders", "source"} < set(tables(control_plane))

    def test_a_protected_table_is_named(self, control_plane: ControlPlane, arn: str) -> None:
        """Somebody has turned deletion protection on, and knows why."""

        def protect() -> None:
            name = scratch_tables_of(control_plane)
            control_plane.client().update_table(TableName=name, DeletionProtectionEnabled=True)

        control_plane.before("Scan", protect)
        ti = FakeTaskInstance(task_id="drill")
        with pytest.raises(DrillFailedForGoodError, match="Disable deletion protection first"):
            drill(ti=ti)
        report = ti.xcoms["report"]
        assert (report["verdict"], scratch_tables(control_plane)) == ("passed", [report["restored_table_name"]])

    def test_a_drill_s_own_table_is_not_drilled(self) -> None:
        """What may be dropped is no source."""
        with pytest.raises(Exception, match="table_name must be no drill's own table"):
            drill_operator(table_name=f"{SCRATCH}0123456789-0123456789abcdef")

    def test_another_account(self, control_plane: ControlPlane, arn: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is made or dropped there; a connection that is not found is none."""
        with pytest.raises(OtherAccountError):
            drill(account_id="210987654321")
        monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
        with pytest.raises(AccountNotCertainError):
            drill()
        assert not sent(control_plane)


class TestDropping:
    """DeleteTable that does not succeed at once, or at all."""

    def test_in_use_and_throttled_are_waited_for(self, control_plane: ControlPlane, arn: str) -> None:
        """They pass."""
        control_plane.fail_next("DeleteTable", IN_USE)
        control_plane.fail_next("DeleteTable", THROTTLED, times=3)
        drill()
        assert (control_plane.calls["DeleteTable"], scratch_tables(control_plane)) == (5, [])

    @pytest.mark.parametrize(("fault", "final"), [(DENIED, True), (THROTTLED, False), (IN_USE, False)], ids=repr)
    def test_it_fails_the_task_and_the_next_run_drops_the_table(
        self, control_plane: ControlPlane, clock: Clock, arn: str, fault: Fault, *, final: bool
    ) -> None:
        """The verdict stands, and the table is named; only denied is for good."""
        control_plane.fail_next("DeleteTable", fault, times=9999)
        ti = FakeTaskInstance(task_id="drill")
        begun = clock.time()
        with pytest.raises(DrillFailedError, match=SCRATCH) as failure:
            drill(ti=ti)
        assert isinstance(failure.value, PermanentError) == final
        assert clock.time() - begun < 2100
        left = ti.xcoms["report"]["restored_table_name"]
        assert ti.xcoms["report"]["verdict"] == "passed"
        assert scratch_tables(control_plane) == [left]
        control_plane.clear_faults()
        clock.sleep(8 * HOUR)
        later = drill(ti=FakeTaskInstance(task_id="drill", run_id="next"))
        assert (later["left_overs"], scratch_tables(control_plane)) == ({left: "dropped"}, [])

    def test_a_retry_does_it(self, control_plane: ControlPlane, arn: str) -> None:
        """Without another restore."""
        control_plane.fail_next("DeleteTable", THROTTLED, times=9999)
        with pytest.raises(DrillFailedError):
            drill()
        control_plane.clear_faults()
        assert drill(first=False)["verdict"] == "passed"
        assert (len(sent(control_plane)), scratch_tables(control_plane)) == (1, [])

    def test_somebody_else_has_done_it(self, control_plane: ControlPlane, arn: str) -> None:
        """Gone is gone."""
        control_plane.before("Scan", lambda: control_plane.fail_next("DeleteTable", IN_USE))
        control_plane.after = after_call(
            1, lambda: control_plane.drop_table(scratch_tables_of(control_plane)), "DeleteTable"
        )
        assert drill()["verdict"] == "passed"


class TestLeftOvers:
    """Tables of the task's earlier runs."""

    @pytest.mark.parametrize(("hours", "dropped"), [(7.1, True), (6.9, False), (1, False)])
    def test_only_old_ones_are_dropped(
        self, control_plane: ControlPlane, clock: Clock, arn: str, hours: float, *, dropped: bool
    ) -> None:
        """Older than the timeout and an hour, by AWS's clock: a drill may go on with a younger one."""
        left = leave_one(control_plane)
        control_plane.clock_offset = 250
        clock.sleep(hours * HOUR)
        report = drill()
        assert report["left_overs"] == ({left: "dropped"} if dropped else {})
        assert scratch_tables(control_plane) == ([] if dropped else [left])

    def test_they_are_gone_before_anything_is_made(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """One after the other."""
        left = [leave_one(control_plane, str(number)) for number in range(3)]
        clock.sleep(DAY)
        control_plane.on_restore = lambda *_: left.append(scratch_tables_of(control_plane))
        assert set(drill()["left_overs"]) == set(left[:3])
        assert (len(left), scratch_tables(control_plane)) == (4, [])

    def test_another_table_s_or_task_s_is_not_touched(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """The name and the source must be the task's."""
        left = leave_one(control_plane)
        prefix = left[: left.rindex("-")]
        (other,) = control_plane.add_backups("orders", 1)
        for name, of in ((f"{prefix}-another", other), (f"{SCRATCH}another-one", arn)):
            restore_by_others(control_plane, of, name)
        control_plane.create_table(f"{prefix}-by-hand")
        clock.sleep(DAY)
        assert drill()["left_overs"] == {left: "dropped"}
        assert set(scratch_tables(control_plane)) == {
            f"{prefix}-another",
            f"{prefix}-by-hand",
            f"{SCRATCH}another-one",
        }

    def test_they_are_only_told_with_keep_on_failure(self, control_plane: ControlPlane, clock: Clock, arn: str) -> None:
        """They may be what was kept."""
        left = leave_one(control_plane)
        clock.sleep(DAY)
        assert drill(keep_on_failure=True)["left_overs"] == {left: "kept"}
        assert scratch_tables(control_plane) == [left]

    def test_one_that_can_t_be_dropped_fails_the_task_in_the_end(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """The drill itself is judged, and its own table dropped."""
        left = leave_one(control_plane)
        clock.sleep(DAY)
        control_plane.client().update_table(TableName=left, DeletionProtectionEnabled=True)
        ti = FakeTaskInstance(task_id="drill", run_id="next")
        with pytest.raises(
            DrillFailedForGoodError, match=f"{left}: The table of an earlier drill could not be dropped"
        ):
            drill(ti=ti)
        report = ti.xcoms["report"]
        assert (report["verdict"], report["checks"]["schema"]) == ("passed", "passed")
        assert "Disable deletion protection first" in report["left_overs"][left]
        assert scratch_tables(control_plane) == [left]

    def test_one_that_can_t_be_dropped_is_told_where_nothing_is_drilled(
        self, control_plane: ControlPlane, clock: Clock, arn: str
    ) -> None:
        """It is no reason to skip in silence."""
        left = leave_one(control_plane)
        clock.sleep(DAY)
        control_plane.fail_next("DeleteTable", DENIED)
        with pytest.raises(DrillFailedForGoodError, match=left):
            drill(ti=FakeTaskInstance(task_id="drill", run_id="next"), max_size_bytes=1)

    def test_tables_that_can_t_be_listed_are_a_warning(
        self, control_plane: ControlPlane, arn: str, log: Callable[[], str]
    ) -> None:
        """It says what is not known."""
        control_plane.fail_next("ListTables", DENIED)
        assert drill()["verdict"] == "passed"
        assert "Whether earlier drills have left tables is not known: Access is denied" in log()


def test_within_and_tables_made_again(control_plane: ControlPlane, arn: str) -> None:
    """Only backups of this very table, and not older, are drilled."""
    control_plane.drop_table("source")
    make_source(control_plane)
    newer = back_up_items(control_plane, age=0)
    assert drill()["backup_arn"] == newer
    assert describe(control_plane, "source")["TableId"]
    control_plane.clock.sleep(2 * HOUR)
    with pytest.raises(BackupNotPickedError, match=f"1 made before .*'other' of .*{newer}"):
        drill(within=timedelta(hours=1), ti=FakeTaskInstance(task_id="drill", run_id="next"))
