"""The token and the login: what is signed, what the server asks for, and what it answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import parse_qsl

from sqlalchemy import make_url

from sqlalchemy_rds_iam._aws.sigv4 import sign
from sqlalchemy_rds_iam.doctor import manners, refused_token
from sqlalchemy_rds_iam.doctor.advice import describe
from sqlalchemy_rds_iam.doctor.attempts import failed, log_in, probe
from sqlalchemy_rds_iam.doctor.connections import right_port
from sqlalchemy_rds_iam.doctor.findings import Certainty, Finding, ok, problem
from sqlalchemy_rds_iam.doctor.server_answers import explained, said
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import instead
from sqlalchemy_rds_iam.doctor.wire import ServerReply


def examine_token(state: State) -> Iterator[Finding]:
    """Sign, and read from the token itself what was signed."""
    assert state.credentials is not None
    token = state.token = sign(state.credentials, state.settled.endpoint, time.time())
    address, _, query = token.password.partition("/?")
    signed = dict(parse_qsl(query))
    state.hide(token.password, signed["X-Amz-Signature"])
    _, day, region, service, _ = signed["X-Amz-Credential"].split("/")
    session = signed.get("X-Amz-Security-Token")
    yield ok(
        f"{len(token.password)} characters, good for {token.expires_at - time.time():.0f} s",
        f"address    {address}",
        f"user       {signed['DBUser']!r}",
        f"scope      {day} {region} {service}",
        f"signed at  {signed['X-Amz-Date']}, for {signed['X-Amz-Expires']} s",
        f"session    {f'token of {len(session)} characters' if session else 'none'}",
    )


def examine_login(state: State) -> Iterator[Finding]:
    """Ask what the server wants of this user, and log in if that is a token."""
    user, manner = state.settled.endpoint.user, manners.of(state)
    assert state.token is not None
    try:
        answer = log_in(state, state.token)
    except OSError as error:
        yield failed(error)
        return
    state.by_token = answer.wants_token
    if answer.is_open:
        yield problem(
            "no-authentication",
            f"the server lets {user!r} in without asking for anything, which RDS never does: this "
            f"is another {state.title}",
            fix="Correct host and port",
            commands=right_port(state),
            regardless=True,
        )
    if answer.ready:
        state.logged_in = True
        if answer.wants_token:
            yield ok(f"the server accepts the token of {user!r}")
    elif answer.accepted:
        yield ok(f"the server accepts the token of {user!r}, and then refuses the session")
        yield explained(state, answer)
    elif manner.is_refused_token(answer):
        yield from refused_token.narrow_down(state, answer)
    elif answer.asks and not answer.wants_token:
        yield _no_iam_user(state, answer)
    else:
        yield explained(state, answer)


def _no_iam_user(state: State, answer: ServerReply) -> Finding:
    """The server wants a password, so IAM is not going to be asked about this user."""
    user, manner = state.settled.endpoint.user, manners.of(state)
    evidence = [f"user {user!r}: the server {answer.asks}"]
    for other in dict.fromkeys((user.lower(), user.capitalize(), user.upper())):
        if other == user:
            continue
        try:
            again = probe(state, other)
        except OSError:
            break
        evidence.append(f"user {other!r}: the server {again.asks or said(again)}")
        if again.wants_token:
            return problem(
                "user-case",
                f"the database user is {other!r}, not {user!r}: {other!r} logs in by token",
                why="the case of a user name counts in the URL, in the database and in the policy; "
                f"{manner.words.case}",
                evidence=tuple(evidence),
                fix="Spell it like that in the URL, and in the policy",
                commands=(instead(make_url(state.given).set(username=other)),),
            )
    if state.server is not None and state.server.service is None:
        return _another_server(state, tuple(evidence))
    if state.settled.host.is_proxy:
        return problem(
            "proxy-without-iam",
            f"the RDS Proxy asks {user!r} for a password: IAM is not required for that user",
            Certainty.LIKELY,
            evidence=tuple(evidence),
            fix="Set IAM authentication to Required in the proxy",
            commands=describe(state),
        )
    return manner.no_token(state, tuple(evidence))


def _another_server(state: State, evidence: tuple[str, ...]) -> Finding:
    """A server that asks for a password, and whose certificate is not Amazon's."""
    assert state.server is not None
    return problem(
        "server-not-rds",
        f"{state.dialled}:{state.port} is not RDS: another {state.title} or a "
        "pooler asks for a password there",
        Certainty.LIKELY,
        why=f"a pooler such as {manners.of(state).words.pooler} logs clients in by itself, and "
        "does not know tokens",
        evidence=(*evidence, f"certificate by {state.server.issued_by}, which is not Amazon's"),
        fix="Connect to the RDS endpoint itself: correct host and port, or go around the pooler",
        commands=describe(state),
    )
