"""The HTTP server of the simulated control plane: HTTP/1.1, on connections that stay open, as AWS's do.

Most tests make some calls, so a call costs little: one thread for each connection, one read and one write.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from http.client import responses
from typing import TYPE_CHECKING

from tests.simulator.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: the content type of DynamoDB's requests and responses
JSON = "application/x-amz-json-1.0"
_READ = 65536


@dataclass(frozen=True)
class Request:
    """A request.

    :param headers: its headers, by their names in lower case
    :param body: its body
    :param port: the client's port
    """

    headers: dict[str, str]
    body: bytes
    port: int


@dataclass
class Response:
    """A response.

    :param body: its body, or the parts of one whose length nobody knows
    :param status: its HTTP status
    :param content_type: the type of the body
    :param headers: further headers
    """

    body: bytes | Iterator[bytes] = b""
    status: int = 200
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, content: object, status: int = 200) -> Response:
        """Return a response that has JSON as its body."""
        return cls(json.dumps(content).encode(), status)

    @property
    def content(self) -> bytes:
        """The whole body."""
        assert isinstance(self.body, bytes)
        return self.body


class Server(Listener):
    """Speaks HTTP.

    :param answer: called for each request, in the thread of its connection; a ``ConnectionError`` closes that without a
        word
    :param port: where; 0: on a free port
    """

    def __init__(self, answer: Callable[[Request], Response], port: int = 0) -> None:
        super().__init__(port)
        self._answer = answer

    def serve_one(self, connection: socket.socket, port: int) -> None:
        """Answer requests until either side closes the connection."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in _requests(connection, port):
            response = self._respond(request)
            if request.headers.get("connection", "").lower() == "close":
                response.headers["Connection"] = "close"
            _send(connection, response)
            if response.headers.get("Connection") == "close":
                return

    def _respond(self, request: Request) -> Response:
        try:
            return self._answer(request)
        except OSError:
            raise
        except Exception:  # noqa: BLE001  # what the simulation does not know
            return Response(b"<html><body>Internal Server Error</body></html>", 500, "text/html")


def _requests(connection: socket.socket, port: int) -> Iterator[Request]:
    received = b""
    while True:
        while b"\r\n\r\n" not in received:
            if not (data := connection.recv(_READ)):
                return
            received += data
        head, _, received = received.partition(b"\r\n\r\n")
        lines = [line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:]]
        headers = {name.lower(): value.strip() for name, _, value in lines}
        length = int(headers.get("content-length", "0"))
        while len(received) < length:
            if not (data := connection.recv(_READ)):
                return
            received += data
        yield Request(headers, received[:length], port)
        received = received[length:]


def _send(connection: socket.socket, response: Response) -> None:
    is_whole = isinstance(response.body, bytes)
    headers = {
        "Content-Type": response.content_type,
        **response.headers,
        **({"Content-Length": str(len(response.content))} if is_whole else {"Transfer-Encoding": "chunked"}),
    }
    lines = [f"HTTP/1.1 {response.status} {responses.get(response.status, '')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    if isinstance(response.body, bytes):
        connection.sendall(head + response.body)
        return
    connection.sendall(head)
    for data in response.body:
        connection.sendall(b"%x\r\n%b\r\n" % (len(data), data))
    connection.sendall(b"0\r\n\r\n")
