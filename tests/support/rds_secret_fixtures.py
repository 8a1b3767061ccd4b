"""Engines that log in with a secret, in every driver's every world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from families import Words
from rds_secret_support import USER
from sqlalchemy import URL
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam.testing import RdsEmulator, Secret


@pytest.fixture
def secret(rds: RdsEmulator) -> Secret:
    """A secret with all there is to know about logging in."""
    return rds.secrets.create("prod/app", USER)


@pytest.fixture
def log_in(
    rds: RdsEmulator, world: tuple[str, bool], databases: Callable[..., Database]
) -> Callable[..., Database]:
    """Make a database of this test's driver and world that asks for a secret at each connect.

    Its URL says nothing but the name of the secret, and what the emulator's certificate names.
    A driver that verifies the name which it dials is told an address that is in the certificate.
    """
    drivername, is_async = world
    usual = rds.url(drivername)
    tunnels = "rds_iam_host" in usual.query

    def make(
        secret: Secret | str,
        options: dict[str, str | None] | None = None,
        *,
        place: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Database:
        query = {
            "plugin": "rds_secret",
            "rds_secret_id": secret if isinstance(secret, str) else secret.name,
            "rds_secret_host": rds.endpoint.host if tunnels else None,
            "rds_secret_ca": str(rds.ca_file),
            "rds_secret_region": rds.endpoint.region,
        }
        given = {k: v for k, v in (query | (options or {})).items() if v is not None}
        where = (place or {}) if tunnels else {"host": usual.host} | (place or {})
        url = URL.create(drivername, **where, query=given)
        return databases(url, is_async=is_async, **{"poolclass": NullPool} | kwargs)

    return make


@pytest.fixture
def calls(rds: RdsEmulator) -> Callable[[], int]:
    """How often GetSecretValue has been called in this test."""
    before = rds.aws.secrets.calls["GetSecretValue"]
    return lambda: rds.aws.secrets.calls["GetSecretValue"] - before


@pytest.fixture
def place(rds: RdsEmulator, words: Words) -> dict[str, Any]:
    """Where the emulator listens, for URLs of secrets that do not say so."""
    host, port = rds.address
    return {"host": host, "port": port, "database": words.home}
