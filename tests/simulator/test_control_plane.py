"""The simulation keeps AWS.md's rules, over HTTP, as boto3 sees them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.simulator.control_plane import REGION
from tests.simulator.faults import (
    DROPPED_AFTER_COMMIT,
    DROPPED_BEFORE_COMMIT,
    HANGING_AFTER_COMMIT,
    INTERNAL_ERROR,
    INTERNAL_ERROR_AFTER_COMMIT,
    THROTTLED,
    Fault,
)
from tests.simulator.rules import page_of_backups

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

    Listed = Callable[..., list[list[str]]]


def client_that_waits(control_plane: ControlPlane, seconds: float) -> Any:
    """Return a client that tries once, and waits so long for an answer."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=seconds)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("dynamodb", region_name=REGION, endpoint_url=control_plane.url, config=config, **keys)


@pytest.fixture
def client(control_plane: ControlPlane) -> Any:
    """Return a client that tries once, and waits as long as a busy machine may take."""
    return client_that_waits(control_plane, 60)


def refusal(call: Any, **request: Any) -> tuple[str, str]:
    """Return the code and the text of a call's error."""
    with pytest.raises(ClientError) as raised:
        call(**request)
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def create(client: Any, name: str = "nightly", table: str = "orders") -> str:
    """Create a backup and return its ARN."""
    return str(client.create_backup(TableName=table, BackupName=name)["BackupDetails"]["BackupArn"])


@pytest.fixture
def listed(client: Any, clock: Clock) -> Listed:
    """Return what lists backups, page by page, at a rate that AWS allows."""

    def pages(**request: Any) -> list[list[str]]:
        found: list[list[str]] = []
        cursor: dict[str, str] = {}
        while True:
            clock.sleep(0.2)
            page = client.list_backups(**request, **cursor)
            found.append([one["BackupArn"] for one in page["BackupSummaries"]])
            if "LastEvaluatedBackupArn" not in page:
                return found
            cursor = {"ExclusiveStartBackupArn": page["LastEvaluatedBackupArn"]}

    return pages


@pytest.mark.parametrize(
    ("operation", "request_", "at_once"),
    [
        (
            "describe_backup",
            {"BackupArn": "arn:aws:dynamodb:us-east-1:123456789012:table/x/backup/01795422913684-770da1ee"},
            13,
        ),
        ("list_backups", {}, 5),
        ("create_backup", {"TableName": "nowhere", "BackupName": "nightly"}, 50),
        ("describe_continuous_backups", {"TableName": "orders"}, 10),
    ],
)
def test_calls_over_their_rate_are_throttled(
    client: Any, clock: Clock, operation: str, request_: dict[str, Any], at_once: int
) -> None:
    """AWS.md, "Calls": the rates are documented, the numbers at once observed."""

    def throttled() -> bool:
        try:
            getattr(client, operation)(**request_)
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == "ThrottlingException")
        return False

    assert [throttled() for _ in range(at_once + 1)] == [False] * at_once + [True]
    clock.sleep(0.2)
    assert not throttled()


def test_pages_hold_at_most_a_hundred(client: Any, control_plane: ControlPlane, listed: Listed) -> None:
    """AWS.md, "Calls": at most 100 summaries a page, or Limit, and a cursor while there are more."""
    control_plane.add_backups("orders", 250)
    pages = listed()
    assert [len(page) for page in pages] == [100, 100, 50]
    assert sorted(chain.from_iterable(pages)) == sorted(control_plane.backup_arns())
    assert len(client.list_backups(Limit=7)["BackupSummaries"]) == 7


def test_the_lower_bound_is_inclusive_and_the_upper_is_not() -> None:
    """AWS.md, "Calls": bounds are on the request time, [lower, upper)."""
    kind = {"BackupType": "USER"}
    backups = [{"BackupArn": str(second), "BackupCreationDateTime": second} | kind for second in range(4)]
    page, cursor = page_of_backups(backups, {"TimeRangeLowerBound": 1, "TimeRangeUpperBound": 3}, latest_listed=9)
    assert sorted(one["BackupArn"] for one in page) == ["1", "2"]
    assert cursor is None


def test_the_bounds_reach_the_control_plane(client: Any, clock: Clock, listed: Listed) -> None:
    """AWS.md, "Calls"; boto3 sends whole seconds."""
    arns = []
    for _ in range(2):
        arns.append(create(client))
        clock.sleep(10)
    between = datetime.fromtimestamp(clock.time() - 15, tz=UTC)
    assert listed(TimeRangeLowerBound=between) == [arns[1:]]
    assert listed(TimeRangeUpperBound=between) == [arns[:1]]


def test_the_type_defaults_to_user_and_a_page_may_be_empty(
    client: Any, control_plane: ControlPlane, listed: Listed
) -> None:
    """AWS.md, "Calls": only an absent cursor means the end."""
    control_plane.add_backups("orders", 130, kind="SYSTEM")
    assert listed() == [[], []]
    assert [len(page) for page in listed(BackupType="SYSTEM")] == [100, 30]
    control_plane.add_backups("orders", 1)
    assert sum(map(len, listed())) == 1
    assert sum(map(len, listed(BackupType="ALL"))) == 131


def test_lists_are_of_a_table_or_of_the_account(
    client: Any, control_plane: ControlPlane, clock: Clock, listed: Listed
) -> None:
    """AWS.md, "Calls": without TableName the whole account and region; a missing table gives an empty list."""
    control_plane.create_table("customers")
    control_plane.create_table("orders", region="eu-west-1")
    arns = [create(client), create(client, table="customers")]
    assert listed(TableName="orders") == [arns[:1]]
    assert sorted(listed()[0]) == sorted(arns)
    assert listed(TableName="nowhere") == [[]]
    assert control_plane.client("eu-west-1").list_backups()["BackupSummaries"] == []


def test_backups_outlive_their_table_and_only_the_id_tells(
    client: Any, clock: Clock, control_plane: ControlPlane
) -> None:
    """AWS.md, "Calls": after a drop and a new table, ListBackups returns backups of both."""
    create(client)
    clock.sleep(5)
    client.delete_table(TableName="orders")
    control_plane.create_table("orders")
    create(client)
    summaries = client.list_backups(TableName="orders")["BackupSummaries"]
    now = client.describe_table(TableName="orders")["Table"]["TableId"]
    assert sorted(one["TableId"] == now for one in summaries) == [False, True]
    for one in summaries:
        described = client.describe_backup(BackupArn=one["BackupArn"])["BackupDescription"]["SourceTableDetails"]
        assert described["TableId"] == one["TableId"]


def test_a_list_can_be_behind(client: Any, control_plane: ControlPlane, clock: Clock, listed: Listed) -> None:
    """What was just created does not show for a while."""
    control_plane.listing_lag = 8
    arn = create(client)
    clock.sleep(7.7)
    assert listed() == [[]]
    assert listed() == [[arn]]


def test_a_new_backup_is_creating_for_a_while(client: Any, control_plane: ControlPlane, clock: Clock) -> None:
    """AWS.md, "Calls": CREATING, then AVAILABLE, in every call."""
    control_plane.creating_for = 60
    arn = create(client)
    for seconds, status in ((59, "CREATING"), (2, "AVAILABLE")):
        clock.sleep(seconds)
        described = client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
        assert described["BackupStatus"] == client.list_backups()["BackupSummaries"][0]["BackupStatus"] == status


@pytest.mark.parametrize("name", ["a b c", "x/y/z", "å" * 5])
def test_a_bad_name_is_refused_before_anything_else(client: Any, name: str) -> None:
    """AWS.md, "Errors": ValidationException, before any existence check."""
    code, _ = refusal(client.create_backup, TableName="nowhere", BackupName=name)
    assert code == "ValidationException"


def test_what_is_no_backup_arn_is_refused(client: Any) -> None:
    """AWS.md, "Errors"."""
    code, text = refusal(client.describe_backup, BackupArn="arn:aws:dynamodb:us-east-1:123456789012:table/orders/x")
    assert (code, text) == ("ValidationException", "Invalid Backup ARN")


@pytest.mark.parametrize("status", ["UPDATING", "DELETING"])
def test_creation_goes_on_while_a_table_changes(client: Any, control_plane: ControlPlane, status: str) -> None:
    """AWS.md, "Errors": CreateBackup succeeds on an UPDATING and, for a second or two, on a DELETING table."""
    control_plane.statuses["orders"] = status
    assert client.describe_table(TableName="orders")["Table"]["TableStatus"] == status
    assert create(client)


def test_a_table_that_is_missing_or_creating_is_not_found(client: Any, control_plane: ControlPlane) -> None:
    """AWS.md, "Errors": DescribeTable has another code for it than CreateBackup."""
    missing = {"TableName": "nowhere"}
    assert refusal(client.create_backup, BackupName="nightly", **missing)[0] == "TableNotFoundException"
    assert refusal(client.describe_table, **missing)[0] == "ResourceNotFoundException"
    control_plane.statuses["orders"] = "CREATING"
    assert refusal(client.create_backup, TableName="orders", BackupName="nightly")[0] == "TableNotFoundException"


def test_backups_of_a_new_table_are_being_enabled(client: Any, control_plane: ControlPlane, clock: Clock) -> None:
    """AWS.md, "Point-in-time recovery"."""
    control_plane.backups_enabled_after = 6
    code, text = refusal(client.create_backup, TableName="orders", BackupName="nightly")
    assert code == "ContinuousBackupsUnavailableException"
    assert text == "Backups are being enabled for the table: orders. Please retry later"
    clock.sleep(6)
    assert create(client)


def test_names_are_not_unique(client: Any, control_plane: ControlPlane) -> None:
    """AWS.md, "Calls": three calls with one name make three backups."""
    assert len({create(client) for _ in range(3)}) == len(control_plane.backup_arns()) == 3


def test_a_policy_decides_by_action_and_resource(client: Any, control_plane: ControlPlane) -> None:
    """AWS.md, "Least privilege" and "Errors": AccessDeniedException names action and resource."""
    table = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
    statement = {"Effect": "Allow", "Action": ["dynamodb:CreateBackup"], "Resource": table}
    control_plane.policy = {"Statement": [statement]}
    assert create(client)
    assert refusal(client.create_backup, TableName="others", BackupName="nightly")[0] == "AccessDeniedException"
    code, text = refusal(client.list_backups, TableName="orders")
    assert code == "AccessDeniedException"
    assert "is not authorized to perform: dynamodb:ListBackups on resource: *" in text


def test_an_expired_session_is_refused(client: Any, control_plane: ControlPlane) -> None:
    """AWS.md, "Errors", missing or bad credentials."""
    control_plane.expired_keys.add("test")
    assert refusal(client.list_backups)[0] == "ExpiredTokenException"


@pytest.mark.parametrize(
    ("fault", "seen", "backups"),
    [
        (DROPPED_BEFORE_COMMIT, ConnectionClosedError, 0),
        (DROPPED_AFTER_COMMIT, ConnectionClosedError, 1),
        (HANGING_AFTER_COMMIT, ReadTimeoutError, 1),
        (INTERNAL_ERROR, ClientError, 0),
        (INTERNAL_ERROR_AFTER_COMMIT, ClientError, 1),
        (THROTTLED, ClientError, 0),
        (Fault(code="BackupInUseException"), ClientError, 0),
    ],
)
def test_a_fault_happens_as_often_as_it_is_told(
    client: Any, control_plane: ControlPlane, fault: Fault, seen: type[Exception], backups: int
) -> None:
    """AWS.md, "Errors": what was lost may have been created."""
    control_plane.fail_next("CreateBackup", fault, times=2)
    caller = client_that_waits(control_plane, 0.5) if seen is ReadTimeoutError else client
    for _ in range(2):
        with pytest.raises(seen):
            create(caller)
    assert len(control_plane.backup_arns()) == 2 * backups
    assert create(client)


def test_boto3_s_own_retries_make_several_backups(control_plane: ControlPlane) -> None:
    """AWS.md, "Calls": there is no idempotency token, so two lost responses make three backups."""
    control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT, times=2)
    create(control_plane.client())
    assert len(control_plane.backup_arns()) == 3
