"""Events for logs, statistics and metrics: each thing that happens, as one `Event`. Pure.

Events are rare: a connect that finds its token and is let in is none. There is no secret in them,
so they may go anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.expiry import Cached
from sqlalchemy_rds_iam._passwords.identity import Identity
from sqlalchemy_rds_iam._passwords.password import IssuedPassword

Kind = Literal[
    "minted",
    "renewed",
    "refused",
    "retried",
    "throttled",
    "outage_begun",
    "outage_ended",
    "failover_begun",
    "failover_ended",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


_UNKNOWN = Identity()

# OpenTelemetry's names, as of version 1.44 of its semantic conventions; ours have our own prefix.
_CONVENTIONS = {
    "host": "server.address",
    "port": "server.port",
    "user": "user.name",
    "region": "cloud.region",
    "secret": "aws.secretsmanager.secret.arn",
}
# Those whose `error` is the name of one, and not what it says.
_NAMED_ERRORS = ("refused", "failover_begun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that has happened. Fields that do not apply, or are not known, are None.

    Attributes:
        kind: ``minted``: a token was signed, or the password of a secret taken up.
            ``renewed``: what tokens are made of was fetched, the first time included.
            ``refused``: the server refused a login, for whatever reason.
            ``throttled``: such a login was taken for throttled.
            ``retried``: a connect is about to log in once more.
            ``outage_begun``: a fetch has failed; those that follow it are no events.
            ``outage_ended``: a fetch has succeeded again.
            ``failover_begun``: a connect has reached another kind of server than wanted, or none;
            those that follow it are no events.
            ``failover_ended``: a connect has reached the right one again.
        plugin: ``rds_iam`` or ``rds_secret``.
        at: when, in epoch seconds.
        endpoint: where to, and the database user. None for what all endpoints of an identity share.
        identity: who.
        what: what was fetched, or could not be, in words.
        token_age: seconds since the token was signed.
        token_left: seconds that it is good for; None for passwords.
        credentials_age: seconds since the credentials, or the secret, were fetched.
        credentials_left: seconds until the credentials expire.
        attempt: which attempt of its connect begins, from 2.
        pause: seconds that the connect waits before its next attempt.
        rate: new connections a second that begin at the endpoint for now.
        failures: fetches, or connects in a failover, that have failed in a row.
        outage_age: seconds since the first of them.
        error: why a fetch failed; of a refusal, or a connect, the name of the error.
    """

    kind: Kind
    plugin: str
    at: float
    endpoint: Endpoint | None = None
    identity: Identity = _UNKNOWN
    what: str | None = None
    token_age: float | None = None
    token_left: float | None = None
    credentials_age: float | None = None
    credentials_left: float | None = None
    attempt: int | None = None
    pause: float | None = None
    rate: float | None = None
    failures: int | None = None
    outage_age: float | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, str | int | float]:
        """What is known of it, flat and in plain values, as formatters of JSON take it.

        The fields of `endpoint` (``host``, ``port``, ``user``, ``region``) and of `identity` are
        among the others.
        """
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        endpoint, identity = found.pop("endpoint"), found.pop("identity")
        found |= {each.name: getattr(identity, each.name) for each in fields(identity)}
        found |= endpoint._asdict() if endpoint else {}
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in found.items()
            if value not in {None, ""}
        }

    def as_attributes(self) -> dict[str, str | int | float]:
        """The same under the names of OpenTelemetry's semantic conventions, where they have one.

        Other fields begin with ``sqlalchemy_rds_iam.``; `kind` and `at`, which are an event's name
        and time there, are left out.
        """
        return {
            _conventional(name, self.kind): value
            for name, value in self.as_dict().items()
            if name not in {"kind", "at"}
        }


def _conventional(name: str, kind: Kind) -> str:
    if name == "error":
        return "error.type" if kind in _NAMED_ERRORS else "exception.message"
    return _CONVENTIONS.get(name, f"sqlalchemy_rds_iam.{name}")


class EventFactory(NamedTuple):
    """What the options say about whose events these are.

    Attributes:
        plugin: which plugin.
        role_arn: role that is assumed by option.
    """

    plugin: str
    role_arn: str | None = None

    def event(
        self,
        kind: Kind,
        at: float,
        *,
        endpoint: Any = None,
        cached: Cached | None = None,
        token: IssuedPassword | None = None,
        **more: Any,
    ) -> Event:
        """Make an event.

        Args:
            kind: which.
            at: epoch seconds, for the ages as well.
            endpoint: where to; what is no `Endpoint` is left out.
            cached: what tokens are made of.
            token: the token that it is about.
            more: other fields.
        """
        if cached is not None:
            more["credentials_age"] = at - cached.fetched_at
            more["credentials_left"] = left(cached.fetched.expires_at, at)
        if token is not None:
            more["token_age"] = at - token.signed_at
            more["token_left"] = left(token.expires_at, at)
        where = endpoint if isinstance(endpoint, Endpoint) else None
        identity = self.identity(cached)
        return Event(
            kind=kind, plugin=self.plugin, at=at, endpoint=where, identity=identity, **more
        )

    def identity(self, cached: Cached | None) -> Identity:
        """Who it is that has fetched this."""
        known = cached.fetched.identity() if cached else _UNKNOWN
        return replace(known, role_arn=self.role_arn)


def left(end: float | None, now: float) -> float | None:
    """Seconds from `now` to `end`, if there is one."""
    return None if end is None or math.isinf(end) else end - now
