"""`RdsEmulator`: an RDS database with IAM authentication, and its AWS account, on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import URL

from sqlalchemy_rds_iam.testing.account import EmulatedAccount
from sqlalchemy_rds_iam.testing.database.engines import known
from sqlalchemy_rds_iam.testing.database.gateway import Gateway
from sqlalchemy_rds_iam.testing.database.users import Backend, Row
from sqlalchemy_rds_iam.testing.database.verifier import Decision, SignedEndpoint
from sqlalchemy_rds_iam.testing.region import region_of

HOST = "app-db.c0ffee123456.us-east-1.rds.amazonaws.com"


class RdsEmulator(EmulatedAccount):
    """A real PostgreSQL, or MariaDB, behind a gateway that verifies IAM tokens as RDS does.

    The AWS endpoints that credentials and secrets come from are there, too.

    A context manager, for ``with`` and for ``async with``. Its event loop runs in a background
    thread of its own, so it serves sync code and any number of other loops. A C call that keeps
    the GIL while it waits for the database (libpq's PQcancel, as psycopg2 and psycopg's `cancel`
    make it) waits for ever: for those, run ``python -m sqlalchemy_rds_iam.testing`` instead.

    Attributes:
        endpoint: The host, port and region that tokens must be signed for.
        engine: The emulated database.
        identities: The principals and keys of the emulated account.
        key: A long-term key of the IAM user ``app``, who may connect as every database user.
        aws: The endpoints of STS, Secrets Manager, RDS, instance and container metadata.
        gateway: The fault knobs; see `Gateway`.
        secrets: Makes and rotates secrets; see `Secrets`.
        certificates: Certificates to serve instead of the good one.
        clock: Tells all of them the time; may be replaced. See also `clock_offset`.
    """

    gateway: Gateway[Any, Any, Any]

    def __init__(
        self,
        host: str = HOST,
        port: int | None = None,
        *,
        engine: str = "postgresql",
        region: str | None = None,
        users: Sequence[str] = ("app",),
        ceiling: float | None = None,
        server: str | None = None,
        postgres: str | None = None,
        mariadb: str | None = None,
        listen_port: int = 0,
        login_timeout: float = 60.0,
        clock: Callable[[], float] = time.time,
        deadline: float = 120.0,
    ) -> None:
        """Say what to emulate; entering the context starts it.

        Args:
            host: The endpoint's name, which tokens must be signed for.
            port: The endpoint's port, signed as well; by default 5432, and 3306 for MySQL.
            engine: ``postgresql``, or ``mysql``: a MariaDB that stands for both.
            region: The region, when `host` does not say it.
            users: Database users that authenticate through IAM, each with a database of its name.
            ceiling: Authentications per second before IAM throttles; None for no limit.
            server: The URL of an existing server to front instead of starting one. Its user
                must be a superuser, or may create users and databases. What is created stays; on
                MySQL IAM users get a password that only the emulator knows.
            postgres: Which PostgreSQL to start: ``auto``, ``wheel`` or the directory of its
                programs; by default what the variable ``RDS_IAM_EMULATOR_POSTGRES`` says.
            mariadb: Which MariaDB to start: the directory of ``mariadbd``; by default what the
                variable ``RDS_IAM_EMULATOR_MARIADB`` says, else one that is found.
            listen_port: The gateway's port on 127.0.0.1; 0 takes any free one.
            login_timeout: Seconds a client may take to log in.
            clock: Epoch seconds.
            deadline: The most seconds that the start, the stop or one call may take.

        Raises:
            ValueError: The region is not given and not in `host`; there is no such engine.
        """
        database = known(engine)
        super().__init__(
            SignedEndpoint(
                host, port or database.port, region or region_of(host), database.hosts[1:]
            ),
            database,
            users=users,
            ceiling=ceiling,
            login_timeout=login_timeout,
            clock=clock,
            deadline=deadline,
        )
        self._named_region = region
        self._server = server
        self._own_server = database.server(mariadb if engine == "mysql" else postgres)
        self._listen_port = listen_port

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and port that clients connect to."""
        return self.gateway.address

    @property
    def clock_offset(self) -> float:
        """Seconds by which the database's clock is ahead of AWS's and all other clocks."""
        return self.gateway.clock_offset

    @clock_offset.setter
    def clock_offset(self, seconds: float) -> None:
        self.gateway.clock_offset = seconds

    @property
    def decisions(self) -> list[Decision]:
        """What was decided about each login since the start or `clear`, oldest first."""
        return self.gateway.records.decisions

    @property
    def metrics(self) -> dict[str, int]:
        """The IAM database authentication counters by their CloudWatch names."""
        return self.gateway.records.metrics

    def clear(self) -> None:
        """Forget the decisions and set the metrics to zero."""
        self.gateway.records.clear()

    def url(
        self,
        drivername: str | None = None,
        user: str = "app",
        database: str = "app",
        **query: str,
    ) -> URL:
        """A SQLAlchemy URL, complete with the plugin and the endpoint to sign for.

        Args:
            drivername: The dialect and driver; by default a sync one that is easily installed.
            user: The database user.
            database: The database.
            query: More options, or other values for ours.
        """
        where = self.endpoint, self.gateway.addresses
        return self._url(*where, drivername, user, database, query=self._options() | query)

    def address_url(
        self,
        drivername: str | None = None,
        user: str = "app",
        database: str = "app",
        **query: str,
    ) -> URL:
        """The same for drivers and programs that verify what they dial, and no other name.

        It is the URL of an IP address that stands in the certificate and that tokens are signed
        for, where the database has one: MySQL's 127.0.0.2, unless the system lacks it.
        """
        where = self.endpoint, self.gateway.addresses
        options = self._options() | query
        return self._url(*where, drivername, user, database, query=options, by_address=True)

    def _options(self) -> dict[str, str]:
        options: dict[str, str] = {}
        if self.gateway.ceiling is None:
            # Nothing is throttled here, so a refusal need not be taken for that.
            options["rds_iam_throttle_retry"] = "off"
        if self._named_region is not None:
            options["rds_iam_region"] = self._named_region
        return options

    def execute(self, sql: str, database: str | None = None) -> list[Row]:
        """Run `sql` on the real server as its superuser and return the rows as text.

        Raises:
            ServerError: The server refused.
        """
        return self._call(self._running_roles.execute(sql, database))

    def kill_sessions(self) -> int:
        """End every client's session on the server, as a failover would; how many there were."""
        return self._call(self._running_roles.kill_sessions())

    def _start_server(self, undo: ExitStack) -> tuple[Backend, Path]:
        if self._server is not None:
            backend = self.engine.from_url(self._server)
            return backend, Path(undo.enter_context(TemporaryDirectory(prefix="rds-iam-")))
        undo.callback(self._own_server.stop)
        self._own_server.start()
        # The server's own directory, which is removed even if this process is killed.
        return self.engine.reach(self._own_server), self._own_server.directory

    async def _serve(self, backend: Backend) -> tuple[str, int]:
        self.gateway = self._gateway(backend, self._running_roles, self.endpoint)
        self._parts.push_async_callback(self.gateway.stop)
        await self.gateway.start(self.engine.hosts, self._listen_port)
        return self.gateway.address
