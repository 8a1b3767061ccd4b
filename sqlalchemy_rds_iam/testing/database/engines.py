"""What differs between the emulated databases, as one value for each."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy_rds_iam.testing.database.gateway import Gateway
from sqlalchemy_rds_iam.testing.database.replica import Replica, ReplicatedServer
from sqlalchemy_rds_iam.testing.database.users import Backend, Users

NAMES = ("postgresql", "mysql")


class Server(Protocol):
    """A throw-away server of the emulator's own."""

    @property
    def directory(self) -> Path:
        """Everything it writes, between `start` and `stop`."""

    def start(self) -> None:
        """Start it; return once it takes connections.

        Raises:
            RuntimeError: It did not start; the message ends with the server's own last words.
        """

    def stop(self) -> None:
        """Stop it and remove everything it wrote. Harmless when it is not running."""


@dataclass(frozen=True)
class DatabaseEngine:
    """One kind of database.

    Attributes:
        name: As in ``RdsEmulator(engine=...)``, and the backend's name in SQLAlchemy's URLs.
        title: As in sentences.
        port: The port that its servers listen on.
        driver: The driver of a URL that names none.
        client: The program with which a user logs in by hand.
        hosts: The IP addresses to listen on. For tokens, all but the first are names of the
            endpoint, too.
        alpn: The application protocol within TLS, None for none.
        secret_engine: The field ``engine`` of its secrets.
        home: The database of secrets that name none; created for the user when it is not there.
        server: Makes a server; the argument says which, or where its programs are.
        reach: How the emulator reaches a server that it has started.
        from_url: How it reaches one that a URL names.
        users: How it reaches the server when it has looked at it, and the users there.
        gateway: Makes a gateway.
        replicated: Makes a server that may have a standby, and be one.
        replica: Makes the part of such a server in the replication.
    """

    name: str
    title: str
    port: int
    driver: str
    client: str
    hosts: tuple[str, ...]
    alpn: str | None
    secret_engine: str
    home: str
    server: Callable[[str | None], Server]
    reach: Callable[[Any], Backend]
    from_url: Callable[[str], Backend]
    users: Callable[[Any], Awaitable[tuple[Backend, Users[Any]]]]
    gateway: Callable[..., Gateway[Any, Any, Any]]
    replicated: Callable[[str | None], ReplicatedServer]
    replica: Callable[[Any, Any, float], Replica]


def known(name: str) -> DatabaseEngine:
    """The engine `name`; one that is not asked for costs nothing.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in NAMES:
        raise ValueError(f"engine must be {' or '.join(NAMES)}, not {name!r}")
    module = importlib.import_module(f"sqlalchemy_rds_iam.testing.{name}.engine")
    found: DatabaseEngine = getattr(module, name.upper())
    return found
