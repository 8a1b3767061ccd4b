"""The note on a refused login: what it says, in which cases, and on whose error it ends up."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import make_url

from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._config.options import IamOptions
from sqlalchemy_rds_iam._connecting.login_errors import doctor_command, explain, lift_note
from sqlalchemy_rds_iam._databases.drivers import Target
from sqlalchemy_rds_iam._databases.postgresql import DRIVERS
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, parse_host
from sqlalchemy_rds_iam._passwords.password import IssuedPassword, MaskedStr

DOCS = Path(__file__).parents[2] / "docs"
HOST = "mydb.abc123.eu-central-1.rds.amazonaws.com"
KEYS = Credentials("AKIAIOSFODNN7EX2EAE", "canary-key", provider="env")


def _note(
    *,
    user: str = "app",
    host: str = HOST,
    credentials: Credentials | None = KEYS,
    now: float = 1000.0,
) -> str:
    error = Exception("refused")
    endpoint = Endpoint(host, 5432, user, "eu-central-1")
    explain(
        error,
        target=Target(DRIVERS["psycopg"], endpoint, parse_host(host), {}),
        token=IssuedPassword(MaskedStr("canary-token"), 1000.0, 1900.0),
        credentials=credentials,
        now=now,
        command="rds-iam doctor URL",
    )
    [note] = error.__notes__
    assert "canary" not in note
    return note


def test_as_documented() -> None:
    """The note of the quick start is what is written, line by line."""
    page = (DOCS / "quickstart.md").read_text("utf-8")
    pattern = re.compile(
        r"^(rds_iam: the server refused.*?)\n    - …\n```", re.MULTILINE | re.DOTALL
    )
    [shown] = pattern.findall(page)
    assert _note().startswith(shown + "\n    - ")


def test_causes() -> None:
    """The causes are a list, the likelier first, and after it comes how to tell them apart."""
    head, _, rest = _note().partition("\n  likely causes\n")
    causes, _, tail = rest.partition("\n  to tell them apart\n")
    assert len(head.splitlines()) == 4
    lines = causes.splitlines()
    assert all(re.fullmatch(r"    - \S.{20,}", line) for line in lines)
    for line, words in zip(
        lines,
        ("role", "rds-db:connect on dbuser:<resource id>/app", "is off for", "clock", "too many"),
        strict=True,
    ):
        assert words in line
    assert tail.startswith("    rds-iam doctor URL\n  the exact reason is in the instance's ")
    assert "iam-db-auth-error log" in tail
    assert "IamDbAuthConnectionFailure*" in tail


@pytest.mark.parametrize("user", ["App", "Straẞe", "app"])
@pytest.mark.parametrize("host", ["db.example.com", HOST])
def test_what_catches_the_eye_comes_first(user: str, host: str) -> None:
    """A name that is not RDS's, and a user in capitals, are told before what cannot be seen."""
    lines = [line for line in _note(user=user, host=host).splitlines() if line.startswith("    - ")]
    expected = []
    if user != "app":
        said = f"    - the user name is spelled otherwise in the database than {user!r}"
        expected.append(said)
    if host != HOST:
        expected.append(
            "    - 'db.example.com' is no RDS endpoint name, and RDS accepts only tokens signed "
            "for its own: set rds_iam_host"
        )
    assert lines[: len(expected)] == expected
    assert len(lines) == len(expected) + 5


def test_times() -> None:
    """How old the token was, and how long it would have been good, which is never less than 0."""
    assert "\n  token       60 s old, good for 840 s more\n" in _note(now=1060)
    assert "\n  token       950 s old, good for 0 s more\n" in _note(now=1950)


def test_who_signed() -> None:
    """The end of the key and its provider, when it expires; or that it is gone."""
    assert "  signed by   credentials that are gone by now\n" in _note(credentials=None)
    expiring = Credentials("AKIAIOSFODNN7EX2EAE", "canary", "canary", 2000, "sso")
    said = "\n  signed by   access key …2EAE from 'sso', which expires in 1000 s\n"
    assert said in _note(credentials=expiring)
    said = "\n  signed by   access key …2EAE from 'env', without a known expiry\n"
    assert said in _note()


def _command(drivername: str, options: dict[str, Any], **cparams: Any) -> Any:
    config = IamOptions.take({}, options)
    driver = DRIVERS[drivername.partition("+")[2]]
    name, verb, url = shlex.split(doctor_command(config, drivername, driver, cparams))
    assert (name, verb) == ("rds-iam", "doctor")
    return make_url(url)


def test_where_the_command_leads() -> None:
    """Host, port and database as they were given, in the driver's words, and nothing made up."""
    url = _command("postgresql+psycopg", {}, host="db", user="app")
    assert (url.username, url.host, url.port, url.database) == ("app", "db", None, None)
    url = _command("postgresql+asyncpg", {}, host=["a", "b"], port="5433", user="u", database="d")
    assert (url.username, url.host, url.port, url.database) == ("u", "a,b", 5433, "d")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hostaddr", "10.0.0.1"),
        ("ssl", "require"),
        ("sslmode", "verify-ca"),
        ("sslrootcert", "/ca.pem"),
    ],
)
def test_arguments_that_decide_where_and_whom_to_trust(name: str, value: str) -> None:
    """What decides where a connect leads and whom it trusts is in the command; an object is not."""
    url = _command("postgresql+psycopg", {}, host="db", user="app", **{name: value})
    assert dict(url.query) == {"plugin": "rds_iam", name: value}
    url = _command("postgresql+psycopg", {}, host="db", user="app", **{name: object()})
    assert dict(url.query) == {"plugin": "rds_iam"}


def test_options_in_the_command() -> None:
    """Options that were changed are in it as they are written in a URL, switches as on and off."""
    given = {"rds_iam_throttle_retry": False, "rds_iam_connect_rate": 7, "rds_iam_timeout": 30.0}
    url = _command("postgresql+psycopg", given, host="db", user="app")
    assert dict(url.query) == {
        "plugin": "rds_iam",
        "rds_iam_throttle_retry": "off",
        "rds_iam_connect_rate": "7",
    }
    url = _command("postgresql+psycopg", {"rds_iam_resolve_cname": True}, host="db", user="app")
    assert url.query["rds_iam_resolve_cname"] == "on"


def _lifted(notes: list[str], ours: BaseException | None) -> tuple[list[str], list[str]]:
    """The notes of the driver's error, and of SQLAlchemy's, after lifting."""
    original = Exception("driver")
    for note in notes:
        original.add_note(note)
    context: Any = SimpleNamespace(original_exception=original, sqlalchemy_exception=ours)
    lift_note(context)
    return getattr(original, "__notes__", []), getattr(ours, "__notes__", [])


def test_notes_are_moved() -> None:
    """Those of both plugins are on the error that callers catch; others' stay where they are."""
    notes = ["theirs", "rds_iam: one", "rds_secret: two", "rds_iam is how it begins", "x rds_iam: "]
    left, moved = _lifted(notes, Exception("SQLAlchemy"))
    assert left == ["theirs", "rds_iam is how it begins", "x rds_iam: "]
    assert moved == ["rds_iam: one", "rds_secret: two"]
    assert _lifted([], Exception("SQLAlchemy")) == ([], [])


def test_notes_stay_where_there_is_no_other_error() -> None:
    """An error that SQLAlchemy does not wrap keeps its notes."""
    assert _lifted(["rds_iam: one"], None) == (["rds_iam: one"], [])
