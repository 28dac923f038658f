"""Threads that nothing waits for."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.waiting.threads import run_in_thread

if TYPE_CHECKING:
    import pytest


def test_a_thread_that_is_cancelled_before_it_begins_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And prints nothing."""
    begin, done, printed = threading.Event(), list[int](), list[object]()
    notify = Future.set_running_or_notify_cancel

    def late(future: Future[Any]) -> bool:
        begin.wait(5)
        return notify(future)

    monkeypatch.setattr(threading, "excepthook", printed.append)
    monkeypatch.setattr(Future, "set_running_or_notify_cancel", late)
    before = set(threading.enumerate())
    future = run_in_thread(lambda: done.append(1))
    (thread,) = set(threading.enumerate()) - before
    assert future.cancel()
    begin.set()
    thread.join(5)
    assert (done, printed) == ([], [])
