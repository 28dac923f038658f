"""AWS STS, as far as it differs from DynamoDB: XML, and sessions that end."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tests.simulator.server import Response


def error(code: str, text: str, status: int) -> Response:
    """Return an error in STS's form."""
    kind = "Sender" if status < 500 else "Receiver"
    content = f"<Error><Type>{kind}</Type><Code>{code}</Code><Message>{text}</Message></Error>"
    return Response(f"<ErrorResponse>{content}</ErrorResponse>".encode(), status, "text/xml")


def end_session(response: Response, ends: float) -> str:
    """Let the session in a response of AssumeRole end then; return its access key.

    :param response: moto's, whose sessions last as long as was asked for
    :param ends: Unix seconds by AWS's clock
    """
    text = response.content.decode()
    iso = datetime.fromtimestamp(ends, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    response.body = re.sub(r"<Expiration>.+?</Expiration>", f"<Expiration>{iso}</Expiration>", text).encode()
    return text.partition("<AccessKeyId>")[2].partition("</AccessKeyId>")[0]
