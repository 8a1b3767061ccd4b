"""The CA bundle of Amazon RDS, narrowed to one region.

The bundle has some 120 certificates, and libpq parses its CA file on every connect. An endpoint
needs those of its own region, which AWS also publishes one by one ("Certificate bundles for
specific AWS Regions" in the RDS user guide). Narrowing leaves certificates out and never adds one.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from sqlalchemy_rds_iam._endpoints.regions import regions_of_ca
from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam._tls.ownership import exposed

CACHE = "sqlalchemy-rds-iam"

logger = logging.getLogger("sqlalchemy_rds_iam")

_BEGIN = b"-----BEGIN"
_CERTIFICATE = (
    rb"(?m)^-----BEGIN CERTIFICATE-----[ \t]*\r?\n((?:[A-Za-z0-9+/=]+[ \t]*\r?\n)+)"
    rb"-----END CERTIFICATE-----[ \t]*\r?$"
)


def narrow(pem: bytes, region: str) -> bytes:
    """Leave out the certificates that name other regions of Amazon RDS and not this one.

    What names no region stays: Amazon's older common roots, public roots, CAs of the user's own.
    A file with anything but certificates in it, or in which nothing names the region, comes back
    as it is.

    Args:
        pem: the content of a CA file.
        region: such as ``eu-central-1``.
    """
    found = list(re.finditer(_CERTIFICATE, pem))
    if len(found) != pem.count(_BEGIN):
        return pem
    named = [(block[0], _regions(block[1])) for block in found]
    if not any(region in regions for _, regions in named):
        return pem
    kept = [block + b"\n" for block, regions in named if not regions or region in regions]
    return pem if len(kept) == len(found) else b"".join(kept)


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
    """

    content: bytes | None
    kept: int
    total: int

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


@functools.lru_cache(maxsize=64)
def part(source: CaFile) -> Part:
    """What of a CA file concerns the region, read once for all who ask."""
    whole = Path(source.ca).read_bytes()
    kept = narrow(whole, source.region) if source.region else whole
    return Part(kept if kept != whole else None, kept.count(_BEGIN), whole.count(_BEGIN))


@functools.lru_cache(maxsize=64)
def regions(source: CaFile) -> frozenset[str]:
    """The regions that the certificates of a CA file name."""
    blocks = re.finditer(_CERTIFICATE, Path(source.ca).read_bytes())
    return frozenset().union(*(_regions(block[1]) for block in blocks))


class Narrowed(NamedTuple):
    """A private file with what of a CA file concerns one region.

    Attributes:
        file: its path.
        source: what it was made from.
        made: tells it from a file of the same name that was made before or since.
        good_for: seconds for which a look at both is good. It takes three system calls, which cost
            more than all else that we do for a connect.
    """

    file: str
    source: CaFile
    made: tuple[int, int]
    good_for: float = 1.0

    def is_current(self) -> bool:
        """Whether it is still there, and the CA file is still the one it was made from.

        It can be gone when a cache was cleaned, and out of reach in a server that has changed its
        user since. Where another process has made it again, a connect may have come in between.
        A CA file counts as it is now, as it does when libpq itself reads it.
        """
        ca, region = self.source[:2]
        try:
            return _made(self.file) == self.made and source(ca, region) == self.source
        except OSError:
            return False


def narrowed(ca: str, region: str | None) -> Narrowed | None:
    """Make the file that holds, of `ca`, only what concerns `region`.

    Returns:
        None if that is all of it, the region is unknown, or there is no private place for a file.
    """
    found = source(ca, region)
    regional = part(found)
    file = private_file(regional.content, str(region)) if regional.content else None
    if file is None:
        return None
    regional.log(found, file)
    try:
        return Narrowed(file, found, _made(file))
    except OSError:  # a cleaner has been quick
        return None


def private_file(content: bytes, label: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Put `content` where no other user can change it, unless it is there already.

    The file is the user's own (0600) in a directory of the user's own, below the cache directory
    or else below that for temporary files. It appears whole or not at all, and what it is named
    after is its content, so any number of processes may share it.

    Args:
        content: what the file has to hold.
        label: begins the file's name.
        environ: where ``HOME`` and ``XDG_CACHE_HOME`` are read.

    Returns:
        Its path. None if there is no such place, as where no directory may be written, or on
        Windows, where Python's standard library cannot tell whose a file is.
    """
    if not hasattr(os, "geteuid"):
        return None
    name = f"{label}-{hashlib.sha256(content).hexdigest()[:32]}.pem"
    for home in _homes(environ):
        # Whatever is wrong with one place, from a full disk to a missing home, the next may do.
        with contextlib.suppress(OSError):
            if _owned_directory(home):
                file = home / name
                if not _holds(file, content):
                    _write(file, content)
                return str(file)
    return None


def keep(content: bytes, name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Put `content` into the user's cache directory, in place of what may be there; whole.

    Args:
        content: what the file has to hold.
        name: the file's name.
        environ: where ``HOME`` and ``XDG_CACHE_HOME`` are read.

    Returns:
        Its path.

    Raises:
        OSError: there is no such directory, it is not to be written, or is in others' hands.
    """
    home = cache_home(environ)
    if home is None:
        raise FileNotFoundError("there is no home directory: set XDG_CACHE_HOME")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = home / CACHE
    directory.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "geteuid") and not _owned_directory(directory):
        why = exposed(directory) or f"{directory} is not yours alone"
        raise PermissionError(f"others than you decide what is in {str(directory)!r}: {why}")
    _write(directory / name, content)
    return directory / name


def cache_home(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The user's cache directory (XDG Base Directory Specification), if there is a home at all."""
    named = Path(environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111  (never raises)
    return home / ".cache" if home.is_absolute() else None


def _made(file: str) -> tuple[int, int]:
    if not os.access(file, os.R_OK):
        raise PermissionError(file)
    found = os.stat(file)  # noqa: PTH116  (see `source`)
    # A number may be given to a new file at once; the other changes with its mode and owner, too.
    return found.st_ino, found.st_ctime_ns


def _regions(encoded: bytes) -> set[str]:
    """The regions that a certificate names, as its subject or its issuer."""
    try:
        der = base64.b64decode(encoded)
    except ValueError:
        return set()
    return set(regions_of_ca(der.decode("latin-1")))


def _homes(environ: Mapping[str, str]) -> Iterator[Path]:
    cache = cache_home(environ)
    if cache is not None:
        with contextlib.suppress(OSError):
            cache.mkdir(mode=0o700, exist_ok=True)
        yield cache / CACHE
    with contextlib.suppress(OSError):  # there is none
        yield Path(tempfile.gettempdir(), f"{CACHE}-{os.geteuid()}")


def _owned_directory(directory: Path) -> bool:
    """Make `directory` unless it exists; whether only this user decides what is in it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    return _is_ours(directory.lstat(), stat.S_IFDIR) and exposed(directory) is None


def _is_ours(found: os.stat_result, kind: int) -> bool:
    return (
        stat.S_IFMT(found.st_mode) == kind
        and found.st_uid == os.geteuid()
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _holds(file: Path, content: bytes) -> bool:
    try:
        return _is_ours(file.lstat(), stat.S_IFREG) and file.read_bytes() == content
    except OSError:
        return False


def _write(file: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
