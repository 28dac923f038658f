"""What each look at a backup means for a task that waits for it. Pure: who looks, and when, is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from airflow_ddb_backup.exceptions import (
    BackupError,
    BackupLostError,
    BackupNotFoundError,
    BackupTimeoutError,
    PermanentError,
)
from airflow_ddb_backup.models import Backup, BackupArn, BackupStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

# A backup that was just created, or whose ARN was just handed on, may not be known everywhere at once.
NOT_FOUND_LIMIT = 3
REPORT_INTERVAL = 30.0
# A look at the deadline, or at the start of a wait that is resumed after it, is answered by then or not at all.
LAST_LOOK = 30.0


class WaitStatus(StrEnum):
    """How a wait has ended; all that an event may say."""

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class WaitResult:
    """The end of a wait.

    :param status: how it ended
    :param backup: the backup's details, as :meth:`Backup.as_dict` gives them, ``None`` where nothing is known
    :param message: what a person should read
    """

    status: WaitStatus
    backup: dict[str, Any]
    message: str

    def as_event(self) -> dict[str, Any]:
        """Return the payload of the trigger's event."""
        return {"status": self.status.value, "backup": self.backup, "message": self.message}

    @classmethod
    def from_event(cls, event: Mapping[str, Any] | None) -> Self:
        """Read the payload of a trigger's event.

        :raises BackupLostError: it is not one of ours; nothing unknown may pass for a success
        """
        try:
            payload: Mapping[str, Any] = event or {}
            return cls(WaitStatus(payload["status"]), dict(payload["backup"]), str(payload["message"]))
        except (KeyError, TypeError, ValueError) as error:
            message = f"The trigger's event is not one that this package sends: {event!r}. {BackupLostError.hint}"
            raise BackupLostError(message) from error

    def details(self, timeout_error: type[BackupTimeoutError] = BackupTimeoutError) -> dict[str, Any]:
        """Return the backup's details if it is AVAILABLE.

        :param timeout_error: what to raise when the time was up
        :raises BackupTimeoutError: the time was up
        :raises BackupLostError: the wait has failed for good
        """
        if self.status is WaitStatus.SUCCESS:
            return self.backup
        kind = timeout_error if self.status is WaitStatus.TIMEOUT else BackupLostError
        raise kind(self.message)


class BackupWait:
    """One task's wait for one backup.

    :param arn: the backup
    :param deadline: when time is up, in Unix seconds: it holds in whichever process the wait goes on
    :param now: the present, in Unix seconds
    """

    def __init__(self, arn: BackupArn, deadline: float, now: float) -> None:
        self.arn = arn
        self.deadline = deadline
        self.not_found_in_a_row = 0
        self._backup: Backup | None = None
        self._failure: BackupError | None = None
        self._next_report = self._report_after(now)
        self._end = max(deadline, now) + LAST_LOOK

    def see(self, backup: Backup, now: float) -> WaitResult | None:
        """Take in what AWS said of the backup.

        :param now: Unix seconds
        :return: the end of the wait, or ``None`` if it goes on
        """
        self._backup, self._failure, self.not_found_in_a_row = backup, None, 0
        if backup.status is BackupStatus.AVAILABLE:
            return self._verdict(WaitStatus.SUCCESS, f"Backup {self.arn.text} is AVAILABLE.")
        if backup.status is BackupStatus.DELETED:
            return self._lost("It was deleted.")
        return self._time_up(now)

    def miss(self, error: BackupError, now: float) -> WaitResult | None:
        """Take in that a look has failed. What may pass never ends a wait; its deadline does.

        :param now: Unix seconds
        :return: the end of the wait, or ``None`` if it goes on
        """
        self._failure = error
        self.not_found_in_a_row = self.not_found_in_a_row + 1 if isinstance(error, BackupNotFoundError) else 0
        if self.not_found_in_a_row >= NOT_FOUND_LIMIT:
            return self._lost(f"It was not found {NOT_FOUND_LIMIT} times in a row: {error}")
        if isinstance(error, PermanentError):
            return self._lost(str(error))
        return self._time_up(now)

    def skip(self, now: float) -> WaitResult | None:
        """Take in that a look was put off.

        :param now: Unix seconds
        :return: the end of the wait, or ``None`` if it goes on
        """
        return self._time_up(now)

    def give_up(self, now: float) -> WaitResult | None:
        """End a wait whose last look was never answered.

        :param now: Unix seconds
        :return: the end of the wait, or ``None`` if it goes on
        """
        return self._time_up(now) if now >= self._end else None

    def pause(self, poll_interval: float, now: float) -> float:
        """Return the seconds until the next look: the last one comes when time is up.

        :param poll_interval: seconds between looks
        :param now: Unix seconds
        """
        return max(0.0, min(poll_interval, self.deadline - now))

    def silence(self, now: float) -> float:
        """Return the seconds until there is something to say even if AWS says nothing.

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

    def _report_after(self, now: float) -> float:
        # Counted from the backup's creation: a restarted triggerer's thousands of waits don't all report at once.
        created = self.arn.created_hint.timestamp()
        return created + REPORT_INTERVAL * (max(0.0, now - created) // REPORT_INTERVAL + 1)

    def progress(self, now: float) -> str:
        """Return a line on the progress.

        :param now: Unix seconds
        """
        return f"Backup {self.arn.text}: {self._state(now)}"

    def _state(self, now: float) -> str:
        status = self._backup.status.value if self._backup else "not known yet"
        elapsed = max(0, int(now - self.arn.created_hint.timestamp()))
        failure = f" The last look failed: {self._failure}" if self._failure else ""
        return f"status {status}, {elapsed} s after it was started.{failure}"

    def _time_up(self, now: float) -> WaitResult | None:
        if now < self.deadline:
            return None
        return self._verdict(
            WaitStatus.TIMEOUT, str(BackupTimeoutError.about(self.arn.context, f"Last {self._state(now)}"))
        )

    def _lost(self, reason: str) -> WaitResult:
        return self._verdict(WaitStatus.ERROR, str(BackupLostError.about(self.arn.context, reason)))

    def _verdict(self, status: WaitStatus, message: str) -> WaitResult:
        return WaitResult(status, self._backup.as_dict() if self._backup else self._unseen(), message)

    def _unseen(self) -> dict[str, Any]:
        return {
            "backup_arn": self.arn.text,
            "backup_name": None,
            "table_name": self.arn.table_name,
            "status": None,
            "size_bytes": None,
            "created_at": self.arn.created_hint.isoformat(),
        }
