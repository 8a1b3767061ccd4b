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
EVERY = ["doctor", *COMMANDS, "emulator", "demo", "help"]
EXAMPLE = "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app"


@pytest.mark.parametrize("command", [*EVERY, None])
@pytest.mark.parametrize("columns", [40, 60, 80, 300])
def test_help(command: str | None, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Help fits, cuts nothing, has no values for flags, and gives examples to be copied."""
    monkeypatch.setenv("COLUMNS", str(columns))
    found = shown(*filter(None, [command]), "--help")
    assert (found.code, found.err) == (0, "")
    prose, _, examples = found.out.partition("Examples:\n")
    # A name stays whole, however narrow the terminal is.
    wide = [line for line in prose.splitlines() if len(line) > min(columns, 80)]
    assert all(re.match(r"Usage:|  \S", line) for line in wide), wide
    assert "…" not in re.sub(r"(AWS|PG|MYSQL|MARIADB|RDS_IAM)_?…", "", prose)
    assert not re.search(r"<bool>|<str>|\[default|--json [A-Z]|--version [A-Z]", prose)
    ours = re.findall(r"^  (?:.*[ ;(=])?rds-iam (\w+)", examples.replace("$(", "("), re.MULTILINE)
    assert set(ours) & ({command} if command else set(EVERY))
    words = " ".join(prose.split())
    if command:
        assert re.search(r"Exits (with 0|as the command does)", words)
    if command in COMMANDS:
        assert f"    {EXAMPLE}" in examples
        assert "RDS_IAM_URL or DATABASE_URL" in words.replace("or else", "or")


def test_help_as_a_command() -> None:
    """`help` shows what `--help` does, of a command or of all; what there is not is named."""
    assert shown("help").out == shown("--help").out
    for command in EVERY:
        assert shown("help", command).out == shown(command, "-h").out
    found = shown("help", "tokn")
    assert (found.code, found.out) == (2, "")
    assert "there is no command 'tokn'; did you mean token?" in found.err
    nothing = shown()
    assert (nothing.code, nothing.out) == (2, "")
    assert nothing.err == shown("--help").out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tokne"], "rds-iam: no such command 'tokne'"),
        (["--hepl"], "rds-iam: there is no option --hepl; did you mean --help? See rds-iam --help"),
        (["token", "--timeot", "3"], "rds-iam token: there is no option --timeot; did you mean"),
        (["token", URL, "--timeout", "nan"], "--timeout: 'nan': expected seconds from 0.1 to"),
        (["token", URL, "--timeout", "inf"], "--timeout: 'inf': expected seconds from 0.1 to"),
        (["token", URL, "--timeout", ""], "--timeout: '': expected seconds from 0.1 to"),
        (["bench", URL, "--connects", "2.5"], "--connects: '2.5': expected a number from 1 to"),
        (["bench", URL, "--rate", "1e999"], "--rate: '1e999': expected connections a second"),
        (["bench", "--rate"], "rds-iam bench: "),
        (["exec", URL, "--retry", "-1", "--", "true"], "--retry: '-1': expected a number from 0"),
        (["doctor", URL, "--timeout", "0"], "--timeout: '0': expected seconds from 1 to"),
        (["token", URL, "\x1b[31mred"], "rds-iam token: "),
        (["\x1b[31mred"], "rds-iam: "),
    ],
)
def test_one_style_of_error(arguments: list[str], sentence: str) -> None:
    """A wrong command line is one line that names command and value, with status 2."""
    found = shown(*arguments)
    assert (found.code, found.out) == (2, "")
    [line] = found.err.splitlines()
    assert line.startswith("rds-iam")
    assert sentence in line
    assert "\x1b" not in line


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


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["token", "--profile", ""], {"default", "mine", "theirs"}),
        (["token", "--profile", "t"], {"theirs"}),
        (["exec", "--region", "eu-central-"], {"eu-central-1", "eu-central-2"}),
        (["emulator", "--driver", "psycopg"], {"psycopg", "psycopg2"}),
        (["emulator", "--region", "us-gov-e"], {"us-gov-east-1"}),
        (["emulator", "--postgres", ""], {"auto", "wheel"}),
        (["ca", "--partition", "aws-"], {"aws-cn", "aws-us-gov"}),
        (["token", "-o", "rds_iam_resolve"], {"rds_iam_resolve_cname="}),
        (["token", "-o", "rds_iam_profile=m"], {"rds_iam_profile=mine"}),
        (["help", "ex"], {"exec"}),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_completed_values(
    words: list[str], offered: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell is offered the values of options, as far as they can be known here."""
    config = tmp_path / "config"
    config.write_text("[default]\n[profile mine]\nregion=x\n[sso-session s]\n")
    credentials = tmp_path / "credentials"
    credentials.write_text("[theirs]\naws_access_key_id=x\n")
    environ = {
        "_RDS_IAM_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(["rds-iam", *words]),
        "COMP_CWORD": str(len(words)),
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = shown()
    assert (found.code, found.err) == (0, "")
    assert set(found.out.split()) == offered


def test_completion_of_a_broken_configuration(tmp_path: Path) -> None:
    """A configuration that cannot be read is no reason for noise in the middle of a line."""
    config = tmp_path / "config"
    config.write_bytes(b"\xff[[[\nnonsense")
    found = ran(
        _RDS_IAM_COMPLETE="complete_bash",
        COMP_WORDS="rds-iam\ntoken\n--profile\n",
        COMP_CWORD="3",
        AWS_CONFIG_FILE=str(config),
        AWS_SHARED_CREDENTIALS_FILE=str(tmp_path),
    )
    assert found in {(0, "\n", ""), (0, "", "")}
