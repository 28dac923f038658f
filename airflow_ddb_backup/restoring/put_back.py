"""Putting settings back: every one is tried, and read again, before anything is judged."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.exceptions import BackupError
from airflow_ddb_backup.restoring.settings import SETTINGS, Setting

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_ddb_backup.restoring.settings import SettingsOf

APPLIED = "applied"
SAME = "same"
UNAVAILABLE = "unavailable"
FAILED = "failed: "
# Tags and time to live are read with a lag (documented without a number); most settings are there at once.
_LAG = 30.0
_INTERVAL = 2.0


def read_settings(names: Collection[str], table: SettingsOf) -> dict[str, Any]:
    """Return some settings of a table as plain JSON values.

    :param names: the settings
    :param table: the table
    :raises BackupError: one can't be read, such as for want of a permission
    """
    return {setting.name: setting.read(table) for setting in SETTINGS if setting.name in names}


def put_back(
    names: Collection[str], wanted: Mapping[str, Any], source_arn: str, target: SettingsOf, log: Any
) -> dict[str, str]:
    """Give a table some settings of another; only what differs is put back.

    :param names: the settings
    :param wanted: their values, as :func:`read_settings` returned them; one that is not in it is not known
    :param source_arn: the ARN of the table that they are of
    :param target: the table
    :param log: the task's log
    :return: for each setting ``applied``, ``same``, ``unavailable``, or ``failed: `` with the reason
    """
    outcomes: dict[str, str] = {}
    for setting in SETTINGS:
        if setting.name not in names:
            continue
        if setting.name not in wanted:
            outcomes[setting.name] = UNAVAILABLE
            continue
        try:
            # Each on its own description: the ones before have changed the table.
            outcomes[setting.name] = _put_back(setting, wanted[setting.name], source_arn, replace(target))
        except BackupError as error:
            outcomes[setting.name] = f"{FAILED}{error}"
        log.info("Setting %s of table %s: %s", setting.name, target.name, outcomes[setting.name])
    return outcomes


def _put_back(setting: Setting, wanted: Any, source_arn: str, target: SettingsOf) -> str:
    adapted = setting.adapt(wanted, source_arn, target) if wanted else wanted
    present = setting.read(target)
    if setting.is_same(adapted, present):
        return SAME
    setting.put_back(target, adapted, present)
    give_up = time.monotonic() + _LAG
    while not setting.is_same(adapted, present := setting.read(replace(target))):
        if time.monotonic() >= give_up:
            return f"{FAILED}it reads as {present!r}, and not as {adapted!r}"
        time.sleep(_INTERVAL)
    return APPLIED
