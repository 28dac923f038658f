"""Listings of backups, which tables share while they are young enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from logging import getLogger
from typing import TYPE_CHECKING

import pytest

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.creation.listing import Listing
from airflow_ddb_backup.exceptions import CreationTimeoutError, ErrorContext, ListBackupsDeniedError
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from tests.simulator.faults import THROTTLED, Answer, Fault
from tests.unit.creation.support import begun, retry, run

if TYPE_CHECKING:
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

CONTEXT = ErrorContext("orders", "nightly", "us-east-1")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def listing(table_name: str | None = None, timeout: float = 600) -> Listing:
    """Return a listing of the account, or of a table."""
    return Listing(DynamoDBBackupHook(), CONTEXT, Deadline.after(timeout), getLogger("listing"), table_name)


def arns(shared: Listing, table: str = "orders", since: datetime = LONG_AGO, begun_after: float = 0.0) -> list[str]:
    """Return the ARNs of a table's backups."""
    return [backup.arn.text for backup in shared.backups(table, since, begun_after)]


@pytest.mark.parametrize("table_name", [None, "orders"])
def test_it_is_read_once_for_all_that_ask(control_plane: ControlPlane, table_name: str | None) -> None:
    """While nobody needs a newer one."""
    made = control_plane.add_backups("orders", 3)
    shared = listing(table_name)
    assert sorted(arns(shared)) == sorted(arns(shared)) == sorted(made)
    assert arns(shared, "customers") == []
    assert control_plane.calls["ListBackups"] == 1


def test_whoever_needs_a_newer_one_gets_it(control_plane: ControlPlane, clock: Clock) -> None:
    """It must have begun late enough to show what the question is about."""
    shared = listing()
    arns(shared)
    clock.sleep(10)
    made = control_plane.add_backups("orders", 1)
    assert arns(shared, begun_after=clock.monotonic() - 11) == []
    assert arns(shared, begun_after=clock.monotonic()) == made
    assert control_plane.calls["ListBackups"] == 2


def test_whoever_needs_older_backups_gets_them(control_plane: ControlPlane, clock: Clock) -> None:
    """So does everyone after that."""
    made = control_plane.add_backups("orders", 1, age=90)
    now = datetime.fromtimestamp(clock.time(), tz=UTC)
    shared = listing()
    assert arns(shared, since=now - timedelta(seconds=50)) == []
    assert arns(shared, since=now - timedelta(seconds=99)) == made
    assert arns(shared, since=now, begun_after=clock.monotonic() + 1) == made
    assert control_plane.calls["ListBackups"] == 3


def test_a_throttled_page_is_read_again(control_plane: ControlPlane) -> None:
    """And those before it are not."""
    made = control_plane.add_backups("orders", 250)
    # The first page goes well.
    control_plane.fail_next("ListBackups", Fault(Answer.ALTERED))
    control_plane.fail_next("ListBackups", THROTTLED, times=2)
    assert sorted(arns(listing())) == sorted(made)
    assert control_plane.calls["ListBackups"] == 3 + 2


def test_a_refusal_is_kept(control_plane: ControlPlane) -> None:
    """AWS would refuse it for each table alike."""
    control_plane.fail_next("ListBackups", Fault(code="AccessDeniedException"))
    shared = listing()
    for _ in range(3):
        with pytest.raises(ListBackupsDeniedError):
            arns(shared)
    assert control_plane.calls["ListBackups"] == 1


def test_after_the_deadline_only_what_is_known_is_told(control_plane: ControlPlane, clock: Clock) -> None:
    """No listing begins then."""
    shared = listing(timeout=60)
    arns(shared)
    clock.sleep(61)
    assert arns(shared) == []
    with pytest.raises(CreationTimeoutError, match="table 'orders', backup 'nightly', region 'us-east-1'"):
        arns(shared, begun_after=clock.monotonic())
    assert control_plane.calls["ListBackups"] == 1


def test_a_long_one_is_not_read_on_beyond_the_timeout(control_plane: ControlPlane, clock: Clock) -> None:
    """The time may be up between two pages."""
    first = begun(clock)
    control_plane.add_backups("orders", 600)
    control_plane.delays["ListBackups"] = 15
    start = clock.time()
    with pytest.raises(CreationTimeoutError, match="could not be listed in time"):
        run(retry(first), timeout=60)
    assert clock.time() - start <= 60 + 15
