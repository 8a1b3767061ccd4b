"""A server of CA bundles on loopback, and where they are to arrive."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import trustme
from ca_support import BUNDLE, named_ca
from patience import DEADLINE

from sqlalchemy_rds_iam._tls import private_files

GOV = "us-gov-west-1"
GOV_BUNDLE = named_ca(f"Amazon RDS {GOV} Root CA RSA2048 G1")


def cached(home: Path, name: str = "global-bundle.pem") -> Path:
    """Where the bundle is kept below `home`."""
    return home / ".cache" / private_files.CACHE / name


class Server:
    """Serves what it is told over HTTPS."""

    def __init__(self, authority: trustme.CA) -> None:
        self.content = BUNDLE
        self.status = 200
        self.location: str | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.headers["User-Agent"])
                server.gate.wait(DEADLINE)
                moved = server.location if self.path != "/moved" else None
                self.send_response(302 if moved else server.status)
                if moved:
                    self.send_header("Location", moved)
                self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                self.wfile.write(server.content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/global-bundle.pem"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE)
