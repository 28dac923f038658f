"""The HTTP server of the simulated control plane."""

from __future__ import annotations

import socket
from contextlib import closing
from http.client import HTTPConnection, RemoteDisconnected
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.simulator.server import Request, Response, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def echo(request: Request) -> Response:
    """Return what was sent."""
    return Response(request.body, headers={"X-Port": str(request.port), "X-Named": request.headers.get("x-name", "")})


def fail(error: Exception) -> Callable[[Request], Response]:
    """Return what raises an error, but only where something is sent."""

    def answer(request: Request) -> Response:
        if request.body:
            raise error
        return Response()

    return answer


@pytest.fixture
def connection(request: pytest.FixtureRequest) -> Iterator[HTTPConnection]:
    """Return a connection to a server: one that echoes, or of the test's own."""
    server = Server(getattr(request, "param", echo))
    with server.serve(), closing(HTTPConnection(urlsplit(server.url).netloc, timeout=10)) as connection:
        yield connection


def ask(connection: HTTPConnection, body: bytes = b"", **headers: str) -> tuple[int, bytes, str]:
    """Return status, body and client's port of a response."""
    connection.request("POST", "/", body, headers)
    response = connection.getresponse()
    return response.status, response.read(), response.headers.get("X-Port", "")


def test_a_connection_stays_open(connection: HTTPConnection) -> None:
    """As AWS's do: the second request comes from the same port."""
    assert ask(connection, b"one") == (200, b"one", ask(connection, b"two")[2])


def test_the_client_may_close_it(connection: HTTPConnection) -> None:
    """The response says that it is the last."""
    first = ask(connection, Connection="close")
    assert connection.sock is None
    assert ask(connection) != first


def test_a_request_may_come_in_pieces(connection: HTTPConnection) -> None:
    """The server waits for the rest, and reads the next one after it."""
    with socket.create_connection((connection.host, connection.port), timeout=10) as raw:
        for piece in (
            b"POST / HTTP/1.1\r\nx-na",
            b"me: a\r\nContent-Length: 3\r\n\r",
            b"\nx",
            b"yzPOST / HTTP/1.1\r\n",
        ):
            raw.sendall(piece)
        raw.sendall(b"X-Name: b\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: raw.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert received.index(b"X-Named: a\r\n") < received.index(b"\r\n\r\nxyz") < received.index(b"X-Named: b\r\n")


@pytest.mark.parametrize("connection", [fail(KeyError("?"))], indirect=True)
def test_an_exception_is_answered_with_500(connection: HTTPConnection) -> None:
    """The connection stays."""
    assert ask(connection, b"x")[0] == 500
    assert connection.sock is not None
    assert ask(connection)[0] == 200


@pytest.mark.parametrize("connection", [fail(ConnectionResetError())], indirect=True)
def test_a_connection_error_closes_the_connection(connection: HTTPConnection) -> None:
    """Without a word, and not the next one."""
    with pytest.raises(RemoteDisconnected):
        ask(connection, b"x")
    connection.close()
    assert ask(connection)[0] == 200


def test_the_end_of_the_server_closes_what_is_open() -> None:
    """A client that waits is not left waiting."""
    server = Server(echo)
    with server.serve():
        connection = HTTPConnection(urlsplit(server.url).netloc, timeout=10)
        ask(connection)
    assert connection.sock.recv(1) == b""
    connection.close()
