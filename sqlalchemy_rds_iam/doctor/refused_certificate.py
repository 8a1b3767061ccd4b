"""A certificate that was refused: what is wrong with it, or with what was expected of it."""

from __future__ import annotations

import importlib.util
import shlex
import ssl
import time
from datetime import UTC, datetime

from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import ca_bundle, trust
from sqlalchemy_rds_iam.doctor import certificate
from sqlalchemy_rds_iam.doctor.advice import look, modify, option, shell
from sqlalchemy_rds_iam.doctor.certificate import Certificate
from sqlalchemy_rds_iam.doctor.connections import right_port
from sqlalchemy_rds_iam.doctor.findings import Finding, problem
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import changed, for_endpoint

# OpenSSL's verification results (X509_V_ERR_…).
_NOT_YET_VALID, _EXPIRED, _HOSTNAME, _IP_ADDRESS = 9, 10, 62, 64
_NEWEST_CA = "rds-ca-rsa2048-g1"
_SERVICES = {
    "rds": "Amazon RDS",
    "proxy": "RDS Proxy",
    None: "neither Amazon RDS nor RDS Proxy: another {title}, or something that ends TLS",
}


def unverified(state: State, error: ssl.SSLCertVerificationError) -> Finding:
    """The finding for a certificate that does not verify."""
    server, host = state.server, state.settled.host.host
    evidence = evidence_of(state, server) if server else ()
    if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
        return _out_of_date(state, error, server, evidence)
    if error.verify_code in {_HOSTNAME, _IP_ADDRESS}:
        names = server.names if server else ()
        endpoint = next((name for name in names if parse_host(name).partition), None)
        whose = f"for {', '.join(names)}" if names else "without names"
        return problem(
            "certificate-name",
            f"the server's certificate is not for {host}, but {whose}",
            why="another server answers than the one that tokens are signed for",
            evidence=evidence,
            fix="Correct host, port or tunnel; if that server is the one you mean, sign for its "
            "own name, as in this URL"
            if endpoint
            else "Connect to the right server; the name of an alias is not in a certificate of "
            "RDS, so say with rds_iam_host which endpoint it stands for",
            commands=(
                *right_port(state),
                *(for_endpoint(state, endpoint) if endpoint else ()),
            ),
        )
    return _untrusted(state, server, error, evidence)


def _out_of_date(
    state: State,
    error: ssl.SSLCertVerificationError,
    server: Certificate | None,
    evidence: tuple[str, ...],
) -> Finding:
    now = day(time.time())
    early = error.verify_code == _NOT_YET_VALID
    when = day(server.begins if early else server.ends) if server else None
    # Of the chain, it may be another certificate that is out of date.
    own = server is not None and not server.begins <= time.time() <= server.ends
    whose = "the server's certificate" if own or server is None else "the CA's certificate"
    verb = "is not valid before" if early else "expired on"
    words = f"{verb} {when}" if own else "is not valid yet" if early else "expired"
    rotate = f"--certificate-rotation-restart --ca-certificate-identifier {_NEWEST_CA}"
    return problem(
        "certificate-early" if early else "certificate-expired",
        f"{whose} {words}, and this machine's clock says {now}",
        evidence=evidence,
        fix="If the clock is right, have the server's certificate renewed; if not, set the clock",
        commands=(look("date -u"), *modify(state, rotate)),
    )


def _untrusted(
    state: State,
    server: Certificate | None,
    error: ssl.SSLCertVerificationError,
    evidence: tuple[str, ...],
) -> Finding:
    service, title = server.service if server else None, state.title
    ca = state.settled.ca
    kept = ca.path if ca is not None else "global-bundle.pem"
    fix, commands = {
        "rds": (
            "Fetch Amazon's current bundle, and name it",
            (
                shell(f"curl -fsSo {shlex.quote(kept)} {trust.BUNDLE_URL}"),
                *changed(state, rds_iam_ca=kept),
            ),
        ),
        "proxy": (
            "Trust the system's authorities: RDS Proxy has certificates of public ones",
            changed(state, rds_iam_ca="system"),
        ),
    }.get(
        service or "",
        (
            (
                f"Find out what answers there, another {title} or something that ends TLS in "
                "between, and correct host and port; only if it is your own, name its CA"
            ),
            (*right_port(state), option("rds_iam_ca=FILE")),
        ),
    )
    return problem(
        "certificate-untrusted",
        "no CA that is trusted here has signed the server's certificate; its issuer is "
        f"{server.issued_by if server else 'unknown: ' + error.verify_message}",
        why=f"it looks like a certificate of {_whose(state, server)}" if server else _unread(),
        evidence=evidence,
        fix=fix,
        commands=commands,
    )


def _unread() -> str:
    if importlib.util.find_spec("cryptography") is None:
        return certificate.MISSING
    return "the certificate cannot be read, or the server showed none the second time"


def evidence_of(state: State, server: Certificate) -> tuple[str, ...]:
    """What a certificate says, and what it was compared with."""
    return (
        f"for        {', '.join(server.names)}",
        f"issued by  {server.issued_by}",
        f"valid      {day(server.begins)} to {day(server.ends)}",
        f"looks like {_whose(state, server)}",
        f"CA file    {_ca(state)}",
    )


def _whose(state: State, server: Certificate) -> str:
    return _SERVICES[server.service].format(title=state.title)


def _ca(state: State) -> str:
    target = state.settled
    if target.ca is None:
        return "none, or in an SSL context of your own"
    source = ca_bundle.source(target.ca.path, target.host.region)
    part, expired = ca_bundle.part(source), ca_bundle.expired(source, time.time())
    of_them = f", {len(expired)} of them expired" if expired else ""
    return (
        f"{target.ca.path} ({part.kept} of {part.total} certificates are for the region{of_them}; "
        f"{target.ca.rule})"
    )


def day(moment: float) -> str:
    """A date in UTC, from epoch seconds."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
