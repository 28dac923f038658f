"""Threads that nothing waits for at the process's end."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

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
        # From here on nobody can cancel it: a late result is dropped with the future.
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
