"""Fixtures of the restoring story: a table, and a backup of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.restoring.support import back_up, make_source

if TYPE_CHECKING:
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
