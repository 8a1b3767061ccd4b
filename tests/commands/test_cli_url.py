"""Which URL a command of `rds-iam` is about, and what it says when there is none."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest
from cli_support import COMMAND, HOST, URL, ran, shown
from patience import DEADLINE, running

from sqlalchemy_rds_iam.testing import RdsEmulator

COMMANDS = ["doctor", "token", "exec", "policy", "grant", "bench"]
OTHER = URL.replace("mydb", "other")


@pytest.fixture(autouse=True)
def _no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RDS_IAM_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("given", [[], [""], ["  "]])
@pytest.mark.parametrize("environ", [{}, {"DATABASE_URL": ""}])
def test_none(
    command: str, given: list[str], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a URL one line names both variables and shows how a URL is given; empty is none."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = shown(command, *given, *(["--", "true"] if command == "exec" else []))
    assert (found.code, found.out) == (2, "")
    [line] = found.err.splitlines()
    assert line.startswith(f"rds-iam {command}: there is no database URL: give one, as in rds-iam ")
    assert "set RDS_IAM_URL or DATABASE_URL" in line
    assert ("DATABASE_URL set, and empty" in line) == bool(environ)


def test_order(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument comes first, then RDS_IAM_URL, then DATABASE_URL; what is empty is passed by."""
    monkeypatch.setenv("DATABASE_URL", OTHER)
    monkeypatch.setenv("RDS_IAM_URL", " ")
    assert shown("token").out.startswith(f"other.{HOST[5:]}:5432/?")
    assert shown("token").err == ""
    monkeypatch.setenv("RDS_IAM_URL", URL)
    found = shown("token")
    assert found.out.startswith(f"{HOST}:5432/?")
    assert found.err == (
        "rds-iam token: the URL is that of RDS_IAM_URL; DATABASE_URL holds another, which does "
        "not count\n"
    )
    found = shown("token", OTHER)
    assert found.out.startswith(f"other.{HOST[5:]}:5432/?")
    assert found.err == ""


@pytest.mark.parametrize("command", [*COMMANDS[1:], "ca"])
def test_wrong(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in a URL of the environment names the variable, and never the URL."""
    monkeypatch.setenv("DATABASE_URL", "mysql://app:sesame@db/app")
    found = shown(command, *(["--", "true"] if command == "exec" else []))
    assert (found.code, found.out) == (2, "")
    assert "(the URL is that of DATABASE_URL)" in found.err
    assert "sesame" not in found.err


def test_shorter_words(rds: RdsEmulator) -> None:
    """`--region` and `--profile` are the options of the plugin."""
    found = shown("token", "postgresql://app@db.example.com/app", "--region", "eu-west-1")
    assert "%2Feu-west-1%2Frds-db" in found.out
    found = shown("token", URL, "--profile", "no-such-profile")
    assert found.code != 0
    assert "no-such-profile" in found.err


def test_terminal(rds: RdsEmulator) -> None:
    """A user at a terminal is told which variable counts; a pipe is not."""
    environ = {**os.environ, "RDS_IAM_URL": URL}
    master, slave = pty.openpty()
    with running([*COMMAND, "grant"], stdout=subprocess.PIPE, stderr=slave, env=environ) as process:
        os.close(slave)
        process.communicate(timeout=DEADLINE)
        told = os.read(master, 65536).decode()
        os.close(master)
    assert told == "rds-iam grant: the URL is that of RDS_IAM_URL\r\n"
    assert ran("grant", RDS_IAM_URL=URL).err == ""
