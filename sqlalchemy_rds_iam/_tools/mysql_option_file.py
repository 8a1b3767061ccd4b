"""Option files: where the clients of MySQL and MariaDB read what they are told. Pure.

Source: "Using Option Files" in the MySQL Reference Manual, "Configuring MariaDB with Option Files"
in the MariaDB documentation; the longest line is that of ``mysys/my_default.c`` in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy_rds_iam.errors import ConfigError

_LONGEST_LINE = 4000
"""Bytes of a line; what is beyond some 4,090 is read as another line."""

_PLAIN = re.compile(r"[A-Za-z0-9_./@:+-]+")
_ESCAPES = str.maketrans(
    {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b"}
)

Groups = Mapping[str, Mapping[str, str | None]]
"""Options by the group that they are for; None for one that has no value."""


def option_file(groups: Groups) -> str:
    """The text of an option file.

    Raises:
        ConfigError: a value cannot be in one.
    """
    lines: list[str] = []
    for group, options in groups.items():
        lines.append(f"[{group}]")
        lines += [_line(name, value) for name, value in options.items()]
    return "\n".join([*lines, ""])


def _line(name: str, value: str | None) -> str:
    line = name if value is None else f"{name}={quoted(value)}"
    if "\0" in line or len(line.encode(errors="surrogateescape")) > _LONGEST_LINE:
        raise ConfigError(
            f"{name}={(value or '')[:40]!a} cannot be in an option file, where the clients of "
            f"MySQL and MariaDB read it: expected at most {_LONGEST_LINE} bytes, none of them zero"
        )
    return line


def quoted(value: str) -> str:
    """A value as it is written, so that the clients read just that."""
    # The connectors' libraries have parsers of their own, which like it plain.
    return value if _PLAIN.fullmatch(value) else f'"{value.translate(_ESCAPES)}"'
