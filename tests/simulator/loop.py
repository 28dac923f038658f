"""An event loop that does not wait while nothing can happen; I/O is as real as ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack
from uuid import uuid4

from aiobotocore.endpoint import AioEndpoint

from tests.simulator.clock import CALL

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    import pytest

    from tests.simulator.clock import Clock


_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
# Real seconds.
_SLICE = 0.01


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop that goes by a clock of the tests, and skips the time until its next timer.

    It skips while no thread works for it and no call to AWS is on its way, except those that hang until their timeout.
    Otherwise time passes as the clock has it.

    :param clock: the time
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        #: the calls that are on their way
        self.calls: set[str] = set()
        self._clock = clock
        self._threads = 0
        self._wait = self._selector.select  # type: ignore[attr-defined]  # no public name
        self._selector.select = self._select  # type: ignore[attr-defined]  # as above

    def time(self) -> float:
        """Return the clock's seconds."""
        return self._clock.monotonic()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """Run a function in a thread, and skip no time until it has returned or nobody waits for it."""
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: object) -> None:
        self._threads -= 1

    def _select(self, timeout: float | None = None) -> Any:
        if not timeout:
            return self._wait(timeout)
        if self._threads or self.calls - self._clock.hanging:
            # Not all of it, since what is on its way may turn out to hang.
            return self._wait(min(timeout / self._clock.speed, _SLICE))
        if not (events := self._wait(0)):
            self._clock.skip(timeout)
        return events


def note_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell the loop of each call to AWS that is on its way, and the simulated control plane which one it is."""
    send = AioEndpoint._send_request  # noqa: SLF001  # below all that aiobotocore does before and after a call

    async def noted(self: AioEndpoint, request: dict[str, Any], *args: Any) -> Any:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SkippingLoop)
        request["headers"][CALL] = call = str(uuid4())
        loop.calls.add(call)
        try:
            return await send(self, request, *args)
        finally:
            loop.calls.remove(call)

    monkeypatch.setattr(AioEndpoint, "_send_request", noted)
