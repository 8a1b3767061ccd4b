"""What a driver gets for one host, port and user: merged once, and looked at now and then."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._databases.drivers import Target
from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam._passwords.password import IssuedPassword, MaskedStr

GIVEN = {"host": "db.abc123.us-east-1.rds.amazonaws.com", "user": "app", "dbname": "app"}
SECRET = "the text of a password"


class Watched:
    """Something that may change, and counts who looks."""

    def __init__(self, good_for: float = 1.0) -> None:
        self.good_for, self.looks, self.current = good_for, 0, True

    def is_current(self) -> bool:
        """Whether it is what it was."""
        self.looks += 1
        return self.current


@pytest.fixture(scope="module")
def target() -> Target:
    """Of a driver that verifies nothing, so that there is no CA file."""
    return DRIVERS["psycopg"].target(GIVEN, IamOptions(tls="require"), lambda: None)


def _watching(target: Target, watched: Watched) -> Target:
    return replace(target, watched=watched, resolve=None)


def _password(text: str = SECRET) -> IssuedPassword:
    return IssuedPassword(MaskedStr(text), 0, 1)


def test_merged_once(target: Target) -> None:
    """The same password and equal arguments make what was made already; nothing else does."""
    password = _password()
    first = target.merge(password, dict(GIVEN))
    assert first.arguments["password"] is password.password
    assert target.merge(password, dict(GIVEN)) is first
    again = target.merge(_password(), dict(GIVEN))
    assert again is not first
    other = target.merge(password, {**GIVEN, "dbname": "other"})
    assert other.arguments["dbname"] == "other"
    assert target.merge(password, dict(GIVEN)).arguments["dbname"] == "app"


def test_the_users_dict_is_not_kept(target: Target) -> None:
    """Before 2.0.48 SQLAlchemy hands the same dict to every connect, and listeners change it."""
    cparams: dict[str, Any] = dict(GIVEN)
    password = _password()
    target.merge(password, cparams)
    assert cparams == GIVEN
    cparams["application_name"] = "mine"
    assert target.merge(password, cparams).arguments["application_name"] == "mine"
    del cparams["application_name"]
    assert "application_name" not in target.merge(password, cparams).arguments


def test_nothing_is_shown(target: Target) -> None:
    """Neither the target nor what it has merged shows a password."""
    merged = target.merge(_password(), dict(GIVEN))
    assert SECRET not in repr(target) + repr(merged) + repr(merged.arguments)


@given(st.lists(st.floats(0, 3), max_size=30), st.sampled_from([0.5, 1.0, 2.0]))
def test_looks(pauses: list[float], good_for: float) -> None:
    """No look is older than it is good for, and none comes before its time."""
    watched = Watched(good_for)
    target = DRIVERS["psycopg"].target(GIVEN, IamOptions(tls="require"), lambda: None)
    target = _watching(target, watched)
    now, looked = 0.0, -math.inf
    for pause in pauses:
        now += pause
        before = watched.looks
        assert target.is_current(now)
        due = now >= looked + good_for
        assert watched.looks - before == due
        looked = now if due else looked


def test_what_has_changed_is_looked_at_until_it_is_settled_anew(target: Target) -> None:
    """Of many threads, each that comes before it is settled anew sees that it has changed."""
    watched = Watched()
    target = _watching(target, watched)
    assert target.is_current(10)
    watched.current = False
    assert target.is_current(10.9)
    assert not target.is_current(11)
    assert not target.is_current(11)


def test_a_doubt(target: Target) -> None:
    """After a doubt the next look is at once, and then a second is one again."""
    watched = Watched()
    target = _watching(target, watched)
    assert target.is_current(10)
    target.doubt()
    assert target.is_current(10.1)
    assert target.is_current(10.2)
    assert watched.looks == 2


def test_nothing_to_look_at(target: Target) -> None:
    """What cannot change is current, doubted or not; a connect need not even ask."""
    target = replace(target, watched=None, resolve=None)
    assert target.next_look == math.inf
    target.doubt()
    assert target.next_look == math.inf
    assert target.is_current(math.inf)


def test_a_name_to_look_up(target: Target) -> None:
    """A tunnel's name is looked up for every connect, whenever the file was looked at."""
    target = replace(target, watched=Watched(), resolve="tunnel.example.com")
    assert target.is_current(10)
    assert target.next_look == -math.inf
