"""What every emulator has: an AWS account, a thread with an event loop, a beginning and an end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import URL

from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam.testing.aws.endpoints import AwsEndpoints
from sqlalchemy_rds_iam.testing.aws.identities import AccessKey, Identities
from sqlalchemy_rds_iam.testing.background import Background
from sqlalchemy_rds_iam.testing.database.engines import DatabaseEngine
from sqlalchemy_rds_iam.testing.database.secrets import Secrets
from sqlalchemy_rds_iam.testing.database.users import Backend, Users
from sqlalchemy_rds_iam.testing.database.verifier import SignedEndpoint
from sqlalchemy_rds_iam.testing.server.certificates import Certificates

_T = TypeVar("_T")


class EmulatedAccount(ABC):
    """The account of one emulator, and its life: ``with``, ``async with``, `start` and `stop`."""

    aws: AwsEndpoints
    secrets: Secrets

    def __init__(
        self,
        endpoint: SignedEndpoint,
        engine: DatabaseEngine,
        *,
        users: Sequence[str],
        ceiling: float | None,
        login_timeout: float,
        clock: Callable[[], float],
        deadline: float,
    ) -> None:
        self.endpoint = endpoint
        self.engine = engine
        self.clock = clock
        self.identities = Identities(self._now)
        self.key = self.identities.issue(self.identities.user("app"))
        self.certificates = Certificates(endpoint.host, *endpoint.aliases, alpn=engine.alpn)
        self._users = tuple(users)
        self._ceiling = ceiling
        self._login_timeout = login_timeout
        self._deadline = deadline
        self._background: Background | None = None
        self._undo = ExitStack()
        self._parts = AsyncExitStack()
        self._directory: Path | None = None
        self._roles: Users[Any] | None = None

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
    def ca_file(self) -> Path:
        """The CA bundle, PEM, that verifies the emulator's certificate."""
        return self._existing_directory / "ca.pem"

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

    def create_user(self, name: str, *, iam: bool = True) -> None:
        """Create the database user `name`, unless it exists, and have it use IAM or not."""
        self._call(self._running_roles.create_user(name, iam=iam))

    def start(self) -> None:
        """Start everything; ``with`` does it for you.

        Raises:
            RuntimeError: It runs already, or the database server did not start.
            OSError: A port cannot be bound, or the existing server not be reached.
            ServerError: The existing server refused.
        """
        if self._background is not None:
            raise RuntimeError("this emulator is running already")
        with ExitStack() as undo:
            undo.callback(self._forget)
            backend, self._directory = self._start_server(undo)
            self.certificates.write_ca(self.ca_file)
            background = self._background = Background("rds-iam-emulator", self._deadline)
            undo.callback(background.stop)
            undo.callback(lambda: background.call(self._parts.aclose()))
            address = background.call(self._start_services(backend))
            store = self.aws.secrets.store
            roles, endpoint = self._running_roles, self.endpoint
            self.secrets = Secrets(background, store, roles, endpoint, address, engine=self.engine)
            self._undo = undo.pop_all()

    def stop(self) -> None:
        """Stop everything and remove its files. Harmless when it is not running."""
        self._undo.close()

    @abstractmethod
    def _start_server(self, undo: ExitStack) -> tuple[Backend, Path]:
        """Start what is a process; how to reach it, and the directory for the emulator's files."""

    @abstractmethod
    async def _serve(self, backend: Backend) -> tuple[str, int]:
        """Listen in front of the database; the IP address and port that its clients connect to."""

    def _gateway(self, backend: Backend, roles: Users[Any], endpoint: SignedEndpoint) -> Any:
        return self.engine.gateway(
            backend,
            roles,
            endpoint,
            self.identities,
            self.certificates.valid(),
            clock=self._now,
            ceiling=self._ceiling,
            login_timeout=self._login_timeout,
        )

    def _url(
        self,
        endpoint: SignedEndpoint,
        addresses: Sequence[tuple[str, int]],
        drivername: str | None,
        user: str,
        database: str,
        *,
        query: dict[str, str],
        by_address: bool = False,
    ) -> URL:
        name = drivername or f"{self.engine.name}+{self.engine.driver}"
        host, port = addresses[0]
        options = {
            "plugin": "rds_iam",
            "rds_iam_host": endpoint.host,
            "rds_iam_port": str(endpoint.port),
            "rds_iam_ca": str(self.ca_file),
        }
        # Those that verify what they dial are sent to an address that has a certificate.
        driver = DRIVERS.get(name.partition("+")[2])
        if by_address or (driver is not None and not driver.tunnels):
            host, port = addresses[-1]
            if host in self.endpoint.aliases:
                del options["rds_iam_host"]
                options["rds_iam_region"] = endpoint.region
        return URL.create(name, user, None, host, port, database, options | query)

    async def _start_services(self, backend: Backend) -> tuple[str, int]:
        backend, roles = await self.engine.users(backend)
        self._roles = roles
        await roles.prepare()
        self._parts.push_async_callback(roles.close)
        for user in self._users:
            await roles.create_user(user)
            await roles.create_database(user, user)
        self.aws = AwsEndpoints(self.identities, self.endpoint.host, self.endpoint.region)
        self._parts.push_async_callback(self.aws.stop)
        await self.aws.start()
        return await self._serve(backend)

    def _forget(self) -> None:
        self._directory = self._background = self._roles = None

    def _now(self) -> float:
        return self.clock()

    def _call(self, coroutine: Coroutine[None, None, _T]) -> _T:
        assert self._background is not None
        return self._background.call(coroutine)

    @property
    def _running_roles(self) -> Users[Any]:
        if self._roles is None:
            raise self._not_running()
        return self._roles

    @property
    def _existing_directory(self) -> Path:
        if self._directory is None:
            raise self._not_running()
        return self._directory

    def _not_running(self) -> RuntimeError:
        name = type(self).__name__
        return RuntimeError(f"the emulator is not running: enter it with `with {name}(...)`")
