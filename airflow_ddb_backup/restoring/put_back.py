"""Putting settings back: every one is tried, and read again, before anything is judged."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow_ddb_backup.boto_errors import from_boto, map_exceptions
from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupError,
    InvalidRequestError,
    PermanentError,
    SettingNotTakenError,
    SettingsFailedError,
    SettingsFailedForGoodError,
    TableInUseError,
)
from airflow_ddb_backup.models import TableStatus
from airflow_ddb_backup.restoring.settings import SETTINGS, Tags
from airflow_ddb_backup.retries import retrying

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow_ddb_backup.exceptions import ErrorContext
    from airflow_ddb_backup.restoring.request import SourceSettings
    from airflow_ddb_backup.restoring.settings import Setting, SettingsOf

_P = ParamSpec("_P")
_T = TypeVar("_T")
APPLIED = "applied"
SAME = "same"
UNAVAILABLE = "unavailable"
FAILED = "failed: "
# A setting that AWS throttles, or fails, for so long is left to a retry of the task; the others are put back.
_PATIENCE_SECONDS = 60.0
# AWS takes one UpdateTable at a time, and a large table may be UPDATING for long, as after a change of its class
# (documented without a number).
_UPDATING_SECONDS = 1800.0
_UPDATING_INTERVAL = 5.0
# Tags and time to live are read with a lag (documented without a number); most settings are there at once.
_LAG = 30.0
_INTERVAL = 2.0
# Where a restore leaves off, beside the settings.
_NEVER_PUT_BACK = (
    "Not put back by anyone: CloudWatch alarms, IAM policies that name the old table, Lambda event source mappings, "
    "global table replicas, and entries of AWS Backup plans. The new table has another ARN, and its stream too."
)


@dataclass(slots=True)
class SettingsReport:
    """How putting back went.

    :param outcomes: for each setting ``applied``, ``same``, ``unavailable``, or ``failed: …`` with the reason
    :param failures: why settings could not be put back
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    failures: dict[str, BackupError] = field(default_factory=dict)

    def judge(self, context: ErrorContext) -> None:
        """Raise if any setting has failed.

        :param context: the table, backup and region
        :raises SettingsFailedError: some could not be put back
        """
        if not self.failures:
            return
        final = all(isinstance(error, PermanentError) for error in self.failures.values())
        kind = SettingsFailedForGoodError if final else SettingsFailedError
        raise kind.about(context, " ".join(f"{name}: {error}" for name, error in self.failures.items()))


class Patience:
    """Makes each call again for a minute at most, where it may yet succeed; while the table is UPDATING for longer.

    :param log: takes a line for each failure
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._give_up = time.time() + _UPDATING_SECONDS

    def __call__(self, call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Make the call and return what it returns."""
        while True:
            try:
                return retrying(Deadline.after(_PATIENCE_SECONDS), self._log)(call, *args, **kwargs)
            except TableInUseError:
                if time.time() >= self._give_up:
                    raise


def read_settings(names: Collection[str], table: SettingsOf) -> dict[str, Any]:
    """Return some settings of a table as plain JSON values.

    :param names: the settings
    :param table: the table
    :raises BackupError: one can't be read, such as for want of a permission
    """
    return {setting.name: _read(setting, table) for setting in SETTINGS if setting.name in names}


def _read(setting: Setting, table: SettingsOf) -> Any:
    """Read a setting, and again if a response is not AWS's."""

    def read() -> Any:
        with map_exceptions(table.context):
            return setting.read(replace(table))

    return table.retry(read)


def put_back(
    target: SettingsOf,
    names: Collection[str],
    source: SourceSettings,
    more_tags: Mapping[str, str],
    log: Any,
) -> SettingsReport:
    """Give a table some settings of another; only what differs is put back.

    :param target: the table; its calls are best made with :class:`Patience`, since each setting has to have its turn
    :param names: the settings
    :param source: their values; one that is not in it is not known
    :param more_tags: tags that the table gets beside those
    :param log: the task's log
    """
    report = SettingsReport()
    give_up = time.time() + _UPDATING_SECONDS
    for setting in SETTINGS:
        more = more_tags if isinstance(setting, Tags) else {}
        if setting.name not in names and not more:
            continue
        is_known = setting.name in names and setting.name in source.values
        outcome = SAME
        try:
            wanted = source.values[setting.name] if is_known else None
            if more:
                wanted = {**(wanted or {}), **more}
            if is_known or more:
                # Each on its own description: the settings before have changed the table.
                outcome = _put_back(setting, wanted, source.arn, replace(target), give_up)
            if setting.name in names and not is_known:
                outcome = UNAVAILABLE
        except Exception as caught:  # noqa: BLE001  # a response or an event that is not what it should be
            error = from_boto(caught, target.context) if not isinstance(caught, BackupError) else caught
            outcome = f"{FAILED}{error}"
            report.failures[setting.name] = error
        report.outcomes[setting.name] = outcome
        log.info("Setting %s of table %s: %s", setting.name, target.name, outcome)
    log.info(_NEVER_PUT_BACK)
    return report


def _put_back(setting: Setting, wanted: Any, source_arn: str, target: SettingsOf, give_up: float) -> str:
    adapted = setting.adapt(wanted, source_arn, target) if wanted else wanted
    if not adapted or setting.is_same(adapted, present := _read(setting, target)):
        return SAME
    _until_updated(target, give_up)
    refusal: BackupError | None = None
    try:
        setting.put_back(target, adapted, present)
    except (AmbiguousOutcomeError, InvalidRequestError) as error:
        # A call whose response was lost has done it, or another try beside this one: AWS refuses to do it twice.
        refusal = error
    began_at = time.time()
    while not setting.is_same(adapted, present := _read(setting, target)):
        now = time.time()
        if refusal:
            raise refusal
        if now >= began_at + _LAG and (now >= give_up or not _is_updating(target)):
            raise SettingNotTakenError.about(target.context, f"It reads as {present!r}, and not as {adapted!r}.")
        time.sleep(_INTERVAL)
    return APPLIED


def _until_updated(target: SettingsOf, give_up: float) -> None:
    while _is_updating(target) and time.time() < give_up:
        time.sleep(_UPDATING_INTERVAL)


def _is_updating(target: SettingsOf) -> bool:
    return bool(replace(target).description["TableStatus"] == TableStatus.UPDATING)
