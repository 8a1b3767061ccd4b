"""Faults of the URL, of names, the network and TLS."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import threading
from typing import Any

from doctor_support import CANARY, Ward, fault, pose
from patience import DEADLINE

from sqlalchemy_rds_iam.doctor import network

ALIAS = "localhost"
GLOBAL = "app.global-abc123.global.rds.amazonaws.com"


# The URL and its options.


@fault("tls-weak")
def weak_sslmode(ward: Ward) -> None:
    ward.options(sslmode="prefer")


@fault("region-wrong")
def wrong_region(ward: Ward) -> None:
    ward.options(rds_iam_region="eu-west-1")


@fault("password-in-url")
def password_in_the_url(ward: Ward) -> None:
    ward.secrets.add(CANARY)
    ward.url = ward.rds.url().set(password=CANARY)


@fault("option-unknown")
def option_misspelled(ward: Ward) -> None:
    ward.options(rds_iam_reigon="us-east-1")


@fault("ca-file")
def ca_file_missing(ward: Ward) -> None:
    ward.options(rds_iam_ca=str(ward.directory / "nowhere.pem"))


@fault("driver-missing")
def driver_not_installed(ward: Ward) -> None:
    ward.url = ward.rds.url("postgresql+nosuchdriver")


@fault("driver-unknown")
def driver_not_supported(ward: Ward) -> None:
    ward.url = "sqlite:///nowhere.db?plugin=rds_iam"


@fault("url-unreadable")
def url_unreadable(ward: Ward) -> None:
    ward.secrets.add(CANARY)
    ward.url = f"app:{CANARY}@db.example.com/app"


@fault("region-unknown")
def region_unknown(ward: Ward) -> None:
    ward.patch.delenv("AWS_REGION")
    ward.patch.delenv("AWS_DEFAULT_REGION")
    ward.options("rds_iam_host")


@fault("plugin-owners")
def two_plugin_owners(ward: Ward) -> None:
    own_as_well(ward, "rds_iam")


def own_as_well(ward: Ward, plugin: str) -> None:
    """Install another package that registers a plugin's name."""
    metadata = ward.directory / "sqlalchemy_rds_iam_auth_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: sqlalchemy-rds-iam-auth-plugin\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(
        f"[sqlalchemy.plugins]\n{plugin} = sqlalchemy_rds_iam.auth_plugin:Plugin\n"
    )
    ward.patch.setattr(sys, "path", [*sys.path, str(ward.directory)])


# Names and the network.


@fault("name-not-endpoint")
def cname_that_is_not_explained(ward: Ward) -> None:
    from dns_support import dns_server

    ward.cleanup.enter_context(dns_server()).point(ALIAS, ward.rds.endpoint.host)
    ward.rds.gateway.certificate = ward.rds.certificates.other_host(ward.rds.endpoint.host)
    ward.options("rds_iam_host")
    ward.url = ward.url.set(host=ALIAS)


@fault("name-not-endpoint")
def address_instead_of_a_name(ward: Ward) -> None:
    ward.rds.gateway.certificate = ward.rds.certificates.other_host(ward.rds.endpoint.host)
    ward.options("rds_iam_host")


@fault("cname-lost")
def cname_that_leads_nowhere(ward: Ward) -> None:
    from dns_support import dns_server

    ward.cleanup.enter_context(dns_server()).point(ALIAS, "primary.example.com")
    ward.options("rds_iam_host", rds_iam_resolve_cname="on")
    ward.url = ward.url.set(host=ALIAS)


@fault("region-wrong")
def global_writer_moved_to_another_region(ward: Ward) -> None:
    from dns_support import dns_server

    writer = "app.cluster-abc123.us-east-1.rds.amazonaws.com"
    ward.cleanup.enter_context(dns_server()).point(ALIAS, GLOBAL, writer)
    pose(ward, GLOBAL)
    ward.options("rds_iam_host", rds_iam_resolve_cname="on", rds_iam_region="eu-west-1")
    ward.url = ward.url.set(host=ALIAS)


def _no_dns(ward: Ward, code: int) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(code, "no answer")

    ward.patch.setattr(network, "_DNS_SECONDS", 0.0)
    ward.patch.setattr(network.socket, "getaddrinfo", fail)
    ward.url = ward.rds.url().set(host="db.example.com")


@fault("dns-unknown")
def host_that_does_not_exist(ward: Ward) -> None:
    _no_dns(ward, socket.EAI_NONAME)


@fault("dns-failed")
def resolver_out_of_order(ward: Ward) -> None:
    _no_dns(ward, socket.EAI_AGAIN)


@fault("dns-late")
def resolver_that_hangs(ward: Ward) -> None:
    _no_dns(ward, 0)
    end = threading.Event()
    ward.cleanup.callback(end.set)
    ward.patch.setattr(network.socket, "getaddrinfo", lambda *_, **__: end.wait(DEADLINE) and [])
    ward.timeout = 0.2


@fault("port-closed")
def network_closed(ward: Ward) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    ward.url = ward.rds.url().set(port=port)


@fault("network-timeout")
def security_group_that_drops_packets(ward: Ward) -> None:
    port = ward.listener(backlog=0)
    # A client that comes when the queue of a listener is full gets no answer.
    for _ in range(4):
        queued = socket.socket()
        ward.cleanup.enter_context(contextlib.closing(queued))
        queued.setblocking(False)
        assert queued.connect_ex(("127.0.0.1", port)) in {0, errno.EINPROGRESS}
    ward.url, ward.timeout = ward.rds.url().set(port=port), 0.5


@fault("network-unreachable")
def no_route(ward: Ward) -> None:
    # A broadcast address takes no TCP connection, on every system.
    ward.url = ward.rds.url().set(host="255.255.255.255")


@fault("server-silent")
def load_balancer_without_a_server(ward: Ward) -> None:
    ward.url, ward.timeout = ward.rds.url().set(port=ward.listener()), 0.5


@fault("not-postgres")
def another_service_at_this_port(ward: Ward) -> None:
    ward.url = ward.rds.url().set(port=int(ward.rds.aws.sts_url.rpartition(":")[2]))


# TLS.


@fault("tls-declined")
def tls_downgrade(ward: Ward) -> None:
    ward.rds.gateway.decline_tls = True


@fault("certificate-untrusted")
def wrong_ca(ward: Ward) -> None:
    ward.rds.gateway.certificate = ward.rds.certificates.unrelated()


@fault("certificate-name")
def wrong_name(ward: Ward) -> None:
    ward.rds.gateway.certificate = ward.rds.certificates.other_host()


@fault("certificate-expired")
def expired_server_certificate(ward: Ward) -> None:
    ward.rds.gateway.certificate = ward.rds.certificates.expired()
