"""The checks of an examination, in the order in which a connect meets what can go wrong."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy_rds_iam.doctor import database, encryption, identity, login, network, options
from sqlalchemy_rds_iam.doctor.findings import Finding, problem
from sqlalchemy_rds_iam.doctor.state import Check, State


def _late(code: str, summary: str, fix: str) -> Callable[[State, float], Finding]:
    def finding(_: State, seconds: float) -> Finding:
        return problem(code, f"{summary} within {seconds:.1f} s", fix=fix)

    return finding


def _no_session_in_time(state: State, seconds: float) -> Finding:
    lets_in = "the server accepts this user's token, but " if state.secret is None else ""
    return problem(
        "driver-late",
        f"{lets_in}the driver did not connect within {seconds:.1f} s",
        fix="Look at connect_args, at the server's load, and at listeners of your own",
    )


_DNS_LATE = _late(
    "dns-late",
    "DNS did not answer",
    "Check this machine's resolver: the name servers in /etc/resolv.conf, and UDP and TCP port 53",
)

CHECKS = (
    Check(
        "Options",
        options.examine,
        lambda _: True,
        "",
        _late(
            "options-late",
            "reading the options did not end",
            "Check the files that they name: a CA bundle on a network drive that hangs",
        ),
    ),
    Check(
        "Name",
        network.examine_name,
        lambda state: bool(state.dialled),
        "the options do not say where to connect",
        _DNS_LATE,
    ),
    Check(
        "Network",
        network.examine_network,
        lambda state: state.target is not None,
        "the options do not say where to connect",
        _DNS_LATE,
    ),
    Check(
        "TLS",
        encryption.examine,
        lambda state: state.address is not None,
        "no server answers",
        _late(
            "server-silent",
            "the server did not set up TLS",
            "Check the server's state and load, and what is in between",
        ),
    ),
    Check(
        "Identity",
        identity.examine,
        lambda state: state.engine is not None and state.config.enabled and not state.secret,
        "the options do not say whose credentials to use",
        identity.late,
    ),
    Check(
        "Token",
        login.examine_token,
        lambda state: state.credentials is not None and state.target is not None,
        "there are no credentials to sign with, or nothing to sign for",
        _late("token-late", "the token was not signed", "Check this machine's load"),
    ),
    Check(
        "Login",
        login.examine_login,
        lambda state: state.encrypted and state.token is not None,
        "there is no token, or no verified server to send it to",
        _late(
            "auth-timeout",
            "the server did not answer the login",
            "Check the server's load and memory",
        ),
    ),
    Check(
        "Database",
        database.examine,
        lambda state: state.logged_in or state.secret is not None,
        "the server accepted no login",
        _no_session_in_time,
    ),
)
"""Those of `schedule.SERVER` run beside `schedule.ASIDE`, all others one after the other."""
