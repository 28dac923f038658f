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


def test_its_length_is_what_is_known_of_it(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    """An operation may not be called for long after its last failure."""
    outage.failed(ThrottledError("too many"), 10)
    outage.failed(ThrottledError("too many"), 50)
    outage.succeeded(900)
    assert caplog.messages[1:] == ["ListBackups succeeds again, after 40 s."]


def test_after_a_silence_a_failure_begins_another_outage(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows when the first one ended."""
    caplog.set_level(logging.INFO)
    outage = Outage("ListBackups", logging.getLogger("outages"), steady=30)
    outage.failed(ThrottledError("too many"), 10)
    outage.failed(ThrottledError("too many"), 7200)
    outage.succeeded(7240)
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "ListBackups fails",
        "ListBackups fails",
        "ListBackups succeeds again, after 40 s.",
    ]


def test_calls_that_fail_and_succeed_in_turns_are_one_outage(caplog: pytest.LogCaptureFixture) -> None:
    """Beside a neighbour they do so for hours; it is over when none has failed for a while, and began to be earlier."""
    caplog.set_level(logging.INFO)
    outage = Outage("ListBackups", logging.getLogger("outages"), steady=30)
    for now in range(0, 300, 20):
        outage.failed(ThrottledError("too many"), now)
        outage.succeeded(now + 5)
    assert len(caplog.messages) == 1
    outage.succeeded(290)
    outage.succeeded(311)
    assert caplog.messages[1:] == ["ListBackups succeeds again, after 285 s."]


def test_it_ends_with_its_last_call_if_that_succeeded(caplog: pytest.LogCaptureFixture) -> None:
    """Its poller may end before the outage is known to be over."""
    caplog.set_level(logging.INFO)
    outage = Outage("ListBackups", logging.getLogger("outages"), steady=30)
    outage.failed(ThrottledError("too many"), 10)
    outage.end()
    assert len(caplog.messages) == 1
    outage.succeeded(20)
    outage.end()
    outage.end()
    assert caplog.messages[1:] == ["ListBackups succeeds again, after 10 s."]
