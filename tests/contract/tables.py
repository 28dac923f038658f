"""AWS.md, "Errors", "Deleting" and "Point-in-time recovery": tables as they come, change and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.account import Refusal
from tests.contract.restoring import refused
from tests.contract.rule import expect, needs, rule, same

if TYPE_CHECKING:
    from tests.contract.world import Answer, World

_IN_USE = "Attempt to change a resource which is still in use: Table is being"


def while_status(world: World, moment: dict[str, Answer], status: str, call: str) -> Answer:
    """Return what was answered to a call while a table had a status."""
    needs(world.status(moment["describe"]) == status, f"the table was not {status} when it was asked")
    return moment[call]


@rule("Errors")
def a_table_that_is_creating_can_not_be_backed_up(world: World) -> None:
    """CreateBackup of a table that is CREATING is refused: TableNotFoundException, "Table not found: X"."""
    answer = while_status(world, world.creating, "CREATING", "create")
    refused(answer, "TableNotFoundException", f"Table not found: {world.account.name('young')}")


@rule("Deleting")
def a_table_that_is_creating_can_not_be_deleted(world: World) -> None:
    """DeleteTable of a table that is CREATING is refused: ResourceInUseException."""
    answer = while_status(world, world.creating, "CREATING", "drop")
    refused(answer, "ResourceInUseException", f"{_IN_USE} created: {world.account.name('younger')}")


@rule("Point-in-time recovery")
def backups_of_a_young_table_are_being_enabled(world: World) -> None:
    """CreateBackup of a young table: ContinuousBackupsUnavailableException, "Backups are being enabled …"."""
    answer = world.creating["first"]
    needs(isinstance(answer, Refusal), "backups were enabled at once")
    name = world.account.name("young")
    text = f"Backups are being enabled for the table: {name}. Please retry later"
    refused(answer, "ContinuousBackupsUnavailableException", text)


@rule("Restoring")
def recovery_of_a_young_table_is_unavailable(world: World) -> None:
    """UpdateContinuousBackups just after a table is ACTIVE is refused: ContinuousBackupsUnavailableException."""
    answer = world.creating["recovery"]
    needs(isinstance(answer, Refusal), "point-in-time recovery could be turned on at once")
    refused(answer, "ContinuousBackupsUnavailableException")


@rule("Point-in-time recovery")
def continuous_backups_are_not_recovery(world: World) -> None:
    """ContinuousBackupsStatus is ENABLED on every table, also while PointInTimeRecoveryStatus is DISABLED."""
    told = world.account.call("describe_continuous_backups", TableName=world.orders)["ContinuousBackupsDescription"]
    same(told["ContinuousBackupsStatus"], "ENABLED", "ContinuousBackupsStatus")
    same(told["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"], "DISABLED", "PointInTimeRecoveryStatus")


@rule("Errors")
def a_missing_table_can_not_be_backed_up(world: World) -> None:
    """CreateBackup of a missing table is refused: TableNotFoundException, "Table not found: X"."""
    name = world.account.name("nowhere")
    refusal = world.account.refusal("create_backup", TableName=name, BackupName=world.account.backup_name)
    refused(refusal, "TableNotFoundException", f"Table not found: {name}")


@rule("Errors")
def a_missing_table_is_not_described(world: World) -> None:
    """DescribeTable of a missing table: ResourceNotFoundException, "Requested resource not found: Table: X …"."""
    name = world.account.name("nowhere")
    refusal = world.account.refusal("describe_table", TableName=name)
    refused(refusal, "ResourceNotFoundException", f"Requested resource not found: Table: {name} not found")


@rule("Errors")
def a_bad_name_is_refused_first(world: World) -> None:
    """A bad backup name is refused before any existence check: ValidationException."""
    for bad in ("a b c", "x/y/z", "å" * 5):
        refusal = world.account.refusal("create_backup", TableName=world.account.name("nowhere"), BackupName=bad)
        refused(refusal, "ValidationException")


@rule("Errors")
def a_call_that_is_not_allowed_is_denied(world: World) -> None:
    """A call that IAM denies: AccessDeniedException, "User: … is not authorized to perform: … on resource: …"."""
    # A read, of a table that nobody has, and that the policy of the documentation does not allow.
    client = world.account.client
    try:
        client.describe_table(TableName="airflow-ddb-not-allowed")
    except client.exceptions.ClientError as error:
        told = error.response
    else:
        told = {"Error": {"Code": ""}}
    needs(told["Error"]["Code"] == "AccessDeniedException", "the credentials may describe any table")
    text = told["Error"]["Message"]
    parts = ("User: ", "is not authorized to perform: dynamodb:DescribeTable on resource: ")
    expect(all(part in text for part in parts), f"the message is {text!r}")
    same(told["ResponseMetadata"]["HTTPStatusCode"], 400, "the HTTP status")


@rule("Errors")
def a_table_that_is_updating_can_be_backed_up(world: World) -> None:
    """CreateBackup of a table that is UPDATING succeeds."""
    answer = while_status(world, world.changing, "UPDATING", "create")
    expect(isinstance(answer, dict), f"it was refused: {answer}")


@rule("Restoring")
def one_update_at_a_time(world: World) -> None:
    """UpdateTable of a table that is UPDATING is refused: ResourceInUseException."""
    refused(while_status(world, world.changing, "UPDATING", "change"), "ResourceInUseException")


@rule("Deleting")
def a_table_that_is_updating_can_not_be_deleted(world: World) -> None:
    """DeleteTable of a table that is UPDATING is refused: ResourceInUseException."""
    answer = while_status(world, world.changing, "UPDATING", "drop")
    refused(answer, "ResourceInUseException", f"{_IN_USE} updated: {world.account.name('young')}")


@rule("Deleting")
def a_dropped_table_is_deleting_for_a_while(world: World) -> None:
    """DeleteTable takes a while: meanwhile the table is DELETING, listed, and its name taken."""
    moment, name = world.dropping, world.account.name("dropped")
    same(world.status(moment["begin"]), "DELETING", "TableStatus in DeleteTable's response")
    same(world.status(moment["describe"]), "DELETING", "TableStatus just afterwards")
    before, after = moment["before"], moment["describe"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    same(after["Table"].get("TableId"), before["Table"].get("TableId"), "TableId")
    listed = moment["list"]
    assert isinstance(listed, dict)
    expect(name in listed["TableNames"], "it is not listed")
    refused(moment["name"], "ResourceInUseException")


@rule("Errors")
def a_table_that_is_deleting_can_be_backed_up(world: World) -> None:
    """CreateBackup of a table that is DELETING succeeds for a second or two."""
    answer = while_status(world, world.dropping, "DELETING", "create")
    expect(isinstance(answer, dict), f"it was refused: {answer}")


@rule("Deleting")
def a_table_that_is_deleting_is_in_use(world: World) -> None:
    """DeleteTable of a table that is DELETING is refused: ResourceInUseException."""
    answer = while_status(world, world.dropping, "DELETING", "again")
    refused(answer, "ResourceInUseException", f"{_IN_USE} deleted: {world.account.name('dropped')}")


@rule("Deleting")
def a_table_that_is_gone_is_not_found(world: World) -> None:
    """Of a table that is gone: ResourceNotFoundException, and by CreateBackup TableNotFoundException."""
    refused(world.dropping["gone"], "ResourceNotFoundException")
    refused(world.dropping["describe gone"], "ResourceNotFoundException")
    refused(world.dropping["create gone"], "TableNotFoundException")


@rule("Deleting")
def a_protected_table_can_not_be_deleted(world: World) -> None:
    """DeleteTable of a protected table is refused: ValidationException, "… Disable deletion protection first."."""
    request = {"TableName": world.source}
    needs(
        world.account.call("describe_table", **request)["Table"].get("DeletionProtectionEnabled"), "it is not protected"
    )
    refusal = world.account.refusal("delete_table", **request)
    refused(refusal, "ValidationException", "Disable deletion protection first")


@rule("Restoring")
def a_second_stream_is_refused(world: World) -> None:
    """UpdateTable that enables a stream twice is refused: ValidationException."""
    stream = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    refused(
        world.account.refusal("update_table", TableName=world.source, StreamSpecification=stream), "ValidationException"
    )


@rule("Restoring")
def time_to_live_changes_once_an_hour(world: World) -> None:
    """A second UpdateTimeToLive within an hour is refused: ValidationException."""
    request: dict[str, Any] = {"TableName": world.source}
    request["TimeToLiveSpecification"] = {"Enabled": True, "AttributeName": "ends"}
    refused(world.account.refusal("update_time_to_live", **request), "ValidationException")


@rule("Restoring")
def tags_of_aws_can_not_be_set(world: World) -> None:
    """TagResource of a key that begins with aws: is refused: ValidationException."""
    arn = world.account.call("describe_table", TableName=world.orders)["Table"]["TableArn"]
    refusal = world.account.refusal("tag_resource", ResourceArn=arn, Tags=[{"Key": "aws:kind", "Value": "plain"}])
    refused(refusal, "ValidationException")
