"""Tries of tasks that create backups, of one table or of forty, and what became of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from inspect import unwrap
from math import floor
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.operators.dynamodb import DynamoDBBackupTablesOperator, DynamoDBCreateBackupOperator
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.unit.conftest import FakeTaskInstance, context_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

GIVEN = {"backup_name": "ledger-nightly"}
DAY = 86_400.0
COUNT = 40
TABLES = [f"table-{number:02}" for number in range(COUNT)]


def execute(task: DynamoDBCreateBackupOperator, ti: FakeTaskInstance) -> str:
    """Execute a task, in any thread: Airflow 2's guard against calls by hand knows the main one alone."""
    arn: str = unwrap(type(task).execute)(task, context_of(ti))
    return arn


def run(ti: FakeTaskInstance, table_name: str = "orders", **kwargs: Any) -> str:
    """Run one try of a task to its end."""
    return execute(DynamoDBCreateBackupOperator(task_id="back_up", table_name=table_name, **kwargs), ti)


def retry(ti: FakeTaskInstance) -> FakeTaskInstance:
    """Return the next try."""
    return replace(ti, try_number=ti.try_number + 1, xcoms={})


def at(clock: Clock, offset: float = 0.0) -> datetime:
    """Return the time by the scheduler's clock, which may be ahead, in whole milliseconds as AWS's times are."""
    return datetime.fromtimestamp(floor((clock.time() + offset) * 1000) / 1000, tz=UTC)


def begun(clock: Clock, run_id: str = "manual__1", ahead: float = 0.0, **fields: Any) -> FakeTaskInstance:
    """Return a task instance of a run that is due, and starts, now."""
    return FakeTaskInstance(run_id=run_id, **{"run_after": at(clock, ahead), "started": at(clock, ahead)} | fields)


def cleared(ti: FakeTaskInstance, clock: Clock, *, finished: bool = True, ran: bool = True) -> FakeTaskInstance:
    """Return a task instance after its run was cleared: a finished run starts again, a task that ran counts on."""
    started = at(clock) if finished else ti.started
    number = ti.try_number + 1 if ran else ti.try_number
    return replace(ti, started=started, try_number=number, clear_number=ti.clear_number + 1, xcoms={})


def operator(**kwargs: Any) -> DynamoDBBackupTablesOperator:
    """Return a task for all tables but ``orders``."""
    return DynamoDBBackupTablesOperator(task_id="back_up", **{"table_names": ["table-*"], **kwargs})


def context_for(clock: Clock, **kwargs: Any) -> Context:
    """Return the context of a try."""
    return context_of(FakeTaskInstance(run_after=datetime.fromtimestamp(clock.time(), tz=UTC), **kwargs))


def retry_of(context: Context, **kwargs: Any) -> Context:
    """Return the context of the next try of the same run."""
    ti: Any = context["ti"]
    return context_of(FakeTaskInstance(run_after=ti.run_after, try_number=ti.try_number + 1, **kwargs))


def by_table(control_plane: ControlPlane) -> dict[str, list[str]]:
    """Return the backups of each table."""
    found: dict[str, list[str]] = {}
    for arn in control_plane.backup_arns():
        found.setdefault(arn.split("/")[1], []).append(arn)
    return found


def backed_up(control_plane: ControlPlane, *without: str) -> dict[str, str]:
    """Return the one backup of each table, which each must have but some that have none."""
    found = by_table(control_plane)
    assert sorted(found) == sorted(set(TABLES) - set(without))
    assert [arns for arns in found.values() if len(arns) != 1] == []
    return {table: arn for table, (arn,) in sorted(found.items())}


def deny(control_plane: ControlPlane, action: str, table: str) -> None:
    """Allow everything but one action on one table."""
    actions = ["ListTables", "ListBackups", "DescribeTable", "CreateBackup", "DescribeBackup"]
    everywhere = [f"dynamodb:{each}" for each in actions if each != action]
    arns = [f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}" for name in TABLES if name != table]
    control_plane.policy = {
        "Statement": [
            {"Effect": "Allow", "Action": everywhere, "Resource": "*"},
            {"Effect": "Allow", "Action": f"dynamodb:{action}", "Resource": arns},
        ]
    }


def xcoms(context: Context) -> dict[str, Any]:
    """Return what the task has pushed."""
    ti: Any = context["ti"]
    pushed: dict[str, Any] = ti.xcoms
    return pushed


def once_listed(control_plane: ControlPlane, since: float, do: Callable[[], object]) -> None:
    """Do it once, when the first page of backups since then has been read and not yet been sent.

    :param since: by the tests' clock
    """
    left = [do]

    def after(operation: str) -> None:
        if operation == "ListBackups" and control_plane.clock.time() >= since and left:
            left.pop()()

    control_plane.after = after
