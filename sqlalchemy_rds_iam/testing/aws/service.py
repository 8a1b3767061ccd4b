"""One emulated AWS service: an HTTP server on loopback, its faults and its record of requests.

A service answers synchronously from memory; everything slow or broken is a knob here, so STS,
instance metadata and container credentials all fail in the same ways.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Literal

from aiohttp import web

from sqlalchemy_rds_iam.testing.aws.identities import Identities

_STOP_SECONDS = 1.0


class AwsError(Exception):
    """A refusal in AWS's terms: an HTTP status, an error code and a sentence.

    Each service writes it in its own format. Give one to `Service.fail` to make calls fail with it.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


Failure = AwsError | Literal["garbage", "reset", "hang"]


@dataclass(frozen=True)
class Call:
    """A request as it came over the wire: `target` is the path and query, still encoded."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The encoded path, without the query."""
        # Not urlsplit, which takes what follows two slashes for a host.
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The encoded query, without the question mark."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first header called `name`, in any case; None when there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class Record:
    """A request that reached a service. `status` stays None for one that got no answer."""

    time: float
    operation: str
    access_key: str | None
    status: int | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)


class Service(ABC):
    """The common part of the emulated services. Knobs and records may be used from any thread.

    Attributes:
        latency: Seconds every answer is held back.
        hang_seconds: The most a call failing with ``"hang"`` is kept; then it is reset.
    """

    name = "service"

    def __init__(self, identities: Identities) -> None:
        self.latency = 0.0
        self.hang_seconds = 60.0
        self._identities = identities
        self._lock = threading.Lock()
        self._records: list[Record] = []
        self._failure: Failure | None = None
        self._failing_operation: str | None = None
        self._failures_left: int | None = None
        self._runner: web.ServerRunner | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash.

        Raises:
            RuntimeError: The service is not running.
        """
        if self._url is None:
            raise RuntimeError(
                f"The {self.name} endpoint has no address while it is stopped: await start() first"
            )
        return self._url

    @property
    def records(self) -> tuple[Record, ...]:
        """Every request so far, in the order of arrival."""
        with self._lock:
            return tuple(self._records)

    @property
    def calls(self) -> Counter[str]:
        """How many requests arrived, by operation; those still waiting for an answer count."""
        return Counter(record.operation for record in self.records)

    def fail(
        self, failure: Failure, *, times: int | None = None, operation: str | None = None
    ) -> None:
        """Make calls fail from now on, in place of any failure set before.

        Args:
            failure: An `AwsError` to answer; ``"garbage"``, a success that cannot be parsed;
                ``"reset"``, a connection closed without an answer; ``"hang"``, no answer until
                `hang_seconds` have passed, the client gives up or the service stops.
            times: Fail only so many calls, then recover; None goes on until `recover`.
            operation: Fail only this operation, named as in `calls`; None fails all.
        """
        with self._lock:
            self._failure = failure
            self._failures_left = times
            self._failing_operation = operation

    def recover(self) -> None:
        """Answer normally again."""
        with self._lock:
            self._failure = None

    async def start(self) -> None:
        """Listen on 127.0.0.1, on a port the system chooses, on the running event loop.

        Raises:
            RuntimeError: The service is running already.
        """
        if self._runner is not None:
            raise RuntimeError(f"The {self.name} endpoint is running already at {self._url}")
        server = web.Server(
            self._handle,
            access_log=None,  # it would hold query strings
            auto_decompress=False,  # signatures cover the body as sent
            handler_cancellation=True,  # a hung call should not outlive its client
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_STOP_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening and drop the calls still waiting, within about a second. Idempotent."""
        runner, self._runner, self._url = self._runner, None, None
        if runner is None:
            return
        for site in runner.sites:
            await site.stop()
        if runner.server is not None:
            # aiohttp would first wait its whole shutdown timeout for the hung ones.
            for connection in runner.server.connections:
                connection.force_close()
        await runner.cleanup()

    @abstractmethod
    def operation(self, call: Call) -> str:
        """The name under which `call` is recorded; never text that could hold a secret."""

    def caller(self, call: Call) -> str | None:  # noqa: ARG002  most services have anonymous callers
        """The access key id `call` claims to be signed with, if any."""
        return None

    def arguments(self, call: Call) -> Mapping[str, str]:  # noqa: ARG002  most record none
        """Which parameters of `call` are recorded; never one that could hold a secret."""
        return {}

    @abstractmethod
    def answer(self, call: Call) -> web.Response:
        """Do what `call` asks.

        Raises:
            AwsError: It is refused.
        """

    @abstractmethod
    def refusal(self, error: AwsError) -> web.Response:
        """`error` in this service's format."""

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        call = Call(request.method, request.raw_path, tuple(request.headers.items()), body)
        record = Record(
            self._identities.clock(),
            self.operation(call),
            self.caller(call),
            arguments=self.arguments(call),
        )
        with self._lock:
            self._records.append(record)
            failure = self._next_failure(record.operation)
        await self._hold_back()
        if failure == "hang":
            await asyncio.sleep(self.hang_seconds)
        if failure in ("hang", "reset"):
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        response = self._respond(call, failure)
        # Clients measure their clock against this header, so it follows the emulated clock.
        response.headers["Date"] = formatdate(self._identities.clock(), usegmt=True)
        record.status = response.status
        return response

    async def _hold_back(self) -> None:
        await asyncio.sleep(self.latency)

    def _respond(self, call: Call, failure: Failure | None) -> web.Response:
        if failure == "garbage":
            return web.Response(text="<html>Welcome to the hotel Wi-Fi", content_type="text/html")
        if isinstance(failure, AwsError):
            return self.refusal(failure)
        try:
            return self.answer(call)
        except AwsError as error:
            return self.refusal(error)

    def _next_failure(self, operation: str) -> Failure | None:
        if self._failing_operation not in (None, operation):
            return None
        failure = self._failure
        if failure is not None and self._failures_left is not None:
            self._failures_left -= 1
            if self._failures_left <= 0:
                self._failure = None
        return failure


def timestamp(seconds: float) -> str:
    """Epoch seconds as the ISO 8601 text AWS uses in credentials.

    It keeps milliseconds, as the sample of the STS API reference does, because credentials made to
    live a few seconds should expire when they say they do.
    """
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
