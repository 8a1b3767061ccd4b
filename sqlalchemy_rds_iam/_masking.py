"""What others say, in words that hold no secret: libraries, drivers, servers and programs.

HTTP clients quote the headers that they cannot send, parsers the documents that they cannot read,
and there are session tokens and keys in both.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, quote_plus, unquote, urlsplit

from sqlalchemy_rds_iam import _frames

_MASK = "***"
_SHORTEST = 6
"""Characters; less is found in any sentence, and masking it would say what it is."""
_LONGEST_LINE = 500

_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "PGPASSWORD",
)
_TOKEN_FILES = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
_SHARED_FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}
_LARGEST_FILE = 1_000_000
# With the lines that continue a value.
_SETTING = (
    r"(?im)^[ \t]*aws_(?:secret_access_key|session_token|security_token)[ \t]*[=:]"
    r"(.*(?:\n[ \t]+\S.*)*)"
)
_SIGNED = r"(?i)(X-Amz-(?:Signature|Security-Token)=)[^&\s'\"]+"
# Where a document begins, or what Python writes for bytes.
_QUOTATION = r"""[{<]|\bb['"]"""

_HOLDS_A_DOCUMENT = (ValueError, BaseExceptionGroup)


class Confidant(Protocol):
    """An object that holds secrets."""

    def secrets(self) -> Iterable[str | None]:
        """The values that must not be shown."""


_confidants: weakref.WeakValueDictionary[int, Confidant] = weakref.WeakValueDictionary()


def keep_secret(holder: Confidant) -> None:
    """Mask what `holder` holds wherever it is quoted, as long as it lives."""
    _confidants[id(holder)] = holder


def first_line(said: Any, *secrets: str | None) -> str:
    """The first line of what another says, as far as it quotes no document, without a secret.

    Args:
        said: an error, or its words.
        *secrets: what must not be in it, besides every secret that is known.

    Returns:
        One printable line; the name of the type if there are no words.
    """
    text = masked(str(said), *secrets).strip()
    line = re.split(_QUOTATION, next(iter(text.splitlines()), ""), maxsplit=1)[0]
    line = "".join(each if each.isprintable() else "?" for each in line).strip()
    return line[:_LONGEST_LINE] or type(said).__name__


def on_one_line(said: object) -> str:
    """What is said, with nothing in it that ends a line: names of users may have anything in them.

    The text after a line end would pass for a record of its own in a log.
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(said))


def masked(text: str, *secrets: str | None) -> str:
    """`text` without any secret that is known, in whichever way it may be quoted."""
    forms = {form for secret in secrets for form in _forms(secret, 1)}
    forms |= {form for secret in _known_secrets(os.environ) for form in _forms(secret, _SHORTEST)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, _MASK)
    return re.sub(_SIGNED, rf"\1{_MASK}", text)


def harmless(
    error: BaseException, outer: BaseException | None = None, words: str | None = None
) -> BaseException:
    """What can stand as the cause of an error of ours: `error`, or its name and its words.

    It is itself if all of its words can be shown, and nothing else in it or in what is behind it
    holds a secret. The variables of its frames are let go: keys are among them.

    Args:
        error: has come out of a call of ours, which has ended.
        outer: what was being handled when that call began; it is not ours to change.
        words: stand in place of those of `error`, where not all of its secrets may be known.
    """
    behind = _behind(error, outer)
    for each in behind:
        _frames.empty(each.__traceback__)
    if words is None and all(map(_is_harmless, behind)):
        return error
    found: BaseException | None = None
    for each in reversed(_chain(error, outer)):
        kind = type(each)
        said = words if words is not None and each is error else first_line(each)
        made: BaseException = type(kind.__name__, (Exception,), {"__module__": kind.__module__})(
            said
        )
        made.__cause__, found = found, made.with_traceback(each.__traceback__)
    assert found is not None
    return found


def _chain(error: BaseException, outer: BaseException | None) -> list[BaseException]:
    """The errors that a traceback shows."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current is not outer and current not in found:
        found.append(current)
        shown = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or shown
    return found


def _behind(error: BaseException, outer: BaseException | None) -> list[BaseException]:
    """The errors that can be reached from one, whether or not a traceback shows them."""
    found: list[BaseException] = []
    left: list[Any] = [error]
    while left:
        each = left.pop()
        if isinstance(each, BaseException) and each is not outer and each not in found:
            found.append(each)
            kwargs = getattr(each, "kwargs", None)  # botocore's way to keep what an error is about
            held = kwargs.values() if isinstance(kwargs, dict) else ()
            left += [each.__cause__, each.__context__, *held, *each.args]
    return found


def _is_harmless(error: BaseException) -> bool:
    # Errors of parsers and codecs hold what they were given, those of HTTP clients a request.
    if isinstance(error, _HOLDS_A_DOCUMENT) or type(error).__module__ == "configparser":
        return False
    if getattr(error, "request", None) is not None:
        return False
    said = str(error).strip()
    held = f"{error!r} {vars(error)!r}"
    return first_line(error) in {said, type(error).__name__} and masked(held) == held


def _forms(secret: str | None, shortest: int) -> Iterator[str]:
    """A secret as it is, and as it may be quoted; of several lines, each by itself, too."""
    for text in {secret or "", (secret or "").strip(), *(secret or "").splitlines()}:
        if len(text) < shortest:
            continue
        encoded = text.encode("utf-8", "surrogateescape")
        yield text
        yield repr(text)[1:-1]
        yield ascii(text)[1:-1]
        yield repr(encoded)[2:-1]
        yield repr(text.encode("latin-1", "replace"))[2:-1]
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield quote(encoded)
        yield quote(encoded, safe="")
        yield quote_plus(encoded)
        yield base64.b64encode(encoded).decode()


def _known_secrets(environ: Mapping[str, str]) -> Iterator[str | None]:
    yield from map(environ.get, _VARIABLES)
    for name, value in environ.items():
        if name.lower().endswith("_proxy"):
            with contextlib.suppress(ValueError):
                password = urlsplit(value).password
                yield from (password, unquote(password or ""))
    for name in _TOKEN_FILES:
        yield _content(environ.get(name))
    for name, usual in _SHARED_FILES.items():
        text = _content(environ.get(name) or usual) or ""
        for match in re.finditer(_SETTING, text):
            yield "\n".join(line.strip() for line in match[1].split("\n"))
    # Weak references come as a list at once, and so without a lock.
    for reference in _confidants.valuerefs():
        if (holder := reference()) is not None:
            yield from holder.secrets()


def _content(path: str | None) -> str | None:
    if not path:
        return None
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        file = Path(os.path.expandvars(path)).expanduser()
        if file.is_file():  # reading a pipe may take for ever
            with file.open("rb") as content:
                return content.read(_LARGEST_FILE).decode("utf-8", "replace")
    return None
