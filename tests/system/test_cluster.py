"""Two Celery workers and two triggerers on PostgreSQL, whatever dies: every backup once, every task done."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.simulator.faults import INTERNAL_ERROR
from tests.system.backups import PATIENCE, Backups, up_at
from tests.system.cluster import POSTGRES, TRIGGERERS, WORKERS, Cluster
from tests.system.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.control_plane import ControlPlane
    from tests.system.rest_api import Run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
OPERATIONS = ("CreateBackup", "DescribeBackup", "DescribeTable", "ListBackups")


class TestLoad:
    """Nothing dies."""

    @pytest.mark.parametrize("time", [1, 2, 3])
    def test_backups_that_are_available_just_after_the_deferral(
        self, running: Cluster, plane: ControlPlane, time: int
    ) -> None:
        """Airflow fails tasks whose triggers fire at once; with no retries to hide it, none does."""
        plane.creating_for = 1.0
        Backups(running, plane, "many_tables_unretried", 36).assert_each_once()

    @pytest.mark.long
    def test_sixty_tables(self, running: Cluster, plane: ControlPlane) -> None:
        """At AWS's rates."""
        plane.creating_for = 60.0
        Backups(running, plane, "many_tables_unretried", 60).assert_each_once()


class TestKilled:
    """SIGKILL, at the worst moments."""

    def test_a_task_a_worker_and_a_triggerer(self, running: Cluster, plane: ControlPlane) -> None:
        """A task just after CreateBackup, a whole worker, and a triggerer with half of the waits."""
        processes = running.airflow.processes
        plane.creating_for = 60.0
        killed: list[str] = []

        def kill_the_tenth(arn: str, port: int) -> None:
            if len(plane.backup_arns()) == 10 and (task := processes.child_with_port(port)):
                task.kill()
                killed.append(arn)

        plane.on_commit = kill_the_tenth
        backups = Backups(running, plane, "many_tables_patient", 60)
        backups.wait_until_made(25)
        processes.kill(WORKERS[0])
        running.start_again()
        backups.wait_until_made(45)
        processes.kill(TRIGGERERS[0])
        backups.assert_each_once()
        assert len(killed) == 1

    def test_a_prune_half_way(self, running: Cluster, plane: ControlPlane) -> None:
        """Its next try plans anew, and it ends as if it had not been killed."""
        processes = running.airflow.processes
        plane.create_table("pruned")
        made = [plane.add_backups("pruned", 1, "nightly-1", age=3600 * age)[0] for age in range(40, 0, -1)]
        killed: list[str] = []

        def kill_at_the_fifteenth(arn: str, port: int) -> None:
            if len(plane.backup_arns()) == 25 and (task := processes.child_with_port(port)):
                task.kill()
                killed.append(arn)

        plane.on_deletion = kill_at_the_fifteenth
        run = running.airflow.api.start_run("prune", {})
        assert run.end(PATIENCE) == "success"
        assert killed == made[14:15]
        assert plane.backup_arns() == made[30:]
        report = run.xcom("prune", "return_value")
        assert (report["kept"], report["deleted"], report["failed"]) == (10, made[15:30], {})

    def test_a_restore(self, running: Cluster, plane: ControlPlane) -> None:
        """The task just after its call, and both triggerers while it waits: one table, its settings put back once."""
        processes = running.airflow.processes
        plane.create_table("broken")
        plane.tag_table("broken", team="shop")
        (backup,) = plane.add_backups("broken", 1)
        plane.restoring_for = 60.0
        killed: list[str] = []

        def kill_the_first(arn: str, port: int) -> None:
            if not killed and (task := processes.child_with_port(port)):
                task.kill()
                killed.append(arn)

        plane.on_restore = kill_the_first
        run = running.airflow.api.start_run("restore", {"backup_arn": backup})
        wait_until("the deferral", lambda: run.task_states().get("restore") == "deferred")
        assert len(killed) == 1
        for triggerer in TRIGGERERS:
            processes.kill(triggerer)
        running.start_again()
        assert run.end(PATIENCE) == "success"
        assert [run.xcom("restore", key) for key in ("return_value", "table_arn")] == killed * 2
        assert run.xcom("restore", "settings")["tags"] == "applied"
        called = [(operation, body) for operation, body in plane.requests if body.get("ResourceArn") == killed[0]]
        assert [operation for operation, _ in called].count("TagResource") == 1
        assert plane.calls["RestoreTableFromBackup"] == 1

    def test_a_drill(self, running: Cluster, plane: ControlPlane) -> None:
        """The task just after it has begun to restore, both triggerers while it waits, and the task as it drops."""
        processes = running.airflow.processes
        plane.create_table("drilled")
        plane.client().put_item(TableName="drilled", Item={"id": {"S": "1"}})
        (backup,) = plane.add_backups("drilled", 1)
        plane.restoring_for, plane.dropping_for = 60.0, 10.0
        killed: list[str] = []

        def kill_the_first(operation: str, port: int) -> None:
            if operation not in killed and (task := processes.child_with_port(port)):
                task.kill()
                killed.append(operation)

        plane.on_restore = lambda _, port: kill_the_first("RestoreTableFromBackup", port)
        plane.on_drop = lambda _, port: kill_the_first("DeleteTable", port)
        run = running.airflow.api.start_run("drill", {})
        wait_until("the deferral", lambda: run.task_states().get("drill") == "deferred")
        for triggerer in TRIGGERERS:
            processes.kill(triggerer)
        running.start_again()
        assert run.end(PATIENCE) == "success"
        assert killed == ["RestoreTableFromBackup", "DeleteTable"]
        report = run.xcom("drill", "return_value")
        assert (report["verdict"], report["backup_arn"], report["items"]) == ("passed", backup, 1)
        assert not [name for name in plane.client().list_tables()["TableNames"] if name.startswith("airflow-drill-")]
        # The table of the second try was being dropped when that was killed.
        assert plane.calls["RestoreTableFromBackup"] == 2

    def test_a_task_for_many_tables(self, running: Cluster, plane: ControlPlane) -> None:
        """At its first, twentieth and last creation: 40 tables have 40 backups."""
        processes = running.airflow.processes
        plane.creating_for = 20.0
        tables = [f"many-{number:02}" for number in range(40)]
        for table in tables:
            plane.create_table(table)
        killed: list[str] = []
        moments = [1, 20, 40]

        def kill_at_some(arn: str, port: int) -> None:
            if moments and len(plane.backup_arns()) >= moments[0] and (task := processes.child_with_port(port)):
                moments.pop(0)
                task.kill()
                killed.append(arn)

        plane.on_commit = kill_at_some
        run = running.airflow.api.start_run("all_tables_patient", {"tables": tables})
        assert run.end(PATIENCE) == "success"
        assert len(killed) == 3
        made = plane.backup_arns()
        assert Counter(arn.split("/")[1] for arn in made) == dict.fromkeys(tables, 1)
        report = run.xcom("back_up", "return_value")
        assert (sorted(report["backups"].values()), report["failed"]) == (sorted(made), {})


class TestManyTables:
    """Thousands of tables, by one task and by several at once."""

    def test_five_tasks_at_once(self, running: Cluster, plane: ControlPlane) -> None:
        """Of 500 tables each, on two workers: all are done, at no more than AWS's rate."""
        plane.creating_for = 30.0
        runs = []
        for task in range(5):
            tables = [f"task-{task}-{number:03}" for number in range(500)]
            for table in tables:
                plane.create_table(table)
            runs.append((tables, running.airflow.api.start_run("all_tables_patient", {"tables": tables})))
        for tables, run in runs:
            assert run.end(PATIENCE) == "success"
            assert list(run.xcom("back_up", "return_value")["backups"]) == tables
        made = Counter(arn.split("/")[1] for arn in plane.backup_arns())
        assert made == {table: 1 for tables, _ in runs for table in tables}
        calls, throttled = plane.calls["CreateBackup"], plane.throttled["CreateBackup"]
        print(f"{calls} CreateBackup calls, {throttled} of them throttled")  # noqa: T201  # figures to quote

    @pytest.mark.long
    def test_a_triggerer_with_thousands_of_waits(self, running: Cluster, plane: ControlPlane) -> None:
        """Killed, it resumes with the old deadline."""
        plane.creating_for = 99_999
        tables = [f"many-{number:04}" for number in range(2500)]
        for table in tables:
            plane.create_table(table)
        begun = plane.clock.time()
        run = running.airflow.api.start_run("all_tables_impatient", {"tables": tables})
        wait_until("the deferral", lambda: run.task_states().get("back_up") == "deferred", PATIENCE)
        for triggerer in TRIGGERERS:
            running.airflow.processes.kill(triggerer)
        running.start_again()
        assert run.end(PATIENCE) == "failed"
        # A whole new wait would take 300 s more.
        assert 290 <= plane.clock.time() - begun < 420
        assert len(run.xcom("back_up", "report")["failed"]) == 2500
        assert "were not AVAILABLE in time" in run.task_log("back_up") or "was not AVAILABLE in time" in run.task_log(
            "back_up"
        )


class TestAway:
    """Something stops, and comes back."""

    def test_both_triggerers(self, running: Cluster, plane: ControlPlane) -> None:
        """The waits go on, with their old deadline."""
        plane.creating_for = 99_999
        begun = plane.clock.time()
        backups = Backups(running, plane, "many_tables_impatient", 4)
        backups.wait_until_deferred(4)
        for triggerer in TRIGGERERS:
            running.airflow.processes.stop(triggerer)
        soon, late = plane.backup_arns()[:2], plane.backup_arns()[2:]
        plane.statuses |= dict.fromkeys(soon, "AVAILABLE")
        back = plane.clock.time()
        running.start_again()
        assert backups.run.end() == "failed"
        assert backups.states() == {"success": 2, "failed": 2}
        logs = [backups.run.task_log("back_up", map_index=index) for index in range(4)]
        for arn in late:
            (log,) = (log for log in logs if arn in log)
            # A minute after the task has begun, and not after the triggerers were back.
            assert begun + 59 <= up_at(arn, log) < back + 60

    def test_the_control_plane(self, running: Cluster, plane: ControlPlane) -> None:
        """For a minute every call fails."""
        plane.creating_for = 60.0
        backups = Backups(running, plane, "many_tables_patient", 20)
        backups.wait_until_made(10)
        for operation in OPERATIONS:
            plane.fail_next(operation, INTERNAL_ERROR, times=99_999)
        over = plane.clock.time() + 60
        backups.wait_for("a minute of errors", lambda: plane.clock.time() > over)
        plane.clear_faults()
        backups.assert_each_once()

    def test_postgresql(self, running: Cluster, plane: ControlPlane) -> None:
        """Programs that end without it are started again, as a machine's own supervisor would."""
        plane.creating_for = 45.0
        backups = Backups(running, plane, "many_tables_patient", 20)
        backups.wait_until_made(10)
        running.services.stop(POSTGRES)
        back = plane.clock.time() + 5
        backups.wait_for("five seconds without it", lambda: plane.clock.time() > back)
        backups.wait_for("the end", lambda: running.start_again() and backups.run.state() in {"success", "failed"})
        backups.assert_each_once()


def wait_until_deferred(run: Run) -> None:
    """Wait until the task, once it has not been for a while, is deferred."""
    wait_until("the deferral", lambda: run.task_states().get("back_up") == "deferred")


class Silence:
    """Whether nobody has called for 12 seconds.

    :param plane: the control plane
    """

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._calls, self._since = -1, 0.0

    def __call__(self) -> bool:
        """Say so."""
        calls, now = self._plane.calls.total(), self._plane.clock.time()
        if calls != self._calls:
            self._calls, self._since = calls, now
        return now > self._since + 12


def marked_failed(run: Run) -> None:
    """Mark the task failed."""
    run.mark("back_up", "failed")


def cleared(run: Run) -> None:
    """Clear the task; once it waits again, mark it failed."""
    run.clear()
    wait_until("the second try", lambda: run.task_states().get("back_up") != "deferred")
    wait_until_deferred(run)
    run.mark("back_up", "failed")


def deleted(run: Run) -> None:
    """Delete the run, which Airflow 3 allows once it is marked failed."""
    run.fail()
    run.delete()


class TestEndedByHand:
    """While its task is deferred."""

    @pytest.mark.parametrize("ending", [marked_failed, cleared, deleted])
    def test_nothing_is_deleted_and_nothing_goes_on_polling(
        self, running: Cluster, plane: ControlPlane, ending: Callable[[Run], None]
    ) -> None:
        """The backup stays; after two rounds and more there was not one call."""
        plane.creating_for = 99_999
        plane.create_table("orders")
        run = running.airflow.api.start_run("one_table_patient", {"table": "orders"})
        wait_until_deferred(run)
        ending(run)
        wait_until("silence", Silence(plane), PATIENCE)
        assert len(plane.backup_arns()) == 1
        assert not plane.calls["DeleteBackup"]


class TestOutOfTime:
    """The backup takes longer than the task may wait."""

    def test_the_operator_says_what_it_waited_for(self, running: Cluster, plane: ControlPlane) -> None:
        """ARN, last status and elapsed time are in the log."""
        plane.creating_for = 99_999
        plane.create_table("orders")
        begun = plane.clock.time()
        run = running.airflow.api.start_run("one_table_impatient", {"table": "orders"})
        assert run.end() == "failed"
        (arn,) = plane.backup_arns()
        log = run.task_log("back_up")
        assert "The backup was not AVAILABLE in time" in log
        assert arn in log
        assert begun + 59 <= up_at(arn, log) <= plane.clock.time()

    @pytest.mark.parametrize(("dag_id", "state"), [("hard", "failed"), ("soft", "skipped")])
    def test_the_sensor_fails_or_is_skipped(
        self, running: Cluster, plane: ControlPlane, dag_id: str, state: str
    ) -> None:
        """In every mode."""
        plane.creating_for = 99_999
        plane.create_table("orders")
        (arn,) = plane.add_backups("orders", 1)
        run = running.airflow.api.start_run(f"sensor_modes_{dag_id}_fail", {"backup_arn": arn})
        run.end()
        assert run.task_states() == dict.fromkeys(["poke", "reschedule", "deferrable"], state)
        for mode in run.task_states():
            assert arn in run.task_log(mode)


WRONG = {
    "missing_connection": "The Airflow connection is not found: table 'orders', backup 'first'",
    "wrong_region": "The table does not exist: table 'orders', backup 'first', region 'eu-west-1'.",
    "expired_credentials": "There are no valid AWS credentials: table 'orders', backup 'first', region 'us-east-1'.",
    "no_control_plane": "AWS can't be reached: table 'orders', backup 'first', region 'us-east-1'.",
}


class TestSetUpWrongly:
    """The lines that a user reads in the task's log."""

    def test_the_log_says_what_is_wrong(self, running: Cluster, plane: ControlPlane) -> None:
        """The connection, the region, the credentials, the network; and there is no backup."""
        plane.expired_keys.add("expired")
        plane.create_table("orders")
        run = running.airflow.api.start_run("broken", {})
        assert run.end() == "failed"
        logs = {task: run.task_log(task) for task in WRONG}
        assert {task: WRONG[task] in log for task, log in logs.items()} == dict.fromkeys(WRONG, True)
        assert not plane.backup_arns()
