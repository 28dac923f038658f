"""The synchronous calls, over HTTP."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.exceptions import (
    AccountNotCertainError,
    AmbiguousOutcomeError,
    BackupError,
    BackupNotFoundError,
    ConfigurationError,
    ConnectionNotFoundError,
    CredentialsError,
    ErrorContext,
    InvalidValueError,
    NoRegionSetError,
    OtherAccountError,
    OtherRegionError,
    TableNotFoundError,
    ThrottledError,
    UnreachableError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.limits import CALL_SECONDS
from tests.simulator.faults import (
    BAD_GATEWAY,
    EMPTY_RESPONSE,
    HANGING_AFTER_COMMIT,
    HTML_OF_A_PROXY,
    THROTTLED_BY_A_PROXY,
    UNAVAILABLE_PROXY,
    Answer,
    Fault,
)
from tests.simulator.proxy import Drop, Proxy
from tests.simulator.tls import TlsFront, make_certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.simulator.clock import Clock
    from tests.simulator.control_plane import ControlPlane

CONTEXT = ErrorContext("orders", "nightly", "us-east-1")
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
BACKUP_ARN = f"{TABLE_ARN}/backup/01795422913684-770da1ee"


@pytest.fixture
def hook(control_plane: ControlPlane) -> DynamoDBBackupHook:
    """Return a hook to the simulated control plane, through an Airflow connection."""
    return DynamoDBBackupHook()


def create(hook: DynamoDBBackupHook) -> object:
    """Start a backup."""
    return hook.create_backup(CONTEXT, "orders", "nightly")


def test_it_is_a_client_hook() -> None:
    """Only a client has an asynchronous counterpart."""
    assert DynamoDBBackupHook(client_type="s3").client_type == "dynamodb"


@pytest.mark.parametrize("status", ["ACTIVE", "UPDATING", "ARCHIVED"])
def test_a_table_is_described(hook: DynamoDBBackupHook, control_plane: ControlPlane, status: str) -> None:
    """Whether it can be backed up is not the hook's to say."""
    control_plane.statuses["orders"] = status
    table = hook.describe_table(CONTEXT, "orders")
    assert (table.name, table.status) == ("orders", status)


def test_a_table_goes_by_its_arn_too(hook: DynamoDBBackupHook, control_plane: ControlPlane) -> None:
    """An ARN is passed on as it is."""
    arn = control_plane.create_table("customers")
    assert hook.describe_table(CONTEXT, arn).name == "customers"
    assert hook.create_backup(CONTEXT, arn, "nightly").arn.table_arn == arn


def test_a_missing_table_is_refused(hook: DynamoDBBackupHook) -> None:
    """The message has the error context and AWS's text."""
    with pytest.raises(TableNotFoundError, match="table 'orders', backup 'nightly'.*Table: nowhere not found"):
        hook.describe_table(CONTEXT, "nowhere")


def test_create_backup_tells_of_a_missing_table(hook: DynamoDBBackupHook) -> None:
    """CreateBackup has a code of its own for it."""
    with pytest.raises(TableNotFoundError, match="region 'us-east-1'.*CreateBackup"):
        hook.create_backup(CONTEXT, "nowhere", "nightly")


def test_a_backup_is_described(hook: DynamoDBBackupHook) -> None:
    """As it was created."""
    created = hook.create_backup(CONTEXT, "orders", "nightly")
    seen = hook.describe_backup(created.arn)
    assert (seen.arn, seen.name, seen.status) == (created.arn, "nightly", "AVAILABLE")
    assert seen.table_id == hook.describe_table(CONTEXT, "orders").table_id


def test_a_backup_that_is_gone_is_not_found(hook: DynamoDBBackupHook, control_plane: ControlPlane) -> None:
    """The message has the ARN and the region."""
    arn = hook.create_backup(CONTEXT, "orders", "nightly").arn
    control_plane.client().delete_backup(BackupArn=arn.text)
    with pytest.raises(BackupNotFoundError, match=f"backup '{arn.text}', region 'us-east-1'"):
        hook.describe_backup(arn)


def test_an_id_of_another_shape_is_as_good(hook: DynamoDBBackupHook, control_plane: ControlPlane) -> None:
    """AWS documents none, and emulators have others."""
    control_plane.make_backup_id = lambda: "5b0c3e6e-8f5c-4a52-9c6e-1f6a5f5d0c11"
    created = hook.create_backup(CONTEXT, "orders", "nightly")
    assert hook.describe_backup(created.arn) == hook.list_backups(CONTEXT, "orders", created_since=None).items[0]


def test_once_it_is_stopped_no_call_begins(hook: DynamoDBBackupHook, control_plane: ControlPlane) -> None:
    """Until it is opened again; the message says why."""
    hook.stop()
    with pytest.raises(BackupError, match="CreateBackup was not called, since the task has ended: table 'orders'"):
        hook.create_backup(CONTEXT, "orders", "nightly")
    assert control_plane.calls["CreateBackup"] == 0
    hook.open_for(CONTEXT)
    assert hook.create_backup(CONTEXT, "orders", "nightly").name == "nightly"


class TestRegion:
    """The task's, else the connection's, else an ARN's, else boto3's default."""

    @pytest.mark.parametrize(
        ("task", "connection", "arn", "environment", "used"),
        [
            ("eu-west-1", "us-east-1", "us-west-2", "ap-south-1", "eu-west-1"),
            (None, "us-east-1", "us-west-2", "ap-south-1", "us-east-1"),
            (None, None, "us-west-2", "ap-south-1", "us-west-2"),
            (None, None, None, "ap-south-1", "ap-south-1"),
        ],
    )
    def test_the_first_that_is_named(
        self,
        control_plane: ControlPlane,
        monkeypatch: pytest.MonkeyPatch,
        task: str | None,
        connection: str | None,
        arn: str | None,
        environment: str,
        used: str,
    ) -> None:
        """The environment comes last: another process has another."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(region=connection))
        monkeypatch.setenv("AWS_DEFAULT_REGION", environment)
        hook = DynamoDBBackupHook(region_name=task)
        # Opened for an ARN of another region than the calls', it raises, and tells the region.
        with suppress(OtherRegionError):
            assert hook.open_for(CONTEXT, arn).region == used
        assert hook.resolve_region(ErrorContext()) == used
        with pytest.raises(TableNotFoundError):
            hook.describe_table(CONTEXT, "nowhere")
        assert hook.conn.meta.region_name == used

    def test_without_any_it_says_where_to_set_one(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing was sent."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(region=None))
        with pytest.raises(NoRegionSetError, match="table 'orders'.*Set region_name"):
            DynamoDBBackupHook().resolve_region(CONTEXT)

    @pytest.mark.parametrize("region", ["us-east-1\n[INFO] forged", "us-east-1.example.com/#", "\x1b[2J"], ids=repr)
    def test_what_is_no_region_is_refused(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, region: str
    ) -> None:
        """It would be in every message, every report and the address of every call."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(region=region))
        with pytest.raises(InvalidValueError, match="region_name must be a region"):
            DynamoDBBackupHook().open_for(CONTEXT)
        assert not control_plane.calls


class TestOneCall:
    """No call is repeated, and each ends in time."""

    def test_botocore_retries_nothing(self, hook: DynamoDBBackupHook, control_plane: ControlPlane) -> None:
        """A response that was lost after the commit would make a second backup."""
        control_plane.fail_next("CreateBackup", Fault(code="InternalServerError", status=500), times=9)
        with pytest.raises(AmbiguousOutcomeError):
            create(hook)
        assert control_plane.calls["CreateBackup"] == 1

    def test_shorter_timeouts_of_the_user_stay(self) -> None:
        """Longer ones would outlast the call."""
        hook = DynamoDBBackupHook(config={"read_timeout": 3, "connect_timeout": 99})
        config = hook.limited_config(hook.get_session())
        assert (config.read_timeout, config.connect_timeout) == (3, 10)

    def test_a_call_ends_in_time_if_no_response_comes(
        self, hook: DynamoDBBackupHook, control_plane: ControlPlane, clock: Clock
    ) -> None:
        """The backup may have been made."""
        control_plane.fail_next("CreateBackup", HANGING_AFTER_COMMIT)
        begun = clock.time()
        with pytest.raises(AmbiguousOutcomeError):
            create(hook)
        assert clock.time() - begun == CALL_SECONDS
        assert len(control_plane.backup_arns()) == 1

    def test_credentials_that_hang_end_in_time_and_nothing_is_sent(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """STS has the same limits as DynamoDB."""
        once = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", role(control_plane, **once))
        control_plane.fail_next("AssumeRole", HANGING_AFTER_COMMIT)
        with pytest.raises(UnreachableError, match="table 'orders', backup 'nightly'.*ReadTimeoutError"):
            create(DynamoDBBackupHook())
        assert control_plane.calls["CreateBackup"] == 0


def role(control_plane: ControlPlane, **extra: Any) -> str:
    """Return a connection with a role."""
    return control_plane.connection(role_arn="arn:aws:iam::123456789012:role/backup", **extra)


def behind(proxy: Proxy) -> str:
    """Return a connection to AWS itself, through a proxy."""
    extra = {"region_name": "us-east-1", "config_kwargs": {"proxies": {"https": proxy.url}}}
    return json.dumps({"conn_type": "aws", "login": "simulated", "password": "simulated", "extra": extra})


class TestForeignResponses:
    """An answer that is not AWS's has an unknown outcome."""

    @pytest.mark.parametrize("fault", [HTML_OF_A_PROXY, EMPTY_RESPONSE, BAD_GATEWAY, UNAVAILABLE_PROXY])
    @pytest.mark.parametrize("operation", ["CreateBackup", "ListBackups", "DescribeTable"])
    def test_it_is_ambiguous_for_every_call(
        self, hook: DynamoDBBackupHook, control_plane: ControlPlane, operation: str, fault: Fault
    ) -> None:
        """A listing without summaries does not mean that there are no backups."""
        calls: dict[str, Callable[[], object]] = {
            "CreateBackup": lambda: create(hook),
            "ListBackups": lambda: hook.list_backups(CONTEXT, "orders", created_since=None),
            "DescribeTable": lambda: hook.describe_table(CONTEXT, "orders"),
        }
        control_plane.fail_next(operation, fault)
        with pytest.raises(AmbiguousOutcomeError, match="table 'orders', backup 'nightly', region 'us-east-1'"):
            calls[operation]()

    def test_a_change_that_returns_nothing_is_ambiguous_too(
        self, hook: DynamoDBBackupHook, control_plane: ControlPlane
    ) -> None:
        """Botocore takes a page of HTML for a response without members, as TagResource's own is."""
        control_plane.fail_next("TagResource", HTML_OF_A_PROXY)
        arn = hook.describe_table(CONTEXT, "orders").arn
        with pytest.raises(AmbiguousOutcomeError, match="answered by a page of HTML"):
            hook.call("TagResource", CONTEXT, ResourceArn=arn, Tags=[{"Key": "team", "Value": "shop"}])

    def test_a_proxy_that_says_too_many_has_passed_nothing_on(
        self, hook: DynamoDBBackupHook, control_plane: ControlPlane
    ) -> None:
        """Its 429 is throttling as AWS's own."""
        control_plane.fail_next("CreateBackup", THROTTLED_BY_A_PROXY)
        with pytest.raises(ThrottledError):
            create(hook)


class TestNothingSent:
    """A call that failed before its request left has done nothing, and says so."""

    @pytest.mark.parametrize(
        ("connection", "kind"),
        [
            ({"endpoint_url": "http://127.0.0.1:1"}, UnreachableError),
            ({"endpoint_url": "no address at all"}, ConfigurationError),
            ({"profile_name": "missing"}, ConfigurationError),
        ],
        ids=["dead endpoint", "malformed endpoint", "missing profile"],
    )
    def test_a_broken_connection(
        self,
        control_plane: ControlPlane,
        monkeypatch: pytest.MonkeyPatch,
        connection: dict[str, object],
        kind: type[BackupError],
    ) -> None:
        """Unreachable or configuration, by what has to be fixed."""
        parts = json.loads(control_plane.connection())
        parts["extra"] |= connection
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(parts))
        with pytest.raises(kind, match="table 'orders', backup 'nightly'") as raised:
            create(DynamoDBBackupHook())
        assert type(raised.value) is kind
        assert control_plane.backup_arns() == []

    def test_a_token_file_that_is_missing(self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
        """A pod without its service account."""
        federation = {
            "assume_role_method": "assume_role_with_web_identity",
            "assume_role_with_web_identity_federation": "file",
            "assume_role_with_web_identity_token_file": "/nowhere/token",
        }
        parts = json.loads(role(control_plane))
        parts["extra"] |= federation
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(parts))
        with pytest.raises(CredentialsError, match="/nowhere/token"):
            create(DynamoDBBackupHook())

    def test_an_expired_login(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A profile of IAM Identity Center without a token."""
        config = tmp_path / "config"
        sso = "sso_start_url = https://x\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n"
        config.write_text(f"[profile shop]\n{sso}", encoding="ascii")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("HOME", str(tmp_path))
        parts = json.loads(control_plane.connection())
        del parts["login"], parts["password"]
        parts["extra"] |= {"profile_name": "shop"}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(parts))
        with pytest.raises(CredentialsError, match="SSO"):
            create(DynamoDBBackupHook())

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("Throttling", ThrottledError),
            ("RequestExpired", CredentialsError),
            ("MissingAuthenticationToken", CredentialsError),
            ("ExpiredTokenException", CredentialsError),
        ],
    )
    def test_what_sts_refuses(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[BackupError]
    ) -> None:
        """By kind, as DynamoDB's own errors."""
        once = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", role(control_plane, **once))
        control_plane.fail_next("AssumeRole", Fault(code=code))
        with pytest.raises(kind, match=f"sts:AssumeRole answered {code}"):
            create(DynamoDBBackupHook())


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "http://[half an address"], ids=["dead", "malformed"])
def test_behind_a_proxy_an_outcome_is_ambiguous(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """A response that was lost behind a proxy has the same class as a proxy that can't be reached."""
    parts = json.loads(control_plane.connection())
    parts["extra"] |= {"config_kwargs": {"proxies": {"http": proxy}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(parts))
    with pytest.raises(AmbiguousOutcomeError, match="table 'orders', backup 'nightly'.*proxy"):
        create(DynamoDBBackupHook())
    assert control_plane.backup_arns() == []


class TestTls:
    """A certificate that is refused has sent nothing; what breaks otherwise may have been served."""

    @pytest.fixture
    def front(self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TlsFront:
        """Return a control plane behind TLS, and a connection to it."""
        return TlsFront(control_plane.url, make_certificate(tmp_path))

    def connect(self, control_plane: ControlPlane, front: TlsFront, monkeypatch: pytest.MonkeyPatch) -> None:
        """Point the Airflow connection to the front."""
        connection = control_plane.connection().replace(control_plane.url, front.url)
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection)

    @pytest.mark.parametrize(("broken", "made"), [("break_the_handshake", 0), ("break_after_the_answer", 1)])
    def test_a_broken_connection(
        self,
        control_plane: ControlPlane,
        front: TlsFront,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        broken: str,
        made: int,
    ) -> None:
        """Plain text of a middlebox has the same class and words in both: the outcome is ambiguous."""
        with front.serve():
            self.connect(control_plane, front, monkeypatch)
            hook = DynamoDBBackupHook(verify=str(tmp_path / "simulator.pem"))
            setattr(front, broken, 1)
            with pytest.raises(AmbiguousOutcomeError, match="SSL"):
                create(hook)
            assert len(control_plane.backup_arns()) == made
            create(hook)

    def test_a_certificate_that_can_t_be_verified(
        self, control_plane: ControlPlane, front: TlsFront, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of an unknown authority: nothing was sent."""
        with front.serve():
            self.connect(control_plane, front, monkeypatch)
            with pytest.raises(UnreachableError):
                create(DynamoDBBackupHook(verify=True))
        assert control_plane.backup_arns() == []


class TestClient:
    """Refused credentials and endpoints open the client anew."""

    def test_a_token_that_was_replaced_in_the_connection(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next call reads the connection again."""
        control_plane.expired_keys.add("old")
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(access_key="old"))
        hook = DynamoDBBackupHook()
        with pytest.raises(CredentialsError):
            hook.describe_table(CONTEXT, "orders")
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(access_key="new"))
        assert hook.describe_table(CONTEXT, "orders").name == "orders"

    def test_a_token_that_was_replaced_in_the_credential_chain(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The environment, a file, a process."""
        control_plane.expired_keys.add("old")
        parts = json.loads(control_plane.connection())
        del parts["login"], parts["password"]
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(parts))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "old")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        hook = DynamoDBBackupHook()
        with pytest.raises(CredentialsError):
            hook.describe_table(CONTEXT, "orders")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "new")
        assert hook.describe_table(CONTEXT, "orders").name == "orders"


def test_a_system_s_timeout_while_the_client_opens_is_retried(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token file on a network disk, say: nothing was sent, and the next call opens the client again."""
    opened, calls = DynamoDBBackupHook.get_session, []

    def flaky(self: DynamoDBBackupHook, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise TimeoutError(110, "Connection timed out", "/var/run/token")
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(DynamoDBBackupHook, "get_session", flaky)
    hook = DynamoDBBackupHook()
    with pytest.raises(CredentialsError, match="/var/run/token"):
        hook.describe_table(CONTEXT, "orders")
    assert hook.describe_table(CONTEXT, "orders").name == "orders"
    assert len(calls) == 2


def test_the_clock_of_aws_is_read_from_every_response(hook: DynamoDBBackupHook, control_plane: ControlPlane) -> None:
    """From refusals too: the first response may be one."""
    control_plane.clock_offset = 200
    now = control_plane.clock.time()
    with pytest.raises(TableNotFoundError):
        hook.describe_table(CONTEXT, "nowhere")
    earliest = hook.clock.earliest(now)
    assert now + 198 <= earliest.timestamp() <= now + 201


@pytest.mark.parametrize("fault", [HTML_OF_A_PROXY, BAD_GATEWAY])
def test_a_proxy_s_clock_is_not_aws_s(hook: DynamoDBBackupHook, control_plane: ControlPlane, fault: Fault) -> None:
    """Its responses have a date too."""
    control_plane.clock_offset = 120
    now = control_plane.clock.time()
    hook.describe_table(CONTEXT, "orders")
    control_plane.fail_next("DescribeTable", fault)
    with pytest.raises(AmbiguousOutcomeError):
        hook.describe_table(CONTEXT, "orders")
    earliest = hook.clock.earliest(now)
    assert earliest.timestamp() >= now + 118


def test_an_address_that_is_not_routed_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed port answers at once."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    extra = json.dumps({"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"})
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_DEFAULT", f'{{"conn_type": "aws", "login": "a", "password": "b", "extra": {extra}}}'
    )
    with pytest.raises(UnreachableError, match="table 'orders', backup 'nightly', region 'us-east-1'.*endpoint_url"):
        DynamoDBBackupHook().describe_table(CONTEXT, "orders")


class TestAccount:
    """A connection that is not found must not pass for the worker's own credentials, which may be another account's."""

    OTHER = "210987654321"

    def test_a_connection_that_is_not_found_sends_nothing(self, control_plane: ControlPlane) -> None:
        """The amazon provider would take the worker's own credentials, with a warning."""
        hook = DynamoDBBackupHook("shop")
        for _ in range(2):
            with pytest.raises(
                ConnectionNotFoundError, match="table 'orders', backup 'nightly'.*aws_conn_id is 'shop'"
            ):
                hook.open_for(CONTEXT)
            with pytest.raises(ConnectionNotFoundError):
                create(hook)
        assert not control_plane.calls

    def test_one_that_comes_back_is_found(self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
        """A secrets backend may be down for a moment; the next try asks it again."""
        hook = DynamoDBBackupHook("shop")
        with pytest.raises(ConnectionNotFoundError):
            hook.open_for(CONTEXT)
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", control_plane.connection())
        assert hook.open_for(CONTEXT).region == "us-east-1"
        create(hook)

    def test_one_that_was_found_is_never_done_without(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not ``aws_default`` either: its secrets backend is down when the client is opened again."""
        hook = DynamoDBBackupHook()
        hook.open_for(CONTEXT)
        create(hook)
        monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
        control_plane.fail_next("DescribeTable", Fault(code="ExpiredTokenException"))
        with pytest.raises(CredentialsError):
            hook.describe_table(CONTEXT, "orders")
        with pytest.raises(ConnectionNotFoundError, match="aws_conn_id is 'aws_default'"):
            hook.describe_table(CONTEXT, "orders")

    def test_an_account_that_nothing_tells_is_not_the_expected_one(self, control_plane: ControlPlane) -> None:
        """The ARNs of some emulator have another shape; nothing is made there."""
        hook = DynamoDBBackupHook()
        hook.open_for(CONTEXT, account_id="123456789012")
        arn = {"TableArn": "arn:aws:dynamodb:us-east-1:local:table/orders"}
        control_plane.fail_next("DescribeTable", Fault(Answer.ALTERED, status=200, set_members=arn))
        with pytest.raises(OtherAccountError, match="tells no account, which must be '123456789012'"):
            create(hook)
        assert not control_plane.calls["CreateBackup"]

    @pytest.mark.parametrize("conn_id", ["aws_default", None])
    def test_the_worker_s_own_credentials_do_where_they_are_meant(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, conn_id: str | None
    ) -> None:
        """A new Airflow has no connection ``aws_default``."""
        monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
        monkeypatch.setenv("AWS_ENDPOINT_URL", control_plane.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        hook = DynamoDBBackupHook(conn_id, region_name="us-east-1")
        hook.open_for(CONTEXT)
        assert hook.describe_table(CONTEXT, "orders").name == "orders"
        assert hook.account == "123456789012"

    def test_a_deletion_needs_a_certain_account(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One of three: the connection is found, ``aws_conn_id=None``, or ``account_id``."""
        monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
        context = ErrorContext("orders", "nightly")
        with pytest.raises(AccountNotCertainError, match="aws_conn_id=None.*account_id"):
            DynamoDBBackupHook(region_name="us-east-1").open_for(context, deletes=True)
        DynamoDBBackupHook(None, region_name="us-east-1").open_for(context, deletes=True)
        DynamoDBBackupHook(region_name="us-east-1").open_for(context, account_id=self.OTHER, deletes=True)
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection())
        DynamoDBBackupHook().open_for(context, deletes=True)

    @pytest.mark.parametrize("operation", ["DescribeTable", "ListBackups"])
    def test_a_response_of_another_account_fails_the_call(
        self, hook: DynamoDBBackupHook, control_plane: ControlPlane, operation: str
    ) -> None:
        """As soon as any ARN tells; no call of STS."""
        control_plane.add_backups("orders", 1)
        hook.open_for(CONTEXT, account_id=self.OTHER)
        calls: dict[str, Callable[[], object]] = {
            "DescribeTable": lambda: hook.describe_table(CONTEXT, "orders"),
            "ListBackups": lambda: hook.list_backups(CONTEXT, None),
        }
        with pytest.raises(OtherAccountError, match="account '123456789012', account_id is '210987654321'"):
            calls[operation]()
        assert set(control_plane.calls) == {operation}

    def test_the_account_that_is_meant_passes(
        self, hook: DynamoDBBackupHook, control_plane: ControlPlane, log: Callable[[], str]
    ) -> None:
        """And is logged once, with the region."""
        hook.open_for(CONTEXT, account_id="123456789012")
        hook.describe_table(CONTEXT, "orders")
        create(hook)
        assert log().count("AWS account 123456789012, region us-east-1") == 1


class TestOneHost:
    """All calls go to the regional host: many networks allow no other."""

    @staticmethod
    def mode() -> str | None:
        """Return what decides which host a call with an ARN goes to."""
        hook = DynamoDBBackupHook()
        mode: str | None = hook.limited_config(hook.get_session()).account_id_endpoint_mode
        return mode

    def test_it_is_the_default(self, control_plane: ControlPlane) -> None:
        """Botocore's own is an account's host."""
        assert self.mode() == "disabled"

    def test_it_is_also_of_users_own_calls(self, control_plane: ControlPlane) -> None:
        """They have botocore's retries besides."""
        config = DynamoDBBackupHook().conn.meta.config
        assert (config.account_id_endpoint_mode, config.retries.get("total_max_attempts")) == ("disabled", None)

    @pytest.mark.parametrize(
        ("operation", "request_"),
        [
            ("DescribeTable", {"TableName": TABLE_ARN}),
            ("CreateBackup", {"TableName": TABLE_ARN, "BackupName": "nightly"}),
            ("ListBackups", {"TableName": "orders"}),
            ("DescribeBackup", {"BackupArn": BACKUP_ARN}),
            ("DeleteBackup", {"BackupArn": BACKUP_ARN}),
            ("RestoreTableFromBackup", {"BackupArn": BACKUP_ARN, "TargetTableName": "restored"}),
            ("ListTagsOfResource", {"ResourceArn": TABLE_ARN}),
        ],
    )
    def test_calls_with_and_without_an_arn_go_there(
        self, monkeypatch: pytest.MonkeyPatch, operation: str, request_: dict[str, str]
    ) -> None:
        """A proxy sees the host that it is asked for; also of credentials that tell their account."""
        with Proxy().serve() as proxy:
            proxy.drops = [Drop.ASKED] * 9
            monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", behind(proxy))
            with pytest.raises(BackupError):
                DynamoDBBackupHook().call(operation, CONTEXT, **request_)
            assert proxy.targets == ["dynamodb.us-east-1.amazonaws.com:443"]

    def test_a_message_names_the_host_that_was_tried(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever reads it can have it allowed."""
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(url="http://127.0.0.1:1"))
        with pytest.raises(UnreachableError, match="127.0.0.1:1"):
            DynamoDBBackupHook().describe_table(CONTEXT, "orders")

    def test_the_connection_may_decide(self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
        """As any argument of the configuration."""
        config = {"account_id_endpoint_mode": "required"}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", control_plane.connection(config_kwargs=config))
        assert self.mode() == "required"

    def test_the_environment_may_decide(self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
        """Botocore reads it where the configuration says nothing."""
        monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "preferred")
        assert self.mode() is None

    def test_the_profile_may_decide(
        self, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Likewise."""
        (tmp_path / "config").write_text("[default]\naccount_id_endpoint_mode = preferred\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        assert self.mode() is None
