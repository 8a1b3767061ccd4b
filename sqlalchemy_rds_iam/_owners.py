"""Who else is installed under this package's names: the import package, and those of the plugins.

pip lets a second package write into the folder of the first one without a word, and SQLAlchemy
loads the first plugin of a name that it finds. Loaded only where something is missing, or asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from typing import NamedTuple

from sqlalchemy_rds_iam._config.options import PLUGINS

NAME = "sqlalchemy-rds-iam"
PACKAGE = __name__.partition(".")[0]
_GROUP = "sqlalchemy.plugins"


class Owner(NamedTuple):
    """Another installed package that has one of the names.

    Attributes:
        name: of the package, as pip knows it.
        version: of it.
        plugins: those of our names that it registers.
        has_package: whether files of it are in our import package.
    """

    name: str
    version: str
    plugins: tuple[str, ...]
    has_package: bool

    @property
    def has(self) -> str:
        """What it has of ours, in words."""
        package = (f"the import package {PACKAGE}",) if self.has_package else ()
        return " and ".join(package + tuple(f"the plugin name {each}" for each in self.plugins))


def others() -> list[Owner]:
    """All of them but this package, by name."""
    found = {}
    for each in distributions():
        plugins, has_package = tuple(sorted({*_plugins(each)})), _has_package(each)
        if (plugins or has_package) and not is_ours(each):
            name = each.metadata["Name"]
            found[name] = Owner(name, each.version, plugins, has_package)
    return [found[name] for name in sorted(found)]


def is_ours(found: Distribution | None) -> bool:
    """Whether a distribution is this package, however its name is written."""
    name = found.metadata["Name"] if found else None
    return bool(name) and re.sub(r"[-_.]+", "-", str(name)).lower() == NAME


def warning() -> str:
    """A sentence about the others, with what to do; empty if there are none."""
    found = others()
    if not found:
        return ""
    said = "; ".join(f"{each.name} {each.version} has {each.has} as well" for each in found)
    return (
        f"{said}: pip uninstall {' '.join(each.name for each in found)}, and then install "
        f"{NAME} again, as files of both are in one folder"
    )


def no_attribute(module: str, name: str) -> AttributeError:
    """The error for an attribute that a module does not have, which may be another package's."""
    why = warning()
    return AttributeError(f"module {module!r} has no attribute {name!r}{why and f'; {why}'}")


def _plugins(found: Distribution) -> Iterator[str]:
    if _GROUP in (found.read_text("entry_points.txt") or ""):
        for each in found.entry_points:
            if each.group == _GROUP and each.name in PLUGINS:
                yield each.name


def _has_package(found: Distribution) -> bool:
    lines = (found.read_text("RECORD") or found.read_text("top_level.txt") or "").splitlines()
    return any(line == PACKAGE or line.startswith(f"{PACKAGE}/") for line in lines)
