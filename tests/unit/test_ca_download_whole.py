"""`ca --download` keeps a body only if all of it has come."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from ca_server import cached
from ca_support import BUNDLE, without
from cli_support import shown

from sqlalchemy_rds_iam import RdsIamError, WaitTimeout
from sqlalchemy_rds_iam._tools.ca_download import DownloadError, download

# Certificates that are whole, but not all: nothing in the content tells.
PART = b"".join(
    each + b"-----END CERTIFICATE-----\n"
    for each in BUNDLE.split(b"-----END CERTIFICATE-----\n")[:60]
)


class Raw:
    """Answers each request over HTTPS with bytes as they are, and closes the connection."""

    def __init__(self, authority: trustme.CA) -> None:
        self.answer = b""
        self.drip: float | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._context)
        self.url = f"https://localhost:{self._listener.getsockname()[1]}/bundle.pem"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
                with self._context.wrap_socket(sock, server_side=True) as tls:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += tls.recv(65536)
                    if self.drip is None:
                        tls.sendall(self.answer)
                        tls.unwrap()
                        continue
                    for byte in self.answer:
                        tls.sendall(bytes([byte]))
                        time.sleep(self.drip)
            except OSError:
                if self._listener.fileno() < 0:
                    return


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Raw]:
    """A server that this machine trusts, and that says what it is told."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "public.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
    server = Raw(authority)
    yield server
    server.close()


def _answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


def _chunks(body: bytes, *, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body) + end


CHUNKED, WHOLE = "Transfer-Encoding: chunked", f"Content-Length: {len(BUNDLE)}"
INCOMPLETE: dict[str, tuple[bytes, str]] = {
    "shorter": (_answer(PART, WHOLE), f"{len(PART)} bytes have come, and Content-Length says"),
    "nothing": (_answer(b"", WHOLE), "0 bytes have come"),
    "no-length": (_answer(PART), "does not say how long it is"),
    "http-1.0": (_answer(PART).replace(b"HTTP/1.1", b"HTTP/1.0"), "does not say how long it is"),
    "length-is-no-number": (_answer(PART, "Content-Length: all"), "Content-Length says all"),
    "negative": (_answer(PART, "Content-Length: -1"), "Content-Length says -1"),
    "two-lengths": (
        _answer(PART, f"Content-Length: {len(PART)}", WHOLE),
        f"Content-Length says {len(BUNDLE)}",
    ),
    "partial-content": (
        _answer(PART, f"Content-Length: {len(PART)}", status="206 Partial Content"),
        "HTTP 206 Partial Content",
    ),
    "no-last-chunk": (_answer(_chunks(PART, end=b""), CHUNKED), "IncompleteRead"),
    "half-a-chunk": (_answer(_chunks(BUNDLE)[: len(PART)], CHUNKED), "IncompleteRead"),
    "chunks-and-a-length": (
        _answer(_chunks(PART), CHUNKED, WHOLE),
        f"Content-Length says {len(BUNDLE)}",
    ),
    "encoded": (
        _answer(
            gzip.compress(PART),
            "Content-Encoding: gzip",
            f"Content-Length: {len(gzip.compress(PART))}",
        ),
        "encoded as gzip",
    ),
    "nothing-at-all": (b"", "cannot be fetched"),
    "half-a-header": (b"HTTP/1.1 200 OK\r\nContent-Le", "does not say how long it is"),
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_incomplete(home: Path, raw: Raw, name: str) -> None:
    """What may be a part of it is not kept, nor anything else; what was there before stays."""
    before = without("eu-west-3")
    cached(home).parent.mkdir(parents=True, mode=0o700)
    cached(home).write_bytes(before)
    raw.answer, sentence = INCOMPLETE[name]
    with pytest.raises(DownloadError) as caught:
        download("aws", url=raw.url)
    assert sentence in str(caught.value) or sentence in repr(caught.value.__cause__)
    assert cached(home).read_bytes() == before
    assert [each.name for each in cached(home).parent.iterdir()] == [cached(home).name]
    found = shown("ca", "--download", "--url", raw.url)
    assert (found.code, found.out) == (1, "")


@pytest.mark.parametrize(
    "answer",
    [
        _answer(BUNDLE, WHOLE),
        _answer(BUNDLE, WHOLE, WHOLE),
        _answer(BUNDLE + b"more than that", WHOLE),
        _answer(_chunks(PART, end=b"") + _chunks(BUNDLE[len(PART) :]), CHUNKED),
        _answer(BUNDLE, WHOLE, "Content-Encoding: identity"),
    ],
    ids=["length", "said-twice", "and-more", "chunks", "identity"],
)
def test_complete(home: Path, raw: Raw, answer: bytes) -> None:
    """All of it is kept, in whichever way the server says that it is all."""
    raw.answer = answer
    assert download("aws", url=raw.url).read_bytes() == BUNDLE


def test_dripping(home: Path, raw: Raw) -> None:
    """A server that sends a byte now and then holds up no caller, and no thread for long."""
    raw.answer, raw.drip = _answer(BUNDLE, WHOLE), 0.02
    threads = set(threading.enumerate())
    with pytest.raises((WaitTimeout, DownloadError)) as caught:
        download("aws", url=raw.url, timeout=0.5)
    assert isinstance(caught.value, RdsIamError)

    def left() -> list[Any]:
        return [each for each in threading.enumerate() if each not in threads and each.is_alive()]

    until = time.monotonic() + 60
    while left() and time.monotonic() < until:
        time.sleep(0.02)
    assert left() == []
    assert not cached(home).exists()
