"""What the commands print: data on standard output, and everything else on standard error.

A command exits with 0; with 1 if it failed; with 2 if it was called wrongly, the URL and its
options included; with 130 after Ctrl-C; and with 141 if the reader of its output went away, as a
shell has it for a program that SIGPIPE ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

import typer

FAILED, MISUSED, INTERRUPTED, READER_GONE = 1, 2, 130, 141

SCHEMA = 1
"""The version of every JSON document; it grows when a key changes its meaning or goes."""

command: ContextVar[str] = ContextVar("command", default="rds-iam")
"""The command under way, as messages begin with it."""

_WIDEST = 100
"""Columns that a line of text is still read well in."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@contextmanager
def writing() -> Iterator[None]:
    """Write results to standard output in this block.

    Ends the command if standard output does not take them.
    """
    if sys.stdout is None:
        fail("standard output is closed, so the result goes nowhere: leave >&- out")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        reader_gone()
    except OSError as error:
        _discard_the_rest()
        fail(f"standard output cannot be written: {error.strerror}")


def reader_gone() -> NoReturn:
    """End because no one reads the results any more, which is not worth a word."""
    _discard_the_rest()
    raise typer.Exit(READER_GONE)


def out(text: str) -> None:
    """Print a result, of which nothing is left out or replaced."""
    with writing():
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError as error:
            fail(
                f"standard output's encoding {sys.stdout.encoding} cannot hold "
                f"{text[error.start]!a}: set PYTHONIOENCODING=utf-8"
            )
        sys.stdout.write(f"{text}\n")


def rows(pairs: Iterable[tuple[str, str]], indent: int) -> str:
    """Labels and texts, side by side; in a terminal too narrow for that, one below the other.

    Args:
        pairs: a label, which may be empty, and its text.
        indent: columns of the labels.
    """
    columns = shutil.get_terminal_size((_WIDEST, 24)).columns if is_terminal() else 0
    if not columns:
        return "\n".join(f"{label:<{indent}}{text}".rstrip() for label, text in pairs)
    lines: list[str] = []
    for label, text in pairs:
        before = indent
        if max(map(len, text.split()), default=0) > columns - indent:
            before = 2
            lines += [label] if label else []
            label = ""  # noqa: PLW2901  (it is written already)
        wrapped = textwrap.wrap(
            text,
            max(min(columns, _WIDEST), before + 20),
            initial_indent=" " * before,
            subsequent_indent=" " * before,
            break_long_words=False,
            break_on_hyphens=False,
        )
        first = wrapped[0] if wrapped else ""
        lines += [f"{label}{first[len(label) :]}", *wrapped[1:]]
    return "\n".join(lines)


def document(data: Mapping[str, Any], *, indent: int | None = None) -> None:
    """Print the one JSON document of a command."""
    out(json.dumps({"schema": SCHEMA, **data}, indent=indent))


def note(sentence: str) -> None:
    """Say something beside the output."""
    # What is quoted in it must not steer the terminal.
    shown = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], sentence)
    with contextlib.suppress(OSError, ValueError):
        typer.echo(f"{command.get()}: {shown}", err=True)


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    """End the command with what went wrong."""
    note(sentence)
    raise typer.Exit(code)


def is_terminal() -> bool:
    """Whether a user would see what is printed."""
    return sys.stdout is not None and sys.stdout.isatty()


def _discard_the_rest() -> None:
    """Keep Python from writing what is left in its buffer when it ends, which fails again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
