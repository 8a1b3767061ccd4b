"""Other listeners of ``do_connect`` beside ours: called as SQLAlchemy would, and looked after.

SQLAlchemy offers no way to try a failed connect again, so the listener calls the driver itself, and
with it those listeners that come after its own. They get the arguments as the driver would and may
change them; what they may not is take protection away from our password, or send it elsewhere.
See "DialectEvents.do_connect" in SQLAlchemy's documentation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sized
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.urls import PASSWORDS
from sqlalchemy_rds_iam._databases import guarded
from sqlalchemy_rds_iam._databases.drivers import Target
from sqlalchemy_rds_iam.errors import ConfigError

_EARLIER = "that comes before the plugin's"
# SQLAlchemy's way of connecting with a function of the user's, for drivers that are async.
_CREATOR = "async_creator_fn"

UNKNOWN: tuple[Sized, Sized] = ((None, None), ())
"""Stands for `listeners_of` until they are known: there may be others than ours."""


class Beside:
    """Connects through the listeners after ours, each time that it is called.

    Args:
        ours: our own listener.
        dialect: SQLAlchemy's, with all listeners.
        record: of the pool, for listeners.
        target: what was settled.
        connect: opens a connection of the DBAPI.
        config: the options.

    Attributes:
        in_charge: the name of the listener whose connection, or whose password, it is. Then a
            failure is nothing that another token could help.
    """

    def __init__(
        self,
        ours: Callable[..., Any],
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        *,
        target: Target,
        connect: Callable[..., DBAPIConnection],
        config: PluginOptions,
    ) -> None:
        self.in_charge: str | None = None
        self._dialect, self._record = dialect, record
        self._target, self._connect, self._config = target, connect, config
        later = itertools.dropwhile(lambda each: each is not ours, dialect.dispatch.do_connect)
        self._later = tuple(itertools.islice(later, 1, None))

    def __call__(self, *args: Any, **cparams: Any) -> DBAPIConnection:
        """Connect, or have a listener connect.

        Raises:
            ConfigError: a listener sends our password elsewhere, or lowers TLS.
        """
        driver, target = self._target.driver, self._target
        cargs, replaced_by = list(args), None
        settled = {**target.given, **target.arguments, driver.user: cparams.get(driver.user)}
        self._look_at(_EARLIER, settled, cargs, cparams, ours=True)
        for listener in self._later:
            before, name = dict(cparams), _name(listener)
            # If it raises an error, that is of a connection that it has tried to make.
            self.in_charge = replaced_by or name
            connection = listener(self._dialect, self._record, cargs, cparams)
            if connection is not None:
                self.in_charge = name
                made: DBAPIConnection = connection
                return made
            is_new = any(cparams.get(word) != before.get(word) for word in PASSWORDS)
            if is_new or cparams.get(_CREATOR):
                replaced_by = replaced_by or name
            self._look_at(repr(name), before, cargs, cparams, ours=replaced_by is None)
        self.in_charge = replaced_by
        return self._connect(*cargs, **cparams)

    def note(self, error: BaseException) -> None:
        """Say on a refusal that it is about what a listener has done; on other errors nothing."""
        family = self._target.driver.family
        if not (family.is_refusal(error) or family.is_throttled(error)):
            return
        config = self._config
        error.add_note(
            f"{config.PLUGIN}: the do_connect listener {self.in_charge!r} connected by itself, or "
            f"replaced the {config.BRINGS} with a password of its own\n"
            f"  so the server did not refuse the {config.BRINGS} of this plugin, and the connect "
            "was tried once\n"
            f"  remove the listener, or switch the plugin off with {config.named('enabled')}=off"
        )

    def _look_at(
        self,
        listener: str,
        settled: dict[str, Any],
        cargs: list[Any],
        now: dict[str, Any],
        *,
        ours: bool,
    ) -> None:
        """Refuse what a listener has made of the arguments, unless it is as safe.

        Where a password of its own goes is the listener's business; TLS is the engine's.
        """
        moved = next(guarded.elsewhere(settled, now), None) if ours else None
        if moved is not None:
            self._refuse(listener, moved, settled, now, "sends the {} to another server or user")
        if ours and any(cargs):
            raise ConfigError(
                f"the do_connect listener {listener} adds positional arguments, which may send the "
                f"{self._config.BRINGS} anywhere: change keyword arguments instead"
            )
        if (lowered := next(guarded.weaker(settled, now), None)) is not None:
            self._refuse(listener, lowered, settled, now, "protects the {} less than was settled")

    def _refuse(
        self, listener: str, name: str, settled: dict[str, Any], now: dict[str, Any], what: str
    ) -> None:
        before, after = (_shown(name, each.get(name)) for each in (settled, now))
        raise ConfigError(
            f"the do_connect listener {listener} changes {name} from {before} to {after}, which "
            f"{what.format(self._config.BRINGS)}: say it in the URL or in connect_args, where "
            "create_engine() looks at it, or remove it from the listener"
        )


def listeners_of(dialect: Dialect) -> tuple[Sized, Sized]:
    """The dialect's own listeners, and those of its class: collections that change in place.

    They are what ``len(dialect.dispatch.do_connect)`` adds up, at a third of what a connect costs.
    """
    listeners: Any = dialect.dispatch.do_connect
    return listeners.listeners, listeners.parent_listeners


def is_alone(dialect: Dialect) -> bool:
    """Whether ours is the only listener."""
    own, inherited = listeners_of(dialect)
    return len(own) == 1 and not inherited


def _name(listener: Any) -> str:
    inner = getattr(listener, "__wrapped__", listener)
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    return f"{getattr(inner, '__module__', None) or '?'}.{name}"


def _shown(name: str, value: Any) -> str:
    """A value for a message, unless there may be a secret in it."""
    if value is None:
        return "nothing"
    if name in {"sslpassword", "dsn", "conninfo"}:
        return "…"
    return repr(value) if isinstance(value, str | int | float | bool) else type(value).__name__
