"""One fetch of credentials under way, and who may fetch.

A flight is shared by everybody who needs its result, in threads and on any number of event loops,
which is why its end is a future of the threading world.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Protocol

from sqlalchemy_rds_iam.endpoint import Endpoint
from sqlalchemy_rds_iam.signing import Credentials, Token

FLIGHT_LIMIT = 90.0
"""Seconds after which a fetch that never came back is given up and another may start."""


LAUNCH_LIMIT = 5.0
"""Seconds after which a fetch that has not begun is given up: an interrupt has come between."""


class Source(Protocol):
    """Where a password comes from: fetched credentials, and a token made of them."""

    def fetch(self, *, reload: bool) -> Credentials:
        """Get credentials, blocking; `reload` asks the environment and the files anew."""

    def prepare_async(self, loop: asyncio.AbstractEventLoop, *, reload: bool) -> None:
        """Do in a thread what would else hold up the event loop in `fetch_async`."""

    async def fetch_async(self) -> Credentials:
        """Get credentials on the running event loop, after `prepare_async`."""

    def reset(self) -> None:
        """Start afresh, without what a thread may hold that hangs, or is gone after a fork."""

    def token(self, credentials: Credentials, endpoint: Endpoint, now: float) -> Token:
        """Make the token. Pure."""


class Landing(Protocol):
    """Where a flight ends: whoever keeps the credentials and wakes those who wait."""

    def land(self, flight: Flight, credentials: Credentials) -> None:
        """End a flight with new credentials."""

    def crash(self, flight: Flight, error: Exception) -> None:
        """End a flight with a failure."""

    def cut_short(self, flight: Flight) -> None:
        """End a flight that was cancelled or interrupted."""


class Flight:
    """One fetch of credentials under way, shared by whoever needs its result.

    Its future ends with None when it has landed, or was cut short so that somebody else has to
    lead the next one; and with an error when the fetch failed.
    """

    def __init__(self, source: Source, landing: Landing, started: float, *, reload: bool) -> None:
        self.future: Future[None] = Future()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.begun = False
        self._source = source
        self._landing = landing
        self._started = started
        self._reload = reload

    def run(self) -> None:
        """Fetch in this thread and tell everybody who waits."""
        self.begun = True
        try:
            self._landing.land(self, self._source.fetch(reload=self._reload))
        except Exception as error:  # noqa: BLE001  (it goes to whoever waits)
            self._landing.crash(self, error)
        except BaseException:
            self._landing.cut_short(self)
            raise

    async def run_async(self, off_loop: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        """Fetch on the running event loop and tell everybody who waits, on whichever loop.

        Args:
            off_loop: runs a function in a thread.
        """
        source, loop = self._source, asyncio.get_running_loop()
        self.begun = True
        try:
            await off_loop(lambda: source.prepare_async(loop, reload=self._reload))
            self._landing.land(self, await source.fetch_async())
        except Exception as error:  # noqa: BLE001  (it goes to whoever waits)
            self._landing.crash(self, error)
        except BaseException:
            self._landing.cut_short(self)
            raise

    def lost(self, now: float) -> bool:
        """Whether nobody is going to finish this flight, as far as one can tell."""
        # A loop that stands still between two run_until_complete() takes its flight with it.
        stopped = self.loop is not None and not self.loop.is_running()
        limit = FLIGHT_LIMIT if self.begun else LAUNCH_LIMIT
        return stopped or abs(now - self._started) >= limit
