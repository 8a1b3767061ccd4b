"""What the user asked for: URL query + ``create_engine`` keywords → one frozen `Config`.

Every option has one name everywhere. Values may be strings everywhere, because URL queries and
ini files know nothing else; a keyword wins over the URL.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.engine import URL

from sqlalchemy_rds_iam.errors import ConfigError

NAME = "rds_iam"
PREFIX = f"{NAME}_"

_TRUE = {"true", "on", "yes", "1"}
_FALSE = {"false", "off", "no", "0"}
_ROLE = ("role_session_name", "external_id", "role_duration", "sts_endpoint_url")
_SECRETS = ("access_key", "password", "secret", "token")


def _text(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError("a text that is not empty")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError("on or off")


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise ValueError("a number of seconds such as 30")
    return seconds


def _timeout(value: Any) -> float:
    if (seconds := _seconds(value)) > 0:
        return seconds
    raise ValueError("a number of seconds above 0 such as 30")


def _rate(value: Any) -> int:
    highest = 100_000
    try:
        rate = int(str(value).strip())
    except ValueError:
        rate = -1
    if isinstance(value, bool) or not 0 <= rate <= highest:
        raise ValueError(f"whole connects a second up to {highest}, such as 200; 0 for no limit")
    return rate


def _port(value: Any) -> int:
    last = 65535
    try:
        port = int(str(value).strip())
    except ValueError:
        port = 0
    if isinstance(value, bool) or not 1 <= port <= last:
        raise ValueError("a port number from 1 to 65535")
    return port


def _one_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        word = str(value).strip().lower()
        if word in choices:
            return word
        raise ValueError(" or ".join(repr(choice) for choice in choices))

    return parse


def _session(value: Any) -> Any:
    if callable(getattr(value, "get_credentials", None)):
        return value
    raise ValueError(
        "a botocore, boto3 or aiobotocore session object (as a create_engine keyword; in a URL "
        "or an ini file name a profile with rds_iam_profile)"
    )


def _matching(pattern: str, expected: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        text = str(value).strip()
        if re.fullmatch(pattern, text, re.ASCII):
            return text
        raise ValueError(expected)

    return parse


def _role_duration(value: Any) -> int:
    shortest, longest = 900, 43_200
    seconds = _seconds(value)
    if shortest <= seconds <= longest and seconds.is_integer():
        return int(seconds)
    raise ValueError(f"whole seconds from {shortest} to {longest}, as STS does")


def _sts_url(value: Any) -> str:
    url = urlsplit(str(value).strip())
    if url.hostname and url.scheme in {"https", "http"} and not (url.query or url.username):
        if url.scheme == "https" or url.hostname in {"localhost", "127.0.0.1", "::1"}:
            return url.geturl()
        raise ValueError("an https:// URL, as STS answers with credentials in clear")
    raise ValueError("a URL such as https://sts.eu-central-1.amazonaws.com")


def _option(parse: Callable[[Any], Any], default: Any = None) -> Any:
    return field(default=default, metadata={"parse": parse})


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
        throttle_retry: whether a connect that seems to be throttled is tried again in time.
    """

    enabled: bool = _option(_boolean, default=True)
    region: str | None = _option(_text)
    host: str | None = _option(_text)
    port: int | None = _option(_port)
    resolve_cname: bool = _option(_boolean, default=False)
    profile: str | None = _option(_text)
    session: Any = _option(_session)
    role_arn: str | None = _option(
        _matching(
            r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+",
            "the ARN of a role such as arn:aws:iam::123456789012:role/app",
        )
    )
    role_session_name: str = _option(
        _matching(r"[\w+=,.@-]{2,64}", "2 to 64 letters, digits or _+=,.@-"),
        default="sqlalchemy-rds-iam",
    )
    external_id: str | None = _option(
        _matching(r"[\w+=,.@:/-]{2,1224}", "2 to 1224 letters, digits or _+=,.@:/-")
    )
    role_duration: int = _option(_role_duration, default=3600)
    sts_endpoint_url: str | None = _option(_sts_url)
    credentials: str = _option(_one_of("auto", "botocore", "aiobotocore"), default="auto")
    tls: str = _option(_one_of("verify-full", "verify-ca", "require"), default="verify-full")
    ca: str | None = _option(_text)
    refresh: str = _option(_one_of("ahead", "lazy"), default="ahead")
    failure_ttl: float = _option(_seconds, default=1.0)
    timeout: float = _option(_timeout, default=30.0)
    connect_rate: int = _option(_rate, default=200)
    throttle_retry: bool = _option(_boolean, default=True)

    @classmethod
    def take(cls, query: Mapping[str, Any], keywords: MutableMapping[str, Any]) -> Config:
        """Read our options from a URL query and remove them from `create_engine`'s keywords.

        Raises:
            ConfigError: an unknown option (with the nearest known one), a value that does not
                fit, an option given twice in the URL, or a secret where URLs get printed.
        """
        parsers = {f.name: f.metadata["parse"] for f in fields(cls)}
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
                shown = re.sub(r"//[^/@]*@", "//…@", repr(value))
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
