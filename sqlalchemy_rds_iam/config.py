"""What the user asked for: URL query + ``create_engine`` keywords → one frozen `Config`.

Every option has one name everywhere. Values may be strings everywhere, because URL queries and
ini files know nothing else; a keyword wins over the URL.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy.engine import URL

from sqlalchemy_rds_iam.errors import ConfigError
from sqlalchemy_rds_iam.options import (
    as_boolean,
    as_port,
    as_rate,
    as_role_duration,
    as_seconds,
    as_session,
    as_storage,
    as_sts_url,
    as_text,
    as_timeout,
    matching,
    one_of,
    option,
)

NAME = "rds_iam"
PREFIX = f"{NAME}_"

_ROLE = ("role_session_name", "external_id", "role_duration", "sts_endpoint_url")
_SECRETS = ("access_key", "password", "secret", "token")


@dataclass(frozen=True, slots=True)
class Config:
    """The options of one engine; each field is the option ``rds_iam_<field>``.

    Attributes:
        enabled: off leaves the engine exactly as without the plugin.
        region: region to sign for; None takes it from the host name, then from the environment.
        host: host to sign for (and to find in the server's certificate) when it is not the one
            connected to, as through a tunnel or a CNAME.
        port: port to sign for when it is not the one connected to.
        resolve_cname: follow the CNAME records of a host that is no RDS endpoint name to the one
            to sign for.
        profile: profile of the shared AWS config and credentials files.
        session: a botocore, boto3 or aiobotocore session that knows the credentials.
        role_arn: role to assume on top of the identity that is found; the next four go with it.
        role_session_name: session name of the assumed role.
        external_id: external id the role's trust policy asks for.
        role_duration: seconds the assumed role's credentials are to live.
        sts_endpoint_url: STS endpoint to assume the role at, such as a VPC endpoint.
        credentials: who fetches for an async engine: ``auto``, ``botocore``, ``aiobotocore``.
        tls: least protection of a connection: ``verify-full``, ``verify-ca``, ``require``.
        ca: file with the certificate authorities to trust (PEM).
        refresh: ``ahead`` renews in the background, ``lazy`` only when a connect needs it.
        failure_ttl: seconds a failed fetch of credentials is remembered.
        timeout: seconds one connect waits for its token and its turn at the most.
        connect_rate: most connects that begin in any second at one signed endpoint; 0 for no limit.
        rate_storage: where a fleet keeps the connect rate that it shares; ``memory://`` is this
            process alone. There may be a password in it.
        throttle_retry: whether a connect that seems to be throttled is tried again in time.
    """

    enabled: bool = option(as_boolean, default=True)
    region: str | None = option(as_text)
    host: str | None = option(as_text)
    port: int | None = option(as_port)
    resolve_cname: bool = option(as_boolean, default=False)
    profile: str | None = option(as_text)
    session: Any = option(as_session)
    role_arn: str | None = option(
        matching(
            r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+",
            "the ARN of a role such as arn:aws:iam::123456789012:role/app",
        )
    )
    role_session_name: str = option(
        matching(r"[\w+=,.@-]{2,64}", "2 to 64 letters, digits or _+=,.@-"),
        default="sqlalchemy-rds-iam",
    )
    external_id: str | None = option(
        matching(r"[\w+=,.@:/-]{2,1224}", "2 to 1224 letters, digits or _+=,.@:/-")
    )
    role_duration: int = option(as_role_duration, default=3600)
    sts_endpoint_url: str | None = option(as_sts_url)
    credentials: str = option(one_of("auto", "botocore", "aiobotocore"), default="auto")
    tls: str = option(one_of("verify-full", "verify-ca", "require"), default="verify-full")
    ca: str | None = option(as_text)
    refresh: str = option(one_of("ahead", "lazy"), default="ahead")
    failure_ttl: float = option(as_seconds, default=1.0)
    timeout: float = option(as_timeout, default=30.0)
    connect_rate: int = option(as_rate, default=200)
    rate_storage: str = option(as_storage, default="memory://", private=True)
    throttle_retry: bool = option(as_boolean, default=True)

    @classmethod
    def take(cls, query: Mapping[str, Any], keywords: MutableMapping[str, Any]) -> Config:
        """Read our options from a URL query and remove them from `create_engine`'s keywords.

        Raises:
            ConfigError: an unknown option (with the nearest known one), a value that does not
                fit, an option given twice in the URL, or a secret where URLs get printed.
        """
        parsers = {f.name: f.metadata["parse"] for f in fields(cls)}
        private = {f.name for f in fields(cls) if f.metadata["private"]}
        given = {key: query[key] for key in option_names(query)}
        given |= {key: keywords.pop(key) for key in option_names(keywords)}
        values: dict[str, Any] = {}
        for key, value in given.items():
            name = key.removeprefix(PREFIX)
            if name not in parsers:
                raise ConfigError(_unknown(key, list(parsers)))
            if isinstance(value, tuple):
                raise ConfigError(f"{key} is given {len(value)} times in the URL; give it once")
            if value is None:
                continue
            try:
                values[name] = parsers[name](value)
            except ValueError as error:
                shown = "…" if name in private else re.sub(r"//[^/@]*@", "//…@", repr(value))
                raise ConfigError(f"{key}={shown}: expected {error}") from None
        if "role_arn" not in values and (lonely := [name for name in _ROLE if name in values]):
            raise ConfigError(
                f"{PREFIX}{lonely[0]} goes with a role, and there is none: set rds_iam_role_arn"
            )
        if "profile" in values and "session" in values:
            raise ConfigError(
                "rds_iam_profile and rds_iam_session both say whose credentials to use; give one"
            )
        if "host" in values and values.get("resolve_cname"):
            raise ConfigError(
                "rds_iam_host and rds_iam_resolve_cname=on both say what to sign for; give one"
            )
        return cls(**values)


def option_names(options: Mapping[str, Any]) -> list[str]:
    """The keys among `options` that are ours, known or not."""
    return [key for key in options if key.startswith(PREFIX)]


def refuse_what_cannot_work(url: URL, keywords: Mapping[str, Any]) -> None:
    """Refuse what would keep tokens from the connections, whatever the options say.

    Args:
        url: the URL as the user gave it.
        keywords: the keywords of ``create_engine()``.

    Raises:
        ConfigError: a password, a way around ``do_connect``, or this plugin twice.
    """
    connect_args = keywords.get("connect_args") or {}
    if url.password is not None or "password" in url.query or "password" in connect_args:
        raise ConfigError(
            "there is a password in the URL or in connect_args, and rds_iam replaces it with a "
            "token: remove the password, or switch the plugin off with rds_iam_enabled=off"
        )
    for name in ("creator", "async_creator", "pool"):
        if keywords.get(name) is not None:
            raise ConfigError(
                f"create_engine({name}=…) makes connections without asking plugins, so they would "
                f"carry no token: leave {name} out (poolclass= and connect_args= are fine)"
            )
    named = url.query.get("plugin", ())
    names = [*((named,) if isinstance(named, str) else named), *(keywords.get("plugins") or ())]
    if names.count(NAME) > 1:
        raise ConfigError(
            "the plugin rds_iam is named more than once in the URL and plugins=: name it once"
        )


def _unknown(key: str, known: list[str]) -> str:
    if any(word in key for word in _SECRETS):
        return (
            f"{key} is not an option, and secrets do not belong where they get printed: AWS "
            "credentials come from the environment, a profile (rds_iam_profile), a role or a "
            "session object (rds_iam_session)"
        )
    close = difflib.get_close_matches(key.removeprefix(PREFIX), known, n=1)
    others = ", ".join(PREFIX + name for name in known)
    hint = f"did you mean {PREFIX}{close[0]}?" if close else f"known are {others}"
    return f"unknown option {key}; {hint}"
