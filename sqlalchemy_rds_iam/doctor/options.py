"""The URL and the options: all that ``create_engine()`` has to say, before any server is asked.

The engine is made in earnest, so what is found here is what the application would find.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from sqlalchemy_rds_iam._aws.ambient import ambient_region
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._config.preconditions import (
    DRIVERS_OWN,
    drivers_own,
    with_variable,
)
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._config.urls import PASSWORDS, without_blanks, without_plugins
from sqlalchemy_rds_iam._databases.known import FAMILIES
from sqlalchemy_rds_iam._endpoints import cname
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.doctor import dialects, manners, plugin_names
from sqlalchemy_rds_iam.doctor.config_errors import explained
from sqlalchemy_rds_iam.doctor.connections import verification
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, Kind, note, ok, problem, warning
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import changed
from sqlalchemy_rds_iam.errors import ConfigError

_TEMPLATE = "{begin}://USER@HOST/DATABASE?plugin=rds_iam"
# user, with or without a password; host; database; what is before them does not matter.
_PARTS = re.compile(r"(?:[\w+:.-]*//)?([^:@/]+)(?::.*)?@([\w.-]+(?::\d+)?)/([\w-]+)(?:\?.*)?")
_JDBC = re.compile(r"jdbc:\w+://([\w.-]+(?::\d+)?)/([\w-]+)(?:\?.*?\buser=([\w-]+).*|\?.*)?")
# What drivers call the password of a key.
_OF_KEYS = ("sslpassword", "ssl_key_password")
_BEGINS = re.compile(rf"(?:jdbc:)?({'|'.join(FAMILIES)})\b")
_DSN = re.compile(r"\b(host|port|user|dbname)\s*=\s*([\w.-]+)")


def examine(state: State) -> Iterator[Finding]:
    """Read the URL and make the engine of it."""
    try:
        url = make_url(state.given)
    except (ArgumentError, ValueError):
        yield _unreadable(state.given)
        return
    state.hide(*_secrets(url, state.keywords))
    given = plugin_names.read(url, state.keywords)
    yield from plugin_names.owners(given.plugin)
    yield from given.findings
    # From here on, and in the URLs that are to be pasted, the plugin is named as it has to be.
    state.given = given.url
    if (unknown := dialects.unknown(given.url)) is not None:
        yield unknown
        return
    yield from _engine(state, given)


def _unreadable(given: Any) -> Finding:
    """The URL itself is not quoted, as there may be a password in it."""
    text = given if isinstance(given, str) else ""
    named = _BEGINS.match(text)
    family = FAMILIES[named[1]] if named else next(iter(FAMILIES.values()))
    url = _TEMPLATE.format(begin=family.example)
    for name, part in _parts(text).items():
        url = url.replace(name, part)
    return problem(
        "url-unreadable",
        "SQLAlchemy cannot read the URL",
        fix="Write it like this, with a user name and without a password, and in quotes in a shell",
        commands=(Command(Kind.URL, url),),
    )


def _parts(given: str) -> dict[str, str]:
    """What other programs' notations say: JDBC's, libpq's, and URLs with a mistake."""
    user = host = database = None
    if parts := _PARTS.fullmatch(given):
        user, host, database = parts.groups()
    elif parts := _JDBC.fullmatch(given):
        host, database, user = parts.groups()
    elif named := dict(_DSN.findall(given)):
        port = f":{named['port']}" if "port" in named else ""
        user, database = named.get("user"), named.get("dbname")
        host = f"{named['host']}{port}" if "host" in named else None
    found = {"USER": user, "HOST": host, "DATABASE": database}
    return {name: part for name, part in found.items() if part is not None}


def _engine(state: State, given: plugin_names.Given) -> Iterator[Finding]:
    url, keywords = given.url, given.keywords
    options: type[IamOptions | SecretOptions] = IamOptions
    if given.plugin == SecretOptions.PLUGIN:
        options = SecretOptions
    try:
        made = dict(keywords)
        ours = options.given_in(url.query, made)
        config = options.take(url.query, dict(made))
        said = drivers_own(url.query, made, config, ours)
        is_said = config.named(DRIVERS_OWN) in options.as_query(ours)
        url = url.difference_update_query([DRIVERS_OWN])
        # The checks say which server it is; they do not wait for another one.
        made[config.named(DRIVERS_OWN)] = "any"
        made[config.named("timeout")] = state.schedule.total
        if isinstance(config, IamOptions):
            state.config = config
            # The checks find out whether a login is throttled; they wait for no other client.
            made["rds_iam_throttle_retry"] = False
        engine = create_engine(url, **made)
        own = without_plugins(without_blanks(url), PLUGINS)
        _, cparams = engine.dialect.create_connect_args(own)
        state.engine = engine
        state.cparams = {**cparams, **(made.get("connect_args") or {})}
        variable = None if is_said else state.driver.target_variable
        state.wanted = with_variable(said, variable).target_session_attrs
        if not config.enabled:
            yield problem(
                "plugin-off",
                f"{config.named('enabled')}=off: this engine logs in without a {config.BRINGS}",
                fix="Use this URL to have the plugin; nothing else was looked at",
                commands=changed(state, config.named("enabled")),
            )
            return
        if not isinstance(config, IamOptions):
            state.secret = config.name
            yield note(
                f"connections log in with a password, of the secret {config.name!r}; that login "
                "is tried as a whole, as the step-by-step checks are for logins by token"
            )
            return
        if state.config.resolve_cname and cname.is_alias(state.cparams.get("host")):
            state.dialled = str(state.cparams["host"])
            yield ok(f"{state.dialled} stands for an endpoint that DNS has to name")
            return
        settle(state, state.config)
    except ConfigError as error:
        yield explained(state, str(error))
        return
    except (NoSuchModuleError, ImportError) as error:
        yield dialects.not_loaded(url, error)
        return
    except (ArgumentError, TypeError) as error:
        yield problem(
            "option-wrong",
            f"create_engine() refuses: {error}",
            fix="Correct it in the URL, or in the keywords of create_engine()",
        )
        return
    yield from _settled(state)


def settle(state: State, config: IamOptions) -> None:
    """Work out what is signed, and for whom, as the plugin does.

    Raises:
        ConfigError: it cannot work.
    """
    assert state.engine is not None
    target = state.driver.target(state.cparams, config, lambda: ambient_region(config, needed=True))
    arguments = {**state.cparams, **target.arguments}
    state.target = target
    state.dialled = str(target.resolve or arguments.get("hostaddr") or arguments["host"])


def _settled(state: State) -> Iterator[Finding]:
    target = state.settled
    yield ok(
        f"tokens for user {target.endpoint.user!r} are signed for {target.endpoint.host}:"
        f"{target.endpoint.port} in {target.endpoint.region}",
        f"endpoint   {target.host.kind}",
        f"driver     {state.engine.dialect.driver}" if state.engine else "",
    )
    level, _ = verification(state)
    if trust.STRENGTH.get(level, 0) < trust.STRENGTH["verify-full"]:
        yield warning(
            "tls-unverified",
            f"TLS at the level {level!r} does not check that the right server gets the token",
            fix="Leave out rds_iam_tls and the driver's own words, which makes it verify-full",
            commands=changed(state, "rds_iam_tls", *manners.of(state).tls_words),
        )


def _secrets(url: URL, keywords: dict[str, Any]) -> Iterator[str | None]:
    """What must not be seen of what was given: passwords of the database, a key, a rate storage."""
    yield url.password
    for given in (url.query, keywords, keywords.get("connect_args") or {}):
        yield from (_text(given.get(name)) for name in (*PASSWORDS, *_OF_KEYS))
        with contextlib.suppress(ValueError):
            yield urlsplit(_text(given.get("rds_iam_rate_storage")) or "").password


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
