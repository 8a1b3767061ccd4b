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
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NoReturn

import typer

FAILED, MISUSED, INTERRUPTED, READER_GONE = 1, 2, 130, 141

SCHEMA = 1
"""The version of every JSON document; it grows when a key changes its meaning or goes."""

command: ContextVar[str] = ContextVar("command", default="rds-iam")
"""The command under way, as messages begin with it."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def out(text: str) -> None:
    """Print data, which is never left out or changed.

    Ends the command if standard output does not take it.
    """
    stream = sys.stdout
    if stream is None:
        fail("standard output is closed, so the result goes nowhere: leave >&- out")
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError as error:
        fail(
            f"standard output's encoding {stream.encoding} cannot hold {text[error.start]!a}: "
            "set PYTHONIOENCODING=utf-8"
        )
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        _discard_the_rest()
        raise typer.Exit(READER_GONE) from None
    except OSError as error:
        _discard_the_rest()
        fail(f"standard output cannot be written: {error.strerror}")


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
