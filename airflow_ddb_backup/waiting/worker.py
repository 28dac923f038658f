"""A wait on the worker: the same observations, end and messages as on the triggerer, by one call after another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.exceptions import BackupError
from airflow_ddb_backup.waiting.outage import Outage

if TYPE_CHECKING:
    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.waiting.state import BackupWait, Observation, WaitResult


class WorkerWait:
    """Polls a backup on the worker.

    :param hook: makes the calls
    :param wait: the state of the wait
    :param log: the task's log: a line when an outage begins, one when it ends, and one on the progress every 30 s
    """

    def __init__(self, hook: DynamoDBBackupHook, wait: BackupWait, log: Any) -> None:
        self._hook = hook
        self.wait = wait
        self._log = log
        self._outage = Outage("DescribeBackup", log)

    def poll_once(self) -> WaitResult | None:
        """Poll the backup once; return the end of the wait, or ``None`` if it goes on."""
        try:
            observation: Observation = self._hook.describe_backup(self.wait.arn)
            self._outage.succeeded(time.time())
        except BackupError as error:
            observation = error
            self._outage.failed(error, time.time())
        return self.wait.observe(observation, time.time())

    def run(self, poll_interval: float) -> WaitResult:
        """Poll until the wait ends.

        :param poll_interval: seconds between polls
        """
        while True:
            time.sleep(self.wait.next_delay(poll_interval, time.time()))
            if result := self.poll_once():
                return result
            if line := self.wait.report(time.time()):
                self._log.info("%s", line)
