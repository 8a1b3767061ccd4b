"""Names and the network: where the host's name leads, and whether a server answers there."""

from __future__ import annotations

import dataclasses
import importlib.util
import shlex
import socket
import time
from collections.abc import Iterator

from sqlalchemy import make_url

from sqlalchemy_rds_iam._endpoints import cname
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam.doctor.advice import look
from sqlalchemy_rds_iam.doctor.config_errors import explained
from sqlalchemy_rds_iam.doctor.dialing import dial
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, note, ok, problem
from sqlalchemy_rds_iam.doctor.options import settle
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.unreachable import said, unreached
from sqlalchemy_rds_iam.doctor.urls import changed, for_endpoint, instead
from sqlalchemy_rds_iam.errors import ConfigError, RdsIamError

_ADDRESSES = 8
"""IP addresses that are tried; a database has one, rarely two, and a proxy three."""
_CERTIFICATE_CODES = ("certificate-name", "certificate-untrusted")
_LOCAL = ("127.0.0.1", "::1", "localhost")
_HOSTS = "NAME.HASH.REGION.rds.amazonaws.com"
# Of a check's time, so that there is some left to say what was found.
_MOST = 0.9


def examine_name(state: State) -> Iterator[Finding]:
    """Follow the name, and compare where it leads with what is signed."""
    if parse_host(state.dialled).kind != "ip":
        state.aliases.extend(_chain(state, state.dialled))
    elif state.target is not None and state.target.host.kind == "global-writer":
        # Through a tunnel; where the primary cluster is, its own name tells.
        state.aliases.extend(_chain(state, state.target.host.host))
    if state.target is None:
        try:
            seconds = state.schedule.left("Name", _MOST)
            endpoint = cname.CnameResolver().look_up(state.dialled, seconds, 0)
            settle(state, dataclasses.replace(state.config, host=endpoint))
        except ConfigError as error:
            yield explained(state, str(error))
            return
        except RdsIamError as error:
            yield problem(
                "cname-lost",
                str(error),
                fix="Name the endpoint to sign for, or correct the CNAME record",
                commands=(
                    *changed(state, "rds_iam_resolve_cname", rds_iam_host=_HOSTS),
                    look(f"dig +short CNAME {shlex.quote(state.dialled)}"),
                ),
                explains=_CERTIFICATE_CODES,
            )
            return
    yield from _compared(state)


def _chain(state: State, name: str) -> Iterator[str]:
    """The names that CNAME records lead to from `name`, as far as DNS says in time."""
    if importlib.util.find_spec("dns") is None:
        yield from _by_system(name)
        return
    end, seen = time.monotonic() + state.schedule.left("Name", _MOST / 2), {name}
    while len(seen) <= cname.HOPS:
        try:
            record = cname.ask_dns(name, max(0.1, end - time.monotonic()))
        except RdsIamError:
            return  # whether the name has an address is another question
        if record is None or record.target in seen:
            return
        name = parse_host(record.target).host
        seen.add(record.target)
        yield name


def _by_system(name: str) -> Iterator[str]:
    """The same without dnspython, as far as the system's resolver tells."""
    try:
        canonical, others, _ = socket.gethostbyname_ex(name)
    except (OSError, UnicodeError):
        return
    for each in dict.fromkeys((*others, canonical)):
        if parse_host(each).host != parse_host(name).host:
            yield parse_host(each).host


def _compared(state: State) -> Iterator[Finding]:
    endpoint, host = state.settled.endpoint, state.settled.host
    leads = " → ".join([state.dialled, *state.aliases])
    known = [found for found in map(parse_host, state.aliases) if found.partition is not None]
    if host.partition is None:
        state.hopeless = True
        yield _no_endpoint(state, known[0].host if known else None, leads)
        return
    regions = [found.region for found in known if found.region]
    if host.region is None and regions and regions[0] != endpoint.region:
        state.hopeless = True
        yield problem(
            "region-wrong",
            f"tokens are signed for {endpoint.region}, and {endpoint.host} is in {regions[0]} "
            "at the moment, as DNS says",
            evidence=(f"CNAME  {leads}",),
            fix="Sign for the region of the primary cluster",
            commands=changed(state, rds_iam_region=regions[0]),
        )
        return
    means = "" if host.kind == "other" else f", an RDS {host.kind} name"
    through = f", through {state.dialled}" if state.tunnelled else ""
    yield ok(f"{host.host}{means}{through}", *([f"CNAME  {leads}"] if state.aliases else []))


def _no_endpoint(state: State, found: str | None, leads: str) -> Finding:
    """The signed name is not an RDS endpoint's, and RDS accepts no other."""
    name = state.settled.host.host
    where = f"; its CNAME record leads to {found}" if found else ""
    return problem(
        "name-not-endpoint",
        f"tokens are signed for {name!r}, which is not the name of an RDS endpoint{where}",
        why="RDS accepts only tokens that were signed for its own endpoint names, and its "
        "certificates have no others",
        evidence=(f"CNAME  {leads}",) if state.aliases else (),
        fix="Say which endpoint it stands for",
        commands=for_endpoint(state, found or _HOSTS),
        explains=_CERTIFICATE_CODES,
    )


def with_endpoint(state: State, finding: Finding) -> Finding:
    """A finding about a name, completed with the endpoint that the server's certificate names."""
    lacking = any(_HOSTS in command.text for command in finding.commands)
    if finding.code != "name-not-endpoint" or not lacking or state.server is None:
        return finding
    named = [name for name in state.server.names if parse_host(name).kind not in {"ip", "other"}]
    if len(named) != 1 or "*" in named[0]:
        return finding
    return dataclasses.replace(
        finding,
        summary=f"{finding.summary}; the certificate of the server there names {named[0]}",
        commands=for_endpoint(state, named[0]),
    )


def examine_network(state: State) -> Iterator[Finding]:
    """Look up the addresses and open TCP connections."""
    host, port = state.dialled, state.port
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        yield _unresolved(host, error)
        return
    addresses = list(dict.fromkeys((str(each[4][0]), port) for each in found))[:_ADDRESSES]
    began = time.monotonic()
    dialled = dial(addresses, state.schedule.left("Network", _MOST))
    evidence = tuple(f"{address[0]}  {said(error)}" for address, error in dialled.failed.items())
    if dialled.address is None:
        yield unreached(state, dialled.failed, evidence, _elsewhere(state))
        return
    state.address, state.connection = dialled.address, dialled.connection
    took = 1000 * (time.monotonic() - began)
    yield ok(f"{dialled.address[0]}:{port} takes TCP connections", f"it took   {took:.1f} ms")
    if evidence:
        yield note(f"{len(evidence)} other addresses of {host} do not answer", *evidence)


def _unresolved(host: str, error: OSError | UnicodeError) -> Finding:
    again = getattr(error, "errno", None) == socket.EAI_AGAIN
    return problem(
        "dns-failed" if again else "dns-unknown",
        f"DNS does not answer for {host!r}" if again else f"{host!r} has no address",
        evidence=(said(error),),
        fix="Check this machine's resolver and network"
        if again
        else "Correct the host's spelling; the name of a database that was deleted or renamed is "
        "gone, and the name of a private zone is known in its VPC only",
        commands=(look(f"dig +short {shlex.quote(host)}"),),
    )


def _elsewhere(state: State) -> tuple[Command, ...]:
    """The URL that leads to a server that does answer: of a tunnel, or on the family's own port."""
    url, port = make_url(state.given), state.port
    places = [(state.dialled, state.usual_port)]
    if state.dialled in _LOCAL:
        places = [(host, port) for host in _LOCAL if host != "localhost"]
    for host, other in places:
        if (host, other) == (state.dialled, port):
            continue
        try:
            found = socket.getaddrinfo(host.strip("[]"), other, type=socket.SOCK_STREAM)
        except OSError:
            continue
        addresses = list(dict.fromkeys((str(each[4][0]), other) for each in found))
        dialled = dial(addresses, state.schedule.left("Network", 0.5))
        if dialled.connection is not None:
            dialled.connection.close()
            return (instead(url.set(host=host, port=other)),)
    return ()
