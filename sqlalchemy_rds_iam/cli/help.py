"""How the command explains itself: help, and the errors of a wrong command line.

Typer's own help cuts names off and breaks commands apart in a narrow terminal. This one wraps prose
alone: an option's name, a URL and an example stay whole, at any width, and there is no colour.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from sqlalchemy_rds_iam.cli.output import INTERRUPTED, MISUSED, READER_GONE, command, note

_WIDEST, _NARROWEST = 80, 40
_LABEL = 26
"""Columns of an option's name, where there is room for its text beside it."""
_ROOM = 70

_Error: Any = typer.BadParameter.__mro__[2]
"""The base of what is wrong with a command line; typer does not export it."""


class Command(TyperCommand):
    """A command whose help is laid out here, and whose name stands before its messages."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write(_help(self, ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        command.set(ctx.command_path)
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """The command itself, which ends every error in one sentence."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write(_help(self, ctx))

    def main(self, args: Any = None, *others: Any, **more: Any) -> Any:
        """Parse the command line and run a command; ends with ``SystemExit``."""
        command.set("rds-iam")
        given = list(sys.argv[1:] if args is None else args)
        if not given and not any(name.endswith("_COMPLETE") for name in os.environ):
            ctx = self.make_context("rds-iam", [], resilient_parsing=True)
            typer.echo(ctx.get_help(), err=True)
            sys.exit(MISUSED)
        try:
            code = super().main(given, *others, **{**more, "standalone_mode": False})
        except _Error as error:
            code = _refuse(error)
        except (typer.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        except SystemExit as ended:
            # What typer prints itself, such as help, ends with its own status of a broken pipe.
            code = READER_GONE if type(sys.stdout).__name__ == "PacifyFlushWrapper" else ended.code
        sys.exit(code or 0)


def explain(ctx: typer.Context, name: str | None) -> str:
    """The help of a command, or of all.

    Raises:
        typer.BadParameter: there is no such command.
    """
    root: Any = ctx.find_root()
    if not name:
        return str(root.command.get_help(root))
    found = root.command.get_command(root, name)
    if found is None:
        near = difflib.get_close_matches(name, root.command.list_commands(root), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise typer.BadParameter(f"there is no command {name!r}{hint}")
    return str(found.get_help(typer.Context(found, info_name=name, parent=root)))


def _refuse(error: Any) -> int:
    """Say what is wrong with a command line."""
    if error.ctx is not None:
        command.set(error.ctx.command_path)
    is_value = isinstance(error, typer.BadParameter)
    words = " ".join(str(error.message if is_value else error.format_message()).split())
    words = words.rstrip(".")
    if param := getattr(error, "param", None):
        words = f"{_name(param)}: {words}" if words else f"{_name(param)} is missing"
    option = getattr(error, "option_name", None)
    if type(error).__name__ == "NoSuchOption" and error.ctx is not None:
        known = [each for param in error.ctx.command.get_params(error.ctx) for each in param.opts]
        near = difflib.get_close_matches(option, known, 1)
        words = f"there is no option {option}" + (f"; did you mean {near[0]}?" if near else "")
    words = words.replace(". Did you", "; did you")
    see = " See" if words.endswith("?") else "; see"
    note(f"{words[:1].lower()}{words[1:]}{see} {command.get()} --help")
    return MISUSED


def _name(param: Any) -> str:
    return str(param.opts[0] if param.param_type_name == "option" else param.metavar or param.name)


def _help(shown: Any, ctx: Any) -> str:
    width = max(min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST), _NARROWEST)
    parts = [f"Usage: {ctx.command_path} {_usage(shown)}"]
    parts += [_wrapped(each, width) for each in _paragraphs(shown.help)]
    if commands := getattr(shown, "commands", None):
        rows = [(name, each.get_short_help_str(200)) for name, each in commands.items()]
        parts.append("Commands:\n" + "\n".join(_row(*row, width) for row in rows))
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        params = [each for each in shown.get_params(ctx) if each.param_type_name == kind]
        if rows := [_described(each) for each in params if not each.hidden]:
            parts.append(f"{title}:\n" + "\n".join(_row(*row, width) for row in rows))
    if shown.epilog:
        parts.append("Examples:\n" + "\n".join(_examples(shown.epilog, width)))
    return "\n\n".join(parts) + "\n"


def _usage(shown: Any) -> str:
    if hasattr(shown, "commands"):
        return "[OPTIONS] COMMAND ..."
    names = [each.metavar or each.name for each in shown.params if each.param_type_name != "option"]
    return " ".join(["[OPTIONS]", *names])


def _paragraphs(text: str | None) -> list[str]:
    return re.split(r"\n\s*\n", inspect.cleandoc(text or ""))


def _wrapped(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _described(param: Any) -> tuple[str, str]:
    """What stands for an argument or option, and what it is, with its default."""
    if param.param_type_name == "argument":
        return str(param.metavar or param.name), str(param.help or "")
    names = ", ".join(sorted(param.opts, key=len))
    label = names if param.is_flag else f"{names} {param.metavar or param.name.upper()}"
    words = str(param.help or "").rstrip()
    if not param.is_flag and param.show_default and param.default not in {None, ""}:
        words += f" By default {param.default}."
    return label, words


def _row(label: str, text: str, width: int) -> str:
    indent = _LABEL if width >= _ROOM else 6
    lines = _wrapped(text, width, " " * indent)
    if len(label) + 4 > indent:
        return f"  {label}\n{lines}".rstrip()
    return f"  {label}{lines[len(label) + 2 :]}"


def _examples(epilog: str, width: int) -> Iterator[str]:
    """The examples: a command begins with ``$`` and stays as it is, all else is prose about it."""
    for line in inspect.cleandoc(epilog).splitlines():
        if line.startswith(("$ ", "    ")):
            yield "  " + line.removeprefix("$ ")
        elif line:
            yield _wrapped(line, width, "  # ")
        else:
            yield ""
