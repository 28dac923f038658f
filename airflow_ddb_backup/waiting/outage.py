"""One log line when an operation begins to fail and one when it succeeds again, not one for each call.

Beside a busy neighbour calls fail and succeed in turns for hours. That is one outage: it is over once no call has
failed for some time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ddb_backup.exceptions import BackupError


# Between two calls of one operation while it fails: the longest backoff, and some.
_LONGEST_SILENCE = 60.0
# After so long without a call a failure is another outage: nobody knows when the last one ended.
_FORGOTTEN_AFTER = 3600.0


class Outage:
    """Whether an operation fails now.

    :param operation: what fails, for the log
    :param log: takes the lines
    :param steady: seconds without a failed call until the outage is over
    """

    def __init__(self, operation: str, log: Any, steady: float = 0.0) -> None:
        self._operation = operation
        self._log = log
        self._steady = steady
        self._since: float | None = None
        self._last = 0.0
        self._recovered: float | None = None

    def failed(self, error: BackupError, now: float) -> None:
        """Take in a failed call.

        :param error: why it failed
        :param now: seconds
        """
        if self._since is not None and now - self._last > _FORGOTTEN_AFTER:
            self._since = None
        if self._since is None:
            self._since = now
            self._log.warning("%s fails; waits go on until their deadlines. %s", self._operation, error)
        self._last, self._recovered = now, None

    def succeeded(self, now: float) -> None:
        """Take in a call that succeeded.

        :param now: seconds
        """
        if self._since is not None:
            # Without a call nobody knows when it ended.
            recovered = now if now - self._last <= _LONGEST_SILENCE else self._last
            self._recovered = recovered if self._recovered is None else self._recovered
            if now - self._last >= self._steady:
                self.end()

    def end(self) -> None:
        """End an outage whose last call has succeeded, since there may be no further one."""
        if self._since is not None and self._recovered is not None:
            self._log.info("%s succeeds again, after %.0f s.", self._operation, self._recovered - self._since)
            self._since = self._recovered = None
