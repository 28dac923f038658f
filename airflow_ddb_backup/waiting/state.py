"""The state of one wait: what each observation means for it. No I/O; the caller polls, the deadline tells the time.

An observation is data: a :class:`~airflow_ddb_backup.models.Backup`, a :class:`~airflow_ddb_backup.models.Table`, an
exception, or :data:`NOT_LISTED`. Failures that may pass never end a wait, its deadline does; a final response about
this very backup or table may. A wait for a table that a restore makes is in :mod:`.restore_state`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from airflow_ddb_backup import exceptions
from airflow_ddb_backup.exceptions import BackupError, ErrorContext, PermanentError
from airflow_ddb_backup.limits import (
    DESCRIBE_LAG,
    JUST_CREATED,
    LARGEST_NUMBER,
    NAMED,
    NOT_FOUND_LIMIT,
    PROGRESS_INTERVAL,
)
from airflow_ddb_backup.models import Backup, BackupArn, BackupStatus, Table, TableBackups

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.waiting.client import Client

# True for both: the operator that made the backup, and a sensor behind it.
_LOST_HINT = "To back the table up again, clear the task that creates the backup."
_DETAILS = {"backup_name", "table_name", "size_bytes", "created_at"}


#: the observation that a sweep did not list a backup, or that nothing is known of it yet
NOT_LISTED: Final = None
Observation = Backup | Table | TableBackups | BackupError | None


class WaitStatus(StrEnum):
    """How a wait has ended: the statuses of a trigger's event."""

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class WaitResult:
    """The end of a wait for a backup.

    :param status: how it ended
    :param found: the backup's details, as :meth:`Backup.as_dict` gives them, ``None`` where nothing is known
    :param message: what happened; for a timeout without a hint, since that depends on the task that waited
    """

    status: WaitStatus
    found: Any
    message: str

    _key: ClassVar[str] = "backup"
    _timeout_error: ClassVar[type[BackupError]] = exceptions.BackupTimeoutError
    _lost_error: ClassVar[type[BackupError]] = exceptions.BackupLostError

    def as_event(self) -> dict[str, Any]:
        """Return the payload of the trigger's event."""
        return {"status": self.status.value, self._key: self.found, "message": self.message}

    @classmethod
    def from_event(
        cls,
        event: Mapping[str, Any] | None,
        context: ErrorContext,
        awaited: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read the payload of a trigger's event.

        :param event: the payload
        :param context: the table, backup and region, for messages
        :param awaited: details that the backup has which was waited for; ``None``: not known
        :raises TriggerFailedError: it is not one that this package sends
        """
        given = event or {}
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            result = cls(WaitStatus(given["status"]), given[cls._key], str(given["message"]))
            is_other = result.status is WaitStatus.SUCCESS and any(
                result.found[name] != value for name, value in (awaited or {}).items()
            )
            if result._is_sound() and not is_other:
                return result
        raise exceptions.TriggerFailedError.of_event(context, event)

    def _is_sound(self) -> bool:
        """Return whether the package sends such an event: nothing unknown or incomplete is a success."""
        if self.status is not WaitStatus.SUCCESS:
            return True
        arn, found = BackupArn.from_response(self.found["backup_arn"]), self.found
        size, created_at = found["size_bytes"], datetime.fromisoformat(found["created_at"])
        return (
            found["status"] == BackupStatus.AVAILABLE
            and found["table_name"] == arn.table_name
            and isinstance(found["backup_name"], str)
            and created_at.utcoffset() is not None
            and isinstance(size, int)
            and 0 <= size <= LARGEST_NUMBER
        )

    def error(self, timeout_error: type[BackupError] | None = None) -> BackupError:
        """Return the exception for a wait that has failed.

        :param timeout_error: the one for a wait whose time was up, with the hint for the task that waited
        """
        if self.status is WaitStatus.TIMEOUT:
            kind = timeout_error or self._timeout_error
            return kind(f"{self.message} {kind.hint}")
        return self._lost_error(self.message)

    def unwrap(self, timeout_error: type[BackupError] | None = None) -> Any:
        """Return what was waited for: the backup's details, or the table's ARN.

        :param timeout_error: the exception for a wait whose time was up, with the hint for the task that waited
        :raises BackupTimeoutError: the time was up
        :raises BackupLostError: the wait has failed for good
        """
        if self.status is not WaitStatus.SUCCESS:
            raise self.error(timeout_error)
        return self.found


class BackupsResult(WaitResult):
    """The end of a wait for many backups.

    What is found are the ends of those that did not become AVAILABLE, by ARN, those that are lost first; an event names
    no others, since there may be thousands. The message has those of the first, without hints.
    """

    __slots__ = ()

    _key = "failed"

    @classmethod
    def of(cls, results: Sequence[WaitResult]) -> Self:
        """Take the ends of all waits."""
        failed = [result for result in results if result.status is not WaitStatus.SUCCESS]
        # Those that are lost say more than those that only take long.
        failed.sort(key=lambda result: result.status is WaitStatus.TIMEOUT)
        if not failed:
            return cls(WaitStatus.SUCCESS, {}, "All backups are AVAILABLE.")
        found = {one.found["backup_arn"]: {"status": one.status.value, "message": one.message} for one in failed}
        some = " ".join(one.message for one in failed[:NAMED])
        return cls(failed[0].status, found, f"{len(failed)} backups are not AVAILABLE. {some}")

    def _is_sound(self) -> bool:
        ends = self._ends()
        are_sound = all(BackupArn.from_response(arn) for arn in ends)
        statuses = {end.status for end in ends.values()}
        return are_sound and WaitStatus.SUCCESS not in statuses and (self.status is WaitStatus.SUCCESS) != bool(ends)

    def _ends(self) -> dict[str, WaitResult]:
        return {
            arn: WaitResult(WaitStatus(one["status"]), None, str(one["message"])) for arn, one in self.found.items()
        }

    def check_is_of(self, arns: Collection[BackupArn]) -> None:
        """Make sure that no other backup has failed than one that was waited for.

        :param arns: those
        :raises ValueError: another has, or they are of more than one account and region
        """
        if not self.found.keys() <= {arn.text for arn in arns} or len({(arn.account, arn.region) for arn in arns}) > 1:
            message = f"not the end of this wait: {self.found!r}"
            raise ValueError(message)

    def check(self, context: ErrorContext, timeout_error: type[exceptions.BackupTimeoutError]) -> None:
        """Raise if any wait has failed: a timeout if one has timed out, since the others are lost either way.

        :param context: what all of them are about
        :param timeout_error: the exception for waits whose time was up, with the hint for the task that waited
        :raises BackupTimeoutError: the time was up
        :raises BackupLostError: all that failed are lost
        """
        if self.found:
            timed_out = any(end.status is WaitStatus.TIMEOUT for end in self._ends().values())
            raise (timeout_error if timed_out else exceptions.BackupLostError).about(context, self.message)

    def errors(self, timeout_error: type[exceptions.BackupTimeoutError]) -> dict[str, BackupError]:
        """Return the exception for each that failed, by ARN.

        :param timeout_error: the exception for a wait whose time was up, with the hint for the task that waited
        """
        return {arn: end.error(timeout_error) for arn, end in self._ends().items()}


class Wait(ABC):
    """One task's wait for one backup or table.

    :param account: the AWS account; ``None``: not known
    :param context: the table, backup and region, for messages
    :param request: the arguments of the call that polls it
    :param deadline: when time is up
    :param created_hint: when a backup was created, as its ARN tells: sweeps list it by that time, and the lines on its
        progress are counted from it, so that a restarted triggerer's thousands of waits don't all report at once
    """

    #: the AWS operation whose rate a poll takes
    operation: ClassVar[str]
    _not_found_error: ClassVar[type[BackupError]]
    _lost_error: ClassVar[type[BackupError]]
    _timeout_error: ClassVar[type[BackupError]]
    # What it is about, the reason for one that is not found, and what to do about one that can't be polled.
    _subject: str
    _not_found: ClassVar[str]
    _refused_hint: ClassVar[str] = ""

    def __init__(
        self,
        account: str | None,
        context: ErrorContext,
        request: Mapping[str, str],
        deadline: Deadline,
        created_hint: datetime | None = None,
    ) -> None:
        self.account = account
        self.context = context
        self.request = request
        self.deadline = deadline
        #: not found so often in a row; a failed call says nothing of it
        self.not_found = 0
        self._clock = deadline.clock
        self._began = self._clock.monotonic()
        self._began_at = self._clock.time()
        self._seen_unfinished = False
        self.created_hint = created_hint
        self._failure: BackupError | None = None

    @property
    @abstractmethod
    def key(self) -> str:
        """The same for all waits that the same polls serve."""

    async def poll(self, client: Client) -> Observation:
        """Ask AWS once.

        :param client: makes the call
        :raises BackupError: it has failed
        """
        answer: Backup | Table = await client.call(self.operation, self.context, **self.request)
        return answer

    @property
    def region(self) -> str:
        """The region of the calls."""
        return str(self.context.region)

    @property
    def progress(self) -> str:
        """A line on the progress: the status first, since Airflow's UI cuts lines, and the long ARN last."""
        known = self._describe()
        return f"{known[:1].upper()}{known[1:]} {self._subject}."

    def timed_out(self) -> WaitResult:
        """Return the end of a wait whose time is up."""
        message = self._timeout_error.summarize(self.context, f"Last {self._describe()}")
        return self._result(WaitStatus.TIMEOUT, message)

    @abstractmethod
    def _describe(self) -> str:
        """Return what is known, and the last failure."""

    @abstractmethod
    def _observe_answer(self, answer: Any) -> WaitResult | None:
        """Take in the backup or the table."""

    @abstractmethod
    def _result(self, status: WaitStatus, message: str) -> WaitResult:
        """Return an end of the wait."""

    def observe(self, observation: Observation) -> WaitResult | None:
        """Take in what a poll has returned.

        :param observation: the backup or table, an exception, or :data:`NOT_LISTED`
        :return: the end of the wait, or ``None`` if it goes on
        """
        ended = None
        if isinstance(observation, BackupError):
            ended = self._observe_failure(observation)
        elif observation is not NOT_LISTED:
            self._failure, self.not_found = None, 0
            ended = self._observe_answer(observation)
            self._seen_unfinished = self._seen_unfinished or ended is None
        return ended or (self.timed_out() if self.deadline.passed else None)

    def next_delay(self, poll_interval: float) -> float:
        """Return the seconds until the next poll: the last one comes when time is up.

        :param poll_interval: seconds between polls
        """
        return min(poll_interval, self.deadline.left)

    @property
    def created_at(self) -> datetime | None:
        """When what is waited for was created, by AWS's clock; ``None``: not known."""
        return None

    def duration(self, now: datetime) -> timedelta | None:
        """Return how long it took; ``None``: that is not known, or it may have been over before the wait began.

        :param now: when it was over, by AWS's clock
        """
        if (created_at := self.created_at) is None:
            return None
        is_new = self._seen_unfinished or created_at.timestamp() >= self._began_at - JUST_CREATED
        return max(now - created_at, timedelta(0)) if is_new else None

    def seconds_until_report(self) -> float:
        """Return the seconds until the first line on the progress, 30 at most."""
        elapsed = self._clock.time() - self.created_hint.timestamp() if self.created_hint else 0.0
        # AWS's clock may be ahead: only the phase counts.
        return PROGRESS_INTERVAL - elapsed % PROGRESS_INTERVAL

    def _observe_failure(self, error: BackupError) -> WaitResult | None:
        self._failure = error
        if isinstance(error, self._not_found_error):
            self.not_found += 1
            # What was just made, or handed on, may not be known everywhere at once.
            is_known = self._clock.monotonic() >= self._began + DESCRIBE_LAG
            if is_known and self.not_found >= NOT_FOUND_LIMIT:
                return self._lost(self._not_found.format(times=self.not_found, error=error))
            return None
        return self._lost(f"{error} {self._refused_hint}".rstrip()) if isinstance(error, PermanentError) else None

    def _lost(self, reason: str) -> WaitResult:
        return self._result(WaitStatus.ERROR, self._lost_error.summarize(self.context, reason))

    def _elapsed(self, since: datetime | None) -> str:
        return f", {max(0, int(self._clock.time() - since.timestamp()))} s after it was started" if since else ""

    def _last_failure(self) -> str:
        return f" The last poll failed: {self._failure}" if self._failure else ""


class BackupWait(Wait):
    """One task's wait for one backup.

    :param arn: the backup
    :param deadline: when time is up
    :param one_of_many: its messages have the reason first, and the long ARN last: Airflow's UI cuts lines
    """

    operation = "DescribeBackup"
    _not_found_error = exceptions.BackupNotFoundError
    _lost_error = exceptions.BackupLostError
    _timeout_error = exceptions.BackupTimeoutError
    _not_found = f"It was not found {{times}} times in a row: {{error}} {_LOST_HINT}"

    def __init__(self, arn: BackupArn, deadline: Deadline, *, one_of_many: bool = False) -> None:
        context = replace(arn.context, backup=None) if one_of_many else arn.context
        super().__init__(arn.account, context, {"BackupArn": arn.text}, deadline, arn.created_hint)
        self.arn = arn
        self._subject = f"Backup {arn.text}"
        self._backup: Backup | None = None

    @property
    def key(self) -> str:
        """The same for all waits that the same polls serve."""
        return self.arn.text

    @property
    def created_at(self) -> datetime | None:
        """When the backup was created, by AWS's clock, or as its ARN tells; ``None``: not known."""
        return self._backup.created_at if self._backup else self.created_hint

    def _observe_answer(self, answer: Backup) -> WaitResult | None:
        self._backup = answer
        if answer.status == BackupStatus.AVAILABLE:
            return self._result(WaitStatus.SUCCESS, f"Backup {self.arn.text} is AVAILABLE.")
        if answer.status == BackupStatus.DELETED:
            return self._lost(f"It was deleted. {_LOST_HINT}")
        return None

    def _describe(self) -> str:
        status = self._backup.status if self._backup else "not known yet"
        return f"status {status}{self._elapsed(self.created_at)}.{self._last_failure()}"

    def _result(self, status: WaitStatus, message: str) -> WaitResult:
        if self.context.backup is None:
            message = f"{message} For backup {self.arn.text!r}."
        return WaitResult(status, self._backup.as_dict() if self._backup else self._unknown(), message)

    def _unknown(self) -> dict[str, Any]:
        created_at = self.created_at
        known = {
            "backup_arn": self.arn.text,
            "table_name": self.arn.table_name,
            "created_at": created_at.isoformat() if created_at else None,
        }
        return dict.fromkeys(("status", *_DETAILS)) | known


def progress(waits: Sequence[Wait], ends: Sequence[Any]) -> str:
    """Return a line on the progress of one wait, or of many.

    :param waits: the waits
    :param ends: how they have ended, in their order; ``None``: one goes on
    """
    if len(waits) == 1:
        return waits[0].progress
    counts = Counter(end.status if end else None for end in ends)
    failed = counts[WaitStatus.ERROR] + counts[WaitStatus.TIMEOUT]
    done = counts[WaitStatus.SUCCESS]
    return f"{len(waits)} backups: {done} AVAILABLE, {counts[None]} waiting, {failed} failed"
