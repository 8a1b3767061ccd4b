"""Names and the network: where the host's name leads, and whether a server answers there."""

from __future__ import annotations

import dataclasses
import errno
import importlib.util
import ipaddress
import socket
import time
from collections.abc import Iterator

from sqlalchemy_rds_iam._endpoints import cname
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam.doctor.advice import describe
from sqlalchemy_rds_iam.doctor.findings import Certainty, Finding, note, ok, problem
from sqlalchemy_rds_iam.doctor.options import config_code, settle
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.errors import ConfigError, RdsIamError

_DNS_SECONDS = 3.0
_ADDRESSES = 4
"""IP addresses that are tried; a database has one, rarely two."""
_CERTIFICATE_CODES = ("certificate-name", "certificate-untrusted")
_HOSTS = "NAME.HASH.REGION.rds.amazonaws.com"


def examine_name(state: State) -> Iterator[Finding]:
    """Follow the name, and compare where it leads with what is signed."""
    if parse_host(state.dialled).kind != "ip" and importlib.util.find_spec("dns") is not None:
        state.aliases.extend(_chain(state.dialled))
    if state.target is None:
        try:
            endpoint = cname.CnameResolver().look_up(state.dialled, _DNS_SECONDS, 0)
            settle(state, dataclasses.replace(state.config, host=endpoint))
        except ConfigError as error:
            yield problem(config_code(str(error)), str(error))
            return
        except RdsIamError as error:
            yield problem(
                "cname-lost",
                str(error),
                fix="Name the endpoint to sign for, or put the CNAME record right",
                commands=(f"rds_iam_host={_HOSTS}", f"dig +short CNAME {state.dialled}"),
                explains=_CERTIFICATE_CODES,
            )
            return
    yield from _compared(state)


def _chain(name: str) -> Iterator[str]:
    """The names that CNAME records lead to from `name`, as far as DNS says in time."""
    deadline, seen = time.monotonic() + _DNS_SECONDS, {name}
    while len(seen) <= cname.HOPS:
        try:
            record = cname.ask_dns(name, deadline - time.monotonic())
        except RdsIamError:
            return  # whether the name has an address is another question
        if record is None or record.target in seen:
            return
        name = parse_host(record.target).host
        seen.add(record.target)
        yield name


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
            f"tokens are signed for {endpoint.region}, and DNS says that {endpoint.host} is in "
            f"{regions[0]} at the moment",
            evidence=(f"CNAME  {leads}",),
            fix="Sign for the region of the primary cluster",
            commands=(f"rds_iam_region={regions[0]}",),
        )
        return
    means = "" if host.kind == "other" else f", an RDS {host.kind} name"
    through = f", through {state.dialled}" if state.tunnelled else ""
    yield ok(f"{host.host}{means}{through}", *([f"CNAME  {leads}"] if state.aliases else []))


def _no_endpoint(state: State, found: str | None, leads: str) -> Finding:
    """The signed name is no RDS endpoint name, which RDS would not accept."""
    name = state.settled.host.host
    where = f"; its CNAME record leads to {found}" if found else ""
    commands = [f"rds_iam_host={found or _HOSTS}"]
    if found:
        commands.append("rds_iam_resolve_cname=on")
    return problem(
        "name-not-endpoint",
        f"tokens are signed for {name!r}, which is no RDS endpoint name{where}",
        why="RDS accepts only tokens that were signed for its own endpoint names, and its "
        "certificates have no others",
        evidence=(f"CNAME  {leads}",) if state.aliases else (),
        fix="Say which endpoint it stands for"
        + (", or have its CNAME records followed" if found else ""),
        commands=tuple(commands),
        explains=_CERTIFICATE_CODES,
    )


def examine_network(state: State) -> Iterator[Finding]:
    """Look up the address and open a TCP connection."""
    host, port = state.dialled, state.port
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        yield _unresolved(host, error)
        return
    addresses = list(dict.fromkeys((str(each[4][0]), port) for each in found))[:_ADDRESSES]
    failed: list[tuple[str, OSError]] = []
    for address in addresses:
        began = time.monotonic()
        try:
            socket.create_connection(address, state.timeout / (len(addresses) + 1)).close()
        except OSError as error:
            failed.append((address[0], error))
            continue
        took = 1000 * (time.monotonic() - began)
        state.address = address
        yield ok(f"{address[0]}:{port} takes TCP connections", f"it took   {took:.1f} ms")
        break
    unreached = tuple(f"{address}  {_said(error)}" for address, error in failed)
    if state.address is None:
        yield _unreached(state, failed[-1][1], unreached)
    elif failed:
        yield note(f"{len(failed)} other addresses of {host} do not answer", *unreached)


def _unresolved(host: str, error: OSError | UnicodeError) -> Finding:
    again = getattr(error, "errno", None) == socket.EAI_AGAIN
    return problem(
        "dns-failed" if again else "dns-unknown",
        f"DNS does not answer for {host!r}" if again else f"{host!r} has no address",
        evidence=(_said(error),),
        fix="Look at this machine's resolver and network"
        if again
        else "Correct the host's spelling; the name of a database that was deleted or renamed is "
        "gone, and a private zone is known in its VPC only",
        commands=(f"dig +short {host}",),
    )


def _unreached(state: State, error: OSError, evidence: tuple[str, ...]) -> Finding:
    place = f"{state.dialled}:{state.port}"
    probe = f"nc -vz -w 5 {state.dialled} {state.port}"
    if isinstance(error, ConnectionRefusedError):
        local = ipaddress.ip_address(evidence[-1].split()[0]).is_loopback
        return problem(
            "port-closed",
            f"no server listens at {place}",
            evidence=evidence,
            fix="Start the tunnel, or correct its port"
            if local
            else "Correct the port, or start the database: a stopped one refuses connections",
            commands=(probe, *(() if local else describe(state))),
        )
    timed_out = isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT
    return problem(
        "network-timeout" if timed_out else "network-unreachable",
        f"{place} does not answer" if timed_out else f"there is no way to {place}: {_said(error)}",
        Certainty.CERTAIN,
        why="packets that get lost without a word are a firewall's: a security group, a network "
        "ACL or a missing route"
        if timed_out
        else "",
        evidence=evidence,
        fix="Let this machine in: the security group of the database has to allow its port from "
        "here, and from outside of the VPC there has to be a tunnel, a VPN or a public address",
        commands=(probe, *describe(state)),
    )


def _said(error: OSError | UnicodeError) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
