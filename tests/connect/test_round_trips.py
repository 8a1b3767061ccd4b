"""What an engine waits for over a network, in round trips: as many as the pages say."""

from __future__ import annotations

import functools
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from patience import DEADLINE
from sqlalchemy import URL
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import greenlet_spawn
from worlds import DRIVERS, Database, on

from benchmarks.lib import first_use
from benchmarks.lib.delay_proxy import DelayProxy
from sqlalchemy_rds_iam.testing import RdsEmulator

DOCS = Path(__file__).parents[2] / "docs"
ROUND_TRIP = 0.004
"""Seconds: more than a driver takes from one packet to the next."""

KNOWN = {"use_native_hstore", *inspect.signature(DefaultDialect).parameters}
"""Arguments of dialects, some of which SQLAlchemy has only had since 2.0.43."""

PACKAGES = {
    "psycopg2": "psycopg2-binary",
    "pymysql": "PyMySQL",
    "mysqldb": "mysqlclient",
    "mysqlconnector": "mysql-connector-python",
    "mariadbconnector": "mariadb",
}


def counted(driver: str) -> list[int | None]:
    """The driver's line of the table on the page about AWS Lambda."""
    page = (DOCS / "lambda-ecs.md").read_text()
    [line] = re.findall(rf"^\| {driver} \| (\d.*) \|$", page, re.MULTILINE)
    return [int(cell) if cell.strip() else None for cell in line.split("|")]


def as_counted(driver: str) -> bool:
    """Whether what is installed is what the page says it was counted with."""
    text = " ".join((DOCS / "lambda-ecs.md").read_text().split())
    packages = "SQLAlchemy", PACKAGES.get(driver, driver)
    return all(f" {package} {version(package)}" in text for package in packages)


@pytest.fixture(scope="module")
def proxy_to() -> Iterator[Callable[[URL], DelayProxy]]:
    """A proxy in front of the server of a URL, which each test has to start over."""
    with ExitStack() as undo:

        @functools.cache
        def start(host: str, port: int) -> DelayProxy:
            return undo.enter_context(DelayProxy(host, port))

        yield lambda url: start(str(url.host), int(url.port or 0))


class Far(NamedTuple):
    """What an engine waits for, in round trips.

    Attributes:
        connect: to connect.
        first: for its first use.
        later: for one that comes later.
    """

    connect: int
    first: int
    later: int


@pytest.fixture
def far(
    rds: RdsEmulator,
    world: tuple[str, bool],
    databases: Any,
    proxy_to: Callable[[URL], DelayProxy],
) -> Callable[..., Far]:
    """Make an engine behind a proxy, and count what it waits for."""
    url = rds.url(world[0], rds_iam_port=str(rds.endpoint.port))
    proxy = proxy_to(url)

    def count(**settings: Any) -> Far:
        proxy.start_over(ROUND_TRIP)
        made: Database = databases(
            url.set(port=proxy.port), is_async=world[1], pool_size=1, **settings
        )

        def found() -> Far:
            first, *_, later = first_use.uses(made.engine, proxy)
            connect = first_use.connect(made.engine, proxy)
            return Far(connect, first.round_trips, later.round_trips)

        return found() if made._runner is None else made._runner.run(greenlet_spawn(found))

    return count


@on(*DRIVERS)
def test_first_and_later_uses(far: Callable[..., Far], world: tuple[str, bool]) -> None:
    """The settings save round trips, and on the page's versions as many as it says."""
    driver = world[0].partition("+")[2]
    usual, pinged = far(), far(**first_use.PING)
    assert usual.connect < usual.first
    assert usual.later < pinged.later
    saving = None
    if (settings := first_use.SETTINGS.get(driver)) is not None:
        if not KNOWN.issuperset(settings):
            pytest.skip("this SQLAlchemy has no skip_autocommit_rollback")
        saving = far(**settings)
        assert saving.first < usual.first
        assert saving.later < usual.later
    if as_counted(driver):
        assert counted(driver) == [
            *(usual.connect, usual.first, saving and saving.first),
            *(usual.later, pinged.later, saving and saving.later),
        ]


HELLOS = {
    "psycopg": "import psycopg; psycopg.connect(host=HOST, port=PORT, sslmode='require')",
    "psycopg2": "import psycopg2; psycopg2.connect(host=HOST, port=PORT, sslmode='require')",
    "pg8000": "import pg8000; pg8000.connect('user', HOST, port=PORT, ssl_context=True)",
}
"""What says hello, and fails afterwards: with what psycopg brings, psycopg2, and Python."""


@pytest.mark.parametrize("driver", HELLOS)
def test_a_configuration_of_openssl(
    rds_iam_environment: RdsEmulator,
    driver: str,
    tmp_path: Path,
    proxy_to: Callable[[URL], DelayProxy],
) -> None:
    """One of those on the page spares the second hello, and it depends on OpenSSL which."""
    if driver == "psycopg2" and version("psycopg2-binary") == "2.9.9":
        pytest.skip("brings OpenSSL 1.1, which knows neither")
    rds = rds_iam_environment
    one_curve = rds.certificates.valid()
    one_curve.set_ecdh_curve("prime256v1")
    rds.gateway.certificate = one_curve
    page = (DOCS / "tls.md").read_text()
    told = re.findall(r"```text\n(openssl_conf.*?)```", page, re.DOTALL)
    assert len(told) == 2
    proxy = proxy_to(rds.url())

    def second_hellos(configuration: str | None) -> int:
        proxy.start_over(ROUND_TRIP)
        file = tmp_path / "openssl.cnf"
        file.write_text(configuration or "")
        where = {} if configuration is None else {"OPENSSL_CONF": str(file)}
        code = f"HOST, PORT = {rds.url().host!r}, {proxy.port}\n{HELLOS[driver]}"
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | where,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        [seen] = proxy.seen()
        return seen.hello_retries

    usual = second_hellos(None)
    if usual == 0:
        pytest.skip("this OpenSSL bets on P-256 by itself")
    assert usual == 1
    assert min(second_hellos(each) for each in told) == 0
