"""Whether AWS keys can be keys, before a caller signs with them or sends them.

A line feed at the end, as files and Kubernetes secrets often have it, makes HTTP clients quote the
whole session token in their errors; and quotation marks or blanks around a key make every
signature wrong, which is told of nowhere else.

Source: "Credentials" in the AWS STS API reference: an access key id consists of letters, digits and
underscores; what goes into a header has to be printable ASCII (RFC 9110, section 5.5).
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from sqlalchemy_rds_iam._aws.shared_files import setting_of
from sqlalchemy_rds_iam.errors import CredentialsError

_PARTS = (
    ("access key id", ("AWS_ACCESS_KEY_ID",)),
    ("secret access key", ("AWS_SECRET_ACCESS_KEY",)),
    ("session token", ("AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")),
)
_KEY_ID = r"(?a)\w+"
_PRINTABLE = r"[!-~]+"
_NAMES = {"\n": "a line feed", "\r": "a carriage return", "\0": "a NUL", "\t": "a tab"}
QUOTES = "\"'`"


def refuse_malformed(
    keys: tuple[Any, Any, Any],
    provider: str,
    given: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Refuse keys that cannot be any, naming where they are from and never what they are.

    Args:
        keys: access key id, secret access key and session token, if there is one.
        provider: botocore's name of the provider that they come from.
        given: what the user calls the session object that they come from, if it is one.
        environ: where variables are looked for.

    Raises:
        CredentialsError: one of the parts is missing, or has characters that no key has.
    """
    for value, (what, variables) in zip(keys, _PARTS, strict=True):
        is_id, is_token = what == "access key id", what == "session token"
        if is_token and not value:
            continue
        if (fault := _fault(value, is_id=is_id)) is not None:
            place = _place(value, variables, environ) or (
                f"the {what} of {given}" if given else f"the {what}"
            )
            raise CredentialsError(f"no AWS credentials from {provider!r}: {place} {fault}")


def watch_signers(session: Any, *, is_async: bool = False) -> None:
    """Refuse keys that cannot be any before a request is signed with them.

    Those that a role of a profile starts from go to STS without passing by us.

    Args:
        session: one of ours.
        is_async: whether it is aiobotocore's.
    """

    def refuse(request_signer: Any, **_: Any) -> None:
        _refuse(getattr(request_signer, "_credentials", None))

    async def refuse_async(request_signer: Any, **_: Any) -> None:
        _refuse(getattr(request_signer, "_credentials", None))

    session.register("before-sign", refuse_async if is_async else refuse)


def _refuse(keys: Any) -> None:
    # What is in hand, as asking for it would renew what has less than 15 minutes left, and the
    # signer does so right after this. What was never fetched is not in a file, and comes from AWS.
    frozen = getattr(keys, "_frozen_credentials", keys)
    if frozen is None:
        return
    method = getattr(keys, "method", "explicit")
    # So are called those that one provider hands to another.
    source = "the source of a role" if method == "explicit" else method
    refuse_malformed((frozen.access_key, frozen.secret_key, frozen.token), source)


def _place(value: Any, variables: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    variable = next((name for name in variables if environ.get(name) == value), None)
    return variable or setting_of(value, environ)


def _fault(value: Any, *, is_id: bool) -> str | None:
    """What is wrong with a part, without a word of what it is."""
    if not isinstance(value, str) or not value:
        return "is no text" if value else "is missing"
    allowed = _KEY_ID if is_id else _PRINTABLE
    first, last = value[0], value[-1]
    if re.fullmatch(allowed, value) and first not in QUOTES and last not in QUOTES:
        return None
    expected = "letters and digits" if is_id else "printable ASCII"
    expected += ", without quotes or blanks"
    for where, each in (("ends in", last), ("begins with", first)):
        if each in QUOTES or not re.match(_PRINTABLE, each):
            return f"{where} {name_of(each)}: remove it (expected {expected})"
    bad = next(each for each in value if not re.match(allowed, each))
    return f"has {name_of(bad)} in it: expected {expected}"


def name_of(character: str) -> str:
    """What a character is called where itself must not be shown."""
    if character in _NAMES:
        return _NAMES[character]
    if character in QUOTES:
        return "a quotation mark"
    if unicodedata.category(character) == "Cc":
        return "a control character"
    if character.isspace():
        return "a blank"
    return "punctuation" if character.isascii() else "a character that is not ASCII"
