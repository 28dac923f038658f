"""The meaning of each observation for a wait for a restored table. No calls."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    ErrorContext,
    RestoreLostError,
    RestoreTimeoutError,
    TableNotFoundError,
    ThrottledError,
    TriggerFailedError,
)
from airflow_ddb_backup.models import BackupArn, RestoreSource, RestoreSummary, Table
from airflow_ddb_backup.waiting.restore_state import RestoreResult, RestoreWait
from airflow_ddb_backup.waiting.state import WaitResult, WaitStatus

ARN = BackupArn.parse("arn:aws:dynamodb:us-east-1:123456789012:table/orders/backup/01795422913684-770da1ee")
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/restored"
CREATING = Table(
    "restored", TABLE_ARN, "id", "CREATING", datetime.now(tz=UTC), RestoreSummary(ARN.text, in_progress=True)
)
ACTIVE = replace(CREATING, status="ACTIVE", restore=RestoreSummary(ARN.text, in_progress=False))


def wait_for(seconds: float = 600) -> RestoreWait:
    """Return a wait that has just begun."""
    return RestoreWait(RestoreSource.of_backup(ARN), "restored", Deadline.after(seconds))


def end_of(wait: RestoreWait, *observations: Any) -> WaitResult:
    """Return the end of a wait, which the last observation brings."""
    *before, last = observations
    assert [wait.observe(one) for one in before] == [None] * len(before)
    result = wait.observe(last)
    assert result is not None
    return result


@pytest.mark.parametrize(
    "going_on",
    [
        CREATING,
        replace(ACTIVE, restore=RestoreSummary(ARN.text, in_progress=True)),
        replace(ACTIVE, indexes=("ACTIVE", "CREATING")),
        ThrottledError("of AWS"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_it_ends_when_table_and_indexes_are_active(going_on: Any) -> None:
    """And the restore is over."""
    assert end_of(wait_for(), going_on, ACTIVE).unwrap() == TABLE_ARN


@pytest.mark.parametrize("status", ["DELETING", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"])
def test_a_table_that_will_not_be_active_ends_it(status: str) -> None:
    """The message says what to do."""
    with pytest.raises(RestoreLostError, match=f"The table is {status}. Repair or delete the table, then clear"):
        end_of(wait_for(), replace(CREATING, status=status)).unwrap()


def test_another_table_of_that_name_ends_it() -> None:
    """It is another backup's restore."""
    other = replace(ACTIVE, restore=RestoreSummary(ARN.text[:-1] + "0", in_progress=False))
    with pytest.raises(RestoreLostError, match="not this restore. Choose another target_table_name"):
        end_of(wait_for(), other).unwrap()


def test_a_table_without_a_restore_ends_it() -> None:
    """Somebody has made it."""
    with pytest.raises(RestoreLostError, match="another table"):
        end_of(wait_for(), replace(ACTIVE, restore=None)).unwrap()


def test_a_denied_poll_says_that_the_restore_may_go_on() -> None:
    """AWS has not said that it failed."""
    with pytest.raises(RestoreLostError, match="denied The restore itself may go on. Fix the cause"):
        end_of(wait_for(), AccessDeniedError("denied")).unwrap()


def test_a_table_that_was_just_made_may_not_be_known() -> None:
    """However often it is asked for in the first ten seconds."""
    wait = wait_for()
    assert [wait.observe(TableNotFoundError("gone")) for _ in range(9)] == [None] * 9


def test_time_that_is_up_says_that_the_restore_goes_on() -> None:
    """Unless it is over, and an index is not ACTIVE yet."""
    with pytest.raises(
        RestoreTimeoutError, match="status CREATING, restore in progress.* The restore goes on. A retry"
    ):
        end_of(wait_for(0), CREATING).unwrap()
    with pytest.raises(RestoreTimeoutError) as timeout:
        end_of(wait_for(0), replace(ACTIVE, indexes=("CREATING",))).unwrap()
    assert "1 of 1 indexes not ACTIVE" in str(timeout.value)
    assert "The restore goes on" not in str(timeout.value)


def test_an_event_carries_the_whole_result() -> None:
    """The trigger's event arrives on the worker as it was sent."""
    result = RestoreResult(WaitStatus.SUCCESS, TABLE_ARN, "done")
    assert RestoreResult.from_event(result.as_event(), ErrorContext()) == result


@pytest.mark.parametrize(
    "event", [None, {}, {"status": "success"}, {"status": "success", "table_arn": "x", "message": ""}]
)
def test_other_events_are_no_success(event: dict[str, Any] | None) -> None:
    """Nothing unknown or incomplete is."""
    with pytest.raises(TriggerFailedError, match="table 'restored'.*not one that this package sends"):
        RestoreResult.from_event(event, ErrorContext("restored"))
