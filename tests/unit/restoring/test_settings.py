"""How a setting is read, and the calls that put it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import botocore
import botocore.session
import pytest

from airflow_ddb_backup.exceptions import (
    SettingsDeniedError,
)
from airflow_ddb_backup.restoring.settings import (
    SETTINGS,
    read_settings,
)
from tests.simulator.control_plane import REGION
from tests.unit.restoring.support import (
    ARN,
    NAMES,
    give,
    put,
    restore,
    table,
)

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("source")


#: The members that this package knows of each structure, by what it does with them.
IDENTITY = "TableName TableArn TableId KeySchema AttributeDefinitions TableStatus CreationDateTime"
SIZES = "TableSizeBytes ItemCount"
RESTORED = (
    "BillingMode ProvisionedThroughput OnDemandThroughput LocalSecondaryIndexes GlobalSecondaryIndexes VectorIndexes"
)
# A setting of this package's each.
PUT_BACK = "StreamSpecification TableClass DeletionProtectionEnabled"
# docs/restore.rst lists them, or says that AWS chooses.
NOT_PUT_BACK = "SSESpecification WarmThroughput GlobalTableSettingsReplicationMode"
KNOWN = {
    ("RestoreTableFromBackup", ""): {
        "asked for": "TargetTableName BackupArn",
        "parameters": "BillingModeOverride ProvisionedThroughputOverride OnDemandThroughputOverride "
        "SSESpecificationOverride",
        "exclude_indexes": "GlobalSecondaryIndexOverride LocalSecondaryIndexOverride VectorIndexOverride",
    },
    ("DescribeBackup", "SourceTableDetails"): {
        "identity": "TableName TableId TableArn KeySchema TableCreationDateTime",
        "sizes": SIZES,
        "restored by AWS": "ProvisionedThroughput OnDemandThroughput BillingMode",
    },
    ("DescribeBackup", "SourceTableFeatureDetails"): {
        "exclude_indexes": "LocalSecondaryIndexes GlobalSecondaryIndexes VectorIndexes",
        "settings stream and ttl": "StreamDescription TimeToLiveDescription",
        "kms_key_id": "SSEDescription",
    },
    ("DescribeTable", "Table"): {
        "identity": IDENTITY,
        "sizes": SIZES,
        "restored by AWS": RESTORED.replace("BillingMode", "BillingModeSummary"),
        "settings": PUT_BACK.replace("TableClass", "TableClassSummary"),
        "the wait": "RestoreSummary",
        "not put back": "SSEDescription WarmThroughput",
        "the stream's new ARN": "LatestStreamLabel LatestStreamArn",
        "replicas": "GlobalTableVersion Replicas GlobalTableWitnesses GlobalTableSettingsReplicationMode "
        "MultiRegionConsistency DisassociationProtectionEnabled",
        "no table that can be restored to": "ArchivalSummary",
    },
    ("CreateTable", ""): {
        "identity": "TableName KeySchema AttributeDefinitions",
        "restored by AWS": RESTORED,
        "settings": f"{PUT_BACK} Tags ResourcePolicy",
        "not put back": NOT_PUT_BACK,
        "replicas": "GlobalTableSourceArn",
    },
    ("UpdateTable", ""): {
        "identity": "TableName AttributeDefinitions",
        "restored by AWS": "BillingMode ProvisionedThroughput OnDemandThroughput GlobalSecondaryIndexUpdates "
        "VectorIndexUpdates",
        "settings": PUT_BACK,
        "not put back": NOT_PUT_BACK,
        "replicas": "ReplicaUpdates MultiRegionConsistency GlobalTableWitnessUpdates DisassociationProtectionEnabled",
    },
}


@pytest.mark.skipif(
    f"\nbotocore=={botocore.__version__}\n"
    not in (Path(__file__).parents[3] / "constraints.txt").read_text(encoding="utf-8"),
    reason="the pinned botocore only: it speaks when the pins move, not when AWS does",
)
@pytest.mark.parametrize(("operation", "member"), KNOWN)
def test_every_member_of_aws_s_structures_is_known(operation: str, member: str) -> None:
    """A new one may be a setting that a restore drops, or an override."""
    model = botocore.session.Session().create_client("dynamodb", REGION).meta.service_model.operation_model(operation)
    shape = model.output_shape if member else model.input_shape
    if operation == "DescribeBackup":
        shape = shape.members["BackupDescription"]
    members = (shape.members[member] if member else shape).members
    known = " ".join(KNOWN[operation, member].values()).split()
    assert sorted(members) == sorted(known)


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
    """And with the way to do without it."""
    (setting,) = (one for one in SETTINGS if one.name == name)
    actions = [action for action in ("dynamodb:DescribeTable", *setting.actions) if action != setting.actions[0]]
    control_plane.policy = {"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    told = f"'{name}': {setting.actions[0]} answered .*leave these settings out of settings"
    with pytest.raises(SettingsDeniedError, match=told):
        read_settings([name], table("source"))


def test_all_settings_that_can_t_be_read_are_told_at_once(control_plane: ControlPlane) -> None:
    """Not one at each try; those that one missing action is about stand together."""
    control_plane.policy = {"Statement": [{"Effect": "Allow", "Action": "dynamodb:ListBackups", "Resource": "*"}]}
    with pytest.raises(SettingsDeniedError) as refusal:
        read_settings(NAMES, table("source"))
    message = str(refusal.value)
    assert all(message.count(f"'{name}'") == 1 for name in NAMES)
    assert message.count("dynamodb:DescribeTable answered") == 1
    assert "'point_in_time_recovery': dynamodb:DescribeContinuousBackups answered" in message
    assert control_plane.calls["DescribeTimeToLive"] == 1


def test_a_policy_names_its_own_table_by_a_word(control_plane: ControlPlane) -> None:
    """The new table has another ARN; those of other tables stay, also of one whose name begins with this one's."""
    give(control_plane, "resource_policy")
    policy = read_settings(["resource_policy"], table("source"))["resource_policy"]
    itself = "<the table's ARN>"
    assert policy["Statement"][0]["Resource"] == [itself, f"{itself}/index/*", f"{ARN}-eu"]
