"""The note on a failed connect, held to every fault that the doctor is tried on.

A fault is named here by the doctor's code for it. Where the error itself has the answer, as with a
database that does not exist, there is no note, and none is needed.
"""

from __future__ import annotations

import re

import pytest
from doctor_catalogue import FAULTS
from doctor_support import Ward
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

MUST: dict[str, str] = {
    "user-case": "PostgreSQL makes names lower-case|in this very spelling",
    "rds-iam-missing": "a member of rds_iam|no user '",
    "port-wrong": "set rds_iam_port",
    "region-wrong": "rds_iam_region has to be",
    "host-wrong": "leads to another database",
    "policy": "no policy allows",
    "keys-invalid": "is revoked",
    "secret-wrong": "its secret key wrong|has another secret key",
    "session-token-wrong": "was cut short, or belongs to other keys",
    "server-not-rds": "a pooler|that was created for IAM",
    "account-not-iam": "that was created for IAM",
    "client-plugin": "has no plugin mysql_clear_password",
    "session-expired": "session token from 'env' has expired|was ended early",
    "session-token-missing": "AWS_SESSION_TOKEN",
    "throttled": "throttles logins",
    "clock-skewed": "this machine's clock",
    "token-cut": "cuts the token short",
    "proxy-without-iam": "IAM authentication .*Required",
    "proxy-no-secret": "the proxy has no secret",
    "name-not-endpoint": "is no RDS endpoint name|not the name of an RDS endpoint",
    "certificate-untrusted": "the bundle is old",
    "certificate-name": "what answers is another server",
    "certificate-expired": "one of the certificates has expired",
}
"""By the doctor's code of a fault, what the first cause in the note has to say."""

RULED_OUT = {
    "PAM authentication failed": "rds_iam: GRANT|authentication is off|no user '",
    "password authentication failed": "no policy|access key|throttles|clock",
}
"""By the words of the error, what cannot be behind it."""

NOT_KNOWN = {
    "pooler with passwords of its own",
    "request quoted by aws",
    "skewed clock",
    "clock ahead",
    "throttled",
    "port without a server",
}
"""Faults that the client cannot tell from a missing policy, or from one another: theirs comes
later in the list. IAM says no in the same words for them, and nothing was accepted before."""

ANSWERED = {
    "wrong region",
    "wrong region as a keyword",
    "expired session whose end is known",
    "skewed clock with a role",
    "expiration that is no time",
    "throttled after the first login",
}
"""Faults of these codes without a refused connect: an error of our own, or a second login."""

CODES = {name: each.code for name, each in FAULTS.items() if each.code in MUST}
NOTED = [name for name in CODES if name not in ANSWERED]

SHARE = 0.8
"""How many of the first causes have to be right."""


def _failure(ward: Ward) -> tuple[str, list[str]]:
    """What a plain connect fails with, and what its note says is behind it."""
    engine = create_engine(ward.url, **ward.keywords)
    try:
        with pytest.raises(DBAPIError) as caught:
            engine.connect()
    finally:
        engine.dispose()
    notes = [note for note in caught.value.__notes__ if note.startswith("rds_iam: ")]
    lines = notes[0].splitlines()
    return str(caught.value), [line for line in lines if line.startswith("- ")] or [notes[0]]


@pytest.mark.parametrize("name", NOTED)
def test_causes(name: str, ward: Ward) -> None:
    """The first cause is the right one, or one of the others is where nothing tells them apart."""
    code, inject, *_ = FAULTS[name]
    if "cname" in name or "moved" in name:
        pytest.importorskip("dns", reason="dnspython is not installed")
    inject(ward)
    said, causes = _failure(ward)
    looked_at = causes if name in NOT_KNOWN else causes[:1]
    assert re.search(MUST[code], "\n".join(looked_at)), (said, causes)
    for words, impossible in RULED_OUT.items():
        if words in said:
            assert not re.search(impossible, "\n".join(causes))


def test_four_in_five() -> None:
    """The table itself: of all faults with a note, the first cause is right for four in five."""
    assert set(NOTED) >= NOT_KNOWN
    assert len(NOT_KNOWN) <= (1 - SHARE) * len(NOTED), len(NOTED)
