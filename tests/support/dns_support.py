"""A DNS server on loopback, UDP and TCP, for one test's CNAME records and faults."""

from __future__ import annotations

import itertools
import selectors
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from patience import DEADLINE

from sqlalchemy_rds_iam.testing import RdsEmulator

ALIAS = "localhost"
"""A name that is no endpoint's and that every machine resolves: what drivers dial."""
MACHINE = "ec2-18-1-2-3.compute-1.amazonaws.com"
"""What lies beyond an endpoint name, and nothing is signed for."""


class DnsServer:
    """Answers for what `point` has said; a context manager.

    A name that something leads to exists, without a CNAME record of its own; any other does not.

    Attributes:
        fault: None, "servfail", "silence" (no answer at all) or "truncate" (no more than a hint to
            ask by TCP, where there is an answer).
        gate: answers wait until it is set.
        questions: the names asked for so far.
        by_tcp: how many of them came by TCP.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.questions: list[str] = []
        self.by_tcp = 0
        self._records: dict[str, tuple[str, int]] = {}
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.bind(self._tcp.getsockname())
        self._bell, self._ring = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.gate.set()
        self._ring.close()
        self._thread.join(DEADLINE)
        for sock in (self._tcp, self._udp, self._bell):
            sock.close()

    def resolver(self) -> dns.resolver.Resolver:
        """A resolver that asks this server."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self._tcp.getsockname()[1]
        return resolver

    def point(self, *names: str, ttl: int = 60) -> None:
        """Have each of `names` lead to the next one."""
        for name, target in itertools.pairwise(names):
            self._records[name] = target, ttl

    def remove(self, name: str) -> None:
        """Take the record of `name` away again."""
        del self._records[name]

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (self._tcp, self._udp, self._bell):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._bell:
                        return
                    with suppress(OSError):
                        if key.fileobj is self._udp:
                            self._answer_datagram()
                        else:
                            self._answer_stream()

    def _answer_datagram(self) -> None:
        wire, client = self._udp.recvfrom(4096)
        if (response := self._response(wire)) is None:
            return
        if self.fault == "truncate":
            response.answer.clear()
            response.flags |= dns.flags.TC
        self._udp.sendto(response.to_wire(), client)

    def _answer_stream(self) -> None:
        client, _ = self._tcp.accept()
        with client, client.makefile("rb") as stream:
            [length] = struct.unpack("!H", stream.read(2))
            self.by_tcp += 1
            if (response := self._response(stream.read(length))) is not None:
                wire = response.to_wire()
                client.sendall(struct.pack("!H", len(wire)) + wire)

    def _response(self, wire: bytes) -> dns.message.Message | None:
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        self.questions.append(name)
        self.gate.wait(DEADLINE)
        if self.fault == "silence":
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if self.fault == "servfail":
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name in self._records:
            target, ttl = self._records[name]
            owner = query.question[0].name
            response.answer.append(dns.rrset.from_text(owner, ttl, "IN", "CNAME", f"{target}."))
        elif name not in {target for target, _ in self._records.values()}:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response


@contextmanager
def dns_server() -> Iterator[DnsServer]:
    """A DNS server that dnspython asks meanwhile."""
    with DnsServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(dns.resolver, "default_resolver", server.resolver())
        yield server


@contextmanager
def aliased(rds: RdsEmulator) -> Iterator[DnsServer]:
    """DNS, for which `ALIAS` stands for the emulator; whose certificate does not name it."""
    with dns_server() as server:
        server.point(ALIAS, rds.endpoint.host, MACHINE)
        rds.gateway.certificate = rds.certificates.other_host(rds.endpoint.host)
        yield server
