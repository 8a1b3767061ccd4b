"""TLS in the words of each DBAPI: what the user may say, and what the driver is told."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam._endpoints.hostname import HostName
from sqlalchemy_rds_iam._tls import contexts, public_roots, trust
from sqlalchemy_rds_iam._tls.ca_bundle import narrowed
from sqlalchemy_rds_iam._tls.trust import FoundCa
from sqlalchemy_rds_iam.errors import ConfigError

Arguments = Mapping[str, Any]
"""What SQLAlchemy is about to hand to the DBAPI's ``connect()`` (``cparams``)."""

_SWITCH = dict.fromkeys(("true", "1", "yes", "on"), "verify-full")
_SWITCH |= dict.fromkeys(("false", "0", "no", "off"), "disable")


class Watched(Protocol):
    """Something among the connect arguments that may change after it was settled.

    Attributes:
        good_for: seconds for which a look at it is good, unless a connect fails.
    """

    @property
    def good_for(self) -> float: ...

    def is_current(self) -> bool:
        """Whether it is still what it was."""


class TlsArguments(NamedTuple):
    """How TLS is asked for.

    Attributes:
        arguments: connect arguments.
        watched: what of them has to be looked at again and again: a CA file that we made, or an
            SSL context of the user's.
        ca: the CA file that counts, and why; None if there is none, or in a context of the user's.
    """

    arguments: dict[str, Any]
    watched: Watched | None = None
    ca: FoundCa | None = None


class TlsWanted(NamedTuple):
    """What TLS is for.

    Attributes:
        family: the databases that are connected to.
        cparams: the connect arguments as the user has them.
        config: the options.
        host: the name to verify.
        tunnelled: whether another name is connected to.
    """

    family: Family
    cparams: Arguments
    config: PluginOptions
    host: HostName
    tunnelled: bool


def libpq(wanted: TlsWanted) -> TlsArguments:
    """What libpq is told: how much to verify, and with which CA file."""
    cparams, config = wanted.cparams, wanted.config
    if cparams.get("gssencmode") == "require":
        raise ConfigError("gssencmode='require' rules out TLS, which RDS asks for: remove it")
    mode = strongest(config, "sslmode", cparams.get("sslmode"))
    named = {config.named("ca"): config.ca, "sslrootcert": cparams.get("sslrootcert")}
    # With a Kerberos ticket at hand libpq would else prefer GSSAPI encryption to TLS.
    arguments = {"sslmode": mode, "gssencmode": "disable"}
    if mode == "require" and not any(named.values()):
        if os.environ.get("PGSSLROOTCERT") == trust.SYSTEM:
            arguments["sslrootcert"] = ""  # libpq takes it with verify-full only
        return TlsArguments(arguments)
    # With `require` libpq takes a missing file for a wish not to verify, so that one must not be
    # ours, to be cleaned away.
    ca = ca_file(wanted, mode, named, as_it_is=mode == "require")
    return ca._replace(arguments=arguments | {"sslrootcert": ca.arguments[FILE]})


FILE = "file"


def ca_file(
    wanted: TlsWanted, level: str, named: Mapping[str, str | None], *, as_it_is: bool = False
) -> TlsArguments:
    """The CA file for a driver that parses it on every connect, as the argument `FILE`.

    Args:
        wanted: what TLS is for.
        level: how much to verify.
        named: CA files by what named them, ours first; the first one counts.
        as_it_is: never to be replaced with a part of it.

    Raises:
        ConfigError: there is none, or it cannot be parsed.
    """
    config, host = wanted.config, wanted.host
    found = trust.locate_ca(named, host, level=level, places=wanted.family.ca_places)
    # What is said in the driver's own words is passed on as it is.
    in_its_words = not config.ca and any(named.values())
    own = None if as_it_is or in_its_words else narrowed(found.path, host.region)
    file = own.file if own else found.path
    contexts.check(file)
    return TlsArguments({FILE: file}, own, found)


def context(argument: str) -> Callable[[TlsWanted], TlsArguments]:
    """What a driver is told that takes an SSL context as `argument`."""

    def settle(wanted: TlsWanted) -> TlsArguments:
        config = wanted.config
        refuse_libpqs_words(wanted)
        given = wanted.cparams.get(argument)
        if isinstance(given, ssl.SSLContext):
            return given_context(config, argument, given)
        mode = strongest(config, argument, level_of(given))
        return own_context(wanted, argument, mode, {config.named("ca"): config.ca})

    return settle


def refuse_libpqs_words(wanted: TlsWanted) -> None:
    """Refuse the words of libpq with a driver that is not made of it.

    Raises:
        ConfigError: there is one.
    """
    for name in ("sslmode", "sslrootcert"):
        if name in wanted.cparams:
            raise ConfigError(
                f"this driver has no argument {name!r}: say {wanted.config.named('tls')} and "
                f"{wanted.config.named('ca')}"
            )


def given_context(config: PluginOptions, argument: str, given: ssl.SSLContext) -> TlsArguments:
    """What a driver is told to which the user has given an SSL context as `argument`.

    Raises:
        ConfigError: it protects less than the options ask for.
    """
    _refuse_weak_context(config, argument, given)
    return TlsArguments({argument: given}, contexts.Given(given, contexts.strength(given)))


def own_context(
    wanted: TlsWanted, argument: str, mode: str, named: Mapping[str, str | None]
) -> TlsArguments:
    """What a driver is told that gets a context of ours as `argument`.

    Args:
        wanted: what TLS is for.
        argument: the argument's name.
        mode: how much to verify.
        named: CA files that the user has named, by what named them; the first one counts.
    """
    family, _, _, host, tunnelled = wanted
    ca = None
    if mode != "require" or any(named.values()):
        ca = trust.locate_ca(named, host, level=mode, places=family.ca_places)
    ctx = contexts.context(mode, ca and ca.path, host, check_name=tunnelled, alpn=family.alpn)
    return TlsArguments({argument: ctx}, None, ca)


def level_of(given: Any) -> Any:
    """The level that a driver's own word for TLS stands for; what is no such word, as it is.

    Any way to say yes is to the whole of it. A URL knows text alone, so there it is "true".
    """
    text = str(given).lower() if isinstance(given, bool | int | str) else None
    return _SWITCH.get(text, given) if text is not None else given


def strongest(config: PluginOptions, argument: str, given: Any) -> str:
    """The level to use, given what the user said in the driver's own words.

    Raises:
        ConfigError: it is no level at all, or weaker than the options ask for.
    """
    if given is None or given == "":
        return config.tls
    option = config.named("tls")
    if not isinstance(given, str):
        kind = type(given).__name__
        raise ConfigError(
            f"{argument} is an object of the type {kind}: expected {' or '.join(trust.STRENGTH)}, "
            f"or with drivers that take one an ssl.SSLContext; or leave it out and say {option}"
        )
    level = trust.STRENGTH.get(given, 0)
    if level >= trust.STRENGTH[config.tls]:
        return given
    fix = f"remove it, or allow it with {option}={given}" if level else "remove it"
    raise ConfigError(
        f"{argument} amounts to {given!r}, which is weaker than {option}={config.tls}: {fix}. "
        f"A {config.BRINGS} sent to the wrong server, or in clear, is a password given away"
    )


def _refuse_weak_context(config: PluginOptions, argument: str, given: ssl.SSLContext) -> None:
    level = contexts.strength(given)
    strongest(config, argument, level)
    if contexts.speaks_old_versions(given):
        raise ConfigError(
            f"the SSL context in {argument} accepts TLS before 1.2, which is broken (RFC 8996): "
            "set its minimum_version to ssl.TLSVersion.TLSv1_2"
        )
    if level == "verify-ca" and config.tls == level and public_roots.are_in(given):
        raise ConfigError(
            f"the SSL context of {argument} does not check names, and public roots are among those "
            "it trusts, or it does not show whom it trusts: any server on the internet has a "
            "certificate that would do. Set its check_hostname, or load nothing but the "
            "database's own authorities into it, as a file (cafile=)"
        )
