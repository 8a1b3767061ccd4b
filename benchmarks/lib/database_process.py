"""An emulated database in a process of its own: what emulator and cluster have in common."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import URL, make_url

from benchmarks.lib.command_process import CommandProcess, say
from benchmarks.lib.runtime import many_files

if TYPE_CHECKING:
    # Not where the database is only seen from: the import takes long.
    from sqlalchemy_rds_iam.testing import RdsCluster, RdsEmulator


class DatabaseProcess:
    """The database, seen from another process.

    Attributes:
        url: of the plugin, for psycopg.
        signed: host, port and region that tokens are signed for.
        environ: of a process in the emulated account, and no other AWS or PostgreSQL settings.
    """

    url: URL
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
        self.url = make_url(told["url"]).difference_update_query(["rds_iam_throttle_retry"])
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


def introduce(rds: RdsEmulator | RdsCluster, url: URL) -> None:
    """In such a process: say where the database is, once it has started."""
    host, port, region = rds.endpoint.host, rds.endpoint.port, rds.endpoint.region
    say(
        {
            "url": url.render_as_string(),
            "signed": {"host": host, "port": port, "region": region},
            "environ": rds.environ(),
        }
    )


def own_environment() -> dict[str, str]:
    """This process's environment without what it says about AWS and PostgreSQL."""
    foreign = ("AWS_", "PG")
    return {name: v for name, v in os.environ.items() if not name.startswith(foreign)}
