"""Fetching anew after refusals: soon for a few times, then more seldom, and once for all."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam import CredentialsError, SecretError
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, IssuedPassword, sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.expiry import CHEAP_PAUSE, LONGEST_PAUSE
from sqlalchemy_rds_iam._secretsmanager.rotation import ROUNDS

ENDPOINT = Endpoint("db.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")


class Account:
    """A source of keys, and the clock of the test."""

    def __init__(self, provider: str = "iam-role", **options: Any) -> None:
        self.now = 0.0
        self.fault: Exception | None = None
        self.provider = provider
        self.key = "KEY"
        self.fetches = 0
        self.tokens = PasswordCache(self, clock=lambda: self.now, **options)
        self.entry = self.tokens.entry(ENDPOINT)

    def fetch(self, *, reload: bool) -> Credentials:
        self.fetches += 1
        if self.fault is not None:
            raise self.fault
        return Credentials(self.key, "secret", provider=self.provider)

    async def fetch_async(self) -> Credentials:
        return self.fetch(reload=False)

    def prepare_async(self, loop: Any, *, reload: bool) -> None: ...

    def reset(self) -> None: ...

    def token(self, credentials: Credentials, endpoint: Endpoint, now: float) -> IssuedPassword:
        return sign(credentials, endpoint, now)

    def pauses(self, count: int) -> list[float]:
        """Ask ten times a second, two at a time; the seconds between so many fetches."""
        times: list[float] = []
        while len(times) <= count:
            try:
                answer = self.tokens.force_refresh(self.entry)
                again = self.tokens.force_refresh(self.entry)
            except CredentialsError:
                answer = again = None  # type: ignore[assignment]
            if answer is not None and answer.fetch is not None:
                assert answer.must_fetch
                assert again.fetch is answer.fetch
                assert not again.must_fetch
                answer.fetch.run()
                times.append(self.now)
            self.now = round(self.now + 0.1, 1)
        return [round(later - earlier, 1) for earlier, later in pairwise(times)]


@pytest.mark.parametrize("fault", [None, SecretError("gone")], ids=["there", "gone"])
def test_spacing(fault: Exception | None) -> None:
    """What is refused or cannot be fetched is asked for soon at first, and later once a minute."""
    account = Account(free_reloads=3)
    account.fault = fault
    assert account.pauses(9) == [1, 1, 1, 2, 4, 8, 16, 32, 60]
    account.tokens.reset_backoff()
    account.now += 60
    assert account.pauses(4) == [1, 1, 1, 2]


def test_without_patience() -> None:
    """As for AWS credentials, each time is later than the one before."""
    assert Account(free_reloads=0).pauses(4) == [2, 4, 8, 16]


def test_what_is_there_meanwhile() -> None:
    """Between two fetches there is the token in hand, or the error, which keeps its kind."""
    account = Account(free_reloads=0)
    account.pauses(0)
    assert account.tokens.force_refresh(account.entry).token is not None
    account = Account(free_reloads=0)
    account.fault = SecretError("gone", retryable=True)
    account.pauses(0)
    with pytest.raises(SecretError, match="gone") as caught:
        account.tokens.force_refresh(account.entry)
    assert caught.value.retryable


class Login(Account):
    """The same, and a server that takes one key only. Each connect takes no time at all."""

    right = "KEY"

    def connect(self) -> bool:
        """Connect as an engine does, with at most one more try; whether the server let us in."""
        answer = self.tokens.lookup(self.entry, ahead=True, failure_ttl=1.0)
        token = self._landed(answer)
        if self._accepts(token):
            return True
        again = self._after_refusal(token)
        return again is not None and self._accepts(again)

    def _after_refusal(self, token: IssuedPassword) -> IssuedPassword | None:
        answer = self.tokens.on_refused(self.entry, token, age=0.0)
        return None if answer is None else self._landed(answer)

    def _landed(self, answer: Any) -> IssuedPassword:
        if answer.fetch is not None:
            answer.fetch.run()
        found = self.tokens.lookup(self.entry, ahead=True, failure_ttl=1.0).token
        assert found is not None
        return answer.token or found

    def _accepts(self, token: IssuedPassword) -> bool:
        if f"={self.right}%2F" not in token.password:
            return False
        self.tokens.accept(token)
        return True


class SecretLogin(Login):
    """As ``rds_secret`` goes on after a refusal."""

    def _after_refusal(self, token: IssuedPassword) -> IssuedPassword | None:
        try:
            return self._landed(self.tokens.force_refresh(self.entry))
        except CredentialsError:
            return token


LOGINS: dict[str, tuple[Any, float]] = {
    "secret": (lambda: SecretLogin(free_reloads=ROUNDS, longest_pause=CHEAP_PAUSE), CHEAP_PAUSE),
    "environment": (lambda: Login("env"), CHEAP_PAUSE),
    "file": (lambda: Login("shared-credentials-file"), CHEAP_PAUSE),
    "role": (lambda: Login("assume-role"), LONGEST_PAUSE),
}


@pytest.mark.parametrize("name", LOGINS)
@given(
    refusals=st.floats(0.0, 300.0),
    every=st.floats(0.2, 3.0),
    fetches_fail=st.booleans(),
)
def test_back_within_the_pause(
    name: str, refusals: float, every: float, fetches_fail: bool
) -> None:
    """However long refusals went on, once both sides are right a connect succeeds in the pause.

    And until then, however many connects there are, few of them fetch anything.
    """
    make, longest = LOGINS[name]
    login = make()
    assert login.connect()
    login.right = "ANOTHER"
    if fetches_fail:
        login.fault = CredentialsError("no route")
    until, before = login.now + refusals, login.fetches
    while login.now < until:
        assert not login.connect()
        login.now += every
    assert login.fetches - before <= ROUNDS + 7 + refusals / longest
    login.key, login.fault, right_at = "ANOTHER", None, login.now
    while not login.connect():
        login.now += every
    assert login.now - right_at <= longest + every
