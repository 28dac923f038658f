"""The state of one wait: what each observation means for it. No I/O, no clock; the caller polls.

An observation is data: a :class:`~airflow_ddb_backup.models.Backup`, an exception, or :data:`NOT_LISTED`. Failures
that may pass never end a wait, its deadline does; a final response about this very backup may. A wait for a table that
a restore makes goes by the same rules (:mod:`.restore_state`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, Self, TypeVar

from airflow_ddb_backup.exceptions import (
    BackupError,
    BackupLostError,
    BackupNotFoundError,
    BackupTimeoutError,
    ErrorContext,
    PermanentError,
    TriggerFailedError,
)
from airflow_ddb_backup.models import Backup, BackupArn, BackupStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# A backup that was just created, or whose ARN was just handed on, may not be known everywhere at once.
NOT_FOUND_LIMIT = 3
REPORT_INTERVAL = 30.0
# A poll at the deadline, or at the start of a wait that is resumed after it, is answered by then or not at all.
LAST_POLL_LIMIT = 30.0
# True for both: the operator that made the backup, and a sensor behind it.
_LOST_HINT = "To back the table up again, clear the task that creates the backup."


class NotListed(Enum):
    """The observation that a sweep did not list a backup, or that nothing is known of it yet."""

    NOT_LISTED = "not listed"


NOT_LISTED: Final = NotListed.NOT_LISTED
Observation = Backup | BackupError | Literal[NotListed.NOT_LISTED]
_Seen_contra = TypeVar("_Seen_contra", contravariant=True)
_Result_co = TypeVar("_Result_co", covariant=True)


class WaitStatus(StrEnum):
    """How a wait has ended: the statuses of a trigger's event."""

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class WaitResult:
    """The end of a wait.

    :param status: how it ended
    :param backup: the backup's details, as :meth:`Backup.as_dict` gives them, ``None`` where nothing is known
    :param message: what happened; for a timeout without a hint, since that depends on the task that waited
    """

    status: WaitStatus
    backup: dict[str, Any]
    message: str

    def as_event(self) -> dict[str, Any]:
        """Return the payload of the trigger's event."""
        return {"status": self.status.value, "backup": self.backup, "message": self.message}

    @classmethod
    def from_event(cls, event: Mapping[str, Any] | None) -> Self:
        """Read the payload of a trigger's event. Nothing unknown or incomplete is a success.

        :raises TriggerFailedError: it is not one that this package sends
        """
        try:
            payload: Mapping[str, Any] = event or {}
            result = cls(WaitStatus(payload["status"]), dict(payload["backup"]), str(payload["message"]))
            if result.status is WaitStatus.SUCCESS:
                _check_details(result.backup)
        except (KeyError, TypeError, ValueError) as error:
            detail = f"Its event is not one that this package sends: {event!r}."
            raise TriggerFailedError.about(ErrorContext(), detail) from error
        return result

    def unwrap(self, timeout_error: type[BackupTimeoutError] = BackupTimeoutError) -> dict[str, Any]:
        """Return the backup's details if it is AVAILABLE.

        :param timeout_error: the exception for a wait whose time was up, with the hint for the task that waited
        :raises BackupTimeoutError: the time was up
        :raises BackupLostError: the wait has failed for good
        """
        if self.status is WaitStatus.SUCCESS:
            return self.backup
        if self.status is WaitStatus.TIMEOUT:
            message = f"{self.message} {timeout_error.hint}"
            raise timeout_error(message)
        raise BackupLostError(self.message)


@dataclass(frozen=True, slots=True)
class BackupsResult:
    """The end of a wait for many backups.

    :param failed: how the waits ended for those that did not become AVAILABLE, by ARN; the messages have no hints
    """

    failed: dict[str, tuple[WaitStatus, str]]

    @classmethod
    def of(cls, results: Mapping[str, WaitResult]) -> Self:
        """Take the ends of all waits, by ARN."""
        failed = {
            arn: (result.status, result.message)
            for arn, result in results.items()
            if result.status is not WaitStatus.SUCCESS
        }
        # Messages name the first: those that are lost say more than those that only take long.
        return cls(dict(sorted(failed.items(), key=lambda one: one[1][0] is WaitStatus.TIMEOUT)))

    def as_event(self) -> dict[str, Any]:
        """Return the payload of the trigger's event, which names only what failed: there may be thousands."""
        statuses = {status for status, _ in self.failed.values()}
        worst = next((status for status in (WaitStatus.ERROR, WaitStatus.TIMEOUT) if status in statuses), None)
        failed = {arn: {"status": status.value, "message": message} for arn, (status, message) in self.failed.items()}
        message = f"{len(failed)} backups did not become AVAILABLE." if failed else "All backups are AVAILABLE."
        return {"status": (worst or WaitStatus.SUCCESS).value, "failed": failed, "message": message}

    @classmethod
    def from_event(cls, event: Mapping[str, Any] | None) -> Self:
        """Read the payload of a trigger's event. Nothing unknown or incomplete is a success.

        :raises TriggerFailedError: it is not one that this package sends
        """
        try:
            payload: Mapping[str, Any] = event or {}
            failed = {
                BackupArn.from_response(arn).text: (WaitStatus(one["status"]), str(one["message"]))
                for arn, one in payload["failed"].items()
            }
            _check_statuses(WaitStatus(payload["status"]), [status for status, _ in failed.values()])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            detail = f"Its event is not one that this package sends: {event!r}."
            raise TriggerFailedError.about(ErrorContext(), detail) from error
        return cls(failed)

    def errors(self, timeout_error: type[BackupTimeoutError] = BackupTimeoutError) -> dict[str, BackupError]:
        """Return the exception for each that failed, by ARN.

        :param timeout_error: the exception for a wait whose time was up, with the hint for the task that waited
        """
        return {
            arn: timeout_error(f"{message} {timeout_error.hint}")
            if status is WaitStatus.TIMEOUT
            else BackupLostError(message)
            for arn, (status, message) in self.failed.items()
        }


class Wait(ABC, Generic[_Seen_contra, _Result_co]):
    """One task's wait.

    :param context: the table, backup and region, for messages
    :param deadline: when time is up, in Unix seconds: it holds in whichever process the wait goes on
    :param now: the present, in Unix seconds
    :param reports_from: Unix seconds that the lines on the progress are counted from: the same in every process, and
        another for every wait, so that a restarted triggerer's thousands of waits don't all report at once
    :param last_poll_limit: seconds after the deadline until a last poll is given up
    """

    #: the AWS operation that polls it
    operation: ClassVar[str]

    def __init__(
        self,
        context: ErrorContext,
        deadline: float,
        now: float,
        reports_from: float,
        last_poll_limit: float = LAST_POLL_LIMIT,
    ) -> None:
        self.context = context
        self.deadline = deadline
        self._failure: BackupError | None = None
        self._reports_from = reports_from
        self._next_report = self._report_after(now)
        self._end = max(deadline, now) + last_poll_limit

    @abstractmethod
    def observe(self, observation: _Seen_contra, now: float) -> _Result_co | None:
        """Take in what a poll has returned.

        :param observation: what it says, or the exception that it raised
        :param now: Unix seconds
        :return: the end of the wait, or ``None`` if it goes on
        """

    @abstractmethod
    def progress(self, now: float) -> str:
        """Return a line on the progress.

        :param now: Unix seconds
        """

    @abstractmethod
    def _timed_out(self, now: float) -> _Result_co:
        """Return the end of a wait whose time is up."""

    def next_delay(self, poll_interval: float, now: float) -> float:
        """Return the seconds until the next poll: the last one comes when time is up.

        :param poll_interval: seconds between polls
        :param now: Unix seconds
        """
        return max(0.0, min(poll_interval, self.deadline - now))

    def seconds_until_wakeup(self, now: float) -> float:
        """Return the seconds until there is something to do even if no poll is answered.

        :param now: Unix seconds
        """
        return max(0.0, min(self._next_report, self._end) - now)

    def report(self, now: float) -> str | None:
        """Return a line on the progress, if it is time for one.

        :param now: Unix seconds
        """
        if now < self._next_report:
            return None
        self._next_report = self._report_after(now)
        return self.progress(now)

    def expire(self, now: float) -> _Result_co | None:
        """End a wait whose last poll was never answered.

        :param now: Unix seconds
        :return: the end of the wait, or ``None`` if it goes on
        """
        return self._time_up(now) if now >= self._end else None

    def _time_up(self, now: float) -> _Result_co | None:
        return None if now < self.deadline else self._timed_out(now)

    def _report_after(self, now: float) -> float:
        # AWS's clock may be ahead: only the phase counts.
        return now + REPORT_INTERVAL - (now - self._reports_from) % REPORT_INTERVAL

    def _last_failure(self) -> str:
        return f" The last poll failed: {self._failure}" if self._failure else ""


class BackupWait(Wait[Observation, WaitResult]):
    """One task's wait for one backup.

    :param arn: the backup
    :param deadline: when time is up, in Unix seconds
    :param now: the present, in Unix seconds
    :param last_poll_limit: seconds after the deadline until a last poll is given up
    """

    operation = "DescribeBackup"

    def __init__(self, arn: BackupArn, deadline: float, now: float, last_poll_limit: float = LAST_POLL_LIMIT) -> None:
        reports_from = arn.created_hint.timestamp() if arn.created_hint else now
        super().__init__(arn.context, deadline, now, reports_from, last_poll_limit)
        self.arn = arn
        self.not_found_in_a_row = 0
        self._backup: Backup | None = None

    def observe(self, observation: Observation, now: float) -> WaitResult | None:
        """Take in what a poll says of the backup.

        :param observation: the backup, an exception, or :data:`NOT_LISTED`
        :param now: Unix seconds
        :return: the end of the wait, or ``None`` if it goes on
        """
        if isinstance(observation, Backup):
            ended = self._observe_backup(observation)
        elif isinstance(observation, BackupError):
            ended = self._observe_failure(observation)
        else:
            ended = None
        return ended or self._time_up(now)

    def progress(self, now: float) -> str:
        """Return a line on the progress.

        :param now: Unix seconds
        """
        return f"Backup {self.arn.text}: {self._describe(now)}"

    @property
    def _created_at(self) -> datetime | None:
        return self._backup.created_at if self._backup else self.arn.created_hint

    def _observe_backup(self, backup: Backup) -> WaitResult | None:
        self._backup, self._failure, self.not_found_in_a_row = backup, None, 0
        if backup.status == BackupStatus.AVAILABLE:
            return self._result(WaitStatus.SUCCESS, f"Backup {self.arn.text} is AVAILABLE.")
        if backup.status == BackupStatus.DELETED:
            return self._lost(f"It was deleted. {_LOST_HINT}")
        return None

    def _observe_failure(self, error: BackupError) -> WaitResult | None:
        self._failure = error
        self.not_found_in_a_row = self.not_found_in_a_row + 1 if isinstance(error, BackupNotFoundError) else 0
        if self.not_found_in_a_row >= NOT_FOUND_LIMIT:
            return self._lost(f"It was not found {NOT_FOUND_LIMIT} times in a row: {error} {_LOST_HINT}")
        return self._lost(str(error)) if isinstance(error, PermanentError) else None

    def _describe(self, now: float) -> str:
        status = self._backup.status if self._backup else "not known yet"
        created_at = self._created_at
        elapsed = f", {max(0, int(now - created_at.timestamp()))} s after it was started" if created_at else ""
        return f"status {status}{elapsed}.{self._last_failure()}"

    def _timed_out(self, now: float) -> WaitResult:
        message = BackupTimeoutError.summarize(self.arn.context, f"Last {self._describe(now)}")
        return self._result(WaitStatus.TIMEOUT, message)

    def _lost(self, reason: str) -> WaitResult:
        return self._result(WaitStatus.ERROR, BackupLostError.summarize(self.arn.context, reason))

    def _result(self, status: WaitStatus, message: str) -> WaitResult:
        return WaitResult(status, self._backup.as_dict() if self._backup else self._unknown(), message)

    def _unknown(self) -> dict[str, Any]:
        created_at = self._created_at
        return {
            "backup_arn": self.arn.text,
            "backup_name": None,
            "table_name": self.arn.table_name,
            "status": None,
            "size_bytes": None,
            "created_at": created_at.isoformat() if created_at else None,
        }


def _check_details(backup: Mapping[str, Any]) -> None:
    BackupArn.from_response(backup["backup_arn"])
    for required in ("backup_name", "table_name", "size_bytes", "created_at"):
        _ = backup[required]
    if backup["status"] != BackupStatus.AVAILABLE:
        message = f"a success that is {backup['status']!r}"
        raise ValueError(message)


def _check_statuses(overall: WaitStatus, failed: list[WaitStatus]) -> None:
    if WaitStatus.SUCCESS in failed or (overall is WaitStatus.SUCCESS) != (not failed):
        message = f"{overall.value!r} with {failed!r}"
        raise ValueError(message)
