"""Whether others could change a file: by its owner and mode, and those of all on the way to it.

Only the owner and the mode are looked at. A POSIX ACL that lets others write shows in the bits of
the group (acl(5)); those of NFSv4 and macOS do not, nor does who may mount something over it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # as Linux has it


def exposed(path: Path) -> str | None:
    """Say what lets others than root and this user change what is at `path`, if anything does.

    The directories above it count as well, those of symbolic links on the way included: who can
    rename one of them can put another in its place. In a sticky one, such as /tmp, only owners
    can. What is mounted read-only counts as safe whatever its mode, as the volumes that Kubernetes
    makes of secrets do (0777).

    Args:
        path: an absolute path.

    Returns:
        Such as "/srv can be written by others (mode 0777)". None if nothing does, and where files
        have no owner that Python could tell, as on Windows.
    """
    if not hasattr(os, "geteuid"):
        return None
    trusted = {0, os.geteuid()}
    try:
        for place, found in _way(path):
            mode = found.st_mode
            sticky = stat.S_ISDIR(mode) and mode & stat.S_ISVTX
            if found.st_uid not in trusted:
                why = f"{place} belongs to the user with the id {found.st_uid}"
            elif mode & _WRITABLE and not stat.S_ISLNK(mode) and not sticky:
                why = f"{place} can be written by others (mode {stat.S_IMODE(mode):04o})"
            else:
                continue
            # What a link says is kept where the link is, not where it leads.
            if not _is_read_only(place.parent if stat.S_ISLNK(mode) else place):
                return why
    except OSError as error:
        return f"{error.filename or path}: {error.strerror}"
    return None


def _way(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All that is passed on the way to a file, itself included: directories and links."""
    here = Path(path.anchor)
    yield here, here.lstat()
    ahead = deque(path.parts[1:])
    links = 0
    while ahead:
        name = ahead.popleft()
        if name == os.pardir:
            here = here.parent
            continue
        place = here / name
        found = place.lstat()
        yield place, found
        if not stat.S_ISLNK(found.st_mode):
            here = place
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = place.readlink()
        if target.is_absolute():
            here = Path(target.anchor)
            yield here, here.lstat()
        ahead.extendleft(reversed(target.parts[target.is_absolute() :]))


def _is_read_only(place: Path) -> bool:
    return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
