"""Amazon's CA bundle by HTTPS: what is let into the user's cache, and what is not."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from ca_server import GOV, GOV_BUNDLE, Server, cached
from ca_support import BUNDLE, named_ca
from cli_support import URL, shown
from patience import SOON

from sqlalchemy_rds_iam import ConfigError, RdsIamError, WaitTimeout
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam._tools.ca_download import DownloadError, check, download


def _refused(bundle_server: Server, **how: Any) -> str:
    with pytest.raises(RdsIamError) as caught:
        download("aws", **({"url": bundle_server.url} | how))
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "0 certificate authorities are in it"),
        (b"<html>Welcome to the hotel Wi-Fi</html>", "0 certificate authorities are in it"),
        (BUNDLE[:100_000], "is no CA bundle"),
        (BUNDLE[: len(BUNDLE) // 2] + BUNDLE[-100:], "is no CA bundle"),
        (BUNDLE + trustme.CA().cert_pem.bytes(), "there is 'trustme"),
        (BUNDLE + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "1 other"),
        (GOV_BUNDLE, f"has no authority for a region of aws; it has {GOV}"),
        (named_ca("Amazon RDS Root 2019 CA"), "it has none that is good today"),
        ("Amazon RDS é".encode(), "is no CA bundle"),
        (b"x" * 4_100_000, "more than 4000000 bytes"),
    ],
    ids=range(10),
)
def test_no_bundle(home: Path, bundle_server: Server, content: bytes, sentence: str) -> None:
    """What is not Amazon's bundle, whole and alone, is not kept; what was there before stays."""
    download("aws", url=bundle_server.url)
    bundle_server.content = content
    assert sentence in _refused(bundle_server)
    assert cached(home).read_bytes() == BUNDLE


def test_unverified(home: Path, bundle_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that the machine does not trust, or that has another name, is not listened to."""
    assert "certificate" in _refused(
        bundle_server, url=bundle_server.url.replace("localhost", "127.0.0.1")
    )
    monkeypatch.delenv("SSL_CERT_FILE")
    found = shown("ca", "--download", "--url", bundle_server.url)
    assert (found.code, found.out) == (1, "")
    assert "CERTIFICATE_VERIFY_FAILED" in found.err
    assert not bundle_server.asked
    assert not cached(home).exists()


def test_never_in_clear(home: Path, bundle_server: Server) -> None:
    """No other scheme, not by a redirect either; and no password in a URL is repeated."""
    for url in ("http://localhost/x", "file:///etc/passwd", "https://", "nonsense", "https://[x"):
        assert "is no plain https URL" in _refused(bundle_server, url=url)
        assert shown("ca", "--download", "--url", url).code == 2
    assert "sesame" not in _refused(bundle_server, url="https://me:sesame@localhost/x")
    bundle_server.location = "http://localhost/bundle.pem"
    assert "leads to http://localhost/bundle.pem, which is not encrypted" in _refused(bundle_server)
    bundle_server.location = f"https://localhost:{bundle_server.port}/moved"
    assert download("aws", url=bundle_server.url).read_bytes() == BUNDLE


def test_unavailable(home: Path, bundle_server: Server) -> None:
    """An error of the server, and no server, are said in a sentence."""
    bundle_server.status = 403
    assert "HTTP 403" in _refused(bundle_server)
    assert "cannot be fetched: " in _refused(bundle_server, url="https://localhost:1/x")


def test_deadline(home: Path, bundle_server: Server) -> None:
    """A server that keeps silent delays the caller no longer than the timeout."""
    bundle_server.gate.clear()
    began = time.monotonic()
    with pytest.raises((WaitTimeout, DownloadError)):
        download("aws", url=bundle_server.url, timeout=0.3)
    assert time.monotonic() - began < SOON


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory another user's")
def test_others_directory(home: Path, bundle_server: Server) -> None:
    """A directory in others' hands is not used, whichever user wrote what is in it."""
    cached(home).parent.mkdir(parents=True)
    os.chown(cached(home).parent, 1234, 1234)
    found = shown("ca", "--download", "--url", bundle_server.url)
    assert found.code == 1
    assert "others than you decide what is in" in found.err


def test_writable_by_others(home: Path, bundle_server: Server) -> None:
    """So is one that others may write."""
    cached(home).parent.mkdir(parents=True)
    cached(home).parent.chmod(0o777)
    assert shown("ca", "--download", "--url", bundle_server.url).code == 1
    assert not cached(home).exists()


def test_checked_by_itself() -> None:
    """A library user may check what came another way."""
    assert len(check(BUNDLE, "aws", "a file").authorities) == 121
    with pytest.raises(DownloadError, match="a file is no CA bundle"):
        check(b"", "aws", "a file")
    with pytest.raises(ConfigError, match="name its URL"):
        download("aws-iso")


def test_no_other_download(
    home: Path, bundle_server: Server, monkeypatch: pytest.MonkeyPatch, rds: Any
) -> None:
    """Without --download nothing is fetched, although there is no bundle."""
    monkeypatch.setitem(trust.BUNDLE_URLS, "aws", bundle_server.url)
    for command in (["ca"], ["ca", URL], ["exec", URL, "--retry=1", "--", "true"], ["bench", URL]):
        assert shown(*command).code != 0
    assert not bundle_server.asked


@pytest.mark.parametrize("partition", trust.BUNDLE_URLS)
def test_own_urls(partition: str) -> None:
    """Each partition's bundle comes from a host of Amazon's, encrypted."""
    url = trust.BUNDLE_URLS[partition]
    assert url.startswith("https://")
    assert url.endswith("/global/global-bundle.pem")
    assert ("amazonaws.com.cn" in url, "us-gov" in url) == (
        partition == "aws-cn",
        partition == "aws-us-gov",
    )
