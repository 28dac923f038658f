"""Threads that nothing waits for at the process's end."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


def run_in_thread(function: Callable[[], _T]) -> Future[_T]:
    """Run a function in a thread that the process does not wait for at its end.

    :param function: may hang: the thread is left behind then
    """
    future: Future[_T] = Future()
    context = copy_context()

    def run() -> None:
        # From here on it can't be cancelled: a late result is dropped with the future.
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(function))
        except Exception as error:  # noqa: BLE001  # raised where the result is asked for
            future.set_exception(error)
        except BaseException as error:  # noqa: BLE001  # a credential provider that exits must not end the process
            future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))

    threading.Thread(target=run, name="dynamodb", daemon=True).start()
    return future


class _DaemonThreads(ThreadPoolExecutor):
    """Runs each function in a thread of its own, which neither others nor the process's end wait for."""

    def submit(self, function: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        return run_in_thread(partial(function, *args, **kwargs))


async def in_thread(function: Callable[[], _T]) -> _T:
    """Run a function in such a thread, and await its result on an event loop.

    :param function: may hang: a caller that is cancelled leaves the thread behind
    """
    # asgiref's bridge, since Airflow's own synchronous calls may need the loop that they were called from. By default
    # it has one thread for all of a process: a hanging STS would hold up every trigger.
    call = sync_to_async(function, thread_sensitive=False, executor=_DaemonThreads())
    result: _T = await call()
    return result
