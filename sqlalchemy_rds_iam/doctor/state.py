"""What is known so far: each check reads here what those before it have found, and adds to it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

from sqlalchemy import Engine

from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._databases.drivers import Driver, Target
from sqlalchemy_rds_iam._databases.known import driver
from sqlalchemy_rds_iam._masking import masked
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.doctor.certificate import Certificate
from sqlalchemy_rds_iam.doctor.findings import Finding
from sqlalchemy_rds_iam.doctor.schedule import Schedule
from sqlalchemy_rds_iam.doctor.wire import Door

MOST_LOGINS = 6
"""Logins that one examination attempts at the most, as failed ones may count against the user."""


@dataclass
class State:
    """The state of one examination.

    Attributes:
        given: the URL as it was given.
        keywords: the keywords of ``create_engine()``.
        schedule: how long each check may take.
        read_log: whether CloudWatch may be asked for the server's own reason.
        engine: made as the application would make it.
        cparams: what SQLAlchemy is about to hand to the driver.
        target: what the plugin has made of that.
        dialled: the name or address that is connected to.
        aliases: the names that CNAME records lead to from there, in order.
        address: the address that took a TCP connection.
        server: the server's certificate, verified or not.
        encrypted: whether TLS came up as the options ask for.
        caller: the ARN that STS knows the credentials by.
        skew: seconds by which AWS's clock is ahead of this machine's; None if unknown.
        verified: whether STS has accepted the credentials.
        hopeless: whether it is certain by now that the server accepts no token.
        by_token: whether the server asks the user for a token.
        connection: to that address; nothing has been said through it yet.
        door: a connection with TLS that nothing has been said through yet.
        logged_in: whether a login has succeeded.
        accepted: whether the server has accepted a token of ours, in whichever way it was sent.
        wanted: which server the engine's sessions must be on; see `PluginOptions`.
        secret: the secret that passwords come from, if it is not tokens that the engine has.
    """

    given: Any
    keywords: dict[str, Any]
    schedule: Schedule
    read_log: bool = False
    engine: Engine | None = None
    config: IamOptions = field(default_factory=IamOptions)
    cparams: dict[str, Any] = field(default_factory=dict)
    target: Target | None = None
    dialled: str = ""
    aliases: list[str] = field(default_factory=list)
    address: tuple[str, int] | None = None
    server: Certificate | None = None
    encrypted: bool = False
    credentials: Credentials | None = None
    caller: str | None = None
    skew: float | None = None
    verified: bool = False
    hopeless: bool = False
    token: IssuedPassword | None = None
    by_token: bool = False
    connection: socket.socket | None = None
    door: Door | None = None
    logged_in: bool = False
    accepted: bool = False
    wanted: str = "any"
    secret: str | None = None
    logins: int = 0
    secrets: set[str] = field(default_factory=set)

    @property
    def driver(self) -> Driver:
        """What connects, and to which family of databases."""
        assert self.engine is not None
        return driver(self.engine.dialect.driver, self.engine.dialect.name)

    @property
    def title(self) -> str:
        """What the URL calls the database."""
        return self.driver.family.title

    @property
    def port(self) -> int:
        """The port that is connected to."""
        return int(self.settled.arguments["port"])

    @property
    def settled(self) -> Target:
        """The target, for checks that come after it is known."""
        assert self.target is not None
        return self.target

    @property
    def usual_port(self) -> int:
        """The port where servers of this family listen by default."""
        return self.driver.family.port

    @property
    def tunnelled(self) -> bool:
        """Whether what is dialled is not what is signed for."""
        return self.dialled.lower() != self.settled.endpoint.host

    def leave(self) -> None:
        """Close what is open still."""
        for each in (self.connection, self.door):
            if each is not None:
                each.close()

    def hide(self, *secrets: str | None) -> None:
        """Keep these out of the report, whatever quotes them."""
        for secret in filter(None, secrets):
            # A token's parts also stand in it in the way that URLs are written.
            self.secrets |= {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}

    def scrub(self, text: str) -> str:
        """`text` without any secret."""
        # A copy, as a check that was too late may still be under way.
        return masked(text, *self.secrets.copy())


Examine = Callable[[State], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One step of the examination.

    Attributes:
        name: one or two words, which `schedule` knows.
        examine: looks, and yields what it finds.
        ready: whether what it needs is known.
        needs: what is missing otherwise, to end the sentence "not looked at: …".
        late: the finding when it takes too long, after so many seconds.
    """

    name: str
    examine: Examine
    ready: Callable[[State], bool]
    needs: str
    late: Callable[[State, float], Finding]
