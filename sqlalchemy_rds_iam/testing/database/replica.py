"""How the servers of a cluster follow one another: what each kind of database does its own way."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy_rds_iam.testing.database.users import Users

_POLL = 0.01


class ReplicatedServer(Protocol):
    """A throw-away server that may have a standby, and be one."""

    @property
    def directory(self) -> Path:
        """Everything it writes, between `start` and `stop`."""

    @property
    def runs(self) -> bool:
        """Whether it has been started and not been stopped."""

    def start(self, source: Any = None) -> None:
        """Start it, empty or as the standby of `source`; return once it takes connections.

        Raises:
            RuntimeError: It did not start; the message ends with the server's own last words.
        """

    def stop(self) -> None:
        """Stop it and remove everything it wrote. Harmless when it is not running."""

    def kill(self) -> None:
        """End it at once. Harmless when it is stopped."""

    def shut_down(self) -> None:
        """End all sessions and the server, in good order."""

    def copy(self, source: Any) -> None:
        """Replace all that it has by what a running server has, and start as its standby.

        Raises:
            RuntimeError: It did not start.
        """

    def follow(self, source: Any) -> None:
        """Start as the standby of a running server, with nothing that this one lacks.

        Raises:
            RuntimeError: It did not start.
        """


class Replica(ABC):
    """The part of one server in the replication. For the emulator's event loop.

    Args:
        server: It runs.
        users: Asks it, and runs SQL on it.
        deadline: Seconds after which to give up.
    """

    def __init__(self, server: Any, users: Users[Any], deadline: float) -> None:
        self._server, self._users, self._deadline = server, users, deadline

    async def start(self) -> None:
        """Let others follow, where that takes more than a server."""
        return

    async def stop(self) -> None:
        """End that."""
        return

    @abstractmethod
    async def promote(self) -> None:
        """Make a standby a primary; return once it takes writes.

        Raises:
            TimeoutError: It did not become one.
        """

    @abstractmethod
    async def replicate(self, *, synchronous: bool) -> None:
        """As a primary, wait for the standby, and have commits wait for it from then on.

        Raises:
            TimeoutError: No standby has come.
        """

    @abstractmethod
    async def await_replay(self, standby: Any) -> None:
        """As a primary, wait until `standby` shows what has been written by now.

        Raises:
            TimeoutError: It does not.
        """

    @abstractmethod
    async def make_read_only(self, patience: float) -> None:
        """Take no more writes; return once none from before is under way.

        Args:
            patience: Seconds after which those are ended, and their sessions with them.
        """

    @abstractmethod
    async def release(self) -> None:
        """As a primary whose standby is gone, have commits wait for it no more.

        A commit that is waiting is not told to be done, which it may never be anywhere else.
        """

    @abstractmethod
    async def hand_over(self, standby: Any) -> None:
        """As a primary that shuts down next, in good order, see that `standby` will have it all."""

    async def until(self, question: str, patience: float | None = None) -> None:
        """Ask until there is an answer, for so many seconds.

        Raises:
            TimeoutError: There is none.
        """
        async with asyncio.timeout(patience or self._deadline):
            while not await self._users.execute(question):  # noqa: ASYNC110 - another process
                await asyncio.sleep(_POLL)
