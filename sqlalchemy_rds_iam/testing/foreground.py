"""Run the emulator in the foreground until it is told to stop."""

from __future__ import annotations

import json
import logging
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from sqlalchemy_rds_iam.testing.emulator import HOST, RdsEmulator

DEFAULT_CEILING = 200.0


def run_foreground(
    host: str = HOST,
    port: int = 5432,
    *,
    region: str | None = None,
    users: Sequence[str] = ("app",),
    secrets: Sequence[str] = (),
    ceiling: float | None = DEFAULT_CEILING,
    server: str | None = None,
    postgres: str | None = None,
    listen_port: int = 0,
    as_json: bool = False,
    output: TextIO | None = None,
) -> None:
    """Start the emulator, print how to use it, log each decision; return on SIGINT or SIGTERM.

    Call it from the main thread, which is where signals arrive.

    Args:
        host: See `RdsEmulator`, as for all that follow but the last two.
        port: The port to sign for.
        region: The region to sign for.
        users: Database users to create.
        secrets: Database users to create that have a password, in a secret of the same name.
        ceiling: Authentications per second, None for no limit.
        server: The URL of an existing PostgreSQL.
        postgres: Which PostgreSQL to start.
        listen_port: Where to listen.
        as_json: Print one line of JSON instead of prose, for a parent process.
        output: Where to print, by default standard output; decisions go to standard error.
    """
    output = output or sys.stdout
    # Before the start, so that a signal in the middle of it ends in good order too.
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            _decisions_on_stderr(),
            RdsEmulator(
                host,
                port,
                region=region,
                users=users,
                ceiling=ceiling,
                server=server,
                postgres=postgres,
                listen_port=listen_port,
            ) as emulator,
        ):
            for user in secrets:
                emulator.secrets.create(user, user, database=user)
            print(_as_json(emulator) if as_json else _as_prose(emulator), file=output, flush=True)
            # Forever, but awake often enough for the signal handlers to run on every platform.
            while not stopped.wait(1.0):
                pass
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _as_json(emulator: RdsEmulator) -> str:
    host, port = emulator.address
    return json.dumps(
        {
            "host": host,
            "port": port,
            "ca_file": str(emulator.ca_file),
            "url": emulator.url().render_as_string(hide_password=False),
            "environ": emulator.environ(),
        }
    )


def _as_prose(emulator: RdsEmulator) -> str:
    host, port = emulator.address
    endpoint = emulator.endpoint
    url = emulator.url().render_as_string(hide_password=False)
    environ = {**emulator.environ(), "RDS_IAM_URL": url}
    exports = (f"export {k}={shlex.quote(v)}" for k, v in environ.items())
    return "\n".join(
        (
            f"Listening on {host}:{port} as {endpoint.host}:{endpoint.port} in {endpoint.region}.",
            "",
            *exports,
            "",
            "With these in another shell rds-iam doctor looks at it, rds-iam exec -- psql logs in,",
            "and create_engine(os.environ['RDS_IAM_URL']) connects.",
            "",
            "Ctrl-C stops it.",
        )
    )


@contextmanager
def _decisions_on_stderr() -> Iterator[None]:
    logger = logging.getLogger("sqlalchemy_rds_iam.testing")
    level = logger.level
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
