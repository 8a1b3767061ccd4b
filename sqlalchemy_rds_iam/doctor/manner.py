"""How the doctor deals with one family of servers: what differs between them, as one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam.doctor.findings import Command, Finding
from sqlalchemy_rds_iam.doctor.meaning import Meaning
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import Door, ServerReply

Seen = Mapping[str, Any]
"""What a session shows, by the names that `Manner.look` gives it."""


class Words(NamedTuple):
    """What is said of a family in messages, where no more than the words differ.

    Attributes:
        case: why the case of a user's name counts, after "in the URL, in the database and in the
            policy".
        asked: what follows of a user whom the server asks for a token.
        pooler: one that logs clients in by itself.
        pooler_tls: how TLS is switched on there.
        early: why an error may come before TLS.
        buffers: where a token may be cut.
        starttls: what openssl calls the protocol.
        stranger: the code of what does not speak the protocol.
    """

    case: str
    asked: str
    pooler: str
    pooler_tls: str
    early: str
    buffers: str
    starttls: str
    stranger: str


class Manner(NamedTuple):
    """How servers of one family are spoken to, and what their answers mean.

    Attributes:
        family: the databases.
        words: see `Words`.
        door: the beginning of a connection, by hand.
        meanings: of answers that mean one thing; the first that fits counts.
        is_refused_token: whether an answer is the one that means many things.
        reply: a driver's error as an answer of the server.
        wanted_password: whether a refused login was one by password, and IAM was not asked.
        names: user and database as SQL writes them.
        database: the database that is asked for.
        no_token: the finding for a user whom the server asks for no token.
        client: the command of the family's own client that connects to a place with TLS.
        verification: how much a driver with such connect arguments verifies, and its CA file.
        look: reads all there is to see in a session.
        look_around: what that amounts to.
        variables: matches variables of the environment that a driver reads.
        idle: those of them that change nothing.
        tls_words: the drivers' own words for TLS in a URL.
        read_only: the server's parameter that makes sessions read-only, and what switches it off.
    """

    family: Family
    words: Words
    door: type[Door]
    meanings: tuple[Meaning, ...]
    is_refused_token: Callable[[ServerReply], bool]
    reply: Callable[[BaseException], ServerReply]
    wanted_password: Callable[[str], bool]
    names: Callable[[str, str], dict[str, str]]
    database: Callable[[Mapping[str, Any], str], str]
    no_token: Callable[[State, tuple[str, ...]], Finding]
    client: Callable[[str, int], Command]
    verification: Callable[[Mapping[str, Any]], tuple[str, str | None]]
    look: Callable[[Connection], Seen]
    look_around: Callable[[State, Seen], Iterator[Finding]]
    variables: str
    idle: frozenset[str]
    tls_words: tuple[str, ...]
    read_only: tuple[str, str]
