"""Whom we trust, and what each driver is told about it."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
import worlds
from ca_support import find_ca
from frames_support import chain
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from tls_support import ARGUMENT, CONTEXT, LEAST, LIBPQ, POSTGRESQL, asked
from worlds import on

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.testing import RdsEmulator

INSTANCE = parse_host("db.abc123.us-east-1.rds.amazonaws.com")
PROXY = parse_host("p.proxy-abc123.us-east-1.rds.amazonaws.com")


def _settle(driver: str, tls_level: str = "verify-full", **cparams: Any) -> dict[str, Any]:
    row = DRIVERS[driver]
    where = {"host": INSTANCE.host, "port": row.family.port, row.user: "app"}
    config = IamOptions(tls=tls_level)
    return row.target(where | cparams, config, lambda: None).arguments


def _pem(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


def test_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is named by option comes first, then PGSSLROOTCERT, then the well-known places."""
    monkeypatch.setattr(trust, "_RDS_BUNDLES", (str(tmp_path / "etc.pem"),))
    environ = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with pytest.raises(ConfigError, match="no CA bundle found"):
        find_ca({"rds_iam_ca": None}, INSTANCE, environ)
    etc = _pem(tmp_path / "etc.pem")
    assert find_ca({}, INSTANCE, environ) == etc
    cached = _pem(tmp_path / "cache" / "sqlalchemy-rds-iam" / "global-bundle.pem")
    assert find_ca({}, INSTANCE, environ) == cached
    own = _pem(tmp_path / "home" / ".postgresql" / "root.crt")
    assert find_ca({}, INSTANCE, environ) == own
    named = _pem(tmp_path / "named.pem")
    environ["PGSSLROOTCERT"] = named
    assert find_ca({}, INSTANCE, environ) == named
    first, second = _pem(tmp_path / "first.pem"), _pem(tmp_path / "second.pem")
    both = {"rds_iam_ca": first, "sslrootcert": second}
    assert find_ca(both, INSTANCE, environ) == first
    assert find_ca({**both, "rds_iam_ca": None}, INSTANCE, environ) == second


def test_proxy_is_certified_by_public_roots(ca: str) -> None:
    """An RDS Proxy is checked against the system's roots, unless a file is named by option."""
    assert find_ca({}, PROXY) == trust.system_roots()
    assert find_ca({"rds_iam_ca": ca}, PROXY) == ca


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_file_named_for_a_proxy_is_all_that_counts(driver: str, ca: str) -> None:
    """Nothing is added to it, with any driver."""
    where = {"host": PROXY.host, DRIVERS[driver].user: "app"}
    arguments = DRIVERS[driver].target(where, IamOptions(ca=ca), lambda: None).arguments
    assert len(asked(driver, arguments).trusted) == 1


def test_system_means_the_systems_roots() -> None:
    """The word "system" stands for the operating system's roots, as in libpq."""
    assert find_ca({"sslrootcert": "system"}, INSTANCE) == trust.system_roots()


def test_unreadable_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home directory that does not exist, or is no absolute path, is passed over."""
    for home in ("/nonexistent", "relative"):
        with pytest.raises(ConfigError, match="no CA bundle found"):
            find_ca({}, INSTANCE, {"HOME": home, "XDG_CACHE_HOME": ""})


@pytest.mark.parametrize("driver", DRIVERS)
def test_verify_full_by_default(driver: str, ca: str) -> None:
    """Without a word from the user, certificate and name are checked."""
    arguments = _settle(driver)
    found = asked(driver, arguments)
    assert found.level == "verify-full"
    if found.context is not None:
        assert found.context.minimum_version == ssl.TLSVersion.TLSv1_2
    else:
        assert found.ca == ca
    if driver in LIBPQ:
        assert arguments["gssencmode"] == "disable"


@pytest.mark.parametrize("level", trust.STRENGTH)
@pytest.mark.parametrize("driver", DRIVERS)
def test_levels(driver: str, level: str, ca: str) -> None:
    """Each level of rds_iam_tls is what the driver is told."""
    expected = max(level, LEAST.get(driver, level), key=trust.STRENGTH.__getitem__)
    assert asked(driver, _settle(driver, level)).level == expected


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_strong_words_of_the_driver_are_honoured(driver: str, ca: str) -> None:
    """A driver's own argument may ask for more than rds_iam_tls, and then gets it."""
    arguments = _settle(driver, "require", **{ARGUMENT[driver]: "verify-full"})
    assert asked(driver, arguments).level == "verify-full"


@pytest.mark.parametrize("given", ["disable", "allow", "prefer", "require", "verify-ca", "what"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_weak_words_of_the_driver_are_refused(driver: str, given: str, ca: str) -> None:
    """Anything weaker than rds_iam_tls is refused, with what to change."""
    with pytest.raises(ConfigError, match="weaker") as caught:
        _settle(driver, **{ARGUMENT[driver]: given})
    fix = f"rds_iam_tls={given}" in str(caught.value)
    assert fix == (given in trust.STRENGTH)


@pytest.mark.parametrize("driver", CONTEXT)
def test_own_contexts(driver: str, ca: str) -> None:
    """A context of the user's own is used as it is if it is strong enough."""
    strong = ssl.create_default_context(cafile=ca)
    assert _settle(driver, **{ARGUMENT[driver]: strong})[ARGUMENT[driver]] is strong
    weak = ssl.create_default_context(cafile=ca)
    weak.check_hostname = False
    with pytest.raises(ConfigError, match="verify-ca"):
        _settle(driver, **{ARGUMENT[driver]: weak})
    with pytest.raises(ConfigError, match="disable"):
        _settle(driver, **{ARGUMENT[driver]: False})
    if driver in POSTGRESQL:
        with pytest.raises(ConfigError, match="sslmode"):
            _settle(driver, sslmode="verify-full")


@pytest.mark.parametrize("word", [True, 1, "true", "True", "1", "yes", "ON"])
@pytest.mark.parametrize("driver", CONTEXT)
def test_any_yes_is_to_verified_tls(driver: str, word: Any, ca: str) -> None:
    """In a URL or in connect_args: who asks for TLS and says no more gets the whole of it."""
    for level in trust.STRENGTH:
        arguments = _settle(driver, level, **{ARGUMENT[driver]: word})
        assert asked(driver, arguments).level == "verify-full"


@pytest.mark.parametrize("word", [False, 0, "false", "False", "0", "no", "off"])
@pytest.mark.parametrize("driver", CONTEXT)
def test_any_no_is_refused(driver: str, word: Any, ca: str) -> None:
    """However TLS is switched off, it is weaker than whatever may be asked for."""
    for level in trust.STRENGTH:
        with pytest.raises(ConfigError, match="weaker"):
            _settle(driver, level, **{ARGUMENT[driver]: word})


NO_LEVELS: list[Any] = [[], ["a"], object(), ("a", "b"), 2, b"true"]
DICTS: list[Any] = [{}, {"ca": "x"}]  # with MySQL's drivers these are words about TLS


@pytest.mark.parametrize(
    ("driver", "value"),
    [
        *itertools.product([*POSTGRESQL, "pymysql", "asyncmy"], NO_LEVELS),
        *itertools.product(POSTGRESQL, DICTS),
    ],
)
def test_what_is_no_level_and_no_context(driver: str, value: Any, ca: str) -> None:
    """Anything else in its place is named by its type, not by what is in it."""
    with pytest.raises(ConfigError, match=f"type {type(value).__name__}: expected"):
        _settle(driver, **{ARGUMENT[driver]: value})


@pytest.mark.parametrize("driver", ARGUMENT)
def test_empty_words_of_the_driver(driver: str, ca: str) -> None:
    """From an unset variable: what is empty is not given."""
    arguments = _settle(driver, **{ARGUMENT[driver]: ""})
    assert asked(driver, arguments).level == "verify-full"


def test_contexts_are_built_once(ca: str) -> None:
    """All engines with the same trust share one context, until the file changes."""
    first = _settle("asyncpg")["ssl"]
    assert _settle("pg8000")["ssl_context"] is first
    Path(ca).touch()
    _pem(Path(ca))
    assert _settle("asyncpg")["ssl"] is not first


def test_root_dot(ca: str) -> None:
    """A trailing dot, which no certificate carries, is not passed on."""
    target = DRIVERS["psycopg"].target(
        {"host": INSTANCE.host.upper() + ".", "user": "app"}, IamOptions(), lambda: None
    )
    assert (target.endpoint.host, target.arguments["host"]) == (INSTANCE.host, INSTANCE.host)
    assert target.arguments["port"] == target.endpoint.port == 5432


@on(*worlds.POSTGRESQL, "pymysql", "asyncmy", "aiomysql")
@pytest.mark.parametrize("dialled", ["127.0.0.1", "localhost"])
def test_tunnel_checks_the_signed_name(
    rds: RdsEmulator, world: tuple[str, bool], databases: Callable[..., Any], dialled: str
) -> None:
    """Through a tunnel the certificate has to name the RDS endpoint, not the tunnel."""
    drivername, is_async = world
    url = rds.url(drivername).set(host=dialled)
    rds.gateway.certificate = rds.certificates.other_host(rds.endpoint.host)
    assert databases(url, is_async=is_async).scalar("select 1") == 1
    rds.gateway.certificate = rds.certificates.other_host(dialled)
    error = databases(url, is_async=is_async).raises(Exception)
    assert "ertificate" in "".join(map(str, chain(error)))


@on("mysqldb", "mysqlconnector", "mariadbconnector")
@pytest.mark.parametrize("level", trust.STRENGTH)
def test_no_tunnel_without_its_name(
    rds: RdsEmulator, world: tuple[str, bool], databases: Callable[..., Any], level: str
) -> None:
    """A driver that verifies no other name than it dials is refused one, on every level."""
    options = {"rds_iam_host": rds.endpoint.host, "rds_iam_tls": level}
    url = rds.url(world[0], **options).set(host="tunnel.example.com")
    with pytest.raises(ConfigError, match=r"verifies the name that it connects to.*use pymysql"):
        databases(url, is_async=False)


def test_hostaddr(rds: RdsEmulator, databases: Callable[..., Any]) -> None:
    """With libpq the URL may be the bare endpoint, and hostaddr say where it is reached."""
    url = rds.url("postgresql+psycopg").set(host=rds.endpoint.host, port=rds.address[1])
    url = url.difference_update_query(["rds_iam_host"])
    assert databases(url, connect_args={"hostaddr": "127.0.0.1"}).scalar("select 1") == 1


def test_unknown_tunnel(rds: RdsEmulator, databases: Callable[..., Any]) -> None:
    """A tunnel whose name cannot be looked up is an error that says so."""
    url = rds.url("postgresql+psycopg").set(host="tunnel.invalid")
    for is_async in (False, True):
        error = databases(url, is_async=is_async).raises(Exception)
        assert "tunnel.invalid" in str(error)


def test_signing_for_a_name_of_ones_own_is_warned_of(
    ca: str, caplog: pytest.LogCaptureFixture
) -> None:
    """RDS accepts no token that was signed for a custom domain, so it is said in time."""
    url = "app@db.example.com/app?plugin=rds_iam&rds_iam_region=us-east-1"
    create_engine(f"postgresql+psycopg://{url}")
    create_async_engine(f"postgresql+asyncpg://{url}")
    assert [r.levelname for r in caplog.records if "rds_iam_host" in r.message] == ["WARNING"] * 2
