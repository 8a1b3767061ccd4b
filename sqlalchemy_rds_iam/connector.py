"""The way of every physical connect: SQLAlchemy's ``do_connect`` event, sync and async alike.

See "Generating dynamic authentication tokens" in SQLAlchemy's documentation. `_do_connect` reads
from top to bottom: where to, with which token, the driver, and once more if it was refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from time import monotonic
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sqlalchemy_rds_iam.config import Options
from sqlalchemy_rds_iam.drivers import Driver, Target
from sqlalchemy_rds_iam.pacing import Pace
from sqlalchemy_rds_iam.passwords import Token
from sqlalchemy_rds_iam.refusal import explain_certificate
from sqlalchemy_rds_iam.reporting import Reporter
from sqlalchemy_rds_iam.slots import Slot
from sqlalchemy_rds_iam.supply import Supply
from sqlalchemy_rds_iam.throttling import NEVER, Attempts
from sqlalchemy_rds_iam.tokens import IdentityTokens
from sqlalchemy_rds_iam.waits import Waits

Settled = tuple[Target, Slot, Pace | None]


class Connector:
    """The way of every physical connect of one engine. It does not hold the engine.

    What differs between tokens and passwords is in the methods that raise NotImplementedError.

    Attributes:
        connects: how many logins were accepted.
        reporter: what happens otherwise is reported there.
    """

    def __init__(
        self,
        config: Options,
        driver: Driver,
        tokens: IdentityTokens,
        waits: Waits,
        reporter: Reporter,
    ) -> None:
        self.connects = 0
        self.reporter = reporter
        tokens.publisher.subscribe(reporter)
        self._config, self._timeout = config, config.timeout
        self._driver = driver
        self._tokens, self._waits = tokens, waits
        self._supply = Supply(config, tokens, waits, reporter)
        self._clock = tokens.clock
        self._targets: dict[tuple[Any, ...], Settled] = {}
        self.listener = self._do_connect

    @property
    def parts(self) -> tuple[Connector, ...]:
        """What the engine connects through: this."""
        return (self,)

    @property
    def tokens(self) -> IdentityTokens:
        """The tokens of its identity."""
        return self._tokens

    @property
    def settled(self) -> list[Settled]:
        """What connecting takes, for all connect arguments that were seen so far."""
        return list(self._targets.copy().values())

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
            settled = target, slot, pace = self._settle_again(cparams, target)
        now = self._clock()
        token = slot.fresh(now) or self._supply.obtain(slot, deadline)
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
                cparams |= token.arguments
                connection = connect(*cargs, **cparams)
                break
            except Exception as error:
                attempts = attempts or Attempts(began, deadline)
                again = self._failed(error, key[0], attempts, settled, token=token, used_at=now)
                if again is None:
                    explain_certificate(error, key[0], target.host, self._config)
                    raise
                token = again
        self.connects += 1
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

    def _look_up(self, key: tuple[Any, ...], cparams: dict[str, Any], deadline: float) -> Settled:
        """Settle what connecting takes, for connect arguments that were not known yet."""
        raise NotImplementedError

    def _settle_again(self, cparams: dict[str, Any], target: Target) -> Settled:
        """Settle it once more, as a CA file has changed."""
        raise NotImplementedError

    def _queue(self, pace: Pace, slot: Slot, attempts: Attempts) -> Token:
        """Wait for the turn of this connect, where there are any; the token to use then."""
        raise NotImplementedError

    def _failed(
        self,
        error: Exception,
        dialled: Any,
        attempts: Attempts,
        settled: Settled,
        *,
        token: Token,
        used_at: float,
    ) -> Token | None:
        """A token for another attempt; None if `error`, with a note, is what the caller gets."""
        raise NotImplementedError
