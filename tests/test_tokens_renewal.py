"""Fetching anew after refusals: soon for a few times, then ever more seldom, and once for all."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from sqlalchemy_rds_iam import CredentialsError, SecretError
from sqlalchemy_rds_iam.endpoint import Endpoint
from sqlalchemy_rds_iam.signing import Credentials, Token, sign
from sqlalchemy_rds_iam.tokens import IdentityTokens

ENDPOINT = Endpoint("db.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")


class Account:
    """A source of keys, and the clock of the test."""

    def __init__(self, patience: int) -> None:
        self.now = 0.0
        self.fault: Exception | None = None
        self.tokens = IdentityTokens(self, clock=lambda: self.now, patience=patience)
        self.slot = self.tokens.slot(ENDPOINT)

    def fetch(self, *, reload: bool) -> Credentials:
        if self.fault is not None:
            raise self.fault
        return Credentials("KEY", "secret")

    async def fetch_async(self) -> Credentials:
        return self.fetch(reload=False)

    def prepare_async(self, loop: Any, *, reload: bool) -> None: ...

    def reset(self) -> None: ...

    def token(self, credentials: Credentials, endpoint: Endpoint, now: float) -> Token:
        return sign(credentials, endpoint, now)

    def pauses(self, count: int) -> list[float]:
        """Ask ten times a second, two at a time; the seconds between so many fetches."""
        times: list[float] = []
        while len(times) <= count:
            try:
                answer = self.tokens.renew(self.slot)
                again = self.tokens.renew(self.slot)
            except CredentialsError:
                answer = again = None  # type: ignore[assignment]
            if answer is not None and answer.flight is not None:
                assert answer.lead
                assert again.flight is answer.flight
                assert not again.lead
                answer.flight.run()
                times.append(self.now)
            self.now = round(self.now + 0.1, 1)
        return [round(later - earlier, 1) for earlier, later in pairwise(times)]


@pytest.mark.parametrize("fault", [None, SecretError("gone")], ids=["there", "gone"])
def test_spacing(fault: Exception | None) -> None:
    """What is refused, or cannot be had, is asked for soon at first, and down to once a minute."""
    account = Account(patience=3)
    account.fault = fault
    assert account.pauses(9) == [1, 1, 1, 2, 4, 8, 16, 32, 60]
    account.tokens.relax()
    account.now += 60
    assert account.pauses(4) == [1, 1, 1, 2]


def test_without_patience() -> None:
    """As for AWS credentials, each time is later than the one before."""
    assert Account(patience=0).pauses(4) == [2, 4, 8, 16]


def test_what_is_there_meanwhile() -> None:
    """Between two fetches there is the token in hand, or the error, which keeps its kind."""
    account = Account(patience=0)
    account.pauses(0)
    assert account.tokens.renew(account.slot).token is not None
    account = Account(patience=0)
    account.fault = SecretError("gone", retryable=True)
    account.pauses(0)
    with pytest.raises(SecretError, match="gone") as caught:
        account.tokens.renew(account.slot)
    assert caught.value.retryable
