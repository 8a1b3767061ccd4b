"""Engines that log in with a secret, in every driver's every world."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from families import Words
from rds_secret_support import USER, secret_url
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam.testing import RdsEmulator, Secret


@pytest.fixture
def dialled(
    rds: RdsEmulator, words: Words, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, int]:
    """The address that this test's driver dials, and that secrets name.

    One that verifies what it dials, and no other name, has an address that is in the certificate.
    """
    drivername = words.sync
    if "world" in request.fixturenames:
        drivername = request.getfixturevalue("world")[0]
    url = rds.url(drivername)
    found = str(url.host), int(url.port or 0)
    monkeypatch.setitem(rds.secrets._instance, "host", found[0])
    return found


@pytest.fixture
def secret(rds: RdsEmulator, dialled: tuple[str, int]) -> Secret:
    """A secret with all there is to know about logging in."""
    return rds.secrets.create("prod/app", USER)


@pytest.fixture
def log_in(
    rds: RdsEmulator,
    world: tuple[str, bool],
    databases: Callable[..., Database],
    dialled: tuple[str, int],
) -> Callable[..., Database]:
    """Make a database of this test's driver and world that asks for a secret at each connect.

    Its URL says nothing but the name of the secret, and what the emulator's certificate names.
    """
    drivername, is_async = world
    # With a part of the drivers the event loop fetches, where the extra for it is installed.
    on_loop = drivername.endswith(("+asyncpg", "+asyncmy")) and importlib.util.find_spec(
        "aiobotocore"
    )

    def make(
        secret: Secret | str,
        options: dict[str, str | None] | None = None,
        *,
        place: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Database:
        more: dict[str, Any] = {"rds_secret_host": rds.url(drivername).query.get("rds_iam_host")}
        if on_loop and "rds_secret_session" not in kwargs:
            more["rds_secret_credentials"] = "aiobotocore"
        url = secret_url(rds, secret, drivername, **more | (options or {})).set(**(place or {}))
        return databases(url, is_async=is_async, **{"poolclass": NullPool} | kwargs)

    return make


@pytest.fixture
def calls(rds: RdsEmulator) -> Callable[[], int]:
    """How often GetSecretValue has been called in this test."""
    before = rds.aws.secrets.calls["GetSecretValue"]
    return lambda: rds.aws.secrets.calls["GetSecretValue"] - before


@pytest.fixture
def place(dialled: tuple[str, int], words: Words) -> dict[str, Any]:
    """Where the emulator listens, for URLs of secrets that do not say so."""
    host, port = dialled
    return {"host": host, "port": port, "database": words.home}
