"""Putting settings back: every one is tried, and read again, before anything is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ddb_backup import exceptions
from airflow_ddb_backup.boto_errors import map_exceptions
from airflow_ddb_backup.exceptions import BackupError
from airflow_ddb_backup.limits import SETTING_INTERVAL, SETTING_LAG, SETTING_PATIENCE
from airflow_ddb_backup.models import TableStatus
from airflow_ddb_backup.restoring.settings import SETTINGS
from airflow_ddb_backup.retries import poll_until

if TYPE_CHECKING:
    from airflow_ddb_backup.report import Report
    from airflow_ddb_backup.restoring.request import SettingsRequest
    from airflow_ddb_backup.restoring.settings import Change, Setting, SettingsOf, State

APPLIED = "applied"
BEGUN = "begun"
SAME = "same"
UNAVAILABLE = "unavailable"
_NOT_TRIED = "failed: not tried, since it may deny the retry that puts back what has failed"
# AWS takes one UpdateTable at a time, and turns on the backups of a young table by itself.
_NOT_READY = (exceptions.TableInUseError, exceptions.ContinuousBackupsUnavailableError)
_NO_PLACE = (
    "There is no place for setting %s: a table on demand has nothing to scale, and indexes that were not restored have "
    "no settings. Table %s"
)
_NEVER_PUT_BACK = (
    "Not restored; recreate these: CloudWatch alarms, IAM policies that name the old table, Lambda event source "
    "mappings, global table replicas, the stream's own resource policy, warm throughput, and entries of AWS Backup "
    "plans. The new table has another ARN, and its stream too."
)


def outcomes(report: Report[str]) -> dict[str, str]:
    """Return for each setting ``applied``, ``begun``, ``same``, ``unavailable``, or ``failed: …`` with the reason.

    :param report: how putting back went
    """
    failed = {name: f"failed: {message}" for name, message in report.messages().items()}
    return {**report.done, **report.skipped, **failed}


def put_back(request: SettingsRequest, target: SettingsOf, report: Report[str]) -> None:
    """Give a table some settings of another; only what differs is put back.

    :param request: the settings
    :param target: the table
    :param report: takes in how each went
    """
    report.skipped |= dict.fromkeys(request.unavailable, UNAVAILABLE)
    for setting in SETTINGS:
        name = setting.name
        if name in report.skipped and _has_already(setting, request.values.get(name), target):
            del report.skipped[name]
            report.done[name] = SAME
        try:
            # Whatever has another shape than it should, a response or a value that was carried, fails this one only.
            with map_exceptions(target.context):
                if setting.may_lock_out and report.failed and request.values.get(name):
                    report.skipped[name] = _NOT_TRIED
                elif name in request.values:
                    report.done[name] = _put_back(setting, request.values[name], target)
        except BackupError as error:
            report.failed[name] = error
        if outcome := outcomes(report).get(name):
            target.log.info("Setting %s: %s (table %s)", name, outcome, target.name)
    target.log.info(_NEVER_PUT_BACK)


def _has_already(setting: Setting, added: Any, target: SettingsOf) -> bool:
    """Return whether an earlier try has put back what is unavailable now: the table has more than this one adds."""
    try:
        with map_exceptions(target.context):
            return bool(setting.missing(setting.read(target.fresh()).value, added or {}))
    except BackupError:
        return False


def _put_back(setting: Setting, value: Any, target: SettingsOf) -> str:
    if not value:
        return SAME
    # The settings before have changed the table: each is put back on its own description.
    if not (wanted := setting.adapt(value, target.fresh())):
        target.log.warning(_NO_PLACE, setting.name, target.name)
        return UNAVAILABLE
    present = setting.read(target.fresh())
    missing = setting.missing(wanted, present.value)
    if not missing and not present.begun:
        return SAME
    refusals = [error for change in setting.changes(target, missing) for error in _make(change, setting, target)]
    # A call whose response was lost has done it, or another try beside this one has, and AWS refuses to do it twice:
    # a refusal counts once reads have had their lag.
    try:
        state = _settle(setting, wanted, target)
    except exceptions.AccessDeniedError as error:
        if refusals or not setting.may_lock_out:
            raise
        target.log.warning("Setting %s is put back, and keeps this task from reading it: %s", setting.name, error)
        return APPLIED
    if missing := setting.missing(wanted, state.value):
        raise _reason(missing, state, refusals, target)
    return BEGUN if state.begun else APPLIED


def _make(change: Change, setting: Setting, target: SettingsOf) -> list[BackupError]:
    """Make a call, once AWS is ready for it. Return its refusal, if it is refused."""
    operation, request = change

    def attempt() -> list[BackupError] | None:
        try:
            target.call(operation, service=setting.service, **request)
        except _NOT_READY as error:
            return [error] if target.deadline.passed else None
        except BackupError as error:
            return [error]
        return []

    return poll_until(attempt, target.deadline, SETTING_INTERVAL) or []


def _settle(setting: Setting, wanted: Any, target: SettingsOf) -> State:
    """Read a setting until the table has it, or must show it if it had it."""
    lag, patience = target.deadline.within(SETTING_LAG), target.deadline.within(SETTING_PATIENCE)

    def look() -> State | None:
        state = setting.read(table := target.fresh())
        if setting.missing(wanted, state.value):
            is_over = lag.passed and (
                target.deadline.passed or table.description["TableStatus"] != TableStatus.UPDATING
            )
        else:
            is_over = patience.passed or not state.begun
        return state if is_over else None

    return poll_until(look, target.deadline, SETTING_INTERVAL) or setting.read(target.fresh())


def _reason(missing: Any, state: State, refusals: list[BackupError], target: SettingsOf) -> BackupError:
    """Return why a table lacks a setting: AWS's own reason, its refusal, or none that is known."""
    if failed := [f"{part} {reason}".lstrip() for part, reason in state.failed.items() if part in missing]:
        return exceptions.SettingNotTakenError.about(target.context, f"AWS could not turn it on: {'; '.join(failed)}")
    if refusals:
        # The task is retried if that may help with any of them.
        return min(refusals, key=lambda error: isinstance(error, exceptions.PermanentError))
    detail = f"It reads as {state.value!r}, and not as {missing!r}."
    return exceptions.SettingNotTakenError.about(target.context, detail)
