"""Fixtures of the machines: an account, a wire, and silence."""

from __future__ import annotations

from logging import CRITICAL
from typing import TYPE_CHECKING

import pytest

from tests.machines.support import Search, Wire, say

if TYPE_CHECKING:
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


@pytest.fixture
def search(
    control_plane: ControlPlane,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Search:
    """Return what searches for a history that breaks a promise."""
    from airflow.triggers.base import BaseTrigger

    from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
    from airflow_ddb_backup.operators.dynamodb.base import DynamoDBOperator
    from tests.unit.restoring.support import Silent

    # Hours of it would be kept otherwise.
    for kind in (DynamoDBOperator, DynamoDBBackupHook, BaseTrigger):
        monkeypatch.setattr(kind, "log", Silent())
    # Not the attribute: loggers remember which levels are on until one is set.
    caplog.set_level(CRITICAL + 1, "airflow_ddb_backup")
    return Search({"plane": control_plane, "clock": clock, "wire": Wire(monkeypatch)}, say(capsys))
