"""Fixtures of the restoring story: a table, and a backup of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.restoring.support import LATEST, back_up, enable_recovery, make_source, now

if TYPE_CHECKING:
    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane


@pytest.fixture
def source(control_plane: ControlPlane) -> None:
    """Create the table ``source``."""
    make_source(control_plane)


@pytest.fixture
def slow_restores(control_plane: ControlPlane, source: None) -> None:
    """Let a restore of the table ``source`` take 200 s."""
    control_plane.restoring_for = 200


@pytest.fixture
def arn(control_plane: ControlPlane, source: None) -> str:
    """Back up the table ``source``, and return the ARN."""
    return back_up(control_plane)


@pytest.fixture(params=["backup", "moment", "latest"])
def origin(request: pytest.FixtureRequest, control_plane: ControlPlane, clock: Clock, source: None) -> str:
    """Return what the table ``source`` is restored from: a backup's ARN, a time, or ``LATEST``."""
    if request.param == "backup":
        return back_up(control_plane)
    enable_recovery(control_plane, clock)
    moment = (now(clock) - timedelta(minutes=20)).replace(microsecond=0)
    return LATEST if request.param == "latest" else moment.isoformat()
