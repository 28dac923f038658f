"""The report of a task: what was done, what failed, what was skipped; collected, logged, pushed, and raised once.

Everything is tried before anything is raised. What failed is permanent if no retry can fix any of it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred

from airflow_ddb_backup.exceptions import BackupError, PermanentError, printable
from airflow_ddb_backup.limits import KILO, NAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_ddb_backup.exceptions import ErrorContext, SomeFailedError

_T = TypeVar("_T")


@dataclass(slots=True)
class Report(Generic[_T]):
    """The results of a task that is about several things, so far.

    :param done: what was done, by name
    :param failed: why something could not be done, by name
    :param skipped: why something was left out, by name
    :param account: the AWS account; ``None``: no response has told it
    :param region: the region of the calls
    """

    done: dict[str, _T] = field(default_factory=dict)
    failed: dict[str, BackupError] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    account: str | None = None
    region: str | None = None

    def fail(self, name: str, error: BackupError, log: Any) -> None:
        """Take in and log why something has failed.

        :param name: its name
        :param error: the failure
        :param log: the task's log
        """
        self.failed[name] = error
        log.error("%s (%s)", error, name)

    def fail_others(self, names: Iterable[str], error: BaseException) -> None:
        """Take in that the task ends before it is known how some of several things went: none is left out.

        :param names: the names of all
        :param error: what ends the task
        """
        reason = error if isinstance(error, BackupError) else BackupError(f"The task ended before it: {error!r}.")
        known = {*self.done, *self.failed, *self.skipped}
        self.failed |= {name: reason for name in names if name not in known}

    def told(self, summary: str, error: BaseException | None) -> dict[str, str | None]:
        """Return where it was, why the task has failed, and a message for people, ready to be sent.

        :param summary: what was done, a full sentence
        :param error: why the task has failed; ``None``: it has not
        """
        reason = None if error is None else str(error) if isinstance(error, BackupError) else repr(error)
        place = f"AWS account {self.account or 'not known'}, region {self.region or 'not known'}."
        text = f"{reason or summary} {printable(place)}"
        return {"account": self.account, "region": self.region, "error": reason, "text": text}

    def messages(self) -> dict[str, str]:
        """Return the message of each failure."""
        return {name: str(error) for name, error in sorted(self.failed.items())}

    def raise_for_failures(
        self, kind: type[SomeFailedError], context: ErrorContext, detail: str, hint: str | None = None
    ) -> None:
        """Raise if anything has failed, with the first failures in the message.

        :param kind: the exception
        :param context: what all of it is about
        :param detail: what was done, for the message
        :param hint: what a retry does; ``None``: what ``kind`` says
        :raises SomeFailedError: something has failed; ``kind.for_good`` if no retry can fix any of it
        """
        if not self.failed:
            return
        final = all(isinstance(error, PermanentError) for error in self.failed.values())
        kind = kind.for_good if final else kind
        some = " ".join(f"{name}: {error}" for name, error in list(self.failed.items())[:NAMED])
        summary = kind.summarize(context, f"{len(self.failed)} failed, {detail}. {some}")
        message = f"{summary} {kind.hint if final or hint is None else hint}"
        failure = kind(message)
        failure.count = len(self.failed)
        raise failure


def age_of(age: timedelta) -> str:
    """Return an age in its two largest units, such as ``3 d 4 h``."""
    minutes = max(0, int(age.total_seconds() // 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def size_of(size: int) -> str:
    """Return a number of bytes in its largest unit, as AWS counts them, such as ``1.2 GB``.

    AWS fills the size of a backup in hours later, and tells 0 until then.
    """
    if not size:
        return "size not known yet"
    amount, unit = float(size), "bytes"
    for larger in ("KB", "MB", "GB", "TB", "PB"):
        # As it is written: no 1,024.0 KB for a byte less than 1 MB.
        if round(amount, 1) < KILO:
            break
        amount, unit = amount / KILO, larger
    return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"


def total_of(sizes: Iterable[int]) -> str:
    """Return the size of some backups together, as far as AWS has told it: ``at least``, if some are not known yet."""
    told = list(sizes)
    if not told:
        return "0 bytes"
    return f"{'at least ' if any(told) and 0 in told else ''}{size_of(sum(told))}"


def carry(failed: Mapping[str, BackupError]) -> dict[str, Any]:
    """Return failures as plain JSON values, to cross a deferral with what a retry can do about each.

    :param failed: the failures, by name
    """
    return {
        name: {"message": str(error), "permanent": isinstance(error, PermanentError)} for name, error in failed.items()
    }


def carried(failed: Mapping[str, Any]) -> dict[str, BackupError]:
    """Read what :func:`carry` has returned.

    :param failed: the failures, by name
    :raises Exception: it is something else: ``AttributeError``, ``KeyError`` or ``TypeError``
    """
    return {
        name: (PermanentError if one["permanent"] else BackupError)(str(one["message"])) for name, one in failed.items()
    }


def push(task: BaseOperator, context: Context, key: str, value: object) -> None:
    """Push an XCom, if the task pushes any.

    :param task: the task
    :param context: its context
    :param key: the XCom's key
    :param value: its value, plain JSON
    """
    if task.do_xcom_push:
        context["ti"].xcom_push(key=key, value=value)


@contextmanager
def reporting(
    task: BaseOperator, context: Context, key: str, value: Callable[[BaseException], object]
) -> Iterator[None]:
    """Push a report if the block fails, whatever makes it fail. A task that skips or defers has not failed.

    :param task: the task
    :param context: its context
    :param key: the XCom's key
    :param value: returns the report so far, given what made the task fail
    """
    try:
        yield
    except (AirflowSkipException, TaskDeferred):
        raise
    except BaseException as error:
        report: object = None
        try:
            report = value(error)
            push(task, context, key, report)
        except Exception:
            # The task's own failure says more, and whether to retry.
            task.log.exception("The %s could not be pushed: %s", key, report)
        raise
