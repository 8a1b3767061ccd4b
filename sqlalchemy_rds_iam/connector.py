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
from sqlalchemy_rds_iam.errors import RdsIamError, WaitTimeout
from sqlalchemy_rds_iam.flights import Flight
from sqlalchemy_rds_iam.names import Names, is_alias
from sqlalchemy_rds_iam.refusal import explain, explain_certificate, is_refusal
from sqlalchemy_rds_iam.signing import Token
from sqlalchemy_rds_iam.tokens import IdentityTokens, Slot
from sqlalchemy_rds_iam.waits import Waits

_TURN = 1.0

logger = logging.getLogger("sqlalchemy_rds_iam")


class Connector:
    """The way of every physical connect of one engine. It does not hold the engine."""

    def __init__(
        self, config: Config, driver: Driver, tokens: IdentityTokens, waits: Waits
    ) -> None:
        self._config = config
        self._ahead = config.refresh == "ahead"
        self._driver = driver
        self._tokens, self._waits = tokens, waits
        self._clock = tokens.clock
        self._names = Names(self._clock) if config.resolve_cname else None
        self._targets: dict[tuple[Any, ...], tuple[Target, Slot]] = {}
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

    def _settle(self, cparams: dict[str, Any], *found: str) -> tuple[Target, Slot]:
        """Work out, once for each host, port, user and RDS name `found`, what connecting takes."""
        config = replace(self._config, host=found[0]) if found else self._config
        target = self._driver.target(cparams, config, lambda: ambient_region(config))
        if target.host.region is None and target.host.kind != "global-writer":
            logger.warning(
                "tokens are signed for %s, which is no RDS endpoint name; RDS accepts only those "
                "signed for its own names, see rds_iam_host and rds_iam_resolve_cname",
                target.endpoint,
            )
        settled = target, self._tokens.slot(target.endpoint)
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
        deadline = time.monotonic() + self._config.timeout
        target, slot = self._targets.get(key) or self._look_up(key, cparams, deadline)
        now = self._clock()
        token = slot.fresh(now) or self._obtain(slot, deadline)
        arguments = target.arguments
        if target.resolve is not None:
            # libpq tries the addresses in turn and wants a host for each.
            addresses = self._waits.resolve(target.resolve, deadline - time.monotonic())
            hosts = ",".join([target.host.host] * len(addresses))
            arguments = {**arguments, "host": hosts, "hostaddr": ",".join(addresses)}
        for last in (False, True):
            try:
                connection = self._connect(
                    # Copies, as a second attempt starts from what the first one was given.
                    dialect,
                    record,
                    list(cargs),
                    {**cparams, **arguments, "password": token.password},
                )
            except Exception as error:
                if self._names is not None:
                    self._names.doubt(cparams["host"])
                if not is_refusal(error):
                    explain_certificate(error, cparams["host"], target.host)
                    raise
                again = None if last else self._replace(slot, token, now, deadline)
                if again is None:
                    self._tokens.forget(slot, token)
                    self._explain(error, target, token)
                    raise
                token = again
            else:
                break
        if not token.accepted:
            self._tokens.accept(token)
        return connection

    def _look_up(
        self, key: tuple[Any, ...], cparams: dict[str, Any], deadline: float
    ) -> tuple[Target, Slot]:
        """Settle what was not known yet: new connect arguments, or where a CNAME leads now."""
        names, alias, *_ = self._names, *key
        found = names.known(alias) if names is not None else None
        if found is not None and (settled := self._targets.get((*key, found))):
            return settled
        if names is None or not is_alias(alias):
            return self._settle(cparams)
        remaining = deadline - time.monotonic()

        def look_up() -> tuple[Target, Slot]:
            name = names.look_up(alias, remaining, self._config.failure_ttl)
            return self._targets.get((*key, name)) or self._settle(cparams, name)

        return self._waits.run(look_up, remaining)

    def _obtain(self, slot: Slot, deadline: float) -> Token:
        """A token, and all the waiting that takes."""
        while True:
            answer = self._tokens.lookup(
                slot, ahead=self._ahead, failure_ttl=self._config.failure_ttl
            )
            if answer.flight is not None and answer.lead:
                self._launch(answer.flight)
            if answer.token is not None:
                return answer.token
            if answer.flight is not None:
                self._wait(answer.flight, deadline)

    def _wait(self, flight: Flight, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0 and not flight.future.done():
            raise WaitTimeout(
                f"no AWS credentials within {self._config.timeout:g} s (rds_iam_timeout); fetching "
                "them goes on, so a later connect may find them"
            )
        # By turns, to notice that the one who leads has been lost.
        self._waits.join(flight, min(max(remaining, 0), _TURN))

    def _replace(self, slot: Slot, refused: Token, used_at: float, deadline: float) -> Token | None:
        """A token worth trying in place of a refused one, if there is any."""
        answer = self._tokens.refused(slot, refused, age=used_at - refused.signed_at)
        if answer is None or answer.token is not None:
            return answer and answer.token
        logger.warning("token for %s refused; reloading AWS credentials", slot.endpoint)
        try:
            if answer.flight is not None:
                if answer.lead:
                    self._launch(answer.flight)
                self._wait(answer.flight, deadline)
            return self._obtain(slot, deadline)
        except RdsIamError:
            return None  # the refusal is what the caller has to see; the outage is in the log

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

    def _launch(self, flight: Flight) -> None:
        try:
            self._waits.launch(flight)
        except Exception as error:  # noqa: BLE001  (no thread to be had; whoever waits is told)
            self._tokens.crash(flight, error)
        except BaseException:
            self._tokens.cut_short(flight)
            raise

    def _explain(self, error: Exception, target: Target, token: Token) -> None:
        explain(
            error,
            endpoint=target.endpoint,
            host=target.host,
            token=token,
            credentials=self._tokens.credentials,
            now=self._clock(),
        )
