"""Running another program: in our place, or below us with signals passed on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, NamedTuple, NoReturn
from urllib.parse import unquote

from sqlalchemy_rds_iam._concurrency import run_in_daemon_thread

SIGNALED = 128
"""What a shell adds to the number of the signal that ended a program."""

_KEPT = 65_536
_LAST_WORDS = 1.0
_PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_OF_THE_TERMINAL = (signal.SIGINT, getattr(signal, "SIGQUIT", None))

# Variables that are secrets, or the keys that belong to one ("AWS SDKs and Tools settings
# reference" in the AWS SDKs and Tools reference guide). Those that name a file hold none.
_AWS_SECRETS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
}
_AWS_API_KEYS = "AWS_BEARER_TOKEN_"
_URLS = ("RDS_IAM_", "DATABASE_URL")
# SQLAlchemy takes whatever stands before an @ for the password, and 2.0 writes ? and # as they are.
_PASSWORD_IN_URL = re.compile(
    r"://[^?#@]*:[^?#]+@|://[^:/@]*:[^@]+@|pass(?:word|wd)=[^&]", re.IGNORECASE
)


class Ended(NamedTuple):
    """How a program ended.

    Attributes:
        code: its exit status, as a shell has it: 128+N after signal N.
        last_words: the end of what it wrote to standard error, if that was kept.
    """

    code: int
    last_words: str


def without_secrets(
    environ: Mapping[str, str], *, keep_aws: bool
) -> tuple[dict[str, str], list[str]]:
    """An environment for a program that needs to know nothing of AWS.

    Args:
        environ: the environment so far.
        keep_aws: whether the program gets AWS credentials all the same.

    Returns:
        It, and the names of those variables that are not in it: AWS credentials, and what the
        commands of ours and engine pairs read where that holds a password. Region, profile and
        names of files stay.
    """

    def is_secret(name: str, value: str) -> bool:
        if name in _AWS_SECRETS or name.startswith(_AWS_API_KEYS):
            return not keep_aws
        return name.startswith(_URLS) and any(map(_PASSWORD_IN_URL.search, (value, unquote(value))))

    gone = sorted(name for name, value in environ.items() if is_secret(name, value))
    return {name: value for name, value in environ.items() if name not in gone}, gone


def become(command: Sequence[str], environ: dict[str, str]) -> NoReturn:
    """Let `command` take our place: its signals, terminal and exit status are its own.

    Raises:
        OSError: it cannot be run.
    """
    if not hasattr(os, "fork"):
        # On Windows the parent process would take an exec for the end of this process.
        sys.exit(subprocess.run(command, env=environ, check=False).returncode)  # noqa: S603
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores these two, and what is ignored stays so in the program.
    ignored = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ignored}
    try:
        os.execvpe(command[0], list(command), environ)  # noqa: S606  (it is what was asked for)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def supervise(command: Sequence[str], environ: dict[str, str], *, keep_words: bool = True) -> Ended:
    """Run `command` to its end, and pass on signals.

    Args:
        command: the program and its arguments.
        environ: its environment.
        keep_words: read its standard error, to keep the end of it; else it has ours.

    Raises:
        OSError: it cannot be run.
    """
    kept = bytearray()
    relay = Relay()
    with relay.listening():
        stderr = subprocess.PIPE if keep_words else None
        child = subprocess.Popen(command, env=environ, stderr=stderr)  # noqa: S603
        relay.to(child)
        reading = run_in_daemon_thread(lambda: _pass_through(child.stderr, kept))
        code = child.wait()
        # What it has started itself may keep the pipe open, and is not waited for.
        with suppress(TimeoutError):
            reading.result(_LAST_WORDS)
    return Ended(code if code >= 0 else SIGNALED - code, kept.decode(errors="replace"))


def _pass_through(pipe: IO[bytes] | None, kept: bytearray) -> None:
    """Write what comes out of `pipe` to standard error, and keep the end of it."""
    if pipe is None:
        return
    with pipe:
        while chunk := os.read(pipe.fileno(), _KEPT):
            sys.stderr.buffer.write(chunk)
            sys.stderr.buffer.flush()
            kept.extend(chunk)
            del kept[:-_KEPT]


class Relay:
    """Passes signals on to a child, those included that come before there is one.

    Attributes:
        early: the signals that have come before.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self.early: list[int] = []

    def to(self, child: subprocess.Popen[bytes]) -> None:
        """Pass on to this child what came, and what comes."""
        self._child = child
        for number in self.early:
            child.send_signal(number)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals."""
        before = {}
        for name in _PASSED_ON:
            number = getattr(signal, name, None)
            # What is ignored, as below nohup, the child ignores, too.
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, self._pass_on)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if self._child is None:
            self.early.append(number)
        elif not (number in _OF_THE_TERMINAL and _in_foreground()):
            # Of those keys the terminal has told all processes in the foreground.
            self._child.send_signal(number)


def _in_foreground() -> bool:
    """Whether a key at the terminal sends its signals to this process and its children."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    except (AttributeError, OSError):
        return False
