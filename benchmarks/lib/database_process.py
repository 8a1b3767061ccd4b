"""An emulated database in a process of its own: what emulator and cluster have in common."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import URL, make_url

from benchmarks.lib.command_process import CommandProcess, say
from benchmarks.lib.drivers import DRIVERS, drivername
from benchmarks.lib.runtime import many_files

if TYPE_CHECKING:
    # Not where the database is only seen from: the import takes long.
    from sqlalchemy_rds_iam.testing import RdsCluster, RdsEmulator


class DatabaseProcess:
    """The database, seen from another process.

    Attributes:
        url: of the plugin, for the first of the drivers.
        urls: the same for each driver of that kind of database, by its name.
        signed: host, port and region that tokens are signed for.
        environ: of a process in the emulated account, and no other settings of AWS or databases.
    """

    url: URL
    urls: dict[str, URL]
    signed: dict[str, Any]
    environ: dict[str, str]

    def __init__(self, process: CommandProcess) -> None:
        self._process = process

    def __enter__(self) -> Self:
        self._process.__enter__()
        try:
            told = self._process.answer()
        except BaseException:
            self.__exit__()
            raise
        self.urls = {
            driver: make_url(url).difference_update_query(["rds_iam_throttle_retry"])
            for driver, url in told["urls"].items()
        }
        self.url = next(iter(self.urls.values()))
        self.signed = told["signed"]
        self.environ = own_environment() | told["environ"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()


def prepare() -> None:
    """In such a process: open many files, and do not wait for what else the machine does."""
    many_files()
    with contextlib.suppress(OSError):
        # Only root may say so.
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def introduce(rds: RdsEmulator | RdsCluster, engine: str, url: Callable[[str], URL]) -> None:
    """In such a process: say where the database is, once it has started.

    Args:
        rds: the database.
        engine: the kind of database.
        url: its URL, by how the URLs of a driver begin.
    """
    host, port, region = rds.endpoint.host, rds.endpoint.port, rds.endpoint.region
    say(
        {
            "urls": {
                name: url(drivername(name)).render_as_string()
                for name, driver in DRIVERS.items()
                if driver.engine == engine
            },
            "signed": {"host": host, "port": port, "region": region},
            "environ": rds.environ(),
        }
    )


def own_environment() -> dict[str, str]:
    """This process's environment without what it says about AWS and databases."""
    foreign = ("AWS_", "PG", "MYSQL_", "MARIADB_")
    return {name: v for name, v in os.environ.items() if not name.startswith(foreign)}
