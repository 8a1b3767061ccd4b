"""The oldest versions that `pyproject.toml` allows, as pip takes them: `floors.py EXTRA ...`.

Of the dependencies and of the extras, for the Python that runs it, which need not have anything
installed. `make floor` installs them, so that what a range begins with is what has been run.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LINE = re.compile(
    r"(?P<name>[\w.-]+)(?P<extras>\[[\w,-]+\])?>=(?P<floor>[\d.]+)"
    r"(?:; python_version >= '3\.(?P<minor>\d+)')?"
)


def floors(project: dict[str, Any], extras: list[str], minor: int) -> dict[str, str]:
    """Exact requirements by package, for a shell: the highest of the oldest versions of each.

    Args:
        project: the table of that name.
        extras: whose requirements are taken in addition to the dependencies.
        minor: of Python's version, 3.``minor``.
    """
    used: dict[str, str] = {}
    oldest: dict[str, tuple[int, ...]] = {}
    for line in [*project["dependencies"], *_lines(project, extras)]:
        found = _LINE.fullmatch(line)
        assert found is not None, f"{line!r}: expected NAME>=VERSION, and no more than a Python"
        if int(found["minor"] or 0) <= minor:
            name = found["name"]
            used[name] = found["extras"] or used.get(name, "")
            version = tuple(map(int, found["floor"].split(".")))
            oldest[name] = max(version, oldest.get(name, ()))
    return {
        name: f"'{name}{used[name]}=={'.'.join(map(str, version))}'"
        for name, version in oldest.items()
    }


def _lines(project: dict[str, Any], extras: list[str]) -> Iterator[str]:
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            if line.startswith(f"{project['name']}["):
                yield from _lines(project, [line.partition("[")[2].rstrip("]")])
            else:
                yield line


if __name__ == "__main__":
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    table = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    print(*floors(table, sys.argv[1:], sys.version_info.minor).values())  # noqa: T201
