"""An HTTP proxy before the simulated control plane, whose connections may be dropped at every point."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADDRESS = "127.0.0.1"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Drop(Enum):
    """The point at which the proxy drops a connection, without a word."""

    ACCEPTED = "as soon as it is made"
    ASKED = "once it has asked for a tunnel"
    TUNNELLED = "once the tunnel is there"


class Proxy:
    """Tunnels connections by CONNECT, as a proxy for HTTPS does.

    What goes through a tunnel is encrypted, so only the control plane knows when a request was read, or a call has
    taken effect: :meth:`cut` drops all tunnels at such a moment.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server((_ADDRESS, 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        #: where the next connections are dropped
        self.drops: list[Drop] = []
        #: how many tunnels there were
        self.tunnels = 0
        #: the hosts and ports that tunnels were asked for
        self.targets: list[str] = []

    @property
    def url(self) -> str:
        """The address."""
        return f"http://{_ADDRESS}:{self._listening.getsockname()[1]}"

    @contextmanager
    def serve(self) -> Iterator[Proxy]:
        """Take connections until the block ends."""
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            thread.join()
            self.cut()

    def cut(self) -> None:
        """Drop all tunnels."""
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(client,), daemon=True).start()

    def _serve_one(self, client: socket.socket) -> None:
        with self._lock:
            drop = self.drops.pop(0) if self.drops else None
        with client, suppress(OSError):
            if drop is Drop.ACCEPTED:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(65536)
                if not data:
                    return
                head += data
            self.targets.append(head.split(b" ", 2)[1].decode())
            if drop is Drop.ASKED:
                return
            target = urlsplit(f"//{self.targets[-1]}")
            with socket.create_connection((str(target.hostname), target.port or 443)) as server:
                client.sendall(_ESTABLISHED)
                if drop is Drop.TUNNELLED:
                    return
                self._tunnel(client, server)

    def _tunnel(self, client: socket.socket, server: socket.socket) -> None:
        ends = {client, server}
        with self._lock:
            self._open |= ends
            self.tunnels += 1
        back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
        back.start()
        _pass_on(client, server)
        back.join()
        with self._lock:
            self._open -= ends


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
