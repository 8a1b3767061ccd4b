"""`RdsCluster`: a writer and a standby with IAM authentication, and everything a failover does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from sqlalchemy import URL

from sqlalchemy_rds_iam.testing.cluster.endpoint import ClusterEndpoint
from sqlalchemy_rds_iam.testing.cluster.faults import ClusterFaults
from sqlalchemy_rds_iam.testing.cluster.member import ClusterMember
from sqlalchemy_rds_iam.testing.cluster.names import ClusterNames
from sqlalchemy_rds_iam.testing.database.engines import known
from sqlalchemy_rds_iam.testing.database.users import Backend, Row
from sqlalchemy_rds_iam.testing.database.verifier import Decision, SignedEndpoint

_ZONE = "c0ffee123456"
_LAST_PORT = 65_535


class RdsCluster(ClusterFaults):
    """A real primary and its real standby, each behind a gateway like `RdsEmulator`'s.

    Four endpoints with the names that RDS gives them, each on a port of its own, stand for DNS
    names: of the cluster (the writer), of its reader, and of each instance. A failover moves where
    the first two lead to, at once or some seconds late; connections stay where they are.

    Users, identities and keys are the cluster's; decisions are recorded by each member. It starts,
    stops and cleans up as `RdsEmulator` does. Its methods may be called from any thread, one
    change at a time; in async code, run them by ``asyncio.to_thread``.

    Attributes:
        members: The two servers, by number from 1 on. `writer` says which one takes writes.
        names: The endpoints, and when they moved; see `ClusterNames`.
        identities: The principals and keys of the emulated account.
        key: A long-term key of the IAM user ``app``, who may connect as every database user.
        aws: The endpoints of STS, Secrets Manager and of instance and container metadata.
        secrets: Makes and rotates secrets, whose host is the writer endpoint; see `Secrets`.
        certificates: Certificates to serve instead of the good one, which has all names.
    """

    def __init__(
        self,
        name: str = "app-cluster",
        port: int | None = None,
        *,
        engine: str = "postgresql",
        region: str = "us-east-1",
        users: Sequence[str] = ("app",),
        synchronous: bool = True,
        lone_writer_reads: bool = False,
        ceiling: float | None = None,
        postgres: str | None = None,
        mariadb: str | None = None,
        listen_port: int = 0,
        login_timeout: float = 60.0,
        clock: Callable[[], float] = time.time,
        deadline: float = 120.0,
    ) -> None:
        """Say what to emulate; entering the context starts it.

        Args:
            name: The cluster's, of which those of its endpoints are made.
            port: The port that tokens must be signed for; by default 5432, and 3306 for MySQL.
            engine: ``postgresql``, or ``mysql``: two MariaDBs that stand for both.
            region: The region.
            users: Database users that authenticate through IAM, each with a database of its name.
            synchronous: Whether a commit waits until the standby has it, as with Multi-AZ and
                Aurora. Without, a failover may lose what has been reported as done.
            lone_writer_reads: Whether the reader endpoint leads to the writer while there is no
                standby, as Aurora's does; by default it refuses connections then.
            ceiling: Authentications per second before IAM throttles, for each member.
            postgres: See `RdsEmulator`; ``pg_basebackup`` has to be there, too.
            mariadb: See `RdsEmulator`.
            listen_port: The writer endpoint's port on 127.0.0.1, from which those of the reader and
                of the instances count on; 0 takes any free ones.
            login_timeout: Seconds a client may take to log in.
            clock: Epoch seconds.
            deadline: The most seconds that the start, the stop or one call may take.

        Raises:
            ValueError: `listen_port` leaves no room for four ports; there is no such engine.
        """
        database = known(engine)
        if listen_port > _LAST_PORT - 3:
            raise ValueError(
                f"a cluster listens on four ports, from listen_port on: expected {_LAST_PORT - 3} "
                f"at most, not {listen_port}"
            )
        zone = f"{_ZONE}.{region}.rds.amazonaws.com"
        hosts = (
            f"{name}.cluster-{zone}",
            f"{name}.cluster-ro-{zone}",
            *(f"{name}-{number}.{zone}" for number in (1, 2)),
        )
        port = port or database.port
        self._signed = [SignedEndpoint(host, port, region) for host in hosts]
        super().__init__(
            replace(self._signed[0], aliases=(*hosts[1:], *database.hosts[1:])),
            database,
            users=users,
            ceiling=ceiling,
            login_timeout=login_timeout,
            clock=clock,
            deadline=deadline,
        )
        choice = mariadb if engine == "mysql" else postgres
        self._servers = [database.replicated(choice) for _ in (1, 2)]
        self._synchronous = synchronous
        self._lone_writer_reads = lone_writer_reads
        self._listen_port = listen_port
        self._change = threading.Lock()

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and port that clients of the writer connect to."""
        return self.names.cluster.address

    @property
    def decisions(self) -> list[Decision]:
        """What was decided about each login on both members, oldest first."""
        both = [decision for member in self.members for decision in member.decisions]
        return sorted(both, key=lambda decision: decision.time)

    def writer_url(
        self,
        drivername: str | None = None,
        user: str = "app",
        database: str = "app",
        **query: str,
    ) -> URL:
        """A URL of the cluster endpoint, like `RdsEmulator.url`."""
        return self._url_of(self.names.cluster, drivername, user, database, query)

    def reader_url(
        self,
        drivername: str | None = None,
        user: str = "app",
        database: str = "app",
        **query: str,
    ) -> URL:
        """A URL of the reader endpoint, like `RdsEmulator.url`."""
        return self._url_of(self.names.reader, drivername, user, database, query)

    def instance_url(
        self,
        number: int,
        drivername: str | None = None,
        user: str = "app",
        database: str = "app",
        **query: str,
    ) -> URL:
        """A URL of the instance endpoint of member `number`, like `RdsEmulator.url`."""
        return self._url_of(self.names.instance(number), drivername, user, database, query)

    def address_url(
        self,
        endpoint: ClusterEndpoint,
        drivername: str | None = None,
        user: str = "app",
        database: str = "app",
        **query: str,
    ) -> URL:
        """A URL of one of the `names`, like `RdsEmulator.address_url`."""
        return self._url_of(endpoint, drivername, user, database, query, by_address=True)

    def execute(
        self, sql: str, database: str | None = None, *, member: ClusterMember | None = None
    ) -> list[Row]:
        """Run `sql` as the superuser on the writer, or on `member`, and return the rows as text.

        Raises:
            ServerError: The server refused.
        """
        return self._call((member or self.writer).roles.execute(sql, database))

    def catch_up(self) -> None:
        """Wait until the standby shows all that has been committed by now.

        Raises:
            RuntimeError: There is no standby.
            TimeoutError: It does not replay.
        """
        standby = self._existing_standby()
        self._call(self.writer.replica.await_replay(standby.replica))

    def reset(self) -> None:
        """Take all faults back, so that there are a writer and a standby and names lead to them."""
        self.heal()
        for member in self.members:
            member.gateway.reset()
        if self.standby is None:
            self.rejoin()
        self._call(self.names.move_at_once())
        self.clear()

    def kill_sessions(self, member: ClusterMember | None = None) -> int:
        """End every client's session on the writer, or on `member`; how many there were."""
        return self._call((member or self.writer).roles.kill_sessions())

    def clear(self) -> None:
        """Forget the decisions and what was counted."""
        for member in self.members:
            member.records.clear()
        for endpoint in self.names.endpoints:
            endpoint.traffic.clear()

    def _start_server(self, undo: ExitStack) -> tuple[Backend, Path]:
        primary, standby = self._servers
        undo.callback(primary.stop)
        primary.start()
        undo.callback(standby.stop)
        return self.engine.reach(primary), primary.directory

    async def _serve(self, _backend: Backend) -> tuple[str, int]:
        members: list[ClusterMember] = []
        for number, server in enumerate(self._servers, 1):
            if members:
                await asyncio.to_thread(server.start, self._servers[0])
            made = await ClusterMember.made(
                number, server, self.engine, self._gateway, self._signed
            )
            self._parts.push_async_callback(made.stop)
            await made.start()
            members.append(made)
        first, second = self.members = members[0], members[1]
        await first.replica.replicate(synchronous=self._synchronous)
        await first.replica.await_replay(second.replica)
        names = self.names = ClusterNames(
            self._signed, self.members, lone_writer_reads=self._lone_writer_reads
        )
        self._parts.push_async_callback(names.stop)
        await names.start(self.engine.hosts, self._listen_port)
        return names.cluster.address

    def _url_of(
        self,
        endpoint: ClusterEndpoint,
        drivername: str | None,
        user: str,
        database: str,
        query: dict[str, str],
        *,
        by_address: bool = False,
    ) -> URL:
        # Where nothing is throttled a refusal need not be taken for that.
        options = {"rds_iam_throttle_retry": "off"} if self._ceiling is None else {}
        return self._url(
            endpoint.signed,
            endpoint.addresses,
            drivername,
            user,
            database,
            query=options | query,
            by_address=by_address,
        )
