"""A refused token: the one answer that means many things, narrowed down as far as can be known.

RDS says the same for every reason, such as "PAM authentication failed". What tells them apart is
what this machine knows (its clock, its keys, what it has signed) and what other logins do. The rest
is ranked by how often it is the reason, and is said to be likely or possible.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator

from sqlalchemy_rds_iam._aws.ambient import ambient_region
from sqlalchemy_rds_iam._aws.sigv4 import sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, parse_host
from sqlalchemy_rds_iam.doctor import iam_log, manners, unchecked
from sqlalchemy_rds_iam.doctor.advice import log_group, look, metric, policy, simulate
from sqlalchemy_rds_iam.doctor.attempts import TooManyLogins, log_in
from sqlalchemy_rds_iam.doctor.findings import Certainty, Finding, Status, problem
from sqlalchemy_rds_iam.doctor.identity import INEXACT_CLOCK
from sqlalchemy_rds_iam.doctor.server_answers import explained, said
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import changed
from sqlalchemy_rds_iam.doctor.wire import ServerReply
from sqlalchemy_rds_iam.errors import ConfigError

PAUSE = 2.0
"""Seconds after which the login is tried again: throttling is counted by the second."""

_HALF, _MORE = 0.5, 2
_MOST_DOUBTS = 3
"""Other tokens that are tried."""

LIKELY, POSSIBLE = Certainty.LIKELY, Certainty.POSSIBLE


def narrow_down(state: State, answer: ServerReply) -> Iterator[Finding]:
    """What may be behind a refused token, surest first."""
    assert state.token is not None
    yield problem(
        "login-refused",
        f"the server refuses the token of {state.settled.endpoint.user!r}",
        evidence=(said(answer),),
        symptom=True,
    )
    if state.hopeless:
        return
    if state.read_log:
        yield (reason := iam_log.reason(state, state.token.signed_at))
        if reason.status is Status.PROBLEM and reason.certainty is Certainty.CERTAIN:
            return
    try:
        found = _signed_otherwise(state) or _later(state)
    except (TooManyLogins, OSError):
        found = None
    if found is not None:
        yield found
        return
    yield from _unknown(state)


def _signed_otherwise(state: State) -> Finding | None:
    """Try what else may have to be signed, where the URL leaves a doubt about it."""
    for code, option, endpoint in itertools.islice(_doubts(state), _MOST_DOUBTS):
        assert state.credentials is not None
        answer = log_in(state, sign(state.credentials, endpoint, time.time()))
        if answer.accepted:
            signed = state.settled.endpoint
            return problem(
                code,
                f"the server accepts a token for {endpoint.host}:{endpoint.port} in "
                f"{endpoint.region}, and none for {signed.host}:{signed.port} in {signed.region}",
                why="host, port and region are signed, and have to be those of the endpoint "
                "itself, whatever leads there",
                evidence=("tried with both, one after the other",),
                fix="Use this URL",
                commands=changed(state, **option),
            )
    return None


def _doubts(state: State) -> Iterator[tuple[str, dict[str, str], Endpoint]]:
    signed, host, config = state.settled.endpoint, state.settled.host, state.config
    names = [*state.aliases, *(state.server.names if state.server else ())]
    endpoints = [found for found in map(parse_host, names) if found.region is not None]
    if state.tunnelled or config.port is not None:
        for port in dict.fromkeys((state.usual_port, state.port)):
            if port != signed.port:
                yield "port-wrong", {"rds_iam_port": str(port)}, signed._replace(port=port)
    if host.region is None:
        candidates = [str(found.region) for found in endpoints]
        with contextlib.suppress(ConfigError):  # what is said there is no region
            candidates.append(ambient_region(config) or "")
        for region in list(dict.fromkeys(filter(None, candidates)))[:2]:
            if region != signed.region:
                yield "region-wrong", {"rds_iam_region": region}, signed._replace(region=region)
    for found in endpoints[:1]:
        if found.host != signed.host and found.kind != "global-writer":
            other = signed._replace(host=found.host, region=str(found.region))
            yield "host-wrong", {"rds_iam_host": found.host}, other


def _later(state: State) -> Finding | None:
    """Try the same again after a pause, unless it is known already why it is refused."""
    if state.skew is not None and abs(state.skew) > INEXACT_CLOCK:
        return None
    assert state.credentials is not None
    # Where others log in all the time, it takes a few attempts to find a gap.
    for attempt, pause in enumerate((PAUSE, *[PAUSE / 5] * _MORE), start=2):
        time.sleep(min(pause, state.schedule.left("Login", _HALF)))
        token = sign(state.credentials, state.settled.endpoint, time.time())
        answer = log_in(state, token)
        if answer.accepted:
            # The driver's login is left out: there are too many as it is.
            return throttled(
                state,
                f"the server refused a login, and accepted attempt {attempt}, after a pause",
                ("keys and endpoint were the same each time",),
            )
        if not manners.of(state).is_refused_token(answer):
            return explained(state, answer)
    return None


def throttled(state: State, seen: str, evidence: tuple[str, ...]) -> Finding:
    """The finding for logins that differ in nothing but time, and have different answers.

    Args:
        state: what is known.
        seen: what happened, as a sentence.
        evidence: the logins.
    """
    return problem(
        "throttled",
        f"RDS throttles logins, or fails for moments: {seen}",
        LIKELY,
        why="RDS throttles new IAM connections, and refuses them in the same words as any other; "
        "a failure of its own that passes looks no different",
        evidence=evidence,
        fix="Keep connections in the pool, start processes one after the other, lower "
        "rds_iam_connect_rate, or put RDS Proxy in between",
        commands=(
            *changed(state, "rds_iam_throttle_retry", rds_iam_connect_rate="5"),
            metric(state, "IamDbAuthConnectionFailureThrottling"),
        ),
        regardless=True,
    )


def _unknown(state: State) -> Iterator[Finding]:
    """What is left, likeliest first; what was ruled out is the evidence."""
    endpoint, ruled_out = state.settled.endpoint, tuple(_ruled_out(state))
    if (cut := _cut(state)) is not None:
        yield cut
    if state.config.region is None:
        # That of the environment, which is where the application runs.
        yield from unchecked.region(state, LIKELY)
    group = log_group(state)
    logs = f"aws logs tail {group} --since 15m --region {endpoint.region}" if group else None
    yield problem(
        "policy",
        f"{state.caller or 'the identity'} is not allowed rds-db:connect as {endpoint.user!r} on "
        "this endpoint",
        LIKELY,
        why="the server does not say whether a policy is missing, names another user, resource, "
        "region or account, or a deny forbids it; only its log iam-db-auth-error does (--log "
        "reads it)",
        evidence=ruled_out,
        fix="Allow it: the resource id (db-…, cluster-… or prx-…) is not the endpoint's name, and "
        "the case of the user counts",
        commands=(*policy(state), *simulate(state), *([look(logs)] if logs else [])),
    )
    yield from unchecked.causes(state)
    if state.credentials is not None and state.credentials.session_token is not None:
        yield problem(
            "session-revoked",
            "the sessions of the role were revoked (AWSRevokeOlderSessions), or the session has a "
            "policy of its own that leaves this out",
            POSSIBLE,
            fix="Get a new session, which a revocation does not touch: restart the task, or sign "
            "in again",
        )
    yield problem(
        "throttled",
        "other clients log in so fast that every attempt was throttled",
        POSSIBLE,
        fix="Look at the counter",
        commands=(metric(state, "IamDbAuthConnectionFailureThrottling"),),
    )
    yield problem(
        "rds-internal",
        "IAM authentication itself fails in AWS, or a Multi-AZ cluster restarts",
        POSSIBLE,
        fix="Try again in a minute; look at the events and at AWS Health",
        commands=(look("aws rds describe-events --duration 60"),),
    )


def _ruled_out(state: State) -> Iterator[str]:
    asked = manners.of(state).words.asked
    yield f"ruled out  the user: the server asks it for a token, {asked}"
    if state.verified:
        yield "ruled out  the keys: STS accepts them"
    if state.skew is not None and abs(state.skew) < INEXACT_CLOCK:
        yield f"ruled out  the clock: it is right to {max(abs(state.skew), 1):.0f} s"
    if not state.tunnelled and state.settled.host.region is not None:
        yield "ruled out  host, port and region: they are those of the endpoint"
    yield f"less likely  throttling: it was refused again {PAUSE:g} s later"


def _cut(state: State) -> Finding | None:
    """Whether something between here and RDS may have cut the token."""
    server, token = state.server, state.token
    if server is None or token is None or server.service is not None:
        return None
    return problem(
        "token-cut",
        "what ends TLS is not RDS, and it may have cut the token or changed it",
        LIKELY,
        why=manners.of(state).words.buffers,
        evidence=(
            f"certificate by {server.issued_by}, which is not Amazon's",
            f"the token has {len(token.password)} characters",
        ),
        fix="Connect to RDS itself; or use a version of what is between that takes long passwords",
        commands=(manners.of(state).client(state.settled.host.host, state.usual_port),),
    )
