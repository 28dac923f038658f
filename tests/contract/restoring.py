"""AWS.md, "Restoring" and "Errors": restores that go on. They come first, since they take minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.account import Refusal
from tests.contract.rule import WrongError, expect, needs, rule, same

if TYPE_CHECKING:
    from tests.contract.world import Answer, World

_OVER = "the table was ACTIVE before it could be asked"


def during(world: World, call: str) -> Answer:
    """Return what was answered to a call while a restore went on."""
    needs(call in world.restoring and world.status(world.restoring["after"]) == "CREATING", _OVER)
    return world.restoring[call]


def refused(answer: Answer, code: str, text: str = "") -> None:
    """Check that a call was refused, by this error.

    :param text: what the message has in it
    """
    if not isinstance(answer, Refusal):
        message = f"it was not refused by {code}"
        raise WrongError(message)
    same(answer.code, code, "the code")
    same(answer.status, 400, "the HTTP status")
    expect(text in answer.text, f"the message is {answer.text!r}, without {text!r}")


@rule("Restoring")
def a_restored_table_is_creating(world: World) -> None:
    """While a restore goes on the new table is CREATING, and RestoreInProgress true; the summary names the source."""
    source = world.account.call("describe_table", TableName=world.source)["Table"]["TableArn"]
    begin = world.restoring["begin"]
    assert isinstance(begin, dict)
    table = begin["TableDescription"]
    same(table["TableStatus"], "CREATING", "TableStatus")
    summary = table["RestoreSummary"]
    same(summary["RestoreInProgress"], True, "RestoreInProgress")
    same(summary.get("SourceTableArn"), source, "SourceTableArn")
    same(summary.get("SourceBackupArn"), world.source_backup["BackupArn"], "SourceBackupArn")


@rule("Restoring")
def an_empty_override_starts_the_restore(world: World) -> None:
    """An empty override answers an error, and starts the restore."""
    expect(isinstance(world.startled, Refusal), "there was no error")
    table = world.account.describe("startled")
    expect(table and "RestoreSummary" in table, "no restore was started")


@rule("Restoring")
def overrides_are_taken(world: World) -> None:
    """A restore takes overrides of billing mode, throughput and indexes; an empty list of indexes is one."""
    expect(world.overriding, "nothing was returned")


@rule("Errors")
def a_target_that_is_being_restored(world: World) -> None:
    """A restore to such a table: TableInUseException, "Table: X is already being restored from backup: ARN"."""
    target, arn = world.account.name("restored"), world.source_backup["BackupArn"]
    refused(
        during(world, "again"), "TableInUseException", f"Table: {target} is already being restored from backup: {arn}"
    )


@rule("Errors")
def a_backup_of_a_table_that_is_being_restored(world: World) -> None:
    """CreateBackup of a table that is being restored is refused: TableNotFoundException."""
    refused(during(world, "create"), "TableNotFoundException")


@rule("Deleting")
def a_table_that_is_being_restored_can_not_be_deleted(world: World) -> None:
    """DeleteTable of a table that is being restored is refused: ResourceInUseException."""
    refused(during(world, "drop"), "ResourceInUseException")


@rule("Errors")
def a_backup_that_is_being_restored_is_in_use(world: World) -> None:
    """DeleteBackup of a backup that is being restored is refused: BackupInUseException."""
    refused(during(world, "delete"), "BackupInUseException")
