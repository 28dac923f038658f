"""DynamoDB's backup control plane, simulated: moto's server behind a layer for what moto leaves out."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5
from zlib import crc32

import boto3
import moto.dynamodb.models.table
from moto.backends import get_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests.dynamodb.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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
        self.calls: Counter[str] = Counter()
        self.url = ""
        #: statuses that tests set, by ARN of the backup or by name of the table
        self.statuses: dict[str, str] = {}
        self._failures: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        setattr(moto.dynamodb.models.table, "utcnow", self.clock.utcnow)  # noqa: B010  # moto imports it for itself

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        body = request.get_data()
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.calls[operation] += 1
        if failures := self._failures[operation]:
            response = _error(*failures.pop())
        else:
            response = self._answer(operation, environ, body)
        return response(environ, start_response)

    @contextmanager
    def serve(self) -> Iterator[ControlPlane]:
        """Listen on a free port of 127.0.0.1, without any tables."""
        _BACKENDS.reset()
        server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_QuietHandler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def fail_next(self, operation: str, code: str, status: int = 400, times: int = 1) -> None:
        """Answer the next calls of an operation with an error, and do nothing."""
        self._failures[operation] += [(code, status)] * times

    @cache  # noqa: B019  # a control plane lives as long as its test
    def client(self, region: str = REGION) -> Any:
        """Return a boto3 client, for tests to arrange and to look with."""
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client("dynamodb", region_name=region, endpoint_url=self.url, **keys)

    def connection(self, region: str | None = REGION) -> str:
        """Return an Airflow connection to here, as the environment variable holds it."""
        extra = {"endpoint_url": self.url} | ({"region_name": region} if region else {})
        return json.dumps({"conn_type": "aws", "login": "test", "password": "test", "extra": extra})

    def create_table(self, name: str, region: str = REGION) -> str:
        """Create an ACTIVE table and return its ARN."""
        table = self.client(region).create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return str(table["TableDescription"]["TableArn"])

    def backup_arns(self, region: str = REGION) -> list[str]:
        """Return the ARNs of all backups that exist, in the order of their creation."""
        return list(_BACKENDS[ACCOUNT][region].backups)

    def _answer(self, operation: str, environ: WSGIEnvironment, body: bytes) -> Response:
        response = Response.from_app(_MOTO, {**environ, "wsgi.input": BytesIO(body)})
        if response.status_code == 200:
            content = json.loads(response.get_data())
            self._correct(operation, content)
            response.set_data(json.dumps(content))
            response.headers["x-amz-crc32"] = str(crc32(response.get_data()))
        return response

    def _correct(self, operation: str, content: dict[str, Any]) -> None:
        if operation == "DescribeTable":
            table = content["Table"]
            table["TableStatus"] = self.statuses.get(table["TableName"], table["TableStatus"])
            table["TableId"] = _table_id(table["TableArn"], table["CreationDateTime"])
        elif operation == "CreateBackup":
            self._set_status(content["BackupDetails"])
        elif operation == "DescribeBackup":
            self._set_status(content["BackupDescription"]["BackupDetails"])
            source = content["BackupDescription"]["SourceTableDetails"]
            source["TableId"] = _table_id(source["TableArn"], source["TableCreationDateTime"])

    def _set_status(self, details: dict[str, Any]) -> None:
        # moto's backups are AVAILABLE at once.
        creating = self.clock.time() - details["BackupCreationDateTime"] < self.creating_for
        status = "CREATING" if creating else details["BackupStatus"]
        details["BackupStatus"] = self.statuses.get(details["BackupArn"], status)


def _error(code: str, status: int, text: str = "The simulation refuses this call") -> Response:
    content = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": text}
    return Response(json.dumps(content), status, content_type="application/x-amz-json-1.0")


def _table_id(arn: str, created_at: float) -> str:
    # moto has none. A table that is dropped and made again has a new one.
    return str(uuid5(NAMESPACE_URL, f"{arn}/{created_at}"))


class _QuietHandler(WSGIRequestHandler):
    # Keep-alive, as AWS has it.
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Print nothing."""
