"""`RdsEmulator`: an RDS PostgreSQL with IAM authentication, and its AWS account, on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, TypeVar

from sqlalchemy import URL

from sqlalchemy_rds_iam.testing.aws.endpoints import AwsEndpoints
from sqlalchemy_rds_iam.testing.aws.identities import AccessKey, Identities
from sqlalchemy_rds_iam.testing.background import Background
from sqlalchemy_rds_iam.testing.database.backend import Backend, Row, newest_protocol
from sqlalchemy_rds_iam.testing.database.gateway import Gateway
from sqlalchemy_rds_iam.testing.database.secrets import Secrets
from sqlalchemy_rds_iam.testing.database.users import Roles
from sqlalchemy_rds_iam.testing.database.verifier import Decision, SignedEndpoint
from sqlalchemy_rds_iam.testing.region import region_of
from sqlalchemy_rds_iam.testing.server.certificates import Certificates
from sqlalchemy_rds_iam.testing.server.postgres import SUPERUSER, Postgres

HOST = "app-db.c0ffee123456.us-east-1.rds.amazonaws.com"
_NOT_RUNNING = "the emulator is not running: enter it with `with RdsEmulator(...)`"

_T = TypeVar("_T")


class RdsEmulator:
    """A real PostgreSQL behind a gateway that verifies IAM tokens as RDS does, and AWS endpoints.

    A context manager, for ``with`` and for ``async with``. Its event loop runs in a background
    thread of its own, so it serves sync code and any number of other loops. A C call that keeps
    the GIL while it waits for the database (libpq's PQcancel, as psycopg2 and psycopg's `cancel`
    make it) waits for ever: for those, run ``python -m sqlalchemy_rds_iam.testing`` instead.

    Attributes:
        endpoint: The host, port and region that tokens must be signed for.
        identities: The principals and keys of the emulated account.
        key: A long-term key of the IAM user ``app``, who may connect as every database user.
        aws: The endpoints of STS, Secrets Manager, RDS, instance and container metadata.
        gateway: The fault knobs; see `Gateway`.
        secrets: Makes and rotates secrets; see `Secrets`.
        certificates: Certificates to serve instead of the good one.
        clock: Tells all of them the time; may be replaced. See also `clock_offset`.
    """

    aws: AwsEndpoints
    gateway: Gateway
    secrets: Secrets

    def __init__(
        self,
        host: str = HOST,
        port: int = 5432,
        *,
        region: str | None = None,
        users: Sequence[str] = ("app",),
        ceiling: float | None = None,
        server: str | None = None,
        postgres: str | None = None,
        listen_port: int = 0,
        login_timeout: float = 60.0,
        clock: Callable[[], float] = time.time,
        deadline: float = 120.0,
    ) -> None:
        """Say what to emulate; entering the context starts it.

        Args:
            host: The endpoint's name, which tokens must be signed for.
            port: The endpoint's port, signed as well.
            region: The region, when `host` does not say it.
            users: Database users that authenticate through IAM, each with a database of its name.
            ceiling: Authentications per second before IAM throttles; None for no limit.
            server: The URL of an existing PostgreSQL to front instead of starting one. Its user
                must be a superuser, or may create roles and databases. What is created stays.
            postgres: Which PostgreSQL to start: ``auto``, ``wheel`` or the directory of its
                programs; by default what the variable ``RDS_IAM_EMULATOR_POSTGRES`` says.
            listen_port: The gateway's port on 127.0.0.1; 0 takes any free one.
            login_timeout: Seconds a client may take to log in.
            clock: Epoch seconds.
            deadline: The most seconds that the start, the stop or one call may take.

        Raises:
            ValueError: The region is not given and not in `host`.
        """
        self.endpoint = SignedEndpoint(host, port, region or region_of(host))
        self.clock = clock
        self.identities = Identities(self._now)
        self.key = self.identities.issue(self.identities.user("app"))
        self.certificates = Certificates(host)
        self._named_region = region
        self._users = tuple(users)
        self._ceiling = ceiling
        self._server = server
        self._postgres = Postgres(postgres)
        self._listen_port = listen_port
        self._login_timeout = login_timeout
        self._deadline = deadline
        self._background: Background | None = None
        self._undo = ExitStack()
        self._parts = AsyncExitStack()
        self._directory: Path | None = None
        self._roles: Roles | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and port that clients connect to."""
        return self.gateway.address

    @property
    def ca_file(self) -> Path:
        """The CA bundle, PEM, that verifies the emulator's certificate."""
        return self._existing_directory / "ca.pem"

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

    def environ(self, key: AccessKey | None = None) -> dict[str, str]:
        """The environment of a process that works in the emulated account and only there.

        Args:
            key: The key the process should use, by default `self.key`.
        """
        region, directory = self.endpoint.region, self._existing_directory
        return {
            **(key or self.key).environ(),
            **self.aws.environ(),
            # botocore reads the one, other SDKs the other.
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            # So that a developer's own profiles stay out of it.
            "AWS_CONFIG_FILE": str(directory / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(directory / "aws-credentials"),
        }

    def url(
        self,
        drivername: str = "postgresql+psycopg",
        user: str = "app",
        database: str = "app",
        **query: str,
    ) -> URL:
        """A SQLAlchemy URL, complete with the plugin and the endpoint to sign for.

        Args:
            drivername: The dialect and driver.
            user: The database user.
            database: The database.
            query: More options, or other values for ours.
        """
        options = {
            "plugin": "rds_iam",
            "rds_iam_host": self.endpoint.host,
            "rds_iam_port": str(self.endpoint.port),
            "rds_iam_ca": str(self.ca_file),
        }
        if self.gateway.ceiling is None:
            # Nothing is throttled here, so a refusal need not be taken for that.
            options["rds_iam_throttle_retry"] = "off"
        if self._named_region is not None:
            options["rds_iam_region"] = self._named_region
        host, port = self.address
        return URL.create(drivername, user, None, host, port, database, options | query)

    def create_user(self, name: str, *, iam: bool = True) -> None:
        """Create the database user `name`, with the role ``rds_iam`` or (False) without."""
        self._call(self._running_roles.create_user(name, iam=iam))

    def execute(self, sql: str, database: str | None = None) -> list[Row]:
        """Run `sql` on the real server as its superuser and return the rows as text.

        Raises:
            ServerError: The server refused.
        """
        return self._call(self._running_roles.execute(sql, database))

    def kill_sessions(self) -> int:
        """End every client's session on the server, as a failover would; how many there were."""
        return self._call(self._running_roles.kill_sessions())

    def start(self) -> None:
        """Start everything; ``with`` does it for you.

        Raises:
            RuntimeError: It runs already, or PostgreSQL did not start.
            OSError: A port cannot be bound, or the existing server not be reached.
            ServerError: The existing server refused.
        """
        if self._background is not None:
            raise RuntimeError("this emulator is running already")
        with ExitStack() as undo:
            undo.callback(self._forget)
            if self._server is not None:
                backend = Backend.from_url(self._server)
                self._directory = Path(undo.enter_context(TemporaryDirectory(prefix="rds-iam-")))
            else:
                undo.callback(self._postgres.stop)
                self._postgres.start()
                backend = Backend(SUPERUSER, socket=self._postgres.socket)
                # The server's own, which is removed even if this process is killed.
                self._directory = self._postgres.directory
            self.certificates.write_ca(self.ca_file)
            background = self._background = Background("rds-iam-emulator", self._deadline)
            undo.callback(background.stop)
            undo.callback(lambda: background.call(self._parts.aclose()))
            background.call(self._serve(backend, background))
            self._undo = undo.pop_all()

    def stop(self) -> None:
        """Stop everything and remove its files. Harmless when it is not running."""
        self._undo.close()

    def _forget(self) -> None:
        self._directory = self._background = self._roles = None

    def _now(self) -> float:
        return self.clock()

    async def _serve(self, backend: Backend, background: Background) -> None:
        backend = replace(backend, protocol=await newest_protocol(backend))
        roles = Roles(backend)
        await roles.prepare()
        self._roles = roles
        self._parts.push_async_callback(roles.close)
        for user in self._users:
            await roles.create_user(user)
            await roles.create_database(user, user)
        self.gateway = Gateway(
            backend,
            roles,
            self.endpoint,
            self.identities,
            self.certificates.valid(),
            clock=self._now,
            ceiling=self._ceiling,
            login_timeout=self._login_timeout,
        )
        self.aws = AwsEndpoints(self.identities, self.endpoint.host, self.endpoint.region)
        self._parts.push_async_callback(self.aws.stop)
        await self.aws.start()
        self._parts.push_async_callback(self.gateway.stop)
        await self.gateway.start(port=self._listen_port)
        store, address = self.aws.secrets.store, self.gateway.address
        self.secrets = Secrets(background, store, roles, self.endpoint, address)

    def _call(self, coroutine: Coroutine[None, None, _T]) -> _T:
        assert self._background is not None
        return self._background.call(coroutine)

    @property
    def _running_roles(self) -> Roles:
        if self._roles is None:
            raise RuntimeError(_NOT_RUNNING)
        return self._roles

    @property
    def _existing_directory(self) -> Path:
        if self._directory is None:
            raise RuntimeError(_NOT_RUNNING)
        return self._directory
