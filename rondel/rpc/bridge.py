"""`Bridge`: from worker threads, which ask, to the event loop, which owns the connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from typing import Any, Final, TypeVar

from rondel.errors import Unavailable
from rondel.storage import Watch

__all__ = ["Bridge"]

_T = TypeVar("_T")

_LOOK_S: Final = 0.05
"""How often whoever waits looks whether it is still waited for."""


class Bridge:
    """Runs coroutines on `loop`. Never to be used on the loop's own thread, which would wait for itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, coro: Coroutine[Any, Any, _T], watch: Watch) -> _T:
        """Its result. Raises what it raises, and what the watch raises."""
        return self.wait(self.start(coro), watch)

    def start(self, coro: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Starts it behind what was started before. Raises Unavailable where the loop has ended."""
        try:
            return asyncio.run_coroutine_threadsafe(coro, self._loop)
        except RuntimeError as error:
            coro.close()
            raise Unavailable("the process is shutting down") from error

    def wait(self, future: Future[_T], watch: Watch) -> _T:
        """The result of what was started; cancels it where the watch raises."""
        try:
            while not wait([future], timeout=_LOOK_S).done:
                watch.check()
            return future.result()
        except CancelledError as error:
            raise Unavailable("the process is shutting down") from error
        except BaseException:
            future.cancel()
            raise

    def soon(self, call: Callable[[], object]) -> None:
        """Calls it on the loop, if that still runs."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)
