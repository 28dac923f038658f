"""The simulation keeps AWS.md's rules, over HTTP, as boto3 sees them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError, SSLError

from tests.contract.world import index
from tests.simulator.control_plane import ACCOUNT, REGION
from tests.simulator.faults import (
    BAD_GATEWAY,
    BAD_GATEWAY_AFTER_COMMIT,
    BROKEN_TLS,
    BROKEN_TLS_AFTER_COMMIT,
    DROPPED_AFTER_COMMIT,
    DROPPED_BEFORE_COMMIT,
    EMPTY_RESPONSE,
    EMPTY_RESPONSE_AFTER_COMMIT,
    HANGING_AFTER_COMMIT,
    HTML_OF_A_PROXY,
    HTML_OF_A_PROXY_AFTER_COMMIT,
    INTERNAL_ERROR,
    INTERNAL_ERROR_AFTER_COMMIT,
    REFUSED_BY_A_PROXY,
    THROTTLED,
    THROTTLED_BY_A_PROXY,
    TRICKLING,
    TRICKLING_AFTER_COMMIT,
    UNAVAILABLE_PROXY,
    UNAVAILABLE_PROXY_AFTER_COMMIT,
    Answer,
    Fault,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

    Listed = Callable[..., list[list[str]]]


def client_that_waits(
    control_plane: ControlPlane, seconds: float, service: str = "dynamodb", url: str = "", **settings: Any
) -> Any:
    """Return a client that tries once, and waits so long for a response."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=seconds)
    settings = {
        "region_name": REGION,
        "endpoint_url": url or control_plane.url,
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    } | settings
    return boto3.client(service, config=config, **settings)


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


def test_sizes_are_filled_in_later(client: Any, control_plane: ControlPlane, clock: Clock) -> None:
    """AWS.md, "Calls": 0 is normal; the table's own is known."""
    control_plane.sizes["orders"], control_plane.sized_after = 1024, 3600

    def sizes() -> tuple[int, int, int]:
        (listed,) = client.list_backups()["BackupSummaries"]
        described = client.describe_backup(BackupArn=arn)["BackupDescription"]
        table = described["SourceTableDetails"]["TableSizeBytes"]
        return listed["BackupSizeBytes"], described["BackupDetails"]["BackupSizeBytes"], table

    arn = create(client)
    assert client.describe_table(TableName="orders")["Table"]["TableSizeBytes"] == 1024
    assert sizes() == (0, 0, 1024)
    clock.sleep(3600)
    assert sizes() == (1024, 1024, 1024)


def test_a_list_can_be_behind(client: Any, control_plane: ControlPlane, clock: Clock, listed: Listed) -> None:
    """A new backup does not show for a while."""
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


SIGNATURE = f"AWS4-HMAC-SHA256 Credential=test/20261125/{REGION}/dynamodb/aws4_request"
CREATE = {"TableName": "orders", "BackupName": "nightly"}


def post(control_plane: ControlPlane, operation: str = "CreateBackup", **body: Any) -> HTTPResponse:
    """Send a call, and return the response as it comes over the wire."""
    connection = HTTPConnection(urlsplit(control_plane.url).netloc, timeout=10)
    target = f"DynamoDB_20120810.{operation}"
    headers = {"X-Amz-Target": target, "Authorization": SIGNATURE, "Connection": "close"}
    connection.request("POST", "/", json.dumps(body), headers)
    return connection.getresponse()


def seconds_ahead(response: HTTPResponse, clock: Clock) -> float:
    """Return how far the only Date of a response is ahead of the tests' clock."""
    (date,) = response.headers.get_all("Date", [])
    return parsedate_to_datetime(date).timestamp() - clock.time()


class TestAwsClock:
    """AWS.md, "Errors": a worker's clock may be five minutes off."""

    @pytest.mark.parametrize("offset", [-300, 0, 120])
    @pytest.mark.parametrize(
        ("fault", "status"), [(None, 200), (INTERNAL_ERROR, 500), (THROTTLED, 400), (EMPTY_RESPONSE, 200)]
    )
    def test_every_response_has_its_date_and_a_request_id(
        self, control_plane: ControlPlane, clock: Clock, offset: float, fault: Fault | None, status: int
    ) -> None:
        """In whole seconds, errors too, and no second Date of the server's."""
        control_plane.clock_offset = offset
        if fault:
            control_plane.fail_next("CreateBackup", fault)
        response = post(control_plane, **CREATE)
        assert response.status == status
        assert offset - 1 < seconds_ahead(response, clock) <= offset
        assert response.headers["x-amzn-RequestId"]

    def test_refusals_have_them_too(self, control_plane: ControlPlane, clock: Clock) -> None:
        """The layer's own and moto's."""
        control_plane.clock_offset = 120
        for operation, body in (
            ("CreateBackup", CREATE | {"BackupName": "a b"}),
            ("DescribeTable", {"TableName": "nowhere"}),
        ):
            response = post(control_plane, operation, **body)
            assert response.status == 400
            assert 119 < seconds_ahead(response, clock) <= 120
            assert response.headers["x-amzn-RequestId"]

    def test_backups_and_tables_are_created_by_it(self, client: Any, control_plane: ControlPlane, clock: Clock) -> None:
        """However often it is set."""
        for name, offset in (("customers", 120), ("invoices", -300)):
            control_plane.clock_offset = offset
            control_plane.create_table(name)
            create(client, table=name)
            (one,) = client.list_backups(TableName=name)["BackupSummaries"]
            table = client.describe_table(TableName=name)["Table"]
            for created in (one["BackupCreationDateTime"], table["CreationDateTime"]):
                assert created.timestamp() - clock.time() == pytest.approx(offset, abs=0.01)

    def test_added_backups_have_an_age_by_it(self, client: Any, control_plane: ControlPlane, clock: Clock) -> None:
        """In their ARNs too."""
        control_plane.clock_offset = 120
        (arn,) = control_plane.add_backups("orders", 1, age=3600)
        created = client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupCreationDateTime"]
        assert created.timestamp() - clock.time() == pytest.approx(120 - 3600, abs=0.01)
        assert int(arn.rpartition("/")[2][:14]) / 1000 == pytest.approx(created.timestamp(), abs=0.01)

    def test_setting_it_back_changes_no_status(self, client: Any, control_plane: ControlPlane, clock: Clock) -> None:
        """A backup takes as long, a listing lags as much, and no table is new again."""
        control_plane.creating_for = control_plane.listing_lag = control_plane.backups_enabled_after = 60
        clock.sleep(60)
        create(client)
        clock.sleep(60)
        control_plane.clock_offset = -300
        assert [one["BackupStatus"] for one in client.list_backups()["BackupSummaries"]] == ["AVAILABLE"]
        assert create(client)

    def test_a_proxy_has_its_own_clock(self, control_plane: ControlPlane, clock: Clock) -> None:
        """And sends none of AWS's headers."""
        control_plane.clock_offset = 120
        control_plane.fail_next("CreateBackup", BAD_GATEWAY)
        response = post(control_plane, **CREATE)
        assert -1 < seconds_ahead(response, clock) <= 0
        assert not [name for name in response.headers if name.lower().startswith("x-amz")]


class TestNeighbours:
    """AWS.md, "Errors": a neighbour in the account can use up an operation's whole rate."""

    def test_one_uses_up_the_rate(self, client: Any, control_plane: ControlPlane, clock: Clock) -> None:
        """Its calls come in order of time between the real ones, and are counted apart."""
        with control_plane.neighbour("ListBackups", per_second=20):
            clock.sleep(60)
            passed = 0
            for _ in range(50):
                clock.sleep(0.25)
                passed += post(control_plane, "ListBackups").status == 200
        assert passed < 20
        assert control_plane.calls["ListBackups"] == 50
        assert control_plane.throttled["ListBackups"] == 50 - passed
        assert control_plane.neighbours["ListBackups"] == pytest.approx(20 * 72.5, abs=1)
        assert client.describe_table(TableName="orders")

    def test_it_begins_and_ends_with_its_block(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Nothing is taken for the time before, and nothing afterwards."""
        post(control_plane, "ListBackups")
        clock.sleep(600)
        with control_plane.neighbour("ListBackups", per_second=20):
            assert post(control_plane, "ListBackups").status == 200
            clock.sleep(10)
        clock.sleep(600)
        assert control_plane.neighbours == {"ListBackups": pytest.approx(200, abs=1)}
        assert [post(control_plane, "ListBackups").status for _ in range(6)] == [200] * 5 + [400]

    def test_a_slow_one_leaves_the_rest(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Of 5 calls a second it takes 2, so that 2.5 more all pass, and of 5 or 10 more at least 3."""
        with control_plane.neighbour("ListBackups", per_second=2):
            for gap, least, most in ((0.4, 1.0, 1.0), (0.2, 0.6, 1.0), (0.1, 0.28, 0.55)):
                passed = 0
                for _ in range(100):
                    clock.sleep(gap)
                    passed += post(control_plane, "ListBackups").status == 200
                assert least <= passed / 100 <= most
        assert control_plane.throttled["ListBackups"] > 0

    def test_several_add_up(self, control_plane: ControlPlane, clock: Clock) -> None:
        """Each leaves what the others do."""
        with control_plane.neighbour("DescribeBackup", 3), control_plane.neighbour("DescribeBackup", 4):
            clock.sleep(10)
        control_plane.add_neighbour("ListBackups", 1)
        clock.sleep(10)
        made = control_plane.neighbours
        assert made["DescribeBackup"] == pytest.approx(70, abs=1)
        assert made["ListBackups"] == pytest.approx(10, abs=1)

    def test_the_rates_are_a_regions(self, client: Any, control_plane: ControlPlane, clock: Clock) -> None:
        """AWS.md, "Calls": per account and region, as the listing is."""
        create(client)
        elsewhere = control_plane.client("eu-west-1")
        with control_plane.neighbour("ListBackups", per_second=50):
            clock.sleep(10)
            assert elsewhere.list_backups()["BackupSummaries"] == []
            assert post(control_plane, "ListBackups").status == 400


class TestIdsOfAnotherShape:
    """AWS.md, "Calls": the ID in a backup's ARN is not documented."""

    @pytest.mark.parametrize("shape", [lambda: str(uuid4()), lambda: uuid4().hex[:6], lambda: f"b:{uuid4()}"])
    def test_every_call_takes_them(
        self, client: Any, control_plane: ControlPlane, listed: Listed, shape: Callable[[], str]
    ) -> None:
        """Described, listed with a cursor, deleted."""
        control_plane.make_backup_id = shape
        arns = [create(client) for _ in range(3)]
        assert sorted(arns) == sorted(control_plane.backup_arns())
        assert sorted(chain.from_iterable(listed(Limit=1))) == sorted(arns)
        details = client.describe_backup(BackupArn=arns[0])["BackupDescription"]["BackupDetails"]
        assert details["BackupArn"] == arns[0]
        client.delete_backup(BackupArn=arns[0])
        assert refusal(client.describe_backup, BackupArn=arns[0])[0] == "BackupNotFoundException"

    def test_those_of_added_backups_too(self, control_plane: ControlPlane) -> None:
        """One shape for all."""
        ids = iter("abc")
        control_plane.make_backup_id = lambda: next(ids)
        assert [arn.rpartition("/")[2] for arn in control_plane.add_backups("orders", 3)] == ["a", "b", "c"]


def assume_role(sts: Any) -> dict[str, str]:
    """Return a session's credentials, as a client takes them."""
    keys = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/backup", RoleSessionName="tests")["Credentials"]
    return {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }


class TestSts:
    """Roles are asked for at the same address."""

    @pytest.fixture
    def sts(self, control_plane: ControlPlane) -> Any:
        """Return a client of STS."""
        return client_that_waits(control_plane, 60, "sts")

    def test_its_calls_are_counted(self, control_plane: ControlPlane, sts: Any) -> None:
        """Signed or not."""
        assume_role(sts)
        role = f"arn:aws:iam::{ACCOUNT}:role/backup"
        sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="tests", WebIdentityToken="token")
        assert control_plane.calls["AssumeRole"] == control_plane.calls["AssumeRoleWithWebIdentity"] == 1
        assert [body["RoleArn"] for operation, body in control_plane.requests if "Role" in operation] == [role] * 2

    @pytest.mark.parametrize(
        ("code", "status"),
        [
            ("Throttling", 400),
            ("AccessDenied", 403),
            ("RequestExpired", 400),
            ("MissingAuthenticationToken", 403),
            ("ExpiredTokenException", 400),
            ("InternalFailure", 500),
        ],
    )
    def test_its_errors_have_its_form(
        self, control_plane: ControlPlane, clock: Clock, sts: Any, code: str, status: int
    ) -> None:
        """As boto3 reads them, with AWS's Date."""
        control_plane.clock_offset = 120
        control_plane.fail_next("AssumeRole", Fault(code=code, status=status))
        with pytest.raises(ClientError) as raised:
            assume_role(sts)
        response = raised.value.response
        assert response["Error"]["Code"] == code
        assert response["ResponseMetadata"]["HTTPStatusCode"] == status
        date = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
        assert date - clock.time() == pytest.approx(120, abs=1)
        assert assume_role(sts)

    def test_it_can_hang(self, control_plane: ControlPlane, sts: Any) -> None:
        """And others are served meanwhile."""
        control_plane.fail_next("AssumeRole", HANGING_AFTER_COMMIT)
        with pytest.raises(ReadTimeoutError):
            assume_role(client_that_waits(control_plane, 0.3, "sts"))
        assert assume_role(sts)

    def test_it_can_be_slow(self, control_plane: ControlPlane, clock: Clock, sts: Any) -> None:
        """By the tests' clock."""
        control_plane.delays["AssumeRole"] = 20
        before = clock.time()
        assume_role(sts)
        assert clock.time() - before == 20

    def test_a_session_ends_by_the_clock_of_aws(self, control_plane: ControlPlane, clock: Clock, sts: Any) -> None:
        """Then its keys are refused, and a new session's are not."""
        control_plane.session_seconds = 900
        client = client_that_waits(control_plane, 60, **assume_role(sts))
        clock.sleep(890)
        assert create(client)
        control_plane.clock_offset = 10
        assert refusal(client.list_backups)[0] == "ExpiredTokenException"
        assert client_that_waits(control_plane, 60, **assume_role(sts)).list_backups()

    def test_a_session_tells_when_it_ends(self, control_plane: ControlPlane, clock: Clock, sts: Any) -> None:
        """By AWS's clock, in whole seconds."""
        control_plane.session_seconds, control_plane.clock_offset = 900, 120
        role = f"arn:aws:iam::{ACCOUNT}:role/backup"
        ends = sts.assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]["Expiration"]
        assert ends.timestamp() - clock.time() == pytest.approx(1020, abs=1)

    def test_keys_that_expired_get_no_session(self, control_plane: ControlPlane, sts: Any) -> None:
        """In STS's own words."""
        control_plane.expired_keys.add("test")
        with pytest.raises(ClientError, match="ExpiredToken"):
            assume_role(sts)

    def test_a_policy_on_backups_says_nothing_of_roles(self, control_plane: ControlPlane, sts: Any) -> None:
        """It is about DynamoDB."""
        control_plane.policy = {"Statement": []}
        assert assume_role(sts)


class TestTables:
    """Backups outlive their table."""

    @pytest.mark.parametrize("status", ["ARCHIVING", "ARCHIVED", "DELETING", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"])
    def test_it_has_every_status(self, client: Any, control_plane: ControlPlane, status: str) -> None:
        """Until it is dropped."""
        control_plane.statuses["orders"] = status
        assert client.describe_table(TableName="orders")["Table"]["TableStatus"] == status
        control_plane.drop_table("orders")
        control_plane.create_table("orders")
        assert client.describe_table(TableName="orders")["Table"]["TableStatus"] == "ACTIVE"

    @pytest.mark.parametrize("named_by", ["orders", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"])
    def test_one_that_was_dropped_is_gone_and_its_backups_are_not(
        self, client: Any, control_plane: ControlPlane, listed: Listed, named_by: str
    ) -> None:
        """AWS.md, "Errors": DescribeTable and CreateBackup have different codes for it."""
        arn = create(client)
        control_plane.drop_table("orders")
        assert refusal(client.describe_table, TableName=named_by)[0] == "ResourceNotFoundException"
        assert refusal(client.create_backup, TableName=named_by, BackupName="nightly")[0] == "TableNotFoundException"
        assert listed(TableName=named_by) == [[arn]]
        assert client.describe_backup(BackupArn=arn)


class TestListing:
    """AWS.md, "Calls"."""

    def test_a_cursor_may_name_a_backup_that_is_gone(self, client: Any, control_plane: ControlPlane) -> None:
        """AWS's behaviour is unknown; here the list goes on after it, and shows every other backup once."""
        control_plane.add_backups("orders", 10)
        first = client.list_backups(Limit=4)
        client.delete_backup(BackupArn=first["LastEvaluatedBackupArn"])
        rest = client.list_backups(ExclusiveStartBackupArn=first["LastEvaluatedBackupArn"])
        shown = [one["BackupArn"] for page in (first, rest) for one in page["BackupSummaries"]]
        assert sorted(shown) == sorted([*control_plane.backup_arns(), first["LastEvaluatedBackupArn"]])

    def test_a_cursor_that_names_nothing_crashes_nothing(self, client: Any, control_plane: ControlPlane) -> None:
        """A table's or the account's."""
        control_plane.add_backups("orders", 3)
        cursor = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders/backup/none"
        for request in ({}, {"TableName": "orders"}):
            page = client.list_backups(ExclusiveStartBackupArn=cursor, **request)
            assert len(page["BackupSummaries"]) <= 3

    def test_requests_are_kept_with_their_arguments(self, client: Any, control_plane: ControlPlane) -> None:
        """The last 10,000, throttled or not."""
        create(client)
        client.list_backups(TableName="orders", Limit=7)
        assert list(control_plane.requests)[-2:] == [
            ("CreateBackup", CREATE),
            ("ListBackups", {"TableName": "orders", "Limit": 7}),
        ]
        assert control_plane.requests.maxlen == 10_000


class TestDeleting:
    """AWS.md, "Errors" and "Deleting"."""

    def test_one_that_is_being_created_or_restored_is_in_use(
        self, client: Any, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """Until that has ended."""
        control_plane.creating_for = 10
        arn = create(client)
        with pytest.raises(client.exceptions.BackupInUseException):
            client.delete_backup(BackupArn=arn)
        clock.sleep(10)
        control_plane.restoring.add(arn)
        with pytest.raises(client.exceptions.BackupInUseException):
            client.delete_backup(BackupArn=arn)
        control_plane.restoring.clear()
        details = client.delete_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
        assert (details["BackupArn"], details["BackupStatus"]) == (arn, "DELETED")

    def test_a_list_that_is_behind_still_shows_it(
        self, client: Any, control_plane: ControlPlane, clock: Clock, listed: Listed
    ) -> None:
        """As AVAILABLE, of its table and of the account."""
        control_plane.create_table("customers")
        arn = create(client)
        clock.sleep(20)
        control_plane.listing_lag = 10
        client.delete_backup(BackupArn=arn)
        assert listed() == listed(TableName="orders") == [[arn]]
        assert listed(TableName="customers") == [[]]
        clock.sleep(10)
        assert listed() == [[]]


class TestDropping:
    """AWS.md, "Deleting", of tables."""

    def test_a_scan_counts_items(self, client: Any) -> None:
        """Page by page of a megabyte."""
        for number in range(7):
            client.put_item(TableName="orders", Item={"id": {"S": str(number)}, "is": {"S": "x" * 300_000}})
        pages = [*client.get_paginator("scan").paginate(TableName="orders", Select="COUNT")]
        assert (sum(page["Count"] for page in pages), len(pages) > 1) == (7, True)
        assert not any(page.get("Items") for page in pages)


class TestPointInTime:
    """AWS.md, "Point-in-time recovery"."""

    @pytest.fixture(autouse=True)
    def _source(self, control_plane: ControlPlane, clock: Clock) -> None:
        control_plane.switch_recovery("orders")
        clock.sleep(3600)

    def test_the_window_moves_on(self, client: Any, clock: Clock) -> None:
        """From when it was enabled, and 35 days at most, to five minutes ago."""
        begun = datetime.fromtimestamp(clock.time(), tz=UTC) - timedelta(hours=1)
        for days, earliest in ((0, begun), (40, begun + timedelta(days=5, hours=1))):
            clock.sleep(days * 86_400)
            first, last = window(client)
            assert abs(first - earliest) < timedelta(seconds=1)
            assert abs(last - datetime.fromtimestamp(clock.time() - 300, tz=UTC)) < timedelta(seconds=1)

    def test_a_restore_tells_its_source_and_second(
        self, client: Any, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """It takes its time, and names no backup; the latest time is the end of the window."""
        control_plane.restoring_for = 100
        first, last = window(client)
        for name, when, moment in (
            ("then", {"RestoreDateTime": first + timedelta(minutes=1)}, first + timedelta(minutes=1)),
            ("latest", {"UseLatestRestorableTime": True}, last),
        ):
            source = client.describe_table(TableName="orders")["Table"]["TableArn"]
            client.restore_table_to_point_in_time(SourceTableArn=source, TargetTableName=name, **when)
            table = client.describe_table(TableName=name)["Table"]
            summary = table["RestoreSummary"]
            assert (table["TableStatus"], summary["RestoreInProgress"]) == ("CREATING", True)
            assert summary["SourceTableArn"] == source
            assert abs(summary["RestoreDateTime"] - moment) < timedelta(seconds=2)
            assert "SourceBackupArn" not in summary
        clock.sleep(100)
        assert client.describe_table(TableName="latest")["Table"]["TableStatus"] == "ACTIVE"


def window(client: Any) -> tuple[datetime, datetime]:
    """Return the earliest and the latest time to which ``orders`` can be restored."""
    described = client.describe_continuous_backups(TableName="orders")["ContinuousBackupsDescription"]
    recovery = described["PointInTimeRecoveryDescription"]
    return recovery["EarliestRestorableDateTime"], recovery["LatestRestorableDateTime"]


class TestRestoring:
    """AWS.md, "Restoring" and "Errors"."""

    @pytest.fixture
    def source(self, control_plane: ControlPlane, client: Any) -> str:
        """Return a backup of a table with all kinds of indexes and settings, a minute old."""
        client.create_table(
            TableName="source",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "at", "by")],
            GlobalSecondaryIndexes=[index("by-one", "by"), index("by-two", "by")],
            LocalSecondaryIndexes=[index("own", "id", "by")],
            BillingMode="PAY_PER_REQUEST",
            DeletionProtectionEnabled=True,
            Tags=[{"Key": "team", "Value": "shop"}],
        )
        return control_plane.add_backups("source", 1, age=60)[0]

    def test_it_takes_its_time(self, client: Any, control_plane: ControlPlane, clock: Clock, source: str) -> None:
        """CREATING with its indexes; the summary stays, and has the time of the backup."""
        control_plane.restoring_for = 100
        answered = client.restore_table_from_backup(TargetTableName="target", BackupArn=source)["TableDescription"]
        (made,) = (one for one in client.list_backups()["BackupSummaries"] if one["BackupArn"] == source)
        for seconds, status, going_on in ((0, "CREATING", True), (99, "CREATING", True), (1, "ACTIVE", False)):
            clock.sleep(seconds)
            table = client.describe_table(TableName="target")["Table"]
            assert table["TableStatus"] == status
            assert {one["IndexStatus"] for one in table["GlobalSecondaryIndexes"]} == {status}
            summary = table["RestoreSummary"]
            assert (summary["RestoreInProgress"], summary["SourceBackupArn"]) == (going_on, source)
            assert abs(summary["RestoreDateTime"] - made["BackupCreationDateTime"]) < timedelta(milliseconds=2)
            assert table["TableId"] == answered["TableId"]
        assert "RestoreSummary" not in client.describe_table(TableName="source")["Table"]

    def test_a_backup_that_is_not_available_is_refused(self, client: Any, control_plane: ControlPlane) -> None:
        """Gone, or still being created."""
        gone, creating = control_plane.add_backups("orders", 2)
        client.delete_backup(BackupArn=gone)
        control_plane.statuses[creating] = "CREATING"
        with pytest.raises(client.exceptions.BackupNotFoundException):
            client.restore_table_from_backup(TargetTableName="target", BackupArn=gone)
        with pytest.raises(client.exceptions.BackupInUseException):
            client.restore_table_from_backup(TargetTableName="target", BackupArn=creating)

    def test_fifty_run_at_once(self, client: Any, control_plane: ControlPlane, clock: Clock, source: str) -> None:
        """The next one has to wait for an end."""
        control_plane.restoring_for = 100
        for number in range(50):
            clock.sleep(0.1)
            client.restore_table_from_backup(TargetTableName=f"target-{number}", BackupArn=source)
        with pytest.raises(client.exceptions.LimitExceededException, match="Subscriber limit exceeded"):
            client.restore_table_from_backup(TargetTableName="target", BackupArn=source)
        clock.sleep(96)
        client.restore_table_from_backup(TargetTableName="target", BackupArn=source)


class TestSettings:
    """AWS.md, "Restoring": what a restore drops, and how it is put back."""

    def test_time_to_live_changes_once_an_hour(self, client: Any, clock: Clock) -> None:
        """A second call is refused."""
        request = {"TableName": "orders", "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "ends"}}
        client.update_time_to_live(**request)
        clock.sleep(3599)
        with pytest.raises(ClientError, match="ValidationException.*multiple times"):
            client.update_time_to_live(**request)
        clock.sleep(1)
        client.update_time_to_live(**request)

    def test_point_in_time_recovery_has_to_wait_for_backups(
        self, client: Any, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """They are being enabled at first; the recovery period is kept."""
        control_plane.backups_enabled_after = 6
        period = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 7}
        request = {"TableName": "orders", "PointInTimeRecoverySpecification": period}
        with pytest.raises(client.exceptions.ContinuousBackupsUnavailableException):
            client.update_continuous_backups(**request)
        clock.sleep(6)
        client.update_continuous_backups(**request)
        described = client.describe_continuous_backups(TableName="orders")["ContinuousBackupsDescription"]
        assert described["PointInTimeRecoveryDescription"]["RecoveryPeriodInDays"] == 7

    def test_a_kinesis_destination_is_enabled_once(self, client: Any) -> None:
        """And described with its precision."""
        stream = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/orders"
        assert client.describe_kinesis_streaming_destination(TableName="orders")["KinesisDataStreamDestinations"] == []
        precision = {"ApproximateCreationDateTimePrecision": "MICROSECOND"}
        request = {"TableName": "orders", "StreamArn": stream, "EnableKinesisStreamingConfiguration": precision}
        client.enable_kinesis_streaming_destination(**request)
        (shown,) = client.describe_kinesis_streaming_destination(TableName="orders")["KinesisDataStreamDestinations"]
        told = {"DestinationStatus": "ACTIVE", "DestinationStatusDescription": ""}
        assert shown == {"StreamArn": stream, **told, **precision}
        with pytest.raises(ClientError, match="ValidationException"):
            client.enable_kinesis_streaming_destination(**request)

    def test_contributor_insights_are_a_table_s_or_an_index_s(self, client: Any) -> None:
        """Each by itself."""
        client.update_contributor_insights(TableName="orders", IndexName="by-one", ContributorInsightsAction="ENABLE")
        statuses = [
            client.describe_contributor_insights(TableName="orders", **named)["ContributorInsightsStatus"]
            for named in ({}, {"IndexName": "by-one"})
        ]
        assert statuses == ["DISABLED", "ENABLED"]


class TestScaling:
    """Moto's own, on a service of its own."""

    def test_targets_and_policies_are_kept(self, control_plane: ControlPlane) -> None:
        """And a policy of IAM names that service."""
        control_plane.create_table("scaled")
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        scaling = boto3.client("application-autoscaling", region_name=REGION, endpoint_url=control_plane.url, **keys)
        target = {
            "ServiceNamespace": "dynamodb",
            "ResourceId": "table/scaled",
            "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
        }
        scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=9)
        (found,) = scaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]
        assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 9)
        control_plane.policy = {"Statement": []}
        with pytest.raises(ClientError, match="to perform: application-autoscaling:DescribeScalableTargets"):
            scaling.describe_scalable_targets(ServiceNamespace="dynamodb")
        allowed = ["application-autoscaling:RegisterScalableTarget", "dynamodb:DescribeTable", "dynamodb:UpdateTable"]
        control_plane.policy = {"Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}
        with pytest.raises(ClientError, match="to perform: cloudwatch:PutMetricAlarm"):
            scaling.register_scalable_target(**target, MinCapacity=2, MaxCapacity=9)


class TestTags:
    """AWS.md, "Tags"."""

    @pytest.fixture
    def tagging(self, control_plane: ControlPlane) -> Any:
        """Return a client of the tagging API."""
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client("resourcegroupstaggingapi", region_name=REGION, endpoint_url=control_plane.url, **keys)

    def test_pages_hold_at_most_a_hundred(self, tagging: Any, control_plane: ControlPlane) -> None:
        """The last has an empty token."""
        for number in range(101):
            control_plane.create_table(f"shop-{number:03}")
            control_plane.tag_table(f"shop-{number:03}", team="shop")
        first = tagging.get_resources()
        last = tagging.get_resources(PaginationToken=first["PaginationToken"])
        assert (len(tables_of(first)), tables_of(last), last["PaginationToken"]) == (100, ["shop-100"], "")

    def test_a_policy_names_its_service(self, tagging: Any, control_plane: ControlPlane) -> None:
        """It is not DynamoDB's."""
        control_plane.policy = {"Statement": []}
        with pytest.raises(ClientError, match="not authorized to perform: tag:GetResources on resource: \\*"):
            tagging.get_resources()


def tables_of(page: Any) -> list[str]:
    """Return the names of the tables on a page of GetResources."""
    return [found["ResourceARN"].rpartition("/")[2] for found in page["ResourceTagMappingList"]]


class TestFaults:
    """AWS.md, "Errors": a response that is not AWS's is ambiguous."""

    @pytest.mark.parametrize(
        ("fault", "status", "made"),
        [
            (HTML_OF_A_PROXY, 200, 0),
            (HTML_OF_A_PROXY_AFTER_COMMIT, 200, 1),
            (BAD_GATEWAY, 502, 0),
            (BAD_GATEWAY_AFTER_COMMIT, 502, 1),
            (UNAVAILABLE_PROXY, 503, 0),
            (UNAVAILABLE_PROXY_AFTER_COMMIT, 503, 1),
            (THROTTLED_BY_A_PROXY, 429, 0),
            (REFUSED_BY_A_PROXY, 407, 0),
        ],
    )
    def test_a_proxy_answers_with_html(self, control_plane: ControlPlane, fault: Fault, status: int, made: int) -> None:
        """With or without a backup made."""
        control_plane.fail_next("CreateBackup", fault)
        response = post(control_plane, **CREATE)
        assert (response.status, response.headers.get_content_type()) == (status, "text/html")
        assert response.read().startswith(b"<html>")
        assert len(control_plane.backup_arns()) == made

    @pytest.mark.parametrize(("fault", "made"), [(EMPTY_RESPONSE, 0), (EMPTY_RESPONSE_AFTER_COMMIT, 1)])
    def test_a_response_can_be_empty(self, client: Any, control_plane: ControlPlane, fault: Fault, made: int) -> None:
        """boto3 takes it for a success."""
        control_plane.fail_next("CreateBackup", fault)
        assert "BackupDetails" not in client.create_backup(**CREATE)
        assert len(control_plane.backup_arns()) == made

    def test_members_can_be_missing(self, client: Any, control_plane: ControlPlane) -> None:
        """At any depth; the call has taken effect."""
        control_plane.fail_next("CreateBackup", Fault(Answer.ALTERED, drop_members={"BackupArn"}))
        details = client.create_backup(**CREATE)["BackupDetails"]
        assert "BackupArn" not in details
        assert details["BackupName"] == "nightly"
        control_plane.fail_next("ListBackups", Fault(Answer.ALTERED, drop_members={"BackupSummaries"}))
        assert "BackupSummaries" not in client.list_backups()
        assert len(client.list_backups()["BackupSummaries"]) == 1

    def test_members_can_have_values_that_nobody_knows(self, client: Any, control_plane: ControlPlane) -> None:
        """Such as a status of next year."""
        arn = create(client)
        fault = Fault(Answer.ALTERED, set_members={"BackupStatus": "PAUSED"})
        control_plane.fail_next("DescribeBackup", fault)
        control_plane.fail_next("ListBackups", fault)
        described = client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
        assert described["BackupStatus"] == client.list_backups()["BackupSummaries"][0]["BackupStatus"] == "PAUSED"

    @pytest.mark.parametrize(("fault", "made"), [(TRICKLING, 0), (TRICKLING_AFTER_COMMIT, 1)])
    def test_a_response_can_trickle(self, control_plane: ControlPlane, fault: Fault, made: int) -> None:
        """Byte by byte; others are served meanwhile."""
        control_plane.fail_next("CreateBackup", fault)
        response = post(control_plane, **CREATE)
        assert [response.read(1) for _ in range(3)] == [b" "] * 3
        assert len(control_plane.backup_arns()) == made
        assert post(control_plane, **CREATE).status == 200
        response.close()

    def test_what_is_refused_is_not_committed(self, client: Any, control_plane: ControlPlane) -> None:
        """A fault on the way back makes no backup that AWS would not make."""
        control_plane.policy = {"Statement": []}
        control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
        with pytest.raises(ConnectionClosedError):
            create(client)
        assert control_plane.backup_arns() == []

    def test_a_response_can_be_slow(self, client: Any, control_plane: ControlPlane, clock: Clock) -> None:
        """By the tests' clock; errors too."""
        control_plane.delays["CreateBackup"] = 30
        before = clock.time()
        create(client)
        assert refusal(client.create_backup, TableName="nowhere", BackupName="nightly")
        assert clock.time() - before == 60

    def test_throttling_comes_before_credentials_and_those_before_validation(
        self, client: Any, control_plane: ControlPlane
    ) -> None:
        """A call that is wrong in all ways is throttled."""
        control_plane.policy = {"Statement": []}
        control_plane.expired_keys.add("test")
        wrong = {"TableName": "nowhere", "BackupName": "a b c"}
        codes = [refusal(client.create_backup, **wrong)[0] for _ in range(51)]
        assert codes == ["ExpiredTokenException"] * 50 + ["ThrottlingException"]
        control_plane.expired_keys.clear()
        control_plane.clock.sleep(1)
        assert refusal(client.create_backup, **wrong)[0] == "AccessDeniedException"
        control_plane.policy = None
        assert refusal(client.create_backup, **wrong)[0] == "ValidationException"


class TestTls:
    """The control plane behind TLS, with a certificate of its own authority."""

    def test_it_is_reached_with_its_ca_file(self, control_plane: ControlPlane, tmp_path: Path) -> None:
        """As by plain HTTP, roles included."""
        with control_plane.serve_tls(tmp_path) as front:
            sts = client_that_waits(control_plane, 60, "sts", front.url, verify=front.ca)
            assert create(client_that_waits(control_plane, 60, url=front.url, verify=front.ca, **assume_role(sts)))
            assert json.loads(control_plane.connection(url=front.url))["extra"]["endpoint_url"] == front.url

    def test_without_it_the_handshake_fails(self, control_plane: ControlPlane, tmp_path: Path) -> None:
        """And nothing is sent."""
        with control_plane.serve_tls(tmp_path) as front, pytest.raises(SSLError):
            create(client_that_waits(control_plane, 60, url=front.url))
        assert control_plane.calls["CreateBackup"] == 0

    @pytest.mark.parametrize(("fault", "made"), [(BROKEN_TLS, 0), (BROKEN_TLS_AFTER_COMMIT, 1)])
    def test_it_can_break_once_the_request_was_read(
        self, control_plane: ControlPlane, tmp_path: Path, fault: Fault, made: int
    ) -> None:
        """AWS.md, "Errors": a TLS failure after the handshake is ambiguous."""
        with control_plane.serve_tls(tmp_path) as front:
            client = client_that_waits(control_plane, 60, url=front.url, verify=front.ca)
            control_plane.fail_next("CreateBackup", fault)
            with pytest.raises(SSLError):
                create(client)
            assert control_plane.calls["CreateBackup"] == 1
            assert len(control_plane.backup_arns()) == made
            assert create(client)

    def test_other_faults_come_through(self, control_plane: ControlPlane, tmp_path: Path) -> None:
        """Such as a dropped connection."""
        with control_plane.serve_tls(tmp_path) as front:
            client = client_that_waits(control_plane, 60, url=front.url, verify=front.ca)
            control_plane.fail_next("CreateBackup", DROPPED_AFTER_COMMIT)
            with pytest.raises(ConnectionClosedError):
                create(client)
            assert len(control_plane.backup_arns()) == 1


class TestManyCalls:
    """As many waits as an account may have tables."""

    def test_2500_calls_at_once_are_all_answered(self, control_plane: ControlPlane) -> None:
        """Exactly as many pass as the rate allows, and each makes one backup."""
        address = urlsplit(control_plane.url)
        body = json.dumps(CREATE).encode()
        headers = {
            "Host": address.netloc,
            "X-Amz-Target": "DynamoDB_20120810.CreateBackup",
            "Authorization": SIGNATURE,
            "Content-Length": len(body),
            "Connection": "close",
        }
        head = "\r\n".join(["POST / HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""])

        async def call() -> int:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(head.encode() + body)
            response = await reader.read()
            writer.close()
            return int(response.split(b" ")[1])

        async def all_calls() -> list[int]:
            return await asyncio.gather(*(call() for _ in range(2500)))

        assert Counter(asyncio.run(all_calls())) == {200: 50, 400: 2450}
        assert control_plane.calls["CreateBackup"] == 2500
        assert control_plane.throttled["CreateBackup"] == 2450
        assert len(control_plane.backup_arns()) == 50

    @pytest.fixture
    def hanging(self, control_plane: ControlPlane) -> Iterator[list[threading.Thread]]:
        """Return calls that hang; they end with the control plane."""

        def call() -> None:
            with pytest.raises((OSError, HTTPException)):
                post(control_plane, **CREATE).read()

        control_plane.fail_next("CreateBackup", HANGING_AFTER_COMMIT, times=5)
        control_plane.fail_next("CreateBackup", TRICKLING_AFTER_COMMIT, times=5)
        threads = [threading.Thread(target=call, daemon=True) for _ in range(10)]
        for thread in threads:
            thread.start()
        yield threads
        control_plane.close()
        for thread in threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in threads)

    def test_calls_that_hang_hold_up_no_others(
        self, client: Any, control_plane: ControlPlane, hanging: list[threading.Thread]
    ) -> None:
        """Nor do those that trickle; all end when the control plane does."""
        while control_plane.calls["CreateBackup"] < len(hanging):
            time.sleep(0.01)
        assert create(client)
        assert client.list_backups()
        assert all(thread.is_alive() for thread in hanging)
