"""The cache as a state machine: time, failures, refusals, waiters and forks in any order."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, IssuedPassword, sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry, CacheLookup
from sqlalchemy_rds_iam._passwords.fetch import FETCH_LIMIT, Fetch

ENDPOINTS = [
    Endpoint(f"db{number}.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")
    for number in range(3)
]


class CacheMachine(RuleBasedStateMachine):
    """Connects, waits, refusals and outages against a model of what is promised."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.serial = 0
        self.tokens = PasswordCache(self, clock=lambda: self.now)
        self.slots = [self.tokens.entry(endpoint) for endpoint in ENDPOINTS]
        self.flying: dict[Fetch, float] = {}
        self.waiting: list[Fetch] = []
        self.handed_out: list[tuple[Any, IssuedPassword]] = []
        self.failed_at: float | None = None
        self.result: Credentials | Exception | None = None

    # The source of the cache under test; a fetch's result is decided when it lands.

    def fetch(self, *, reload: bool) -> Credentials:
        assert self.result is not None
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def prepare_async(self, loop: Any, *, reload: bool) -> None: ...

    async def fetch_async(self) -> Credentials:
        raise NotImplementedError

    def reset(self) -> None: ...

    def token(self, credentials: Credentials, endpoint: Endpoint, now: float) -> IssuedPassword:
        cached = self.tokens._cached
        assert cached is not None
        assert cached.fetched is credentials
        assert now == self.now < cached.dead_at, "signed with the dead"
        assert credentials.expires_at is None or now < credentials.expires_at
        return sign(credentials, endpoint, now)

    # What may happen.

    @rule(seconds=st.floats(0, 20) | st.sampled_from([1.0, 10.0, 60.0]) | st.floats(0, 4000))
    def time_passes(self, seconds: float) -> None:
        """The clock goes on."""
        self.now += seconds

    @rule(seconds=st.floats(0, 1))
    def clock_is_set_back(self, seconds: float) -> None:
        """The clock is corrected by a little."""
        self.now -= seconds

    @rule(
        number=st.integers(0, 2), ahead=st.booleans(), failure_ttl=st.sampled_from([0.0, 1.0, 30.0])
    )
    def connect(self, number: int, ahead: bool, failure_ttl: float) -> None:
        """A connect asks for a token and uses it, leads, waits, or fails at once."""
        entry = self.slots[number]
        token = entry.fresh(self.now)
        if token is None:
            remembered = self._remembered(failure_ttl)
            try:
                answer = self.tokens.lookup(entry, ahead=ahead, failure_ttl=failure_ttl)
            except CredentialsError:
                assert remembered, "failed although nothing failed within failure_ttl"
                assert self._dead()
                return
            token = answer.token
            self._take_off(answer.fetch, must_fetch=answer.must_fetch)
            if token is None:
                assert self._dead()
                assert not remembered
                assert answer.fetch is not None
                self.waiting.append(answer.fetch)
                return
            assert ahead or answer.fetch is None
        self._check_alive(token)
        self.handed_out.append((entry, token))

    @precondition(lambda self: self.handed_out)
    @rule(data=st.data(), slow=st.floats(0, 30))
    def refuse(self, data: Any, slow: float) -> None:
        """The server refuses a token; the caller that used it goes on as told."""
        entry, token = data.draw(st.sampled_from(self.handed_out))
        answer = self.tokens.on_refused(entry, token, age=slow)
        assert entry.token is not token or answer is not None
        if answer is not None:
            self._follow(entry, answer)

    @rule(number=st.integers(0, 2))
    def renew(self, number: int) -> None:
        """A connect wants what is fetched as of now, as a refused password of a secret does."""
        entry = self.slots[number]
        try:
            answer = self.tokens.force_refresh(entry)
        except CredentialsError:
            assert self.failed_at is not None
            return
        self._follow(entry, answer)

    def _follow(self, entry: CacheEntry, answer: CacheLookup) -> None:
        """Go on as told: with a token, with a fetch, or else by looking up again."""
        self._take_off(answer.fetch, must_fetch=answer.must_fetch)
        if answer.token is not None:
            self._check_alive(answer.token)
            self.handed_out.append((entry, answer.token))
        elif answer.fetch is None:
            assert self._dead()

    @precondition(lambda self: self.handed_out)
    @rule(data=st.data())
    def accept(self, data: Any) -> None:
        """The server accepts a token."""
        self.tokens.accept(data.draw(st.sampled_from(self.handed_out))[1])

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), life=st.none() | st.floats(-5, 7200))
    def complete(self, data: Any, life: float | None) -> None:
        """A fetch comes back with credentials, some of which have expired on the way."""
        fetch = self._pick(data)
        self.serial += 1
        expires = None if life is None else self.now + life
        self.result = Credentials(f"KEY{self.serial}", "s", "t", expires, "test")
        current = self.tokens._fetch is fetch
        fetch.run()
        if current:
            self.failed_at = self.now if expires is not None and expires <= self.now else None
            assert fetch.future.done()

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def fail(self, data: Any) -> None:
        """A fetch fails."""
        fetch = self._pick(data)
        self.result = OSError("no route")
        current = self.tokens._fetch is fetch
        fetch.run()
        if current:
            self.failed_at = self.now
            assert isinstance(fetch.future.exception(0), CredentialsError)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def abandon(self, data: Any) -> None:
        """A leader is cancelled."""
        fetch = self._pick(data)
        self.tokens.abandon(fetch)

    @rule()
    def fork(self) -> None:
        """The process goes on as its own forked child, without the threads that were fetching."""
        self.tokens.after_fork()
        self.flying.clear()
        self.waiting.clear()

    # What is promised, whatever has happened.

    @invariant()
    def one_flight(self) -> None:
        """Never two fetches of one identity at a time, but for one that was given up for lost."""
        alive = [f for f, begun in self.flying.items() if self.now - begun < FETCH_LIMIT]
        assert sum(f is self.tokens._fetch for f in alive) == len(alive) <= 1

    @invariant()
    def waiters_are_answered(self) -> None:
        """Each waiter waits for a fetch that is still under way, or has been answered."""
        for fetch in self.waiting:
            assert fetch.future.done() or fetch is self.tokens._fetch
            assert fetch.future.done() or fetch in self.flying

    def _pick(self, data: Any) -> Fetch:
        fetch = data.draw(st.sampled_from(list(self.flying)))
        del self.flying[fetch]
        return fetch

    def _take_off(self, fetch: Fetch | None, *, must_fetch: bool) -> None:
        if fetch is not None and must_fetch:
            assert fetch not in self.flying
            self.flying[fetch] = self.now
            fetch.begun = True

    def _dead(self) -> bool:
        cached = self.tokens._cached
        return cached is None or self.now >= cached.dead_at

    def _remembered(self, failure_ttl: float) -> bool:
        failed = self.failed_at
        return self._dead() and failed is not None and 0 <= self.now - failed < failure_ttl

    def _check_alive(self, token: IssuedPassword) -> None:
        credentials = self.tokens.credentials
        assert credentials is not None
        # What is handed out was signed with what is in hand, or is good until its own time.
        assert not self._dead() or self.now < token.fresh_until
        signer = next(entry.signer for entry in self.slots if entry.token is token)
        assert signer is not None
        assert self.now < signer.dead_at
        assert token.signed_at <= self.now < token.expires_at <= token.signed_at + 900
        # At least a third of what a token lives, unless its credentials are near their end.
        left = token.expires_at - self.now
        assert left >= 300 or credentials.expires_at is not None or token.fresh_until > self.now


CacheMachine.TestCase.settings = settings(
    # Twice as many as of others: few of its steps come to something.
    max_examples=2 * settings().max_examples,
    stateful_step_count=40,
    deadline=None,
)
test_cache = CacheMachine.TestCase


def test_credentials_that_end_between_two_reloads() -> None:
    """A refusal while reloads are spaced out does not have a token signed with the dead."""
    machine = CacheMachine()
    entry = machine.slots[0]

    def look_up() -> CacheLookup:
        answer = machine.tokens.lookup(entry, ahead=True, failure_ttl=1.0)
        if answer.fetch is not None:
            machine.result = Credentials("KEY", "s", "t", machine.now + 0.5, "test")
            answer.fetch.run()
        return answer

    look_up()
    token = look_up().token
    assert token is not None
    machine.now += 0.5
    assert machine.tokens.on_refused(entry, token, age=1.0) == CacheLookup(None)
    token.accepted = True
    assert machine.tokens.on_refused(entry, token, age=0.0) == CacheLookup(None)
    token.accepted = False
    assert machine.tokens.on_refused(entry, token, age=0.0) == CacheLookup(None)
    assert machine.tokens.force_refresh(entry) == CacheLookup(None)
    # Looking up is what brings new ones.
    assert look_up().must_fetch
    assert look_up().token is not None
