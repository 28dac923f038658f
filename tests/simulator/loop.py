"""An event loop that does not wait while nothing can happen; I/O is as real as ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack
from uuid import uuid4

from aiobotocore.endpoint import AioEndpoint

from tests.simulator.clock import CALL, StillClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    import pytest

    from tests.simulator.clock import Clock


_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
# Real seconds that the loop waits for what is at work, before it asks again whether that hangs.
_SLICE = 0.005
# The loop's seconds that pass in one such slice, while a thread that it waits for sleeps or hangs.
_STEP = 0.5
# Unix seconds as floats are not as fine as a real loop's clock.
_RESOLUTION = 1e-6


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop that lets the time of the tests pass: to its next timer, once nothing else can happen.

    While a call to AWS is on its way or a thread works for it, the time stands still, so that a busy machine is never
    late; unless they sleep or hang in the simulated control plane. A clock that goes by itself is waited for.

    :param clock: the time
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        #: the calls that are on their way
        self.calls: set[str] = set()
        self._clock = clock
        self._threads = 0
        self._clock_resolution = _RESOLUTION
        self._wait = self._selector.select  # type: ignore[attr-defined]  # no public name
        self._selector.select = self._select  # type: ignore[attr-defined]  # as above

    def time(self) -> float:
        """Return the clock's seconds."""
        return self._clock.monotonic()

    def call_at(  # type: ignore[override]  # as asyncio's, and shorter
        self, when: float, callback: Callable[..., object], *args: Any, **context: Any
    ) -> asyncio.TimerHandle:
        """Set a timer: one within the clock's resolution would end at once, and again for who finds it too early."""
        now = self.time()
        return super().call_at(max(when, now + 2 * _RESOLUTION) if when > now else when, callback, *args, **context)

    def run_forever(self) -> None:
        """Run, and let the time pass."""
        with self._clock.drive():
            super().run_forever()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """Run a function in a thread, and skip no time until it has returned or nobody waits for it."""
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Wait for the threads to end, in no time."""
        self._threads += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._threads -= 1

    def _thread_ended(self, _: object) -> None:
        self._threads -= 1

    def _select(self, timeout: float | None = None) -> Any:
        if not timeout:
            return self._wait(timeout)
        if not isinstance(self._clock, StillClock):
            return self._wait(timeout / self._clock.speed)
        wakeup = self._clock.next_wakeup()
        if wakeup is not None:
            timeout = min(timeout, wakeup - self.time())
        if timeout <= 0 or self._threads or not all(map(self._clock.is_hanging, self.calls)):
            events = self._wait(_SLICE)
            step = _STEP if wakeup is not None or self._clock.is_hanging("") else 0.0
        else:
            events = self._wait(0)
            step = timeout
        if not events:
            self._clock.skip(max(0.0, min(timeout, step)))
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
