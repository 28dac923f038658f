"""AWS.md, "Calls": backups and their listing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.clock import headers_of
from tests.contract.account import LAG, Refusal, send
from tests.contract.restoring import refused
from tests.contract.rule import WrongError, expect, needs, rule, same

if TYPE_CHECKING:
    from tests.contract.world import World

# AWS.md, "Calls".
_ARN = re.compile(r"arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:\d{12}:table/[a-zA-Z0-9_.-]+/backup/(0\d{13})-[0-9a-f]{8}")
_PAGE = 100
# More than any documented rate lets through at once.
_MANY = 60


def create(world: World, table: str) -> dict[str, Any]:
    """Create a backup, and return what CreateBackup returns of it."""
    made = world.account.call("create_backup", TableName=table, BackupName=world.account.backup_name)
    details: dict[str, Any] = made["BackupDetails"]
    return details


def details_of(world: World, arn: str) -> dict[str, Any]:
    """Return what DescribeBackup says of a backup."""
    description: dict[str, Any] = world.account.call("describe_backup", BackupArn=arn)["BackupDescription"]
    return description


def arns(world: World, **request: Any) -> set[str]:
    """Return the ARNs that ListBackups lists."""
    return {one["BackupArn"] for one in world.account.listed(**request)}


def awaited(world: World, *made: str, **request: Any) -> str:
    """Wait until backups are listed, and say how long it took.

    :raises WrongError: it took longer than a listing may be behind
    """
    clock = world.account.clock
    began = clock.monotonic()
    if not world.until(lambda: arns(world, **request) >= set(made) or None, LAG, 0.2):
        message = f"it was not listed within {LAG:.0f} s"
        raise WrongError(message)
    return f"listed after {clock.monotonic() - began:.1f} s"


def both(world: World) -> list[dict[str, Any]]:
    """Return the summaries of a dropped table's backup, and of its successor's."""
    assert world.made_again
    name = world.account.name("again")
    world.until(lambda: len(arns(world, TableName=name)) == 2 or None, LAG, 0.2)
    return world.account.listed(TableName=name)


@rule("Calls")
def names_are_not_unique(world: World) -> None:
    """Three CreateBackup calls with one name make three backups."""
    made = {create(world, world.orders)["BackupArn"] for _ in range(3)}
    same(len(made), 3, "the number of backups")
    awaited(world, *made, TableName=world.orders)


@rule("Calls")
def concurrent_creations_all_succeed(world: World) -> None:
    """Concurrent creates on one table all succeed."""
    name = world.orders
    made = {one["BackupArn"] for one in world.account.at_once(4, lambda: create(world, name))}
    same(len(made), 4, "the number of backups")


@rule("Calls")
def an_arn_has_this_form(world: World) -> None:
    """A backup's ARN ends in 0, its creation time in milliseconds, a hyphen and 8 hex digits (observed)."""
    arn = world.backup["BackupArn"]
    form = _ARN.fullmatch(arn)
    expect(form, f"the ARN ends in {arn.rpartition('/')[2]!r}")
    created = details_of(world, arn)["BackupDetails"]["BackupCreationDateTime"]
    assert form is not None
    off = abs(int(form[1]) / 1000 - created.timestamp())
    expect(off < 0.002, f"the digits are {off:.3f} s off")


@rule("Calls")
def a_backup_becomes_available(world: World) -> str:
    """A backup's status is CREATING or AVAILABLE, and AVAILABLE in the end, in DescribeBackup and ListBackups alike."""
    clock, orders = world.account.clock, world.orders
    began = clock.monotonic()
    made = create(world, orders)
    arn, seen = made["BackupArn"], [made["BackupStatus"]]

    def is_available() -> bool | None:
        seen.append(world.backup_status(arn))
        return seen[-1] == "AVAILABLE" or None

    world.until(is_available, 300, 0.1)
    took = clock.monotonic() - began
    expect(set(seen) <= {"CREATING", "AVAILABLE"}, f"the statuses are {sorted(set(seen))}")
    same(seen[-1], "AVAILABLE", "the last status")
    expect("CREATING" not in seen[seen.index("AVAILABLE") :], "CREATING came after AVAILABLE")
    awaited(world, arn, TableName=orders)
    listed = [one["BackupStatus"] for one in world.account.listed(TableName=orders) if one["BackupArn"] == arn]
    same(listed, ["AVAILABLE"], "the status in ListBackups")
    return f"{seen[0]} in CreateBackup's response, AVAILABLE after {took:.1f} s"


@rule("Calls")
def a_new_backup_is_listed_soon(world: World) -> str:
    """A new backup is listed within 10 s (assumed)."""
    orders = world.orders
    return awaited(world, create(world, orders)["BackupArn"], TableName=orders)


@rule("Calls")
def a_deleted_backup_is_listed_no_more(world: World) -> str:
    """A deleted backup is listed no more after 10 s (assumed)."""
    clock = world.account.clock
    arn = world.back_up(world.orders)["BackupArn"]
    world.account.call("delete_backup", BackupArn=arn)
    began = clock.monotonic()
    gone = world.until(lambda: arn not in arns(world, TableName=world.orders) or None, LAG, 0.2)
    expect(gone, f"it was still listed after {LAG:.0f} s")
    return f"gone after {clock.monotonic() - began:.1f} s"


@rule("Calls")
def a_size_may_be_zero(world: World) -> str:
    """BackupSizeBytes of a young table's backup is 0, also if there are items: it lags by hours."""
    size = details_of(world, world.source_backup["BackupArn"])["BackupDetails"]["BackupSizeBytes"]
    table = world.account.call("describe_table", TableName=world.source)["Table"]["TableSizeBytes"]
    same(size, 0, "BackupSizeBytes")
    return f"TableSizeBytes of the table is {table}"


@rule("Calls")
def a_limit_and_a_cursor_make_pages(world: World) -> None:
    """Limit bounds a page; its LastEvaluatedBackupArn continues after it, and every backup is shown once."""
    both(world)
    request: dict[str, Any] = {"TableName": world.account.name("again"), "Limit": 1}
    shown: list[str] = []
    cursors = ("LastEvaluatedBackupArn", "ExclusiveStartBackupArn")
    for page in world.account.pages("list_backups", "BackupSummaries", cursors, **request):
        expect(len(page) <= 1, f"a page with Limit=1 has {len(page)} summaries")
        shown += [one["BackupArn"] for one in page]
    same(len(shown), 2, "the number of backups on all pages")
    same(len(set(shown)), 2, "the number of different backups on all pages")


@rule("Calls")
def bounds_are_on_the_creation(world: World) -> None:
    """TimeRangeLowerBound and TimeRangeUpperBound bound the creation time."""
    orders, clock = world.orders, world.account.clock
    first = create(world, orders)["BackupArn"]
    clock.sleep(4)
    second = create(world, orders)["BackupArn"]
    awaited(world, first, second, TableName=orders)
    between = details_of(world, second)["BackupDetails"]["BackupCreationDateTime"] - timedelta(seconds=2)
    later = arns(world, TableName=orders, TimeRangeLowerBound=between)
    earlier = arns(world, TableName=orders, TimeRangeUpperBound=between)
    expect(first not in later and second in later, "the lower bound is not kept")
    expect(first in earlier and second not in earlier, "the upper bound is not kept")


@rule("Calls")
def the_lower_bound_is_inclusive_and_the_upper_is_not(world: World) -> None:
    """The bounds of ListBackups are [lower, upper)."""
    orders = world.orders
    arn = world.back_up(orders)["BackupArn"]
    awaited(world, arn, TableName=orders)
    created = details_of(world, arn)["BackupDetails"]["BackupCreationDateTime"].timestamp()

    def exactly(params: dict[str, Any], **_: Any) -> None:
        # boto3 sends whole seconds.
        body = json.loads(params["body"])
        bounds = [name for name in ("TimeRangeLowerBound", "TimeRangeUpperBound") if name in body]
        params["body"] = json.dumps(body | dict.fromkeys(bounds, created)).encode()

    events = world.account.client.meta.events
    events.register("before-call.dynamodb.ListBackups", exactly)
    try:
        moment = datetime.fromtimestamp(created, tz=UTC)
        expect(arn in arns(world, TableName=orders, TimeRangeLowerBound=moment), "the lower bound is exclusive")
        expect(arn not in arns(world, TableName=orders, TimeRangeUpperBound=moment), "the upper bound is inclusive")
    finally:
        events.unregister("before-call.dynamodb.ListBackups", exactly)


@rule("Calls")
def a_listing_is_of_a_table_or_of_all(world: World) -> None:
    """Without TableName ListBackups lists the whole account and region, with it one table."""
    own, other = world.back_up(world.orders)["BackupArn"], world.back_up(world.young)["BackupArn"]
    awaited(world, own, TableName=world.orders)
    since = details_of(world, own)["BackupDetails"]["BackupCreationDateTime"] - timedelta(minutes=1)
    awaited(world, own, other, TimeRangeLowerBound=since)
    expect(other not in arns(world, TableName=world.orders), "another table's backup is listed")


@rule("Calls")
def a_missing_table_has_an_empty_list(world: World) -> None:
    """ListBackups of a missing table is an empty list."""
    same(world.account.listed(TableName=world.account.name("nowhere")), [], "the list")


@rule("Calls")
def a_table_may_be_named_by_its_arn(world: World) -> None:
    """CreateBackup and ListBackups take a table's ARN for its name."""
    arn = world.account.call("describe_table", TableName=world.orders)["Table"]["TableArn"]
    made = create(world, arn)["BackupArn"]
    awaited(world, made, TableName=arn)
    awaited(world, made, TableName=world.orders)


@rule("Calls")
def backups_outlive_their_table(world: World) -> None:
    """A backup outlives its table; one that is made again has another TableId, and summaries tell which is whose."""
    before, after = (table.get("TableId") for table in world.made_again)
    expect(before and after and before != after, f"the tables' IDs are {before!r} and {after!r}")
    summaries = both(world)
    same(sorted(str(one.get("TableId")) for one in summaries), sorted([before, after]), "TableId in ListBackups")
    for one in summaries:
        told = details_of(world, one["BackupArn"])["SourceTableDetails"].get("TableId")
        same(told, one.get("TableId"), "TableId in DescribeBackup")


@rule("Calls")
def a_backup_tells_its_table(world: World) -> None:
    """DescribeBackup holds the source's key schema, billing mode, indexes, stream and TTL."""
    description = details_of(world, world.source_backup["BackupArn"])
    table = description["SourceTableDetails"]
    keys = [one["AttributeName"] for one in table["KeySchema"]]
    same(keys, ["id", "at"], "KeySchema")
    same(table.get("BillingMode"), "PAY_PER_REQUEST", "BillingMode")
    features = description.get("SourceTableFeatureDetails", {})
    indexes = sorted(one["IndexName"] for one in features.get("GlobalSecondaryIndexes", []))
    same(indexes, ["by-one", "by-two"], "GlobalSecondaryIndexes")
    same([one["IndexName"] for one in features.get("LocalSecondaryIndexes", [])], ["own"], "LocalSecondaryIndexes")
    same(features.get("StreamDescription", {}).get("StreamEnabled"), True, "StreamEnabled")
    same(features.get("TimeToLiveDescription", {}).get("AttributeName"), "ends", "the attribute of TTL")


@rule("Calls")
def the_region_in_an_arn_is_ignored(world: World) -> None:
    """DescribeBackup ignores the region inside an ARN: one that names another region reaches the backup."""
    arn: str = world.backup["BackupArn"]
    other = "eu-west-1" if world.account.region != "eu-west-1" else "eu-west-2"
    elsewhere = arn.replace(f":{world.account.region}:", f":{other}:")
    same(details_of(world, elsewhere)["BackupDetails"]["BackupArn"], arn, "the ARN")


@rule("Errors")
def another_account_s_backup_is_denied(world: World) -> None:
    """DescribeBackup of another account's ARN is refused: AccessDeniedException, "Access is denied"."""
    arn: str = world.backup["BackupArn"]
    # The account of AWS's documentation.
    refusal = world.account.refusal("describe_backup", BackupArn=arn.replace(f":{world.account.id}:", ":111122223333:"))
    refused(refusal, "AccessDeniedException", "Access is denied")


@rule("Errors")
def what_is_no_backup_arn_is_invalid(world: World) -> str:
    """DescribeBackup and DeleteBackup of what is no backup's ARN are refused: ValidationException."""
    arn = f"{world.backup['BackupArn']}/nothing"
    told = []
    for operation in ("describe_backup", "delete_backup"):
        refusal = world.account.refusal(operation, BackupArn=arn)
        refused(refusal, "ValidationException")
        told.append(refusal.text)
    for text in told:
        expect(
            any(known in text for known in ("Invalid Backup ARN", "BackupArn is not valid")), f"the message is {text!r}"
        )
    return "; ".join(sorted(set(told)))


@rule("Errors")
def a_backup_that_is_gone_is_not_found(world: World) -> None:
    """DescribeBackup and DeleteBackup of one that is gone: BackupNotFoundException, "Backup not found: ARN"."""
    arn = world.back_up(world.orders)["BackupArn"]
    deleted = world.account.call("delete_backup", BackupArn=arn)["BackupDescription"]["BackupDetails"]
    same(deleted["BackupArn"], arn, "the deleted backup")

    def is_gone() -> bool | None:
        answer = world.account.ask("describe_backup", BackupArn=arn)
        return isinstance(answer, Refusal) or None

    world.until(is_gone, LAG, 0.2)
    for operation in ("describe_backup", "delete_backup", "delete_backup"):
        refused(world.account.refusal(operation, BackupArn=arn), "BackupNotFoundException", f"Backup not found: {arn}")


@rule("Errors")
def a_backup_that_is_gone_is_not_restored(world: World) -> None:
    """A restore of a backup that is gone is refused: BackupNotFoundException."""
    arn = world.back_up(world.orders)["BackupArn"]
    world.account.call("delete_backup", BackupArn=arn)
    world.until(lambda: isinstance(world.account.ask("describe_backup", BackupArn=arn), Refusal) or None, LAG, 0.2)
    target = world.account.name("refused-backup")
    refusal = world.account.refusal("restore_table_from_backup", TargetTableName=target, BackupArn=arn)
    refused(refusal, "BackupNotFoundException")


@rule("Errors")
def a_backup_that_is_being_created_is_in_use(world: World) -> None:
    """DeleteBackup of a backup that is being created is refused: BackupInUseException."""
    arn = create(world, world.orders)["BackupArn"]
    answer = world.account.ask("delete_backup", BackupArn=arn)
    needs(isinstance(answer, Refusal), "the backup was AVAILABLE before it could be deleted")
    refused(answer, "BackupInUseException")


@rule("Errors")
def every_response_has_a_date(world: World) -> str:
    """Every response, errors too, has a Date header of AWS's clock, and a request ID."""
    client = world.account.client
    offs = []
    for call, request in (
        (client.list_backups, {"TableName": world.orders}),
        (client.describe_table, {"TableName": world.account.name("nowhere")}),
    ):
        try:
            answer = call(**request)
        except client.exceptions.ResourceNotFoundException as error:
            answer = error.response
        told = headers_of(answer)
        expect(told.get("x-amzn-requestid"), "there is no request ID")
        expect(told.get("date"), "there is no Date")
        offs.append(parsedate_to_datetime(told["date"]).timestamp() - world.account.clock.time())
    expect(all(abs(off) < 300 for off in offs), f"the Date is {offs[0]:.0f} s ahead of this machine's clock")
    return f"{round(offs[0])} s ahead of this machine's clock"


@rule("Calls")
def a_page_has_at_most_a_hundred(world: World) -> str:
    """ListBackups returns at most 100 summaries a page."""
    orders = world.orders
    missing = _PAGE + 1 - len(arns(world, TableName=orders))
    awaited(world, *(create(world, orders)["BackupArn"] for _ in range(missing)), TableName=orders)
    cursors = ("LastEvaluatedBackupArn", "ExclusiveStartBackupArn")
    sizes = [len(page) for page in world.account.pages("list_backups", "BackupSummaries", cursors, TableName=orders)]
    expect(max(sizes) <= _PAGE, f"the pages have {sizes} summaries")
    return f"pages of {sizes}"


def throttled(call: Any, **request: Any) -> str:
    """Call as often as it takes to be throttled, and say how often that is."""
    for number in range(1, _MANY):
        answer = send(call, **request)
        if isinstance(answer, Refusal) and answer.code == "ThrottlingException":
            refused(answer, "ThrottlingException", "Rate exceeded")
            return f"call {number} back to back was throttled"
    message = f"{_MANY} calls back to back were not throttled"
    raise WrongError(message)


@rule("Calls", also="throttling")
def lists_over_their_rate_are_throttled(world: World) -> str:
    """ListBackups calls back to back are throttled: 400 ThrottlingException, "Rate exceeded"."""
    return throttled(world.account.client.list_backups, TableName=world.orders)


@rule("Calls", also="throttling")
def descriptions_over_their_rate_are_throttled(world: World) -> str:
    """DescribeBackup calls back to back are throttled: 400 ThrottlingException, "Rate exceeded"."""
    return throttled(world.account.client.describe_backup, BackupArn=world.backup["BackupArn"])
