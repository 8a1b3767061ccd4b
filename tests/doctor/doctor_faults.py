"""Faults of names and of the network."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import contextlib
import errno
import importlib.util
import socket
import threading
from collections.abc import Callable
from typing import Any

from doctor_faults_url import GLOBAL
from doctor_support import Ward, fault, pose
from odd_servers import closed_port
from patience import DEADLINE

from sqlalchemy_rds_iam.doctor import dialing, network
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.testing import SignedEndpoint

ALIAS = "localhost"
NETWORK = "a security group, a route or a resolver is to be changed"
NAMED = "NAME.HASH.REGION.rds.amazonaws.com"


@fault("name-not-endpoint")
def cname_that_is_not_explained(ward: Ward) -> None:
    from dns_support import dns_server

    ward.cleanup.enter_context(dns_server()).point(ALIAS, ward.rds.endpoint.host)
    ward.rds.gateway.certificate = ward.rds.certificates.other_host(ward.rds.endpoint.host)
    ward.options("rds_iam_host")
    ward.url = ward.url.set(host=ALIAS)  # type: ignore[union-attr]


@fault("name-not-endpoint")
def alias_without_dnspython(ward: Ward) -> None:
    find = importlib.util.find_spec
    ward.patch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "dns" else find(name)
    )
    found = ("ec2-1-2-3-4.compute-1.amazonaws.com", [ALIAS, ward.rds.endpoint.host], ["127.0.0.1"])
    ward.patch.setattr(socket, "gethostbyname_ex", lambda _: found)
    ward.rds.gateway.certificate = ward.rds.certificates.other_host(ward.rds.endpoint.host)
    ward.options("rds_iam_host")
    ward.url = ward.url.set(host=ALIAS)  # type: ignore[union-attr]


@fault("name-not-endpoint")
def address_instead_of_a_name(ward: Ward) -> None:
    ward.rds.gateway.certificate = ward.rds.certificates.other_host(ward.rds.endpoint.host)
    ward.options("rds_iam_host")


@fault("cname-lost")
def cname_that_leads_nowhere(ward: Ward) -> None:
    from dns_support import dns_server

    ward.cleanup.enter_context(dns_server()).point(ALIAS, "primary.example.com")
    ward.options("rds_iam_host", rds_iam_resolve_cname="on")
    ward.url = ward.url.set(host=ALIAS)  # type: ignore[union-attr]
    ward.known[NAMED] = ward.rds.endpoint.host


@fault("region-wrong")
def global_writer_moved_to_another_region(ward: Ward) -> None:
    from dns_support import dns_server

    writer = "app.cluster-abc123.us-east-1.rds.amazonaws.com"
    ward.cleanup.enter_context(dns_server()).point(ALIAS, GLOBAL, writer)
    pose(ward, GLOBAL)
    ward.options("rds_iam_host", rds_iam_resolve_cname="on", rds_iam_region="eu-west-1")
    ward.url = ward.url.set(host=ALIAS)  # type: ignore[union-attr]


def _resolve(ward: Ward, answer: Callable[..., Any]) -> None:
    ward.patch.setattr(socket, "getaddrinfo", answer)
    ward.url = ward.rds.url().set(host="db.example.com")


def _no_dns(ward: Ward, code: int) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(code, "no answer")

    ward.patch.setattr(network, "_chain", lambda *_: [])
    _resolve(ward, fail)


@fault("dns-unknown", by_hand="the right name is the user's to know")
def host_that_does_not_exist(ward: Ward) -> None:
    _no_dns(ward, socket.EAI_NONAME)


@fault("dns-failed", by_hand=NETWORK)
def resolver_out_of_order(ward: Ward) -> None:
    _no_dns(ward, socket.EAI_AGAIN)


@fault("dns-late", by_hand=NETWORK)
def resolver_that_hangs(ward: Ward) -> None:
    end, find = threading.Event(), socket.getaddrinfo
    ward.cleanup.callback(end.set)
    _no_dns(ward, 0)

    # Not for STS, which would have as much time as for an answer of its own.
    def hang(host: Any, *more: Any, **by: Any) -> Any:
        its = host == "db.example.com"
        return (end.wait(DEADLINE) and []) if its else find(host, *more, **by)

    _resolve(ward, hang)
    ward.hurry("Network", 0.5)


@fault("port-closed", by_hand="a server is to be started")
def network_closed(ward: Ward) -> None:
    ward.url = ward.rds.url().set(port=closed_port())


@fault("port-closed")
def port_beside_the_right_one(ward: Ward) -> None:
    name, port = "db.example.com", ward.rds.address[1]
    ward.patch.setattr(network, "_chain", lambda *_: [])
    ward.patch.setattr(State, "usual_port", port)
    find = socket.getaddrinfo
    ward.patch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **by: find("127.0.0.1" if host == name else host, *more, **by),
    )
    ward.url = ward.rds.url().set(host=name, port=closed_port())


@fault("port-closed")
def tunnel_on_the_other_loopback_address(ward: Ward) -> None:
    ward.url = ward.rds.url().set(host="::1")


@fault("network-timeout", by_hand=NETWORK)
def security_group_that_drops_packets(ward: Ward) -> None:
    port = ward.listener(backlog=0)
    # A client that comes when the queue of a listener is full gets no answer.
    for _ in range(4):
        queued = socket.socket()
        ward.cleanup.enter_context(contextlib.closing(queued))
        queued.setblocking(False)
        assert queued.connect_ex(("127.0.0.1", port)) in {0, errno.EINPROGRESS}
    ward.url = ward.rds.url().set(port=port)
    ward.hurry("Network", 1.0)


@fault("network-unreachable", by_hand=NETWORK)
def no_route(ward: Ward) -> None:
    # A broadcast address takes no TCP connection, on every system.
    ward.url = ward.rds.url().set(host="255.255.255.255")


@fault("ipv6-only")
def ipv6_alone(ward: Ward) -> None:
    find, begin, own = socket.getaddrinfo, dialing._begin, dialing.own_address
    alone = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 5432, 0, 0))]

    def refuse(address: tuple[str, int]) -> Any:
        if ":" in address[0]:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return begin(address)

    ward.patch.setattr(socket, "getaddrinfo", lambda *_, **__: alone)
    ward.patch.setattr(dialing, "_begin", refuse)
    ward.patch.setattr(dialing, "own_address", lambda a: None if ":" in a[0] else own(a))
    ward.effects["modify-db-instance .*--network-type DUAL"] = lambda: ward.patch.setattr(
        socket, "getaddrinfo", find
    )
    # The name of a machine, as an address is not looked up.
    ward.url = ward.rds.url().set(host="localhost")


@fault("server-silent", by_hand="a server is to be repaired")
def load_balancer_without_a_server(ward: Ward) -> None:
    ward.url = ward.rds.url().set(port=ward.listener())
    ward.hurry("TLS", 1.0)


@fault("connection-closed", by_hand="a tunnel is to be repaired")
def tunnel_whose_far_end_is_gone(ward: Ward) -> None:
    ward.url = ward.rds.url().set(port=ward.server(lambda client: client.close()))


@fault("not-postgres", by_hand="the right port is the user's to know")
def another_service_at_this_port(ward: Ward) -> None:
    ward.url = ward.rds.url().set(port=int(ward.rds.aws.sts_url.rpartition(":")[2]))


@fault("not-postgres", by_hand="the right port is the user's to know")
def port_of_ssh(ward: Ward) -> None:
    """Its greeting begins with the letter by which PostgreSQL agrees to TLS."""
    ward.url = ward.rds.url().set(port=ward.speaker(b"SSH-2.0-OpenSSH_9.2\r\n"))


@fault("not-postgres", by_hand="the right port is the user's to know")
def port_of_mysql(ward: Ward) -> None:
    ward.url = ward.rds.url().set(port=ward.speaker(b"J\0\0\0\n8.0.35\0 and more"))


@fault("server-refused", by_hand="the server is short of memory")
def server_that_cannot_start_a_process(ward: Ward) -> None:
    words = b"Ecould not fork new process for connection: Cannot allocate memory\n\0"
    ward.url = ward.rds.url().set(port=ward.speaker(words))


# Host and port that are signed.


@fault("port-wrong")
def swapped_port(ward: Ward) -> None:
    ward.options("rds_iam_port")


@fault("port-wrong")
def port_without_a_server(ward: Ward) -> None:
    host, port = ward.rds.endpoint.host, ward.rds.address[1]
    ward.patch.setattr(ward.rds.gateway, "_endpoint", SignedEndpoint(host, port, "us-east-1"))
    ward.options(rds_iam_port="5432")


@fault("region-wrong")
def wrong_region_where_the_name_says_none(ward: Ward) -> None:
    pose(ward, GLOBAL)
    ward.options(rds_iam_host=GLOBAL, rds_iam_region="eu-west-1")


@fault("host-wrong")
def wrong_host_without_verification(ward: Ward) -> None:
    other = "other-db.c0ffee123456.us-east-1.rds.amazonaws.com"
    ward.options(rds_iam_host=other, rds_iam_tls="require")
