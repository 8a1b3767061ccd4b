"""One database server of a cluster, behind a gateway of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from sqlalchemy_rds_iam.testing.database.decisions import Records
from sqlalchemy_rds_iam.testing.database.engines import DatabaseEngine
from sqlalchemy_rds_iam.testing.database.gateway import Gateway
from sqlalchemy_rds_iam.testing.database.replica import Replica, ReplicatedServer
from sqlalchemy_rds_iam.testing.database.users import Backend, Users
from sqlalchemy_rds_iam.testing.database.verifier import Decision, SignedEndpoint


@dataclass(eq=False)
class ClusterMember:
    """A server, and what is in front of it.

    Attributes:
        number: From 1 on, as in the name of its instance endpoint.
        server: It listens on a unix socket.
        backend: How the emulator reaches it.
        roles: Asks it, and runs SQL on it.
        replica: Its part in the replication.
        gateway: Its fault knobs; see `Gateway`.
    """

    number: int
    server: ReplicatedServer
    backend: Backend
    roles: Users[Any]
    replica: Replica
    gateway: Gateway[Any, Any, Any]

    @classmethod
    async def made(
        cls,
        number: int,
        server: ReplicatedServer,
        engine: DatabaseEngine,
        gateway: Callable[[Backend, Users[Any], SignedEndpoint], Gateway[Any, Any, Any]],
        signed: Sequence[SignedEndpoint],
    ) -> Self:
        """A member around a server that runs.

        Args:
            number: See above, as for the next one.
            server: It runs.
            engine: What it is.
            gateway: Makes a gateway.
            signed: What is signed for the cluster, its reader, and each member. A server is told
                all names that may lead to it, and takes tokens for each of them.
        """
        backend, roles = await engine.users(engine.reach(server))
        names = (*(each.host for each in signed[:2]), *engine.hosts[1:])
        own = replace(signed[number + 1], aliases=names)
        replica = engine.replica(server, roles, backend.deadline)
        return cls(number, server, backend, roles, replica, gateway(backend, roles, own))

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

    async def start(self) -> None:
        """Let others follow the server."""
        await self.replica.start()

    async def stop(self) -> None:
        """End all sessions of clients, and of others that follow; the server goes on."""
        await self.gateway.stop()
        await self.replica.stop()
        await self.roles.close()
