"""How a setting is read, and the calls that put it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
)
from airflow_ddb_backup.restoring.settings import (
    SETTINGS,
    ResourcePolicy,
    read_settings,
)
from tests.unit.restoring.support import (
    ARN,
    NAMES,
    POLICY,
    give,
    put,
    restore,
    table,
)

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("source")


def move(names: list[str]) -> dict[str, str]:
    """Put settings of the source back on the target."""
    return put(read_settings(names, table("source")))


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_needs_no_more_than_its_actions(control_plane: ControlPlane, name: str) -> None:
    """Beside dynamodb:DescribeTable, which all of them need."""
    give(control_plane, name)
    restore(control_plane)
    (setting,) = (one for one in SETTINGS if one.name == name)
    actions = ["dynamodb:DescribeTable", *setting.actions]
    control_plane.policy = {"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    assert move([name]) == {name: "applied"}


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_that_can_t_be_read_is_told_with_its_action(control_plane: ControlPlane, name: str) -> None:
    """Before anything is made."""
    (setting,) = (one for one in SETTINGS if one.name == name)
    actions = [action for action in ("dynamodb:DescribeTable", *setting.actions) if action != setting.actions[0]]
    control_plane.policy = {"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    with pytest.raises(AccessDeniedError, match=setting.actions[0]):
        read_settings([name], table("source"))


def test_arns_of_other_tables_stay(control_plane: ControlPlane) -> None:
    """Also of one whose name begins with this one's."""
    restore(control_plane)
    adapted = ResourcePolicy().adapt(POLICY, ARN, table("target"))
    new = ARN.replace("source", "target")
    assert adapted["Statement"][0]["Resource"] == [new, f"{new}/index/*", f"{ARN}-eu"]
