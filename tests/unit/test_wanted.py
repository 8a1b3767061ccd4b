"""Which server will do: the words mean what they mean to libpq."""

from __future__ import annotations

import itertools

import pytest

from sqlalchemy_rds_iam._config.parsers import SESSION_ATTRS
from sqlalchemy_rds_iam._databases.session_attrs import NOTHING, Answered, Reported
from sqlalchemy_rds_iam._failover.wanted import fits, is_checked, will_do

# "target_session_attrs" in the libpq chapter: of (primary, primary that is read-only, standby).
LIBPQ = {
    "read-write": (True, False, False),
    "read-only": (False, True, True),
    "primary": (True, True, False),
    "standby": (False, False, True),
}
SERVERS = (Reported(False, False), Reported(False, True), Reported(True, False))
ALL = [
    (wanted, server, will)
    for wanted, row in LIBPQ.items()
    for server, will in zip(SERVERS, row, strict=True)
]


def test_every_word() -> None:
    """All are known; one host to try makes two of them wish for nothing."""
    assert {word for word in SESSION_ATTRS if is_checked(word)} == LIBPQ.keys()


@pytest.mark.parametrize(("wanted", "server", "will"), ALL)
def test_as_libpq(wanted: str, server: Reported, *, will: bool) -> None:
    """What is reported and what is answered are judged alike."""
    assert fits(wanted, server) is will
    assert will_do(wanted, Answered(*map(bool, server), by_user=False)) is will


@pytest.mark.parametrize("wanted", LIBPQ)
def test_what_is_not_reported_is_asked_about(wanted: str) -> None:
    """Nothing, or the one that counts alone."""
    assert not fits(wanted, NOTHING)
    assert not fits("read-write", Reported(False, None))
    assert not fits("read-write", Reported(None, False))


@pytest.mark.parametrize(("standby", "wanted"), list(itertools.product([True, False], LIBPQ)))
def test_a_default_that_a_user_wants(standby: bool, wanted: str) -> None:
    """It is not the server's, and a writer is one all the same, as is a standby."""
    answered = Answered(standby, read_only=True, by_user=True)
    expected = {"read-write": not standby, "read-only": True, "primary": not standby}
    assert will_do(wanted, answered) is expected.get(wanted, standby)
