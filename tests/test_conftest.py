"""What the tests of an event loop take for a call that blocks it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from blockbuster import BlockingError


class Held:
    """A lock that another thread holds for a moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def acquire(self) -> None:
        """Wait for it, a millisecond at most."""
        self._lock.acquire(timeout=0.001)


@pytest.mark.anyio
async def test_a_lock_that_a_thread_holds_blocks_the_loop() -> None:
    """It may be held for long."""
    with pytest.raises(BlockingError):
        Held().acquire()


@pytest.fixture
def collector() -> Any:
    """Return what collects coverage, while another thread is at it."""
    kind = pytest.importorskip("coverage.collector", reason="nothing measures coverage here").Collector
    collector = kind.__new__(kind)
    collector.data_lock = Held()
    return collector


@pytest.mark.anyio
async def test_a_lock_of_coverage_is_the_measurement_s_own(collector: Any) -> None:
    """A thread and the loop may reach a file's first line at once, and nothing of that is the package's."""
    collector.lock_data()
