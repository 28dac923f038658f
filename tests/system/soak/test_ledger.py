"""The records of the soak, kept while a control plane is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.soak.ledger import Ledger, Made, Restored

if TYPE_CHECKING:
    from tests.simulator.control_plane import ControlPlane


def test_all_that_happens_is_noted(control_plane: ControlPlane) -> None:
    """A backup, a restore of it, the end of the new table, and the end of the backup; each is told on."""
    told: list[str] = []
    ledger = Ledger(creating_for=20.0)
    ledger.keep(control_plane, lambda operation, _: told.append(operation))
    client, now = control_plane.client(), control_plane.clock.time
    arn = client.create_backup(TableName="orders", BackupName="first")["BackupDetails"]["BackupArn"]
    client.restore_table_from_backup(TargetTableName="restored", BackupArn=arn)
    client.delete_table(TableName="restored")
    client.delete_backup(BackupArn=arn)
    assert ledger.made == {arn: Made(arn, "first", "orders", now())}
    assert [(one.table, one.source) for one in ledger.restored] == [("restored", arn)]
    assert ledger.dropped == [("restored", now())]
    assert ledger.deleted == {arn: now()}
    assert told == ["CreateBackup", "RestoreTableFromBackup", "DeleteTable", "DeleteBackup"]


def test_a_point_in_time_is_noted(control_plane: ControlPlane) -> None:
    """With its source and its time."""
    ledger = Ledger(creating_for=20.0)
    control_plane.switch_recovery("orders")
    ledger.keep(control_plane)
    control_plane.client().restore_table_to_point_in_time(
        SourceTableName="orders", TargetTableName="rewound", UseLatestRestorableTime=True
    )
    now = control_plane.clock.time()
    assert ledger.restored == [Restored("rewound", "orders", now, now)]


def test_a_backup_is_available_for_a_time() -> None:
    """From when it is no longer CREATING until it is deleted; one made by hand is at once."""
    ledger = Ledger(creating_for=20.0)
    for arn in ("first", "second", "by hand"):
        ledger.made[arn] = Made(arn, arn, "orders", 100.0)
    ledger.by_hand.add("by hand")
    ledger.deleted["first"] = 130.0
    available = {at: sorted(one.arn for one in ledger.available(at)) for at in (99, 100, 119, 120, 130)}
    assert available == {
        99: [],
        100: ["by hand"],
        119: ["by hand"],
        120: ["by hand", "first", "second"],
        130: ["by hand", "second"],
    }
