"""What the servers of the simulation share: connections that are taken, and dropped."""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = "127.0.0.1"
# As many connections at once as an account may have tables.
_BACKLOG = 2500


class Listener(ABC):
    """Listens on 127.0.0.1, and serves each connection in a thread of its own.

    :param port: where; 0: on a free port
    """

    scheme: ClassVar[str] = "http"

    def __init__(self, port: int = 0) -> None:
        self._listening = socket.create_server((ADDRESS, port), backlog=_BACKLOG)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    @property
    def url(self) -> str:
        """The address."""
        return f"{self.scheme}://{ADDRESS}:{self._listening.getsockname()[1]}"

    @abstractmethod
    def serve_one(self, connection: socket.socket, port: int) -> None:
        """Serve a connection to its end; an ``OSError`` ends it, too.

        :param connection: the connection, which is closed afterwards
        :param port: the client's port
        """

    @contextmanager
    def serve(self) -> Iterator[Self]:
        """Take connections until the block ends, and drop those that are still open."""
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
        """Drop all connections."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, (_, port) = self._listening.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve_and_close, args=(connection, port), daemon=True).start()

    def _serve_and_close(self, connection: socket.socket, port: int) -> None:
        try:
            with connection, suppress(OSError):
                self.serve_one(connection, port)
        finally:
            with self._lock:
                self._open.discard(connection)
