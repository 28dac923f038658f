"""Read timeouts of threads, by the time of the tests: the control plane tells when one has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session
from urllib3 import Timeout

if TYPE_CHECKING:
    import pytest

# The headers that tell how many seconds a thread waits for a response, and that it has waited in vain.
PATIENCE = "X-Simulator-Patience"
TIMED_OUT = "X-Simulator-Timed-Out"
# Real seconds, which are for a control plane that is gone.
_LONGEST = 60.0


def tell_patience(monkeypatch: pytest.MonkeyPatch) -> list[URLLib3Session]:
    """Have boto3's clients time out when the control plane says so: no machine is too slow, and none waits.

    :return: the clients' sessions from now on, whose connections stay open until they are closed
    """
    begin, send = URLLib3Session.__init__, URLLib3Session.send
    sessions: list[URLLib3Session] = []

    def begun(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        sessions.append(self)
        given = self._timeout
        self.patience = getattr(given, "read_timeout", given) or _LONGEST
        connect = getattr(given, "connect_timeout", given)
        self._manager.connection_pool_kw["timeout"] = Timeout(connect=connect, read=_LONGEST)

    def timed(self: Any, request: Any) -> Any:
        request.headers[PATIENCE] = str(self.patience)
        response = send(self, request)
        if TIMED_OUT in response.headers:
            raise ReadTimeoutError(endpoint_url=request.url)
        return response

    monkeypatch.setattr(URLLib3Session, "__init__", begun)
    monkeypatch.setattr(URLLib3Session, "send", timed)
    return sessions
