"""The calls that find or create the backup of a run, in their order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.creation.listing import TableListing
from airflow_ddb_backup.creation.matching import BackupMatcher, IfExists, find_made_since
from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupError,
    BackupExistsError,
    CreationTimeoutError,
    ListBackupsDeniedError,
    PointInTimeRecoveryDisabledError,
    TableNotFoundError,
    TableNotReadyError,
    TableUnavailableError,
)
from airflow_ddb_backup.limits import (
    AMBIGUOUS_RETRIES,
    AWS_CLOCK_TOLERANCE,
    LISTING_INTERVAL,
    LISTING_LAG,
    SCHEDULER_CLOCK_TOLERANCE,
)
from airflow_ddb_backup.models import TableStatus
from airflow_ddb_backup.retries import retrying

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from airflow_ddb_backup.clock import Deadline
    from airflow_ddb_backup.creation.listing import Listing
    from airflow_ddb_backup.creation.matching import Run
    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Backup, Table

# CreateBackup takes both; on a DELETING table it succeeds for a second or two.
_READY = frozenset({TableStatus.ACTIVE, TableStatus.UPDATING})
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html: no table leaves these for
# ACTIVE without somebody's doing.
_UNAVAILABLE = frozenset({TableStatus.DELETING, "ARCHIVED", "ARCHIVING", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"})


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """The backup that a task asks for.

    :param context: the table, backup name and region, for messages
    :param table_name: name or ARN
    :param backup_name: the backup's name
    :param derived: the name is this run's alone; otherwise every run may have it
    :param run: the try
    :param if_exists: what to do when the run has its backup already
    :param reuse_within: how old, when the run started, any other backup may be that does as well; ``None``: no other
    :param require_point_in_time_recovery: refuse a table whose point-in-time recovery is not ENABLED
    :param deadline: when to give up
    """

    context: ErrorContext
    table_name: str
    backup_name: str
    derived: bool
    run: Run
    if_exists: IfExists
    reuse_within: timedelta | None
    require_point_in_time_recovery: bool
    deadline: Deadline


def find_or_create(hook: DynamoDBBackupHook, request: BackupRequest, log: Any) -> Backup:
    """Return the one backup of a run: the one that it has, or a new one.

    :param hook: makes the calls
    :param request: what the task asks for
    :param log: the task's log
    :raises BackupExistsError: there is one of that name, and ``if_exists`` is ``"fail"``
    :raises BackupError: AWS refused, or time was up
    """
    creation = Creation(hook, request, TableListing(hook, request.deadline, log), log)
    if found := creation.find():
        return found
    return creation.settle(creation.create())


class Creation:
    """The steps to one table's backup: find the run's, else create it, then settle on the older of two.

    :param hook: makes the calls
    :param request: what the task asks for
    :param listing: lists the table's backups
    :param log: the task's log
    :param patient: make a call that may yet succeed again and again; otherwise raise, and :meth:`find` and
        :meth:`create` may be called again
    """

    def __init__(
        self, hook: DynamoDBBackupHook, request: BackupRequest, listing: Listing, log: Any, *, patient: bool = True
    ) -> None:
        self._hook = hook
        self._request = request
        self._listing = listing
        self._log = log
        self._patient = patient
        self._retry = retrying(request.deadline, log, lambda: not patient)
        self._ambiguity = _Ambiguity()
        self._clock = request.deadline.clock
        # What an earlier try has made, it has made by then.
        self._began_at = self._clock.monotonic()
        self._table: Table | None = None
        self._created_at = 0.0
        #: whether :meth:`find` has ended, and found nothing
        self.is_ready = False
        #: whether the table was DELETING when it was last described
        self.table_is_going = False

    @cached_property
    def _matcher(self) -> BackupMatcher:
        # Not before the first response, which tells AWS's clock.
        now = self._hook.clock.latest(self._clock.monotonic()) or datetime.now(tz=UTC)
        request = self._request
        return BackupMatcher(request.run, request.backup_name, request.derived, now, request.reuse_within)

    def find(self) -> Backup | None:
        """Check the table, and return the backup that the run has already; ``None``: it has none.

        :raises BackupExistsError: there is one of that name, and ``if_exists`` is ``"fail"``
        :raises BackupError: the table can't be backed up, AWS refused, or time was up
        """
        try:
            self._table = table = self._retry(self._ready_table)
        except (TableNotFoundError, TableUnavailableError):
            if found := self._own_of_a_table_that_is_gone():
                return found
            raise
        if self._request.require_point_in_time_recovery:
            self._check_point_in_time_recovery()
        found = self._existing(table)
        self.is_ready = found is None
        return found

    def _ready_table(self) -> Table:
        table = self._hook.describe_table(self._request.context, self._request.table_name)
        self.table_is_going = table.status == TableStatus.DELETING
        if table.status in _READY:
            return table
        kind = TableUnavailableError if table.status in _UNAVAILABLE else TableNotReadyError
        raise kind.about(self._request.context, f"It is {table.status}.")

    def _own_of_a_table_that_is_gone(self) -> Backup | None:
        """Return the run's backup of a table that was dropped after it, such as by the step that it was made for."""
        matcher = self._matcher
        if not matcher.derived or not matcher.may_have_own or self._request.if_exists is IfExists.CREATE:
            return None
        try:
            found = self._search(
                lambda begun_after: matcher.find_own(None, self._list(matcher.listed_since, begun_after)),
                self._began_at,
            )
        except ListBackupsDeniedError as error:
            self._log.warning("Whether this run has a backup of the table is not known: %s", error)
            return None
        if found:
            self._log.warning("The table is gone or going; taking this run's backup of it, %s.", found.arn.text)
            self._log_reuse(found)
        return found

    def _check_point_in_time_recovery(self) -> None:
        self._check_time()
        status = self._retry(self._hook.point_in_time_recovery_status, self._request.context, self._request.table_name)
        if status != "ENABLED":
            raise PointInTimeRecoveryDisabledError.about(self._request.context, f"It is {status}.")

    def _existing(self, table: Table) -> Backup | None:
        matcher, if_exists = self._matcher, self._request.if_exists
        if if_exists is IfExists.CREATE:
            return None
        if if_exists is IfExists.FAIL:
            return self._own_or_refuse(table)
        if not matcher.may_have_own and matcher.reuse_within is None:
            return None
        own, backups = self._find_own(table, matcher.listed_since)
        if found := own or matcher.find_reusable(table, backups):
            self._log_reuse(found)
            return found
        self._warn_of_none(table, backups)
        return None

    def _own_or_refuse(self, table: Table) -> Backup | None:
        own, backups = self._find_own(table, table.created_at)
        if foreign := self._matcher.find_foreign(table, backups):
            detail = f"It is named {foreign.name!r} and was created at {foreign.created_at.isoformat()}."
            raise BackupExistsError.about(foreign.arn.context, detail)
        if own:
            self._log_reuse(own)
        return own

    def _find_own(self, table: Table, since: datetime) -> tuple[Backup | None, list[Backup]]:
        """List until the run's own backup shows, or must have shown; return it, and the last listing."""
        backups: list[Backup] = []

        def own(begun_after: float) -> Backup | None:
            backups[:] = self._list(max(since, table.created_at), begun_after)
            return self._matcher.find_own(table, backups) if self._matcher.may_have_own else None

        # A backup of others may be missing without harm.
        found = self._search(own, self._began_at, LISTING_LAG if self._matcher.may_have_own else 0.0)
        if found:
            self._warn_of_twins(found, self._matcher.own(table, backups))
        return found, backups

    def create(self) -> Backup:
        """Create the backup.

        :raises BackupError: AWS refused, the outcome is not known, or time was up
        """
        request = self._request
        self._log.info("Starting backup creation: table %s, backup name %s", request.table_name, request.backup_name)
        ambiguity = self._ambiguity
        self._check_time()

        def attempt() -> Backup:
            asked_at = self._clock.monotonic()
            try:
                return self._hook.create_backup(request.context, request.table_name, request.backup_name)
            except AmbiguousOutcomeError as error:
                ambiguous = error
            # Not before the call itself, which may have waited for the rate: another run's may have been made then.
            ambiguity.began_at = ambiguous.began_at or asked_at
            self._log.warning("%s Looking for the backup.", ambiguous)
            ambiguity.settled = False
            if found := self._made_since(ambiguity.began_at, ambiguous):
                return found
            ambiguity.settled = True
            ambiguity.retries += 1
            raise ambiguous

        must_stop = ambiguity.must_stop if self._patient else lambda: True
        created = retrying(request.deadline, self._log, must_stop)(attempt)
        self._created_at = self._clock.monotonic()
        return created

    @property
    def may_try_again(self) -> bool:
        """Whether another call is safe after one that has failed, as far as its outcome was ambiguous."""
        return not self._ambiguity.must_stop()

    def settle(self, created: Backup) -> Backup:
        """Return the older of two backups that two tries of this run have made at the same time.

        :param created: the one that this try has made
        """
        matches = self._matcher.may_have_own and self._request.if_exists is not IfExists.CREATE
        return self._older_twin(self._table, created) if matches and self._table else created

    def _made_since(self, began_at: float, ambiguous: AmbiguousOutcomeError) -> Backup | None:
        """Return the backup that an ambiguous call has made; without a complete answer raise that call's exception."""
        clock, name = self._hook.clock, self._request.backup_name

        def since() -> datetime:
            # The listing's own responses have told more of AWS's clock by then.
            return clock.earliest(began_at) or self._matcher.now

        def made(begun_after: float) -> Backup | None:
            backups = self._list(since() - AWS_CLOCK_TOLERANCE, begun_after)
            return find_made_since(table, name, backups, since())

        try:
            # The table may have been dropped and made again since the task began.
            table = retrying(self._request.deadline, self._log)(self._ready_table)
            return self._search(made, self._clock.monotonic())
        except BackupError as error:
            message = f"{ambiguous} Whether it has made the backup can't be found out: {error}"
            raise AmbiguousOutcomeError(message) from error

    def _older_twin(self, table: Table, created: Backup) -> Backup:
        """Return the older of two backups that two tries of this run have made at the same time."""
        own: list[Backup] = []

        def oldest_once_listed(begun_after: float) -> Backup | None:
            own[:] = self._matcher.own(table, self._list(self._matcher.listed_since, begun_after))
            return own[0] if created.arn in [backup.arn for backup in own] else None

        try:
            oldest = self._search(oldest_once_listed, self._created_at) or created
        except BackupError as error:
            self._log.warning("Whether another try of this run has made a backup too is not known: %s", error)
            return created
        self._warn_of_twins(oldest, own)
        return oldest

    def _search(
        self, find: Callable[[float], Backup | None], made_by: float, lag: float = LISTING_LAG
    ) -> Backup | None:
        """Look until something is found, or as long as a listing may be behind.

        :param find: looks into a listing that has begun at a moment or later
        :param made_by: when it was made at the latest, by the monotonic clock
        :param lag: seconds that a listing may be behind
        :raises CreationTimeoutError: the task's time was up before that
        """
        known_by = made_by + lag
        # At first any listing will do that may show it: tables that share one need no other then.
        begun_after = made_by
        while True:
            self._check_time()
            if (found := find(begun_after)) or begun_after >= known_by:
                return found
            self._clock.sleep(min(LISTING_INTERVAL, known_by - self._clock.monotonic()))
            begun_after = min(self._clock.monotonic(), known_by)

    def _check_time(self) -> None:
        if self._request.deadline.passed:
            raise CreationTimeoutError.about(self._request.context)

    def _list(self, since: datetime, begun_after: float) -> list[Backup]:
        return self._listing.backups(self._request.context, self._request.table_name, since, begun_after)

    def _log_reuse(self, found: Backup) -> None:
        started = self._matcher.run.started
        self._log.info("Reusing backup %s, created at %s", found.arn.text, found.created_at.isoformat())
        if found.created_at < started - SCHEDULER_CLOCK_TOLERANCE:
            message = "Backup %s is from before this run's start: it was created at %s, the run started at %s."
            self._log.warning(message, found.arn.text, found.created_at.isoformat(), started.isoformat())

    def _warn_of_twins(self, taken: Backup, own: list[Backup]) -> None:
        for twin in own:
            if twin.arn != taken.arn:
                message = "This run has made more than one backup: going on with the older, %s; %s is not needed."
                self._log.warning(message, taken.arn.text, twin.arn.text)

    def _warn_of_none(self, table: Table, backups: list[Backup]) -> None:
        matcher = self._matcher
        if matcher.may_have_own and (near := matcher.find_near_miss(table, backups)):
            message = (
                "Backup %s has this name, but was created at %s, before %s, the earliest time for this run's. It is "
                "not taken, and a new one is made. If an earlier try of this run made it, the scheduler's clock is "
                "ahead of AWS's."
            )
            times = near.created_at.isoformat(), matcher.own_since.isoformat()
            self._log.warning(message, near.arn.text, *times)
        if matcher.reuse_within is not None and matcher.run.cleared:
            message = (
                "No backup was at most %s old when this run started, at %s. A new one is made; it may hold what the "
                "run had begun to change before it was cleared."
            )
            self._log.warning(message, matcher.reuse_within, matcher.run.started.isoformat())


@dataclass(slots=True)
class _Ambiguity:
    """The ambiguous outcomes of one creation that are still open.

    :param began_at: when the first call began whose outcome is open, by the monotonic clock
    :param retries: how often a call was made again after one
    :param settled: the listing has shown that the last one made nothing; otherwise no further call is safe
    """

    began_at: float = 0.0
    retries: int = 0
    settled: bool = True

    def must_stop(self) -> bool:
        return not self.settled or self.retries > AMBIGUOUS_RETRIES
