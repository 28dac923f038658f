"""AWS.md, "Point-in-time recovery"."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.contract.restoring import refused
from tests.contract.rule import expect, needs, rule, same

if TYPE_CHECKING:
    from tests.contract.account import Refusal
    from tests.contract.world import World

_SECTION = "Point-in-time recovery"
# The latest time is typically five minutes behind; so long is waited for a window (chosen), and so far it may be off.
_WINDOW, _OFF = timedelta(minutes=8), timedelta(minutes=5)


def window(world: World) -> tuple[datetime, datetime]:
    """Return the earliest and the latest time to which the source can be restored."""
    told = world.account.call("describe_continuous_backups", TableName=world.recoverable)
    recovery = told["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    needs("EarliestRestorableDateTime" in recovery, "no window is told")
    return recovery["EarliestRestorableDateTime"], recovery["LatestRestorableDateTime"]


def refusal(world: World, target: str, source: str = "", **when: Any) -> Refusal:
    """Return the error of a restore to a point in time."""
    names = {"SourceTableName": source or world.recoverable, "TargetTableName": world.account.name(target)}
    return world.account.refusal("restore_table_to_point_in_time", **names, **when)


@rule(_SECTION)
def a_time_out_of_the_window_is_refused(world: World) -> None:
    """A restore to a time out of the window is refused: InvalidRestoreTimeException."""
    earliest, latest = window(world)
    for moment in (earliest - timedelta(hours=1), latest + timedelta(hours=1)):
        refused(refusal(world, "refused-time", RestoreDateTime=moment), "InvalidRestoreTimeException")


@rule(_SECTION)
def without_recovery_it_is_unavailable(world: World) -> None:
    """A restore of a table without PITR is refused: PointInTimeRecoveryUnavailableException."""
    answer = refusal(world, "refused-recovery", source=world.orders, UseLatestRestorableTime=True)
    refused(answer, "PointInTimeRecoveryUnavailableException")


@rule(_SECTION)
def a_source_that_is_missing_is_not_found(world: World) -> None:
    """A restore of a missing table to a point in time is refused: TableNotFoundException."""
    answer = refusal(world, "refused-source", source=world.account.name("nowhere"), UseLatestRestorableTime=True)
    refused(answer, "TableNotFoundException")


@rule(_SECTION)
def a_target_that_exists_is_refused(world: World) -> None:
    """A restore to a point in time into a table that exists is refused: TableAlreadyExistsException."""
    assert world.orders
    refused(refusal(world, "orders", UseLatestRestorableTime=True), "TableAlreadyExistsException")


@rule(_SECTION)
def one_time_must_be_given(world: World) -> None:
    """A restore to a point in time without a time, or with two, is refused: ValidationException."""
    _, latest = window(world)
    refused(refusal(world, "refused-times"), "ValidationException")
    refused(
        refusal(world, "refused-times", RestoreDateTime=latest, UseLatestRestorableTime=True), "ValidationException"
    )


@rule(_SECTION)
def the_latest_time_is_five_minutes_behind(world: World) -> str:
    """LatestRestorableDateTime is about five minutes behind; EarliestRestorableDateTime stays."""
    clock = world.account.clock
    began = clock.monotonic()
    earliest = window(world)[0]

    def moved() -> datetime | None:
        first, latest = window(world)
        return latest if latest - first >= timedelta(minutes=1) else None

    latest = world.until(moved, _WINDOW.total_seconds(), 10)
    needs(latest, f"the window had not moved on after {clock.monotonic() - began:.0f} s")
    assert latest is not None
    behind = world.account.now() - latest
    expect(timedelta() <= behind <= timedelta(minutes=5) + _OFF, f"it is {behind.total_seconds():.0f} s behind")
    same(window(world)[0], earliest, "EarliestRestorableDateTime, later on")
    return f"{behind.total_seconds():.0f} s behind"


@rule("Restoring")
def a_restore_to_a_time_names_no_backup(world: World) -> None:
    """RestoreSummary of a restore to a point in time has SourceTableArn and that time, and no SourceBackupArn."""
    _, latest = window(world)
    begin = world.recovering["begin"]
    assert isinstance(begin, dict)
    source = world.account.call("describe_table", TableName=world.source)["Table"]["TableArn"]
    same(begin["TableDescription"]["TableStatus"], "CREATING", "TableStatus")
    summary = begin["TableDescription"]["RestoreSummary"]
    same(summary["RestoreInProgress"], True, "RestoreInProgress")
    same(summary.get("SourceTableArn"), source, "SourceTableArn")
    expect("SourceBackupArn" not in summary, "there is a SourceBackupArn")
    off = abs((summary["RestoreDateTime"] - latest).total_seconds())
    expect(off < 120, f"RestoreDateTime is {off:.0f} s off")


@rule(_SECTION)
def a_target_that_is_being_restored_to_a_time(world: World) -> None:
    """A restore to a point in time into a table that is being restored is refused: TableInUseException."""
    needs("again" in world.recovering, "the table was ACTIVE before it could be asked")
    refused(world.recovering["again"], "TableInUseException")


@rule(_SECTION, also="system-backup")
def a_dropped_table_leaves_a_system_backup(world: World) -> None:
    """A table that is deleted with PITR on leaves the system backup TABLE$DeletedTableBackup."""
    same(world.system_backup["BackupType"], "SYSTEM", "BackupType")
    same(world.system_backup["BackupName"], f"{world.account.name('system')}$DeletedTableBackup", "BackupName")


@rule("Calls", also="system-backup")
def the_arn_of_a_system_backup(world: World) -> None:
    """The ARN of a system backup ends in -00000000."""
    end = world.system_backup["BackupArn"].rpartition("/")[2]
    expect(end.endswith("-00000000"), f"it ends in {end!r}")


@rule("Calls", also="system-backup")
def the_type_defaults_to_user(world: World) -> None:
    """ListBackups lists USER backups unless another BackupType, or ALL, is given."""
    assert world.system_backup
    name = world.account.name("system")
    kinds = {
        kind: {
            one["BackupType"] for one in world.account.listed(TableName=name, **({"BackupType": kind} if kind else {}))
        }
        for kind in ("", "USER", "SYSTEM", "ALL")
    }
    same(kinds, {"": {"USER"}, "USER": {"USER"}, "SYSTEM": {"SYSTEM"}, "ALL": {"USER", "SYSTEM"}}, "the types")


@rule("Errors", also="system-backup")
def a_system_backup_can_not_be_deleted(world: World) -> None:
    """DeleteBackup of a system backup: ValidationException, "User is not allowed to delete the system backup …"."""
    needs(world.system_backup["BackupType"] == "SYSTEM", "it is no system backup")
    answer = world.account.refusal("delete_backup", BackupArn=world.system_backup["BackupArn"])
    refused(answer, "ValidationException", "not allowed to delete the system backup")


@rule(_SECTION, also="system-backup")
def a_table_that_is_made_again_has_no_recovery(world: World) -> None:
    """A table that is made again under its name has PITR off."""
    assert world.system_backup
    world.create("system")
    world.until_active("system")
    told = world.account.call("describe_continuous_backups", TableName=world.account.name("system"))
    recovery = told["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    same(recovery["PointInTimeRecoveryStatus"], "DISABLED", "PointInTimeRecoveryStatus")
