"""One row per DBAPI: how it wants to be told about the server and about TLS, and what that makes.

Host and port have the same names with all of them; the rest has not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy.engine import Dialect

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._databases import dialing
from sqlalchemy_rds_iam._databases.driver_tls import Arguments, TlsArguments, TlsWanted, Watched
from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam._databases.guarded import is_guarded
from sqlalchemy_rds_iam._databases.libpq_variables import libpq_version, overruled
from sqlalchemy_rds_iam._databases.session_attrs import Reported, no_report
from sqlalchemy_rds_iam._databases.user_names import refuse_cut
from sqlalchemy_rds_iam._endpoints.hostname import (
    Endpoint,
    FindRegion,
    HostName,
    parse_database_host,
)
from sqlalchemy_rds_iam._passwords.password import IssuedPassword, MaskedStr
from sqlalchemy_rds_iam._tls.trust import FoundCa
from sqlalchemy_rds_iam.errors import ConfigError

_AT_ONCE, _NEVER = -math.inf, math.inf


class Merged:
    """What the driver gets with one password: merged once, and not at each connect.

    Attributes:
        password: what it is for.
        given: the user's connect arguments that it is for.
        arguments: these, ours and the password.
    """

    __slots__ = ("arguments", "given", "password")

    def __init__(
        self, password: IssuedPassword | None, given: Arguments, arguments: dict[str, Any]
    ) -> None:
        self.password, self.given, self.arguments = password, given, arguments


NOTHING = Merged(None, {}, {})
"""What the driver gets with no password yet."""


@dataclass(slots=True, eq=False)
class Target:
    """All that connecting to one host, port and user asks for, settled once.

    Attributes:
        driver: what connects.
        endpoint: what the token is signed for, or the password is for.
        host: that host's parsed name.
        arguments: connect arguments to set beside the password.
        filled: connect arguments that the user has left to a secret.
        resolve: name to look up before connecting with libpq: through a tunnel on every connect,
            for ``hostaddr``; else once, to know how many addresses share the time limit.
        tunnelled: whether the name connected to is another than the one that is verified.
        watched: a CA file that we made, or an SSL context of the user's: what has to be looked at
            again and again.
        given: what the user's connect arguments say about where to and about TLS.
        limit: seconds that the driver may take to connect, where the user has set no limit.
        next_look: the monotonic time from which on a connect has to look at `watched`, or look up
            `resolve`, before it begins; infinity if there is neither.
        ca: the CA file that counts, and why; None if there is none, or in a context of the user's.
        dial: makes the function that connects, if it is not the dialect's own.
        merged: what the driver gets, as of the last connect.
        dialled: the name or address connected to.
    """

    driver: Driver
    endpoint: Endpoint
    host: HostName
    arguments: dict[str, Any]
    resolve: str | None = None
    tunnelled: bool = False
    watched: Watched | None = None
    given: dict[str, Any] = field(default_factory=dict)
    limit: float = dialing.CONNECT_LIMIT
    ca: FoundCa | None = None
    filled: dict[str, Any] = field(default_factory=dict)
    dialled: str = ""
    dial: Callable[[Dialect, float], dialing.Connect] | None = field(init=False)
    merged: Merged = field(init=False, repr=False)
    next_look: float = field(init=False)

    def __post_init__(self) -> None:
        self.dial, self.merged = self.driver.dial, NOTHING
        self.next_look = _AT_ONCE if self.watched or self.resolve else _NEVER

    def is_current(self, now: float) -> bool:
        """Whether what is watched is what it was, by a look that is not too old.

        Args:
            now: the monotonic time.
        """
        if self.watched is None or now < self.next_look:
            return True
        if not self.watched.is_current():
            return False
        if self.resolve is None:
            self.next_look = now + self.watched.good_for
        return True

    def doubt(self) -> None:
        """Have the next connect look at once, whenever the last look was."""
        if self.watched is not None:
            self.next_look = _AT_ONCE

    def merge(self, password: IssuedPassword, cparams: Arguments) -> Merged:
        """Merge the user's arguments, ours and `password`, and keep that.

        Most connects have the same ones. What another listener has changed is merged anew.
        """
        found = self.merged
        if found.password is password and found.given == cparams:
            return found
        # Host and port need not be: a target is settled for them. A listener may change the rest.
        same = {name for name in ("host", "port") if self._is_as_given(name)}
        changed = {name: self.arguments[name] for name in self.arguments if name not in same}
        spelled = self.driver.spelled(password.password)
        arguments = {**cparams, **self.filled, **changed, self.driver.password: spelled}
        merged = self.merged = Merged(password, dict(cparams), arguments)
        return merged

    def at(self, addresses: Sequence[str]) -> Target:
        """The same, now that the name in `resolve` has been looked up."""
        arguments = {**self.arguments}
        if "connect_timeout" in arguments:
            # libpq tries one address after the other, each for the whole of its time limit.
            arguments |= self.driver.limit({}, self.limit, len(addresses))
        if self.tunnelled:
            return replace(self, arguments=arguments | self.hosts(addresses))
        # How many there are is worth a look-up once, not on every connect.
        return replace(self, arguments=arguments, resolve=None)

    def hosts(self, addresses: Sequence[str]) -> dict[str, str]:
        """How libpq is told to connect to these, and to check the certificate for `host`."""
        # It tries the addresses in turn, and wants a host for each.
        hosts = ",".join([self.host.host] * len(addresses))
        return {"host": hosts, "hostaddr": ",".join(addresses)}

    def _is_as_given(self, name: str) -> bool:
        given, settled = self.given.get(name), self.arguments.get(name)
        return type(given) is type(settled) and given == settled


class Driver(NamedTuple):
    """What is particular about one DBAPI.

    Attributes:
        family: the databases that it connects to.
        tls: makes the connect arguments that ask for TLS.
        limit: makes those that limit how long connecting takes.
        database: what it calls the database's name; likewise `user` and `password`.
        user: see `database`.
        password: see `database`.
        dial: makes the function that connects, if it is not the dialect's own.
        libpq: the module with libpq in it, if it is made of that.
        fixed: connect arguments that are the same for every connect.
        target_variable: the environment's variable in which it looks for ``target_session_attrs``.
        reported: tells what the server has reported of a session.
        spelled: makes of a password what the driver is to be given.
        tunnels: whether it can verify another name than the one that it connects to.
        refuse: raises an error for connect arguments that lead around what is settled.
        usable: raises one for a DBAPI that is not safe, or arguments that keep it from being.
    """

    family: Family
    tls: Callable[[TlsWanted], TlsArguments]
    limit: dialing.Limit
    database: str = "database"
    user: str = "user"
    password: str = "password"  # noqa: S105  (the argument's name)
    dial: Callable[[Dialect, float], dialing.Connect] | None = None
    libpq: str | None = None
    fixed: Mapping[str, Any] = MappingProxyType({})
    target_variable: str | None = None
    reported: Callable[[Any], Reported] = no_report
    spelled: Callable[[MaskedStr], MaskedStr] = lambda password: password
    tunnels: bool = True
    refuse: Callable[[Arguments], None] = lambda _cparams: None
    usable: Callable[[Any, Arguments], None] = lambda _dbapi, _cparams: None

    def key(self, cparams: Arguments) -> tuple[Any, ...]:
        """Host, port and user: what there is a plan for."""
        return cparams.get("host"), cparams.get("port"), cparams.get(self.user)

    def target(
        self,
        cparams: Arguments,
        config: PluginOptions,
        ambient_region: FindRegion,
        filled: Arguments = MappingProxyType({}),
    ) -> Target:
        """Settle where `cparams` lead: what gets signed, and how the connection is protected.

        Args:
            cparams: the user's connect arguments.
            config: the options.
            ambient_region: finds the region of the AWS session, for names that carry none.
            filled: arguments that win over the user's.

        Raises:
            ConfigError: no host or user, several hosts, no region, TLS weaker than asked for, or
                a zero byte.
        """
        cparams = {**cparams, **filled}
        refuse_zero_bytes(cparams)
        self.refuse(cparams)
        for name in ("host", self.user):
            _refuse_object(name, cparams.get(name))
        dialled = _one_host(cparams, config, self.family)
        port = _port(cparams, self.family)
        host = parse_database_host(config.host) if config.host else dialled
        user, example = cparams.get(self.user), self.family.example
        endpoint = config.endpoint(host, port, user, ambient_region, example)
        if isinstance(config, IamOptions):
            refuse_cut(endpoint.user, self.family)
        tunnelled = host.host != dialled.host
        # The normalised name: a certificate never matches one with a trailing dot.
        settled, watched, ca = self.tls(TlsWanted(self.family, cparams, config, host, tunnelled))
        limit = max(dialing.CONNECT_LIMIT, config.timeout)
        limited = self.limit(cparams, limit)
        arguments = {"host": dialled.host, "port": port, **self.fixed, **limited, **settled}
        if self.libpq:
            arguments |= overruled(cparams, config, libpq_version(self.libpq))
        resolve = None
        if tunnelled and self.libpq:
            # libpq checks the certificate against `host` and connects to `hostaddr`.
            arguments["host"] = host.host
            if dialled.kind == "ip":
                arguments["hostaddr"] = dialled.host.strip("[]")
            elif not cparams.get("hostaddr"):
                resolve = dialled.host
        elif self.libpq and limited and dialled.kind != "ip" and not cparams.get("hostaddr"):
            resolve = dialled.host
        given = {name: cparams[name] for name in cparams if is_guarded(name)}
        return Target(
            *(self, endpoint, host, arguments, resolve, tunnelled, watched, given, limit, ca),
            filled=dict(filled),
            dialled=dialled.host,
        )


def refuse_zero_bytes(arguments: Arguments) -> None:
    """Refuse what C and the protocols of databases would cut off, or take for two words.

    Raises:
        ConfigError: there is a zero byte in one of the connect arguments.
    """
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            refuse_zero_bytes(value)
        elif (isinstance(value, str) and "\0" in name + value) or (
            isinstance(value, bytes) and 0 in value
        ):
            raise ConfigError(f"there is a zero byte (%00 in a URL) in {name!r}: remove it")


def _one_host(cparams: Arguments, config: PluginOptions, family: Family) -> HostName:
    host = cparams.get("host")
    if not host:
        raise ConfigError(
            f"the URL names no host, and a {config.BRINGS} is for one: "
            f"{family.example}://user@HOST/database?plugin={config.PLUGIN}"
        )
    if not isinstance(host, str):
        host = ",".join(map(str, host))
    return parse_database_host(host)


def _refuse_object(name: str, value: Any) -> None:
    several = name == "host" and isinstance(value, list | tuple)  # as SQLAlchemy does for asyncpg
    if not (value is None or isinstance(value, str) or several):
        kind = type(value).__name__
        raise ConfigError(f"{name} is an object of the type {kind}: expected a text")


def _port(cparams: Arguments, family: Family) -> int:
    port = cparams.get("port") or family.port
    try:
        return int(port)
    except (TypeError, ValueError):
        raise ConfigError(
            f"port={port!r}: expected one port number, such as {family.port}"
        ) from None
