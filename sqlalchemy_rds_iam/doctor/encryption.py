"""TLS: whether it comes up as the options ask for, and if not, what the server shows instead.

The first connection is made with the very context or CA file that the plugin gives to the driver.
Only if that fails a second one looks at the certificate without trusting it; neither ever carries
a token.
"""

from __future__ import annotations

import importlib.util
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import ca_bundle, contexts, trust
from sqlalchemy_rds_iam.doctor import certificate
from sqlalchemy_rds_iam.doctor.certificate import Certificate
from sqlalchemy_rds_iam.doctor.findings import Finding, ok, problem, warning
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import DeclinedError, Door, NotPostgresError

# OpenSSL's verification results (X509_V_ERR_…).
_NOT_YET_VALID, _EXPIRED, _HOSTNAME, _IP_ADDRESS = 9, 10, 62, 64
_SOON = 30 * 86400.0
_SERVICES = {"rds": "Amazon RDS", "proxy": "RDS Proxy", None: "neither Amazon RDS nor RDS Proxy"}


def context(state: State) -> ssl.SSLContext:
    """What the plugin has the driver verify the server with."""
    target = state.settled
    for value in target.arguments.values():
        if isinstance(value, ssl.SSLContext):
            return value
    mode, ca = target.arguments["sslmode"], target.arguments.get("sslrootcert")
    full, alpn = mode == "verify-full", target.driver.family.alpn
    found: ssl.SSLContext = contexts.context(mode, ca, target.host, check_name=full, alpn=alpn)
    return found


def open_door(state: State, seconds: float) -> Door:
    """A connection with TLS as the options ask for it.

    Raises:
        OSError: there is none; `DeclinedError` and `ssl.SSLError` among them.
    """
    assert state.address is not None
    door = Door(state.address, seconds)
    try:
        door.encrypt(context(state), state.dialled.strip("[]"))
    except BaseException:
        door.close()
        raise
    return door


def examine(state: State) -> Iterator[Finding]:
    """Set up TLS."""
    assert state.address is not None
    try:
        with Door(state.address, state.timeout / 2) as door:
            encrypted = door.encrypt(context(state), state.dialled.strip("[]"))
            version = encrypted.version()
            state.server = _read(encrypted)
            state.encrypted = True
    except DeclinedError:
        yield problem(
            "tls-declined",
            "the server declines TLS, and a token never travels in clear",
            why="RDS always offers TLS: what answers is no RDS, or something in between takes it "
            "off",
            fix="Look at what listens there: a pooler, a proxy or another PostgreSQL",
            commands=(f"psql 'host={state.dialled} port={state.port} sslmode=require'",),
        )
    except NotPostgresError as error:
        yield problem(
            "not-postgres",
            f"what listens at {state.dialled}:{state.port} is no PostgreSQL: {error}",
            fix="Correct host and port",
        )
    except ssl.SSLCertVerificationError as error:
        state.server = _look(state)
        yield _unverified(state, error)
    except TimeoutError:
        yield problem(
            "server-silent",
            f"{state.dialled}:{state.port} takes the connection and then says nothing",
            why="a load balancer or a tunnel takes connections for a server that is not there; a "
            "server under heavy load is slow to begin with one",
            fix="Look at the server's state and load, and at what is between",
        )
    except OSError as error:
        words = getattr(error, "reason", None) or error
        yield problem(
            "tls-failed",
            f"TLS cannot be set up: {words}",
            fix="Look at what is between: a firewall that inspects TLS, a load balancer that ends "
            "it, a port that is not the database's",
        )
    else:
        yield from _verified(state, str(version))


def _verified(state: State, version: str) -> Iterator[Finding]:
    server = state.server
    if server is None:
        yield ok(f"{version}, certificate not readable")
        return
    yield ok(f"{version}, certificate good until {_day(server.ends)}", *_evidence(state, server))
    if server.ends - time.time() < _SOON:
        yield warning(
            "certificate-ending",
            f"the server's certificate ends on {_day(server.ends)}",
            fix="RDS renews it by itself; if it has not by now, look at its CA",
            commands=("aws rds describe-certificates",),
        )


def _unverified(state: State, error: ssl.SSLCertVerificationError) -> Finding:
    server, host = state.server, state.settled.host.host
    evidence = _evidence(state, server) if server else ()
    if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
        code, when = (
            ("expired", "over") if error.verify_code == _EXPIRED else ("early", "not valid")
        )
        return problem(
            f"certificate-{code}",
            f"the server's certificate is {when} by this machine's clock",
            evidence=evidence,
            fix="Have the server's certificate renewed; if the clock is what is wrong, set that",
            commands=(
                "aws rds describe-db-instances --query 'DBInstances[].CertificateDetails'",
                "date -u",
            ),
        )
    if error.verify_code in {_HOSTNAME, _IP_ADDRESS}:
        names = server.names if server else ()
        endpoint = next((name for name in names if parse_host(name).partition), None)
        return problem(
            "certificate-name",
            f"the server's certificate is not for {host}, but for {', '.join(names) or 'no name'}",
            why="what answers there is another server than the one that is signed for",
            evidence=evidence,
            fix="If it is the right server, sign for its own name"
            if endpoint
            else "Connect to the right server; a name that only leads to one is not in its "
            "certificate, so say with rds_iam_host which endpoint it stands for",
            commands=(f"rds_iam_host={endpoint}",) if endpoint else (),
        )
    return _untrusted(server, error, evidence)


def _untrusted(
    server: Certificate | None, error: ssl.SSLCertVerificationError, evidence: tuple[str, ...]
) -> Finding:
    service = server.service if server else None
    fix, commands = {
        "rds": (
            "Get Amazon's current bundle, and name it",
            (f"curl -o global-bundle.pem {trust.BUNDLE_URL}", "rds_iam_ca=global-bundle.pem"),
        ),
        "proxy": (
            "RDS Proxy is certified by public roots: trust the system's",
            ("rds_iam_ca=system",),
        ),
    }.get(
        service or "",
        (
            "Find out who answers there; only if something of your own ends TLS, name its CA",
            ("rds_iam_ca=FILE",),
        ),
    )
    return problem(
        "certificate-untrusted",
        "the server's certificate is by an authority that is not trusted: "
        f"{server.issued_by if server else error.verify_message}",
        why=f"it looks like that of {_SERVICES[service]}" if server else _unread(),
        evidence=evidence,
        fix=fix,
        commands=commands,
    )


def _unread() -> str:
    if importlib.util.find_spec("cryptography") is None:
        return certificate.MISSING
    return "it cannot be read, or there was none to see the second time"


def _evidence(state: State, server: Certificate) -> tuple[str, ...]:
    return (
        f"for        {', '.join(server.names)}",
        f"issued by  {server.issued_by}",
        f"valid      {_day(server.begins)} to {_day(server.ends)}",
        f"looks like {_SERVICES[server.service]}",
        f"CA file    {_ca(state)}",
    )


def _ca(state: State) -> str:
    target = state.settled
    if target.ca is None:
        return "none, or that of an SSL context of your own"
    part = ca_bundle.part(ca_bundle.source(target.ca.path, target.host.region))
    return (
        f"{target.ca.path} ({part.kept} of {part.total} certificates concern the region; "
        f"{target.ca.rule})"
    )


def _look(state: State) -> Certificate | None:
    """The server's certificate, from a connection that trusts any server and carries nothing."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    if alpn := state.settled.driver.family.alpn:
        trusting.set_alpn_protocols([alpn])
    assert state.address is not None
    try:
        with Door(state.address, state.timeout / 3) as door:
            return _read(door.encrypt(trusting, state.settled.endpoint.host))
    except OSError:
        return None


def _read(encrypted: ssl.SSLSocket) -> Certificate | None:
    der: Any = encrypted.getpeercert(binary_form=True)
    try:
        return certificate.read(der or b"")
    except (ImportError, ValueError):
        return None


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
