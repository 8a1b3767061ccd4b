"""Where names are not checked, public roots are not trusted: they certify any server there is."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
import worlds
from ca_support import BUNDLE
from cli_support import shown
from sqlalchemy import create_engine
from tls_support import CONTEXT, LEAST, LIBPQ, POSTGRESQL, asked
from worlds import on

from sqlalchemy_rds_iam import ConfigError, engine_pair
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam._tls import public_roots, trust
from sqlalchemy_rds_iam.doctor import examine
from sqlalchemy_rds_iam.testing import RdsEmulator

INSTANCE = "db.abc123.us-east-1.rds.amazonaws.com"
PROXY = "p.proxy-abc123.us-east-1.rds.amazonaws.com"
REFUSED = r"there are public roots in .*verify-full"

Place = Callable[[Path], str]


def _target(driver: str, config: Any, host: str = INSTANCE, **cparams: Any) -> dict[str, Any]:
    where = {"host": host, DRIVERS[driver].user: "app"}
    return DRIVERS[driver].target(where | cparams, config, lambda: None).arguments


def _shipped() -> str:
    return next(public_roots.shipped())


def _copied(directory: Path) -> str:
    (copy := directory / "copy.pem").write_bytes(Path(_shipped()).read_bytes())
    return str(copy)


def _linked(directory: Path) -> str:
    (link := directory / "link.pem").symlink_to(trust.system_roots())
    (again := directory / "again.pem").symlink_to(link)
    return str(again)


def _one(directory: Path) -> str:
    end = "-----END CERTIFICATE-----\n"
    (file := directory / "one.pem").write_text(
        Path(_shipped()).read_text("utf-8").split(end)[0] + end
    )
    return str(file)


def _beside(directory: Path) -> str:
    (file := directory / "all.pem").write_bytes(BUNDLE + Path(_shipped()).read_bytes())
    return str(file)


PLACES: dict[str, Place] = {
    "system": lambda _: "system",
    "path": lambda _: trust.system_roots(),
    "botocore": lambda _: _shipped(),
    "linked": _linked,
    "copied": _copied,
    "one-of-them": _one,
    "beside-amazons": _beside,
}


@pytest.fixture(params=PLACES)
def roots(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Public roots, under each name that they may have."""
    return PLACES[request.param](tmp_path)


@pytest.mark.parametrize("options", [IamOptions, SecretOptions])
@pytest.mark.parametrize("driver", DRIVERS)
def test_verify_ca(
    driver: str, options: Any, roots: str, monkeypatch: pytest.MonkeyPatch, ca: str
) -> None:
    """Refused however they are named; with names checked they are fine."""
    needed = {"id": "x"} if options is SecretOptions else {}

    def config(**more: Any) -> Any:
        return options.take({options.named(key): v for key, v in (needed | more).items()}, {})

    with pytest.raises(ConfigError, match=REFUSED):
        _target(driver, config(tls="verify-ca", ca=roots))
    _target(driver, config(ca=roots))
    if driver in POSTGRESQL:
        monkeypatch.setenv("PGSSLROOTCERT", roots)
        with pytest.raises(ConfigError, match=rf"\(PGSSLROOTCERT\).* with {options.PLUGIN}_ca"):
            _target(driver, config(tls="verify-ca"))
        _target(driver, config())
    _target(driver, config(tls="verify-ca", ca=ca))
    if driver in LIBPQ:
        with pytest.raises(ConfigError, match=REFUSED):
            _target(driver, config(tls="verify-ca"), sslrootcert=roots)
        with pytest.raises(ConfigError, match=REFUSED):
            _target(driver, config(tls="require"), sslmode="verify-ca", sslrootcert=roots)


@pytest.mark.parametrize("driver", DRIVERS)
def test_require(driver: str, roots: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a file named, `require` verifies what `verify-ca` does; without, it verifies nothing."""
    with pytest.raises(ConfigError, match=r"and (require|verify-ca) checks"):
        _target(driver, IamOptions(tls="require", ca=roots))
    if driver in LEAST:
        return
    for host in (INSTANCE, PROXY):
        monkeypatch.setenv("PGSSLROOTCERT", roots)
        arguments = _target(driver, IamOptions(tls="require"), host)
        assert asked(driver, arguments).level == "require"
        if driver in LIBPQ:
            assert arguments.get("sslrootcert") == ("" if roots == "system" else None)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_proxy(driver: str, ca: str) -> None:
    """A proxy is checked against public roots unless a file is named: then names are a must."""
    with pytest.raises(ConfigError, match=REFUSED):
        _target(driver, IamOptions(tls="verify-ca"), PROXY)
    _target(driver, IamOptions(), PROXY)
    _target(driver, IamOptions(tls="verify-ca", ca=ca), PROXY)


def test_a_found_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no better for having been searched."""
    file = Path(_beside(tmp_path))
    monkeypatch.setattr(trust, "_RDS_BUNDLES", (str(file),))
    with pytest.raises(ConfigError, match="well-known place"):
        _target("psycopg", IamOptions(tls="verify-ca"))
    file.write_bytes(BUNDLE)
    _target("psycopg", IamOptions(tls="verify-ca"))


@pytest.mark.parametrize("driver", CONTEXT)
def test_contexts_of_the_users_own(driver: str, ca: str, tmp_path: Path) -> None:
    """Contexts are inspected as far as possible; one that lists no CA counts as public roots."""

    def unnamed(**where: str) -> ssl.SSLContext:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname = False
        if where:
            ctx.load_verify_locations(**where)
        else:
            ctx.load_default_certs()
        return ctx

    config = IamOptions(tls="verify-ca")
    for ctx in (unnamed(), unnamed(cafile=_beside(tmp_path)), unnamed(capath=str(tmp_path))):
        with pytest.raises(ConfigError, match="does not check names"):
            _target(driver, config, **{CONTEXT[driver]: ctx})
        _target(driver, IamOptions(tls="require"), **{CONTEXT[driver]: ctx})
        ctx.check_hostname = True
        _target(driver, config, **{CONTEXT[driver]: ctx})
    _target(driver, config, **{CONTEXT[driver]: unnamed(cafile=ca)})


def test_libpq_and_we_agree(rds: RdsEmulator, connect: Any, tmp_path: Path) -> None:
    """The engine is refused when it is made, and works where names are checked."""
    with pytest.raises(ConfigError, match=REFUSED):
        connect(options={"rds_iam_tls": "verify-ca", "rds_iam_ca": "system"})
    both = tmp_path / "both.pem"
    both.write_bytes(rds.ca_file.read_bytes() + Path(_shipped()).read_bytes())
    with pytest.raises(ConfigError, match=REFUSED):
        connect(options={"rds_iam_tls": "verify-ca", "rds_iam_ca": str(both)})
    assert connect(options={"rds_iam_ca": str(both)}).scalar("select 1") == 1


@on(*worlds.POSTGRESQL)
def test_require_beside_the_word_system(
    connect: Any,
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    world: tuple[str, bool],
    databases: Any,
) -> None:
    """Libpq would refuse PGSSLROOTCERT=system with it; nothing is to be verified, so it works."""
    monkeypatch.setenv("PGSSLROOTCERT", "system")
    url = rds.url(world[0], rds_iam_tls="require").difference_update_query(["rds_iam_ca"])
    assert databases(url, is_async=world[1]).scalar("select 1") == 1


def test_pairs_secrets_and_commands(ca: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever an engine's options are read: pairs, secrets without a host, the command line."""
    url = f"postgresql+psycopg://app@{PROXY}/app?plugin=rds_iam&rds_iam_tls=verify-ca"
    with pytest.raises(ConfigError, match=REFUSED):
        engine_pair(url)
    with pytest.raises(ConfigError, match=r"reader: .*public roots"):
        engine_pair(url.replace(PROXY, INSTANCE), url)
    secret = "postgresql+psycopg://?plugin=rds_secret&rds_secret_id=x&rds_secret_region=us-east-1"
    create_engine(f"{secret}&rds_secret_tls=verify-ca")
    with pytest.raises(ConfigError, match=REFUSED):
        create_engine(f"{secret}&rds_secret_tls=verify-ca&rds_secret_ca=system")
    with pytest.raises(ConfigError, match=REFUSED):
        create_engine(f"{secret}&rds_secret_tls=verify-ca".replace("//?", f"//{PROXY}?"))
    for command in (["ca", url], ["exec", url, "--", "true"], ["bench", url]):
        found = shown(*command)
        assert found.code in {1, 2}, command
        assert "public roots" in found.err
    cause = examine(url).causes[0]
    assert (cause.code, "public roots" in str(cause)) == ("tls-weak", True)


def test_a_private_authority_in_the_systems_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many add Amazon's or their own to the system's: named alone, these are no public roots."""
    own, store = tmp_path / "own.pem", tmp_path / "store.pem"
    trustme.CA().cert_pem.write_to_path(str(own))
    store.write_bytes(Path(_shipped()).read_bytes() + own.read_bytes() + BUNDLE)
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    _target("psycopg", IamOptions(tls="verify-ca", ca=str(own)))
    with pytest.raises(ConfigError, match=REFUSED):
        _target("psycopg", IamOptions(tls="verify-ca", ca="system"))
