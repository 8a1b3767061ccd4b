"""`rds-iam exec`: signals reach the program, wherever they come from, and end it as they do."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest
from cli_support import COMMAND, RUNS, python
from patience import DEADLINE, running

from sqlalchemy_rds_iam.cli import exec_child
from sqlalchemy_rds_iam.testing import RdsEmulator


@RUNS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals(rds: RdsEmulator, url: str, mode: tuple[str, ...], number: signal.Signals) -> None:
    """A signal reaches the program, whose own exit status is that of the command."""
    code = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(42))\n"
        "print('ready', flush=True)\n"
        # In short naps: a signal just before one long sleep would be handled after it.
        "while True: time.sleep(0.01)"
    )
    command = [*COMMAND, "exec", _with_ca(rds, url), *mode, *python(code)]
    with running(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(DEADLINE) == 42


def test_early_signals() -> None:
    """A signal that comes before the program is there is passed on to it; an ignored one is not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    relay = exec_child.Relay()
    try:
        with relay.listening():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            signal.raise_signal(signal.SIGTERM)
            with running(["sleep", "120"]) as process:
                relay.to(process)
                assert process.wait(DEADLINE) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGHUP, before)


def _in_a_terminal(*command: str, key: bytes = b"") -> list[bytes]:
    """What a command prints that a terminal of its own is in control of; its keys are for it."""
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    take += "os.execv(sys.argv[1], sys.argv[1:])"
    master, slave = pty.openpty()
    with running(
        [sys.executable, "-c", take, *command],
        stdin=slave,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        os.close(slave)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        os.write(master, key)
        lines += process.stdout.readlines()
        assert process.wait(DEADLINE) == 0
    os.close(master)
    return lines


@RUNS
def test_key_of_the_terminal(rds: RdsEmulator, url: str, mode: tuple[str, ...]) -> None:
    """Ctrl-C reaches the program, and what it does then is its own affair."""
    code = (
        "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
        "print('ready', flush=True)\n"
        "print(signal.sigtimedwait([signal.SIGINT], 60).si_signo)"
    )
    shown = _in_a_terminal(*COMMAND, "exec", _with_ca(rds, url), *mode, *python(code), key=b"\x03")
    assert shown == [b"ready\n", b"2\n"]


def test_told_once() -> None:
    """What the terminal has told the program already is not passed on by us as well."""
    code = (
        "import signal, subprocess\n"
        "from sqlalchemy_rds_iam.cli import exec_child\n"
        "process, relay = subprocess.Popen(['sleep', '120']), exec_child.Relay()\n"
        "relay.to(process)\n"
        "relay._pass_on(signal.SIGINT, None)\n"
        "relay._pass_on(signal.SIGTERM, None)\n"
        "print(process.wait(60))"
    )
    # Of two signals that wait, the lower number is delivered first.
    assert _in_a_terminal(sys.executable, "-c", code) == [b"-15\n"]


def _with_ca(rds: RdsEmulator, url: str) -> str:
    return f"{url}&rds_iam_ca={rds.ca_file}"


@RUNS
def test_ended_by_a_signal(rds: RdsEmulator, url: str, mode: tuple[str, ...]) -> None:
    """A program that a signal ends counts as ended by it, in a shell as 128+N."""
    # Python itself ignores a pipe that is closed.
    number = signal.SIGPIPE if mode else signal.SIGKILL
    script = f"{' '.join(COMMAND[:-1])} '{COMMAND[-1]}' exec '{_with_ca(rds, url)}' "
    script += f"{' '.join(mode)} -- sh -c 'kill -{int(number)} $$'; echo $?"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.stdout == f"{128 + number}\n".encode()
