"""What an answer means for a wait for a fresh backup, without any I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import ErrorContext, TableNotFoundError, ThrottledError
from airflow_ddb_backup.models import Backup, BackupArn, Table, TableBackups
from airflow_ddb_backup.waiting.fresh_state import FreshRequest, FreshWait

if TYPE_CHECKING:
    from tests.simulator.clock import Clock

NOW = datetime(2026, 11, 28, 6, tzinfo=UTC)
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
TABLE = Table("orders", ARN, "present", "ACTIVE", NOW - timedelta(days=9))
ACCOUNT = "123456789012"


def backup(hours: float, **settings: Any) -> Backup:
    """Return a backup of this age."""
    known: dict[str, Any] = {"status": "AVAILABLE", "kind": "USER", "table_id": "present", "size_bytes": 7, **settings}
    name = known.pop("name", "nightly-1")
    return Backup(BackupArn.parse(f"{ARN}/backup/{hours}"), name, created_at=NOW - timedelta(hours=hours), **known)


def wait(prefix: str | None = None, account: str | None = ACCOUNT, timeout: float = 600) -> FreshWait:
    """Return a wait for a backup of the last two hours."""
    wanted = FreshRequest("orders", timedelta(hours=2), prefix)
    return FreshWait(wanted, account, "us-east-1", Deadline.after(timeout))


def observe(waiting: FreshWait, *backups: Backup) -> dict[str, Any] | None:
    """Take in some backups; return the event, if the wait has ended."""
    end = waiting.observe(TableBackups(TABLE, backups, NOW))
    return end.as_event() if end else None


def test_the_newest_backup_that_counts_ends_it(clock: Clock) -> None:
    """With its details, as the sensor of one backup returns them."""
    event = observe(wait(), backup(1.5), backup(1), backup(1.9))
    message = f"Backup {ARN}/backup/1 is 1 h 0 min old."
    assert event == {"status": "success", "backup": backup(1).as_dict(), "message": message}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"table_id": "earlier"}, "of an earlier table of this name"),
        ({"name": "weekly-1"}, "of another name"),
        ({"status": "CREATING"}, "CREATING"),
        ({"status": "DELETED"}, "DELETED"),
        ({"kind": "SYSTEM"}, "of DynamoDB's own"),
        ({"hours": 2.001}, "too old"),
    ],
    ids=str,
)
def test_what_does_not_count_is_told_with_its_reason(clock: Clock, other: dict[str, Any], reason: str) -> None:
    """A timeout says what was found."""
    waiting = wait("nightly-")
    assert observe(waiting, backup(**{"hours": 1.0, **other})) is None
    assert waiting.progress == f"No backup of the last 2 h 0 min counts: 1 {reason}. Table orders."
    assert observe(waiting, backup(1, name="nightly-2")) is not None


def test_without_a_prefix_any_name_counts(clock: Clock) -> None:
    """Whoever has made it, AWS Backup too."""
    event = observe(wait(), backup(1, name="by-hand", kind="AWS_BACKUP"))
    assert event is not None
    assert event["backup"]["backup_name"] == "by-hand"


def test_a_timeout_names_table_and_region_and_what_was_found(clock: Clock) -> None:
    """Also that there is none at all."""
    waiting = wait(timeout=0)
    event = observe(waiting)
    assert event is not None
    assert (event["status"], event["backup"]) == ("timeout", None)
    assert event["message"] == (
        "The table had no fresh backup in time: table 'orders', region 'us-east-1'. Last no backup of the last "
        "2 h 0 min counts: there is none at all."
    )


def test_failures_that_may_pass_do_not_end_it(clock: Clock) -> None:
    """The last is told."""
    waiting = wait()
    assert waiting.observe(ThrottledError.about(ErrorContext(region="us-east-1"))) is None
    assert "Its backups are not known yet. The last poll failed: AWS throttles the call" in waiting.progress


def test_a_table_that_is_not_found_three_times_ends_it(clock: Clock) -> None:
    """Over at least 10 s."""
    waiting, missing = wait(), TableNotFoundError.about(ErrorContext("orders"))
    assert [waiting.observe(missing) for _ in range(5)] == [None] * 5
    clock.sleep(10)
    end = waiting.observe(missing)
    assert end is not None
    assert end.status == "error"
    assert "The table was not found 6 times in a row" in end.message


def test_another_account_ends_it(clock: Clock) -> None:
    """The triggerer's credentials may be another's than the worker's, the ARN's, or ``account_id``."""
    event = observe(wait(account="210987654321"), backup(1))
    assert event is not None
    assert event["status"] == "error"
    reason = "The calls go to account '123456789012', and not to '210987654321'. Check the credentials"
    assert reason in event["message"]
    assert observe(wait(account=None), backup(1)) is not None


def test_waits_for_the_same_share_their_polls(clock: Clock) -> None:
    """Whatever their prefix, which is no part of the calls."""
    assert wait("nightly-").key == wait().key
