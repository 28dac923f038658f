"""The one backup of a run: the order of the calls that find it or create it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from airflow_ddb_backup.creation.matching import IfExists
from airflow_ddb_backup.creation.retries import retrying
from airflow_ddb_backup.exceptions import AmbiguousOutcomeError, BackupExistsError, ListBackupsDeniedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ddb_backup.creation.matching import BackupMatcher
    from airflow_ddb_backup.models import Backup

    _Pick = Callable[[list[Backup]], Backup | None]

# ListBackups is eventually consistent (assumed, not documented). A backup not listed after 10 s does not exist.
LISTING_LAG = 10.0
_LOOK_PAUSE = 2.5
# After so many lost answers, and as many searches, something is wrong that one more call won't mend.
_LOST_RETRIES = 3


class BackupCalls(Protocol):
    """The calls that it takes; the hook has them."""

    @property
    def log(self) -> Any:
        """The task's log."""

    def create_backup(self, table_name: str, backup_name: str) -> Backup:
        """Start a backup, with one call."""

    def list_backups(
        self, table_name: str, backup_name: str | None = None, *, made_since: datetime, deadline: float
    ) -> list[Backup]:
        """List the table's backups, all pages of them."""


class RunBackup:
    """Finds or creates the backup of a run.

    :param calls: makes the calls
    :param table_name: name or ARN
    :param claim: which backups are the run's
    :param deadline: when to give up trying, in Unix seconds
    """

    def __init__(self, calls: BackupCalls, table_name: str, claim: BackupMatcher, deadline: float) -> None:
        self.calls = calls
        self.table_name = table_name
        self.claim = claim
        self.deadline = deadline
        self._lost_answers = 0
        self._must_stop = False

    def find_or_create(self, if_exists: IfExists, *, retried: bool) -> Backup:
        """Return the backup.

        :param if_exists: what to do when there is one
        :param retried: an earlier try may have made a backup, may even be making one now
        """
        if if_exists is IfExists.CREATE:
            return self._create(self.claim.latest)
        # What an earlier try has made may not be listed yet.
        patience = LISTING_LAG if retried else 0.0
        if if_exists is IfExists.FAIL:
            self._refuse_namesakes(patience)
        elif found := self._look_for(lambda backups: self.claim.usable(backups, _now()), patience):
            self.calls.log.info("Reusing backup %s, created at %s", found.arn.text, found.created_at.isoformat())
            return found
        created = self._create(lambda backups, _: self.claim.own(backups))
        return self._older_twin(created) if retried else created

    def _refuse_namesakes(self, patience: float) -> None:
        if namesake := self._look_for(lambda backups: next(iter(self.claim.namesakes(backups)), None), patience):
            detail = f"It is named {namesake.name!r} and was created at {namesake.created_at.isoformat()}."
            raise BackupExistsError.about(namesake.arn.context, detail)

    def _create(self, recognise: Callable[[list[Backup], datetime], Backup | None]) -> Backup:
        self.calls.log.info("Starting backup creation: table %s, backup name %s", self.table_name, self.claim.name)

        def attempt() -> Backup:
            started = _now()
            try:
                return self.calls.create_backup(self.table_name, self.claim.name)
            except AmbiguousOutcomeError as error:
                self.calls.log.warning("%s Looking for the backup.", error)
                return self._recover(error, lambda backups: recognise(backups, started))

        return retrying(self.deadline, self.calls.log, lambda _: self._must_stop)(attempt)

    def _recover(self, error: AmbiguousOutcomeError, pick: _Pick) -> Backup:
        # Unless the search ends, there may be a backup that it did not get to see: another call could make a second.
        self._must_stop = True
        try:
            found = self._look_for(pick, LISTING_LAG)
        except ListBackupsDeniedError as denied:
            raise error from denied
        if found is None:
            self._lost_answers += 1
            self._must_stop = self._lost_answers > _LOST_RETRIES
            raise error
        return found

    def _look_for(self, pick: _Pick, patience: float) -> Backup | None:
        give_up = time.time() + patience
        while True:
            # What is older than the table was made of an earlier one.
            since = self.claim.table.created_at
            backups = self.calls.list_backups(
                self.table_name, self.claim.name, made_since=since, deadline=self.deadline
            )
            found = pick(backups)
            if found or time.time() >= give_up:
                return found
            time.sleep(_LOOK_PAUSE)

    def _older_twin(self, created: Backup) -> Backup:
        def oldest_once_listed(backups: list[Backup]) -> Backup | None:
            listed = any(backup.arn == created.arn for backup in backups)
            return self.claim.own(backups) if listed else None

        oldest = self._look_for(oldest_once_listed, LISTING_LAG) or created
        if oldest.arn != created.arn:
            message = (
                "Two tries of this run made a backup at the same time: going on with the older, %s; %s is not needed."
            )
            self.calls.log.warning(message, oldest.arn.text, created.arn.text)
        return oldest


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), tz=UTC)
