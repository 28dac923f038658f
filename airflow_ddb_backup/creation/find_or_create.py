"""The calls that find or create the backup of a run, in their order."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_ddb_backup import exceptions, limits, metrics
from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.creation.listing import Listing
from airflow_ddb_backup.creation.request import IfExists
from airflow_ddb_backup.exceptions import BackupError
from airflow_ddb_backup.models import Backup, TableStatus
from airflow_ddb_backup.retries import Work, may_pass, poll_until, rounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_ddb_backup.creation.matching import TableBackup
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Table

_T = TypeVar("_T")


def find_or_create(hook: DynamoDBBackupHook, wanted: TableBackup, log: Any) -> Backup:
    """Return the one backup of a run: the one that it has, or a new one.

    :param hook: makes the calls
    :param wanted: what the task asks for
    :param log: the task's log
    :raises BackupExistsError: there is one of that name, and ``if_exists`` is ``"fail"``
    :raises BackupError: AWS refused, or time was up
    """
    listing = Listing(hook, wanted.context, wanted.deadline, log, wanted.request.table_name)
    creation = Creation(hook, wanted, listing, log)
    work = FindOrCreate()
    rounds([creation], work, wanted.deadline, log)
    return creation.settle(work.backups[creation], listing.for_at_most(limits.TABLE_PATIENCE))


class FindOrCreate(Work["Creation"]):
    """Takes the steps to the backups of some tables, and keeps them."""

    def __init__(self) -> None:
        self.backups: dict[Creation, Backup] = {}

    def step(self, creation: Creation) -> None:
        """Go on with one."""
        self.backups[creation] = creation.find_or_create()
        found = metrics.BACKUPS_CREATED if creation.is_missing else metrics.BACKUPS_REUSED
        metrics.count(found, region=creation.wanted.context.region)

    def untried(self, creation: Creation) -> BackupError:
        """Return why it has failed."""
        return exceptions.CreationTimeoutError.about(creation.wanted.context, "It was not tried.")


class Creation:
    """The steps to one table's backup: find the run's, else create it, then settle on the older of two.

    :param hook: makes the calls
    :param wanted: what the task asks for
    :param listing: lists the table's backups
    :param log: the task's log
    :param level: of the log lines on what is done
    """

    def __init__(
        self, hook: DynamoDBBackupHook, wanted: TableBackup, listing: Listing, log: Any, level: int = logging.INFO
    ) -> None:
        self.wanted = wanted
        self._hook = hook
        self._request = wanted.request
        self._listing = listing
        self._log = log
        self._level = level
        self._clock = wanted.deadline.clock
        # What an earlier try has made, it has made by then.
        self._began_at = self._clock.monotonic()
        self._table: Table | None = None
        #: whether the run is known to have had no backup
        self.is_missing = False
        # When the last call of CreateBackup ended.
        self._ended_at = self._began_at
        # What it has raised, while its outcome is ambiguous; and how many calls raised that.
        self._ambiguous: exceptions.AmbiguousOutcomeError | None = None
        self._ambiguous_calls = 0

    @property
    def table_bytes(self) -> int:
        """The table's size when AWS last counted it; 0: not known."""
        return self._table.size_bytes if self._table else 0

    def find_or_create(self) -> Backup:
        """Return the backup that the run has already, or a new one. After a failure that may pass, call it again.

        What is done is not done twice, and a call whose outcome is ambiguous is settled before another is made.

        :raises BackupExistsError: there is one of that name, and ``if_exists`` is ``"fail"``
        :raises BackupError: the table can't be backed up, AWS refused, or time was up
        """
        if not self.is_missing:
            if found := self._find():
                return found
            self.is_missing = True
            message = "Starting backup creation: table %s, backup name %s"
            self._log.log(self._level, message, self._request.table_name, self.wanted.name)
        outcome = self._ambiguous or self._create()
        return outcome if isinstance(outcome, Backup) else self._made_in_spite_of(outcome)

    def settle(self, backup: Backup, listing: Listing) -> Backup:
        """Return the older of two backups that two tries of this run have made at the same time.

        :param backup: the run's, as :meth:`find_or_create` has returned it
        :param listing: lists the table's backups; one that fails does not hold up the wait for the backup
        """
        self._listing = listing
        table, wanted, since = self._table, self.wanted, self.wanted.own_since
        if not self.is_missing or table is None or since is None:
            return backup

        def own(listed: list[Backup]) -> list[Backup] | None:
            return wanted.own(table, listed) if backup.arn in {one.arn for one in listed} else None

        try:
            oldest, *younger = self._poll(own, since, self._ended_at) or [backup]
        except BackupError as error:
            self._log.warning("Whether another try of this run has made a backup too is not known: %s", error)
            return backup
        self._warn_of_twins(oldest, younger)
        return oldest

    def _find(self) -> Backup | None:
        try:
            self._table = table = self._table or self._ready_table()
        except (exceptions.TableNotFoundError, exceptions.TableUnavailableError):
            if found := self._find_of_a_table_that_is_gone():
                return found
            raise
        if self._request.require_point_in_time_recovery:
            self._check_point_in_time_recovery()
        return self._existing(table)

    def _ready_table(self) -> Table:
        """Return the table; CreateBackup is asked whatever its status, but for two."""
        context = self.wanted.context
        table = self._hook.describe_table(context, self._request.table_name)
        if table.status == TableStatus.CREATING:
            raise exceptions.TableNotReadyError.about(context, f"It is {table.status}.")
        if table.status == TableStatus.DELETING:
            # CreateBackup would succeed for a second or two.
            raise exceptions.TableUnavailableError.about(context, f"It is {table.status}.")
        return table

    def _find_of_a_table_that_is_gone(self) -> Backup | None:
        """Return the run's backup of a table that was dropped after it, such as by the step that it was made for."""
        since = self.wanted.own_since
        if not self._request.is_derived or since is None:
            return None
        if found := self._poll(partial(self.wanted.find_own, None), since, self._began_at):
            self._log.warning("The table is gone or going; taking this run's backup of it, %s.", found.arn.text)
            self._log_reuse(found)
        return found

    def _check_point_in_time_recovery(self) -> None:
        self._check_time()
        operation, needed = "DescribeContinuousBackups", "ContinuousBackupsDescription"
        table, context = self._request.table_name, self.wanted.context
        described = self._hook.call(operation, context, needs=needed, TableName=table)[needed]
        recovery = described.get("PointInTimeRecoveryDescription") or {}
        if (status := recovery.get("PointInTimeRecoveryStatus", "not known")) != "ENABLED":
            raise exceptions.PointInTimeRecoveryDisabledError.about(context, f"It is {status}.")

    def _existing(self, table: Table) -> Backup | None:
        """Return the backup that the run has already, or may reuse; ``None``: there is none."""
        wanted = self.wanted
        if (since := wanted.listed_since) is None:
            return None
        own = None
        if own_since := wanted.own_since:
            find = partial(wanted.find_own, table)
            if self._request.if_exists is IfExists.FAIL:
                # These listings only wait: that of what was ever made decides, and one is enough then.
                self._poll(find, own_since, self._began_at)
            own = self._poll(find, since, self._began_at)
        # A backup of others may be missing without harm.
        listed = self._list(since, self._began_at)
        if self._request.if_exists is IfExists.FAIL and (foreign := wanted.find_foreign(table, listed)):
            detail = f"It is named {foreign.name!r} and was created at {foreign.created_at.isoformat()}."
            raise exceptions.BackupExistsError.about(foreign.arn.context, detail)
        if own:
            self._warn_of_twins(own, wanted.own(table, listed)[1:])
        elif earlier := wanted.find_own(None, listed):
            message = "The table was made again: a backup of %s is of the earlier table of its name: %s"
            self._log.warning(message, earlier.created_at.isoformat(), earlier.arn.text)
        if found := own or wanted.find_reusable(table, listed):
            self._log_reuse(found)
        run, within = wanted.run, self._request.reuse_within
        # To clear a finished run moves its start, and with it what is young enough.
        made_since = found is None or (run.clear_number > 0 and found.created_at >= run.earliest)
        if within and run.cleared and not own and made_since:
            message = (
                "No backup from before this run was due was at most %s old when it started, at %s. %s may hold what "
                "the run has begun to change already."
            )
            which = found.arn.text if found else f"A new one of table {wanted.table!r}"
            self._log.warning(message, within, run.started.isoformat(), which)
        return found

    def _create(self) -> Backup | exceptions.AmbiguousOutcomeError:
        self._check_time()
        try:
            return self._hook.create_backup(self.wanted.context, self._request.table_name, self.wanted.name)
        except exceptions.AmbiguousOutcomeError as error:
            self._log.log(self._level, "%s Looking for the backup.", error)
            self._ambiguous = error
            return error
        finally:
            self._ended_at = self._clock.monotonic()

    def _made_in_spite_of(self, ambiguous: exceptions.AmbiguousOutcomeError) -> Backup:
        """Return the backup that a call has made whose outcome is ambiguous.

        :param ambiguous: what the call has raised
        :raises AmbiguousOutcomeError: it has made none, or that can't be determined
        """
        try:
            # It may have been dropped and made again since the task began.
            self._table = table = self._ready_table()

            # Another's of a given name is worse than a second one.
            tolerance = limits.AWS_CLOCK_TOLERANCE if self._request.is_derived else timedelta(0)

            def called_at() -> datetime:
                # Each response, also of a listing, tells more of AWS's clock.
                return self._hook.clock.earliest(ambiguous.began_at) - tolerance

            def made(listed: list[Backup]) -> Backup | None:
                return next(iter(self.wanted.made_since(called_at(), table, listed)), None)

            found = self._poll(made, called_at(), self._ended_at)
        except BackupError as error:
            message = f"{ambiguous} Could not determine whether it made the backup: {error}"
            failure = exceptions.AmbiguousOutcomeError(message)
            failure.may_call_again = may_pass(error)
            raise failure from error
        self._ambiguous = None
        self._ambiguous_calls += 1
        if found is None:
            ambiguous.may_call_again = self._ambiguous_calls <= limits.AMBIGUOUS_RETRIES
            raise ambiguous
        return found

    def _poll(self, find: Callable[[list[Backup]], _T | None], since: datetime, made_by: float) -> _T | None:
        """Look into listings until something is found, or as long as a listing may be behind.

        :param find: looks into a listing
        :param since: leave out what was created earlier, by AWS's clock
        :param made_by: when it was made at the latest, by the monotonic clock
        :raises CreationTimeoutError: the task's time was up before that
        """
        known = Deadline.after(made_by + limits.LISTING_LAG - self._clock.monotonic(), self._clock)

        def look() -> _T | None:
            self._check_time()
            # Tables that share a listing need no other while it is young.
            young = max(made_by, self._clock.monotonic() - limits.LISTING_INTERVAL)
            return find(self._list(since, known.ends if known.passed else young))

        return poll_until(look, known, limits.LISTING_INTERVAL)

    def _list(self, since: datetime, begun_after: float) -> list[Backup]:
        return self._listing.backups(self.wanted.table, since, begun_after)

    def _check_time(self) -> None:
        if self.wanted.deadline.passed:
            raise exceptions.CreationTimeoutError.about(self.wanted.context)

    def _log_reuse(self, found: Backup) -> None:
        due = self.wanted.run.earliest
        self._log.log(self._level, "Reusing backup %s, created at %s", found.arn.text, found.created_at.isoformat())
        if found.created_at < due - limits.SCHEDULER_CLOCK_TOLERANCE:
            message = "The backup is from before this run was due: it was created at %s, the run was due at %s: %s"
            self._log.warning(message, found.created_at.isoformat(), due.isoformat(), found.arn.text)

    def _warn_of_twins(self, oldest: Backup, younger: list[Backup]) -> None:
        for twin in younger:
            message = (
                "Two backups of this name may be the run's. The older is used, created at %s; that of %s is another "
                "try's or another run's: %s and %s"
            )
            times = oldest.created_at.isoformat(), twin.created_at.isoformat()
            self._log.warning(message, *times, oldest.arn.text, twin.arn.text)
