"""The note on a refused login names the command that finds out more, ready to run."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest
from cli_support import shown
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import URL, create_engine, make_url
from worlds import Database

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._connecting.login_errors import doctor_command
from sqlalchemy_rds_iam._databases.postgresql import DRIVERS
from sqlalchemy_rds_iam.testing import RdsEmulator

CANARY = "hunter2"


def _named(command: str) -> str:
    """The URL in a command."""
    name, verb, url = shlex.split(command)
    assert (name, verb) == ("rds-iam", "doctor")
    return url


def test_the_command_finds_the_cause(
    rds: RdsEmulator, connect: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the note of any driver's error names runs as it is, and examines the same login."""
    monkeypatch.setattr("sqlalchemy_rds_iam.doctor.refused_token.PAUSE", 0.01)
    rds.key.principal.db_users = frozenset({"report"})
    try:
        error = connect().raises(Exception)
        note = "\n".join(error.__notes__)
        command = next(line for line in note.splitlines() if "rds-iam doctor" in line).strip()
        found = shown("doctor", "--json", _named(command))
    finally:
        rds.key.principal.db_users = None
    assert found.code == 1
    # Drivers that verify what they connect to are at an address here, for which RDS takes no token.
    at_address = "@127.0.0.2:" in command
    assert f'"code": "{"name-not-endpoint" if at_address else "policy"}"' in found.out
    assert f'"target": "app@{"127.0.0.2" if at_address else "app-db"}' in found.out


OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "rds_iam_region": st.just("us-east-1"),
    "rds_iam_profile": st.text("ab c&=?#%+'\"$", min_size=1).map(str.strip).filter(bool),
    "rds_iam_port": st.integers(1, 65535),
    "rds_iam_tls": st.sampled_from(["verify-full", "verify-ca", "require"]),
    "rds_iam_throttle_retry": st.booleans(),
    "rds_iam_connect_rate": st.integers(0, 1000),
    "rds_iam_timeout": st.floats(0.5, 100),
}


@given(
    user=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    given_options=st.fixed_dictionaries({}, optional=OPTIONS),
)
def test_any_options(user: str, given_options: dict[str, Any]) -> None:
    """Whatever the user and the options are, the URL in the command says the same."""
    # SQLAlchemy 2.0.0 writes a percent sign as it is, and reads "%00" as another user.
    plain = URL.create("postgresql", user, host="db.example.com")
    assume(make_url(plain.render_as_string()).username == user)
    config = IamOptions.take({}, dict(given_options))
    cparams = {"host": "db.example.com", "port": 5433, "user": user, "dbname": "a b"}
    url = make_url(
        _named(doctor_command(config, "postgresql+psycopg", DRIVERS["psycopg"], cparams))
    )
    assert (url.username, url.host, url.port, url.database) == (
        user,
        *list(cparams.values())[:2],
        "a b",
    )
    assert url.drivername == "postgresql+psycopg"
    assert IamOptions.take(url.query, {}) == config


def test_no_secret(ca: str) -> None:
    """What may hold a password is left out, and so is an object."""
    from botocore.session import Session

    options = {"rds_iam_rate_storage": f"redis://:{CANARY}@cache", "rds_iam_session": Session()}
    config = IamOptions.take({}, options)
    cparams = {"host": "db", "user": "app", "sslpassword": CANARY, "sslrootcert": ca}
    command = doctor_command(config, "postgresql+psycopg", DRIVERS["psycopg"], cparams)
    assert CANARY not in command
    url = make_url(_named(command))
    assert dict(url.query) == {"plugin": "rds_iam", "sslrootcert": ca}


def test_nothing_is_made_ahead(ca: str) -> None:
    """A port that is none is refused by create_engine(), and not by what would be said later."""
    with pytest.raises(Exception, match="expected one port number"):
        create_engine(
            "postgresql+psycopg://app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam",
            connect_args={"port": "x"},
        )
