"""One fetch under way, and who may fetch: credentials, or a secret.

A fetch is shared by all callers that need its result, in threads and on any number of event loops,
which is why its end is a future of the threading world.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Protocol

from sqlalchemy_rds_iam import _frames
from sqlalchemy_rds_iam._passwords.expiry import Fetched
from sqlalchemy_rds_iam._passwords.password import IssuedPassword

FETCH_LIMIT = 90.0
"""Seconds after which a fetch that never came back is given up and another may start."""


START_LIMIT = 5.0
"""Seconds after which a fetch that has not begun is given up: an interrupt has come between."""


class PasswordSource(Protocol):
    """Where a password comes from: something that is fetched, and a token made of it."""

    def fetch(self, *, reload: bool) -> Fetched:
        """Fetch, blocking; `reload` takes nothing for granted that was found out before."""

    def prepare_async(self, loop: asyncio.AbstractEventLoop, *, reload: bool) -> None:
        """Do in a thread what would else hold up the event loop in `fetch_async`."""

    async def fetch_async(self) -> Fetched:
        """Fetch on the running event loop, after `prepare_async`."""

    def reset(self) -> None:
        """Start afresh, without what a thread may hold that hangs, or is gone after a fork."""

    def token(self, fetched: Any, endpoint: Any, now: float) -> IssuedPassword:
        """Make the token of what this source has fetched. Pure."""


class FetchListener(Protocol):
    """Where a fetch ends: the cache, which keeps what was fetched and wakes waiting callers."""

    def complete(self, fetch: Fetch, fetched: Fetched) -> None:
        """End a fetch with what it has fetched."""

    def fail(self, fetch: Fetch, error: Exception) -> None:
        """End a fetch with a failure."""

    def abandon(self, fetch: Fetch) -> None:
        """End a fetch that was cancelled or interrupted."""


class Fetch:
    """One fetch under way, shared by all callers that need its result.

    Its future ends with None when it is complete, or was abandoned so that another caller has to
    start the next one; and with an error when the fetch failed.
    """

    def __init__(
        self, source: PasswordSource, listener: FetchListener, started: float, *, reload: bool
    ) -> None:
        self.future: Future[None] = Future()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.begun = False
        self._source = source
        self._listener = listener
        self._started = started
        self._reload = reload

    def run(self) -> None:
        """Fetch in this thread and tell all waiting callers."""
        self.begun = True
        handled = sys.exception()
        try:
            self._listener.complete(self, self._source.fetch(reload=self._reload))
        except Exception as error:  # noqa: BLE001  (the waiting callers get it)
            _frames.clear(error, sys._getframe(), (handled,))  # noqa: SLF001
            self._listener.fail(self, error)
        except BaseException:
            self._listener.abandon(self)
            raise

    async def run_async(self, off_loop: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        """Fetch on the running event loop and tell all waiting callers, on whichever loop.

        Args:
            off_loop: runs a function in a thread.
        """
        source, loop = self._source, asyncio.get_running_loop()
        self.begun = True
        try:
            await off_loop(lambda: source.prepare_async(loop, reload=self._reload))
            self._listener.complete(self, await source.fetch_async())
        except Exception as error:  # noqa: BLE001  (the waiting callers get it)
            _frames.clear(error, sys._getframe(), ())  # noqa: SLF001
            self._listener.fail(self, error)
        except BaseException:
            self._listener.abandon(self)
            raise

    def is_lost(self, now: float) -> bool:
        """Whether the fetch has stalled: its loop has stopped, or its time limit has passed."""
        # A loop that stands still between two run_until_complete() takes its fetch with it.
        stopped = self.loop is not None and not self.loop.is_running()
        limit = FETCH_LIMIT if self.begun else START_LIMIT
        return stopped or abs(now - self._started) >= limit
