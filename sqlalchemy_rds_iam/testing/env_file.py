"""Environment variables in a file, as long as what they lead to is there.

Written for ``docker compose``, IDEs and ``set -a; . FILE``: a line for each variable, in single
quotes where a shell needs them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# Not on Windows, where no emulator is started, and this can still be imported.
if sys.platform != "win32":
    import fcntl

_MARK = "# Made by rds-iam emulator, which removes it when it ends.\n"


class EnvFileError(ValueError):
    """The file cannot be written there; says what was found and what to do."""


def check(path: Path) -> None:
    """Make sure that the file may be written, for an answer before anything is started.

    Raises:
        EnvFileError: it may not.
    """
    if not path.name:
        raise EnvFileError("--env-file: the path is empty; expected one such as .env.emulator")
    if not path.parent.is_dir():
        raise EnvFileError(f"{path}: there is no directory {path.parent}; make it first")
    try:
        found = path.lstat()
    except FileNotFoundError:
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise EnvFileError(f"{path}: the directory {path.parent} cannot be written") from None
        return
    except (OSError, ValueError) as error:
        raise EnvFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    advice = "name another file, or move this one away"
    if not stat.S_ISREG(found.st_mode):
        raise EnvFileError(f"{path} is there, and is not a regular file: {advice}")
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            if file.readline() != _MARK:
                raise EnvFileError(f"{path} is there, and no emulator made it: {advice}")
            if not _locked(file.fileno()):
                raise EnvFileError(f"{path} is that of an emulator that runs: {advice}")
    except OSError as error:
        raise EnvFileError(f"{path} cannot be read: {error.strerror}; {advice}") from None


@contextmanager
def written(path: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Have the file there, whole and for this user's eyes alone, and remove it afterwards.

    Raises:
        EnvFileError: it cannot be written.
    """
    check(path)
    try:
        # Readable and writable by this user only, as its documentation says.
        number, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", dir=path.parent)
    except OSError as error:
        raise EnvFileError(f"{path} cannot be written: {error.strerror}") from None
    with open(number, "w", encoding="utf-8") as file:  # noqa: PTH123  (it is open already)
        try:
            file.write(_MARK + "".join(f"{_line(*each)}\n" for each in variables.items()))
            file.flush()
            # It is ours as long as this process lives, which its number alone would not tell.
            _locked(number)
            _put(Path(name), path)
        except OSError as error:
            raise EnvFileError(f"{path} cannot be written: {error.strerror}") from None
        finally:
            Path(name).unlink(missing_ok=True)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if os.path.samestat(path.lstat(), os.fstat(number)):
                    path.unlink()


def _put(made: Path, path: Path) -> None:
    """Give a file its name, where no other has it but one that an emulator has left behind."""
    try:
        os.link(made, path)
    except FileExistsError:
        check(path)
        made.replace(path)
    except OSError:  # a file system without links
        made.replace(path)


def _line(name: str, value: str) -> str:
    return f"{name}={shlex.quote(value) if value else ''}"


def _locked(number: int) -> bool:
    """Whether the file could be locked, which its maker does for life."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
