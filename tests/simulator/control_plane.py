"""DynamoDB's backup control plane, simulated: moto's server behind a layer for what moto leaves out."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter, defaultdict, deque
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from io import BytesIO
from math import inf
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from zlib import crc32

import boto3
import moto.dynamodb.models.table
from moto.backends import get_backend
from moto.dynamodb.models.table import Backup
from moto.iam.models import get_account_id_from
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests.simulator.clock import Clock
from tests.simulator.faults import Answer, Fault
from tests.simulator.rules import BACKUP_ARN, BACKUP_NAME, RATES, Bucket, is_allowed, page_of_backups, table_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

ACCOUNT = "123456789012"
REGION = "us-east-1"
# moto keeps its state in the process: one control plane at a time.
_MOTO = DomainDispatcherApplication(create_backend_app)
_BACKENDS = get_backend("dynamodb")


class ControlPlane:
    """A WSGI application that answers as DynamoDB does.

    :param creating_for: seconds that a new backup stays CREATING
    :param clock: the time that the control plane goes by
    """

    def __init__(self, creating_for: float = 0.0, clock: Clock | None = None) -> None:
        self.creating_for = creating_for
        self.clock = clock or Clock()
        self.url = ""
        #: calls by operation, and those of them that were throttled
        self.calls: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()
        #: statuses that tests set, by ARN of the backup or by name of the table
        self.statuses: dict[str, str] = {}
        #: seconds after its creation that a table's backups are enabled (AWS.md, "Point-in-time recovery")
        self.backups_enabled_after = 0.0
        #: seconds that AWS's clock is ahead of the tests'
        self.clock_offset = 0.0
        #: makes the IDs of new backups, if they are to be of another shape
        self.make_backup_id: Callable[[], str] | None = None
        #: seconds until an operation is answered
        self.delays: defaultdict[str, float] = defaultdict(float)
        #: seconds that the session of a role lasts; None: as long as was asked for
        self.session_seconds: float | None = None
        #: the last calls, with their bodies
        self.requests: deque[tuple[str, dict[str, Any]]] = deque(maxlen=10_000)
        #: seconds that ListBackups is behind
        self.listing_lag = 0.0
        #: the IAM policy of whoever calls; None allows everything
        self.policy: dict[str, Any] | None = None
        #: access keys whose session is over
        self.expired_keys: set[str] = set()
        #: called when a backup was created and its response not yet sent, with its ARN and the caller's port
        self.on_commit: Callable[[str, int], object] = lambda *_: None
        #: called once, just before the next backup is created
        self.before_creation: Callable[[], object] | None = None
        self._buckets = {operation: Bucket(*rate, self.clock.time) for operation, rate in RATES.items()}
        self._sessions: dict[str, float] = {}
        self._faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        setattr(moto.dynamodb.models.table, "utcnow", self.utcnow)  # noqa: B010  # moto imports it for itself

    @contextmanager
    def serve(self, port: int = 0) -> Iterator[ControlPlane]:
        """Listen on 127.0.0.1, without any tables.

        :param port: where; 0: on a free port
        """
        _BACKENDS.reset()
        server = make_server("127.0.0.1", port, self, threaded=True, request_handler=_QuietHandler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._closing.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def now(self) -> float:
        """Return Unix seconds by AWS's clock."""
        return self.clock.time() + self.clock_offset

    def utcnow(self) -> datetime:
        """Return the time as moto keeps it: UTC, without a time zone."""
        return datetime.fromtimestamp(self.now(), tz=UTC).replace(tzinfo=None)

    def add_neighbour(self, operation: str, per_second: float) -> None:
        """Let another client of the account make so many calls a second; 0 ends it."""
        self._buckets[operation].neighbour = per_second

    def fail_next(self, operation: str, fault: Fault, times: int = 1) -> None:
        """Let the next calls of an operation go wrong."""
        self._faults[operation] += [fault] * times

    def clear_faults(self) -> None:
        """Let nothing more go wrong."""
        self._faults.clear()

    @cache  # noqa: B019  # a control plane lives as long as its test
    def client(self, region: str = REGION, account: str = ACCOUNT) -> Any:
        """Return a boto3 client, for tests to arrange and to look with; for another account by a role there."""
        settings = {"region_name": region, "endpoint_url": self.url}
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        if account != ACCOUNT:
            sts = boto3.client("sts", **settings, **keys)
            role = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/tests", RoleSessionName="tests")["Credentials"]
            names = {"aws_access_key_id": "AccessKeyId", "aws_secret_access_key": "SecretAccessKey"}
            keys = {name: role[key] for name, key in names.items()} | {"aws_session_token": role["SessionToken"]}
        return boto3.client("dynamodb", **settings, **keys)

    def connection(
        self, region: str | None = REGION, access_key: str = "simulated", password: str = "simulated", **extra: Any
    ) -> str:
        """Return an Airflow connection to here, as the environment variable holds it."""
        extra |= {"endpoint_url": self.url, "service_config": {"sts": {"endpoint_url": self.url}}}
        extra |= {"region_name": region} if region else {}
        return json.dumps({"conn_type": "aws", "login": access_key, "password": password, "extra": extra})

    def create_table(self, name: str, region: str = REGION, account: str = ACCOUNT) -> str:
        """Create an ACTIVE table and return its ARN."""
        table = self.client(region, account).create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return str(table["TableDescription"]["TableArn"])

    def add_backups(
        self, table: str, count: int, name: str = "other", kind: str = "USER", age: float = 0.0
    ) -> list[str]:
        """Add backups of a table, as if they had been made so many seconds ago; return their ARNs."""
        backend = _BACKENDS[ACCOUNT][REGION]
        made = [Backup(ACCOUNT, REGION, name, backend.tables[table], type_=kind) for _ in range(count)]
        for backup in made:
            backup.creation_date_time -= timedelta(seconds=age)
            backup.identifier = backup._make_identifier()  # noqa: SLF001  # moto makes it of the time, at once
            backend.backups[backup.arn] = backup
        return [backup.arn for backup in made]

    def backup_arns(self, region: str = REGION, account: str = ACCOUNT) -> list[str]:
        """Return the ARNs of all backups that exist, in the order of their creation."""
        return list(_BACKENDS[account][region].backups)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        call = _Call(request.headers.get("X-Amz-Target", "").rpartition(".")[2], request.get_data(), environ)
        with self._lock:
            self.calls[call.operation] += 1
            self.requests.append((call.operation, call.body))
            faults = self._faults[call.operation]
            fault = faults.pop(0) if faults else None
            refusal = self._refusal(call)
        response = self._go_wrong(fault, call) if fault else refusal or self._answer(call)
        if delay := self.delays[call.operation]:
            self.clock.sleep(delay)
        # AWS's own clock (AWS.md, "Errors").
        response.headers["Date"] = format_datetime(self.utcnow().replace(tzinfo=UTC), usegmt=True)
        return response(environ, start_response)

    def _go_wrong(self, fault: Fault, call: _Call) -> Response:
        if fault.committed:
            self._answer(call)
        if fault.answer is Answer.ERROR and call.is_sts:
            return _sts_error(fault.code, fault.status)
        if fault.answer is Answer.ERROR:
            return _error(fault.code, "The simulation refuses this call", fault.status)
        if fault.answer is Answer.FOREIGN:
            return Response("<html><body>The proxy says</body></html>", fault.status, content_type="text/html")
        if fault.answer is Answer.EMPTY:
            return Response("{}", fault.status, content_type="application/x-amz-json-1.0")
        if fault.answer is Answer.TRICKLING:
            return Response(self._trickle(), 200, content_type="application/x-amz-json-1.0")
        if fault.answer is Answer.HANGING:
            self._closing.wait(60)
        # The server takes it for a client that has gone, and closes the connection without a word.
        raise ConnectionResetError

    def _trickle(self) -> Iterator[bytes]:
        while not self._closing.wait(0.05):
            yield b" "

    def _refusal(self, call: _Call) -> Response | None:
        """Refuse what AWS refuses, in its order (AWS.md, "Errors"); nothing is done."""
        bucket = self._buckets.get(call.operation)
        if bucket and not bucket.take():
            self.throttled[call.operation] += 1
            return _error("ThrottlingException", "Rate exceeded")
        if call.access_key in self.expired_keys or self._sessions.get(call.access_key, inf) <= self.now():
            return _error("ExpiredTokenException", "The security token included in the request is expired")
        if self.policy and not is_allowed(self.policy, call.operation, call.resource):
            user = f"arn:aws:iam::{ACCOUNT}:user/simulated"
            text = f"User: {user} is not authorized to perform: dynamodb:{call.operation} on resource: {call.resource}"
            return _error("AccessDeniedException", text)
        if call.operation == "CreateBackup":
            return self._creation_refusal(call)
        arn = call.body.get("BackupArn")
        if arn is not None and not BACKUP_ARN.fullmatch(arn):
            return _error("ValidationException", "Invalid Backup ARN")
        return None

    def _creation_refusal(self, call: _Call) -> Response | None:
        if not BACKUP_NAME.fullmatch(call.body["BackupName"]):
            return _error("ValidationException", "1 validation error detected: Value at 'backupName' failed")
        table = _BACKENDS[call.account][call.region].tables.get(call.table)
        if table is None or self.statuses.get(call.table) == "CREATING":
            return _error("TableNotFoundException", f"Table not found: {call.table}")
        age = (self.utcnow() - table.created_at).total_seconds()
        if age < self.backups_enabled_after:
            text = f"Backups are being enabled for the table: {call.table}. Please retry later"
            return _error("ContinuousBackupsUnavailableException", text)
        return None

    def _answer(self, call: _Call) -> Response:
        if call.operation == "CreateBackup" and self.before_creation:
            interfere, self.before_creation = self.before_creation, None
            interfere()
        response = Response.from_app(_MOTO, {**call.environ, "wsgi.input": BytesIO(call.raw)})
        if call.is_sts and response.status_code == 200:
            self._begin_session(response)
        elif call.operation and response.status_code == 200:
            content = json.loads(response.get_data())
            self._correct(call, content)
            response.set_data(json.dumps(content))
            response.headers["x-amz-crc32"] = str(crc32(response.get_data()))
        return response

    def _begin_session(self, response: Response) -> None:
        if self.session_seconds is None:
            return
        text = response.get_data(as_text=True)
        ends = self.now() + self.session_seconds
        for key in re.findall(r"<AccessKeyId>(.+?)</AccessKeyId>", text):
            self._sessions[key] = ends
        iso = datetime.fromtimestamp(ends, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        response.set_data(re.sub(r"<Expiration>.+?</Expiration>", f"<Expiration>{iso}</Expiration>", text))

    def _correct(self, call: _Call, content: dict[str, Any]) -> None:
        backend = _BACKENDS[call.account][call.region]
        if call.operation == "DescribeTable":
            table = content["Table"]
            table["TableStatus"] = self.statuses.get(table["TableName"], table["TableStatus"])
            table["TableId"] = table_id(backend.tables[table["TableName"]])
        elif call.operation == "CreateBackup":
            if self.make_backup_id:
                backup = backend.backups.pop(content["BackupDetails"]["BackupArn"])
                backup.identifier = self.make_backup_id()
                backend.backups[backup.arn] = backup
                content["BackupDetails"]["BackupArn"] = backup.arn
            self._set_status(content["BackupDetails"])
            self.on_commit(content["BackupDetails"]["BackupArn"], int(call.environ["REMOTE_PORT"]))
        elif call.operation == "DescribeBackup":
            self._set_status(content["BackupDescription"]["BackupDetails"])
            backed_up = backend.backups[call.body["BackupArn"]].table
            content["BackupDescription"]["SourceTableDetails"]["TableId"] = table_id(backed_up)
        elif call.operation == "ListBackups":
            self._list(call, content)

    def _list(self, call: _Call, content: dict[str, Any]) -> None:
        # Creation times are rounded to milliseconds.
        latest = self.now() - self.listing_lag + 0.001
        content["BackupSummaries"], cursor = page_of_backups(content["BackupSummaries"], call.body, latest)
        if cursor:
            content["LastEvaluatedBackupArn"] = cursor
        backups = _BACKENDS[call.account][call.region].backups
        for summary in content["BackupSummaries"]:
            self._set_status(summary)
            summary["TableId"] = table_id(backups[summary["BackupArn"]].table)

    def _set_status(self, details: dict[str, Any]) -> None:
        # moto's backups are AVAILABLE at once.
        creating = self.now() - details["BackupCreationDateTime"] < self.creating_for
        status = "CREATING" if creating else details["BackupStatus"]
        details["BackupStatus"] = self.statuses.get(details["BackupArn"], status)


class _Call:
    """A request, as far as the layer reads it."""

    def __init__(self, operation: str, raw: bytes, environ: WSGIEnvironment) -> None:
        # STS, which is asked for roles, speaks another protocol.
        self.is_sts = not operation
        form = dict(parse_qsl(raw.decode())) if self.is_sts else {}
        self.operation = operation or form.get("Action", "")
        self.raw = raw
        self.environ = environ
        self.body: dict[str, Any] = form if self.is_sts else json.loads(raw or b"{}")
        # Of the signature: AWS ignores the region in an ARN (AWS.md, "Calls").
        scope = environ.get("HTTP_AUTHORIZATION", f"Credential=/{REGION}/dynamodb").partition("/dynamodb")[0]
        self.region = scope.rpartition("/")[2]
        self.access_key = scope.partition("Credential=")[2].partition("/")[0]
        self.account = get_account_id_from(self.access_key)
        self.table = self.body.get("TableName", "").rpartition("/")[2]

    @property
    def resource(self) -> str:
        """What the call is about, as IAM names it (AWS.md, "Least privilege")."""
        if self.operation == "ListBackups":
            return "*"
        arn: str = self.body.get("BackupArn", f"arn:aws:dynamodb:{self.region}:{self.account}:table/{self.table}")
        return arn


def _error(code: str, text: str, status: int = 400) -> Response:
    content = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": text}
    return Response(json.dumps(content), status, content_type="application/x-amz-json-1.0")


def _sts_error(code: str, status: int) -> Response:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>The simulation refuses this call</Message></Error>"
    return Response(f"<ErrorResponse>{error}</ErrorResponse>", status, content_type="text/xml")


class _QuietHandler(WSGIRequestHandler):
    # Keep-alive, as AWS has it.
    protocol_version = "HTTP/1.1"

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin a response without the server's own Date: the control plane has a clock of its own."""
        self.send_response_only(code, message)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Print nothing."""

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:
        """Close the connection, which would stay open for the next request."""
        self.close_connection = True
