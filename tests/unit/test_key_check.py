"""Keys that cannot be any are refused with their place and their fault, and are not shown."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam._aws.key_check import name_of, refuse_malformed, watch_signers

KEY_ID, SECRET, TOKEN = "AKIA_canary1", "canary/secret+of/40", "canary//token=="
WHAT = ("access key id", "secret access key", "session token")
LETTERS = "letters and digits, without quotes or blanks"
PRINTABLE = "printable ASCII, without quotes or blanks"

key_ids = st.from_regex(r"[A-Za-z0-9_]+", fullmatch=True)
others = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1).map(
    lambda text: f"k{text}k"
)


def _said(part: int, value: Any, **where: Any) -> str:
    """What is said of keys one of whose parts is `value`."""
    keys: list[Any] = [KEY_ID, SECRET, TOKEN]
    keys[part] = value
    with pytest.raises(CredentialsError) as caught:
        refuse_malformed((keys[0], keys[1], keys[2]), "iam-role", **{"environ": {}} | where)
    assert not caught.value.retryable
    assert "canary" not in str(caught.value)
    return str(caught.value).removeprefix("no AWS credentials from 'iam-role': ")


@given(key_ids, others, others | st.sampled_from([None, ""]))
def test_keys_as_they_are_pass(key_id: str, secret: str, token: str | None) -> None:
    """Whatever AWS may hand out is taken, and long-term keys have no session token."""
    refuse_malformed((key_id, secret, token), "env", environ={})


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize(
    ("value", "fault"), [(None, "is missing"), ("", "is missing"), (b"x", "is no text")]
)
def test_what_is_no_key_at_all(part: int, value: Any, fault: str) -> None:
    """A part that is not there, or is not text, is told apart from one that is misspelled."""
    assert _said(part, value) == f"the {WHAT[part]} {fault}"
    empty = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    assert _said(part, value, environ=empty) == f"the {WHAT[part]} {fault}"


def test_a_token_that_is_no_text() -> None:
    """A session token may be left out, and is text if it is there."""
    assert _said(2, 12) == "the session token is no text"


NAMES = {
    "\n": "a line feed",
    "\r": "a carriage return",
    "\0": "a NUL",
    "\t": "a tab",
    "\x85": "a control character",
    '"': "a quotation mark",
    "'": "a quotation mark",
    "`": "a quotation mark",
    " ": "a blank",
    "\xa0": "a blank",
    "é": "a character that is not ASCII",
    "…": "a character that is not ASCII",
    "-": "punctuation",
    "~": "punctuation",
}


@pytest.mark.parametrize("character", NAMES, ids=repr)
def test_characters_have_names(character: str) -> None:
    """What must not be shown is described."""
    assert name_of(character) == NAMES[character]


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("bad", [each for each in NAMES if each not in "-~"], ids=repr)
def test_around_a_key(part: int, bad: str) -> None:
    """What is around a key can be removed, and the message says at which end; the end is first."""
    expected = PRINTABLE if part else LETTERS
    advice = f"{NAMES[bad]}: remove it (expected {expected})"
    assert _said(part, f"k{bad}") == f"the {WHAT[part]} ends in {advice}"
    assert _said(part, f"{bad}k") == f"the {WHAT[part]} begins with {advice}"
    assert _said(part, f"{bad}k{bad}") == f"the {WHAT[part]} ends in {advice}"


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("bad", [each for each in NAMES if each not in "\"'`-~"], ids=repr)
def test_inside_a_key(part: int, bad: str) -> None:
    """What is inside is named by the first character that does not belong there."""
    expected = PRINTABLE if part else LETTERS
    assert (
        _said(part, f"k{bad}k") == f"the {WHAT[part]} has {NAMES[bad]} in it: expected {expected}"
    )
    assert NAMES[bad] in _said(part, f"k/k{bad}k" if part else f"k{bad}k-k")


@pytest.mark.parametrize("key_id", ["AKIA-X", "-AKIA", "AKIA/", "a'b"])
def test_an_id_has_letters_and_digits_only(key_id: str) -> None:
    """Punctuation is part of secrets, and never of an access key id."""
    assert " in it: expected letters and digits" in _said(0, key_id)
    refuse_malformed((KEY_ID, f"k{key_id}k", None), "env", environ={})


@pytest.mark.parametrize(
    ("variable", "part"),
    [
        ("AWS_ACCESS_KEY_ID", 0),
        ("AWS_SECRET_ACCESS_KEY", 1),
        ("AWS_SESSION_TOKEN", 2),
        ("AWS_SECURITY_TOKEN", 2),
    ],
)
def test_the_variable_is_named(variable: str, part: int) -> None:
    """The variable that has the very value is where it has to be put right."""
    found = _said(part, "k\n", environ={"AWS_PROFILE": "k\n", variable: "k\n"})
    assert found.startswith(f"{variable} ends in a line feed")
    assert _said(part, "k\n", environ={variable: "k"}).startswith(f"the {WHAT[part]} ends")


def test_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another one is handed in, it is this process's environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k ")
    with pytest.raises(CredentialsError, match="'env': AWS_ACCESS_KEY_ID ends in a blank"):
        refuse_malformed(("k ", SECRET, None), "env")


def test_the_setting_is_named(tmp_path: Path) -> None:
    """Without a variable, it is the setting of a file; without that, what the user handed in."""
    file = tmp_path / "credentials"
    file.write_text("[app]\naws_secret_access_key = 'quoted'\n")
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_CONFIG_FILE": str(tmp_path / "none")}
    found = _said(1, "'quoted'", environ=environ, given="the session (rds_iam_session)")
    assert found.startswith(f"aws_secret_access_key of [app] in {file} ends in a quotation mark")
    found = _said(1, "'other'", environ=environ, given="the session (rds_iam_session)")
    assert found.startswith("the secret access key of the session (rds_iam_session) ends in")


class Signer:
    """What botocore hands to those who want to know before it signs."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials


def _before_sign(credentials: Any) -> None:
    session = Session()
    watch_signers(session)
    session.emit("before-sign.sts.AssumeRole", request_signer=Signer(credentials))


def test_a_request_is_not_signed_with_malformed_keys() -> None:
    """The session refuses them, by the provider's name, or as what another one starts from."""
    with pytest.raises(CredentialsError, match="from 'env': the secret access key ends in a tab"):
        _before_sign(Credentials(KEY_ID, "k\t", method="env"))
    with pytest.raises(CredentialsError, match="from 'the source of a role': the access key id "):
        _before_sign(Credentials("k-k", SECRET))
    with pytest.raises(CredentialsError, match="from 'the source of a role': the session token "):
        _before_sign(Credentials(KEY_ID, SECRET, "k\0k").get_frozen_credentials())
    _before_sign(Credentials(KEY_ID, SECRET, TOKEN, method="env"))


def test_keys_that_are_not_there_yet() -> None:
    """Unsigned requests have none; and what was never fetched is not fetched by the look at it."""
    _before_sign(None)
    asked: list[Any] = []
    keys = RefreshableCredentials("k\n", SECRET, TOKEN, None, lambda: asked.append(1), "iam-role")
    keys._frozen_credentials = None
    _before_sign(keys)
    with pytest.raises(CredentialsError, match="from 'iam-role': the access key id ends in"):
        _before_sign(RefreshableCredentials("k\n", SECRET, TOKEN, None, dict, "iam-role"))
    assert not asked


def test_on_an_event_loop() -> None:
    """Those of aiobotocore: it awaits those who want to know, so there the same is a coroutine."""
    watchers: list[Any] = []

    class AioSession:
        def register(self, event: str, watcher: Any) -> None:
            assert event == "before-sign"
            watchers.append(watcher)

    watch_signers(AioSession(), is_async=True)
    with pytest.raises(CredentialsError, match="ends in a line feed"):
        asyncio.run(watchers[0](request_signer=Signer(Credentials("k\n", SECRET)), other=1))
