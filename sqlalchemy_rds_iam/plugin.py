"""SQLAlchemy calls us here: the ``CreateEnginePlugin`` and its one ``do_connect`` listener.

See "CreateEnginePlugin" and "Generating dynamic authentication tokens" in SQLAlchemy's
documentation. The listener below is the whole way of a connect, for sync and async engines alike.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import logging
import time
import weakref
from collections.abc import Hashable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, CreateEnginePlugin, Dialect, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sqlalchemy_rds_iam import credentials as aws
from sqlalchemy_rds_iam.config import Config, option_names
from sqlalchemy_rds_iam.drivers import Target, driver
from sqlalchemy_rds_iam.errors import ConfigError, RdsIamError, WaitTimeout
from sqlalchemy_rds_iam.flights import Flight
from sqlalchemy_rds_iam.refusal import explain, is_refusal, lift_note
from sqlalchemy_rds_iam.signing import Token
from sqlalchemy_rds_iam.tokens import IdentityTokens, Slot
from sqlalchemy_rds_iam.waits import GreenletWaits, ThreadWaits, Waits

NAME = "rds_iam"

_TURN = 1.0

logger = logging.getLogger("sqlalchemy_rds_iam")

_identities: weakref.WeakValueDictionary[Hashable, IdentityTokens] = weakref.WeakValueDictionary()


class RdsIamPlugin(CreateEnginePlugin):
    """``?plugin=rds_iam``: every new connection logs in with an IAM token, over verified TLS.

    Raises:
        ConfigError: by ``create_engine()``, for anything that could not work or is not safe.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        self._config = Config.take(url.query, kwargs)
        self._connect_args: dict[str, Any] = dict(kwargs.get("connect_args") or {})
        if self._config.enabled:
            _refuse_what_cannot_work(url, kwargs)

    def update_url(self, url: URL) -> URL:
        """Take our options out of the URL, whose query goes to the driver."""
        return url.difference_update_query(option_names(url.query))

    def engine_created(self, engine: Engine) -> None:
        """Attach the listener, after a dry run of what each connect is going to do."""
        if not self._config.enabled:
            return
        _, cparams = engine.dialect.create_connect_args(engine.url)
        connector = Connector(self._config, engine.dialect)
        connector.settle({**cparams, **self._connect_args})
        event.listen(engine, "do_connect", connector.listener)
        event.listen(engine, "handle_error", lift_note)


class Connector:
    """The way of every physical connect of one engine. It does not hold the engine."""

    def __init__(self, config: Config, dialect: Dialect) -> None:
        self._config = config
        self._ahead = config.refresh == "ahead"
        self._driver = driver(dialect.driver)
        self._tokens, self._waits = _means(config, is_async=dialect.is_async)
        self._clock = self._tokens.clock
        self._targets: dict[tuple[Any, Any, Any], tuple[Target, Slot]] = {}
        self.listener = self._do_connect

    def settle(self, cparams: dict[str, Any]) -> tuple[Target, Slot]:
        """Work out, once for each host, port and user, what connecting there takes.

        Raises:
            ConfigError: the connect arguments cannot work, or are not safe.
        """
        target = self._driver.target(
            cparams, self._config, lambda: aws.ambient_region(self._config)
        )
        if target.host.region is None and target.host.kind != "global-writer":
            logger.warning(
                "tokens are signed for %s, which is no RDS endpoint name; RDS accepts only those "
                "signed for its own names, see rds_iam_host",
                target.endpoint,
            )
        found = target, self._tokens.slot(target.endpoint)
        self._targets[cparams["host"], cparams.get("port"), cparams["user"]] = found
        return found

    def _do_connect(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        cargs: list[Any],
        cparams: dict[str, Any],
    ) -> DBAPIConnection:
        key = cparams.get("host"), cparams.get("port"), cparams.get("user")
        target, slot = self._targets.get(key) or self.settle(cparams)
        deadline = time.monotonic() + self._config.timeout
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
                if not is_refusal(error):
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


def _means(config: Config, *, is_async: bool) -> tuple[IdentityTokens, Waits]:
    """The tokens this engine shares with others of the same identity, and how it waits."""
    through_aiobotocore = _fetches_through_aiobotocore(config, is_async=is_async)
    identity = aws.identity(config)
    tokens = _identities.get(identity)
    if tokens is None:
        tokens = IdentityTokens(aws.AwsSource(config.profile, config.session))
        tokens = _identities.setdefault(identity, tokens)
    if not is_async:
        return tokens, ThreadWaits(inline=config.refresh == "lazy")
    try:
        importlib.import_module("greenlet")
    except ImportError:
        raise ConfigError(
            "async engines need the greenlet package: pip install 'sqlalchemy[asyncio]'"
        ) from None
    return tokens, GreenletWaits(on_loop=through_aiobotocore)


def _fetches_through_aiobotocore(config: Config, *, is_async: bool) -> bool:
    wanted = config.credentials
    if config.session is not None:
        found = "aiobotocore" if aws.is_async_session(config.session) else "botocore"
        if wanted not in {"auto", found}:
            raise ConfigError(f"rds_iam_credentials={wanted} cannot use this {found} session")
        wanted = found
        if found == "botocore":
            return False
    installed = importlib.util.find_spec("aiobotocore") is not None
    if wanted == "aiobotocore" and not is_async:
        raise ConfigError(
            "aiobotocore serves async engines only; this one is sync: leave out "
            "rds_iam_credentials, or hand in a botocore or boto3 session"
        )
    if wanted == "aiobotocore" and not installed:
        raise ConfigError(
            "rds_iam_credentials=aiobotocore: it is not installed; "
            "pip install 'sqlalchemy-rds-iam[aiobotocore]'"
        )
    return is_async and installed and wanted != "botocore"


def _refuse_what_cannot_work(url: URL, kwargs: dict[str, Any]) -> None:
    connect_args = kwargs.get("connect_args") or {}
    if url.password is not None or "password" in url.query or "password" in connect_args:
        raise ConfigError(
            "there is a password in the URL or in connect_args, and rds_iam replaces it with a "
            "token: remove the password, or switch the plugin off with rds_iam_enabled=off"
        )
    for name in ("creator", "async_creator", "pool"):
        if kwargs.get(name) is not None:
            raise ConfigError(
                f"create_engine({name}=…) makes connections without asking plugins, so they would "
                f"carry no token: leave {name} out (poolclass= and connect_args= are fine)"
            )
    named = url.query.get("plugin", ())
    names = [*((named,) if isinstance(named, str) else named), *(kwargs.get("plugins") or ())]
    if names.count(NAME) > 1:
        raise ConfigError(
            "the plugin rds_iam is named more than once in the URL and plugins=: name it once"
        )
