"""Support for the tests of the doctor: a ward in which a set-up is made ill, and the list of ways.

The faults themselves are in `doctor_faults` and `doctor_faults_aws`.
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
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import URL

from sqlalchemy_rds_iam.cli.doctor_report import show
from sqlalchemy_rds_iam.doctor import Report, examine
from sqlalchemy_rds_iam.testing import AccessKey, RdsEmulator, SignedEndpoint

CANARY = "hunter2-Canary/+="
"""A password that was left in the URL."""


@dataclass
class Ward:
    """The place of one examination.

    Attributes:
        url: what is examined; faults replace it.
        keywords: of ``create_engine()``.
        timeout: the examination's.
    """

    rds: RdsEmulator
    patch: pytest.MonkeyPatch
    directory: Path
    cleanup: contextlib.ExitStack
    url: URL | str = ""
    keywords: dict[str, Any] = field(default_factory=dict)
    timeout: float = 10.0
    secrets: set[str] = field(default_factory=set)

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

    def options(self, *without: str, **options: str) -> None:
        """Change the URL's options."""
        url = self.rds.url(self.driver, **options)
        self.url = url.difference_update_query(without)

    @property
    def driver(self) -> str:
        """The URL's driver."""
        return self.url.drivername if isinstance(self.url, URL) else "postgresql+psycopg"

    def listener(self, backlog: int = 8) -> int:
        """A port that takes connections, which no program accepts."""
        deaf = socket.socket()
        self.cleanup.enter_context(contextlib.closing(deaf))
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(backlog)
        return int(deaf.getsockname()[1])

    def examine(self) -> Report:
        """Examine the set-up."""
        return examine(self.url, timeout=self.timeout, **self.keywords)


Fault = Callable[[Ward], None]

FAULTS: dict[str, tuple[str, Fault]] = {}
"""Every fault by its name, with the code that has to be named first."""


def fault(code: str) -> Callable[[Fault], Fault]:
    """Add a fault to the list; its name is that of the function."""

    def add(inject: Fault) -> Fault:
        FAULTS[inject.__name__.replace("_", " ")] = code, inject
        return inject

    return add


def pose(ward: Ward, host: str, region: str = "us-east-1") -> None:
    """Have the emulator be another endpoint."""
    gateway = ward.rds.gateway
    ward.patch.setattr(gateway, "_endpoint", SignedEndpoint(host, 5432, region))
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
