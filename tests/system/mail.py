"""A mail server that keeps what it is sent."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import TYPE_CHECKING

from aiosmtpd.controller import Controller

from tests.system.processes import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiosmtpd.smtp import SMTP, Envelope, Session


class MailServer:
    """Takes every mail.

    :param mails: the mails that have arrived, the first one first
    """

    def __init__(self, mails: list[EmailMessage]) -> None:
        self.mails = mails

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # its name
        """Take a mail."""
        mail = message_from_bytes(envelope.content or b"", policy=default)  # type: ignore[arg-type]
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[tuple[list[EmailMessage], str]]:
    """Serve mail; yield the mails that arrive, and the Airflow connection to it."""
    mails: list[EmailMessage] = []
    # Not the loop of the tests, which skips time.
    server = Controller(
        MailServer(mails), loop=asyncio.SelectorEventLoop(), hostname="127.0.0.1", port=free_ports(1)[0]
    )
    server.start()
    try:
        extra = {"disable_ssl": True, "disable_tls": True}
        yield (
            mails,
            json.dumps({"conn_type": "smtp", "host": server.hostname, "port": server.port, "extra": extra}),
        )
    finally:
        server.stop()


def text_of(mail: EmailMessage) -> str:
    """Return the HTML of a mail."""
    body = mail.get_body(("html",))
    assert body
    return str(body.get_content())
