"""The fixtures of the CA file's tests: a home of their own, and a server to download from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from ca_server import Server

from sqlalchemy_rds_iam._tls import trust


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of this test's own, and no bundle anywhere else."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(trust, "_RDS_BUNDLES", (str(tmp_path / "machine.pem"),))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def bundle_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An HTTPS server that this machine trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "public.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
    with Server(authority) as server:
        yield server
