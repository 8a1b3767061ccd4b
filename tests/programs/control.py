"""Where a job asks for the rollover, and says what it found: HTTP on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_LONGEST_BODY = 1_000_000


@contextmanager
def served(
    roll_over: Callable[[], None], report: Callable[[dict[str, Any]], None]
) -> Iterator[str]:
    """Serve one job; the address.

    Args:
        roll_over: Called for POST ``/rollover``, which is answered when it returns.
        report: Called with the JSON of POST ``/report``.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = min(int(self.headers.get("Content-Length") or 0), _LONGEST_BODY)
            body = json.loads(self.rfile.read(size) or "null")
            if self.path == "/rollover":
                roll_over()
            elif self.path == "/report":
                report(body)
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="control", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10.0)
