"""Getting hold of a token for a connect: the cache, the flight, and the waiting, within a deadline.

Where ``tokens`` says what there is to do, and ``waits`` how, this does it.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy_rds_iam._config.options import Options
from sqlalchemy_rds_iam._connecting.lateness import Lateness
from sqlalchemy_rds_iam._connecting.reporting import Reporter
from sqlalchemy_rds_iam._connecting.runtime import Waits
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.cache import IdentityTokens
from sqlalchemy_rds_iam._passwords.entries import Answer, Slot
from sqlalchemy_rds_iam._passwords.fetch import Flight
from sqlalchemy_rds_iam._passwords.password import Token
from sqlalchemy_rds_iam.errors import RdsIamError, WaitTimeout

_TURN = 1.0
_GOES_ON = "fetching them goes on, so a later connect may find them"


class Supply:
    """Tokens for the connects of one engine. All deadlines are on the monotonic clock."""

    def __init__(
        self, config: Options, tokens: IdentityTokens, waits: Waits, reporter: Reporter
    ) -> None:
        self._config = config
        self._reporter = reporter
        self._ahead = config.refresh == "ahead"
        self._looks_ahead = self._ahead or config.renews_lazily
        self._tokens = tokens
        self._waits = waits

    def obtain(self, slot: Slot, deadline: float) -> Token:
        """A token, and all the waiting that takes."""
        looks_ahead = self._looks_ahead
        lateness = Lateness()
        while True:
            answer = self._tokens.lookup(
                slot, ahead=looks_ahead, failure_ttl=self._config.memory_of_failure
            )
            self._report_minted(slot, answer)
            if answer.flight is not None and answer.lead:
                self._launch(answer.flight)
            token, flight = answer.token, answer.flight
            if flight is None or (token is not None and (self._ahead or not answer.lead)):
                assert token is not None
                return token
            try:
                self._wait(flight, deadline, lateness)
            except RdsIamError:
                if token is None:
                    raise
                # There still is one, unless it has ended during the wait.
                looks_ahead = False

    def _wait(self, flight: Flight, deadline: float, lateness: Lateness) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0 and not flight.future.done():
            late = lateness.told(self._config.timeout)
            raise WaitTimeout(
                f"no {self._tokens.what} within {self._config.timeout:g} s "
                f"({self._config.named('timeout')}); {late or _GOES_ON}"
            )
        # By turns, to notice that the one who leads has been lost.
        seconds = min(max(remaining, 0), _TURN)
        with lateness.of(seconds):
            self._waits.join(flight, seconds)

    def renew(self, slot: Slot, deadline: float) -> Token:
        """A token of what is fetched now, or was a moment ago.

        Raises:
            RdsIamError: it cannot be had, or not in time.
        """
        answer = self._tokens.renew(slot)
        self._report_minted(slot, answer)
        self._see_through(answer, deadline)
        return answer.token or self.obtain(slot, deadline)

    def follow(self, slot: Slot, answer: Answer, deadline: float) -> Token | None:
        """A token to try in place of a refused one, by what the cache says to that, if any."""
        self._report_minted(slot, answer)
        if answer.token is not None:
            return answer.token
        try:
            self._see_through(answer, deadline)
            return self.obtain(slot, deadline)
        except RdsIamError:
            return None  # the refusal is what the caller has to see; the outage is in the log

    def _see_through(self, answer: Answer, deadline: float) -> None:
        """Wait until a flight has ended, or nobody is going to end it."""
        flight = answer.flight
        if flight is None:
            return
        if answer.lead:
            self._launch(flight)
        lateness = Lateness()
        while True:
            self._wait(flight, deadline, lateness)
            if flight.future.done() or flight.lost(self._tokens.clock()):
                return

    def _report_minted(self, slot: Slot, answer: Answer) -> None:
        if not answer.minted:
            return
        self._reporter.report(
            "minted",
            self._tokens.clock(),
            logging.DEBUG,
            "new %s for %s",
            self._config.BRINGS,
            slot.endpoint if isinstance(slot.endpoint, Endpoint) else self._tokens.what,
            endpoint=slot.endpoint,
            holding=slot.signer,
            token=answer.token,
        )

    def _launch(self, flight: Flight) -> None:
        try:
            self._waits.launch(flight)
        except Exception as error:  # noqa: BLE001  (no thread to be had; whoever waits is told)
            self._tokens.crash(flight, error)
        except BaseException:
            self._tokens.cut_short(flight)
            raise
