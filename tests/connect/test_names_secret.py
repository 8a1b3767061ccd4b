"""Names that stand for an endpoint, in URLs and in secrets: `rds_secret` follows them, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from families import Words
from faults_support import Clock
from rds_secret_support import USER, LogIn
from sqlalchemy import create_engine
from worlds import TUNNELLING, WORLDS, worlds

from sqlalchemy_rds_iam import ConfigError, RdsIamError, WaitTimeout
from sqlalchemy_rds_iam.testing import RdsEmulator

pytest.importorskip("dns", reason="dnspython is not installed")

from dns_support import ALIAS, DnsServer, aliased

GREEN = "green.abc123.us-east-1.rds.amazonaws.com"
FOLLOW = {"rds_secret_host": None, "rds_secret_resolve_cname": "on"}


@pytest.fixture(params=worlds(TUNNELLING))
def world(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """Each driver that can verify the name of the endpoint though it dials the alias."""
    return WORLDS[request.param]


@pytest.fixture
def server(rds: RdsEmulator) -> Iterator[DnsServer]:
    """DNS, for which the alias stands for the emulator; whose certificate does not name it."""
    with aliased(rds) as server:
        yield server


@pytest.mark.parametrize("where", ["url", "secret"])
def test_connects(
    log_in: LogIn, rds: RdsEmulator, server: DnsServer, place: dict[str, Any], where: str
) -> None:
    """The certificate has to have the name that DNS says the alias stands for."""
    place["host"] = ALIAS
    host = {"host": ALIAS} if where == "secret" else {}
    secret = rds.secrets.create("prod/app", USER, **host)
    options = FOLLOW | {"rds_secret_conflict": "url" if where == "url" else "error"}
    database = log_in(secret, options, place=place if where == "url" else None)
    assert server.questions == []
    assert [database.scalar(database.words.user) for _ in range(2)] == [USER, USER]
    assert server.questions == [ALIAS]
    assert rds.decisions[-1].method == "password"
    rds.gateway.certificate = rds.certificates.other_host(ALIAS)
    note = "\n".join(database.raises(Exception).__notes__)
    assert f"the certificate has to name '{rds.endpoint.host}', for which '{ALIAS}'" in note
    assert "or by the CNAME records that rds_secret_resolve_cname follows" in note


def test_switched(
    log_in: LogIn,
    rds: RdsEmulator,
    server: DnsServer,
    place: dict[str, Any],
    clock: Clock,
) -> None:
    """When the name stands for another endpoint, that is the one to be verified."""
    place["host"] = ALIAS
    secret = rds.secrets.create("prod/app", USER, host=ALIAS)
    database = log_in(secret, FOLLOW)
    for host in (rds.endpoint.host, GREEN):
        server.point(ALIAS, host)
        rds.gateway.certificate = rds.certificates.other_host(host)
        assert database.scalar(database.words.user) == USER
        clock.offset += 3600


def test_leads_nowhere(
    log_in: LogIn, rds: RdsEmulator, server: DnsServer, place: dict[str, Any]
) -> None:
    """A name that leads to no endpoint, or nowhere in time, is an error that says what to set."""
    secret = rds.secrets.create("prod/app", USER, host=ALIAS)
    server.point(ALIAS, "db.example.com")
    error = log_in(secret, FOLLOW).raises(RdsIamError)
    assert "Set rds_secret_host to the endpoint's own name" in str(error)
    server.fault = "silence"
    log_in(secret, FOLLOW | {"rds_secret_timeout": "0.2"}).raises(WaitTimeout)
    address = rds.secrets.create("prod/address", USER, host="127.0.0.1")
    error = log_in(address, FOLLOW).raises(ConfigError)
    assert "rds_secret_resolve_cname=on, but the host '127.0.0.1' is an IP address" in str(error)


def test_an_address(words: Words, ca: str) -> None:
    """An address in the URL is refused by create_engine() already."""
    url = f"{words.sync}://10.0.0.1/app?plugin=rds_secret&rds_secret_id=x"
    with pytest.raises(ConfigError, match="is an IP address, which has no CNAME record"):
        create_engine(
            f"{url}&rds_secret_region=us-east-1&rds_secret_ca={ca}&rds_secret_resolve_cname=on"
        )
