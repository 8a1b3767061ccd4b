"""A family of databases: what is the same whatever driver connects, and nothing else knows.

A second family is a module like ``postgresql.py``, with its row of facts and its drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from sqlalchemy_rds_iam._databases.grants import Grants
from sqlalchemy_rds_iam._databases.session_attrs import SessionRules
from sqlalchemy_rds_iam._databases.token_causes import Cause, RefusedLogin
from sqlalchemy_rds_iam._endpoints.hostname import HostName
from sqlalchemy_rds_iam._tls.trust import NO_PLACES, CaPlaces

RefusedBy = Literal["password", "iam", "unclear"]
"""``password``: IAM was not asked, the server took the token for a password. ``iam``: IAM was, and
says no. ``unclear``: it was, and says no or throttles."""


class Family(NamedTuple):
    """What one kind of database has in common.

    Attributes:
        name: a short name, which is not shown.
        backends: SQLAlchemy's names of its dialects, which are OpenTelemetry's of the systems, too.
        title: its name in messages.
        example: how its URLs begin, in messages.
        port: the port where its servers listen by default.
        longest_name: how long a user's name may be; the server cuts longer ones.
        counts: what that counts, ``bytes`` or ``characters``.
        certificate: what its drivers say of a certificate that they do not accept (a pattern).
        wrong_name: what they say if that is about the name alone (a pattern).
        sessions: how it tells which server a session is on; None if it cannot.
        alpn: the protocol's name in TLS (RFC 7301), if servers ask for it.
        ca_places: where its clients look for a CA file.
        is_refusal: whether an error is the server refusing the password.
        is_throttled: whether an error is RDS Proxy saying that logins come too fast.
        causes: what may be behind a refused token, most likely first, by what the error says.
        grants: the SQL for a user, who is to enter a database (or none), at an endpoint.
        at_proxy: what has to be set at an RDS Proxy that answers such a user in such words.
        hindrances: what of the environment makes a connect fail with such words.
        revocation: the files with revoked certificates that count with such connect arguments.
        refused_by: who has refused the password, of which `is_refusal` is so.
        forget: takes the password out of an error that holds it.
    """

    name: str
    backends: tuple[str, ...]
    title: str
    example: str
    port: int
    longest_name: int
    is_refusal: Callable[[BaseException], bool]
    is_throttled: Callable[[BaseException], bool]
    causes: Callable[[RefusedLogin, str], list[Cause]]
    grants: Callable[[str, str | None, HostName], Grants]
    at_proxy: Callable[[str, str], list[Cause]] = lambda _user, _said: []
    counts: str = "bytes"
    certificate: str = "certificate verify failed|certificate .* does not match host name"
    wrong_name: str = "does not match host name|[Hh]ostname mismatch|IP address mismatch"
    sessions: SessionRules | None = None
    alpn: str | None = None
    ca_places: CaPlaces = NO_PLACES
    hindrances: Callable[[str, Mapping[str, Any]], Iterable[str]] = lambda _said, _cparams: ()
    revocation: Callable[[Mapping[str, Any]], Iterable[str]] = lambda _arguments: ()
    refused_by: Callable[[BaseException], RefusedBy] = lambda _error: "unclear"
    forget: Callable[[BaseException], None] = lambda _error: None


def chain(error: BaseException) -> Iterator[BaseException]:
    """A driver's error, and what it was made of."""
    yield error
    for inner in (getattr(error, "orig", None), error.__cause__):
        if isinstance(inner, BaseException):
            yield inner
