"""Metrics through Airflow's own ``Stats``, which sends them to StatsD, Datadog or OpenTelemetry.

The problem: a metric must neither fail nor hold up what it measures, and Airflow keeps ``Stats`` elsewhere in each
version: from 3.2 on in two copies, one that a task's process sets up, and one that the triggerer does. The plan:

* a task sends at once, as Airflow itself does in its process;
* on an event loop a :class:`Tally` keeps what there is to send, and a thread sends it every few seconds: no name server
  and no client of the user's own holds up the loop;
* whatever fails here is dropped, and nothing is done where Airflow sends no metrics.

No tag has more values than there are operations, regions or triggerers.
"""

from __future__ import annotations

import logging
import platform
from collections import deque
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred, conf

from airflow_ddb_backup.exceptions import TablesFailedError, ThrottledError
from airflow_ddb_backup.limits import MOST_KEPT_METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

log = logging.getLogger(__name__)

#: Airflow's options that turn metrics on, in the order in which it asks for them
OPTIONS = ("statsd_datadog_enabled", "statsd_on", "otel_on")
_PREFIX = "dynamodb_backup"

BACKUPS_CREATED = "backups_created"
BACKUPS_REUSED = "backups_reused"
BACKUPS_FAILED = "backups_failed"
BACKUPS_DELETED = "backups_deleted"
BACKUP_DURATION = "backup_duration"
TABLES_RESTORED = "tables_restored"
RESTORES_FAILED = "restores_failed"
RESTORE_DURATION = "restore_duration"
DRILLS_PASSED = "drills_passed"
DRILLS_FAILED = "drills_failed"
CALLS = "calls"
THROTTLED_CALLS = "throttled_calls"
WAITS = "waits"
#: the metrics of how a try of a task ends: well, if there is one for that, and not
Outcomes = tuple[str | None, str]


@cache
def is_on() -> bool:
    """Return whether Airflow sends metrics."""
    return any(conf.getboolean("metrics", option, fallback=False) for option in OPTIONS)


def count(name: str, number: int = 1, /, **tags: str | None) -> None:
    """Add to a counter, at once: in a task's process.

    :param name: such as :data:`BACKUPS_CREATED`
    :param number: how much, 1 or more
    :param tags: their values; ``None``: not known, and left out
    """
    if is_on():
        _send("incr", name, number, tags)


@contextmanager
def calling(operation: str, region: str | None, count: Callable[..., None] = count) -> Iterator[None]:
    """Count a call of AWS, and whether it is throttled.

    :param operation: such as ``CreateBackup``
    :param region: where it goes
    :param count: counts it
    """
    try:
        yield
    except ThrottledError:
        count(THROTTLED_CALLS, operation=operation, region=region)
        raise
    finally:
        count(CALLS, operation=operation, region=region)


@contextmanager
def ending(outcomes: Outcomes | None, region: Callable[[], str | None]) -> Iterator[None]:
    """Count how a try of a task ends; one that skips or defers does not.

    :param outcomes: the metrics of its ends; ``None``: it has none
    :param region: returns the region of the task, as far as it is known; it asks nobody, and does not raise
    """
    if outcomes is None or not is_on():
        yield
        return
    done, failed = outcomes
    try:
        yield
    except (AirflowSkipException, TaskDeferred):
        raise
    except BaseException as error:
        count(failed, error.count if isinstance(error, TablesFailedError) else 1, region=region())
        raise
    if done:
        count(done, region=region())


class Tally:
    """Metrics of an event loop, kept until a thread sends them.

    :param on_triggerer: the loop is a triggerer's
    """

    def __init__(self, *, on_triggerer: bool) -> None:
        self.on_triggerer = on_triggerer
        # The oldest go, should sending hang.
        self._kept: deque[tuple[str, str, Any, dict[str, str | None]]] = deque(maxlen=MOST_KEPT_METRICS)

    def count(self, name: str, number: int = 1, /, **tags: str | None) -> None:
        """Add to a counter."""
        self._keep("incr", name, number, tags)

    def time(self, name: str, duration: timedelta, /, **tags: str | None) -> None:
        """Take in how long something took."""
        self._keep("timing", name, duration, tags)

    def gauge(self, name: str, value: int, /, **tags: str | None) -> None:
        """Take in how many there are of something on this machine."""
        self._keep("gauge", name, value, {**tags, "hostname": platform.node()})

    def send(self) -> None:
        """Send all that is kept. It may hang."""
        while self._kept:
            _send(*self._kept.popleft(), on_triggerer=self.on_triggerer)

    def _keep(self, method: str, name: str, value: Any, tags: dict[str, str | None]) -> None:
        if is_on():
            self._kept.append((method, name, value, tags))


def _send(method: str, name: str, value: Any, tags: dict[str, str | None], *, on_triggerer: bool = False) -> None:
    """Hand a metric to Airflow's ``Stats``."""
    known = {tag: text for tag, text in tags.items() if text is not None}
    try:
        getattr(_stats(on_triggerer=on_triggerer), method)(f"{_PREFIX}.{name}", value, tags=known)
    except Exception as error:  # noqa: BLE001  # a metric fails no task
        log.debug("Metric %s could not be sent: %r", name, error)


def _stats(*, on_triggerer: bool) -> Any:
    """Return the copy of ``Stats`` that this process has set up; before Airflow 3.2 there is one."""
    with suppress(ImportError):
        if on_triggerer:
            from airflow.observability import stats as of_core  # noqa: PLC0415  # only where Airflow sends metrics

            return of_core.Stats
        from airflow.sdk.observability import stats as of_sdk  # noqa: PLC0415  # as above

        return of_sdk.Stats
    from airflow.stats import Stats  # noqa: PLC0415  # as above

    return Stats
