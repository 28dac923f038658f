"""What each look means for a wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    BackupError,
    BackupLostError,
    BackupNotFoundError,
    BackupTimeoutError,
    CredentialsError,
    InvalidRequestError,
    ThrottledError,
    UnreachableError,
)
from airflow_ddb_backup.models import Backup, BackupArn, BackupStatus
from airflow_ddb_backup.waiting.state import BackupWait, WaitResult, WaitStatus

ARN = BackupArn.parse("arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee")
START = ARN.created_at.timestamp()
CREATING = Backup(ARN, "nightly", BackupStatus.CREATING, 0, datetime(2026, 11, 23, 8, 35, 13, tzinfo=UTC))
AVAILABLE = replace(CREATING, status=BackupStatus.AVAILABLE, size_bytes=123)
DELETED = replace(CREATING, status=BackupStatus.DELETED)


@pytest.fixture
def wait() -> BackupWait:
    """Return a wait of an hour, just begun."""
    return BackupWait(ARN, START + 3600, START)


def test_available_ends_the_wait_with_success(wait: BackupWait) -> None:
    """The details are those of the last look."""
    assert wait.see(CREATING, START + 1) is None
    verdict = wait.see(AVAILABLE, START + 2)
    assert verdict is not None
    assert verdict.details() == AVAILABLE.as_dict()


def test_available_counts_even_when_time_is_up(wait: BackupWait) -> None:
    """A last look that finds the backup AVAILABLE is a success."""
    verdict = wait.see(AVAILABLE, START + 9999)
    assert verdict is not None
    assert verdict.status is WaitStatus.SUCCESS


def test_deleted_ends_the_wait_with_an_error(wait: BackupWait) -> None:
    """A deleted backup never becomes AVAILABLE."""
    verdict = wait.see(DELETED, START)
    assert verdict is not None
    assert verdict.backup["status"] == "DELETED"
    with pytest.raises(BackupLostError, match=f"table 'orders', backup '{ARN.text}', region 'us-east-1'.*deleted"):
        verdict.details()


def test_time_that_is_up_names_backup_status_and_elapsed_time(wait: BackupWait) -> None:
    """A timeout tells where things stood."""
    verdict = wait.see(CREATING, START + 3600)
    assert verdict is not None
    assert verdict.status is WaitStatus.TIMEOUT
    with pytest.raises(BackupTimeoutError, match=f"{ARN.text}.*status CREATING, 3600 s after it was started"):
        verdict.details()


def test_not_found_is_forgiven_until_the_third_time_in_a_row(wait: BackupWait) -> None:
    """What was just created may not be known everywhere at once."""
    gone = BackupNotFoundError("Backup not found")
    for _ in range(2):
        assert wait.miss(gone, START) is None
    assert wait.see(CREATING, START) is None
    for _ in range(2):
        assert wait.miss(gone, START) is None
    verdict = wait.miss(gone, START)
    assert verdict is not None
    assert "not found 3 times in a row: Backup not found" in verdict.message
    assert verdict.status is WaitStatus.ERROR


@pytest.mark.parametrize(
    "kind", [ThrottledError, AmbiguousOutcomeError, UnreachableError, CredentialsError, BackupError]
)
def test_what_may_pass_ends_no_wait_but_the_deadline_does(wait: BackupWait, kind: type[BackupError]) -> None:
    """Throttling, 5xx, lost connections and missing credentials are waited out, and named if time runs out."""
    assert wait.miss(kind("of AWS"), START + 3599) is None
    verdict = wait.miss(kind("of AWS"), START + 3600)
    assert verdict is not None
    assert verdict.status is WaitStatus.TIMEOUT
    assert "status not known yet" in verdict.message
    assert "The last look failed: of AWS" in verdict.message


@pytest.mark.parametrize("kind", [AccessDeniedError, InvalidRequestError])
def test_what_never_passes_ends_the_wait_at_once(wait: BackupWait, kind: type[BackupError]) -> None:
    """Denied and invalid looks end the wait with their reason."""
    verdict = wait.miss(kind("AWS's reason"), START)
    assert verdict is not None
    assert verdict.status is WaitStatus.ERROR
    assert "AWS's reason" in verdict.message


def test_a_good_look_makes_an_earlier_failure_forgotten(wait: BackupWait) -> None:
    """Only trouble that still lasts is told."""
    wait.miss(ThrottledError("of AWS"), START)
    wait.see(CREATING, START)
    assert "of AWS" not in wait.progress(START)


def test_progress_is_reported_every_30_seconds(wait: BackupWait) -> None:
    """Status and whole elapsed seconds, not at every look."""
    wait.see(CREATING, START)
    assert wait.report(START + 29.9) is None
    assert wait.report(START + 30.4) == f"Backup {ARN.text}: status CREATING, 30 s after it was started."
    assert wait.report(START + 59.9) is None
    assert wait.report(START + 60.1) is not None


def test_reports_count_from_the_backup_s_creation() -> None:
    """Thousands of waits that a triggerer takes up at once don't all report at once."""
    wait = BackupWait(ARN, START + 3600, START + 50)
    assert wait.report(START + 59.9) is None
    assert wait.report(START + 60.1) == f"Backup {ARN.text}: status not known yet, 60 s after it was started."


def test_a_look_that_was_put_off_ends_nothing_but_what_is_late(wait: BackupWait) -> None:
    """A sweep that does not show a backup says nothing of it."""
    assert wait.skip(START + 3599) is None
    verdict = wait.skip(START + 3600)
    assert verdict is not None
    assert verdict.status is WaitStatus.TIMEOUT


@pytest.mark.parametrize(("began", "ends"), [(0, 3630), (9000, 9030)])
def test_a_last_look_that_is_never_answered_is_waited_for_30_seconds(began: float, ends: float) -> None:
    """From the deadline on, or from the start of a wait that a triggerer takes up after it."""
    wait = BackupWait(ARN, START + 3600, START + began)
    assert wait.give_up(START + ends - 0.1) is None
    verdict = wait.give_up(START + ends)
    assert verdict is not None
    assert verdict.status is WaitStatus.TIMEOUT


def test_it_is_heard_of_at_each_report_and_at_its_end(wait: BackupWait) -> None:
    """Its trigger sleeps until there is something to say."""
    assert wait.silence(START) == 30
    assert wait.silence(START + 25) == 5
    late = BackupWait(ARN, START + 40, START + 31)
    assert late.silence(START + 31) == 29


def test_the_last_look_comes_when_time_is_up(wait: BackupWait) -> None:
    """No pause goes past the deadline."""
    assert wait.pause(5, START) == 5
    assert wait.pause(5, START + 3598) == 2
    assert wait.pause(5, START + 3601) == 0


def test_a_clock_behind_aws_s_shows_no_negative_time(wait: BackupWait) -> None:
    """Clocks differ."""
    assert "0 s after" in wait.progress(START - 3)


def test_an_event_carries_the_whole_verdict(wait: BackupWait) -> None:
    """What the trigger says arrives on the worker as it was."""
    verdict = wait.see(AVAILABLE, START)
    assert verdict is not None
    assert set(verdict.as_event()) == {"status", "backup", "message"}
    assert WaitResult.from_event(verdict.as_event()) == verdict


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"status": "success"},
        {"status": "done", "backup": {}, "message": ""},
        {"status": None, "backup": {}, "message": ""},
        {"status": "success", "backup": None, "message": ""},
    ],
)
def test_other_events_are_no_success(event: dict[str, Any] | None) -> None:
    """Only what this package sends is believed."""
    with pytest.raises(BackupLostError, match="not one that this package sends"):
        WaitResult.from_event(event)
