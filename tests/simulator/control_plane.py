"""DynamoDB's backup control plane, simulated: moto behind a layer for what moto leaves out."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict, deque
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from io import BytesIO
from math import inf
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from uuid import uuid4
from zlib import crc32

import boto3
import moto.core.responses
import moto.dynamodb.models.table
from moto.backends import get_backend
from moto.core.model_instances import reset_model_data
from moto.core.request import Request as MotoRequest
from moto.dynamodb.models.table import Backup
from moto.iam.models import get_account_id_from
from werkzeug.http import http_date

from tests.simulator import drops, restores, settings, sts
from tests.simulator.clock import CALL, Clock
from tests.simulator.faults import Answer, Fault
from tests.simulator.patience import PATIENCE, TIMED_OUT
from tests.simulator.rules import (
    BACKUP_ARN,
    BACKUP_NAME,
    RATES,
    Bucket,
    action_of,
    is_allowed,
    made_at,
    mark,
    page_of_backups,
    page_of_tagged,
    table_id,
)
from tests.simulator.server import JSON, Request, Response, Server
from tests.simulator.tls import BREAK, TlsFront, make_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from moto.dynamodb.models.table import Table

    from tests.simulator.restores import Restore

ACCOUNT = "123456789012"
REGION = "us-east-1"
# Real seconds that a response may hang or trickle, and between two of its bytes.
_LONGEST = 60.0
_TRICKLE = 0.05
# moto keeps its state in the process: one control plane at a time.
_BACKENDS = get_backend("dynamodb")
# For each request, moto reads its own methods and botocore's model anew.
for _name in ("get_service_model", "method_names_from_class"):
    setattr(moto.core.responses, _name, cache(getattr(moto.core.responses, _name)))
#: the operations that restore a table
RESTORES = ("RestoreTableFromBackup", "RestoreTableToPointInTime")


class ControlPlane:
    """Answers as DynamoDB does.

    :param creating_for: seconds that a new backup stays CREATING
    :param clock: the time that the control plane goes by
    """

    def __init__(self, creating_for: float = 0.0, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.url = ""
        #: sessions of boto3's clients in this process, whose connections stay open until they are closed
        self.sessions: list[Any] = []
        # Not of the function, which would keep every control plane there has been.
        self.client = cache(self._client)
        self.reset(creating_for)
        setattr(moto.dynamodb.models.table, "utcnow", self.utcnow)  # noqa: B010  # moto imports it for itself

    def reset(self, creating_for: float = 0.0) -> None:
        """Begin anew at the same address, without any tables.

        :param creating_for: seconds that a new backup stays CREATING
        """
        _BACKENDS.reset()
        # moto keeps all objects that it has ever made.
        reset_model_data()
        self.creating_for = creating_for
        #: whether connections stay open after a response, as AWS's do
        self.keeps_connections = True
        #: calls by operation, and those of them that were throttled; a neighbour's are counted apart
        self.calls: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()
        #: statuses that tests set, by ARN of the backup or by name of the table
        self.statuses: dict[str, str] = {}
        #: bytes of tables, and of their backups, by the table's name; of others moto's own
        self.sizes: dict[str, int] = {}
        #: seconds until such a backup's size is filled in (AWS.md, "Calls")
        self.sized_after = 0.0
        #: seconds after its creation that a table's backups are enabled (AWS.md, "Point-in-time recovery")
        self.backups_enabled_after = 0.0
        #: seconds that AWS's clock is ahead of the tests'; may change at any time
        self.clock_offset = 0.0
        #: makes the IDs of new backups, if they are to be of another shape (AWS.md, "Calls": it is not documented)
        self.make_backup_id: Callable[[], str] | None = None
        #: seconds between a call and its response, by operation
        self.delays: defaultdict[str, float] = defaultdict(float)
        #: seconds until AWS refuses the keys of a new session, by its clock; None: never
        self.session_seconds: float | None = None
        #: the last calls: operation and body, STS's as a form
        self.requests: deque[tuple[str, dict[str, Any]]] = deque(maxlen=10_000)
        #: seconds that ListBackups is behind, with new backups and with deleted ones
        self.listing_lag = 0.0
        #: seconds from the request of a backup, which the bounds of ListBackups are on, to its creation
        self.requested_before = 0.0
        #: the IAM policy of whoever calls; None allows everything
        self.policy: dict[str, Any] | None = None
        #: access keys whose session is over
        self.expired_keys: set[str] = set()
        #: called when a backup was created and its response not yet sent, with its ARN and the caller's port
        self.on_commit: Callable[[str, int], object] = lambda *_: None
        #: ARNs of backups that are being restored by others (AWS.md, "Deleting")
        self.restoring: set[str] = set()
        #: seconds that a new table stays CREATING
        self.tables_creating_for = 0.0
        #: seconds that a restore takes
        self.restoring_for = 0.0
        #: seconds that a table stays DELETING
        self.dropping_for = 0.0
        #: seconds that an UpdateTable takes
        self.updating_for = 0.0
        #: called when a call was refused for expired keys, with its operation
        self.on_refusal: Callable[[str], object] = lambda _: None
        #: called when a restore has begun and its response not yet sent, with the table's ARN and the caller's port
        self.on_restore: Callable[[str, int], object] = lambda *_: None
        #: tables that are gone and that GetResources still returns, with their tags (AWS.md, "Tags")
        self.ghosts: dict[str, dict[str, str]] = {}
        #: called when a backup was deleted and the response not yet sent, with its ARN and the caller's port
        self.on_deletion: Callable[[str, int], object] = lambda *_: None
        #: called when a table begins to be dropped and the response is not yet sent, with its ARN and the caller's port
        self.on_drop: Callable[[str, int], object] = lambda *_: None
        #: called when a call has taken effect and its response is not yet sent, with its operation
        self.after: Callable[[str], object] = lambda _: None
        self._buckets: dict[tuple[str, str, str], Bucket] = {}
        self._session_ends: dict[str, float] = {}
        self._deleted: list[tuple[float, Backup]] = []
        self._interferences: dict[str, Callable[[], object]] = {}
        self._faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self._closing = threading.Event()
        # Never held while a response is on its way.
        self._lock = threading.RLock()

    @contextmanager
    def serve(self, port: int = 0) -> Iterator[ControlPlane]:
        """Listen on 127.0.0.1, without any tables.

        :param port: where; 0: on a free port
        """
        _BACKENDS.reset()
        server = Server(self.answer, port)
        self.url = server.url
        with server.serve():
            try:
                yield self
            finally:
                self.close()

    def close(self) -> None:
        """End the calls that hang or trickle."""
        self._closing.set()

    @contextmanager
    def serve_tls(self, folder: Path) -> Iterator[TlsFront]:
        """Listen for HTTPS too, at ``front.url``, with a certificate that only ``verify=front.ca`` accepts.

        :param folder: where to put the certificate
        """
        with TlsFront(self.url, make_certificate(folder)).serve() as front:
            yield front

    def now(self) -> float:
        """Return Unix seconds by AWS's clock."""
        return self.clock.time() + self.clock_offset

    def utcnow(self) -> datetime:
        """Return the time as moto keeps it: UTC, without a time zone."""
        return datetime.fromtimestamp(self.now(), tz=UTC).replace(tzinfo=None)

    def add_neighbour(self, operation: str, per_second: float, region: str = REGION, account: str = ACCOUNT) -> None:
        """Let another client of the account make so many calls a second from now on; 0 ends it."""
        with self._lock:
            self._bucket(account, region, operation).set_neighbour(per_second)

    @contextmanager
    def neighbour(
        self, operation: str, per_second: float, region: str = REGION, account: str = ACCOUNT
    ) -> Iterator[None]:
        """Let one more client of the account make so many calls a second until the block ends."""
        before = self._bucket(account, region, operation).neighbour
        self.add_neighbour(operation, before + per_second, region, account)
        try:
            yield
        finally:
            self.add_neighbour(operation, before, region, account)

    @property
    def neighbours(self) -> Counter[str]:
        """Calls that neighbours have made until now, throttled or not, by operation."""
        made: Counter[str] = Counter()
        with self._lock:
            for (_, _, operation), bucket in self._buckets.items():
                made[operation] += bucket.neighbour_calls()
        return made

    def _bucket(self, account: str, region: str, operation: str) -> Bucket:
        # "Calls": the rates are an account's and a region's.
        key = (account, region, operation)
        with self._lock:
            if key not in self._buckets:
                self._buckets[key] = Bucket(*RATES[operation], self.clock.time)
            return self._buckets[key]

    def fail_next(self, operation: str, fault: Fault, times: int = 1) -> None:
        """Let the next calls of an operation go wrong."""
        self._faults[operation] += [fault] * times

    def before(self, operation: str, interfere: Callable[[], object]) -> None:
        """Let something happen once, just before the next call of an operation takes effect."""
        self._interferences[operation] = interfere

    @property
    def has_faults(self) -> bool:
        """Whether something is still to go wrong."""
        return any(self._faults.values())

    def clear_faults(self) -> None:
        """Let nothing more go wrong."""
        self._faults.clear()

    def _client(self, region: str = REGION, account: str = ACCOUNT) -> Any:
        """Return a boto3 client, for tests to arrange and check with; for another account by a role there."""
        settings = {"region_name": region, "endpoint_url": self.url}
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        if account != ACCOUNT:
            keys = self.role_keys(account)
        return boto3.client("dynamodb", **settings, **keys)

    def role_keys(self, account: str) -> dict[str, str]:
        """Return the keys of a role in an account, as boto3 and the environment name them."""
        place = {"region_name": REGION, "endpoint_url": self.url}
        sts = boto3.client("sts", **place, aws_access_key_id="test", aws_secret_access_key="test")
        role = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/tests", RoleSessionName="tests")["Credentials"]
        names = {
            "access_key_id": "AccessKeyId",
            "secret_access_key": "SecretAccessKey",
            "session_token": "SessionToken",
        }
        return {f"aws_{name}": role[key] for name, key in names.items()}

    def connection(
        self,
        region: str | None = REGION,
        access_key: str = "simulated",
        password: str = "simulated",
        url: str | None = None,
        **extra: Any,
    ) -> str:
        """Return an Airflow connection to here, as the environment variable holds it.

        :param url: another address of the control plane, such as :meth:`serve_tls` gives
        """
        url = url or self.url
        extra |= {"endpoint_url": url, "service_config": {"sts": {"endpoint_url": url}}}
        extra |= {"region_name": region} if region else {}
        return json.dumps({"conn_type": "aws", "login": access_key, "password": password, "extra": extra})

    def create_table(self, name: str, region: str = REGION, account: str = ACCOUNT) -> str:
        """Create an ACTIVE table and return its ARN."""
        with self._lock:
            table = _BACKENDS[account][region].create_table(
                name,
                schema=[{"AttributeName": "id", "KeyType": "HASH"}],
                attr=[{"AttributeName": "id", "AttributeType": "S"}],
                billing_mode="PAY_PER_REQUEST",
                throughput=None,
                warm_throughput=None,
                global_indexes=[],
                indexes=[],
                streams=None,
                sse_specification=None,
                tags=[],
                deletion_protection_enabled=False,
            )
            mark(table, self.clock.time())
        return str(table.table_arn)

    def drop_table(self, name: str, region: str = REGION, account: str = ACCOUNT) -> None:
        """Drop a table at once; its backups stay, and a new table of its name has another TableId.

        Its tags are listed for hours (AWS.md, "Tags").
        """
        with self._lock:
            table = _BACKENDS[account][region].tables[name]
            table.deletion_protection_enabled = False
            if table.tags:
                self.ghosts[table.table_arn] = _tags_of(table)
            if settings.restorable(table, self.now()):
                backup = Backup(account, region, f"{name}$DeletedTableBackup", table, type_="SYSTEM")
                # AWS.md, "Calls": what a system backup's ARN ends in.
                backup.identifier = f"{backup.identifier.partition('-')[0]}-00000000"
                mark(backup, self.clock.time())
                _BACKENDS[account][region].backups[backup.arn] = backup
            _BACKENDS[account][region].delete_table(name)
            self.statuses.pop(name, None)

    def add_backups(
        self, table: str, count: int, name: str = "other", kind: str = "USER", age: float = 0.0
    ) -> list[str]:
        """Add backups of a table, as if they had been made so many seconds ago; return their ARNs."""
        backend = _BACKENDS[ACCOUNT][REGION]
        made = [Backup(ACCOUNT, REGION, name, backend.tables[table], type_=kind) for _ in range(count)]
        with self._lock:
            for backup in made:
                mark(backup, self.clock.time() - age)
                backup.creation_date_time -= timedelta(seconds=age)
                # moto makes it of the time, at once.
                backup.identifier = (self.make_backup_id or backup._make_identifier)()  # noqa: SLF001
                backend.backups[backup.arn] = backup
        return [backup.arn for backup in made]

    def lose_backup(self, arn: str, region: str = REGION, account: str = ACCOUNT) -> None:
        """Let a backup be gone, whatever its status."""
        with self._lock:
            del _BACKENDS[account][region].backups[arn]

    def end_restore(self, name: str, region: str = REGION, account: str = ACCOUNT) -> None:
        """Let the restore of a table be complete."""
        restores.end(_BACKENDS[account][region].tables[name], self.clock.time())

    def tag_table(self, name: str, region: str = REGION, account: str = ACCOUNT, **tags: str) -> None:
        """Put tags on a table."""
        table = _BACKENDS[account][region].tables[name]
        table.tags.extend({"Key": key, "Value": value} for key, value in tags.items())

    def switch_recovery(self, name: str, *, on: bool = True) -> None:
        """Turn a table's point-in-time recovery on or off."""
        recovery = {"PointInTimeRecoveryEnabled": on}
        self.ask("UpdateContinuousBackups", TableName=name, PointInTimeRecoverySpecification=recovery)

    def ask(self, operation: str, **body: Any) -> dict[str, Any]:
        """Make a call past HTTP, rates and faults, as somebody in the account; it costs less than a client's."""
        target = {"x-amz-target": f"DynamoDB_20120810.{operation}", "content-type": JSON}
        response = self._answer(_Call(Request(target, json.dumps(body).encode(), port=0)))
        assert response.status == 200, response.content
        content: dict[str, Any] = json.loads(response.content)
        return content

    def table_ids(self, region: str = REGION, account: str = ACCOUNT) -> dict[str, str]:
        """Return the ID of each table that exists, by its name."""
        return {name: table_id(table) for name, table in _BACKENDS[account][region].tables.items()}

    def backup_arns(self, region: str = REGION, account: str = ACCOUNT) -> list[str]:
        """Return the ARNs of all backups that exist, in the order of their creation."""
        return list(_BACKENDS[account][region].backups)

    def backup_name(self, arn: str, region: str = REGION, account: str = ACCOUNT) -> str:
        """Return the name of a backup that exists."""
        return str(_BACKENDS[account][region].backups[arn].name)

    def tables(self, region: str = REGION, account: str = ACCOUNT) -> dict[str, Restore | None]:
        """Return the names of all tables, each with the restore that has made it, if one has."""
        return {name: restores.restore_of(table) for name, table in _BACKENDS[account][region].tables.items()}

    def tags(self, table: str, region: str = REGION, account: str = ACCOUNT) -> dict[str, str]:
        """Return a table's tags."""
        return _tags_of(_BACKENDS[account][region].tables[table])

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        call = _Call(request)
        with self._lock:
            self.calls[call.operation] += 1
            self.requests.append((call.operation, call.body))
            self._finish_drops(call)
            faults = self._faults[call.operation]
            fault = faults.pop(0) if faults and call.is_of(faults[0].table) else None
            refusal = self._refusal(call)
        response = self._go_wrong(fault, call, refusal) if fault else refusal or self._answer(call)
        self.after(call.operation)
        if delay := self.delays.get(call.operation):
            self.clock.sleep(delay, until=self._closing)
        if fault and fault.answer is Answer.FOREIGN:
            # A proxy has a clock of its own, the tests'.
            response.headers["Date"] = http_date(self.clock.time())
        else:
            # AWS.md, "Errors": every response has them.
            response.headers["Date"] = http_date(self.now())
            response.headers["x-amzn-RequestId"] = str(uuid4())
        if not self.keeps_connections:
            response.headers["Connection"] = "close"
        return response

    def _go_wrong(self, fault: Fault, call: _Call, refusal: Response | None) -> Response:
        if fault.answer is Answer.ALTERED:
            response = refusal or self._answer(call)
            content: Any = fault.alter(json.loads(response.content))
            _set_content(response, {**fault.set_members, **content} if fault.adds else content)
            return response
        if fault.committed and not refusal:
            self._answer(call)
        if fault.answer is Answer.ERROR:
            return (sts.error if call.is_sts else _error)(fault.code, fault.text, fault.status)
        if fault.answer is Answer.FOREIGN:
            return Response(b"<html><body>The proxy says</body></html>", fault.status, "text/html")
        if fault.answer is Answer.EMPTY:
            return Response.of({}, fault.status)
        if fault.answer is Answer.TRICKLING:
            return Response(self._trickle())
        if fault.answer is Answer.HANGING:
            self._hang(call)
        # What the TLS front and a client of this process are told by a header.
        told = {Answer.BROKEN_TLS: BREAK, Answer.HANGING: call.patience and TIMED_OUT}.get(fault.answer)
        if told:
            return Response(headers={told: "yes"})
        # The server takes it for a client that has gone, and closes the connection without a word.
        raise ConnectionResetError

    def _hang(self, call: _Call) -> None:
        if call.patience:
            self.clock.sleep(float(call.patience), until=self._closing)
            return
        with self.clock.hang(call.id):
            self._closing.wait(_LONGEST)

    def _trickle(self) -> Iterator[bytes]:
        for _ in range(int(_LONGEST / _TRICKLE)):
            if self._closing.wait(_TRICKLE):
                break
            yield b" "
        raise ConnectionResetError

    def _refusal(self, call: _Call) -> Response | None:
        """Refuse what AWS refuses, in its order (AWS.md, "Errors"); nothing is done."""
        is_limited = call.operation in RATES
        if is_limited and not self._bucket(call.account, call.region, call.operation).take():
            self.throttled[call.operation] += 1
            return _error("ThrottlingException", "Rate exceeded")
        if denial := self._denial(call):
            return denial
        arn = call.body.get("BackupArn")
        if arn is not None and not BACKUP_ARN.fullmatch(arn):
            return _error("ValidationException", "Invalid Backup ARN")
        if arn is not None and arn.split(":")[4] != call.account:
            return _error("AccessDeniedException", "Access is denied")
        own = {
            "CreateBackup": self._creation_refusal,
            "DeleteBackup": self._deletion_refusal,
            "DeleteTable": self._drop_refusal,
            "RestoreTableFromBackup": self._restore_refusal,
            "RestoreTableToPointInTime": self._restore_refusal,
            "GetResources": self._tagged,
        }
        return own[call.operation](call) if call.operation in own else self._setting_refusal(call)

    def _finish_drops(self, call: _Call) -> None:
        tables = _BACKENDS[call.account][call.region].tables
        for name in [name for name, table in tables.items() if drops.is_gone(table, self.clock.time())]:
            self.drop_table(name, call.region, call.account)

    def _drop_refusal(self, call: _Call) -> Response | None:
        table = _BACKENDS[call.account][call.region].tables.get(call.table)
        if table is None:
            return None
        description = table.describe()["TableDescription"]
        self._describe(table, description)
        refused = drops.refusal(table, description["TableStatus"])
        return _error(*refused) if refused else None

    def _setting_refusal(self, call: _Call) -> Response | None:
        table = _BACKENDS[call.account][call.region].tables.get(call.table)
        refused = None
        if call.operation == "TagResource":
            refused = settings.tags_refusal(call.body)
        elif table and call.operation == "UpdateContinuousBackups":
            if not self._is_past(table, self.backups_enabled_after):
                text = f"Backups are being enabled for the table: {call.table}. Please retry later"
                refused = "ContinuousBackupsUnavailableException", text
        elif table and call.operation == "UpdateTable":
            refused = settings.update_refusal(table, call.body, self.clock.time())
        elif table and call.operation == "UpdateTimeToLive":
            refused = settings.ttl_refusal(table, self.clock.time())
        elif table and call.operation == "EnableKinesisStreamingDestination":
            refused = settings.kinesis_refusal(table, call.body)
        return _error(*refused) if refused else None

    def _own_answer(self, call: _Call) -> Response | None:
        """Answer a call that moto does not know."""
        table = _BACKENDS[call.account][call.region].tables.get(call.table)
        if table is None:
            return None
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            "EnableKinesisStreamingDestination": lambda: settings.enable_kinesis(table, call.body),
            "DescribeKinesisStreamingDestination": lambda: settings.describe_kinesis(table),
            "UpdateContributorInsights": lambda: settings.update_insights(table, call.body),
            "DescribeContributorInsights": lambda: settings.describe_insights(table, call.body),
        }
        if call.operation not in answers:
            return None
        return Response.of(answers[call.operation]())

    def _deletion_refusal(self, call: _Call) -> Response | None:
        arn = call.body["BackupArn"]
        backup = _BACKENDS[call.account][call.region].backups.get(arn)
        if backup is None or self.statuses.get(arn) == "DELETED":
            return _error("BackupNotFoundException", f"Backup not found: {arn}")
        if backup.type != "USER":
            text = "User is not allowed to delete the system backup"
            return _error("ValidationException", f"{text}: {arn}")
        tables = _BACKENDS[call.account][call.region].tables.values()
        restored = {restore.source for restore in restores.in_progress(tables, self.clock.time())}
        if self._status(backup) == "CREATING" or arn in self.restoring | restored:
            return _error("BackupInUseException", f"Backup is being used: {arn}")
        return None

    def _restore_refusal(self, call: _Call) -> Response | None:
        backend = _BACKENDS[call.account][call.region]
        if arn := call.body.get("BackupArn"):
            backup = backend.backups.get(arn)
            source = restores.backup_refusal(arn, backup, self._status(backup) if backup else "")
        else:
            source = restores.moment_refusal(call.body, call.table, backend.tables.get(call.table), self.now())
        refused = restores.refusal(call.body, backend.tables, source, self.clock.time())
        return _error(*refused) if refused else None

    def _status(self, backup: Backup) -> str:
        details = {"BackupStatus": "AVAILABLE"}
        self._set_status(details, backup)
        return details["BackupStatus"]

    def _tagged(self, call: _Call) -> Response:
        """Answer GetResources, which moto has without pages and without tables that are gone."""
        tables = _BACKENDS[call.account][call.region].tables.values()
        tagged = self.ghosts | {table.table_arn: _tags_of(table) for table in tables if table.tags}
        page, token = page_of_tagged(tagged, call.body)
        return Response.of({"ResourceTagMappingList": page, "PaginationToken": token})

    def _denial(self, call: _Call) -> Response | None:
        if call.access_key in self.expired_keys or self._session_ends.get(call.access_key, inf) <= self.now():
            self.on_refusal(call.operation)
            text = "The security token included in the request is expired"
            return sts.error("ExpiredToken", text, 403) if call.is_sts else _error("ExpiredTokenException", text)
        needed = call.needed if self.policy and not call.is_sts else []
        for operation, resource in needed:
            if self.policy and not is_allowed(self.policy, operation, resource):
                user = f"arn:aws:iam::{ACCOUNT}:user/simulated"
                text = f"User: {user} is not authorized to perform: {action_of(operation)} on resource: {resource}"
                return _error("AccessDeniedException", text)
        return None

    def _creation_refusal(self, call: _Call) -> Response | None:
        if not BACKUP_NAME.fullmatch(call.body["BackupName"]):
            return _error("ValidationException", "1 validation error detected: Value at 'backupName' failed")
        table = _BACKENDS[call.account][call.region].tables.get(call.table)
        restore = restores.restore_of(table)
        restoring = restore is not None and restore.in_progress(self.clock.time())
        if table is None or restoring or self._is_creating(table) or self.statuses.get(call.table) == "CREATING":
            return _error("TableNotFoundException", f"Table not found: {call.table}")
        if not self._is_past(table, self.backups_enabled_after):
            text = f"Backups are being enabled for the table: {call.table}. Please retry later"
            return _error("ContinuousBackupsUnavailableException", text)
        return None

    def _answer(self, call: _Call) -> Response:
        with self._lock:
            interfere = self._interferences.pop(call.operation, None)
        if interfere:
            interfere()
        with self._lock:
            deleted = _BACKENDS[call.account][call.region].backups.get(call.body.get("BackupArn", ""))
            dropped = _BACKENDS[call.account][call.region].tables.get(call.table)
            if own := self._own_answer(call):
                return own
            # moto has no pages: it would write all backups down for each.
            response = Response.of({}) if call.operation == "ListBackups" else _ask_moto(call)
            if response.status != 200:
                return response
            if call.is_sts:
                if self.session_seconds is not None and call.operation.startswith("AssumeRole"):
                    ends = self.now() + self.session_seconds
                    self._session_ends[sts.end_session(response, ends)] = ends
                return response
            content = json.loads(response.content)
            if call.operation == "DeleteBackup" and deleted:
                self._deleted.append((self.clock.time(), deleted))
            if call.operation == "DeleteTable" and dropped and self.dropping_for:
                # moto's are gone at once.
                _BACKENDS[call.account][call.region].tables[dropped.name] = dropped
                drops.begin(dropped, self.clock.time(), self.dropping_for)
            self._correct(call, content)
            _set_content(response, content)
        self._tell(call, content)
        if call.operation in RESTORES and restores.has_empty_structure(call.body):
            return _error("ValidationException", "One or more parameter values were invalid")
        return response

    def _tell(self, call: _Call, content: dict[str, Any]) -> None:
        """Call what the test wants to be called once something is done, and its response not yet sent."""
        port = call.port
        if call.operation == "CreateBackup":
            self.on_commit(content["BackupDetails"]["BackupArn"], port)
        elif call.operation == "DeleteBackup":
            self.on_deletion(call.body["BackupArn"], port)
        elif call.operation == "DeleteTable":
            self.on_drop(content["TableDescription"]["TableArn"], port)
        elif call.operation in RESTORES:
            self.on_restore(content["TableDescription"]["TableArn"], port)

    def _correct(self, call: _Call, content: dict[str, Any]) -> None:
        backend = _BACKENDS[call.account][call.region]
        if "Table" in content or "TableDescription" in content:
            self._correct_table(call, content)
        elif call.operation == "CreateBackup":
            backup = backend.backups.pop(content["BackupDetails"]["BackupArn"])
            mark(backup, self.clock.time())
            if self.make_backup_id:
                backup.identifier = self.make_backup_id()
            backend.backups[backup.arn] = backup
            content["BackupDetails"]["BackupArn"] = backup.arn
            self._set_status(content["BackupDetails"], backup)
        elif call.operation in {"UpdateContinuousBackups", "DescribeContinuousBackups"}:
            if call.operation == "UpdateContinuousBackups":
                settings.recovery_updated(backend.tables[call.table], self.now())
            settings.describe_recovery(backend.tables[call.table], content, self.now())
        elif call.operation == "UpdateTimeToLive":
            settings.ttl_updated(backend.tables[call.table], self.clock.time())
        elif call.operation == "DeleteBackup":
            content["BackupDescription"]["BackupDetails"]["BackupStatus"] = "DELETED"
        elif call.operation == "DescribeBackup":
            backup = backend.backups[call.body["BackupArn"]]
            self._set_status(content["BackupDescription"]["BackupDetails"], backup)
            source = content["BackupDescription"]["SourceTableDetails"]
            source["TableId"] = table_id(backup.table)
            source["BillingMode"] = backup.table.billing_mode
            source["TableSizeBytes"] = self.sizes.get(backup.table.name, source.get("TableSizeBytes", 0))
            content["BackupDescription"]["SourceTableFeatureDetails"] = restores.features(backup.table)
        elif call.operation == "ListBackups":
            content.update(self._listing(call))

    def _correct_table(self, call: _Call, content: dict[str, Any]) -> None:
        backend = _BACKENDS[call.account][call.region]
        if call.operation in {"CreateTable", *RESTORES}:
            table = content["TableDescription"]
            mark(backend.tables[table["TableName"]], self.clock.time())
            table["TableId"] = table_id(backend.tables[table["TableName"]])
            if call.operation in RESTORES:
                self._begin_restore(call, backend.tables[table["TableName"]], table)
            elif self._is_creating(backend.tables[table["TableName"]]):
                table["TableStatus"] = "CREATING"
        elif call.operation == "DescribeTable":
            table = content["Table"]
            self._describe(backend.tables[table["TableName"]], table)
            table["TableId"] = table_id(backend.tables[table["TableName"]])
        elif call.operation == "DeleteTable":
            content["TableDescription"]["TableStatus"] = "DELETING"
        elif call.operation == "UpdateTable":
            table = content["TableDescription"]
            settings.update(backend.tables[call.table], call.body, self.clock.time(), self.updating_for)
            settings.describe(backend.tables[call.table], table, self.clock.time())

    def _begin_restore(self, call: _Call, table: Table, description: dict[str, Any]) -> None:
        backend = _BACKENDS[call.account][call.region]
        if arn := call.body.get("BackupArn"):
            backup = backend.backups[arn]
            source, name, moment = backup.table, arn, backup.creation_date_time.replace(tzinfo=UTC).timestamp()
        else:
            source, name = backend.tables[call.table], call.table
            _, latest = settings.restorable(source, self.now()) or (0.0, 0.0)
            moment = call.body.get("RestoreDateTime", latest)
        restores.begin(table, source, name, moment, call.body, self.clock.time(), self.restoring_for)
        restores.describe(table, description, self.clock.time())

    def _is_creating(self, table: Table) -> bool:
        # A restore takes its own time.
        return not restores.restore_of(table) and not self._is_past(table, self.tables_creating_for)

    def _describe(self, table: Table, description: dict[str, Any]) -> None:
        if self._is_creating(table):
            description["TableStatus"] = "CREATING"
        settings.describe(table, description, self.clock.time())
        restores.describe(table, description, self.clock.time())
        drops.describe(table, description)
        description["TableStatus"] = self.statuses.get(table.name, description["TableStatus"])
        description["TableSizeBytes"] = self.sizes.get(table.name, description["TableSizeBytes"])

    def _listing(self, call: _Call) -> dict[str, Any]:
        now = self.clock.time()
        ghosts = {backup.arn: backup for at, backup in self._deleted if now - at < self.listing_lag}
        backups = {
            arn: backup
            for arn, backup in (_BACKENDS[call.account][call.region].backups | ghosts).items()
            if call.table in {"", backup.table.name} and self._is_past(backup, self.listing_lag)
        }
        bounds = {
            name: call.body[name] + self.requested_before
            for name in ("TimeRangeLowerBound", "TimeRangeUpperBound")
            if name in call.body
        }
        summaries, cursor = page_of_backups([*map(_listed_as, backups.values())], call.body | bounds)
        for summary in summaries:
            backup = backups[summary["BackupArn"]]
            self._set_status(summary, backup)
            summary["TableId"] = table_id(backup.table)
        return {"BackupSummaries": summaries} | ({"LastEvaluatedBackupArn": cursor} if cursor else {})

    def _set_status(self, details: dict[str, Any], backup: Backup) -> None:
        # moto's backups are AVAILABLE at once.
        status = details["BackupStatus"] if self._is_past(backup, self.creating_for) else "CREATING"
        details["BackupStatus"] = self.statuses.get(backup.arn, status)
        if backup.table.name in self.sizes:
            is_known = self._is_past(backup, self.sized_after)
            details["BackupSizeBytes"] = self.sizes[backup.table.name] if is_known else 0

    def _is_past(self, made: Backup | Table, seconds: float) -> bool:
        """Return whether this was made at least so many seconds ago, to a millisecond.

        By the tests' clock, since :attr:`clock_offset` may change in between.
        """
        return self.clock.time() - made_at(made) >= seconds - 0.001


# "Least privilege": what a restore needs on the new table, beside itself.
_ITEM_OPERATIONS = ("PutItem", "UpdateItem", "DeleteItem", "GetItem", "Query", "Scan", "BatchWriteItem")
# "Restoring": what auto scaling needs of its caller, beside itself.
_ALARM_OPERATIONS = ("PutMetricAlarm", "DescribeAlarms", "DeleteAlarms")


class _Call:
    """A request, as far as the layer reads it."""

    def __init__(self, request: Request) -> None:
        self.headers = request.headers
        operation = self.headers.get("x-amz-target", "").rpartition(".")[2]
        # STS, which is asked for roles, speaks another protocol.
        self.is_sts = not operation
        form = dict(parse_qsl(request.body.decode())) if self.is_sts else {}
        self.operation = operation or form.get("Action", "")
        self.id = self.headers.get(CALL.lower(), "")
        self.patience: str = self.headers.get(PATIENCE.lower(), "")
        self.raw = request.body
        self.port = request.port
        self.body: dict[str, Any] = form if self.is_sts else json.loads(self.raw or b"{}")
        # Of the signature: AWS ignores the region in an ARN (AWS.md, "Calls").
        unsigned = f"Credential=/-/{REGION}/{'sts' if self.is_sts else 'dynamodb'}"
        scope = self.headers.get("authorization", unsigned).partition("Credential=")[2]
        self.region = scope.split("/")[2]
        self.service = scope.split("/")[3]
        self.access_key = scope.partition("/")[0]
        self.account = get_account_id_from(self.access_key)
        named = [self.body.get(name) for name in ("TableName", "SourceTableArn", "SourceTableName")]
        self.table = str(next(filter(None, named), "")).rpartition("/")[2]
        if "SourceTableArn" in self.body:
            # moto knows it by its name only.
            self.raw = json.dumps({**self.body, "SourceTableName": self.table}).encode()
        if self.operation in {"DescribeBackup", "DeleteBackup"} and BACKUP_ARN.fullmatch(
            self.body.get("BackupArn", "")
        ):
            # AWS.md, "Calls": they ignore the region inside the ARN.
            parts = self.body["BackupArn"].split(":")
            self.body["BackupArn"] = ":".join([*parts[:3], self.region, *parts[4:]])
            self.raw = json.dumps(self.body).encode()

    @property
    def resource(self) -> str:
        """The resource of the call, as IAM names it (AWS.md, "Least privilege")."""
        if self.operation in {"ListBackups", "ListTables"} or not action_of(self.operation).startswith("dynamodb:"):
            return "*"
        if "ResourceArn" in self.body:
            return str(self.body["ResourceArn"])
        arn: str = self.body.get("BackupArn", f"arn:aws:dynamodb:{self.region}:{self.account}:table/{self.table}")
        return arn

    def is_of(self, table: str) -> bool:
        """Return whether it is about a table; empty: it always is."""
        return not table or self.resource.endswith(f":table/{table}")

    @property
    def needed(self) -> list[tuple[str, str]]:
        """The operations that must be allowed, and on which resources."""
        needed = [(self.operation, self.resource)]
        if self.operation in RESTORES:
            target = f"arn:aws:dynamodb:{self.region}:{self.account}:table/{self.body['TargetTableName']}"
            needed += [(operation, target) for operation in (self.operation, *_ITEM_OPERATIONS)]
        if self.operation in {"RegisterScalableTarget", "PutScalingPolicy"}:
            table = self.body["ResourceId"].partition("/index/")[0]
            scaled = f"arn:aws:dynamodb:{self.region}:{self.account}:{table}"
            needed += [(operation, scaled) for operation in ("DescribeTable", "UpdateTable")]
            needed += [(operation, "*") for operation in _ALARM_OPERATIONS]
        return needed


def _listed_as(backup: Backup) -> dict[str, Any]:
    # Whole milliseconds, as in all other responses.
    time = backup.creation_date_time.replace(tzinfo=UTC)
    made = time.replace(microsecond=time.microsecond // 1000 * 1000).timestamp()
    return {**backup.summary, "BackupStatus": "AVAILABLE", "BackupCreationDateTime": made}


def _tags_of(table: Table) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in table.tags}


def _ask_moto(call: _Call) -> Response:
    # Past its own server, which costs more than all the rest of a call.
    told = {f"HTTP_{name.replace('-', '_').upper()}": value for name, value in call.headers.items()}
    environ = {
        **told,
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(call.raw),
        "CONTENT_LENGTH": str(len(call.raw)),
        "CONTENT_TYPE": call.headers.get("content-type", ""),
    }
    request = MotoRequest(environ)
    status, headers, body = _moto_handler(call.service)(request, request.raw_url, request.headers)
    return Response(body.encode() if isinstance(body, str) else body, status, headers.get("Content-Type", ""))


@cache
def _moto_handler(service: str) -> Callable[..., tuple[int, dict[str, str], str | bytes]]:
    (handler,) = import_module(f"moto.{service.replace('-', '')}.urls").url_paths.values()
    return handler  # type: ignore[no-any-return]  # the services that are asked have one path each


def _error(code: str, text: str, status: int = 400) -> Response:
    return Response.of({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": text}, status)


def _set_content(response: Response, content: object) -> None:
    response.body = json.dumps(content).encode()
    # botocore compares it with the content.
    response.headers["x-amz-crc32"] = str(crc32(response.body))
