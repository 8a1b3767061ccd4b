"""The verifier accepts what botocore and the official SDKs sign, and nothing that differs."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from emulator_support import sign
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam.testing import AccessKey, Decision, Identities, SignedEndpoint, verify

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "tokens.json").read_text()
)
ENDPOINT = SignedEndpoint("db.c0ffee123456.eu-west-1.rds.amazonaws.com", 5432, "eu-west-1")
IDENTITIES = Identities()
KEY = IDENTITIES.issue(IDENTITIES.user("app"))
TEMPORARY = IDENTITIES.issue(IDENTITIES.role("worker"), lifetime=3600)


def judge(token: str, user: str = "app", *, age: float = 0.0, **endpoint: Any) -> Decision:
    """The decision `age` seconds from now, by a database that differs by `endpoint`."""
    changed = dataclasses.replace(ENDPOINT, **endpoint)
    return verify(token, user, changed, IDENTITIES, time.time() + age)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_golden_vectors_are_granted(vector: dict[str, Any]) -> None:
    """Every token published by an SDK, Kong's with its port 443 included, is granted."""
    identities = Identities()
    identities._keys[vector["access_key"]] = AccessKey(
        vector["access_key"],
        vector["secret_key"],
        vector["session_token"],
        None,
        identities.user("app"),
    )
    decision = verify(
        vector["expected_token"],
        vector["user"],
        SignedEndpoint(vector["host"], vector["port"], vector["region"]),
        identities,
        datetime.fromisoformat(vector["clock"]).timestamp(),
    )
    assert decision.granted, decision.detail
    assert vector["access_key"] == decision.access_key


def test_port_443_is_accepted_with_and_without_the_port_in_the_host_header() -> None:
    """Botocore leaves the default https port out of the signed Host, other SDKs do not."""
    endpoint = dataclasses.replace(ENDPOINT, port=443)
    assert judge(sign(KEY, endpoint), port=443).granted
    kong = next(vector for vector in VECTORS if vector["port"] == 443)
    assert ":443/" in kong["expected_token"]


@given(user=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_botocore_and_the_verifier_agree_on_every_user_name(user: str) -> None:
    """Whatever needs quoting in a user's name, a token of botocore's is granted to that user."""
    assert judge(sign(KEY, ENDPOINT, user), user).granted


@given(data=st.data())
def test_a_token_with_one_character_changed_is_refused(data: st.DataObject) -> None:
    """No character of a token is without meaning, but the case of host and percent escapes."""
    token = sign(TEMPORARY, ENDPOINT)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    changed = token[:at] + other + token[at + 1 :]
    if changed.lower() != token.lower():
        assert not judge(changed).granted


@given(st.text())
def test_any_text_is_refused_without_an_error_and_without_an_echo(text: str) -> None:
    """A password that is no token is refused; it may be a real one, so no detail quotes it."""
    secret = "correct-horse" + text
    decision = judge(secret)
    assert decision.reason == "InvalidToken"
    assert "correct-horse" not in decision.detail


@given(st.lists(st.sampled_from(["Action=connect", "DBUser=%ff", "DBUser=app", "X", "=", "a=b"])))
def test_any_query_is_refused_without_an_error(pairs: list[str]) -> None:
    """Parameters that are repeated, empty, missing or not UTF-8 are refused as what they are."""
    assert judge(f"{ENDPOINT.host}:5432/?{'&'.join(pairs)}").reason == "InvalidToken"


def edited(token: str, **parameters: str | None) -> str:
    """The token with parameters replaced or, by None, left out."""
    address, _, query = token.partition("/?")
    pairs = dict(pair.split("=", 1) for pair in query.split("&"))
    for name, value in parameters.items():
        key = name.replace("_", "-")
        if value is None:
            del pairs[key]
        else:
            pairs[key] = quote(value, safe="")
    return address + "/?" + "&".join(f"{key}={value}" for key, value in pairs.items())


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"Action": "conn"}, "Action is 'conn', it must be 'connect'"),
        ({"DBUser": "App"}, "signed for user 'App', the login is as 'app'"),
        ({"X_Amz_Algorithm": "MD5"}, "X-Amz-Algorithm is 'MD5', it must be 'AWS4-HMAC-SHA256'"),
        ({"X_Amz_SignedHeaders": "host;x"}, "SignedHeaders is 'host;x', it must be 'host'"),
        ({"X_Amz_Expires": "901"}, "X-Amz-Expires is '901', it must be 1 to 900 seconds"),
        ({"X_Amz_Expires": "0"}, "X-Amz-Expires is '0'"),
        ({"X_Amz_Expires": "-1"}, "X-Amz-Expires is '-1'"),
        ({"X_Amz_Expires": "٣"}, "X-Amz-Expires is"),
        ({"X_Amz_Date": "20260230T000000Z"}, "signed in the scope of date"),
        ({"X_Amz_Credential": "AKIA/x"}, "X-Amz-Credential is not key/date/region/service"),
        ({"X_Amz_Signature": "0" * 64}, "the signature does not match"),
        ({"X_Amz_Signature": None}, "the token lacks the parameter X-Amz-Signature"),
        ({"X_Amz_Security_Token": "abc"}, "is long-term, yet the token has a session token"),
        ({"extra": "1"}, "the signature does not match"),
    ],
)
def test_the_detail_names_the_parameter_that_is_wrong(
    changes: dict[str, str | None], detail: str
) -> None:
    """Each malformed parameter is an InvalidToken whose detail says what it must be."""
    decision = judge(edited(sign(KEY, ENDPOINT), **changes))
    assert decision.reason == "InvalidToken"
    assert detail in decision.detail


def test_a_repeated_parameter_is_refused() -> None:
    """Two values for one name leave open which of them was signed, even when they are equal."""
    token = sign(KEY, ENDPOINT)
    assert judge(token + "&Action=connect").detail == "the token repeats a parameter"


def test_a_date_that_is_none_is_refused() -> None:
    """A date in the right form that no calendar has is refused, not an error."""
    token = sign(KEY, ENDPOINT)
    today = token.partition("X-Amz-Date=")[2][:8]
    decision = judge(token.replace(today, "20260230"))
    assert (
        decision.detail == "X-Amz-Date is " + repr("20260230" + _time(token)) + ", which is no date"
    )
    spaced = edited(token, X_Amz_Date=f"{today}T 1 1 1Z")
    assert "must look like" in judge(spaced).detail


def _time(token: str) -> str:
    return token.partition("X-Amz-Date=")[2][8:16]


@pytest.mark.parametrize(
    ("other", "detail"),
    [
        ({"host": "other.example.com"}, "signed for host 'db.c0ffee123456.eu-west-1"),
        ({"port": 5433}, "signed for port '5432', this is 5433"),
        ({"region": "eu-west-2"}, "scope of region 'eu-west-1', it must be 'eu-west-2'"),
    ],
)
def test_a_token_for_another_database_is_refused(other: dict[str, Any], detail: str) -> None:
    """Host, port and region must be those of this very database."""
    decision = judge(sign(KEY, ENDPOINT), **other)
    assert decision.reason == "InvalidToken"
    assert detail in decision.detail


def test_the_case_of_the_host_does_not_matter() -> None:
    """Botocore signs the host in lower case whatever the text says, so the text may differ."""
    shouting = dataclasses.replace(ENDPOINT, host=ENDPOINT.host.upper())
    assert judge(sign(KEY, shouting)).granted
    assert judge(sign(KEY, ENDPOINT), host=shouting.host).granted


def test_age_decides_between_granted_expired_and_future() -> None:
    """Fifteen minutes of life, five minutes of tolerance for a database clock that is behind."""
    token = sign(KEY, ENDPOINT)
    assert judge(token, age=895).granted
    assert judge(token, age=905).reason == "ExpiredToken"
    assert "longer than 15 minutes" in judge(token, age=905).detail
    assert judge(token, age=-295).granted
    assert judge(token, age=-305).reason == "InvalidToken"
    assert "in the future" in judge(token, age=-305).detail


def test_the_session_token_must_be_the_keys_own() -> None:
    """A temporary key without its session token, or with another's, signs nothing."""
    assert judge(sign(TEMPORARY, ENDPOINT)).granted
    bare = dataclasses.replace(TEMPORARY, session_token=None)
    assert "has no session token" in judge(sign(bare, ENDPOINT)).detail
    wrong = dataclasses.replace(TEMPORARY, session_token="other")
    assert "is not that of access key" in judge(sign(wrong, ENDPOINT)).detail


def test_a_key_that_expired_or_was_revoked_signs_nothing() -> None:
    """The credentials must still be valid when the token is used, however young the token is."""
    identities = Identities()
    principal = identities.role("short")
    key = identities.issue(principal, lifetime=60)
    token = sign(key, ENDPOINT)
    now = time.time()
    assert verify(token, "app", ENDPOINT, identities, now).granted
    late = verify(token, "app", ENDPOINT, identities, now + 61)
    assert late.reason == "ExpiredToken"
    assert key.access_key in late.detail
    identities.revoke(principal)
    revoked = verify(token, "app", ENDPOINT, identities, now)
    assert revoked.reason == "InvalidToken"
    assert "revoked" in revoked.detail


def presigned(key: AccessKey, expires: int, *, extra: dict[str, str] | None = None) -> str:
    """A token that is good for so many seconds, and says more, by botocore's signer."""
    parameters = {"Action": "connect", "DBUser": "app", **(extra or {})}
    request = AWSRequest("GET", f"https://{ENDPOINT.host}:{ENDPOINT.port}/", params=parameters)
    credentials = Credentials(key.access_key, key.secret_key, key.session_token)
    SigV4QueryAuth(credentials, "rds-db", ENDPOINT.region, expires=expires).add_auth(request)
    return str(request.url).removeprefix("https://")


@given(expires=st.integers(1, 900), age=st.integers(0, 1200))
def test_x_amz_expires_counts(expires: int, age: int) -> None:
    """A token is good for 15 minutes, or for as long as it says where that is shorter."""
    token = presigned(KEY, expires)
    # botocore cuts fractions of a second off.
    decision = verify(token, "app", ENDPOINT, IDENTITIES, signed_at(token) + age)
    assert decision.granted == (age <= expires)
    if not decision.granted:
        assert decision.reason == "ExpiredToken"
        expected = "longer than 15 minutes" if age > 900 else f"X-Amz-Expires says {expires} s"
        assert expected in decision.detail


@pytest.mark.parametrize("expires", [901, 3600, 604_800])
def test_no_longer_than_fifteen_minutes(expires: int) -> None:
    """A token that says that it is good for longer is refused at once, however well signed."""
    decision = judge(presigned(KEY, expires))
    assert decision.reason == "InvalidToken"
    assert "it must be 1 to 900 seconds" in decision.detail


def signed_at(token: str) -> float:
    """The second in which a token was signed."""
    return datetime.strptime(
        token.partition("X-Amz-Date=")[2][:16] + "+0000", "%Y%m%dT%H%M%SZ%z"
    ).timestamp()


@given(st.permutations(range(9)), st.booleans())
def test_another_spelling_of_the_same_token(order: list[int], lower: bool) -> None:
    """The order of parameters and the case of escapes are no part of what is signed (SigV4)."""
    token = sign(TEMPORARY, ENDPOINT)
    address, _, query = token.partition("/?")
    pairs = query.split("&")
    assert len(pairs) == len(order)
    spelled = "&".join(pairs[number] for number in order)
    if lower:
        spelled = re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), spelled)
    assert judge(f"{address.upper()}/?{spelled}").granted


def test_what_is_signed_beside_is_let_in() -> None:
    """A further parameter does no harm where it is signed."""
    assert judge(presigned(KEY, 900, extra={"X-Amz-User-Agent": "an SDK's"})).granted


@pytest.mark.parametrize("age", [-301, -299, 899, 902])
def test_clocks(age: int) -> None:
    """Five minutes of difference are let in one way, and a token's life the other."""
    assert judge(sign(KEY, ENDPOINT), age=age).granted == (-300 < age < 900)


@pytest.mark.parametrize(
    "change",
    [
        lambda token: "https://" + token,
        lambda token: token.replace(".com:", ".com.:"),
        lambda token: token.replace(":5432/", "/"),
        lambda token: token.replace(":5432/", ":05432/"),
        lambda token: token.replace("/?", "/app?"),
        lambda token: token.replace("/?", "?"),
        lambda token: token.replace("eu-west-1%2F", "EU-WEST-1%2F"),
        lambda token: token.replace("rds-db", "rds"),
        lambda token: token + "&Action=connect",
        lambda token: token + "&more=1",
        lambda token: token + "&",
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token.replace("Action=connect", "action=connect"),
        lambda token: token.replace("DBUser=app", "DBUser=app%00"),
    ],
)
def test_another_token(change: Callable[[str], str]) -> None:
    """What is not the token that was signed is refused."""
    token = sign(KEY, ENDPOINT)
    assert judge(token).granted
    changed = change(token)
    assert changed != token
    assert judge(changed).reason == "InvalidToken"


def test_only_the_policy_refusal_is_not_authorized() -> None:
    """A flawless token of a principal without permission is NotAuthorized, a forged one is not."""
    identities = Identities()
    key = identities.issue(identities.user("reader", db_users=["report"]))
    decision = verify(sign(key, ENDPOINT), "app", ENDPOINT, identities, time.time())
    assert decision.reason == "NotAuthorized"
    assert decision.principal == key.principal.arn
    forged = dataclasses.replace(key, secret_key="guess")
    decision = verify(sign(forged, ENDPOINT), "app", ENDPOINT, identities, time.time())
    assert decision.reason == "InvalidToken"
    unknown = dataclasses.replace(key, access_key="AKIAUNKNOWN")
    decision = verify(sign(unknown, ENDPOINT), "app", ENDPOINT, identities, time.time())
    assert decision.detail == "access key 'AKIAUNKNOWN' does not exist in this account"


@pytest.mark.parametrize("key", [KEY, TEMPORARY], ids=["long-term", "temporary"])
def test_decisions_hold_no_secrets(key: AccessKey) -> None:
    """Neither the token, its signature, the secret key nor the session token is in a Decision."""
    token = sign(key, ENDPOINT)
    signature = token.rpartition("=")[2]
    for decision in (judge(token), judge(token, "other"), judge(token, age=1000)):
        shown = repr(decision)
        assert signature not in shown
        assert key.secret_key not in shown
        assert key.session_token is None or key.session_token not in shown
        assert "X-Amz-Signature=" not in shown
