"""What the user asked for: URL query + ``create_engine`` keywords → one frozen `Config`.

Every option has one name everywhere. Values may be strings everywhere, because URL queries and
ini files know nothing else; a keyword wins over the URL.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy_rds_iam.errors import ConfigError

PREFIX = "rds_iam_"

_TRUE = {"true", "on", "yes", "1"}
_FALSE = {"false", "off", "no", "0"}
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


def _later(_value: Any) -> Any:
    raise ValueError(
        "nothing yet: this option belongs to a later version. Until then let a profile of the "
        "shared AWS config assume the role (role_arn, source_profile) and name it with "
        "rds_iam_profile"
    )


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
        profile: profile of the shared AWS config and credentials files.
        session: a botocore, boto3 or aiobotocore session that knows the credentials.
        role_arn: role to assume on top of the found identity; so are the next four.
        role_session_name: session name of the assumed role.
        external_id: external id the role's trust policy asks for.
        role_duration: seconds the assumed role's credentials are to live.
        sts_endpoint_url: STS endpoint to assume the role at.
        credentials: who fetches for an async engine: ``auto``, ``botocore``, ``aiobotocore``.
        tls: least protection of a connection: ``verify-full``, ``verify-ca``, ``require``.
        ca: file with the certificate authorities to trust (PEM).
        refresh: ``ahead`` renews in the background, ``lazy`` only when a connect needs it.
        failure_ttl: seconds a failed fetch of credentials is remembered.
        timeout: seconds one connect waits for its token at the most.
    """

    enabled: bool = _option(_boolean, default=True)
    region: str | None = _option(_text)
    host: str | None = _option(_text)
    port: int | None = _option(_port)
    profile: str | None = _option(_text)
    session: Any = _option(_session)
    role_arn: str | None = _option(_later)
    role_session_name: str = _option(_later, default="sqlalchemy-rds-iam")
    external_id: str | None = _option(_later)
    role_duration: float = _option(_later, default=3600.0)
    sts_endpoint_url: str | None = _option(_later)
    credentials: str = _option(_one_of("auto", "botocore", "aiobotocore"), default="auto")
    tls: str = _option(_one_of("verify-full", "verify-ca", "require"), default="verify-full")
    ca: str | None = _option(_text)
    refresh: str = _option(_one_of("ahead", "lazy"), default="ahead")
    failure_ttl: float = _option(_seconds, default=1.0)
    timeout: float = _option(_timeout, default=30.0)

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
                raise ConfigError(f"{key}={value!r}: expected {error}") from None
        if "profile" in values and "session" in values:
            raise ConfigError(
                "rds_iam_profile and rds_iam_session both say whose credentials to use; give one"
            )
        return cls(**values)


def option_names(options: Mapping[str, Any]) -> list[str]:
    """The keys among `options` that are ours, known or not."""
    return [key for key in options if key.startswith(PREFIX)]


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
