"""Support for the tests of the doctor: a ward in which a set-up is made ill, and the list of ways.

The faults themselves are in `doctor_faults` and its neighbours, what pasting a fix does is in
`doctor_fixes`.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from odd_servers import accepting
from patience import DEADLINE
from rich.console import Console
from sqlalchemy import URL, create_engine

from sqlalchemy_rds_iam.cli.doctor_report import show
from sqlalchemy_rds_iam.doctor import Report, Status, examine, schedule
from sqlalchemy_rds_iam.testing import AccessKey, RdsEmulator, SignedEndpoint

CANARY = "hunter2-Canary/+="
"""A password that was left in the URL."""


@dataclass
class Ward:
    """The place of one examination.

    Attributes:
        url: what is examined; faults replace it.
        keywords: of ``create_engine()``.
        timeout: the examination's; far more than it takes, as machines may be slow.
        known: what only the user knows: the value of each placeholder in a fix.
        effects: what a command of AWS's or of the machine does here, by a pattern of its text.
    """

    rds: RdsEmulator
    patch: pytest.MonkeyPatch
    directory: Path
    cleanup: contextlib.ExitStack
    url: URL | str = ""
    keywords: dict[str, Any] = field(default_factory=dict)
    timeout: float = DEADLINE
    secrets: set[str] = field(default_factory=set)
    known: dict[str, str] = field(default_factory=dict)
    effects: dict[str, Callable[[], object]] = field(default_factory=dict)

    def use(self, key: AccessKey, **environ: str) -> AccessKey:
        """Have the environment hold `key` instead of the account's own."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            self.patch.delenv(name, raising=False)
        for name, value in {**key.environ(), **environ}.items():
            self.patch.setenv(name, value)
        return key

    def no_keys(self) -> None:
        """Take the keys out of the environment."""
        for name in self.rds.key.environ():
            self.patch.delenv(name)

    def config(self, *lines: str, credentials: bool = False) -> Path:
        """Write one of the shared AWS files."""
        name = "AWS_SHARED_CREDENTIALS_FILE" if credentials else "AWS_CONFIG_FILE"
        file = self.directory / name.lower()
        file.write_text("\n".join(lines) + "\n")
        self.patch.setenv(name, str(file))
        return file

    def options(self, *without: str, **options: str) -> None:
        """Change the URL's options."""
        url = self.rds.url(self.driver, **options)
        self.url = url.difference_update_query(without)

    @property
    def driver(self) -> str:
        """The URL's driver."""
        return (self.url if isinstance(self.url, URL) else self.rds.url()).drivername

    def listener(self, backlog: int = 8) -> int:
        """A port that takes connections, which no program accepts."""
        deaf = socket.socket()
        self.cleanup.enter_context(contextlib.closing(deaf))
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(backlog)
        return int(deaf.getsockname()[1])

    def server(self, serve: Callable[[socket.socket], object]) -> int:
        """The port of a server that does this with each connection, and closes it."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.cleanup.enter_context(accepting(listener, serve, DEADLINE))
        return int(listener.getsockname()[1])

    def speaker(self, greeting: bytes) -> int:
        """The port of a server that says this, and then waits."""

        def speak(client: socket.socket) -> None:
            client.sendall(greeting)
            while client.recv(100):
                pass

        return self.server(speak)

    def stay(self, url: URL | str) -> None:
        """Keep a session open, and forget how it came to be."""
        engine = create_engine(url)
        self.cleanup.callback(engine.dispose)
        self.cleanup.enter_context(engine.connect())
        self.rds.clear()

    def hurry(self, check: str, seconds: float) -> None:
        """Give a check that is going to hang this much time, and no other one less."""
        self.patch.setitem(schedule.SHARES, check, seconds / self.timeout)

    def examine(self) -> Report:
        """Examine the set-up."""
        return examine(self.url, timeout=self.timeout, **self.keywords)


Inject = Callable[[Ward], None]


class Fault(NamedTuple):
    """One way in which a set-up is ill.

    Attributes:
        code: the cause that has to be named first.
        inject: makes the set-up ill.
        by_hand: why its fix cannot be pasted here; None where it is pasted, and has to work.
        family: of the databases that it is a fault of; one of the AWS side may be of any.
    """

    code: str
    inject: Inject
    by_hand: str | None = None
    family: str = "postgresql"


FAULTS: dict[str, Fault] = {}
"""Every fault by its name."""


def fault(
    code: str, *, by_hand: str | None = None, family: str = "postgresql"
) -> Callable[[Inject], Inject]:
    """Add a fault to the list; its name is that of the function."""

    def add(inject: Inject) -> Inject:
        FAULTS[inject.__name__.replace("_", " ")] = Fault(code, inject, by_hand, family)
        return inject

    return add


def pose(ward: Ward, host: str, region: str = "us-east-1") -> None:
    """Have the emulator be another endpoint."""
    gateway = ward.rds.gateway
    ward.patch.setattr(gateway, "_endpoint", SignedEndpoint(host, ward.rds.endpoint.port, region))
    gateway.certificate = ward.rds.certificates.other_host(host)


def printed(report: Report, width: int = 100, *, verbose: bool = True, **console: Any) -> str:
    """A report as the command prints it."""
    output = StringIO()
    show(report, Console(file=output, width=width, highlight=False, **console), verbose=verbose)
    return output.getvalue()


def assert_no_secret(report: Report, ward: Ward) -> None:
    """Nothing of a key, a token or a password is in a report, as text or as data."""
    shown = printed(report) + json.dumps(report.as_data()) + repr(report)
    keys = list(ward.rds.identities._keys.values())
    secrets = {key.secret_key for key in keys} | {key.session_token for key in keys} | ward.secrets
    for secret in filter(None, secrets):
        assert secret not in shown
    assert not re.search(r"[0-9a-f]{64}", shown), "a signature"
    assert "X-Amz-Security-Token" not in shown


def assert_healthy(report: Report, ward: Ward, *warnings: str) -> None:
    """The login works twice, by hand and by the driver, and nothing but these warnings is said."""
    assert report.healthy, printed(report)
    assert [finding.code for finding in report.warnings] == list(warnings)
    statuses = {outcome.check: outcome.status for outcome in report.outcomes}
    if not warnings:
        assert set(statuses.values()) <= {Status.OK, Status.NOTE}, printed(report)
    assert [decision.granted for decision in ward.rds.decisions] == [True, True]
    assert_no_secret(report, ward)
