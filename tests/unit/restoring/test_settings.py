"""The settings that a restore drops, put back on the restored table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import AccessDeniedError, ErrorContext
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.report import Report
from airflow_ddb_backup.restoring.put_back import outcomes, put_back
from airflow_ddb_backup.restoring.request import SettingsRequest
from airflow_ddb_backup.restoring.settings import SETTINGS, ResourcePolicy, SettingsOf, read_settings
from tests.simulator.control_plane import REGION
from tests.simulator.faults import THROTTLED, Fault
from tests.unit.restoring.tables import ARN, NAMES, POLICY, Silent, give, make_source, restore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulator.control_plane import ControlPlane

BACKUP = f"{ARN}/backup/01795422913684-770da1ee"


@pytest.fixture(autouse=True)
def _source(control_plane: ControlPlane) -> None:
    make_source(control_plane)


def table(name: str) -> SettingsOf:
    """Return a table whose settings are read or put back."""
    hook = DynamoDBBackupHook(region_name=REGION)
    return SettingsOf(hook, ErrorContext(name, region=REGION), name, Deadline.after(1800), 60, Silent())


def put(values: dict[str, Any], unavailable: Sequence[str] = ()) -> dict[str, str]:
    """Put settings back on the target, and return how each went."""
    report = Report[str]()
    put_back(SettingsRequest(BACKUP, "target", ARN, values, unavailable), table("target"), report)
    return outcomes(report)


def move(names: list[str]) -> dict[str, str]:
    """Put settings of the source back on the target."""
    return put(read_settings(names, table("source")))


def test_every_setting_is_put_back(control_plane: ControlPlane) -> None:
    """Reading both tables gives the same values, and a second time there is nothing to do."""
    for name in NAMES:
        give(control_plane, name)
    restore(control_plane)
    control_plane.updating_for = 5
    assert move(NAMES) == dict.fromkeys(NAMES, "applied")
    source, target = (read_settings(NAMES, table(name)) for name in ("source", "target"))
    new = ARN.replace("source", "target")
    assert target.pop("resource_policy")["Statement"][0]["Resource"] == [new, f"{new}/index/*", f"{ARN}-eu"]
    del source["resource_policy"]
    assert source == target
    calls = control_plane.calls.copy()
    assert move(NAMES) == dict.fromkeys(NAMES, "same")
    changes = {operation for operation in control_plane.calls if control_plane.calls[operation] > calls[operation]}
    assert not [operation for operation in changes if not operation.startswith(("Describe", "List", "Get"))]


def test_a_table_without_any_has_nothing_to_put_back(control_plane: ControlPlane) -> None:
    """No call changes anything."""
    restore(control_plane)
    before = control_plane.calls.copy()
    assert move(NAMES) == dict.fromkeys(NAMES, "same")
    assert control_plane.calls["UpdateTable"] == before["UpdateTable"]


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


def test_one_that_can_t_be_put_back_stops_no_other(control_plane: ControlPlane) -> None:
    """A retry does only the rest."""
    for name in NAMES:
        give(control_plane, name)
    restore(control_plane)
    control_plane.fail_next("UpdateTimeToLive", Fault(code="ValidationException"))
    went = move(NAMES)
    assert went.pop("ttl").startswith("failed: AWS finds the request invalid: table 'target'")
    assert went.pop("resource_policy").startswith("failed: not tried, since it may deny the retry")
    assert set(went.values()) == {"applied"}
    assert move(NAMES) == dict.fromkeys(NAMES, "same") | {"ttl": "applied", "resource_policy": "applied"}


def test_what_passes_is_waited_for(control_plane: ControlPlane) -> None:
    """Throttled for a minute, a table that is UPDATING, and backups that are being enabled."""
    names = ["tags", "table_class", "point_in_time_recovery", "deletion_protection"]
    for name in names:
        give(control_plane, name)
    restore(control_plane)
    control_plane.updating_for = 40
    control_plane.backups_enabled_after = 6
    control_plane.fail_next("TagResource", THROTTLED, times=5)
    assert move(names) == dict.fromkeys(names, "applied")


def test_a_setting_that_does_not_take_is_a_failure(control_plane: ControlPlane) -> None:
    """It is read again: what AWS has answered is no proof."""
    give(control_plane, "tags")
    restore(control_plane)
    control_plane.fail_next("TagResource", Fault(committed=False, code="", status=200))
    (outcome,) = move(["tags"]).values()
    assert "It reads as {}, and not as {'team': 'shop', 'tier': '1'}." in outcome


def test_what_is_not_known_is_unavailable(control_plane: ControlPlane) -> None:
    """As when the source is gone."""
    restore(control_plane)
    assert put({"ttl": "ends"}, ["tags"]) == {"tags": "unavailable", "ttl": "applied"}


def test_indexes_that_were_not_restored_are_left_out(control_plane: ControlPlane) -> None:
    """Of insights and scaling."""
    names = ["contributor_insights", "auto_scaling"]
    for name in names:
        give(control_plane, name)
    restore(control_plane, GlobalSecondaryIndexOverride=[])
    assert move(names) == dict.fromkeys(names, "applied")
    assert list(read_settings(names, table("target"))["contributor_insights"]) == [""]


def test_other_tags_stay(control_plane: ControlPlane) -> None:
    """Those of AWS are not copied, those that were given to the new table are kept."""
    give(control_plane, "tags")
    control_plane.tag_table("source", **{"aws:cloudformation:stack-name": "shop"})
    restore(control_plane)
    control_plane.tag_table("target", restored="yes", tier="2")
    assert move(["tags"]) == {"tags": "applied"}
    assert read_settings(["tags"], table("target"))["tags"] == {"team": "shop", "tier": "1", "restored": "yes"}


def test_arns_of_other_tables_stay(control_plane: ControlPlane) -> None:
    """Also of one whose name begins with this one's."""
    restore(control_plane)
    adapted = ResourcePolicy().adapt(POLICY, ARN, table("target"))
    new = ARN.replace("source", "target")
    assert adapted["Statement"][0]["Resource"] == [new, f"{new}/index/*", f"{ARN}-eu"]


@pytest.mark.load
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    given_names=st.sets(st.sampled_from(NAMES)),
    had=st.sets(st.sampled_from(NAMES)),
    asked=st.sets(st.sampled_from(NAMES)),
)
def test_any_mix_of_settings(
    control_plane: ControlPlane, given_names: set[str], had: set[str], asked: set[str]
) -> None:
    """On source and target: each that is asked for is equal afterwards, and nothing else has changed."""
    for name in ("source", "target"):
        if name in control_plane.client().list_tables()["TableNames"]:
            control_plane.drop_table(name)
    make_source(control_plane)
    # These are kept beside their tables.
    for name in given_names - {"auto_scaling", "resource_policy"}:
        give(control_plane, name)
    restore(control_plane)
    # As an earlier try has left it, and with a tag of its own.
    move(sorted(had))
    control_plane.tag_table("target", owner="night")
    before = read_settings(NAMES, table("target"))
    went = move(sorted(asked))
    source, after = (read_settings(NAMES, table(name)) for name in ("source", "target"))
    assert set(went) == asked
    assert after["tags"] == before["tags"] | (source["tags"] if "tags" in asked else {})
    for name in set(NAMES) - {"auto_scaling", "resource_policy", "tags"}:
        assert after[name] == (source if name in asked else before)[name]
