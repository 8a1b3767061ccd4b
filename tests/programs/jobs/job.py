"""What every job uses: where the database is, servers with a deadline, and the rollover.

The interpreter of the program runs this, in an environment of its own: nothing but the standard
library is imported here. The variables are set by `programs.run`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

T = TypeVar("T")

_SHOWN = 4000
"""Characters of a log that stand in an error."""

_ROLLOVER = 1200.0
"""Seconds for a rollover at the most: the runner waits for keys to expire, and for its turn."""


def url(driver: str = "postgresql+psycopg", database: str = "app", **query: str) -> str:
    """The URL that a user would write: the plugin, and how the emulator is reached.

    Args:
        driver: The dialect and driver.
        database: One of those that the job's metadata names.
        query: More options, or other values for ours.
    """
    family = "mysql" if driver.startswith(("mysql", "mariadb")) else "postgresql"
    found = os.environ[f"PROGRAM_URL_{family.upper()}"].replace("{database}", database)
    address, _, options = found.partition("?")
    return f"{driver}:{address}?{urlencode(dict(parse_qsl(options)) | query)}"


def run(program: Callable[[], AbstractContextManager[Callable[[], object]]]) -> None:
    """Set the program up, do its work, and do it again after the rollover."""
    # So that servers are stopped, too, where the job is.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with program() as work:
        work()
        _ask("rollover", seconds=_ROLLOVER)
        work()


def report(**facts: object) -> None:
    """Add `facts` to the program's results."""
    _ask("report", facts)


def wait_for(condition: Callable[[], T], seconds: float = 60.0) -> T:
    """Call `condition` until it returns something true, and return that.

    An `OSError`, such as that of a server which does not listen yet, is a no.

    Raises:
        TimeoutError: It did not within `seconds`.
    """
    end = time.monotonic() + seconds
    while True:
        last: Any = None
        try:
            if last := condition():
                return last
        except OSError as error:
            last = error
        if time.monotonic() > end:
            name = getattr(condition, "__name__", "the condition")
            raise TimeoutError(f"{name}: still {last!r} after {seconds:.0f} s")
        time.sleep(0.1)


def command(
    *words: str | Path,
    seconds: float = 120.0,
    env: Mapping[str, str] | None = None,
    input: str | None = None,  # noqa: A002 - as in subprocess
) -> str:
    """Run a command of the program, and return what it printed.

    Raises:
        RuntimeError: It failed, or took more than `seconds`; with what it printed.
    """
    try:
        done = subprocess.run(
            [str(word) for word in words],
            env={**os.environ, **(env or {})},
            input=input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        # It may be bytes here, whatever `text` says.
        printed = error.output or ""
        text = printed.decode(errors="replace") if isinstance(printed, bytes) else printed
        raise RuntimeError(f"{words[0]}: no end after {seconds:.0f} s\n{text[-_SHOWN:]}") from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(
            f"{words[0]}: exit code {error.returncode}\n{error.output[-_SHOWN:]}"
        ) from None
    return done.stdout


class Server:
    """A process that `serve` started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], T], seconds: float = 60.0) -> T:
        """As `wait_for`, but an end of the process is the end of the wait.

        Raises:
            RuntimeError: The process has ended.
            TimeoutError: It took too long.
        """

        def alive_and() -> T:
            code = self.process.poll()
            if code is not None:
                raise RuntimeError(f"{self.process.args!r} has ended with {code}")
            return condition()

        return wait_for(alive_and, seconds)


@contextmanager
def serve(
    *words: str | Path,
    ready: Callable[[], Any] | None = None,
    seconds: float = 60.0,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server of the program meanwhile; its log is added to the errors that occur.

    Args:
        words: The command.
        ready: Whether it serves; asked for `seconds` at the most.
        seconds: See `ready`.
        env: More environment.
    """
    name = Path(words[0]).name
    log = Path.cwd() / f"{name}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in words],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    server = Server(process, log)
    try:
        if ready is not None:
            server.wait_for(ready, seconds)
        yield server
    except BaseException as error:
        error.add_note(f"--- log of {name}\n{server.log[-_SHOWN:]}")
        raise
    finally:
        _stop(process)


def get(address: str, seconds: float = 30.0, **headers: str) -> str:
    """The answer to a GET; an `OSError` if there is none, or one that is an error."""
    request = urllib.request.Request(address, headers=headers)
    with _OPENER.open(request, timeout=seconds) as answer:
        return str(answer.read().decode())


def post(address: str, body: object = None, seconds: float = 30.0, **headers: str) -> str:
    """The same of a POST, of JSON."""
    data = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | headers
    request = urllib.request.Request(address, data, headers, method="POST")
    with _OPENER.open(request, timeout=seconds) as answer:
        return str(answer.read().decode())


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# What a job talks to is on loopback, whatever proxy the machine has.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _ask(what: str, body: object = None, seconds: float = 60.0) -> None:
    if "PROGRAM_CONTROL" not in os.environ:
        sys.exit("a job is run by `make programs`: PROGRAMS=name make programs")
    post(f"{os.environ['PROGRAM_CONTROL']}/{what}", body, seconds)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 30.0)):
        try:
            # The whole group: servers start others.
            os.killpg(process.pid, number)
            process.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
