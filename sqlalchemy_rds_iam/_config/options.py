"""What the user asked for: URL query + ``create_engine`` keywords → one frozen object.

Every option has one name everywhere. Values may be strings everywhere, because URL queries and
ini files know nothing else; a keyword wins over the URL. `PluginOptions` are those of both plugins.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from sqlalchemy_rds_iam._config.parsers import (
    SESSION_ATTRS,
    as_boolean,
    as_hook,
    as_role_duration,
    as_session,
    as_text,
    as_timeout,
    endpoint_url,
    matching,
    one_of,
    option,
    text_of,
)
from sqlalchemy_rds_iam._config.urls import OUTSIDE, is_blank, sole
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, FindRegion, HostName
from sqlalchemy_rds_iam.errors import ConfigError

PLUGINS = ("rds_iam", "rds_secret")
"""The plugins by which an engine gets passwords, one of them for each engine."""

_ROLE = ("role_session_name", "external_id", "role_duration", "sts_endpoint_url")
# What decides who logs in, and whom we trust: a user may set one to nothing without meaning to.
_CHOOSING = ("profile", "session", "role_arn", "external_id", "sts_endpoint_url", "ca")


# Its methods are those of the two below it, each of which makes them of all fields: generated here,
# too, they would cost a millisecond of each start.
@dataclass(frozen=True, init=False, repr=False, eq=False)
class PluginOptions(ABC):
    """The options that both plugins have; each field is the option ``<plugin>_<field>``.

    Attributes:
        enabled: off leaves the engine exactly as without the plugin.
        host: host to find in the server's certificate when it is not the one connected to, as
            through a tunnel or a CNAME.
        resolve_cname: follow the CNAME records of a host that is no RDS endpoint name to the one
            that is such a host.
        profile: profile of the shared AWS config and credentials files.
        session: a botocore, boto3 or aiobotocore session that knows the credentials.
        role_arn: role to assume on top of the identity that is found; the next four go with it.
        role_session_name: session name of the assumed role.
        external_id: external id the role's trust policy asks for.
        role_duration: seconds the assumed role's credentials are to live.
        sts_endpoint_url: STS endpoint to assume the role at, such as a VPC endpoint.
        credentials: who fetches for an async engine: ``botocore`` in a thread, ``aiobotocore`` on
            the event loop; ``auto`` is the former, unless an aiobotocore session is given.
        tls: least protection of a connection: ``verify-full``, ``verify-ca``, ``require``.
        ca: file with the certificate authorities to trust (PEM).
        refresh: ``ahead`` renews in the background, ``lazy`` only when a connect needs it.
        timeout: seconds one connect waits for its password and its turn at the most.
        target_session_attrs: which server sessions must be on.
        failover_timeout: seconds one connect looks for that server at the most.
        on_event: called with each `Event` of the engine.
    """

    PLUGIN: ClassVar[str]
    BRINGS: ClassVar[str]
    """What connections get, in messages."""

    SECRET_WORDS: ClassVar[tuple[str, ...]] = ("access_key", "password", "token")

    enabled: bool = option(as_boolean, default=True)
    host: str | None = option(as_text)
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
    sts_endpoint_url: str | None = option(endpoint_url("STS", "sts"))
    credentials: str = option(one_of("auto", "botocore", "aiobotocore"), default="auto")
    tls: str = option(one_of("verify-full", "verify-ca", "require"), default="verify-full")
    ca: str | None = option(as_text)
    refresh: str = option(one_of("ahead", "lazy"), default="ahead")
    timeout: float = option(as_timeout, default=30.0)
    target_session_attrs: str = option(one_of(*SESSION_ATTRS), default="any")
    failover_timeout: float = option(as_timeout, default=60.0)
    on_event: Any = option(as_hook, private=True)

    @classmethod
    def named(cls, field: str) -> str:
        """The option's full name, as messages and URLs have it."""
        return f"{cls.PLUGIN}_{field}"

    renews_lazily: ClassVar[bool] = False
    """Whether a connect renews what is STALE, and waits for it, where ``refresh`` is ``lazy``."""

    @property
    def retries_throttled(self) -> bool:
        """Whether a connect that seems to be throttled is tried again in time."""
        return False

    @property
    @abstractmethod
    def memory_of_failure(self) -> float:
        """Seconds that a failed fetch stands for the next one."""

    @abstractmethod
    def endpoint(
        self, host: HostName, port: int, user: Any, ambient_region: FindRegion, example: str
    ) -> Endpoint:
        """What the password of `user` at `host` is for.

        Args:
            host: the name that is verified.
            port: the port connected to.
            user: the database user, as the driver would get it.
            ambient_region: finds the region of the AWS session, for names that carry none.
            example: how URLs of such a database begin, for messages.

        Raises:
            ConfigError: there is no user, or no such endpoint.
        """

    @classmethod
    def take(cls, query: Mapping[str, Any], keywords: MutableMapping[str, Any]) -> Self:
        """Read our options from a URL query and remove them from `create_engine`'s keywords.

        Raises:
            ConfigError: an unknown option (with the nearest known one), a value that does not
                fit, an option given twice in the URL, or a secret where URLs get printed.
        """
        parsers = {f.name: f.metadata["parse"] for f in fields(cls)}
        private = {f.name for f in fields(cls) if f.metadata["private"]}
        given = cls.given_in(query, keywords)
        for key in cls.names_in(keywords):
            del keywords[key]
        values: dict[str, Any] = {}
        outside: list[str] = []
        for key, value in given.items():
            name = key.removeprefix(cls.named(""))
            if name not in parsers:
                raise ConfigError(cls._unknown(name))
            if isinstance(value, tuple):
                raise ConfigError(f"{key} is given {len(value)} times in the URL; give it once")
            if is_blank(value):
                continue
            if isinstance(value, str) and value == OUTSIDE:
                outside.append(key)
                continue
            if isinstance(value, str) and "\0" in value:
                raise ConfigError(f"there is a zero byte (%00 in a URL) in {key!r}: remove it")
            try:
                values[name] = parsers[name](value)
            except ValueError as error:
                shown = "…" if name in private else re.sub(r"//[^/@]*@", "//…@", repr(value))
                raise ConfigError(f"{key}={shown}: expected {error}") from None
        if outside and values.get("enabled", True):
            raise ConfigError(
                f"{' and '.join(outside)} cannot travel in a URL, and this is the URL of an engine "
                f"that has it ({OUTSIDE}): hand it in again, as in "
                f"create_engine(url, {outside[0]}=…), or remove it from the URL"
            )
        cls._refuse_contradictions(values)
        return cls(**values)

    @classmethod
    def given_in(cls, query: Mapping[str, Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Our options, known or not, by their whole names; a keyword that is empty wins nothing."""
        given = {key: sole(query[key]) for key in cls.names_in(query)}
        said = {key: keywords[key] for key in cls.names_in(keywords)}
        return said | given | {key: value for key, value in said.items() if not is_blank(value)}

    @classmethod
    def as_query(cls, given: Mapping[str, Any]) -> dict[str, str]:
        """What a URL can hold of the options that are `given`, which `take` has accepted."""
        by_name = {cls.named(field.name): field for field in fields(cls)}
        return {
            key: text_of(value, by_name[key]) or OUTSIDE
            for key, value in given.items()
            if not is_blank(value)
        }

    @classmethod
    def empty_in(cls, given: Mapping[str, Any]) -> list[str]:
        """The options about identity and trust that are `given` with an empty text."""
        names = map(cls.named, _CHOOSING)
        return [
            name
            for name in names
            if name in given and given[name] is not None and is_blank(given[name])
        ]

    @classmethod
    def names_in(cls, options: Mapping[str, Any]) -> list[str]:
        """The keys among `options` that are ours, known or not."""
        return [key for key in options if key.startswith(cls.named(""))]

    @classmethod
    def _refuse_contradictions(cls, values: Mapping[str, Any]) -> None:
        if "role_arn" not in values and (lonely := [name for name in _ROLE if name in values]):
            raise ConfigError(
                f"{cls.named(lonely[0])} goes with a role, and there is none: set "
                f"{cls.named('role_arn')}"
            )
        if "host" in values and values.get("resolve_cname"):
            raise ConfigError(
                f"{cls.named('host')} and {cls.named('resolve_cname')}=on both say which endpoint "
                "it is; give one"
            )
        if "profile" in values and "session" in values:
            raise ConfigError(
                f"{cls.named('profile')} and {cls.named('session')} both say whose credentials to "
                "use; give one"
            )

    @classmethod
    def _unknown(cls, name: str) -> str:
        if any(word in name for word in cls.SECRET_WORDS):
            return (
                f"{cls.named(name)} is not an option, and secrets do not belong where they get "
                f"printed: AWS credentials come from the environment, a profile "
                f"({cls.named('profile')}), a role or a session object ({cls.named('session')})"
            )
        import difflib  # where there is something to say

        known = [field.name for field in fields(cls)]
        close = difflib.get_close_matches(name, known, n=1)
        others = ", ".join(map(cls.named, known))
        hint = f"did you mean {cls.named(close[0])}?" if close else f"known are {others}"
        return f"unknown option {cls.named(name)}; {hint}"
