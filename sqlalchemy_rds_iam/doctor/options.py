"""The URL and the options: all that ``create_engine()`` has to say, before any server is asked.

The engine is made in earnest, so what is found here is what the application would find.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from sqlalchemy_rds_iam._aws.ambient import ambient_region
from sqlalchemy_rds_iam._config.options import PLUGINS, IamOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._config.urls import without_blanks, without_plugins
from sqlalchemy_rds_iam._databases.known import driver
from sqlalchemy_rds_iam._endpoints import cname
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.doctor.findings import Finding, note, ok, problem, warning
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.errors import ConfigError
from sqlalchemy_rds_iam.plugin import RdsIamPlugin
from sqlalchemy_rds_iam.secret_plugin import RdsSecretPlugin

_GROUP = "sqlalchemy.plugins"
_OURS = {
    plugin.options.PLUGIN: f"{plugin.__module__}:{plugin.__name__}"
    for plugin in (RdsIamPlugin, RdsSecretPlugin)
}

# What a ConfigError says, and the cause's name for machines. Its sentence says what to do.
_CONFIG_ERRORS = (
    ("contradicts", "region-wrong"),
    ("is weaker than|there are public roots|does not check names|TLS before 1.2", "tls-weak"),
    ("which RDS asks for", "tls-weak"),
    ("there is a password", "password-in-url"),
    ("CA bundle|CA file|root certificates|PGSSLROOTCERT|rds_iam_ca|sslrootcert", "ca-file"),
    ("names no region|no region for|expected a region", "region-unknown"),
    ("several hosts|one host only", "several-hosts"),
    ("unknown option|is not an option", "option-unknown"),
    ("the driver", "driver-unknown"),
    ("needs the dnspython|greenlet package|not installed", "package-missing"),
    ("named more than once|both want to give", "plugin-twice"),
)


def examine(state: State) -> Iterator[Finding]:
    """Read the URL and make the engine of it."""
    try:
        url = make_url(state.given)
    except ArgumentError:
        # Its text may quote the URL, and with it a password.
        yield problem(
            "url-unreadable",
            "SQLAlchemy cannot read the URL",
            fix="Write it like this, with a user name and no password, and in quotes in a shell",
            commands=("postgresql+psycopg://USER@HOST/DATABASE?plugin=rds_iam",),
        )
        return
    keywords = dict(state.keywords)
    state.hide(*_secrets(url, keywords))
    named = {*_named(url, keywords)}
    options: type[IamOptions | SecretOptions] = IamOptions
    if named & {*_OURS} == {SecretOptions.PLUGIN}:
        options = SecretOptions
    yield from _owners(options.PLUGIN)
    if options.PLUGIN not in named:
        yield warning(
            "plugin-not-named",
            "the URL does not name the plugin, so an engine made of it logs in without a token",
            fix="Add the plugin, here or by create_engine(plugins=['rds_iam']); it is assumed "
            "from here on",
            commands=(shown(url.update_query_dict({"plugin": IamOptions.PLUGIN}, append=True)),),
        )
        keywords["plugins"] = [*keywords.get("plugins", ()), IamOptions.PLUGIN]
    yield from _engine(state, url, keywords, options)


def shown(url: URL) -> str:
    """A URL as it may be printed."""
    return url.render_as_string(hide_password=True)


def _engine(
    state: State, url: URL, keywords: dict[str, Any], options: type[IamOptions | SecretOptions]
) -> Iterator[Finding]:
    try:
        config = options.take(url.query, dict(keywords))
        made = keywords | {config.named("timeout"): state.timeout}
        if isinstance(config, IamOptions):
            state.config = config
            # The checks find out whether a login is throttled; they wait for no other client.
            made["rds_iam_throttle_retry"] = False
        engine = create_engine(url, **made)
        own = without_plugins(without_blanks(url), PLUGINS)
        _, cparams = engine.dialect.create_connect_args(own)
        state.engine = engine
        state.cparams = {**cparams, **(keywords.get("connect_args") or {})}
        if not config.enabled:
            yield problem(
                "plugin-off",
                f"{config.named('enabled')}=off: this engine logs in without a {config.BRINGS}",
                fix="Remove the option to have the plugin; nothing else was looked at",
            )
            return
        if not isinstance(config, IamOptions):
            state.secret = config.name
            yield note(
                f"connections log in with a password, of the secret {config.name!r}: it is tried, "
                "and no more; what can be looked at step by step is a login by token"
            )
            return
        if state.config.resolve_cname and cname.is_alias(state.cparams.get("host")):
            state.dialled = str(state.cparams["host"])
            yield ok(f"{state.dialled} stands for an endpoint that DNS has to name")
            return
        settle(state, state.config)
    except ConfigError as error:
        yield problem(config_code(str(error)), str(error))
        return
    except (NoSuchModuleError, ImportError) as error:
        yield problem(
            "driver-missing",
            f"SQLAlchemy cannot load what the URL's {url.drivername} asks for: {error}",
            fix="Name an installed driver, or install it",
            commands=("pip install 'sqlalchemy-rds-iam[psycopg]'", "postgresql+psycopg://…"),
        )
        return
    except (ArgumentError, TypeError) as error:
        yield problem("option-wrong", f"create_engine() refuses: {error}")
        return
    yield from _settled(state)


def settle(state: State, config: IamOptions) -> None:
    """Work out what is signed, and for whom, as the plugin does.

    Raises:
        ConfigError: it cannot work.
    """
    assert state.engine is not None
    target = driver(state.engine.dialect.driver).target(
        state.cparams, config, lambda: ambient_region(config, needed=True)
    )
    arguments = {**state.cparams, **target.arguments}
    state.target = target
    state.dialled = str(target.resolve or arguments.get("hostaddr") or arguments["host"])


def _settled(state: State) -> Iterator[Finding]:
    target, config = state.settled, state.config
    yield ok(
        f"tokens for user {target.endpoint.user!r} are signed for {target.endpoint.host}:"
        f"{target.endpoint.port} in {target.endpoint.region}",
        f"endpoint   {target.host.kind}",
        f"driver     {state.engine.dialect.driver}" if state.engine else "",
    )
    level = target.arguments.get("sslmode", config.tls)
    if trust.STRENGTH.get(level, 0) < trust.STRENGTH["verify-full"]:
        yield warning(
            "tls-unverified",
            f"TLS at the level {level!r} does not check that the right server gets the token",
            fix="Leave out rds_iam_tls and sslmode, which makes it verify-full",
        )


def config_code(words: str) -> str:
    """The name of the cause behind a ConfigError."""
    found = (code for pattern, code in _CONFIG_ERRORS if re.search(pattern, words))
    return next(found, "option-wrong")


def _owners(plugin: str) -> Iterator[Finding]:
    """Look who is registered under the plugin's name."""
    found: list[EntryPoint] = list(entry_points(group=_GROUP, name=plugin))
    # A distribution that is found twice, as from a checkout, is one owner.
    owners = sorted({f"{each.dist.name if each.dist else '?'} ({each.value})" for each in found})
    if not owners:
        yield problem(
            "plugin-missing",
            f"no installed package registers the SQLAlchemy plugin {plugin}",
            why="SQLAlchemy finds plugins through the metadata of installed packages only",
            fix="Install the package; a copy of its source on the path is not enough",
            commands=("pip install sqlalchemy-rds-iam",),
            explains=("driver-missing",),
            regardless=True,
        )
    elif len(owners) > 1 or found[0].value != _OURS[plugin]:
        others = [each.dist.name for each in found if each.dist and each.value != _OURS[plugin]]
        yield problem(
            "plugin-owners",
            f"the plugin name {plugin} belongs to {' and '.join(owners)}",
            why="which of them SQLAlchemy loads depends on the order of directories on the path",
            evidence=tuple(owners),
            fix="Uninstall the one that you do not use, then install the other one again, as both "
            "may have written into the same package",
            commands=tuple(f"pip uninstall {name}" for name in sorted(set(others))),
            regardless=True,
        )


def _named(url: URL, keywords: dict[str, Any]) -> Iterator[str]:
    for key in ("plugin", "plugins"):
        named = url.query.get(key, ())
        yield from (named,) if isinstance(named, str) else named
    named = keywords.get("plugins") or ()
    yield from (named,) if isinstance(named, str) else named


def _secrets(url: URL, keywords: dict[str, Any]) -> Iterator[str | None]:
    """What must not be seen of what was given: passwords of the database, a key, a rate storage."""
    yield url.password
    for given in (url.query, keywords, keywords.get("connect_args") or {}):
        yield from (_text(given.get(name)) for name in ("password", "sslpassword"))
        with contextlib.suppress(ValueError):
            yield urlsplit(_text(given.get("rds_iam_rate_storage")) or "").password


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
