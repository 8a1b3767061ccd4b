"""Remember and renew: the tokens of one identity, and the credentials they are signed with.

Signing takes microseconds; what takes time and fails is fetching credentials. So there is one
flight (a fetch under way) per identity, whatever the number of endpoints, threads and event loops,
and tokens are signed on the spot from the credentials in hand. A secret's passwords come the same
way; then it is the secret that is fetched. What is in hand is

- FRESH: sign, no waiting;
- STALE: sign, and one caller has them renewed in the background;
- EXPIRED: everybody joins the one flight; nothing is signed with it any more, in whatever state
  a refusal or an outage is.

A token is re-signed in the last third of its life, so one that is handed out has minutes left.
Nothing here blocks, sleeps or starts a thread; that is what ``waits`` is for.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._fork import renew_in_child
from sqlalchemy_rds_iam._masking import first_line, harmless
from sqlalchemy_rds_iam._passwords.entries import Answer, Slot
from sqlalchemy_rds_iam._passwords.expiry import (
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    Fetched,
    Holding,
    Outage,
    stale_at,
)
from sqlalchemy_rds_iam._passwords.fetch import Flight, Source
from sqlalchemy_rds_iam._passwords.password import Token
from sqlalchemy_rds_iam.errors import CredentialsError, RdsIamError, again

CREDENTIALS = "AWS credentials"
"""What is fetched for tokens, in messages."""


class Observer(Protocol):
    """What reports the fetches of one identity. Called without a lock."""

    def subscribe(self, subscriber: Any) -> None:
        """Report to an engine, too, as long as it lives."""

    def fetched(self, now: float, holding: Holding, ended: Outage | None) -> None:
        """A fetch has succeeded, which has `ended` an outage."""

    def failed(self, now: float, holding: Holding | None, outage: Outage) -> None:
        """A fetch has failed, once more in `outage`."""


class IdentityTokens:
    """The tokens of one AWS identity, for all of its endpoints. Thread-safe; never blocks.

    Args:
        source: fetches credentials and makes tokens of them.
        clock: epoch seconds. Wall clock, because a frozen process's monotonic clock stands still.
        what: what is fetched, in messages.
        patience: how often it may be fetched anew after refusals, before doing so is spaced out.
        longest_pause: how many seconds apart at the most, unless what was fetched names fewer.
        observer: told of every fetch that has ended.

    Attributes:
        observer: the same.
    """

    def __init__(
        self,
        source: Source,
        clock: Callable[[], float] = time.time,
        *,
        what: str = CREDENTIALS,
        patience: int = 0,
        longest_pause: float = LONGEST_PAUSE,
        observer: Observer | None = None,
    ) -> None:
        self.source = source
        self.clock = clock
        self.what = what
        self.observer = observer
        # A thread may take it twice: the collector may end an abandoned flight at any allocation.
        self._lock = threading.RLock()
        self._slots = weakref.WeakValueDictionary[Endpoint | str, Slot]()
        self._holding: Holding | None = None
        self._flight: Flight | None = None
        self._outage: Outage | None = None
        self._patience = self._reloads_left = patience
        self._reload_pause = SHORTEST_PAUSE
        self._longest_pause = longest_pause
        renew_in_child(self)

    @property
    def credentials(self) -> Any:
        """What tokens are made of at the moment, as the source has fetched it; None before that."""
        return self._holding.fetched if self._holding else None

    @property
    def holding(self) -> Holding | None:
        """The same, and when it was fetched."""
        return self._holding

    @property
    def outage(self) -> Outage | None:
        """The fetches that have failed since the last one that did not."""
        return self._outage

    def slot(self, endpoint: Endpoint | str) -> Slot:
        """The one place for this endpoint's token, shared by all engines that connect there.

        Args:
            endpoint: what is signed; or a name, where a password is the same for all endpoints.
        """
        with self._lock:
            slot = self._slots.get(endpoint)
            if slot is None:
                slot = self._slots[endpoint] = Slot(endpoint)
            return slot

    def lookup(self, slot: Slot, *, ahead: bool, failure_ttl: float) -> Answer:
        """Find what a connect can do: use a token, join a flight, or lead one.

        Args:
            slot: where to connect to.
            ahead: whether the caller would renew STALE credentials in the background.
            failure_ttl: seconds that a failed fetch stands for the next one.

        Raises:
            CredentialsError: a fetch failed less than `failure_ttl` ago.
        """
        with self._lock:
            # In here, or else a thread that had to wait takes what is young for from the future.
            now = self.clock()
            holding = self._holding
            answer = self._sign(slot, holding, now) if holding else Answer(None)
            if holding is None or answer.token is None:
                self._check_outage(now, failure_ttl)
                return Answer(None, *self._join(now, reload=False))
            outage = self._outage
            if not ahead or now < holding.stale_at or (outage and now < outage.retry_at):
                return answer
            flight, lead = self._join(now, reload=False)
            return answer._replace(flight=flight if lead else None, lead=lead)

    def forget(self, slot: Slot, token: Token) -> None:
        """Drop a token that the server refused, unless another one has taken its place."""
        with self._lock:
            if slot.token is token:
                slot.token = None

    def refused(self, slot: Slot, token: Token, *, age: float) -> Answer | None:
        """Forget a refused token and say how to go on, or None if there is nothing to try.

        Worth another try is a token that was in the cache already, and one that was signed with
        credentials that may have been replaced since they were loaded. Reloading them is spaced
        out while refusals go on, so that a missing grant does not become a stream of AWS calls.

        Args:
            slot: where the token was used.
            token: the refused one.
            age: seconds since it was signed, when it was used.
        """
        self.forget(slot, token)
        with self._lock:
            now = self.clock()
            holding = self._holding
            if holding is None or not self._asked_lately(now):
                return Answer(None, *self._reload(now))
            if token.accepted or age >= SHORTEST_PAUSE or now >= holding.dead_at:
                return self._sign(slot, holding, now)
            return None

    def renew(self, slot: Slot) -> Answer:
        """Have what tokens are made of fetched anew, unless that was done or failed a moment ago.

        It is spaced out while refusals go on, as `refused` does.

        Raises:
            CredentialsError: it failed a moment ago.
        """
        with self._lock:
            now = self.clock()
            holding, outage = self._holding, self._outage
            if not self._asked_lately(now) or self._flight is not None:
                return Answer(None, *self._reload(now))
            if outage is not None:
                raise again(outage.error)
            assert holding is not None
            return self._sign(slot, holding, now)

    def accept(self, token: Token) -> None:
        """Note that a login with `token` has succeeded."""
        token.accepted = True
        self.relax()

    def relax(self) -> None:
        """Note that refusals have ended: what is refused next need not wait for its renewal."""
        self._reloads_left = self._patience
        self._reload_pause = SHORTEST_PAUSE

    def land(self, flight: Flight, fetched: Fetched) -> None:
        """End a flight with what it has fetched."""
        holding = Holding(fetched, self.clock())
        with self._lock:
            if self._flight is not flight:
                return  # given up for lost; its successor speaks for both
            self._flight = None
            self._holding = holding
            ended, self._outage = self._outage, None
        try:
            if self.observer is not None:
                self.observer.fetched(self.clock(), holding, ended)
        finally:
            flight.future.set_result(None)

    def crash(self, flight: Flight, error: Exception) -> None:
        """End a flight with a failure, and remember it."""
        if not isinstance(error, RdsIamError):
            cause = harmless(error)
            name, said = type(error).__name__, first_line(error)
            error = CredentialsError(f"fetching {self.what} failed: {name}: {said}")
            error.__cause__ = cause
        with self._lock:
            if self._flight is not flight:
                return
            self._flight = None
            self._outage = outage = Outage(error, self.clock(), self._outage)
        try:
            if self.observer is not None:
                self.observer.failed(outage.failed_at, self._holding, outage)
        finally:
            flight.future.set_exception(error)

    def cut_short(self, flight: Flight) -> None:
        """End a flight that was cancelled or interrupted: whoever waits leads the next one."""
        with self._lock:
            if self._flight is not flight:
                return
            self._flight = None
        flight.future.set_result(None)

    def _sign(self, slot: Slot, holding: Holding, now: float) -> Answer:
        # The one place that signs. Whoever is told that there is nothing looks up again, and leads
        # or joins a flight.
        if now >= holding.dead_at:
            return Answer(None)
        token = slot.token
        if token and slot.signer is holding and token.signed_at <= now < stale_at(token):
            return Answer(token)
        token = self.source.token(holding.fetched, slot.endpoint, now)
        token.fresh_until = min(stale_at(token), holding.stale_at)
        slot.token, slot.signer = token, holding
        return Answer(token, minted=True)

    def _asked_lately(self, now: float) -> bool:
        """Whether a fetch ended, either way, less than a pause ago."""
        outage, holding = self._outage, self._holding
        asked_at = outage.failed_at if outage else holding.fetched_at if holding else None
        return asked_at is not None and abs(now - asked_at) < self._reload_pause

    def _reload(self, now: float) -> tuple[Flight, bool]:
        flight, lead = self._join(now, reload=True)
        if lead:
            self._reloads_left -= 1
            if self._reloads_left < 0:
                holding, longest = self._holding, self._longest_pause
                longest = min(longest, holding.longest_pause) if holding else longest
                self._reload_pause = min(self._reload_pause * 2, longest)
        return flight, lead

    def _join(self, now: float, *, reload: bool) -> tuple[Flight, bool]:
        if self._flight is not None and not self._flight.lost(now):
            return self._flight, False
        abandoned, self._flight = self._flight, Flight(self.source, self, now, reload=reload)
        if abandoned is not None:
            self.source.reset()
            if not abandoned.future.done():
                abandoned.future.set_result(None)
        return self._flight, True

    def _check_outage(self, now: float, failure_ttl: float) -> None:
        outage = self._outage
        if outage is not None and 0 <= now - outage.failed_at < failure_ttl:
            raise again(outage.error)

    def after_fork(self) -> None:
        """Start afresh: another thread may have held the lock, or led the flight."""
        self._lock = threading.RLock()
        self._flight = None
        self.source.reset()
