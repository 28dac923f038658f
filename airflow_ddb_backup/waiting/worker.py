"""A wait on the worker: the same observations, end and messages as on the triggerer, by one call after another."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_ddb_backup.exceptions import BackupError, ErrorContext
from airflow_ddb_backup.retries import all_pages
from airflow_ddb_backup.waiting.outage import Outage
from airflow_ddb_backup.waiting.state import BackupWait, WaitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.models import Backup, BackupArn
    from airflow_ddb_backup.waiting.state import Observation, Wait, WaitResult

_Result = TypeVar("_Result")
# More are listed: a page of 100 takes as long as two calls of DescribeBackup.
_DESCRIBED_AT_MOST = 4
# The bounds are on the time of the request, in whole seconds; ARNs have the time of the creation.
_MARGIN = timedelta(seconds=2)


class WorkerWait(Generic[_Result]):
    """Polls on the worker.

    :param describe: a call of AWS, which returns an observation
    :param wait: the state of the wait
    :param log: the task's log: a line when an outage begins, one when it ends, and one on the progress every 30 s
    """

    def __init__(self, describe: Callable[[], Any], wait: Wait[Any, _Result], log: Any) -> None:
        self._describe = describe
        self._wait = wait
        self._log = log
        self._outage = Outage(wait.operation, log)

    def poll_once(self) -> _Result | None:
        """Poll once; return the end of the wait, or ``None`` if it goes on."""
        observation: Any
        try:
            observation = self._describe()
            self._outage.succeeded(time.time())
        except BackupError as error:
            observation = error
            self._outage.failed(error, time.time())
        return self._wait.observe(observation, time.time())

    def run(self, poll_interval: float) -> _Result:
        """Poll until the wait ends.

        :param poll_interval: seconds between polls
        """
        while True:
            time.sleep(self._wait.next_delay(poll_interval, time.time()))
            if result := self.poll_once():
                return result
            if line := self._wait.report(time.time()):
                self._log.info("%s", line)


class BackupsPoll:
    """Polls many backups on the worker, for a sensor that pokes.

    :param hook: makes the calls
    :param arns: the backups, of one region
    :param deadline: when time is up, in Unix seconds
    :param log: the task's log: a line for each backup that is lost
    """

    def __init__(self, hook: DynamoDBBackupHook, arns: Sequence[BackupArn], deadline: float, log: Any) -> None:
        now = time.time()
        self._hook = hook
        self._log = log
        self._count = len(arns)
        self._waits = {arn.text: BackupWait(arn, deadline, now) for arn in arns}
        self._failure: BackupError | None = None
        #: how the waits have ended that have, by ARN
        self.results: dict[str, WaitResult] = {}

    @property
    def pending(self) -> list[BackupArn]:
        """The backups that are still waited for."""
        return [wait.arn for wait in self._waits.values()]

    @property
    def is_unsure(self) -> bool:
        """Whether a backup was not found, and has to be polled again before anybody else knows nothing of that."""
        return any(wait.not_found_in_a_row for wait in self._waits.values())

    def poll_once(self) -> None:
        """Poll all that are still waited for: by one listing of the account, or each."""
        listed = self._listed() if len(self._waits) > _DESCRIBED_AT_MOST else {}
        for arn, wait in list(self._waits.items()):
            observation: Observation
            try:
                observation = listed.get(arn) or self._hook.describe_backup(wait.arn)
            except BackupError as error:
                observation = self._failure = error
            if result := wait.observe(observation, time.time()):
                self.results[arn] = result
                del self._waits[arn]
                if result.status is not WaitStatus.SUCCESS:
                    self._log.error("%s", result.message)

    def progress(self) -> str:
        """Return a line on all."""
        failed = sum(result.status is not WaitStatus.SUCCESS for result in self.results.values())
        done = len(self.results) - failed
        failure = f" A poll has failed: {self._failure}" if self._failure and self._waits else ""
        return f"{self._count} backups: {done} AVAILABLE, {len(self._waits)} waiting, {failed} failed.{failure}"

    def _listed(self) -> dict[str, Backup]:
        """Return the backups that a listing since the oldest shows; those that it does not are described."""
        known = [arn.created_hint for arn in self.pending if arn.created_hint]
        if not known:
            return {}
        context, since = ErrorContext(region=self.pending[0].region), min(known) - _MARGIN
        try:
            pages = all_pages(
                lambda cursor: self._hook.list_backups(context, None, created_since=since, cursor=cursor), context
            )
            return {backup.arn.text: backup for page in pages for backup in page.backups}
        except BackupError as error:
            self._failure = error
            self._log.warning("%s Each backup is described, which takes longer.", error)
            return {}
