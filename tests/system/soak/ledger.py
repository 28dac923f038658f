"""The simulator's own records: what was made, deleted, restored and dropped, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulator.control_plane import ControlPlane


@dataclass(frozen=True)
class Made:
    """A backup.

    :param arn: its ARN
    :param name: its name
    :param table: its table's name
    :param at: when it was made, in Unix seconds
    """

    arn: str
    name: str
    table: str
    at: float


@dataclass(frozen=True)
class Restored:
    """A table that a restore has made.

    :param table: its name
    :param source: the backup's ARN, or the source table's name
    :param moment: the time to which it was restored, or that of the backup
    :param at: when it was made
    """

    table: str
    source: str
    moment: float
    at: float


@dataclass
class Ledger:
    """The records.

    :param creating_for: seconds until a backup is AVAILABLE
    """

    creating_for: float
    made: dict[str, Made] = field(default_factory=dict)
    deleted: dict[str, float] = field(default_factory=dict)
    restored: list[Restored] = field(default_factory=list)
    dropped: list[tuple[str, float]] = field(default_factory=list)
    by_hand: set[str] = field(default_factory=set)

    def keep(self, plane: ControlPlane, then: Callable[[str, int], object] = lambda *_: None) -> None:
        """Note from now on what a control plane does.

        :param plane: the control plane
        :param then: called afterwards, and before the response is sent, with the operation and the caller's port
        """

        def on_commit(arn: str, port: int) -> None:
            self.made[arn] = Made(arn, plane.backup_name(arn), table_of(arn), plane.clock.time())
            then("CreateBackup", port)

        def on_deletion(arn: str, port: int) -> None:
            self.deleted[arn] = plane.clock.time()
            then("DeleteBackup", port)

        def on_restore(arn: str, port: int) -> None:
            name = table_of(arn)
            restore = plane.tables()[name]
            assert restore
            self.restored.append(Restored(name, restore.source, restore.moment, restore.began))
            then("RestoreTableFromBackup" if ":" in restore.source else "RestoreTableToPointInTime", port)

        def on_drop(arn: str, port: int) -> None:
            self.dropped.append((table_of(arn), plane.clock.time()))
            then("DeleteTable", port)

        plane.on_commit, plane.on_deletion, plane.on_restore, plane.on_drop = (
            on_commit,
            on_deletion,
            on_restore,
            on_drop,
        )

    def add_by_hand(self, plane: ControlPlane, table: str, name: str, age: float) -> None:
        """Make a backup as a person would, so many seconds ago."""
        (arn,) = plane.add_backups(table, 1, name, age=age)
        self.made[arn] = Made(arn, name, table, plane.clock.time() - age)
        self.by_hand.add(arn)

    def available(self, at: float, of: Callable[[Made], bool] = lambda _: True) -> list[Made]:
        """Return the backups that are AVAILABLE at a time, the newest first.

        :param at: Unix seconds
        :param of: which of them
        """
        found = (one for one in self.living(at) if self.available_from(one) <= at and of(one))
        return sorted(found, key=lambda one: one.at, reverse=True)

    def living(self, at: float) -> Iterator[Made]:
        """Return the backups that exist at a time."""
        return (one for one in self.made.values() if one.at <= at < self.deleted.get(one.arn, float("inf")))

    def available_from(self, backup: Made) -> float:
        """Return when a backup has become AVAILABLE."""
        return backup.at if backup.arn in self.by_hand else backup.at + self.creating_for


def table_of(arn: str) -> str:
    """Return the name of the table in an ARN."""
    return arn.split("/")[1]
