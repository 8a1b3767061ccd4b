"""Amazon's CA bundle, fetched over verified HTTPS when a user asks for it; never by an engine.

What is fetched decides whom connections trust, so nothing is kept that is not, as a whole,
certificate authorities of Amazon RDS.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from sqlalchemy_rds_iam import __version__
from sqlalchemy_rds_iam._concurrency import call_with_timeout
from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam._tls import private_files, trust
from sqlalchemy_rds_iam._tools.ca_inventory import Inventory, inventory
from sqlalchemy_rds_iam.errors import ConfigError, RdsIamError, WaitTimeout

_LARGEST = 4_000_000
_CHUNK = 65_536
_PREFIXES = {"aws-cn": "cn-", "aws-us-gov": "us-gov-"}


class DownloadError(RdsIamError):
    """The bundle could not be fetched, or is none."""

    retryable = True


def download(partition: str, *, url: str | None = None, timeout: float = 30.0) -> Path:
    """Fetch the bundle of a partition into the user's cache, where every engine looks for it.

    Args:
        partition: ``aws``, ``aws-cn`` or ``aws-us-gov``; any other one with a `url`.
        url: a mirror of it, https only.
        timeout: seconds for all of it.

    Returns:
        The file. What was there before stays until the new one is whole.

    Raises:
        ConfigError: no https URL, or none is known for the partition.
        DownloadError: it cannot be fetched, or is no bundle of that partition's.
        WaitTimeout: not in time.
        OSError: there is no place to keep it.
    """
    url = url or trust.BUNDLE_URLS.get(partition)
    if url is None:
        raise ConfigError(
            f"it is not known where Amazon publishes the bundle of {partition!r}: name its URL"
        )
    _checked_url(url)
    try:
        content = call_with_timeout(timeout, lambda: _fetched(url, timeout))
    except RdsIamError:
        raise
    except TimeoutError:
        raise WaitTimeout(f"{url} has not been fetched within {timeout:g} s") from None
    check(content, partition, url)
    return private_files.keep(content, trust.bundle_name(partition))


def check(content: bytes, partition: str, source: str) -> Inventory:
    """Make sure that this is a bundle of Amazon RDS, and nothing else.

    Args:
        content: what was fetched.
        partition: the partition that it is for.
        source: where it comes from, for messages.

    Raises:
        DownloadError: it is not.
    """
    try:
        found = inventory(content.decode("ascii"))
    except ValueError as error:
        raise DownloadError(f"{source} is no CA bundle: {_reason(error)}") from None
    if not found.authorities or found.others:
        raise DownloadError(
            f"{source} is no CA bundle: {len(found.authorities)} certificate authorities are in "
            f"it, and {found.others} other things"
        )
    if strangers := [each.name for each in found.authorities if not each.is_amazon]:
        raise DownloadError(
            f"{source} is not the bundle of Amazon RDS: there is {strangers[0]!r} in it. If you "
            "trust it, save it yourself and name it with rds_iam_ca"
        )
    regions = found.regions(time.time())
    if not any(_is_of(region, partition) for region in regions):
        raise DownloadError(
            f"{source} has no authority for a region of {partition}; it has "
            f"{', '.join(regions) or 'none that is good today'}"
        )
    return found


def _is_of(region: str, partition: str) -> bool:
    prefix = _PREFIXES.get(partition)
    return region.startswith(prefix or "") and bool(
        prefix or not region.startswith(tuple(_PREFIXES.values()))
    )


def _checked_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        fits = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        fits = False
    if not fits:
        shown = re.sub(r"//[^/@]*@", "//…@", url)
        raise ConfigError(
            f"{shown!r} is no plain https URL, and whom to trust must not be fetched in clear: "
            f"expected one such as {trust.BUNDLE_URL}"
        )


class _StaysEncrypted(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917  (urllib's)
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            fp.close()
            raise DownloadError(f"{req.full_url} leads to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetched(url: str, timeout: float) -> bytes:
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(trust.system_roots())
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), _StaysEncrypted
    )
    request = urllib.request.Request(  # noqa: S310  (only https comes this far)
        url, headers={"User-Agent": f"sqlalchemy-rds-iam/{__version__}"}
    )
    expires = time.monotonic() + timeout
    try:
        with opener.open(request, timeout=timeout) as answer:
            content = bytearray()
            # What there is at a time, or else a server that sends a byte a second holds us up.
            while chunk := answer.read1(_CHUNK):
                content += chunk
                if len(content) > _LARGEST:
                    raise DownloadError(f"{url} is no CA bundle: it has more than {_LARGEST} bytes")
                if time.monotonic() > expires:
                    raise TimeoutError(f"not within {timeout:g} s")
            if problem := _incomplete(answer, len(content)):
                raise DownloadError(f"{url} has not been fetched as a whole: {problem}")
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"{url} cannot be fetched: HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url} cannot be fetched: {_reason(error)}") from error
    return bytes(content)


def _incomplete(answer: http.client.HTTPResponse, received: int) -> str | None:
    """What tells that a body may not be all there is, if anything.

    Python's http.client returns what it got when a connection ends before Content-Length bytes have
    come, and takes any end for the end where neither that nor the transfer coding tells (RFC 9112
    sections 6.3 and 8).
    """
    if answer.status != http.HTTPStatus.OK:
        return f"HTTP {answer.status} {answer.reason}"
    if (coding := answer.headers.get("Content-Encoding", "identity")).lower() != "identity":
        return f"it is encoded as {coding}, which was not asked for"
    declared = answer.headers.get_all("Content-Length") or []
    if not declared and not answer.chunked:
        return "the server does not say how long it is"
    if wrong := [length for length in declared if length.strip() != str(received)]:
        return f"{received} bytes have come, and Content-Length says {wrong[0]}"
    return None


def _reason(error: Exception) -> str:
    """What it says, of the innermost part that says something."""
    inner = getattr(error, "reason", None)
    return _reason(inner) if isinstance(inner, Exception) else first_line(error)
