"""When an outage is logged. No clock."""

from __future__ import annotations

import logging

import pytest

from airflow_ddb_backup.exceptions import ThrottledError
from airflow_ddb_backup.waiting.outage import Outage


@pytest.fixture
def outage(caplog: pytest.LogCaptureFixture) -> Outage:
    """Return an operation that may fail."""
    caplog.set_level(logging.INFO)
    return Outage("ListBackups", logging.getLogger("outages"))


def test_one_line_when_it_begins_and_one_when_it_ends(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    """Not one for each call."""
    outage.succeeded(0)
    for now in (10, 20, 30):
        outage.failed(ThrottledError("too many"), now)
    outage.succeeded(40)
    outage.succeeded(50)
    assert caplog.messages == [
        "ListBackups fails; waits go on until their deadlines. too many",
        "ListBackups succeeds again, after 30 s.",
    ]


def test_an_operation_that_was_not_called_for_long_begins_anew(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows when the last outage ended."""
    outage.failed(ThrottledError("too many"), 10)
    outage.failed(ThrottledError("too many"), 300)
    outage.failed(ThrottledError("too many"), 320)
    outage.succeeded(900)
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "ListBackups fails",
        "ListBackups fails",
        "ListBackups succeeds again, after 20 s.",
    ]
