"""What is in a secret: who logs in with what, and where, out of its JSON. Pure.

Source: "JSON structure of AWS Secrets Manager database credential secrets" in its user guide.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy_rds_iam._aws.key_check import QUOTES, name_of
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._masking import keep_secret
from sqlalchemy_rds_iam._passwords.expiry import Lifetimes
from sqlalchemy_rds_iam._passwords.identity import Identity
from sqlalchemy_rds_iam._passwords.password import IssuedPassword, MaskedStr
from sqlalchemy_rds_iam.errors import SecretError

_LAST_PORT = 65535


@dataclass(frozen=True, slots=True, weakref_slot=True)
class SecretFields:
    """What a secret says about logging in; None where it says nothing.

    Attributes:
        password: the password.
        user: the database user whose password it is.
        host: where the database is; `port` likewise.
        port: see `host`.
        database: the database to use.
        engine: what kind of database it is, in AWS's words.
    """

    password: MaskedStr
    user: str | None = None
    host: str | None = None
    port: int | None = None
    database: str | None = None
    engine: str | None = None

    def __post_init__(self) -> None:
        keep_secret(self)

    @property
    def oddity(self) -> str | None:
        """What of the password may be a mistake, in words that do not show it; None if nothing."""
        text = self.password()
        first, last = text[0], text[-1]
        if first in QUOTES and first == last and len(text) > 1:
            return "is in quotation marks, which are sent with it"
        for where, each in (("ends in", last), ("begins with", first)):
            if each.isspace() or not each.isprintable():
                return f"{where} {name_of(each)}, which is sent with it"
        return "begins like a JSON list, and is sent as it is" if first == "[" else None

    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""
        return (self.password,)


@dataclass(frozen=True, slots=True)
class Secret:
    """One version of a secret, as it was fetched.

    Attributes:
        login: what is in it.
        arn: the secret's ARN.
        version_id: the version's id.
        stages: the staging labels that it had.
        ttl: seconds after which to fetch it anew; 0 for never.
        resurrect_ttl: seconds beyond `ttl` that it may be used if that fails.
        fetched_at: epoch seconds.
    """

    login: SecretFields
    arn: str
    version_id: str
    stages: tuple[str, ...]
    ttl: float = 0.0
    resurrect_ttl: float = 0.0
    fetched_at: float = field(default=0.0, compare=False)

    @property
    def expires_at(self) -> None:
        """Nothing: when the password is changed is not known."""

    def identity(self) -> Identity:
        """Whose password it is."""
        return Identity(secret=self.arn, version=self.version_id)

    def lifetimes(self, now: float) -> Lifetimes:
        """When to fetch it anew, and when to stop using it."""
        if self.ttl == 0:
            return Lifetimes(float("inf"), float("inf"))
        return Lifetimes(now + self.ttl, now + self.ttl + self.resurrect_ttl)


@dataclass(slots=True)
class SecretPassword(IssuedPassword):
    """The password of a secret, and the secret that it is from."""

    secret: Secret | None = field(default=None, repr=False)


def fields_in(text: str, name: str, username_key: str, password_key: str) -> SecretFields:
    """Read what a secret says about logging in.

    A text that is no JSON object is the password itself; it must not begin with a brace, since that
    is how broken JSON begins. A byte order mark before either is dropped, as editors write it.

    Args:
        text: the secret's value.
        name: the secret's name, for messages.
        username_key: where the user is in it.
        password_key: where the password is in it.

    Raises:
        SecretError: it is no valid JSON, or something in it is missing or cannot be used. The
            message names keys, never values.
    """
    text = text.removeprefix("\ufeff")
    if not text.lstrip().startswith("{"):
        if text:
            return SecretFields(_password(text, f"the secret {name!r}"))
        raise SecretError(f"the secret {name!r} is empty")
    fields, place = _parsed(text)
    if fields is None:
        raise SecretError(
            f"the secret {name!r} begins like JSON and is none ({place}): correct it; a password "
            "as plain text must not begin with {"
        )
    reader = _Reader(fields, name)
    for key in (username_key, password_key, "host", "port", "dbname"):
        if key in fields.twice:
            raise SecretError(
                f"the secret {name!r} has the key {key!r} twice: remove one of the two"
            )
    if password_key not in fields:
        known = ", ".join(map(repr, sorted(fields))) or "none"
        raise SecretError(
            f"the secret {name!r} has no key {password_key!r} for the password "
            f"(rds_secret_password_key); its keys are {known}"
        )
    return SecretFields(
        _password(
            reader.text(password_key), f"in the secret {name!r} the value of {password_key!r}"
        ),
        reader.text(username_key) if username_key in fields else None,
        reader.text("host") if "host" in fields else None,
        reader.port("port") if "port" in fields else None,
        reader.text("dbname") if "dbname" in fields else None,
        engine if isinstance(engine := fields.get("engine"), str) else None,
    )


def agree(name: str, mine: Any, theirs: Any) -> bool:
    """Whether a connect argument of this name says the same as the secret does."""
    if name == "host":
        return isinstance(mine, str) and parse_host(mine).host == parse_host(str(theirs)).host
    if name == "port":
        return str(mine) == str(theirs)
    return bool(mine == theirs)


def _password(text: str, whose: str) -> MaskedStr:
    if "\0" in text:
        raise SecretError(f"{whose} has a NUL in it, which no driver sends: write it anew")
    return MaskedStr(text)


class _Fields(dict[str, Any]):
    """A JSON object, and which of its keys it has more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.twice = (
            {name for name in self if names.count(name) > 1} if len(self) < len(names) else set()
        )


class _Reader:
    """Reads values, and raises errors about them that do not show what they are."""

    def __init__(self, fields: dict[str, Any], name: str) -> None:
        self._fields = fields
        self._name = name

    def text(self, key: str) -> str:
        value = self._fields[key]
        if isinstance(value, str) and value:
            return value
        what = "is empty" if value in ("", None) else "is no text"
        raise SecretError(f"in the secret {self._name!r} the value of {key!r} {what}")

    def port(self, key: str) -> int:
        value = self._fields[key]
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            value = int(value[:6])
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LAST_PORT:
            return value
        raise SecretError(f"in the secret {self._name!r} the value of {key!r} is no port number")


def _parsed(text: str) -> tuple[_Fields | None, str]:
    # Json's own error holds the whole text; it must not be the cause or context of ours.
    try:
        return json.loads(text, object_pairs_hook=_Fields), ""
    except json.JSONDecodeError as error:
        return None, f"line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):
        return None, "too large a number, or too deep"
