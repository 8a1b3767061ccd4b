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

from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam.doctor.advice import describe, look
from sqlalchemy_rds_iam.doctor.connections import (
    FIRST,
    context,
    in_clear,
    read,
    right_port,
    shown_certificate,
)
from sqlalchemy_rds_iam.doctor.findings import Finding, ok, problem, warning
from sqlalchemy_rds_iam.doctor.refused_certificate import day, evidence_of, unverified
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import DeclinedError, Door, EarlyError, NotPostgresError

_SOON = 30 * 86400.0


def examine(state: State) -> Iterator[Finding]:
    """Set up TLS."""
    assert state.address is not None
    place = f"{state.dialled}:{state.port}"
    try:
        with Door(state.address, state.schedule.left("TLS", FIRST)) as door:
            encrypted = door.encrypt(context(state), state.dialled.strip("[]"))
            version = encrypted.version()
            state.server = read(encrypted)
            state.encrypted = True
    except DeclinedError:
        yield problem(
            "tls-declined",
            f"{place} declines TLS, which RDS never does: another PostgreSQL or a pooler listens "
            "there",
            why="the plugin sends no token in clear",
            evidence=in_clear(state),
            fix="Correct host and port; of a pooler, switch TLS on (PgBouncer: client_tls_sslmode)",
            commands=(
                *right_port(state),
                look(
                    f"psql {shlex.quote(f'host={state.dialled} port={state.port} sslmode=require')}"
                ),
            ),
        )
    except NotPostgresError as error:
        yield problem(
            "not-postgres",
            f"what listens at {place} does not speak PostgreSQL's protocol: {error}",
            fix="Correct host and port",
            commands=right_port(state),
        )
    except EarlyError as error:
        yield problem(
            "server-refused",
            f"the server refuses the connection before TLS: {first_line(error)}",
            why="a PostgreSQL that cannot start a process for a client says so in clear",
            fix="Check the server's load, memory and connections",
            commands=(look("aws rds describe-events --duration 60"), *describe(state)),
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
        words = getattr(error, "reason", None) or error
        yield problem(
            "tls-failed",
            f"TLS with {place} fails: {words}",
            why="the two sides share no TLS version or cipher, or something in between changes "
            "what they send",
            fix="Check what is in between: a firewall that inspects TLS, a load balancer that ends "
            "it, a port that is not the database's",
            commands=(
                look(
                    f"openssl s_client -starttls postgres -connect {shlex.quote(place)} </dev/null"
                ),
            ),
        )
    else:
        yield from _verified(state, str(version))


def _psql(state: State, mode: str) -> str:
    return f"psql 'host={state.dialled} port={state.port} sslmode={mode}'"


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
