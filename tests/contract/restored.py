"""AWS.md, "Restoring": what a restore makes of a table. They come last, since it takes minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.account import LAG, switch_recovery
from tests.contract.point_in_time import refusal, window
from tests.contract.restoring import refused
from tests.contract.rule import expect, needs, rule, same
from tests.contract.world import ON_DEMAND

if TYPE_CHECKING:
    from tests.contract.world import World

_SECTION = "Restoring"


@rule(_SECTION)
def the_summary_stays(world: World) -> str:
    """RestoreSummary stays once the table is ACTIVE, and its RestoreDateTime is when the backup was made."""
    summary = world.restored["RestoreSummary"]
    same(summary["RestoreInProgress"], False, "RestoreInProgress")
    same(summary["SourceBackupArn"], world.source_backup["BackupArn"], "SourceBackupArn")
    off = abs((summary["RestoreDateTime"] - world.source_backup["BackupCreationDateTime"]).total_seconds())
    expect(off < 2, f"RestoreDateTime is {off:.0f} s off")
    return f"the restore took {world.took['restore']:.0f} s"


@rule(_SECTION)
def a_restored_table_has_its_own_id(world: World) -> None:
    """A restored table has a TableId of its own, the same all the time."""
    begin = world.restoring["begin"]
    assert isinstance(begin, dict)
    source = world.account.call("describe_table", TableName=world.source)["Table"].get("TableId")
    own = world.restored.get("TableId")
    expect(own and own != source, f"the IDs are {own!r} and {source!r}")
    same(begin["TableDescription"].get("TableId"), own, "TableId in the response")


@rule(_SECTION)
def the_capacity_is_the_source_s(world: World) -> None:
    """A restore without overrides has the source's billing mode and indexes."""
    same(world.restored.get("BillingModeSummary", {}).get("BillingMode"), "PAY_PER_REQUEST", "BillingMode")
    indexes = sorted(one["IndexName"] for one in world.restored.get("GlobalSecondaryIndexes", []))
    same(indexes, ["by-one", "by-two"], "GlobalSecondaryIndexes")
    same(
        [one["IndexName"] for one in world.restored.get("LocalSecondaryIndexes", [])], ["own"], "LocalSecondaryIndexes"
    )


@rule(_SECTION)
def a_restore_is_of_the_standard_class(world: World) -> None:
    """A restored table is of the table class STANDARD, whatever the source's."""
    source = world.account.call("describe_table", TableName=world.source)["Table"]
    told = source.get("TableClassSummary", {}).get("TableClass")
    needs(told == "STANDARD_INFREQUENT_ACCESS", "the source's class is not told")
    same(world.restored.get("TableClassSummary", {}).get("TableClass", "STANDARD"), "STANDARD", "TableClass")


@rule(_SECTION)
def tags_are_dropped(world: World) -> None:
    """A restore drops tags."""
    same(world.account.call("list_tags_of_resource", ResourceArn=world.restored["TableArn"])["Tags"], [], "the tags")


@rule(_SECTION)
def time_to_live_is_dropped(world: World) -> None:
    """A restore drops TTL."""
    told = world.account.call("describe_time_to_live", TableName=world.account.name(arrived(world)))
    same(told["TimeToLiveDescription"]["TimeToLiveStatus"], "DISABLED", "TimeToLiveStatus")


@rule(_SECTION)
def the_stream_is_dropped(world: World) -> None:
    """A restore drops the stream."""
    told = world.restored.get("StreamSpecification", {}).get("StreamEnabled", False)
    same(told, False, "StreamEnabled")


@rule(_SECTION)
def recovery_is_dropped(world: World) -> None:
    """A restore drops PITR."""
    told = world.account.call("describe_continuous_backups", TableName=world.account.name(arrived(world)))
    recovery = told["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    same(recovery["PointInTimeRecoveryStatus"], "DISABLED", "PointInTimeRecoveryStatus")


@rule(_SECTION)
def protection_is_dropped(world: World) -> None:
    """A restore drops deletion protection."""
    same(world.restored.get("DeletionProtectionEnabled", False), False, "DeletionProtectionEnabled")


@rule(_SECTION)
def the_resource_policy_is_dropped(world: World) -> None:
    """A restore drops the resource policy."""
    source = world.account.call("describe_table", TableName=world.source)["Table"]["TableArn"]
    expect(world.account.call("get_resource_policy", ResourceArn=source)["Policy"], "the source has none")
    refused(
        world.account.refusal("get_resource_policy", ResourceArn=world.restored["TableArn"]), "PolicyNotFoundException"
    )


@rule("Errors")
def a_target_that_is_restored_exists(world: World) -> None:
    """A restore to a table that exists is refused: TableAlreadyExistsException."""
    arn = world.source_backup["BackupArn"]
    for target in ("orders", arrived(world)):
        request = {"TargetTableName": world.account.name(target), "BackupArn": arn}
        refused(world.account.refusal("restore_table_from_backup", **request), "TableAlreadyExistsException")


@rule(_SECTION)
def an_override_of_the_throughput(world: World) -> None:
    """BillingModeOverride and ProvisionedThroughputOverride are honoured."""
    table = world.overridden
    # AWS has no summary of a table that was never on demand.
    same(table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"), "PROVISIONED", "BillingMode")
    throughput = table["ProvisionedThroughput"]
    same((throughput["ReadCapacityUnits"], throughput["WriteCapacityUnits"]), (1, 2), "the units of read and write")


@rule(_SECTION)
def an_override_of_the_indexes(world: World) -> None:
    """An override of indexes keeps only those that it names, and an empty one none."""
    table = world.overridden
    same([one["IndexName"] for one in table.get("GlobalSecondaryIndexes", [])], ["by-two"], "GlobalSecondaryIndexes")
    same(table.get("LocalSecondaryIndexes", []), [], "LocalSecondaryIndexes")


@rule(_SECTION)
def an_override_of_on_demand_throughput(world: World) -> None:
    """OnDemandThroughputOverride is honoured."""
    same(world.recovered.get("OnDemandThroughput"), ON_DEMAND, "OnDemandThroughput")


@rule("Point-in-time recovery")
def a_restore_to_a_time_has_the_source_s_indexes(world: World) -> None:
    """A restore to a point in time has the indexes and the billing mode of its source."""
    indexes = sorted(one["IndexName"] for one in world.recovered.get("GlobalSecondaryIndexes", []))
    same(indexes, ["by-one", "by-two"], "GlobalSecondaryIndexes")
    same(world.recovered.get("BillingModeSummary", {}).get("BillingMode"), "PAY_PER_REQUEST", "BillingMode")


@rule("Point-in-time recovery")
def a_restore_to_a_time_drops_as_much(world: World) -> None:
    """A restore to a point in time drops tags, the stream and deletion protection."""
    table = world.recovered
    same(world.account.call("list_tags_of_resource", ResourceArn=table["TableArn"])["Tags"], [], "the tags")
    same(table.get("StreamSpecification", {}).get("StreamEnabled", False), False, "StreamEnabled")
    same(table.get("DeletionProtectionEnabled", False), False, "DeletionProtectionEnabled")


@rule("Point-in-time recovery")
def enabling_again_begins_anew(world: World) -> None:
    """Disabling PITR ends the window, and enabling it again begins a new one."""
    # Not while a restore goes on.
    assert world.recovered
    earliest, _ = window(world)
    world.account.clock.sleep(2)
    switch_recovery(world.account, world.recoverable, on=False)
    answer = refusal(world, "refused-anew", UseLatestRestorableTime=True)
    refused(answer, "PointInTimeRecoveryUnavailableException")
    switch_recovery(world.account, world.recoverable, on=True)
    world.until(lambda: window(world)[0] > earliest or None, LAG, 1)
    expect(window(world)[0] > earliest, "EarliestRestorableDateTime is as before")


def arrived(world: World) -> str:
    """Return the role of the restored table, once it is ACTIVE."""
    assert world.restored
    return "restored"
