"""What holds for every command of `rds-iam`: help, exit status, completion, pipes, and secrets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from cli_support import COMMAND, URL, ran, shown
from patience import DEADLINE

from sqlalchemy_rds_iam.testing import RdsEmulator

COMMANDS = ["token", "exec", "policy", "grant", "ca", "bench"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Help fits into 80 columns, gives examples with a real URL, and tells the exit status."""
    monkeypatch.setenv("COLUMNS", "80")
    found = shown(command, "--help")
    assert found.code == 0
    assert max(map(len, found.out.splitlines())) <= 80
    words = " ".join(found.out.replace("│", " ").split())
    assert "Examples: • rds-iam " in words
    assert "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app" in words
    assert re.search(r"Exits (with 0|as the command does)", words)
    assert "RDS_IAM_URL" in words
    assert "DATABASE_URL" in words


@pytest.mark.parametrize("command", COMMANDS)
def test_called_wrongly(command: str) -> None:
    """An unknown option, and a URL that is none, end every command with status 2."""
    assert shown(command, URL, "--no-such-option").code == 2
    found = shown(command, "x://y", "--", "true")
    assert (found.code, found.out) == (2, "")


def test_in_a_pipe(rds: RdsEmulator) -> None:
    """In a pipe there is no colour; and a reader that goes away is no reason for a traceback."""
    for arguments in (["ca", rds.url()], ["token", "x"], ["bench", "--help"]):
        found = ran(*arguments)
        assert "\x1b" not in found.out + found.err
    script = f"{' '.join(COMMAND[:-1])} '{COMMAND[-1]}' ca '{rds.url()}' | true"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, timeout=DEADLINE, check=False
    )
    assert b"Traceback" not in done.stderr


def test_canary(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and tokens are in nothing that is printed but the output of `token`."""
    key = rds.identities.issue(rds.key.principal, lifetime=3600)
    for name, value in key.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    url = rds.url().render_as_string()
    assert key.session_token is not None
    secrets = [
        key.secret_key,
        key.session_token,
        quote(key.session_token, safe=""),
        "X-Amz-Signature",
    ]
    everything: list[str] = []
    for refused in (0, 99):
        rds.gateway.refuse_next = refused
        found = shown("token", url)
        assert secrets[2] in found.out
        everything.append(found.err)
        login = [sys.executable, "-c", "import psycopg; psycopg.connect('')"]
        for arguments in (
            ["token", url, "-o", "rds_iam_port=none"],
            ["exec", url, "--", *login],
            ["exec", url, "--retry", "1", "--", *login],
            ["exec", url, "--", "/etc/passwd"],
            ["policy", url, "--timeout", "0.3"],
            ["grant", url],
            ["grant", url, "--json"],
            ["ca", url],
            ["bench", url, "--connects", "2", "--rate", "50"],
            ["bench", url, "--connects", "2", "--rate", "50", "--json"],
        ):
            replaces_us = arguments[0] == "exec" and "--retry" not in arguments
            done = (ran if replaces_us else shown)(*arguments)
            assert ("Traceback" in done.err) == (bool(refused) and login[0] in arguments)
            everything += [done.out, done.err]
    whole = "\n".join(everything)
    assert "PAM authentication failed" in whole
    assert not [secret for secret in secrets if secret in whole]


def test_completion(tmp_path: Path) -> None:
    """Completion is shown and installed for the shell that asks, and completes commands."""
    environ = {**os.environ, "HOME": str(tmp_path)}

    def bash(arguments: str, **more: str) -> str:
        script = f"{' '.join(COMMAND[:-1])} '{COMMAND[-1]}' {arguments}; exit $?"
        done = subprocess.run(
            ["bash", "-c", script],
            env=environ | more,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert "complete -o default -F _rds_iam_completion rds-iam" in bash("--show-completion")
    assert "bash completion installed" in bash("--install-completion")
    assert (tmp_path / ".bash_completions" / "rds-iam.sh").exists()
    asked = {"_RDS_IAM_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    assert bash("", COMP_WORDS="rds-iam pol", **asked).split() == ["policy"]
    options = bash("", COMP_WORDS="rds-iam bench --ra", **(asked | {"COMP_CWORD": "2"}))
    assert options.split() == ["--rate"]
