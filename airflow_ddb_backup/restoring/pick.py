"""Which backup of a table is restored, where the task has not its ARN.

The problem: ListBackups shows the backups of all tables that ever had a name, whatever their status, and DynamoDB's own
among them; and they come and go between two tries of a run. The plan: one function says of each backup why it does not
count, and everything else follows from it: which is picked, what the log says of those left out, and what a task is
told that finds none. A table that was restored since the run started, from a backup that counts, tells what an
earlier try has picked, also where that backup is gone.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup import exceptions, limits
from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.models import TABLE_ARN, Backup, BackupArn, BackupStatus
from airflow_ddb_backup.parameters import LATER, check_moment, check_name, check_table, set_checked
from airflow_ddb_backup.retries import read_pages, retrying

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Table


@dataclass(frozen=True, slots=True)
class PickRequest:
    """Which backup a task means: one by its ARN, or the newest of a table. It checks itself.

    :param backup_arn: the backup; made of the ARN's text; ``None``: one is picked
    :param table_name: name or ARN of the table, one of whose backups is picked; ``None``: ``backup_arn`` has it
    :param before: only backups that were made before it count; ``None``: the time when the run started
    :param prefixes: what the names of the backups begin with; empty: anything
    :raises InvalidValueError: a value is wrong, or does not go with another
    """

    backup_arn: BackupArn | None
    table_name: str | None
    before: datetime | None
    prefixes: tuple[str, ...]

    def __post_init__(self) -> None:
        if (self.backup_arn is None) == (self.table_name is None):
            rule = "the ARN of the backup, or None with table_name, of which one is picked: exactly one of the two"
            raise InvalidValueError.of("backup_arn", self.backup_arn, rule)
        if self.table_name is not None:
            check_table("table_name", self.table_name)
        elif self.backup_arn is not LATER:
            set_checked(self, backup_arn=BackupArn.parse(self.backup_arn))
        if self.before is not None:
            set_checked(self, before=check_moment("before", self.before))
        for prefix in self.prefixes:
            check_name("backup_name_prefix", prefix)
        for name, value in (("before", self.before), ("created_by or backup_name_prefix", self.prefixes or None)):
            if self.backup_arn is not None and value is not None:
                raise InvalidValueError.of(name, value, "None with backup_arn: there is nothing to pick")

    @property
    def arn(self) -> str | None:
        """The ARN that the task names; ``None``: it names none."""
        if self.backup_arn:
            return self.backup_arn.text
        return self.table_name if TABLE_ARN.fullmatch(str(self.table_name)) else None

    @property
    def table(self) -> str:
        """The table's name."""
        return self.backup_arn.table_name if self.backup_arn else str(self.table_name).rpartition("/")[2]


def eligible_and_others(
    table: Table | None,
    backups: Iterable[Backup],
    *,
    before: datetime | None = None,
    since: datetime | None = None,
    prefixes: tuple[str, ...] = (),
) -> tuple[list[Backup], dict[str, list[Backup]]]:
    """Return the backups of a table that may be picked, and the others, by the reason; the newest first.

    :param table: the table; ``None``: it is gone, and the last of its name that had been backed up by then counts
    :param backups: what ListBackups has shown of its name, in any order, of all kinds
    :param before: when they were made at the latest, by AWS's clock, and not at that very time; ``None``: at any time
    :param since: when they were made at the earliest; ``None``: at any time
    :param prefixes: what their names begin with; empty: anything
    """
    # A page may repeat what another has shown.
    newest_first = sorted(set(backups), key=Backup.order, reverse=True)
    # Of a table that is gone its backups tell, and its system backup, which DynamoDB makes when it is deleted.
    last = next((backup for backup in newest_first if before is None or backup.created_at < before), None)
    eligible: list[Backup] = []
    others: defaultdict[str, list[Backup]] = defaultdict(list)
    for backup in newest_first:
        is_of_it = backup.is_of(table) if table else last is None or backup.table_id == last.table_id
        reasons = {
            "made by DynamoDB itself when a table was deleted": backup.kind == "SYSTEM",
            "of another table of this name": not is_of_it,
            "of AWS Backup": backup.kind != "USER",
            backup.status: backup.status != BackupStatus.AVAILABLE,
            f"whose name does not begin with {' or '.join(prefixes)}": not backup.name.startswith(prefixes or ""),
            _too_late(before): before is not None and backup.created_at >= before,
            f"made before {_text(since)}": since is not None and backup.created_at < since,
        }
        reason = next((why for why, holds in reasons.items() if holds), None)
        (eligible if reason is None else others[reason]).append(backup)
    return eligible, dict(others)


def none_eligible(
    context: ErrorContext, table: Table | None, others: Mapping[str, list[Backup]], before: datetime | None = None
) -> exceptions.PermanentError:
    """Return the exception for a table of whose backups none may be picked; its message has what there is.

    :param context: the table and region
    :param table: the table; ``None``: it is gone
    :param others: its backups, as :func:`eligible_and_others` returns them
    :param before: as there; those made nearest to it are named
    """
    if not others and table is None:
        detail = (
            "There is no backup of a table of that name either: give table_name as the DynamoDB console lists it, "
            "under Tables, or under Backups if the table is gone."
        )
        return exceptions.TableNotFoundError.about(context, detail)
    if not others:
        # There is none to take as it is.
        message = exceptions.BackupNotPickedError.summarize(context, "It has no backup at all: make one first.")
        return exceptions.BackupNotPickedError(message)
    gone = "" if table else "The table does not exist. "
    if before:
        nearest = before
        others = {why: sorted(found, key=lambda one: abs(one.created_at - nearest)) for why, found in others.items()}
    later = ""
    if too_late := others.get(_too_late(before)):
        # One that was made at the time itself does not count, and people type whole seconds.
        first = min(one.created_at for one in too_late).replace(microsecond=0) + timedelta(seconds=1)
        later = f"The first one that counts is restored with before={_text(first)} or later. "
    some = "; ".join(f"{len(found)} {reason}: {_first(found)}" for reason, found in others.items())
    return exceptions.BackupNotPickedError.about(context, f"{gone}{later}There are others: {some}.")


def read_backups(
    hook: DynamoDBBackupHook, context: ErrorContext, table_name: str, deadline: Deadline, log: Any
) -> tuple[Table | None, list[Backup]]:
    """Return a table, ``None`` if it is gone, and the backups of its name, of all kinds.

    :param hook: makes the calls
    :param context: the table and region, for messages
    :param table_name: name or ARN of the table
    :param deadline: when to give up
    :param log: the task's log
    :raises BackupError: a call has failed
    """
    retry = retrying(deadline, log)
    table = retry(hook.find_table, context, table_name)
    listing = partial(hook.list_backups, context, table_name, kind="ALL")
    return table, read_pages(lambda cursor: retry(listing, cursor=cursor), context) or []


def pick(
    hook: DynamoDBBackupHook,
    request: PickRequest,
    about: ErrorContext,
    *,
    started: datetime,
    deadline: Deadline,
    log: Any,
) -> BackupArn:
    """Return the newest backup that counts; on a later try of a run, the one that an earlier try has picked.

    :param hook: makes the calls
    :param request: what the task asks for, with a table
    :param about: the table that it restores to, and the region
    :param started: when the run last started, by the scheduler's clock
    :param deadline: when to give up
    :param log: the task's log
    :raises BackupNotPickedError: none counts
    :raises BackupError: a call has failed
    """
    before, source, target = request.before or started, replace(about, table=request.table), str(about.table)
    deadline = deadline.within(limits.BEGINNING_PATIENCE)
    there, backups = read_backups(hook, source, str(request.table_name), deadline, log)
    table = there
    if table and (table.created_at >= started or table.name == target):
        # The run has made it itself, or is to make it: it is about the one before.
        table = None
    restored = retrying(deadline, log)(hook.find_table, about, target)
    if own := _picked_before(restored, request.table, table, started, before):
        log.info("Picked by this run already: backup %s of table %s", own.text, request.table)
        return own
    found, others = eligible_and_others(table, backups, before=before, prefixes=request.prefixes)
    if not found:
        raise none_eligible(source, there, others, before)
    picked, moment = found[0], _text(before)
    log.info(
        "Picked the newest of %d backups before %s: %s of table %s", len(found), moment, picked.arn.text, request.table
    )
    newer = [
        f"{count} {reason}"
        for reason, backups in others.items()
        if (count := sum(one.order() > picked.order() for one in backups))
    ]
    if newer:
        log.info("Newer backups that don't count: %s", ", ".join(newer))
    return picked.arn


@contextmanager
def picked(request: PickRequest) -> Iterator[None]:
    """Let a backup be gone that was picked: a prune beside deletes some, and ListBackups may still list them.

    :param request: what the task asks for; a backup that it names itself must be there
    :raises PickedBackupGoneError: the backup that was picked is gone
    """
    try:
        yield
    except exceptions.BackupNotRestorableError as error:
        if request.backup_arn:
            raise
        message = f"{str(error).removesuffix(error.hint)}{exceptions.PickedBackupGoneError.hint}"
        raise exceptions.PickedBackupGoneError(message) from error


def _picked_before(
    restored: Table | None, name: str, table: Table | None, started: datetime, before: datetime
) -> BackupArn | None:
    """Return which backup an earlier try of the run has restored, which may be gone by now; ``None``: none.

    :param restored: the table that the task restores to; ``None``: there is none
    :param name: the name of the table that was backed up
    :param table: that table; ``None``: it is gone
    :param started: when the run last started, by the scheduler's clock
    :param before: when the backup was made at the latest
    """
    summary = restored and restored.restore
    if not restored or not summary or not summary.backup_arn or not summary.moment:
        return None
    # A recovery point of AWS Backup has another ARN.
    is_of_it = summary.backup_arn.startswith(f"{restored.arn.rpartition('/')[0]}/{name}/backup/")
    is_of_run = restored.created_at >= started - limits.SCHEDULER_CLOCK_TOLERANCE
    counts = summary.moment < before and (table is None or summary.moment >= table.created_at)
    return BackupArn.from_response(summary.backup_arn) if is_of_it and is_of_run and counts else None


def _too_late(before: datetime | None) -> str:
    return f"not made before {_text(before)}"


def _text(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


def _first(backups: list[Backup]) -> str:
    some = [f"{backup.name!r} of {_text(backup.created_at)} ({backup.arn.text})" for backup in backups[: limits.NAMED]]
    more = [f"and {len(backups) - len(some)} more"] if len(backups) > len(some) else []
    return ", ".join(some + more)
