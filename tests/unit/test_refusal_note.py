"""The command at the end of the note on a refused login, and on whose error the note ends up."""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import make_url

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._connecting.login_errors import doctor_command, lift_note
from sqlalchemy_rds_iam._databases.postgresql import DRIVERS


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
