"""Run the emulator in the foreground until it is told to stop."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam.testing import env_file
from sqlalchemy_rds_iam.testing.database.verifier import SignedEndpoint
from sqlalchemy_rds_iam.testing.emulator import HOST, RdsEmulator

# Imported when there is one.
if TYPE_CHECKING:
    from sqlalchemy_rds_iam.testing.cluster.cluster import RdsCluster
    from sqlalchemy_rds_iam.testing.cluster.console import Console

DEFAULT_CEILING = 200.0
_AWAKE = 0.25
_PROXIES = ("http_proxy", "all_proxy")


def run_foreground(
    host: str | None = None,
    port: int | None = None,
    *,
    users: Sequence[str] = ("app",),
    secrets: Sequence[str] = (),
    ceiling: float | None = DEFAULT_CEILING,
    engine: str = "postgresql",
    driver: str | None = None,
    fetch: bool = False,
    cluster: bool = False,
    variables_file: Path | None = None,
    as_json: bool = False,
    output: TextIO | None = None,
    **more: Any,
) -> None:
    """Start the emulator, print how to use it, log each decision; return when it is told to stop.

    SIGINT, SIGTERM and SIGHUP stop it. In a cluster SIGUSR1 is a failover, and words that are typed
    are faults: see `Console`. Call it from the main thread, which is where signals arrive.

    Args:
        host: See `RdsEmulator`, as for `port`, `users`, `ceiling` and `more`.
        port: The port to sign for.
        users: Database users to create; the URL is that of the first.
        secrets: Database users to create that have a password, in a secret of the same name.
        ceiling: Authentications per second, None for no limit.
        engine: Which database: ``postgresql`` or ``mysql``.
        driver: The driver that the URL names, None for one that is easily installed.
        fetch: Fetch a MariaDB server first, where there is none; see `mariadb_fetch.fetch`.
        cluster: Start an `RdsCluster`, which has hosts and servers of its own.
        variables_file: Where to write the variables as well, as long as it runs.
        as_json: Print one line of JSON instead of shell commands, for a parent process.
        output: Where to print, by default standard output; all else goes to standard error.
        more: Further arguments of `RdsEmulator`.

    Raises:
        ValueError: `variables_file` cannot be written, or a cluster has a host or a server.
    """
    output = output or sys.stdout
    # Before the start, so that a signal in the middle of it ends in good order too.
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    with ExitStack() as cleanup:
        console = None
        if cluster:
            from sqlalchemy_rds_iam.testing.cluster.console import Console

            console = cleanup.enter_context(Console())
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # What is ignored, as below nohup, stays so.
            if signal.getsignal(each) != signal.SIG_IGN:
                cleanup.callback(signal.signal, each, signal.signal(each, stop))
        emulator, variables = cleanup.enter_context(
            serving(
                host,
                port,
                users=users,
                secrets=secrets,
                ceiling=ceiling,
                cluster=cluster,
                variables_file=variables_file,
                engine=engine,
                driver=driver,
                fetch=fetch,
                **more,
            )
        )
        text = _as_json(emulator, variables) if as_json else _as_exports(variables)
        print(text, file=output, flush=True)
        if not as_json:
            sys.stderr.write(f"{_hint(emulator, console)}\n")
            sys.stderr.flush()
        # Forever, but awake often enough for the signal handlers to run on every platform.
        while not stopped.is_set():
            if console is None or isinstance(emulator, RdsEmulator):
                stopped.wait(_AWAKE)
            else:
                console.attend(emulator, _AWAKE)


@contextmanager
def serving(
    host: str | None = None,
    port: int | None = None,
    *,
    users: Sequence[str] = ("app",),
    secrets: Sequence[str] = (),
    engine: str = "postgresql",
    driver: str | None = None,
    fetch: bool = False,
    cluster: bool = False,
    variables_file: Path | None = None,
    only_refusals: bool = False,
    **more: Any,
) -> Iterator[tuple[RdsEmulator | RdsCluster, dict[str, str]]]:
    """A running emulator, and the variables that lead to it.

    Args:
        host: See `run_foreground`, as for all but the next.
        port: The port to sign for.
        users: Database users.
        secrets: Database users with a password.
        engine: Which database.
        driver: The driver that the URL names.
        fetch: Fetch a MariaDB server first.
        cluster: Start an `RdsCluster`.
        variables_file: Where to write the variables as well.
        only_refusals: Log no login that was granted.
        more: Further arguments of `RdsEmulator`.
    """
    with ExitStack() as cleanup:
        if variables_file is not None:
            env_file.check(variables_file)
        cleanup.enter_context(_decisions_on_stderr(only_refusals=only_refusals))
        if driver is not None:
            _check_driver(driver, engine)
        if fetch:
            _fetch(engine)
        emulator = _made(host, port, cluster=cluster, engine=engine, users=users, **more)
        cleanup.enter_context(emulator)
        for user in secrets:
            emulator.secrets.create(user, user, database=user)
        named = f"{engine}+{driver or emulator.engine.driver}"
        urls = _urls(emulator, named, users[0])
        variables = {
            **emulator.environ(),
            **urls,
            "DATABASE_URL": urls["RDS_IAM_URL"],
            **_no_proxy(os.environ),
        }
        if variables_file is not None:
            cleanup.enter_context(env_file.written(variables_file, variables))
        yield emulator, variables


def leads_elsewhere(name: str) -> bool:
    """Whether a variable of this name may lead to another account or database."""
    return name.startswith(("AWS_", "PG", "MYSQL_", "MARIADB_")) or (
        name.startswith(("RDS_IAM_", "DATABASE_URL")) and not name.startswith("RDS_IAM_EMULATOR_")
    )


def _check_driver(driver: str, engine: str) -> None:
    fits = [name for name, row in DRIVERS.items() if row.family.name == engine]
    if driver not in fits:
        raise ValueError(
            f"the driver {driver} is none of {engine}: expected one of {', '.join(fits)}"
        )


def _fetch(engine: str) -> None:
    if engine != "mysql":
        raise ValueError("--fetch brings a MariaDB server: it needs --engine mysql")
    from sqlalchemy_rds_iam.testing.server.mariadb_fetch import fetch

    # On standard error, as standard output is for the variables.
    fetch(lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201


def _made(
    host: str | None, port: int | None, *, cluster: bool, engine: str, **more: Any
) -> RdsEmulator | RdsCluster:
    if not cluster:
        return RdsEmulator(host or HOST, port, engine=engine, **more)
    from sqlalchemy_rds_iam.testing.cluster.cluster import RdsCluster

    # The value of the one may be a password.
    for name, value in (("host", host), ("server", more.get("server"))):
        if value is not None:
            raise ValueError(f"a cluster has a {name} of its own: leave out --{name}")
    given = {name: value for name, value in more.items() if value is not None}
    return RdsCluster(port=port, engine=engine, **given)


def _urls(emulator: RdsEmulator | RdsCluster, drivername: str, user: str) -> dict[str, str]:
    """The variables that `engine_pair` reads, as far as there are servers for them."""
    where = drivername, user, user
    # For programs such as mysqldump, too, which verify the name that they dial.
    if isinstance(emulator, RdsEmulator):
        made = {"URL": emulator.address_url(*where)}
    else:
        names = {"URL": emulator.names.cluster, "READER_URL": emulator.names.reader}
        made = {name: emulator.address_url(each, *where) for name, each in names.items()}
    return {
        f"RDS_IAM_{name}": url.render_as_string(hide_password=False) for name, url in made.items()
    }


def _no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """What keeps a proxy of the user's from being asked for this machine."""
    if not any(environ.get(each) or environ.get(each.upper()) for each in _PROXIES):
        return {}
    known = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = ",".join(filter(None, (known, "127.0.0.1")))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def _as_json(emulator: RdsEmulator | RdsCluster, variables: Mapping[str, str]) -> str:
    host, port = emulator.address
    return json.dumps(
        {
            "schema": 1,
            "host": host,
            "port": port,
            "ca_file": str(emulator.ca_file),
            "url": variables["RDS_IAM_URL"],
            "reader_url": variables.get("RDS_IAM_READER_URL"),
            "environ": dict(variables),
        }
    )


def _as_exports(variables: Mapping[str, str]) -> str:
    # A profile or a session token of the user's would come before the key.
    gone = [name for name in sorted(os.environ) if leads_elsewhere(name) and name not in variables]
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join(([f"unset {' '.join(gone)}"] if gone else []) + lines)


def _hint(emulator: RdsEmulator | RdsCluster, console: Console | None) -> str:
    listening = _listening(emulator.address, emulator.endpoint)
    connects = "create_engine(os.environ['RDS_IAM_URL'])"
    if not isinstance(emulator, RdsEmulator):
        reader = emulator.names.reader
        listening += f"\nand on {_listening(reader.address, reader.signed)}"
        connects = "engine_pair() of sqlalchemy_rds_iam"
    faults = f"{console.help}\n\n" if console else ""
    return (
        f"\nListening on {listening}\nin {emulator.endpoint.region}.\n\n"
        "Run the lines above in another shell. There\n"
        "  rds-iam doctor looks at it,\n"
        f"  rds-iam exec -- {emulator.engine.client} logs in, and\n"
        f"  {connects} connects.\n\n"
        f"{faults}"
        "Each login is shown here, with the decision on it.\nCtrl-C stops it."
    )


def _listening(address: tuple[str, int], signed: SignedEndpoint) -> str:
    host, port = address
    return f"{host}:{port} as\n{signed.host}:{signed.port}"


@contextmanager
def _decisions_on_stderr(*, only_refusals: bool) -> Iterator[None]:
    logger = logging.getLogger("sqlalchemy_rds_iam.testing")
    level = logger.level
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    if only_refusals:
        handler.addFilter(lambda record: not record.getMessage().startswith("granted"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
