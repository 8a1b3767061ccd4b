"""A log record is one line, whatever users, files, hosts and errors are called."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, create_engine

from sqlalchemy_rds_iam import CredentialsError, Endpoint
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._connecting.login_warnings import LoginWarnings
from sqlalchemy_rds_iam._connecting.reporting import Dispatcher, EngineCounters
from sqlalchemy_rds_iam._endpoints.cname import CnameResolver, DnsError, Record
from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam._passwords.expiry import Outage
from sqlalchemy_rds_iam._ratelimit.redis_store import Storage
from sqlalchemy_rds_iam._routing.reader_fallback import ReaderOutage
from sqlalchemy_rds_iam._tls import ca_bundle, trust
from sqlalchemy_rds_iam.testing.database.decisions import Records
from sqlalchemy_rds_iam.testing.database.verifier import Decision

HOST = "db.abc123.us-east-1.rds.amazonaws.com"
FORGED = "x\nWARNING:root:forged\r\x1b[2J\x85\u2028y"


def _login(said: str, path: Path) -> None:
    LoginWarnings().warn(Endpoint(HOST, 5432, said, "us-east-1"), "policy", f"because of {said}")


def _outage(said: str, path: Path) -> None:
    config = IamOptions()
    counters, dispatcher = EngineCounters(config), Dispatcher(config)
    dispatcher.subscribe(counters)
    dispatcher.failed(0.0, None, Outage(CredentialsError(said), 0.0, None))


def _storage(said: str, path: Path) -> None:
    Storage("redis://127.0.0.1:1/0").failed(OSError(said), 0.0)


def _alias(said: str, path: Path) -> None:
    def ask(name: str, seconds: float) -> Record:
        if now:
            raise DnsError(said)
        return Record(HOST, 5)

    now = 0.0
    names = CnameResolver(lambda: now, ask)
    names.look_up(said, 1.0, 1.0)
    now = 1000.0
    assert names.look_up(said, 1.0, 1.0) == HOST


def _reader(said: str, path: Path) -> None:
    reader = create_engine(URL.create("postgresql+psycopg", host=said))
    outage = ReaderOutage(reader)
    outage.retry_at = 0.0
    session = SimpleNamespace(connection=lambda **_: None)
    assert outage.answers(cast("Any", session), reader)


def _ca(said: str, path: Path) -> None:
    file = path / said
    file.touch()
    file.chmod(0o666)
    trust._first_safe([str(file)], "rds_iam_ca", shipped=[__file__])
    ca_bundle.Part(None, 1, 2).log(ca_bundle.CaFile(str(file), said, 0, 0, 0), str(file))


def _decision(said: str, path: Path) -> None:
    Records().add(Decision(0.0, said, granted=False, reason="InvalidToken", detail=said))


@pytest.mark.parametrize("way", [_login, _outage, _storage, _alias, _reader, _ca, _decision])
def test_a_record_is_one_line(
    way: Callable[[str, Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line end or a control character in what is logged does not get through to the log."""
    caplog.set_level(logging.DEBUG, "sqlalchemy_rds_iam")
    way(FORGED, tmp_path)
    messages = [each.getMessage() for each in caplog.records if "forged" in each.getMessage()]
    assert messages
    for each in messages:
        assert each.isprintable(), each


@given(user=st.text())
def test_an_endpoint_is_one_line(user: str) -> None:
    """An endpoint in a message is one line, and the user's own name if that can be printed."""
    said = str(Endpoint(HOST, 5432, user, "us-east-1"))
    assert said.isprintable()
    assert said.endswith(f"@{HOST}:5432 (us-east-1)")
    if user.isprintable():
        assert said.startswith(f"{user}@")


@given(text=st.text())
def test_what_is_escaped_can_be_told(text: str) -> None:
    """Of what cannot be printed the code is shown, and nothing else changes."""
    said = on_one_line(text)
    assert said.isprintable()
    assert on_one_line(said) == said
    if "\\" not in text:
        assert said.encode("ascii", "backslashreplace").decode("unicode_escape") == text
