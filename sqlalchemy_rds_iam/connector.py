"""The way of every physical connect: SQLAlchemy's ``do_connect`` event, sync and async alike.

See "Generating dynamic authentication tokens" in SQLAlchemy's documentation. `_do_connect` reads
from top to bottom: where to, with which token, the driver, and once more if it was refused.
"""

from __future__ import annotations

import itertools
import logging
import time
from dataclasses import replace
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sqlalchemy_rds_iam.config import Config
from sqlalchemy_rds_iam.credentials import ambient_region
from sqlalchemy_rds_iam.drivers import Driver, Target
from sqlalchemy_rds_iam.errors import WaitTimeout
from sqlalchemy_rds_iam.names import Names, is_alias
from sqlalchemy_rds_iam.pacing import Crowd, Pace, pace_at, pause
from sqlalchemy_rds_iam.refusal import explain, explain_certificate, is_refusal
from sqlalchemy_rds_iam.signing import Token
from sqlalchemy_rds_iam.supply import Supply
from sqlalchemy_rds_iam.tokens import IdentityTokens, Slot
from sqlalchemy_rds_iam.waits import Waits

RECENT, CURRENT = 1.0, 10.0
"""Seconds for which a login that was accepted proves the credentials good, and that the server
still lets this user in."""

Settled = tuple[Target, Slot, Pace | None]

logger = logging.getLogger("sqlalchemy_rds_iam")


class Attempts:
    """One connect: where it goes, until when, and what it has tried so far."""

    __slots__ = ("deadline", "host", "pace", "replaced", "slot", "target", "throttled")

    def __init__(self, host: str, settled: Settled, deadline: float) -> None:
        self.host = host
        self.target, self.slot, self.pace = settled
        self.deadline = deadline
        self.replaced = False
        self.throttled = 0


class Connector:
    """The way of every physical connect of one engine. It does not hold the engine."""

    def __init__(
        self, config: Config, driver: Driver, tokens: IdentityTokens, waits: Waits
    ) -> None:
        self._config = config
        self._driver = driver
        self._tokens, self._waits = tokens, waits
        self._supply = Supply(config, tokens, waits)
        self._clock = tokens.clock
        self._names = Names(self._clock) if config.resolve_cname else None
        self._targets: dict[tuple[Any, ...], Settled] = {}
        self.listener = self._do_connect

    def rehearse(self, cparams: dict[str, Any]) -> None:
        """Do what each connect is going to do before the driver is called, but ask nobody.

        Raises:
            ConfigError: the connect arguments cannot work, or are not safe.
        """
        if self._names is not None and is_alias(cparams.get("host")):
            # An async application is on its loop here: where the name leads, region included, has
            # to wait. Everything else is looked at.
            self._driver.target(cparams, self._config, lambda: "unknown")
        else:
            self._settle(cparams)

    def _settle(self, cparams: dict[str, Any], *found: str) -> Settled:
        """Work out, once for each host, port, user and RDS name `found`, what connecting takes."""
        config = replace(self._config, host=found[0]) if found else self._config
        target = self._driver.target(cparams, config, lambda: ambient_region(config))
        if target.host.region is None and target.host.kind != "global-writer":
            logger.warning(
                "tokens are signed for %s, which is no RDS endpoint name; RDS accepts only those "
                "signed for its own names, see rds_iam_host and rds_iam_resolve_cname",
                target.endpoint,
            )
        host, port, *_ = target.endpoint
        pace = pace_at(host, port, config.connect_rate)
        settled = target, self._tokens.slot(target.endpoint), pace
        self._targets[cparams["host"], cparams.get("port"), cparams["user"], *found] = settled
        return settled

    def _do_connect(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        cargs: list[Any],
        cparams: dict[str, Any],
    ) -> DBAPIConnection:
        key = cparams.get("host"), cparams.get("port"), cparams.get("user")
        began = time.monotonic()
        deadline = began + self._config.timeout
        target, slot, pace = self._targets.get(key) or self._look_up(key, cparams, deadline)
        if target.own_ca is not None and not target.own_ca.is_current():
            found = (target.host.host,) if self._names and is_alias(key[0]) else ()
            target, slot, pace = self._settle(cparams, *found)
        now = self._clock()
        token = slot.fresh(now) or self._supply.obtain(slot, deadline)
        arguments = target.arguments
        if target.resolve is not None:
            arguments = self._addressed(target.resolve, target, deadline)
        attempts = None
        while True:
            if pace is not None and (attempts or not pace.go(began)):
                token = self._queue(pace, slot, token, deadline)
                began = time.monotonic()
            try:
                # Copies, as another attempt starts from what the first one was given.
                connection = self._connect(
                    dialect,
                    record,
                    list(cargs),
                    {**cparams, **arguments, "password": token.password},
                )
                break
            except Exception as error:
                if attempts is None:
                    attempts = Attempts(cparams["host"], (target, slot, pace), deadline)
                again = self._failed(error, attempts, token, now)
                if again is None:
                    raise
                token = again
        slot.accepted_at = began
        if not token.accepted:
            self._tokens.accept(token)
        return connection

    def _addressed(self, name: str, target: Target, deadline: float) -> dict[str, Any]:
        """The arguments with addresses, for libpq to check the certificate for another name."""
        addresses = self._waits.resolve(name, deadline - time.monotonic())
        # libpq tries the addresses in turn and wants a host for each.
        hosts = ",".join([target.host.host] * len(addresses))
        return {**target.arguments, "host": hosts, "hostaddr": ",".join(addresses)}

    def _queue(self, pace: Pace, slot: Slot, token: Token, deadline: float) -> Token:
        """Wait for the turn of this connect; the token to use when it has come."""
        turn = None
        try:
            turn = pace.take(time.monotonic(), deadline)
            if turn is None:
                return token
            while turn is not None:
                self._waits.sleep(turn.wait)
                turn = pace.call(turn, time.monotonic(), deadline)
        except Crowd as crowd:
            if turn is not None:
                pace.give_back()
            raise WaitTimeout(
                f"no turn to connect to {slot.endpoint} within {self._config.timeout:g} s "
                f"(rds_iam_timeout): {crowd.waiting} connects come before this one, at "
                f"{pace.current_rate:.0f} a second (rds_iam_connect_rate={pace.rate}). Keep more "
                "connections in the pool, put RDS Proxy in between, or raise the rate if AWS "
                "allows more"
            ) from None
        except BaseException:
            if turn is not None:
                pace.give_back()
            raise
        return slot.fresh(self._clock()) or self._supply.obtain(slot, deadline)

    def _failed(
        self, error: Exception, attempts: Attempts, token: Token, used_at: float
    ) -> Token | None:
        """A token for another attempt; None if `error`, with a note, is what the caller gets."""
        target = attempts.target
        if self._names is not None:
            self._names.doubt(attempts.host)
        if not is_refusal(error):
            explain_certificate(error, attempts.host, target.host)
            return None
        again = self._once_more(attempts, token, used_at)
        if again is None:
            self._tokens.forget(attempts.slot, token)
            explain(
                error,
                endpoint=target.endpoint,
                host=target.host,
                token=token,
                credentials=self._tokens.credentials,
                now=self._clock(),
            )
        return again

    def _once_more(self, attempts: Attempts, token: Token, used_at: float) -> Token | None:
        """A token for another attempt after a refusal; None if the refusal is the answer.

        Throttled logins are refused in the same words. Credentials that the server has just
        accepted are good, so there is no need to replace them; those that it has accepted before
        probably are.
        """
        slot, pace, now = attempts.slot, attempts.pace, time.monotonic()
        since = now - slot.accepted_at
        if pace is None or not self._config.throttle_retry:
            since = float("inf")
        if not attempts.replaced and since > RECENT:
            attempts.replaced = True
            if (found := self._supply.replace(slot, token, used_at, attempts.deadline)) is not None:
                return found
        if pace is None or since == float("inf"):
            return None
        if since < CURRENT and pace.throttled(now):
            logger.warning(
                "logins at %s seem to be throttled: %.0f new connections a second for now",
                slot.endpoint,
                pace.current_rate,
            )
        attempts.throttled += 1
        seconds = pause(attempts.throttled)
        if now + seconds >= attempts.deadline:
            if slot.accepted_at < attempts.deadline - self._config.timeout:
                slot.accepted_at = float("-inf")  # nobody was let in all the while
            return None
        self._waits.sleep(seconds)
        return slot.fresh(self._clock()) or self._supply.obtain(slot, attempts.deadline)

    def _look_up(self, key: tuple[Any, ...], cparams: dict[str, Any], deadline: float) -> Settled:
        """Settle what was not known yet: new connect arguments, or where a CNAME leads now."""
        names, alias, *_ = self._names, *key
        found = names.known(alias) if names is not None else None
        if found is not None and (settled := self._targets.get((*key, found))):
            return settled
        if names is None or not is_alias(alias):
            return self._settle(cparams)
        remaining = deadline - time.monotonic()

        def look_up() -> Settled:
            name = names.look_up(alias, remaining, self._config.failure_ttl)
            return self._targets.get((*key, name)) or self._settle(cparams, name)

        return self._waits.run(look_up, remaining)

    def _connect(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        cargs: list[Any],
        cparams: dict[str, Any],
    ) -> DBAPIConnection:
        """Connect as SQLAlchemy would have done, the listeners after this one included.

        SQLAlchemy offers no way to try a failed connect again, so it has to happen in here.
        """
        listeners = dialect.dispatch.do_connect
        if len(listeners) > 1:
            later = itertools.dropwhile(lambda listener: listener is not self.listener, listeners)
            for listener in itertools.islice(later, 1, None):
                connection: DBAPIConnection | None = listener(dialect, record, cargs, cparams)
                if connection is not None:
                    return connection
        return dialect.connect(*cargs, **cparams)
