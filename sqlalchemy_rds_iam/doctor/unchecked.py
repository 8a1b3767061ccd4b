"""What nothing has checked is listed as possible, so that silence does not rule it out."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy_rds_iam.doctor.advice import CLOCK, describe, look
from sqlalchemy_rds_iam.doctor.findings import Certainty, Finding, problem
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import changed

_POSSIBLE = Certainty.POSSIBLE
_IDENTITY = look("aws sts get-caller-identity")


def causes(state: State) -> Iterator[Finding]:
    """The causes of a refused token that this examination could not look at."""
    credentials = state.credentials
    if not state.verified:
        yield problem(
            "keys-unverified",
            "the keys are wrong, revoked or expired: not checked, as STS could not be asked",
            _POSSIBLE,
            fix="Ask STS from a place that reaches it, with the same keys",
            commands=(_IDENTITY,),
        )
        if credentials is not None and credentials.session_token is not None:
            yield problem(
                "session-token-wrong",
                "the session token is cut, or of other keys: not checked, as STS could not be "
                "asked",
                _POSSIBLE,
                evidence=(f"session token of {len(credentials.session_token)} characters",),
                fix="Copy access key, secret key and session token again, all of one answer",
                commands=(_IDENTITY,),
            )
    if state.skew is None:
        yield problem(
            "clock-skewed",
            "this machine's clock is wrong: not checked, as STS could not be asked",
            _POSSIBLE,
            fix="Compare the clock with another one",
            commands=CLOCK,
        )
    if state.config.region is not None:
        yield from region(state, _POSSIBLE)
    yield from _tunnel(state)


def region(state: State, certainty: Certainty) -> Iterator[Finding]:
    """The region, where the name does not say it."""
    if state.settled.host.region is None and not state.aliases:
        yield problem(
            "region-wrong",
            f"the database is not in {state.settled.endpoint.region}: not checked, as its name "
            "does not say where it is",
            certainty,
            fix="Compare with the region of the database",
            commands=(*describe(state), *changed(state, rds_iam_region="REGION")),
        )


def _tunnel(state: State) -> Iterator[Finding]:
    host = state.settled.host
    if state.tunnelled and (state.server is None or host.host not in state.server.names):
        yield problem(
            "host-wrong",
            f"{state.dialled} leads to another database than {host.host}: not checked, as the "
            "certificate does not say",
            _POSSIBLE,
            fix="Check where the tunnel ends",
        )
