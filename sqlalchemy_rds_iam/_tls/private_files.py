"""Files that no other user can change: in the user's cache, or among the temporary files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy_rds_iam._tls.ownership import exposed

CACHE = "sqlalchemy-rds-iam"
"""What our directory below the user's cache is called."""


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
