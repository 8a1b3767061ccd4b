"""What `rds-iam exec` and the emulator start gets no secret that it does not need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from cli_support import HOST, MODES, MYSQL_URL, RUNS, python, ran, shown
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL

from sqlalchemy_rds_iam.cli import exec_child
from sqlalchemy_rds_iam.testing import RdsEmulator

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "sesame",
    "AWS_SESSION_TOKEN": "open",
    "AWS_SECURITY_TOKEN": "open",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer sesame",
    "AWS_BEARER_TOKEN_BEDROCK": "sesame",
}
HARMLESS = {
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/secrets/token",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/token",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/app",
    "DATABASE_URL": "postgresql://app@elsewhere:5432/app?sslmode=verify-full&x=a@b",
}
NAMES = "import json, os; print(json.dumps(dict(os.environ)))"


def _environ(rds: RdsEmulator) -> dict[str, str]:
    keys = rds.identities.issue(rds.key.principal, lifetime=3600).environ()
    keys["AWS_SECURITY_TOKEN"] = keys["AWS_SESSION_TOKEN"]
    return SECRETS | HARMLESS | keys


@RUNS
def test_no_secrets(rds: RdsEmulator, url: str, mode: tuple[str, ...]) -> None:
    """The program's environment holds no AWS credentials, and all else; that is said once."""
    environ = _environ(rds)
    found = ran("exec", f"{url}&rds_iam_ca={rds.ca_file}", *mode, *python(NAMES), **environ)
    theirs = json.loads(found.out)
    assert theirs.keys().isdisjoint(SECRETS)
    assert theirs.items() >= HARMLESS.items()
    assert theirs["MYSQL_PWD" if url == MYSQL_URL else "PGPASSWORD"].startswith(HOST)
    assert found.err == (
        f"rds-iam exec: secrets that {sys.executable} does not get "
        "(--keep-aws leaves it those of AWS): "
        f"{', '.join(sorted(SECRETS))}\n"
    )
    assert not [value for name, value in environ.items() if name in SECRETS and value in found.err]


@MODES
def test_keep_aws(rds: RdsEmulator, mode: tuple[str, ...]) -> None:
    """With --keep-aws the program may call AWS, and nothing is said."""
    environ = _environ(rds)
    found = ran("exec", rds.url(), "--keep-aws", *mode, *python(NAMES), **environ)
    assert json.loads(found.out).items() >= environ.items()
    assert found.err == ""


def test_run_again_without_secrets(rds: RdsEmulator) -> None:
    """A program that is run again, with another token, does not get them then."""
    rds.gateway.refuse_next = 1
    login = "import psycopg; psycopg.connect('');" + NAMES
    found = ran("exec", rds.url(), "--retry", "1", *python(login), **_environ(rds))
    assert json.loads(found.out).keys().isdisjoint(SECRETS)
    assert found.err.count("secrets that") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://app:sesame@elsewhere/app"),
        ("RDS_IAM_RATE_STORAGE", "rediss://:sesame@cache:6379/0"),
        ("RDS_IAM_RATE_STORAGE", "rediss://cache:6379/0?password=sesame"),
        ("RDS_IAM_READER_RATE_STORAGE", "valkey://rate:sesame@cache"),
        ("RDS_IAM_READER_URL", "postgresql://app:se%3Fsame%40@elsewhere/app"),
    ],
)
def test_urls(rds: RdsEmulator, name: str, value: str) -> None:
    """A URL with a password is not for the program either, with --keep-aws or without."""
    for more in ((), ("--keep-aws",)):
        found = ran("exec", rds.url(), *more, *python(NAMES), **{name: value})
        assert name not in json.loads(found.out)
        assert name in found.err
        assert "same" not in found.err


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.booleans())
def test_any_password(password: str, in_query: bool) -> None:
    """Whatever a password is made of, in whatever part of the URL: it is not passed on."""
    host = "mydb.abc123.eu-central-1.rds.amazonaws.com"
    redis = f"redis://:{quote(password, safe='')}@cache:6379"
    url = URL.create(
        "postgresql",
        "app",
        None if in_query else password,
        host,
        query={"rds_iam_rate_storage": redis} if in_query else {},
    ).render_as_string(hide_password=False)
    kept, gone = exec_child.without_secrets({"DATABASE_URL": url, "HOME": "/"}, keep_aws=True)
    assert (kept, gone) == ({"HOME": "/"}, ["DATABASE_URL"])


def test_nothing_to_say(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who has no secrets in the environment is told nothing."""
    file = tmp_path / "credentials"
    file.write_text(
        f"[default]\naws_access_key_id={rds.key.access_key}\n"
        f"aws_secret_access_key={rds.key.secret_key}\n"
    )
    for name in rds.key.environ():
        monkeypatch.delenv(name)
    found = ran("exec", rds.url(), *python(NAMES), AWS_SHARED_CREDENTIALS_FILE=str(file))
    assert (found.code, found.err) == (0, "")
    assert json.loads(found.out)["AWS_SHARED_CREDENTIALS_FILE"] == str(file)


def test_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """The help says how to let it have them, with an example."""
    monkeypatch.setenv("COLUMNS", "80")
    words = " ".join(shown("exec", "--help").out.replace("│", " ").split())
    assert "rds-iam exec --keep-aws --" in words
    assert "Leave AWS credentials in the environment of the command" in words


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc")
def test_the_emulators_own_programs(tmp_path: Path) -> None:
    """The server that the emulator starts, and what looks after it, know no key of the caller's."""
    code = (
        "import pathlib, sys\n"
        "from sqlalchemy_rds_iam.testing.server import binaries, postgres\n"
        "with_environ = lambda pid: pathlib.Path(f'/proc/{pid}/environ').read_bytes()\n"
        "server = postgres.Postgres()\n"
        "server.start()\n"
        "try:\n"
        "    for process in (server._server, server._guard):\n"
        "        assert b'PATH=' in with_environ(process.pid)\n"
        "        assert b'sesame' not in with_environ(process.pid)\n"
        "finally:\n"
        "    server.stop()\n"
        "assert 'sesame' not in binaries._output('/usr/bin/env')\n"
    )
    environ = {**os.environ, "AWS_SECRET_ACCESS_KEY": "sesame", "PGPASSWORD": "sesame"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
