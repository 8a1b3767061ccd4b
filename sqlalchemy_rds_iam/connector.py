"""The way of every physical connect: SQLAlchemy's ``do_connect`` event, sync and async alike.

See "Generating dynamic authentication tokens" in SQLAlchemy's documentation. `_do_connect` reads
from top to bottom: where to, with which token, the driver, and once more if it was refused.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sqlalchemy_rds_iam.config import Config
from sqlalchemy_rds_iam.credentials import ambient_region
from sqlalchemy_rds_iam.drivers import Driver, Target
from sqlalchemy_rds_iam.errors import WaitTimeout
from sqlalchemy_rds_iam.fleet import pace_at
from sqlalchemy_rds_iam.names import Names, is_alias
from sqlalchemy_rds_iam.pacing import Crowd, Pace
from sqlalchemy_rds_iam.refusal import explain, explain_certificate, is_refusal, is_throttled
from sqlalchemy_rds_iam.signing import Token
from sqlalchemy_rds_iam.supply import Supply
from sqlalchemy_rds_iam.throttling import NEVER, Attempts
from sqlalchemy_rds_iam.tokens import IdentityTokens, Slot
from sqlalchemy_rds_iam.waits import Waits

Settled = tuple[Target, Slot, Pace | None]

logger = logging.getLogger("sqlalchemy_rds_iam")


class Connector:
    """The way of every physical connect of one engine. It does not hold the engine."""

    def __init__(
        self, config: Config, driver: Driver, tokens: IdentityTokens, waits: Waits
    ) -> None:
        self._config, self._timeout = config, config.timeout
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
        pace = pace_at(host, port, config.connect_rate, config.rate_storage)
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
        began = monotonic()
        deadline = began + self._timeout
        settled = self._targets.get(key) or self._look_up(key, cparams, deadline)
        target, slot, pace = settled
        if target.own_ca is not None and not target.own_ca.is_current():
            found = (target.host.host,) if self._names and is_alias(key[0]) else ()
            settled = target, slot, pace = self._settle(cparams, *found)
        now = self._clock()
        token = slot.token
        if token is None or not token.signed_at <= now < token.fresh_until:
            token = self._supply.obtain(slot, deadline)
        arguments = target.arguments
        if target.resolve is not None:
            arguments = self._addressed(target.resolve, target, deadline)
        attempts = None
        while True:
            if pace is not None and (attempts or slot.accepted_at == NEVER or not pace.go(began)):
                attempts = attempts or Attempts(began, deadline)
                token = self._queue(pace, slot, attempts)
            try:
                alone = len(dialect.dispatch.do_connect) == 1
                connect = dialect.connect if alone else self._others(dialect, record)
                # SQLAlchemy makes a dict for each connect, and whoever is called gets a copy.
                cparams |= arguments
                cparams["password"] = token.password
                connection = connect(*cargs, **cparams)
                break
            except Exception as error:
                attempts = attempts or Attempts(began, deadline)
                again = self._failed(error, key[0], attempts, settled, token, used_at=now)
                if again is None:
                    raise
                token = again
        slot.accepted_at = monotonic()
        if pace is not None:
            pace.accepted(slot.accepted_at)
        if not token.accepted:
            self._tokens.accept(token)
        return connection

    def _addressed(self, name: str, target: Target, deadline: float) -> dict[str, Any]:
        """The arguments with addresses, for libpq to check the certificate for another name."""
        addresses = self._waits.resolve(name, deadline - monotonic())
        # libpq tries the addresses in turn and wants a host for each.
        hosts = ",".join([target.host.host] * len(addresses))
        return {**target.arguments, "host": hosts, "hostaddr": ",".join(addresses)}

    def _queue(self, pace: Pace, slot: Slot, attempts: Attempts) -> Token:
        """Wait for the turn of this connect; the token to use when it has come."""
        deadline = attempts.deadline
        if self._config.throttle_retry:
            while seconds := attempts.head_start(slot, monotonic()):
                self._waits.sleep(seconds)
        turn = None
        try:
            turn = pace.take(monotonic(), deadline)
            while True:
                if (work := pace.lead(monotonic())) is not None:
                    self._waits.start(work)
                if turn is None:
                    break
                self._waits.sleep(turn.wait)
                turn = pace.call(turn, monotonic(), deadline)
        except Crowd as crowd:
            if turn is not None:
                pace.give_back()
            attempts.give_up(slot)
            raise WaitTimeout(
                f"no turn to connect to {slot.endpoint} within {self._timeout:g} s "
                f"(rds_iam_timeout): {crowd.waiting} connects come before this one, at "
                f"{pace.current_rate:.0f} a second (rds_iam_connect_rate={pace.rate}); "
                f"{attempts.throttled} logins of this one were refused, as if throttled. Keep "
                "more connections in the pool, put RDS Proxy in between, or raise the rate if "
                "AWS allows more"
            ) from None
        except BaseException:
            if turn is not None:
                pace.give_back()
            raise
        return self._supply.obtain(slot, deadline)

    def _failed(
        self,
        error: Exception,
        dialled: Any,
        attempts: Attempts,
        settled: Settled,
        token: Token,
        *,
        used_at: float,
    ) -> Token | None:
        """A token for another attempt; None if `error`, with a note, is what the caller gets."""
        target, slot, pace = settled
        if self._names is not None:
            self._names.doubt(dialled)
        throttled = is_throttled(error)
        if not throttled and not is_refusal(error):
            explain_certificate(error, dialled, target.host)
            return None
        again = self._once_more(attempts, slot, pace, token, used_at, throttled=throttled)
        if again is None and not throttled:
            self._tokens.forget(slot, token)
            explain(
                error,
                endpoint=target.endpoint,
                host=target.host,
                token=token,
                credentials=self._tokens.credentials,
                now=self._clock(),
            )
        return again

    def _once_more(
        self,
        attempts: Attempts,
        slot: Slot,
        pace: Pace | None,
        token: Token,
        used_at: float,
        *,
        throttled: bool,
    ) -> Token | None:
        """A token for another attempt after a refusal; None if the refusal is the answer."""
        patient = pace is not None and self._config.throttle_retry
        if not throttled and attempts.doubt(slot, monotonic(), patient=patient):
            found = self._supply.replace(slot, token, used_at, attempts.deadline)
            if found is not None:
                return found
        if pace is None or not patient:
            return None
        retry = attempts.again(slot, pace, monotonic(), certain=throttled)
        if retry is None:
            return None
        if retry.slowed:
            logger.warning(
                "logins at %s seem to be throttled: %.0f new connections a second for now",
                slot.endpoint,
                pace.current_rate,
            )
        self._waits.sleep(retry.pause)
        return self._supply.obtain(slot, attempts.deadline)

    def _look_up(self, key: tuple[Any, ...], cparams: dict[str, Any], deadline: float) -> Settled:
        """Settle what was not known yet: new connect arguments, or where a CNAME leads now."""
        names, alias, *_ = self._names, *key
        found = names.known(alias) if names is not None else None
        if found is not None and (settled := self._targets.get((*key, found))):
            return settled
        if names is None or not is_alias(alias):
            return self._settle(cparams)
        remaining = deadline - monotonic()

        def look_up() -> Settled:
            name = names.look_up(alias, remaining, self._config.failure_ttl)
            return self._targets.get((*key, name)) or self._settle(cparams, name)

        return self._waits.run(look_up, remaining)

    def _others(
        self, dialect: Dialect, record: ConnectionPoolEntry | None
    ) -> Callable[..., DBAPIConnection]:
        """What connects as SQLAlchemy would have done, the listeners after this one included.

        SQLAlchemy offers no way to try a failed connect again, so it has to happen in here.
        """
        listeners = dialect.dispatch.do_connect
        later = itertools.dropwhile(lambda listener: listener is not self.listener, listeners)

        def connect(*args: Any, **cparams: Any) -> DBAPIConnection:
            cargs = list(args)
            for listener in itertools.islice(later, 1, None):
                connection: DBAPIConnection | None = listener(dialect, record, cargs, cparams)
                if connection is not None:
                    return connection
            return dialect.connect(*cargs, **cparams)

        return connect
