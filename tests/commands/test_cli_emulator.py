"""`rds-iam emulator -- COMMAND` and `--env-file`: what they give, and that nothing stays."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_support import COMMAND, ran, shown
from patience import DEADLINE, eventually, running

from sqlalchemy_rds_iam.testing import env_file

EMULATOR = [*COMMAND, "emulator"]
LOGIN = (
    "import os; from sqlalchemy import create_engine, text\n"
    "with create_engine(os.environ['DATABASE_URL']).connect() as connection:\n"
    "    print(connection.scalar(text('select current_user')))\n"
)
VARIABLES = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.mark.server
def test_command() -> None:
    """The command logs in with what it finds in its environment; its output and status are all."""
    code = f"{LOGIN}raise SystemExit(7)"
    found = ran("emulator", "--user", "report", "--driver", "asyncpg", "--", "true")
    assert (found.code, found.out) == (0, "")
    found = ran("emulator", "--user", "report", "--", sys.executable, "-c", code)
    assert (found.code, found.out) == (7, "report\n"), found.err
    assert "granted" not in found.err


@pytest.mark.server
def test_environment(tmp_path: Path) -> None:
    """What leads elsewhere is taken out, and named; a proxy is not asked for this machine."""
    mine = {
        "AWS_PROFILE": "mine",
        "AWS_SESSION_TOKEN": "theirs",
        "PGHOST": "elsewhere",
        "RDS_IAM_READER_URL": "postgresql://elsewhere",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "example.com",
        "HOME": str(tmp_path),
    }
    found = ran("emulator", "--", sys.executable, "-c", VARIABLES, **mine)
    environ = json.loads(found.out)
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "PGHOST", "RDS_IAM_READER_URL"} & set(environ)
    assert environ["HOME"] == str(tmp_path)
    assert environ["RDS_IAM_URL"] == environ["DATABASE_URL"]
    assert environ["NO_PROXY"] == environ["no_proxy"] == "example.com,127.0.0.1"
    [line] = found.err.splitlines()
    assert line.startswith("rds-iam emulator: set aside for what leads to the emulator: AWS_")
    assert "PGHOST" in line
    assert "theirs" not in line
    assert not Path(environ["AWS_CONFIG_FILE"]).parent.exists()


@pytest.mark.server
def test_refusals_are_shown() -> None:
    """A login that is refused is shown with the reason, on standard error."""
    code = LOGIN.replace("os.environ['DATABASE_URL']", "os.environ['DATABASE_URL'] + '0'")
    found = ran("emulator", "--", sys.executable, "-c", code)
    assert (found.code, found.out) == (1, "")
    assert "InvalidToken: user 'app': " in found.err


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("no-such-program", 127, "no-such-program: not found"),
        ("/etc/passwd", 126, "/etc/passwd: cannot be run (Permission denied)"),
    ],
)
def test_not_to_be_run(command: str, code: int, sentence: str) -> None:
    """What cannot be run ends as in a shell, before anything is started."""
    found = shown("emulator", "--postgres", "/nowhere", "--", command)
    assert (found.code, found.out) == (code, "")
    assert found.err.startswith(f"rds-iam emulator: {sentence}")


@pytest.mark.server
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1]
)
def test_signals(number: signal.Signals, tmp_path: Path) -> None:
    """A signal reaches the command, whose status counts; then emulator and file are gone."""
    file = tmp_path / "env"
    code = (
        "import json, os, signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(42))\n"
        "print(json.dumps(dict(os.environ)), flush=True)\n"
        "while True: time.sleep(0.01)"
    )
    arguments = [*EMULATOR, "--env-file", str(file), "--", sys.executable, "-c", code]
    with running(arguments, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        environ = json.loads(process.stdout.readline())
        assert file.exists()
        process.send_signal(number)
        assert process.wait(DEADLINE) == 42
    assert not file.exists()
    assert not Path(environ["AWS_CONFIG_FILE"]).parent.exists()


@pytest.mark.server
def test_ended_by_a_signal() -> None:
    """A command that a signal ends counts as in a shell, 128+N."""
    assert ran("emulator", "--", "sh", "-c", "kill -9 $$").code == 137


@pytest.mark.server
def test_env_file(tmp_path: Path) -> None:
    """A shell that reads the file logs in; it is private, replaces what was left, and goes."""
    file = tmp_path / "it's .env"
    file.write_text(env_file._MARK + "AWS_REGION=old\n")
    arguments = [*EMULATOR, "--env-file", str(file), "--json"]
    with running(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        for line in file.read_text().splitlines()[1:]:
            name, _, value = line.partition("=")
            assert shlex.split(value) == [told["environ"][name]]
        script = f'set -a; . {shlex.quote(str(file))}; exec {sys.executable} -c "$CODE"'
        done = subprocess.run(
            ["sh", "-c", script],
            env={"CODE": LOGIN, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert (done.stdout, done.returncode) == ("app\n", 0), done.stderr
        second = shown("emulator", "--env-file", file)
        assert second.code == 2
        assert "is that of an emulator that runs" in second.err
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    assert not list(tmp_path.iterdir())


def _refused(path: Any) -> str:
    found = shown("emulator", "--postgres", "/nowhere", "--env-file", path)
    assert (found.code, found.out) == (2, "")
    [line] = found.err.splitlines()
    return line


def test_env_file_refusals(tmp_path: Path) -> None:
    """What is not an emulator's stays as it is, and the message says what to do."""
    mine = tmp_path / "mine"
    mine.write_text("SECRET=1\n")
    link = tmp_path / "link"
    link.symlink_to(mine)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "fifo")
    assert f"{mine} is there, and no emulator made it: name another file" in _refused(mine)
    for name in ("link", "dangling", "fifo", "."):
        assert "is not a regular file" in _refused(tmp_path / name)
    assert "there is no directory" in _refused(tmp_path / "no" / "env")
    assert "there is no directory" in _refused(mine / "env")
    assert "the path is empty" in _refused("")
    assert "File name too long" in _refused(tmp_path / ("x" * 300))
    assert mine.read_text() == "SECRET=1\n"


def test_env_file_of_another(tmp_path: Path) -> None:
    """A file that has been put in the place of ours is not removed."""
    file = tmp_path / "env"
    with env_file.written(file, {"A": "1", "B": "two words"}):
        assert file.read_text() == f"{env_file._MARK}A=1\nB='two words'\n"
        file.unlink()
        file.write_text("mine\n")
    assert file.read_text() == "mine\n"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.server
def test_killed(tmp_path: Path) -> None:
    """The server does not outlive an emulator that is killed, and its file is replaced."""
    file = tmp_path / "env"
    for _ in range(2):
        arguments = [*EMULATOR, "--env-file", str(file), "--json"]
        with running(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            ca_file = Path(json.loads(process.stdout.readline())["ca_file"])
            process.kill()
            process.wait(DEADLINE)
        eventually(lambda ca_file=ca_file: not ca_file.exists())
        assert file.exists()


@pytest.mark.server
def test_what_to_export() -> None:
    """Standard output is what a shell can run, and nothing else; the rest is beside it."""
    environ = {**os.environ, "AWS_PROFILE": "mine"}
    with running(
        EMULATOR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while "DATABASE_URL" not in lines[-1]:
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        rest, beside = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    first, *exports = "".join([*lines, rest]).splitlines()
    assert first.startswith("unset ")
    assert "AWS_PROFILE" in first.split()
    assert all(len(shlex.split(line)) == 2 and line.startswith("export ") for line in exports)
    assert "Listening on 127.0.0.1:" in beside
    assert max(map(len, beside.splitlines())) <= 60
