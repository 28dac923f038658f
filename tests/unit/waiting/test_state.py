"""The meaning of each observation for a wait. No calls, no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    BackupError,
    BackupLostError,
    BackupNotFoundError,
    BackupNotReusedTimeoutError,
    BackupSensorTimeoutError,
    BackupTimeoutError,
    CredentialsError,
    InvalidRequestError,
    ThrottledError,
    TriggerFailedError,
    UnreachableError,
)
from airflow_ddb_backup.models import Backup, BackupArn, BackupStatus
from airflow_ddb_backup.waiting.state import NOT_LISTED, BackupWait, WaitResult, WaitStatus

ARN = BackupArn.parse("arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee")
assert ARN.created_hint is not None
START = ARN.created_hint.timestamp()
CREATING = Backup(ARN, "nightly", BackupStatus.CREATING, 0, ARN.created_hint)
AVAILABLE = replace(CREATING, status=BackupStatus.AVAILABLE, size_bytes=123)
DELETED = replace(CREATING, status=BackupStatus.DELETED)


@pytest.fixture
def wait() -> BackupWait:
    """Return a wait of an hour, just begun."""
    return BackupWait(ARN, START + 3600, START)


def test_available_ends_the_wait_with_success(wait: BackupWait) -> None:
    """The details are those of the last poll."""
    assert wait.observe(CREATING, START + 1) is None
    result = wait.observe(AVAILABLE, START + 2)
    assert result is not None
    assert result.unwrap() == AVAILABLE.as_dict()


def test_available_counts_even_when_time_is_up(wait: BackupWait) -> None:
    """A last poll that finds the backup AVAILABLE is a success."""
    result = wait.observe(AVAILABLE, START + 9999)
    assert result is not None
    assert result.status is WaitStatus.SUCCESS


def test_deleted_ends_the_wait_with_an_error(wait: BackupWait) -> None:
    """A deleted backup never becomes AVAILABLE."""
    result = wait.observe(DELETED, START)
    assert result is not None
    assert result.backup["status"] == "DELETED"
    with pytest.raises(BackupLostError, match=f"table 'orders', backup '{ARN.text}', region 'us-east-1'.*deleted"):
        result.unwrap()


def test_time_that_is_up_names_backup_status_and_elapsed_time(wait: BackupWait) -> None:
    """A timeout tells where things stood."""
    result = wait.observe(CREATING, START + 3600)
    assert result is not None
    assert result.status is WaitStatus.TIMEOUT
    with pytest.raises(BackupTimeoutError, match=f"{ARN.text}.*status CREATING, 3600 s after it was started"):
        result.unwrap()


@pytest.mark.parametrize("kind", [BackupTimeoutError, BackupNotReusedTimeoutError, BackupSensorTimeoutError])
def test_the_hint_of_a_timeout_is_true_for_whoever_waited(wait: BackupWait, kind: type[BackupTimeoutError]) -> None:
    """A retry of an operator waits for the backup or makes another, and Airflow does not retry a sensor's timeout."""
    result = wait.observe(CREATING, START + 3600)
    assert result is not None
    with pytest.raises(kind) as timeout:
        result.unwrap(kind)
    hints = [each.hint for each in (BackupTimeoutError, BackupNotReusedTimeoutError, BackupSensorTimeoutError)]
    assert [hint in str(timeout.value) for hint in hints] == [hint == kind.hint for hint in hints]


@pytest.mark.parametrize(
    ("observation", "advised"),
    [(DELETED, True), (AccessDeniedError("denied"), False), (InvalidRequestError("x"), False)],
)
def test_only_a_backup_that_is_gone_has_to_be_made_again(
    wait: BackupWait, observation: Backup | BackupError, *, advised: bool
) -> None:
    """By the task that creates it, whoever waited; a denied call leaves the backup as it is."""
    result = wait.observe(observation, START)
    assert result is not None
    assert ("clear the task that creates the backup" in result.message) is advised


def test_a_status_that_is_not_known_keeps_waiting(wait: BackupWait) -> None:
    """AWS may add one."""
    assert wait.observe(replace(CREATING, status="ARCHIVED"), START) is None
    assert "status ARCHIVED" in wait.progress(START)


def test_elapsed_time_counts_from_what_aws_says_not_from_the_arn() -> None:
    """An ID may hold no time; then nothing is said of it until a response has it."""
    arn = BackupArn.parse("arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/5b0c3e6e-uuid")
    wait = BackupWait(arn, START + 3600, START)
    assert wait.progress(START + 9) == f"Backup {arn.text}: status not known yet."
    wait.observe(replace(CREATING, arn=arn), START)
    assert "status CREATING, 9 s after" in wait.progress(CREATING.created_at.timestamp() + 9)


def test_not_found_is_forgiven_until_the_third_time_in_a_row(wait: BackupWait) -> None:
    """A new backup may not be known everywhere at once."""
    gone = BackupNotFoundError("Backup not found")
    for _ in range(2):
        assert wait.observe(gone, START) is None
    assert wait.observe(CREATING, START) is None
    for _ in range(2):
        assert wait.observe(gone, START) is None
    result = wait.observe(gone, START)
    assert result is not None
    assert "not found 3 times in a row: Backup not found" in result.message
    assert result.status is WaitStatus.ERROR


@pytest.mark.parametrize(
    "kind", [ThrottledError, AmbiguousOutcomeError, UnreachableError, CredentialsError, BackupError]
)
def test_what_may_pass_ends_no_wait_but_the_deadline_does(wait: BackupWait, kind: type[BackupError]) -> None:
    """Throttling, 5xx, lost connections and missing credentials are waited out, and named if time runs out."""
    assert wait.observe(kind("of AWS"), START + 3599) is None
    result = wait.observe(kind("of AWS"), START + 3600)
    assert result is not None
    assert result.status is WaitStatus.TIMEOUT
    assert "status not known yet" in result.message
    assert "The last poll failed: of AWS" in result.message


@pytest.mark.parametrize("kind", [AccessDeniedError, InvalidRequestError])
def test_what_never_passes_ends_the_wait_at_once(wait: BackupWait, kind: type[BackupError]) -> None:
    """Denied and invalid calls end the wait with their reason."""
    result = wait.observe(kind("AWS's reason"), START)
    assert result is not None
    assert result.status is WaitStatus.ERROR
    assert "AWS's reason" in result.message


def test_a_good_poll_makes_an_earlier_failure_forgotten(wait: BackupWait) -> None:
    """Only trouble that still lasts is told."""
    wait.observe(ThrottledError("of AWS"), START)
    wait.observe(CREATING, START)
    assert "of AWS" not in wait.progress(START)


def test_progress_is_reported_every_30_seconds(wait: BackupWait) -> None:
    """Status and whole elapsed seconds, not at every poll."""
    wait.observe(CREATING, START)
    assert wait.report(START + 29.9) is None
    assert wait.report(START + 30.4) == f"Backup {ARN.text}: status CREATING, 30 s after it was started."
    assert wait.report(START + 59.9) is None
    assert wait.report(START + 60.1) is not None


def test_reports_count_from_the_backup_s_creation() -> None:
    """Thousands of waits that a triggerer takes up at once don't all report at once."""
    wait = BackupWait(ARN, START + 3600, START + 50)
    assert wait.report(START + 59.9) is None
    assert wait.report(START + 60.1) == f"Backup {ARN.text}: status not known yet, 60 s after it was started."


def test_reports_come_every_30_seconds_though_aws_s_clock_is_ahead() -> None:
    """The backup was created in this clock's future."""
    wait = BackupWait(ARN, START + 3600, START - 300)
    assert wait.report(START - 271) is None
    assert wait.report(START - 269.9) is not None


def test_what_a_sweep_does_not_list_ends_nothing_but_what_is_late(wait: BackupWait) -> None:
    """A sweep that does not show a backup says nothing of it."""
    assert wait.observe(NOT_LISTED, START + 3599) is None
    result = wait.observe(NOT_LISTED, START + 3600)
    assert result is not None
    assert result.status is WaitStatus.TIMEOUT


@pytest.mark.parametrize(("began", "ends"), [(0, 3630), (9000, 9030)])
def test_a_last_poll_that_is_never_answered_is_waited_for_30_seconds(began: float, ends: float) -> None:
    """From the deadline on, or from the start of a wait that a triggerer takes up after it."""
    wait = BackupWait(ARN, START + 3600, START + began)
    assert wait.expire(START + ends - 0.1) is None
    result = wait.expire(START + ends)
    assert result is not None
    assert result.status is WaitStatus.TIMEOUT


def test_it_is_heard_of_at_each_report_and_at_its_end(wait: BackupWait) -> None:
    """Its trigger sleeps until there is something to say."""
    assert wait.seconds_until_wakeup(START) == 30
    assert wait.seconds_until_wakeup(START + 25) == 5
    late = BackupWait(ARN, START + 40, START + 31)
    assert late.seconds_until_wakeup(START + 31) == 29


def test_the_last_poll_comes_when_time_is_up(wait: BackupWait) -> None:
    """No delay goes past the deadline."""
    assert wait.next_delay(5, START) == 5
    assert wait.next_delay(5, START + 3598) == 2
    assert wait.next_delay(5, START + 3601) == 0


def test_a_clock_behind_aws_s_shows_no_negative_time(wait: BackupWait) -> None:
    """Clocks differ."""
    assert "0 s after" in wait.progress(START - 3)


def test_an_event_carries_the_whole_result(wait: BackupWait) -> None:
    """The trigger's event arrives on the worker as it was sent."""
    result = wait.observe(AVAILABLE, START)
    assert result is not None
    assert set(result.as_event()) == {"status", "backup", "message"}
    assert WaitResult.from_event(result.as_event()) == result


DETAILS = AVAILABLE.as_dict()


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"status": "success"},
        {"status": "done", "backup": {}, "message": ""},
        {"status": None, "backup": {}, "message": ""},
        {"status": "success", "backup": None, "message": ""},
        {"status": "success", "backup": {}, "message": ""},
        {"status": "success", "backup": DETAILS | {"status": "CREATING"}, "message": ""},
        {"status": "success", "backup": DETAILS | {"backup_arn": None}, "message": ""},
        *(
            {"status": "success", "backup": {k: DETAILS[k] for k in DETAILS if k != key}, "message": ""}
            for key in DETAILS
        ),
    ],
)
def test_other_events_are_no_success(event: dict[str, Any] | None) -> None:
    """Only what this package sends is believed, and a success only with all details."""
    with pytest.raises(TriggerFailedError, match="not one that this package sends"):
        WaitResult.from_event(event)
