"""The exception tree: kinds, messages, and what Airflow makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_ddb_backup import exceptions
from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupError,
    ErrorContext,
    InvalidValueError,
    PermanentError,
    SomeFailedError,
    TransientError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def classes(kind: type[BackupError] = BackupError) -> Iterator[type[BackupError]]:
    """Walk the tree."""
    yield kind
    for child in kind.__subclasses__():
        yield from classes(child)


def test_only_what_no_retry_can_fix_fails_the_task_at_once() -> None:
    """Airflow does not retry an AirflowFailException; timeouts and refusals that may pass are none."""
    final = {
        kind.__name__
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, AirflowFailException)
    }
    assert final - {"AirflowFailException"} == {
        "AccessDeniedError",
        "BackupExistsError",
        "BackupLostError",
        "BackupNotPickedError",
        "BackupNotRestorableError",
        "CheckFailedError",
        "DeletionsFailedForGoodError",
        "DrillFailedForGoodError",
        "EmptySelectionError",
        "ForeignTableError",
        "PermanentError",
        "InvalidRequestError",
        "InvalidValueError",
        "KinesisStreamNotFoundError",
        "LeftOverError",
        "ListBackupsDeniedError",
        "NoRegionSetError",
        "OtherRegionError",
        "PointInTimeRecoveryDisabledError",
        "PointInTimeRecoveryUnavailableError",
        "RestoreTimeError",
        "SourceTableGoneError",
        "OtherAccountError",
        "QuotaExceededError",
        "RecoveryPointError",
        "RestoreLostError",
        "SettingsDeniedError",
        "SettingsFailedForGoodError",
        "SystemBackupError",
        "TableNotFoundError",
        "TableUnavailableError",
        "TablesFailedForGoodError",
        "TablesNotFreshForGoodError",
        "TargetTableExistsError",
        "TooManyDeletionsError",
        "TooManyTablesError",
    }


def test_the_root_is_an_airflow_exception() -> None:
    """Callbacks and soft_fail treat our errors as any other's."""
    assert issubclass(BackupError, AirflowException)


@pytest.mark.parametrize("kind", sorted(set(classes()), key=str))
def test_an_error_is_of_one_kind_at_most(kind: type[BackupError]) -> None:
    """What is left to do is never two things."""
    assert sum(issubclass(kind, one) for one in (PermanentError, TransientError, AmbiguousOutcomeError)) <= 1


@pytest.mark.parametrize("kind", sorted(set(classes()), key=str))
def test_summary_and_hint_are_sentences(kind: type[BackupError]) -> None:
    """They are put together: the summary gets its full stop there, the hint has its own."""
    assert kind.summary
    assert not kind.summary.endswith(".")
    assert not kind.hint or kind.hint.endswith(".")


@pytest.mark.parametrize("kind", [kind for kind in classes(SomeFailedError) if kind is not SomeFailedError])
def test_some_failures_may_all_be_final(kind: type[SomeFailedError]) -> None:
    """Then Airflow fails the task at once, by a class that is caught like the other."""
    assert issubclass(kind.for_good, kind if not issubclass(kind, PermanentError) else kind.for_good)
    assert issubclass(kind.for_good, PermanentError)


def test_a_message_has_summary_context_detail_and_hint() -> None:
    """In this order; what is not known is left out."""
    error = exceptions.ThrottledError.about(ErrorContext("orders", region="eu-west-1"), "It was the third time.")
    assert str(error) == (
        f"{error.summary}: table 'orders', region 'eu-west-1'. It was the third time. {exceptions.ThrottledError.hint}"
    )


def test_a_message_without_context_is_a_sentence_too() -> None:
    """Nothing is known of the table before a connection is read."""
    assert str(exceptions.NoRegionSetError.about(ErrorContext())).startswith("No AWS region is set. Set region_name")


def test_a_wrong_value_is_shown_with_its_rule() -> None:
    """Airflow's import errors show nothing else."""
    error = InvalidValueError.of("timeout", 30, "60 to 7200 seconds")
    assert str(error) == "timeout must be 60 to 7200 seconds; got 30."
    assert isinstance(error, ValueError)


def test_a_wrong_value_that_is_no_text_is_told_its_type() -> None:
    """Native rendering makes a number of a name that is all digits."""
    assert "of type int, not text" in str(InvalidValueError.of("table_name", 20261001, "a name", text=True))
    assert "of type" not in str(InvalidValueError.of("table_name", "", "a name", text=True))


def test_a_wrong_value_is_shown_in_part() -> None:
    """An XCom may be of megabytes, of any depth, or a number of any length."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 10**7, deep, 10**5000, [10**5000]):
        assert len(str(InvalidValueError.of("backup_arn", value, "an ARN"))) < 2200


def test_a_message_is_one_line() -> None:
    """Whoever has written a part of it."""
    assert str(BackupError("a\nb\x1b[2J\u202e\ud800")) == r"a\nb\x1b[2J\u202e\ud800"
    assert str(BackupError("Bücher 表 'a'\\")) == "Bücher 表 'a'\\"
