"""The real server as its superuser sees it: SQL, and the database users. For any database."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

Row = tuple[str | None, ...]

_POLL = 0.01


class ServerError(RuntimeError):
    """The real server refused: its own words, its SQLSTATE as `sqlstate`, and MySQL's `number`."""

    def __init__(self, sqlstate: str, text: str, number: int | None = None) -> None:
        self.sqlstate = sqlstate
        self.number = number
        self.text = text
        code = sqlstate if number is None else f"{number}, {sqlstate}"
        super().__init__(f"{text or 'the server gave no reason'} ({code})")


class Connection(Protocol):
    """A session of the emulator itself."""

    async def query(self, sql: str) -> list[Row]:
        """Run `sql` and return the rows of its last statement that has any, as text.

        Raises:
            ServerError: The statement failed.
            ConnectionError: The server went away.
        """

    async def close(self) -> None:
        """End the session; the server may be gone already."""


class Backend(Protocol):
    """Where the real server listens and whom the emulator may log in as there."""

    @property
    def user(self) -> str:
        """The emulator's own user."""

    @property
    def deadline(self) -> float:
        """Seconds that one question may take."""

    def as_user(self, name: str, password: str) -> Backend:
        """The same for another user."""

    async def open(self, database: str | None = None) -> Connection:
        """Log in as the emulator's own user.

        Raises:
            ServerError: The server refused.
        """


_Backend = TypeVar("_Backend", bound=Backend)


class Users(ABC, Generic[_Backend]):
    """Manages users by SQL, as the emulator's own user. For one event loop."""

    iam_user: str
    """What a user that authenticates through IAM is, for sentences: "a member of rds_iam"."""

    def __init__(self, backend: _Backend) -> None:
        self._backend = backend
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def move(self, backend: _Backend) -> None:
        """Work on another server from now on."""
        async with self._turn:
            await self._close()
            self._backend = backend

    async def execute(self, sql: str, database: str | None = None) -> list[Row]:
        """Run `sql` in a session of its own.

        Raises:
            ServerError: The server refused.
        """
        connection = await self._backend.open(database)
        try:
            async with asyncio.timeout(self._backend.deadline):
                return await connection.query(sql)
        finally:
            await connection.close()

    async def create_password_user(self, name: str, password: str) -> None:
        """Create the user `name`, unless it exists, and make it log in with `password`.

        Raises:
            ValueError: It authenticates through IAM, or is the emulator's own.
        """
        if name == self._backend.user:
            raise ValueError(f"{name!r} is the emulator's own database user: choose another name")
        if await self.uses_iam(name):
            raise ValueError(
                f"{name!r} is {self.iam_user}, so it cannot log in with a password: choose "
                "another user, or change this one with create_user(..., iam=False)"
            )
        await self.create_user(name, iam=False)
        await self.set_password(name, password)

    async def accepts(self, name: str, password: str, database: str | None) -> bool:
        """Whether the server lets user `name` into `database`, or its default, by `password`."""
        try:
            connection = await self._backend.as_user(name, password).open(database)
        except ServerError:
            return False
        await connection.close()
        return True

    async def kill_sessions(self) -> int:
        """End every client's session, and say how many there were, once they have ended.

        Raises:
            TimeoutError: Some have not.
        """
        killed = await self._sessions()
        await self._kill(killed)
        async with asyncio.timeout(self._backend.deadline):
            # They are ended later than the server says so, and would take statements meanwhile.
            while killed & await self._sessions():  # noqa: ASYNC110 - it is another process's
                await asyncio.sleep(_POLL)
        return len(killed)

    @abstractmethod
    async def prepare(self) -> None:
        """Make of the server what the emulator needs."""

    @abstractmethod
    async def create_user(self, name: str, *, iam: bool = True) -> None:
        """Create the user `name`, unless it exists, and make it log in through IAM or not."""

    @abstractmethod
    async def create_member(self, name: str, *, of: str) -> None:
        """Create the user `name`, unless it exists, with all the rights of the user `of`."""

    @abstractmethod
    async def set_password(self, name: str, password: str) -> None:
        """Give user `name` another password."""

    @abstractmethod
    async def create_database(self, name: str, owner: str) -> None:
        """Create the database `name` for `owner`, unless it exists."""

    @abstractmethod
    async def uses_iam(self, name: str) -> bool:
        """Whether user `name` exists and authenticates through IAM.

        Raises:
            ConnectionError: The real server is gone.
        """

    @abstractmethod
    async def _sessions(self) -> set[str]:
        """The numbers of all clients' sessions."""

    @abstractmethod
    async def _kill(self, sessions: set[str]) -> None:
        """Have these sessions end, without waiting for it; some may have ended."""

    async def close(self) -> None:
        """Close the connection that answers questions."""
        async with self._turn:
            await self._close()

    async def _look(self, sql: str) -> list[Row]:
        async with self._turn, asyncio.timeout(self._backend.deadline):
            if self._connection is not None:
                # The server may have been restarted, or the session ended, since the last login.
                with contextlib.suppress(OSError, ServerError):
                    return await self._connection.query(sql)
                await self._close()
            self._connection = await self._backend.open()
            return await self._connection.query(sql)

    async def _close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
