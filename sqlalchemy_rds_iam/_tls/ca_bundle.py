"""The CA bundle of Amazon RDS, narrowed to one region.

The bundle has some 120 certificates, and libpq parses its CA file on every connect. An endpoint
needs those of its own region, which AWS also publishes one by one ("Certificate bundles for
specific AWS Regions" in the RDS user guide), and of these neither what has expired nor what is for
Amazon's own trials. Narrowing leaves certificates out and never adds one.
"""

from __future__ import annotations

import base64
import functools
import logging
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sqlalchemy_rds_iam._endpoints.regions import regions_of_ca
from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam._tls import authorities
from sqlalchemy_rds_iam._tls.authorities import Authority
from sqlalchemy_rds_iam._tls.private_files import private_file

logger = logging.getLogger("sqlalchemy_rds_iam")

_BEGIN = b"-----BEGIN"
_AMAZON = authorities.AMAZON.encode()
_CERTIFICATE = (
    rb"(?m)^-----BEGIN CERTIFICATE-----[ \t]*\r?\n((?:[A-Za-z0-9+/=]+[ \t]*\r?\n)+)"
    rb"-----END CERTIFICATE-----[ \t]*\r?$"
)


class _Certificate(NamedTuple):
    """A certificate of a CA file: its PEM, the regions it names, and more if it is Amazon's."""

    pem: bytes
    regions: frozenset[str]
    authority: Authority | None = None

    def ends(self) -> float:
        """When it expires, if it is one of Amazon's; else never, as far as narrowing goes."""
        return self.authority.ends if self.authority else math.inf

    def is_of_a_trial(self) -> bool:
        """Whether it is for Amazon's own trials."""
        return self.authority is not None and self.authority.is_of_a_trial


def narrow(pem: bytes, region: str, now: float = -math.inf) -> bytes:
    """Leave out the certificates of Amazon RDS that cannot verify an endpoint of this region.

    These name other regions, are for Amazon's own trials, or have expired. What is not Amazon's
    stays: public roots, CAs of the user's own. A file with anything but certificates in it, or in
    which nothing names the region, comes back as it is; and what would leave nothing that names it
    is not done, so that a wrong clock cannot.

    Args:
        pem: the content of a CA file.
        region: such as ``eu-central-1``.
        now: epoch seconds; by default nothing has expired.
    """
    found = _concerning(pem, region)
    kept = None if found is None else _good(found, region, now)
    if kept is None or len(kept) == pem.count(_BEGIN):
        return pem
    return b"".join(each.pem for each in kept)


def _concerning(pem: bytes, region: str) -> list[_Certificate] | None:
    """The certificates that name the region, or none; None if the file is not to be narrowed."""
    blocks = list(re.finditer(_CERTIFICATE, pem))
    if len(blocks) != pem.count(_BEGIN):
        return None
    decoded = [(block[0] + b"\n", _decoded(block[1])) for block in blocks]
    found = [(pem, der, _regions(der)) for pem, der in decoded]
    if not any(region in regions for *_, regions in found):
        return None
    found = [each for each in found if not each[2] or region in each[2]]
    # What is not Amazon's is none of our business, and must not be in the way of the rest.
    amazons = authorities.read(der for _, der, _ in found if _AMAZON in der)
    known = {der: each for der, each in amazons.items() if each.is_amazon}
    return [_Certificate(pem, regions, known.get(der)) for pem, der, regions in found]


def _good(found: list[_Certificate], region: str, now: float) -> list[_Certificate]:
    """Leave out trials, and then what has expired, as long as something names the region."""
    for is_left in (lambda each: not each.is_of_a_trial(), lambda each: now < each.ends()):
        rest = [each for each in found if is_left(each)]
        found = rest if any(region in each.regions for each in rest) else found
    return found


class CaFile(NamedTuple):
    """A CA file as it is now, for one region: what is made from it is good while this is equal.

    Attributes:
        region: the region to narrow it to; None not to.
    """

    ca: str
    region: str | None
    modified: int
    size: int
    inode: int


class Part(NamedTuple):
    """How much of a CA file concerns a region.

    Attributes:
        content: that part, PEM; None if it is the whole file.
        kept: the number of certificates in it.
        total: the number of certificates in the file.
        since: the epoch seconds from which on it is right: before, more was good.
        until: the epoch seconds at which one of them expires.
    """

    content: bytes | None
    kept: int
    total: int
    since: float = -math.inf
    until: float = math.inf

    def log(self, source: CaFile, file: str) -> None:
        """Leave a trace of whom connections trust, for those who review that."""
        logger.debug(
            "%d of the %d certificates in %s are trusted (region %s), read from %s",
            *(self.kept, self.total),
            *map(on_one_line, (source.ca, source.region, file)),
        )


def source(ca: str, region: str | None) -> CaFile:
    """The CA file as it is now; an OSError if it is gone."""
    found = os.stat(ca)  # noqa: PTH116  (before every connect, where making a Path costs more)
    return CaFile(ca, region, found.st_mtime_ns, found.st_size, found.st_ino)


class _Read(NamedTuple):
    """A CA file: how many certificates it has, and those of the region, if there are any."""

    total: int
    found: list[_Certificate] | None


@functools.lru_cache(maxsize=64)
def _read(source: CaFile) -> _Read:
    whole = Path(source.ca).read_bytes()
    found = _concerning(whole, source.region) if source.region else None
    return _Read(whole.count(_BEGIN), found)


def part(source: CaFile, now: float = -math.inf) -> Part:
    """What of a CA file concerns the region; the file is read once for all who ask.

    Args:
        source: the file.
        now: epoch seconds, to leave out what has expired; by default nothing has.
    """
    total, found = _read(source)
    if found is None:
        return Part(None, total, total)
    kept = _good(found, str(source.region), now)
    ends = [each.ends() for each in kept]
    return Part(
        b"".join(each.pem for each in kept) if len(kept) < total else None,
        len(kept),
        total,
        max((each.ends() for each in found if each.ends() <= now), default=-math.inf),
        min((end for end in ends if now < end), default=math.inf),
    )


def expired(source: CaFile, now: float) -> list[str]:
    """The names of Amazon's authorities for the region that are left out as they have expired."""
    found = _read(source).found or []
    kept = {*_good(found, str(source.region), now)}
    left_out = [each.authority for each in found if each.ends() <= now and each not in kept]
    return [each.name for each in left_out if each]


@functools.lru_cache(maxsize=64)
def regions(source: CaFile) -> frozenset[str]:
    """The regions that the certificates of a CA file name."""
    blocks = re.finditer(_CERTIFICATE, Path(source.ca).read_bytes())
    return frozenset().union(*(_regions(_decoded(block[1])) for block in blocks))


class Narrowed(NamedTuple):
    """A private file with what of a CA file concerns one region.

    Attributes:
        file: its path.
        source: what it was made from.
        made: tells it from a file of the same name that was made before or since.
        since: see `Part`; likewise `until`.
        until: see `since`.
        clock: tells the epoch seconds.
        good_for: seconds for which a look at both is good. It takes three system calls, which cost
            more than all else that we do for a connect.
    """

    file: str
    source: CaFile
    made: tuple[int, int]
    since: float = -math.inf
    until: float = math.inf
    clock: Callable[[], float] = time.time
    good_for: float = 1.0

    def is_current(self) -> bool:
        """Whether it is still there, and the CA file is still the one it was made from.

        It can be gone when a cache was cleaned, and out of reach in a server that has changed its
        user since. Where another process has made it again, a connect may have come in between.
        A CA file counts as it is now, as it does when libpq itself reads it; so does the clock,
        which may have been wrong.
        """
        ca, region = self.source[:2]
        if not self.since <= self.clock() < self.until:
            return False
        try:
            return _made(self.file) == self.made and source(ca, region) == self.source
        except OSError:
            return False


def narrowed(
    ca: str, region: str | None, clock: Callable[[], float] = time.time
) -> Narrowed | None:
    """Make the file that holds, of `ca`, only what can verify an endpoint of `region` today.

    Args:
        ca: the path of a CA file.
        region: such as ``eu-central-1``.
        clock: tells the epoch seconds.

    Returns:
        None if that is all of it, the region is unknown, or there is no private place for a file.
    """
    found = source(ca, region)
    regional = part(found, clock())
    file = private_file(regional.content, str(region)) if regional.content else None
    if file is None:
        return None
    regional.log(found, file)
    try:
        return Narrowed(file, found, _made(file), regional.since, regional.until, clock)
    except OSError:  # a cleaner has been quick
        return None


def _made(file: str) -> tuple[int, int]:
    if not os.access(file, os.R_OK):
        raise PermissionError(file)
    found = os.stat(file)  # noqa: PTH116  (see `source`)
    # A number may be given to a new file at once; the other changes with its mode and owner, too.
    return found.st_ino, found.st_ctime_ns


def _decoded(encoded: bytes) -> bytes:
    """A certificate in DER; empty if it is not base64."""
    try:
        return base64.b64decode(encoded)
    except ValueError:
        return b""


def _regions(der: bytes) -> frozenset[str]:
    """The regions that a certificate names, as its subject or its issuer."""
    return frozenset(regions_of_ca(der.decode("latin-1")))
