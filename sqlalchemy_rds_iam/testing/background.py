"""An event loop in a thread of its own, for code that lives outside of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TypeVar

_T = TypeVar("_T")


class Background:
    """Runs coroutines in one named daemon thread."""

    def __init__(self, name: str, deadline: float) -> None:
        """Start the thread.

        Args:
            name: The thread's.
            deadline: The most seconds one call, and the end of the thread, may take.
        """
        self._deadline = deadline
        # Not the default loop: the gateway watches raw sockets, and needs no subprocess support.
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[None, None, _T]) -> _T:
        """Run `coroutine` to its end and return what it returns.

        Raises:
            TimeoutError: It took too long, and was cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(self._deadline)
        except TimeoutError:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop and the thread, cancelling whatever still runs."""
        try:
            self.call(_cancel_all())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(self._deadline)
            self._loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
