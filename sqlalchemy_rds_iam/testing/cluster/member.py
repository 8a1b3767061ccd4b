"""One database server of a cluster, behind a gateway of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from sqlalchemy_rds_iam.testing.database.decisions import Records
from sqlalchemy_rds_iam.testing.database.verifier import Decision, SignedEndpoint
from sqlalchemy_rds_iam.testing.postgresql.backend import Backend
from sqlalchemy_rds_iam.testing.postgresql.gateway import PostgresGateway
from sqlalchemy_rds_iam.testing.postgresql.users import Roles
from sqlalchemy_rds_iam.testing.postgresql.wire import quote_literal
from sqlalchemy_rds_iam.testing.server.postgres import Postgres

_POLL = 0.01

_REPLAYED = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= {}"
_CLIENTS = """
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_NONE = f"SELECT 1 WHERE NOT EXISTS (SELECT {_CLIENTS} AND {{}})"


@dataclass(eq=False)
class ClusterMember:
    """A server, and what is in front of it.

    Attributes:
        number: From 1 on, as in the name of its instance endpoint.
        server: The PostgreSQL, which listens on a unix socket.
        backend: How the emulator reaches it.
        roles: Asks it, and runs SQL on it.
        gateway: Its fault knobs; see `Gateway`.
    """

    number: int
    server: Postgres
    backend: Backend
    roles: Roles
    gateway: PostgresGateway

    @classmethod
    def made(
        cls,
        number: int,
        server: Postgres,
        backend: Backend,
        gateway: Callable[[Backend, Roles, SignedEndpoint], PostgresGateway],
        signed: Sequence[SignedEndpoint],
    ) -> Self:
        """A member around a server that runs.

        Args:
            number: See above, as for the next one.
            server: It runs.
            backend: How the emulator reaches another member.
            gateway: Makes a gateway.
            signed: What is signed for the cluster, its reader, and each member. A server is told
                all names that may lead to it, and takes tokens for each of them.
        """
        backend = replace(backend, socket=server.socket)
        own = replace(signed[number + 1], aliases=tuple(each.host for each in signed[:2]))
        roles = Roles(backend)
        return cls(number, server, backend, roles, gateway(backend, roles, own))

    @property
    def answers(self) -> bool:
        """Whether connections are taken: it runs, or a partition keeps that it does not."""
        return self.server.runs or not self.gateway.reachable.is_set()

    @property
    def records(self) -> Records:
        """The decisions about logins on this member, and its metrics."""
        return self.gateway.records

    @property
    def decisions(self) -> list[Decision]:
        """What was decided about each login on this member, oldest first."""
        return self.records.decisions

    async def stop(self) -> None:
        """End all sessions of clients; the server goes on."""
        await self.gateway.stop()
        await self.roles.close()

    async def promote(self) -> None:
        """Make a standby a primary; return once it takes writes.

        Raises:
            TimeoutError: It did not become one.
        """
        await self.roles.execute("SELECT pg_promote(false)")
        await self._until("SELECT 1 WHERE NOT pg_is_in_recovery()")

    async def replicate(self, *, synchronous: bool) -> None:
        """As a primary, wait for the standby, and have commits wait for it from then on.

        Raises:
            TimeoutError: No standby has come.
        """
        await self._until("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")
        if synchronous:
            await self.roles.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await self.roles.execute("SELECT pg_reload_conf()")
            await self._until("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")

    async def await_replay(self) -> None:
        """As a primary, wait until the standby shows what has been written by now.

        Raises:
            TimeoutError: It does not.
        """
        [(end,)] = await self.roles.execute("SELECT pg_current_wal_lsn()")
        await self._until(_REPLAYED.format(quote_literal(str(end))))

    async def make_read_only(self, patience: float) -> None:
        """Have transactions be read-only by default; return once none from before is under way.

        Args:
            patience: Seconds after which those are ended, and their sessions with them.
        """
        [(before,)] = await self.roles.execute("SELECT clock_timestamp()")
        await self.roles.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await self.roles.execute("SELECT pg_reload_conf()")
        # The server has told all its sessions by the time that it takes a new one.
        await self._until(f"SELECT 1 WHERE pg_conf_load_time() >= {quote_literal(str(before))}")
        [(told,)] = await self.roles.execute("SELECT clock_timestamp()")
        older = f"xact_start <= {quote_literal(str(told))}"
        with contextlib.suppress(TimeoutError):
            await self._until(_NONE.format(older), patience)
        await self._end_sessions(older)

    async def release(self) -> None:
        """As a primary whose standby is gone, have commits wait for it no more.

        A commit that is waiting is not told to be done, which it may never be anywhere else.
        """
        await self._end_sessions("backend_xid IS NOT NULL")
        await self.roles.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        await self.roles.execute("SELECT pg_reload_conf()")

    async def _end_sessions(self, which: str) -> None:
        await self.roles.execute(f"SELECT pg_terminate_backend(pid) {_CLIENTS} AND {which}")
        await self._until(_NONE.format(which))

    async def _until(self, question: str, patience: float | None = None) -> None:
        async with asyncio.timeout(patience or self.backend.deadline):
            while not await self.roles.execute(question):  # noqa: ASYNC110 - another process
                await asyncio.sleep(_POLL)
