"""A wait on the worker: the same observations, end and messages as on the triggerer, by one call after another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_ddb_backup.exceptions import BackupError
from airflow_ddb_backup.waiting.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ddb_backup.waiting.state import Wait

_Result = TypeVar("_Result")


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
