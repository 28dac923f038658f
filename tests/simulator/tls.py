"""TLS for the simulated control plane, and connections that break in the middle of it."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.simulator.listener import ADDRESS, Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_T = TypeVar("_T")
# The header of a control plane's response that is to break TLS.
BREAK = "X-Simulator-Break-TLS"
_PLAIN_TEXT = b"HTTP/1.1 502 plain text where TLS records should be\r\n\r\n"


def make_certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 that is its own authority; return the file with it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "simulator")])
    now = datetime.now(tz=UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(ADDRESS))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "simulator.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


class TlsFront(Listener):
    """Takes TLS connections for a control plane, and may break them.

    :param url: the control plane's own address
    :param certificate: the file of :func:`make_certificate`
    """

    scheme = "https"

    def __init__(self, url: str, certificate: Path) -> None:
        super().__init__()
        self._behind = urlsplit(url)
        #: the CA file that accepts the certificate, for a client's ``verify``
        self.ca = str(certificate)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        #: how many of the next connections are broken once the control plane has answered, and how many before TLS
        self.break_after_the_answer = 0
        self.break_the_handshake = 0

    def serve_one(self, connection: socket.socket, port: int) -> None:
        """Pass a request on, and its answer back, unless the connection is to be broken; a failure of TLS ends it."""
        del port
        if self.break_the_handshake:
            self.break_the_handshake -= 1
            connection.recv(1)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        # Through memory, so that what is sent on the socket can be something else.
        inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(inward, outward, server_side=True)
        _drive(tls.do_handshake, connection, inward, outward)
        request = b""
        while not _is_whole(request):
            request += _drive(lambda: tls.read(65536), connection, inward, outward)
        for data in self._ask(request):
            if self.break_after_the_answer or BREAK.encode() in data:
                self.break_after_the_answer = max(0, self.break_after_the_answer - 1)
                connection.sendall(_PLAIN_TEXT)
                return
            tls.write(data)
            connection.sendall(outward.read())

    def _ask(self, request: bytes) -> Iterator[bytes]:
        head, _, body = request.partition(b"\r\n\r\n")
        once = head + b"\r\nConnection: close\r\n\r\n" + body
        with socket.create_connection((self._behind.hostname or ADDRESS, self._behind.port or 80)) as behind:
            behind.sendall(once)
            while data := behind.recv(65536):
                yield data


def _drive(step: Callable[[], _T], plain: socket.socket, inward: ssl.MemoryBIO, outward: ssl.MemoryBIO) -> _T:
    while True:
        try:
            result = step()
        except ssl.SSLWantReadError:
            plain.sendall(outward.read())
            data = plain.recv(65536)
            if not data:
                raise ConnectionResetError from None
            inward.write(data)
        else:
            plain.sendall(outward.read())
            return result


def _is_whole(request: bytes) -> bool:
    head, separator, body = request.partition(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    return bool(separator) and len(body) >= int(lengths[0] if lengths else 0)
