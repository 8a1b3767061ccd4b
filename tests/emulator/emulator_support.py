"""What the emulator's tests share: tokens by a signer that is not ours, and driver arguments."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import botocore.loaders
import botocore.session

from sqlalchemy_rds_iam.testing import (
    AccessKey,
    ClusterEndpoint,
    RdsCluster,
    RdsEmulator,
    SignedEndpoint,
)

Do = Callable[..., Awaitable[Any]]
"""Performs an operation of an AWS service, by its name in the SDKs."""

# The models say the same to every session, and reading them takes longer than most tests.
MODELS = botocore.loaders.create_loader()


@cache
def _rds_client(access_key: str, secret_key: str, session_token: str | None, region: str) -> Any:
    session = botocore.session.Session()
    session.register_component("data_loader", MODELS)
    session.set_credentials(access_key, secret_key, session_token)
    return session.create_client("rds", region_name=region)


def sign(key: AccessKey, endpoint: SignedEndpoint, user: str = "app") -> str:
    """A token for `user` signed now, with `key`, by botocore."""
    client = _rds_client(key.access_key, key.secret_key, key.session_token, endpoint.region)
    token: str = client.generate_db_auth_token(endpoint.host, endpoint.port, user)
    return token


def libpq(rds: RdsEmulator, **changes: Any) -> dict[str, Any]:
    """Arguments for psycopg and psycopg2 that connect, with `changes`."""
    return _libpq(rds, rds.endpoint, rds.address, changes)


def libpq_at(cluster: RdsCluster, endpoint: ClusterEndpoint, **changes: Any) -> dict[str, Any]:
    """The same for an endpoint of a cluster."""
    return _libpq(cluster, endpoint.signed, endpoint.address, changes)


def _libpq(
    rds: RdsEmulator | RdsCluster,
    signed: SignedEndpoint,
    address: tuple[str, int],
    changes: dict[str, Any],
) -> dict[str, Any]:
    host, port = address
    user = changes.get("user", "app")
    return {
        "host": host,
        "port": port,
        "user": "app",
        "dbname": "app",
        "password": changes.get("password") or sign(rds.key, signed, user),
        "sslmode": "verify-full",
        "sslrootcert": str(rds.ca_file),
    } | changes


def with_context(rds: RdsEmulator, argument: str, **changes: Any) -> dict[str, Any]:
    """Arguments for asyncpg (`argument` "ssl") and pg8000 ("ssl_context") that connect."""
    host, port = rds.address
    return {
        "host": host,
        "port": port,
        "user": "app",
        "database": "app",
        "password": changes.get("password") or sign(rds.key, rds.endpoint),
        argument: ssl.create_default_context(cafile=str(rds.ca_file)),
    } | changes
