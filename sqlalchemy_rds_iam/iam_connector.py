"""Connecting with IAM tokens: what is signed, in whose turn, and what a refusal may mean."""

from __future__ import annotations

import logging
from dataclasses import replace
from time import monotonic
from typing import Any

from sqlalchemy_rds_iam.config import Config
from sqlalchemy_rds_iam.connector import Connector, Settled
from sqlalchemy_rds_iam.credentials import ambient_region
from sqlalchemy_rds_iam.drivers import Driver, Target
from sqlalchemy_rds_iam.errors import WaitTimeout
from sqlalchemy_rds_iam.fleet import pace_at
from sqlalchemy_rds_iam.names import Names, is_alias
from sqlalchemy_rds_iam.pacing import Crowd, Pace
from sqlalchemy_rds_iam.passwords import Token
from sqlalchemy_rds_iam.refusal import explain, is_refusal, is_throttled
from sqlalchemy_rds_iam.throttling import Attempts
from sqlalchemy_rds_iam.tokens import IdentityTokens, Slot
from sqlalchemy_rds_iam.waits import Waits

logger = logging.getLogger("sqlalchemy_rds_iam")


class IamConnector(Connector):
    """The way of every physical connect of one engine with the plugin ``rds_iam``."""

    _config: Config

    def __init__(
        self, config: Config, driver: Driver, tokens: IdentityTokens, waits: Waits
    ) -> None:
        super().__init__(config, driver, tokens, waits)
        self._names = Names(self._clock) if config.resolve_cname else None

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

    def _look_up(self, key: tuple[Any, ...], cparams: dict[str, Any], deadline: float) -> Settled:
        # New connect arguments, or a CNAME that leads elsewhere now.
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

    def _settle_again(self, cparams: dict[str, Any], target: Target) -> Settled:
        found = (target.host.host,) if self._names and is_alias(cparams.get("host")) else ()
        return self._settle(cparams, *found)

    def _queue(self, pace: Pace, slot: Slot, attempts: Attempts) -> Token:
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
        return slot.fresh(self._clock()) or self._supply.obtain(slot, deadline)

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
        if self._names is not None:
            self._names.doubt(dialled)
        target, slot, pace = settled
        throttled = is_throttled(error)
        if not throttled and not is_refusal(error):
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
        return slot.fresh(self._clock()) or self._supply.obtain(slot, attempts.deadline)
