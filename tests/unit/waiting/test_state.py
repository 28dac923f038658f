"""The meaning of each observation for a wait. No calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_ddb_backup.clock import Clock, Deadline
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
    ErrorContext,
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


class Time:
    """The time, as a test sets it."""

    now = START

    def time(self) -> float:
        """Return Unix seconds."""
        return self.now

    monotonic = time

    def sleep(self, seconds: float, /) -> None:
        """Let the time pass."""
        self.now += seconds


At = Callable[[float], BackupWait]


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Return the time that the waits of a test go by."""
    time = Time()
    monkeypatch.setattr(Clock, "source", time)
    return time


@pytest.fixture
def at(time: Time) -> At:
    """Return a wait of an hour, after so many seconds."""
    wait = BackupWait(ARN, Deadline.after(3600))

    def at(seconds: float) -> BackupWait:
        time.now = START + seconds
        return wait

    return at


def test_available_ends_the_wait_with_success(at: At) -> None:
    """The details are those of the last poll."""
    assert at(1).observe(CREATING) is None
    result = at(2).observe(AVAILABLE)
    assert result is not None
    assert result.unwrap() == AVAILABLE.as_dict()


def test_available_counts_even_when_time_is_up(at: At) -> None:
    """A last poll that finds the backup AVAILABLE is a success."""
    result = at(9999).observe(AVAILABLE)
    assert result is not None
    assert result.status is WaitStatus.SUCCESS


def test_deleted_ends_the_wait_with_an_error(at: At) -> None:
    """A deleted backup never becomes AVAILABLE."""
    result = at(0).observe(DELETED)
    assert result is not None
    assert result.found["status"] == "DELETED"
    with pytest.raises(BackupLostError, match=f"table 'orders', backup '{ARN.text}', region 'us-east-1'.*deleted"):
        result.unwrap()


def test_time_that_is_up_names_backup_status_and_elapsed_time(at: At) -> None:
    """A timeout tells where things stood."""
    result = at(3600).observe(CREATING)
    assert result is not None
    assert result.status is WaitStatus.TIMEOUT
    with pytest.raises(BackupTimeoutError, match=f"{ARN.text}.*status CREATING, 3600 s after it was started"):
        result.unwrap()


@pytest.mark.parametrize("kind", [BackupTimeoutError, BackupNotReusedTimeoutError, BackupSensorTimeoutError])
def test_the_hint_of_a_timeout_is_true_for_whoever_waited(at: At, kind: type[BackupTimeoutError]) -> None:
    """A retry of an operator waits for the backup or makes another, and Airflow does not retry a sensor's timeout."""
    result = at(3600).observe(CREATING)
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
    at: At, observation: Backup | BackupError, *, advised: bool
) -> None:
    """By the task that creates it, whoever waited; a denied call leaves the backup as it is."""
    result = at(0).observe(observation)
    assert result is not None
    assert ("clear the task that creates the backup" in result.message) is advised


def test_a_status_that_is_not_known_keeps_waiting(at: At) -> None:
    """AWS may add one."""
    assert at(0).observe(replace(CREATING, status="ARCHIVED")) is None
    assert "Status ARCHIVED" in at(0).progress


def test_elapsed_time_counts_from_what_aws_says_not_from_the_arn(time: Time) -> None:
    """An ID may hold no time; then nothing is said of it until a response has it."""
    arn = BackupArn.parse("arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/5b0c3e6e-uuid")
    wait = BackupWait(arn, Deadline.after(3600))
    time.now = START + 9
    assert wait.progress == f"Status not known yet. Backup {arn.text}."
    wait.observe(replace(CREATING, arn=arn))
    assert "Status CREATING, 9 s after" in wait.progress


def test_not_found_is_forgiven_until_the_third_time_in_a_row(at: At) -> None:
    """A new backup may not be known everywhere at once."""
    gone = BackupNotFoundError("Backup not found")
    for _ in range(2):
        assert at(0).observe(gone) is None
    assert at(0).observe(CREATING) is None
    for _ in range(2):
        assert at(10).observe(gone) is None
    result = at(10).observe(gone)
    assert result is not None
    assert "not found 3 times in a row: Backup not found" in result.message
    assert result.status is WaitStatus.ERROR


@pytest.mark.parametrize(
    "kind", [ThrottledError, AmbiguousOutcomeError, UnreachableError, CredentialsError, BackupError]
)
def test_what_may_pass_ends_no_wait_but_the_deadline_does(at: At, kind: type[BackupError]) -> None:
    """Throttling, 5xx, lost connections and missing credentials are waited out, and named if time runs out."""
    assert at(3599).observe(kind("of AWS")) is None
    result = at(3600).observe(kind("of AWS"))
    assert result is not None
    assert result.status is WaitStatus.TIMEOUT
    assert "status not known yet" in result.message
    assert "The last poll failed: of AWS" in result.message


@pytest.mark.parametrize("kind", [AccessDeniedError, InvalidRequestError])
def test_what_never_passes_ends_the_wait_at_once(at: At, kind: type[BackupError]) -> None:
    """Denied and invalid calls end the wait with their reason."""
    result = at(0).observe(kind("AWS's reason"))
    assert result is not None
    assert result.status is WaitStatus.ERROR
    assert "AWS's reason" in result.message


def test_a_good_poll_makes_an_earlier_failure_forgotten(at: At) -> None:
    """Only trouble that still lasts is told."""
    at(0).observe(ThrottledError("of AWS"))
    at(0).observe(CREATING)
    assert "of AWS" not in at(0).progress


def test_not_found_is_forgiven_for_ten_seconds(at: At) -> None:
    """However often it was asked for by then."""
    gone = BackupNotFoundError("Backup not found")
    for second in range(10):
        assert at(second).observe(gone) is None
    result = at(10).observe(gone)
    assert result is not None
    assert result.status is WaitStatus.ERROR


def test_a_failed_call_says_nothing_of_what_is_not_found(at: At) -> None:
    """A backup that is gone is known to be, also where every other poll is throttled."""
    for second in (0, 20):
        assert at(second).observe(BackupNotFoundError("gone")) is None
        assert at(second).observe(ThrottledError("of AWS")) is None
    assert at(40).observe(BackupNotFoundError("gone")) is not None


def test_reports_count_from_the_backup_s_creation(time: Time) -> None:
    """Thousands of waits that a triggerer takes up at once don't all report at once."""
    time.now = START + 50
    wait = BackupWait(ARN, Deadline.after(3600))
    assert wait.seconds_until_report() == pytest.approx(10)
    assert wait.progress == f"Status not known yet, 50 s after it was started. Backup {ARN.text}."


def test_reports_come_every_30_seconds_though_aws_s_clock_is_ahead(time: Time) -> None:
    """The backup was created in this clock's future."""
    time.now = START - 299
    assert BackupWait(ARN, Deadline.after(3600)).seconds_until_report() == pytest.approx(29)


def test_what_a_sweep_does_not_list_ends_nothing_but_what_is_late(at: At) -> None:
    """A sweep that does not show a backup says nothing of it."""
    assert at(3599).observe(NOT_LISTED) is None
    result = at(3600).observe(NOT_LISTED)
    assert result is not None
    assert result.status is WaitStatus.TIMEOUT


def test_the_last_poll_comes_when_time_is_up(at: At) -> None:
    """No delay goes past the deadline."""
    assert at(0).next_delay(5) == 5
    assert at(3598).next_delay(5) == 2
    assert at(3601).next_delay(5) == 0


def test_a_clock_behind_aws_s_shows_no_negative_time(at: At) -> None:
    """Clocks differ."""
    assert "0 s after" in at(-3).progress


def test_an_event_carries_the_whole_result(at: At) -> None:
    """The trigger's event arrives on the worker as it was sent."""
    result = at(0).observe(AVAILABLE)
    assert result is not None
    assert set(result.as_event()) == {"status", "backup", "message"}
    assert WaitResult.from_event(result.as_event(), ErrorContext()) == result


DETAILS = AVAILABLE.as_dict()


def test_a_long_event_is_cut() -> None:
    """It may name thousands of backups."""
    with pytest.raises(TriggerFailedError) as failure:
        WaitResult.from_event({"status": "x" * 100_000}, ErrorContext())
    assert len(str(failure.value)) < 3000


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
        *(
            {"status": "success", "backup": DETAILS | wrong, "message": ""}
            for wrong in (
                {"status": "CREATING"},
                {"backup_arn": None},
                {"backup_arn": "orders"},
                {"table_name": "customers"},
                {"backup_name": None},
                {"size_bytes": "5"},
                {"size_bytes": 10**400},
                {"created_at": "yesterday"},
            )
        ),
        *(
            {"status": "success", "backup": {k: DETAILS[k] for k in DETAILS if k != key}, "message": ""}
            for key in DETAILS
        ),
    ],
)
def test_other_events_are_no_success(event: dict[str, Any] | None) -> None:
    """Only what this package sends is believed, and a success only with all details."""
    with pytest.raises(TriggerFailedError, match="not one that this package sends"):
        WaitResult.from_event(event, ErrorContext())
