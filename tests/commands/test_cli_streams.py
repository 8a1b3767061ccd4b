"""Results on standard output, all else on standard error, whatever these two are."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios

import pytest
from cli_support import COMMAND, Shown, ran, shown
from patience import DEADLINE, running

from sqlalchemy_rds_iam.testing import RdsEmulator

QUICK = [
    ["doctor"],
    ["token"],
    ["policy"],
    ["grant"],
    ["ca"],
    ["bench", "--connects=2", "--rate=50"],
]
ids = [each[0] for each in QUICK]
EVERY = pytest.mark.parametrize("arguments", QUICK, ids=ids)


@pytest.fixture(autouse=True)
def _url(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDS_IAM_URL", rds.url().render_as_string())


def _shell(script: str, **environ: str) -> Shown:
    """What a script shows in which ``rds-iam`` is ours."""
    done = subprocess.run(
        ["bash", "-c", f'rds-iam() {{ "$PYTHON" -W error -c "$MAIN" "$@"; }}\n{script}'],
        env={**os.environ, "PYTHON": COMMAND[0], "MAIN": COMMAND[-1], **environ},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return Shown(done.returncode, done.stdout, done.stderr)


@EVERY
def test_one_document(arguments: list[str]) -> None:
    """With --json standard output is one JSON object with the schema's version."""
    found = shown(*arguments, "--json")
    assert (found.code, found.err) == (0, "")
    data = json.loads(found.out)
    assert data["schema"] == 1
    assert next(iter(data)) == "schema"


@EVERY
def test_nothing_beside_it(arguments: list[str], rds: RdsEmulator) -> None:
    """What worked says nothing on standard error; what failed or was odd says it there alone."""
    found = shown(*arguments)
    assert (found.code, found.err) == (0, "")
    odd = rds.url().update_query_dict({"plugin": ("rds_iam", "rds-iam")})
    beside = shown(*arguments, odd, "--json")
    if arguments[0] in {"token", "policy", "grant", "ca"}:
        assert json.loads(beside.out)
        assert "names the plugin 'rds-iam', which an engine does not find" in beside.err
    for wrong in (["mysql://x/y"], ["--no-such"]):
        failed = shown(*arguments, *wrong)
        if arguments[0] != "doctor" or wrong == ["--no-such"]:  # it examines any URL
            assert (failed.code, failed.out) == (2, "")


HOSTILE = [
    ("> /dev/full", 1, "standard output cannot be written: No space left on device"),
    (">&-", 1, "standard output is closed"),
    ("2>&-", 0, ""),
    ("2> /dev/full", 0, ""),
    ("| true; exit ${PIPESTATUS[0]}", None, ""),
]


@EVERY
def test_hostile_streams(arguments: list[str]) -> None:
    """No traceback where a stream is closed, full or read by no one, and a status that says it."""
    command = " ".join(["rds-iam", *arguments])
    # All write their results in one place; the doctor and bench show beside it how far they are.
    ways = HOSTILE if arguments[0] in {"doctor", "bench", "token"} else HOSTILE[:1]
    for redirected, code, words in ways:
        found = _shell(f"{command} {redirected}")
        assert "Traceback" not in found.err
        assert "Exception ignored" not in found.err
        # A reader that has gone may have read it all before.
        assert found.code in ({0, 141} if code is None else {code}), (redirected, found)
        assert words in found.err


@EVERY
def test_other_encodings(arguments: list[str]) -> None:
    """A terminal without UTF-8 gets the same, with plain marks."""
    # One that has more than plain marks, and still not ours, is no other case for each command.
    for encoding in ("ascii", "latin-1") if arguments[0] == "doctor" else ("ascii",):
        found = ran(*arguments, PYTHONIOENCODING=encoding, LC_ALL="C", PYTHONUTF8="0")
        assert (found.code, found.err) == (0, "")
        assert found.out.isascii()


def test_what_an_encoding_lacks() -> None:
    """A result that cannot be written as it is is refused, and not changed."""
    url = "postgresql://%C3%BC@mydb.abc123.eu-central-1.rds.amazonaws.com/app"
    found = ran("grant", url, PYTHONIOENCODING="ascii")
    assert (found.code, found.out) == (1, "")
    assert "standard output's encoding ascii cannot hold '\\xfc'" in found.err
    assert 'CREATE USER "ü"' in ran("grant", url, PYTHONIOENCODING="utf-8", PYTHONUTF8="1").out


def _in_a_terminal(*arguments: str, columns: int, **environ: str) -> str:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}} | environ
    with running(
        [*COMMAND, *arguments], stdout=slave, stderr=subprocess.PIPE, env=environ
    ) as process:
        os.close(slave)
        read = b""
        while chunk := _read(master):
            read += chunk
        assert process.wait(DEADLINE) == 0
    os.close(master)
    return read.decode().replace("\r\n", "\n")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # what Linux says at the end
        return b""


@EVERY
def test_narrow_terminal(arguments: list[str]) -> None:
    """In 60 columns no line is longer, but for a word that is; nothing is cut."""
    if arguments[0] in {"token", "policy"}:
        return  # what they print is for programs, and stays as it is
    shown_ = _in_a_terminal(*arguments, columns=60, TERM="dumb")
    assert "\x1b" not in shown_
    assert "…" not in shown_
    for line in shown_.splitlines():
        longest = max(map(len, line.split()), default=0)
        indent = len(line) - len(line.lstrip())
        # The doctor's and the grant's own lines are commands and SQL.
        if arguments[0] in {"ca", "bench"}:
            assert len(line) <= max(60, indent + longest)


def test_no_colour(rds: RdsEmulator) -> None:
    """NO_COLOR and TERM=dumb are obeyed; else a terminal has colour."""
    assert "\x1b[" not in _in_a_terminal("doctor", columns=60, NO_COLOR="1", TERM="dumb")
    coloured = _in_a_terminal("doctor", columns=60, TERM="xterm-256color")
    assert "\x1b[" in coloured
    plain = _in_a_terminal("doctor", columns=60, NO_COLOR="1", TERM="xterm-256color")
    assert "\x1b[3" not in plain
