"""`Access`: a URL on its way to a token without an engine, by names that stand for an endpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from cli_support import shown
from patience import SOON
from sqlalchemy import URL

from sqlalchemy_rds_iam import RdsIamError, WaitTimeout
from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._tools import libpq_environment, mysql_programs
from sqlalchemy_rds_iam.testing import RdsEmulator

pytest.importorskip("dns", reason="dnspython is not installed")

from dns_support import DnsServer, dns_server

ALIAS = "localhost"


@pytest.fixture
def server(rds: RdsEmulator) -> Iterator[DnsServer]:
    """DNS, for which the alias stands for the emulator's endpoint."""
    with dns_server() as server:
        server.point(ALIAS, rds.endpoint.host)
        yield server


@pytest.fixture
def url(rds: RdsEmulator) -> URL:
    """A URL of the alias."""
    found = rds.url(rds_iam_resolve_cname="on")
    return found.difference_update_query(["rds_iam_host"]).set(host=ALIAS)


@pytest.fixture(params=["rds_iam", "rds_secret", "in-secret"])
def of_either(request: pytest.FixtureRequest, rds: RdsEmulator, url: URL) -> URL:
    """The same, or one of a secret, which may be what names the alias."""
    if request.param == "rds_iam":
        return url
    place = {"host": ALIAS} if request.param == "in-secret" else {}
    fields = rds.secrets.create("prod/app", "keeper", port=url.port or 0, **place).fields()
    # Of either family: nothing asks for the engine of a secret that names none.
    stored = rds.secrets.store("prod/any", {k: v for k, v in fields.items() if k != "engine"})
    query = {
        "rds_secret_id": stored.name,
        "rds_secret_ca": str(rds.ca_file),
        "rds_secret_region": rds.endpoint.region,
        "rds_secret_resolve_cname": "on",
        "rds_secret_conflict": "url",
    }
    host = None if place else ALIAS
    return URL.create("postgresql+psycopg", host=host, query=query)


def test_cname(server: DnsServer, of_either: URL, rds: RdsEmulator) -> None:
    """A CNAME is followed to the endpoint that is signed for and in the certificate."""
    rds.gateway.certificate = rds.certificates.other_host(rds.endpoint.host)
    access = Access(of_either, secrets=True)
    assert access.endpoint.host == rds.endpoint.host
    found = libpq_environment.setup(access, ["psql"], {})
    environ, _ = found.environment(access.password(), {})
    assert set(environ["PGHOST"].split(",")) == {rds.endpoint.host}
    psycopg.connect(
        host=environ["PGHOST"],
        hostaddr=environ["PGHOSTADDR"],
        port=environ["PGPORT"],
        user=environ["PGUSER"],
        dbname="app",
        password=environ["PGPASSWORD"],
        sslmode="verify-full",
        sslrootcert=environ["PGSSLROOTCERT"],
    ).close()


@pytest.mark.parametrize("drivername", ["mysql+pymysql", "mysql+mysqldb", "mariadb+mysqlconnector"])
def test_cname_of_mysql(
    server: DnsServer, of_either: URL, rds: RdsEmulator, drivername: str
) -> None:
    """The clients of MySQL, which verify what they dial, dial the endpoint itself."""
    access = Access(of_either.set(drivername=drivername), secrets=True)
    setup = mysql_programs.setup(access, ["true"], {})
    try:
        assert setup.variables["MYSQL_HOST"] == rds.endpoint.host
        assert setup.directory is not None
        said = (setup.directory / "my.cnf").read_text().splitlines()
    finally:
        setup.clean_up()
    assert f"host={rds.endpoint.host}" in said
    assert not setup.directory.exists()


def test_leads_nowhere(server: DnsServer, url: URL) -> None:
    """A name that leads to no endpoint is an error that says where it leads."""
    server.point(ALIAS, "db.example.com")
    with pytest.raises(
        RdsIamError, match=r"lead to no RDS endpoint: 'db.example.com' has no CNAME"
    ):
        Access(url).plan  # noqa: B018
    assert shown("token", url.render_as_string()).code == 1


def test_silent(server: DnsServer, url: URL) -> None:
    """A DNS server that keeps silent delays the caller no longer than the timeout."""
    server.fault = "silence"
    began = time.monotonic()
    with pytest.raises(WaitTimeout):
        Access(url, {"rds_iam_timeout": "0.2"}).plan  # noqa: B018
    assert time.monotonic() - began < SOON


def test_hostaddr(rds: RdsEmulator) -> None:
    """An address that the URL of a libpq driver gives is the one that is connected to."""
    host, port = rds.address
    url = rds.url().set(host=rds.endpoint.host, port=port)
    url = url.update_query_dict({"hostaddr": host, "sslcert": "mine", "options": "-c geqo=off"})
    found = libpq_environment.setup(Access(url), ["psql"], {})
    assert found.variables["PGHOSTADDR"] == host
    assert found.variables["PGSSLCERT"] == "mine"
    assert found.variables["PGOPTIONS"] == "-c geqo=off"
    assert found.notes == []


@pytest.mark.parametrize(
    ("drivername", "query", "mode"),
    [
        ("postgresql+psycopg", {}, "verify-full"),
        ("postgresql+psycopg", {"rds_iam_tls": "require"}, "require"),
        ("postgresql+psycopg", {"rds_iam_tls": "require", "sslmode": "verify-ca"}, "verify-ca"),
        ("postgresql+asyncpg", {"rds_iam_tls": "require", "ssl": "verify-ca"}, "verify-ca"),
        ("postgresql+asyncpg", {"rds_iam_tls": "require", "ssl": "true"}, "verify-full"),
        ("postgresql+pg8000", {"rds_iam_tls": "require", "ssl_context": "True"}, "verify-full"),
    ],
)
def test_tls(rds: RdsEmulator, drivername: str, query: dict[str, str], mode: str) -> None:
    """TLS is what the URL asks for, in the plugin's words or in the driver's own."""
    found = libpq_environment.setup(Access(rds.url(drivername, **query)), ["psql"], {})
    assert found.variables["PGSSLMODE"] == mode
