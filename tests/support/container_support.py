"""An agent that has a container's credentials, on loopback: it answers what a test tells it to."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from odd_servers import accepting
from patience import DEADLINE

PATH = "/v1/credentials"
KEYS = {
    "AccessKeyId": "ASIAIOSFODNN7EXAMPLE",
    "SecretAccessKey": "canary-secret-of-the-container",
    "Token": "canary-session-of-the-container",
}


class FakeAgent:
    """A server that sends bytes as they are, one answer after the other, the last for ever.

    Attributes:
        url: where it is.
        answers: what is sent, and then the connection is closed; None sends nothing, and a single
            byte is sent again and again. Nothing is closed then until the client does so.
        requests: what has arrived.
    """

    def __init__(self, server: socket.socket) -> None:
        host, self.port = server.getsockname()[:2]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self.answers: Sequence[bytes | None] = [good()]
        self.requests: list[bytes] = []
        self.left: list[bytes] = []

    def reset(self, answers: Sequence[bytes | None]) -> None:
        """Begin afresh with other answers."""
        self.answers, self.requests = answers, []

    def serve(self, client: socket.socket) -> None:
        """Answer one request."""
        request = b""
        while b"\r\n\r\n" not in request:
            if not (more := client.recv(4096)):
                return
            request += more
            if request[0] < ord("A"):  # TLS
                return
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if answer is not None and len(answer) != 1:
            client.sendall(answer)
            return
        client.settimeout(0.01)
        while True:
            with contextlib.suppress(TimeoutError):
                if not client.recv(1):
                    self.left.append(request)
                    return
            client.sendall(answer or b"")


@contextlib.contextmanager
def fake_agent(host: str = "127.0.0.1") -> Iterator[FakeAgent]:
    """An agent that listens on `host`, on a port that the system chooses."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.create_server((host, 0), family=family, backlog=64)
    agent = FakeAgent(server)
    with accepting(server, agent.serve, DEADLINE):
        yield agent


def document(**fields: Any) -> bytes:
    """What an agent says: good keys for six hours, with other fields, without those of None."""
    said = {**KEYS, "Expiration": in_seconds(6 * 3600), "RoleArn": "arn:aws:iam::1:role/task"}
    left = {name: value for name, value in (said | fields).items() if value is not None}
    return json.dumps(left).encode()


def good(body: bytes | None = None, *headers: str, status: str = "200 OK") -> bytes:
    """An answer of HTTP, with the usual headers."""
    body = document() if body is None else body
    lines = (f"HTTP/1.1 {status}", "Content-Type: application/json", "Connection: close", *headers)
    lengths = () if "Transfer-Encoding: chunked" in headers else (f"Content-Length: {len(body)}",)
    return "\r\n".join((*lines, *lengths, "", "")).encode() + body


def chunked(body: bytes) -> bytes:
    """The same in two chunks, as servers written in Go send what is longer than 2,048 bytes."""
    chunks = (body[:10], body[10:], b"")
    sent = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return good(sent, "Transfer-Encoding: chunked")


def in_seconds(seconds: float) -> str:
    """So many seconds from now, as an agent writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
