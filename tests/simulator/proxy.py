"""An HTTP proxy before the simulated control plane, whose connections may be dropped at every point."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from enum import Enum
from urllib.parse import urlsplit

from tests.simulator.listener import Listener

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Drop(Enum):
    """The point at which the proxy drops a connection, without a word."""

    ACCEPTED = "as soon as it is made"
    ASKED = "once it has asked for a tunnel"
    TUNNELLED = "once the tunnel is there"


class Proxy(Listener):
    """Tunnels connections by CONNECT, as a proxy for HTTPS does.

    What goes through a tunnel is encrypted, so only the control plane knows when a request was read, or a call has
    taken effect: :meth:`cut` drops all connections at such a moment.
    """

    def __init__(self) -> None:
        super().__init__()
        #: where the next connections are dropped
        self.drops: list[Drop] = []
        #: how many tunnels there were
        self.tunnels = 0
        #: the hosts and ports that tunnels were asked for
        self.targets: list[str] = []

    def serve_one(self, connection: socket.socket, port: int) -> None:
        """Tunnel a connection, unless it is to be dropped before."""
        del port
        with self._lock:
            drop = self.drops.pop(0) if self.drops else None
        if drop is Drop.ACCEPTED:
            return
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(65536)
            if not data:
                return
            head += data
        self.targets.append(head.split(b" ", 2)[1].decode())
        if drop is Drop.ASKED:
            return
        target = urlsplit(f"//{self.targets[-1]}")
        with socket.create_connection((str(target.hostname), target.port or 443)) as server:
            connection.sendall(_ESTABLISHED)
            if drop is Drop.TUNNELLED:
                return
            with self._lock:
                self.tunnels += 1
            back = threading.Thread(target=_pass_on, args=(server, connection), daemon=True)
            back.start()
            _pass_on(connection, server)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
