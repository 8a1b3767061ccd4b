"""What no engine of ours can be made with, whatever its options say."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from sqlalchemy.engine import URL

from sqlalchemy_rds_iam._config.options import PLUGINS, PluginOptions
from sqlalchemy_rds_iam._config.parsers import SESSION_ATTRS
from sqlalchemy_rds_iam._config.urls import is_blank, password_in, plugin_names, sole
from sqlalchemy_rds_iam.errors import ConfigError


def refuse_what_cannot_work(url: URL, keywords: Mapping[str, Any], config: PluginOptions) -> None:
    """Refuse what would keep passwords from the connections, whatever the options say.

    Args:
        url: the URL as the user gave it.
        keywords: the keywords of ``create_engine()``.
        config: the options.

    Raises:
        ConfigError: a password, a way around ``do_connect``, this plugin twice, or both plugins.
    """
    brings = config.BRINGS
    if password_in(url, keywords.get("connect_args") or {}):
        raise ConfigError(
            f"there is a password in the URL or in connect_args, and {config.PLUGIN} replaces it "
            f"with a {brings}: remove the password, or switch the plugin off with "
            f"{config.named('enabled')}=off"
        )
    for name in ("creator", "async_creator", "pool"):
        if keywords.get(name) is not None:
            raise ConfigError(
                f"create_engine({name}=…) makes connections without asking plugins, so they would "
                f"carry no {brings}: leave {name} out (poolclass= and connect_args= are fine)"
            )
    in_url, in_keywords = plugin_names(url.query), list(keywords.get("plugins") or ())
    if max(Counter(names)[config.PLUGIN] for names in (in_url, in_keywords)) > 1:
        raise ConfigError(
            f"the plugin {config.PLUGIN} is named more than once in the URL or in plugins=: name "
            "it once"
        )
    if all(plugin in in_url + in_keywords for plugin in PLUGINS):
        raise ConfigError(
            f"the plugins {' and '.join(PLUGINS)} both want to give the connections of this engine "
            "a password: name one of them"
        )
    options = foreign_in(url.query, config) | foreign_in(keywords, config)
    foreign = [key for key, value in options.items() if not is_blank(sole(value))]
    if foreign:
        raise ConfigError(
            f"{foreign[0]} is an option of another plugin than {config.PLUGIN}, which is the one "
            f"that this engine has; its own begin with {config.named('')}"
        )


DRIVERS_OWN = "target_session_attrs"
"""The drivers' own word for the option of ours that ends with it."""


def drivers_own(
    query: Mapping[str, Any],
    keywords: MutableMapping[str, Any],
    config: PluginOptions,
    given: MutableMapping[str, Any],
) -> PluginOptions:
    """The options with the driver's own ``target_session_attrs``, which does the same and less.

    Args:
        query: of the URL, which is left as it is.
        keywords: of ``create_engine()``, out of whose ``connect_args`` it is taken.
        config: the options without it.
        given: our options as they were given, to which it is added.

    Raises:
        ConfigError: two are given that differ, or there is no such word.
    """
    ours, arguments = config.named(DRIVERS_OWN), dict(keywords.get("connect_args") or {})
    said = [sole(query.get(DRIVERS_OWN)), arguments.pop(DRIVERS_OWN, None)]
    for word in said:
        if is_blank(word):
            continue
        mine = given.get(ours)
        if not is_blank(mine) and word != mine:
            raise ConfigError(
                f"{DRIVERS_OWN}={word} and {ours}={mine} both say which server it must be, and "
                "differ: give one"
            )
        config, given[ours] = _with(config, word, DRIVERS_OWN), word
        keywords["connect_args"] = arguments
    return config


def with_variable(config: PluginOptions, variable: str | None) -> PluginOptions:
    """The options with ``target_session_attrs`` from the driver's variable, if it is set.

    Raises:
        ConfigError: there is no such word.
    """
    word = os.environ.get(variable or "", "").strip()
    return _with(config, word, str(variable)) if word else config


def _with(config: PluginOptions, word: Any, source: str) -> PluginOptions:
    if word not in SESSION_ATTRS:
        raise ConfigError(f"{source}={word!r}: expected {', '.join(SESSION_ATTRS)}")
    return replace(config, target_session_attrs=word)


def foreign_in(options: Mapping[str, Any], config: PluginOptions) -> dict[str, Any]:
    """Those `options` that are of another plugin of ours."""
    others = tuple(f"{plugin}_" for plugin in PLUGINS if plugin != config.PLUGIN)
    return {key: value for key, value in options.items() if key.startswith(others)}
