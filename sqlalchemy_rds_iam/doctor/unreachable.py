"""Why no server answers at an address: which part of the network is in the way."""

from __future__ import annotations

import errno
import ipaddress
import shlex

from sqlalchemy_rds_iam.doctor.advice import describe, look, modify, shell
from sqlalchemy_rds_iam.doctor.dialing import Address, own_address, without_ipv6
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, problem
from sqlalchemy_rds_iam.doctor.state import State

_CHECK_IP = "$(curl -s https://checkip.amazonaws.com)"


def unreached(
    state: State,
    failed: dict[Address, OSError],
    evidence: tuple[str, ...],
    elsewhere: tuple[Command, ...],
) -> Finding:
    """The finding for addresses none of which took a connection.

    Args:
        state: what is known.
        failed: the addresses, and what happened there.
        evidence: the same as text.
        elsewhere: the URL of a server that does answer, if there is one.
    """
    place = f"{state.dialled}:{state.port}"
    address, error = list(failed.items())[-1]
    if without_ipv6(failed):
        return _ipv6_only(state, evidence)
    timed_out = isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT
    refused = any(isinstance(each, ConnectionRefusedError) for each in failed.values())
    if refused or (_is_local(address) and not timed_out):
        return _closed(state, address, evidence, elsewhere)
    if timed_out:
        return problem(
            "network-timeout",
            f"{place} does not answer: packets to it get lost",
            why="a firewall drops packets without an answer: a security group, a network ACL or a "
            "missing route",
            evidence=evidence,
            fix="Let this machine in: the security group of the database has to allow its port "
            "from here; from outside of the VPC use a tunnel, a VPN or a public address",
            commands=(_probe(state), *_ingress(state, address), *elsewhere),
        )
    return problem(
        "network-unreachable",
        f"this machine has no route to {place}: {said(error)}",
        evidence=evidence,
        fix="Check this machine's network and its route to the database's VPC: a tunnel, a VPN, "
        "peering, or a public address",
        commands=(look(f"ip route get {address[0]}"), *describe(state)),
    )


def _closed(
    state: State, address: Address, evidence: tuple[str, ...], elsewhere: tuple[Command, ...]
) -> Finding:
    local = _is_local(address)
    if elsewhere:
        fix = "A server answers as in this URL: use it, if it is the one that you mean"
    elif local:
        fix = "Start the tunnel, or correct its port"
    else:
        fix = "Correct the port, or start the database: a stopped one refuses connections"
    return problem(
        "port-closed",
        f"no server listens at {state.dialled}:{state.port}",
        evidence=evidence,
        fix=fix,
        commands=(*elsewhere, _probe(state), *(() if local else describe(state))),
    )


def _is_local(address: Address) -> bool:
    return ipaddress.ip_address(address[0].partition("%")[0]).is_loopback


def _ipv6_only(state: State, evidence: tuple[str, ...]) -> Finding:
    return problem(
        "ipv6-only",
        f"{state.dialled} has IPv6 addresses only, and this machine has no IPv6 route",
        why="a database of the network type IPV6, or a name with an AAAA record alone, answers "
        "clients with IPv6",
        evidence=evidence,
        fix="Give the database IPv4 as well, give this machine's subnet IPv6 and a route for it, "
        "or connect through a tunnel",
        commands=(
            look(f"dig +short A {shlex.quote(state.dialled)}"),
            look("ip -6 route show default"),
            *modify(state, "--network-type DUAL"),
        ),
    )


def _probe(state: State) -> Command:
    return look(f"nc -vz -w 5 {shlex.quote(state.dialled)} {state.port}")


def _ingress(state: State, address: Address) -> tuple[Command, ...]:
    """Lets this machine's address through the first security group of the endpoint."""
    shows = describe(state)
    if not shows or state.settled.host.kind not in {"instance", "cluster", "cluster-ro"}:
        return shows
    private = ipaddress.ip_address(address[0].partition("%")[0]).is_private
    here = (own_address(address) if private else None) or _CHECK_IP
    group = shows[0].text.partition(" --query ")[0]
    answer = "DBInstances" if "describe-db-instances" in group else "DBClusters"
    return (
        *shows,
        shell(
            f"aws ec2 authorize-security-group-ingress --region {state.settled.endpoint.region} "
            f"--protocol tcp --port {state.port} --cidr {here}/32 --group-id $({group} --query "
            f"'{answer}[0].VpcSecurityGroups[0].VpcSecurityGroupId' --output text)"
        ),
    )


def said(error: OSError | UnicodeError) -> str:
    """An error of the network in the system's words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
