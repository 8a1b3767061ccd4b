"""The shared AWS files, as far as errors need them: what is wrong with one, and in which line.

botocore says of a file that it cannot parse no more than that, and passes over one that it may not
read. A line is never quoted: there may be a key in it.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy_rds_iam._config.urls import is_blank

_FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}
_KEYS = {
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_security_token",
}
_MISSING = "does not exist"
_MARKS = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def any_exists(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a shared file for botocore to read."""
    return any(path.is_file() for _, path in _paths(environ))


def faults(environ: Mapping[str, str] = os.environ) -> list[str]:
    """What keeps botocore from reading the shared files that are there, or are named."""
    found = []
    for variable, path in _paths(environ):
        named = f" ({variable})" if environ.get(variable) else ""
        fault = _fault(path)
        if fault and (named or fault != _MISSING):
            found.append(f"{path}{named} {fault}")
    return found


def parse_fault(path: str) -> str:
    """Why botocore cannot parse a file: the line, and what is wrong with it."""
    return f"{path} cannot be parsed: {_fault(Path(path)) or 'it has been corrected meanwhile'}"


def setting_of(value: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Which setting of which profile in the shared files has this value, if any."""
    import configparser  # no part of a cold start

    for _, path in _paths(environ):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(_text(path))
        except (OSError, ValueError, configparser.Error):
            continue
        for section in parser.sections():
            for name, content in parser.items(section):
                if name in _KEYS and content == value:
                    return f"{name} of [{section}] in {path}"
    return None


def misplaced(profile: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Where a profile is written as the other of the two files would have it."""
    (_, credentials), (_, config) = _paths(environ)
    for path, wrong, right in (
        (credentials, f"profile {profile}", profile),
        (config, profile, f"profile {profile}"),
    ):
        try:
            lines = _text(path).splitlines()
        except (OSError, ValueError):
            continue
        for number, line in enumerate(lines, 1):
            if line.strip() == f"[{wrong}]" and profile != "default":
                return f"line {number} of {path} has to be [{right}], not [{wrong}]"
    return None


def _paths(environ: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    for variable, usual in _FILES.items():
        given = environ.get(variable, "")
        path = os.path.expandvars(usual if is_blank(given) else given)
        yield variable, Path(os.path.expanduser(path))  # noqa: PTH111  (Path's may raise)


def _text(path: Path) -> str:
    # Reading a pipe may take for ever.
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _fault(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # reading a pipe may take for ever
            return "is a directory" if stat.S_ISDIR(mode) else "is no regular file"
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return _parse_fault(content)


def _parse_fault(content: bytes) -> str | None:
    import configparser

    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return (
                f"line 1 begins with a byte order mark (BOM) of {encoding}: save the file as UTF-8 "
                "without one"
            )
    try:
        # As botocore: in the encoding of the platform, and with each name once.
        text = io.TextIOWrapper(io.BytesIO(content), encoding="locale").read()
        configparser.RawConfigParser().read_string(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f"line {line} has a byte that is no {error.encoding}: save the file as UTF-8"
    except configparser.Error as error:
        return _misparsed(error)
    return _unnested(text)


def _misparsed(error: Exception) -> str:
    import configparser

    match error:
        case configparser.MissingSectionHeaderError(lineno=line):
            return f"line {line} stands before the first [section]"
        case configparser.DuplicateSectionError(lineno=line):
            return f"line {line} begins a [section] that is there already: merge the two"
        case configparser.DuplicateOptionError(lineno=line):
            return f"line {line} repeats a setting of its [section]: remove one of the two"
        case configparser.ParsingError(errors=[(line, _), *_]):
            return f"line {line} is neither a [section] nor a setting (name = value)"
    return type(error).__name__


def _unnested(text: str) -> str | None:
    """The line of a nested block that is no setting: configparser takes it, botocore not."""
    nested = False
    for number, line in enumerate(text.splitlines(), 1):
        if not line[:1].isspace():
            nested = bool(re.fullmatch(r"[^#;\[][^=:]*[=:]\s*", line))
        elif nested and line.strip() and "=" not in line:
            return f"line {number} is no setting (name = value), in a block that is indented"
    return None
