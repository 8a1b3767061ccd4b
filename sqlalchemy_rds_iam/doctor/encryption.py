"""TLS: whether it comes up as the options ask for, and if not, what the server shows instead.

The first connection is made with the very context or CA file that the plugin gives to the driver.
Only if that fails another one looks at the server without trusting it. None of them carries a
token.
"""

from __future__ import annotations

import shlex
import ssl
import time
from collections.abc import Iterator

from sqlalchemy import make_url

from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam.doctor import manners
from sqlalchemy_rds_iam.doctor.advice import describe, look
from sqlalchemy_rds_iam.doctor.connections import (
    FIRST,
    context,
    in_clear,
    knock,
    read,
    right_port,
    shown_certificate,
)
from sqlalchemy_rds_iam.doctor.dialects import with_driver
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, ok, problem, warning
from sqlalchemy_rds_iam.doctor.meaning import EVENTS
from sqlalchemy_rds_iam.doctor.refused_certificate import day, evidence_of, unverified
from sqlalchemy_rds_iam.doctor.server_answers import known
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import instead
from sqlalchemy_rds_iam.doctor.wire import DeclinedError, EarlyError, OtherServerError

_SOON = 30 * 86400.0


def examine(state: State) -> Iterator[Finding]:
    """Set up TLS."""
    place, words = f"{state.dialled}:{state.port}", manners.of(state).words
    try:
        yield from _set_up(state)
    except DeclinedError as error:
        title = state.title
        yield problem(
            "tls-declined",
            f"{place} declines TLS, which RDS never does: another {title} or a pooler listens "
            "there",
            why="the plugin sends no token in clear",
            evidence=(str(error),) if error.args else in_clear(state),
            fix=f"Correct host and port; of a pooler, switch TLS on ({words.pooler}: "
            f"{words.pooler_tls})",
            commands=(*right_port(state), manners.of(state).client(state.dialled, state.port)),
        )
    except OtherServerError as error:
        yield problem(
            words.stranger,
            f"what listens at {place} does not speak {state.driver.family.title}'s "
            f"protocol: {error}",
            fix="Correct host and port; or use the URL of the database that it is",
            commands=(*_as_it_is(state, error), *right_port(state)),
        )
    except EarlyError as error:
        yield known(state, error.reply) or problem(
            "server-refused",
            f"the server refuses the connection before TLS: {first_line(error)}",
            why=words.early,
            fix="Check the server's load, memory and connections",
            commands=(EVENTS, *describe(state)),
        )
    except ssl.SSLCertVerificationError as error:
        state.server = shown_certificate(state)
        yield unverified(state, error)
    except TimeoutError:
        yield problem(
            "server-silent",
            f"{place} takes the connection and then says nothing",
            why="a load balancer or a tunnel takes connections for a server that is not there; a "
            "server under heavy load is slow to answer",
            fix="Check the server's state and load, and what is in between",
            commands=(*right_port(state), *describe(state)),
        )
    except ConnectionResetError:
        yield problem(
            "connection-closed",
            f"{place} closes the connection before TLS",
            why="a tunnel or a load balancer does so when it cannot reach the database; a server "
            "that is going down does as well",
            fix="Check the far end of the tunnel or the target of the load balancer, and the "
            "database's state",
            commands=(*right_port(state), *describe(state)),
        )
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        yield problem(
            "tls-failed",
            f"TLS with {place} fails: {reason}",
            why="the two sides share no TLS version or cipher, or something in between changes "
            "what they send",
            fix="Check what is in between: a firewall that inspects TLS, a load balancer that ends "
            "it, a port that is not the database's",
            commands=(
                look(
                    f"openssl s_client -starttls {words.starttls} -connect "
                    f"{shlex.quote(place)} </dev/null"
                ),
            ),
        )


def _as_it_is(state: State, error: OtherServerError) -> tuple[Command, ...]:
    """The URL for a database of another family."""
    if error.backend is None:
        return ()
    return (instead(with_driver(make_url(state.given), error.backend)),)


def _set_up(state: State) -> Iterator[Finding]:
    door = knock(state, state.schedule.left("TLS", FIRST))
    try:
        encrypted = door.encrypt(context(state), state.dialled.strip("[]"))
    except BaseException:
        door.close()
        raise
    state.door, state.server, state.encrypted = door, read(encrypted), True
    yield from _verified(state, str(encrypted.version()))


def _verified(state: State, version: str) -> Iterator[Finding]:
    server = state.server
    if server is None:
        yield ok(f"{version}, certificate not readable")
        return
    yield ok(f"{version}, certificate valid until {day(server.ends)}", *evidence_of(state, server))
    if server.ends - time.time() < _SOON:
        yield warning(
            "certificate-ending",
            f"the server's certificate expires on {day(server.ends)}",
            fix="RDS renews it by itself; if it has not by now, check its CA",
            commands=(look("aws rds describe-certificates"),),
        )
