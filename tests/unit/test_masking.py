"""What others say is shown without a secret: in their words, their errors, and what is behind."""

from __future__ import annotations

import base64
import http.client
import json
import os
import string
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._masking import first_line, harmless, keep_secret, masked

CANARY = "canary/of+forty=letters"
WAYS: list[Callable[[str], str]] = [
    str,
    repr,
    ascii,
    json.dumps,
    lambda secret: json.dumps(secret, ensure_ascii=False),
    lambda secret: repr(secret.encode()),
    lambda secret: repr(secret.encode("latin-1", "replace")),
    quote,
    quote_plus,
    lambda secret: quote(secret, safe=""),
    lambda secret: base64.b64encode(secret.encode()).decode(),
    lambda secret: f"http://app:{quote(secret, safe='')}@proxy:3128",
]
# No asterisks, which masks consist of.
SECRETS = st.text(string.printable.replace("*", "") + "\0\x85éß…\u2028", min_size=6, max_size=40)


class Holder:
    """An object with secrets."""

    def __init__(self, *held: str | None) -> None:
        self.held = held
        keep_secret(self)

    def secrets(self) -> tuple[str | None, ...]:
        """What must not be shown."""
        return self.held


@pytest.mark.parametrize("way", WAYS)
@given(secret=SECRETS)
def test_a_held_secret_in_any_quotation(way: Callable[[str], str], secret: str) -> None:
    """A secret that is held is masked, however it is quoted; its own words alone are not enough."""
    holder = Holder(secret)
    told = masked(f"A[{way(secret)}]B")
    assert way(secret) not in told
    assert secret not in told
    del holder


def test_forgotten() -> None:
    """What is held no longer is not kept for the sake of masking it."""
    holder = Holder(CANARY)
    assert CANARY not in masked(f"has {CANARY}")
    del holder
    assert CANARY in masked(f"has {CANARY}")


@pytest.mark.parametrize(
    "variable",
    [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "PGPASSWORD",
        "https_proxy",
    ],
)
def test_of_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Secrets in variables are known, those in the URL of a proxy included."""
    value = f"http://app:{quote(CANARY, safe='')}@proxy" if "proxy" in variable else CANARY
    monkeypatch.setenv(variable, value)
    assert CANARY not in first_line(ValueError(f"cannot send {CANARY} there"))
    assert quote(CANARY, safe="") not in first_line(f"cannot connect to {value}")


@pytest.mark.parametrize(
    ("variable", "content"),
    [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", CANARY),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", f"{CANARY}\n"),
        ("AWS_SHARED_CREDENTIALS_FILE", f"[default]\naws_secret_access_key={CANARY}\n"),
        ("AWS_CONFIG_FILE", f"broken\nAWS_Session_Token :\n  first\n  {CANARY}\n"),
    ],
)
def test_of_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: str
) -> None:
    """Secrets in files that variables name are known, whatever else is wrong with the file."""
    (tmp_path / "file").write_text(content)
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    assert CANARY not in first_line(f"cannot send {CANARY} there")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
def test_pipes_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable that names a pipe does not make an error wait for what is written into it."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "pipe"))
    assert first_line("cannot be read") == "cannot be read"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("one\ntwo", "one"),
        ("\n  one  \r\ntwo", "one"),
        ("answered <html>…", "answered"),
        ('cannot parse {"SecretAccessKey": "x"}', "cannot parse"),
        ("Invalid header value b'x\\n'", "Invalid header value"),
        ("https://host/?X-Amz-Signature=00ff&x", "https://host/?X-Amz-Signature=***&x"),
        ("red \x1b[31m", "red ?[31m"),
        (ValueError(), "ValueError"),
        (ValueError("{"), "ValueError"),
        (KeyError("x"), "'x'"),
        ("x" * 1000, "x" * 500),
    ],
)
def test_first_line(said: Any, shown: str) -> None:
    """The first line, up to what it quotes, in characters that a terminal can be given."""
    assert first_line(said) == shown


def test_http_clients_quote_what_they_cannot_send() -> None:
    """The reason for all this; and an unknown token is not shown even so."""
    connection = http.client.HTTPConnection("localhost")
    connection.putrequest("GET", "/")
    with pytest.raises(ValueError, match="canary") as caught:
        connection.putheader("X-Amz-Security-Token", f"{CANARY}\n")
    assert first_line(caught.value) == "Invalid header value"


def _raised(raises: Callable[[], object]) -> BaseException:
    try:
        raises()
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError


def _all_of(error: BaseException) -> str:
    shown, current = [], error
    while current is not None:
        shown += [repr(current), str(vars(current)), *traceback.format_exception(current)]
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if frame.f_code.co_name.startswith("quotes"):
                shown.append(repr(dict(frame.f_locals)))
        current = current.__cause__ or current.__context__  # type: ignore[assignment]
    return "\n".join(shown)


def quotes_in_its_words() -> None:
    """As HTTP clients do."""
    raise OSError(f"cannot send {CANARY}")


def quotes_what_it_was_given() -> None:
    """As parsers do."""
    json.loads(f"{CANARY} is no JSON")


def quotes_what_it_encodes() -> None:
    """As codecs do."""
    f"{CANARY}…".encode("latin-1")


def quotes_in_its_frames() -> None:
    """As most code does."""
    token = CANARY
    raise OSError(f"cannot send {len(token)} characters")


def quotes_in_its_context() -> None:
    """As code that handles errors does."""
    try:
        quotes_in_its_words()
    except OSError as error:
        raise RuntimeError("cannot go on") from error


@pytest.mark.parametrize(
    "quotes",
    [
        quotes_in_its_words,
        quotes_what_it_was_given,
        quotes_what_it_encodes,
        quotes_in_its_frames,
        quotes_in_its_context,
    ],
)
def test_a_cause_is_kept_and_holds_no_secret(quotes: Callable[[], None]) -> None:
    """The cause of our errors has the names and words of the library's, and nothing else of it."""
    holder = Holder(CANARY)
    error = _raised(quotes)
    assert CANARY in _all_of(error)
    cause = harmless(error)
    assert CANARY not in _all_of(cause)
    assert type(cause).__name__ == type(error).__name__
    assert type(cause).__module__ == type(error).__module__
    assert (cause.__cause__ is None) is (error.__cause__ is None)
    del holder


def test_a_harmless_cause_is_itself() -> None:
    """A search for a type of error among causes finds it."""
    error = _raised(lambda: Path("/nonexistent").read_text())
    assert harmless(error) is error


def test_what_was_being_handled_stays_as_it_was() -> None:
    """The user's own error, during whose handling we were called, is none of ours."""
    with pytest.raises(RuntimeError, match="canary") as caught:
        _handles_an_error_of_its_own()
    frame = caught.value.__traceback__.tb_next.tb_frame  # type: ignore[union-attr]
    assert frame.f_locals["mine"] == CANARY
    assert frame.f_locals["cause"].__cause__ is None


def _handles_an_error_of_its_own() -> None:
    mine = CANARY
    try:
        quotes_in_its_words()
    except OSError as error:
        cause = harmless(_raised(quotes_what_it_was_given), sys.exception())
        assert CANARY not in str(cause)
        raise RuntimeError(mine) from error
