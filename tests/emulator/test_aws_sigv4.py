"""The verifier of SigV4 headers: it accepts what botocore signs, and nothing that was altered."""

import dataclasses
import string
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given
from hypothesis import strategies as st

from sqlalchemy_rds_iam.testing.aws.identities import AccessKey, Identities
from sqlalchemy_rds_iam.testing.aws.service import AwsError, Call
from sqlalchemy_rds_iam.testing.aws.sigv4 import authenticate, authorization, signature

HOST = "127.0.0.1:8443"
IDENTITIES = Identities()
USER = IDENTITIES.user()
KEYS = [IDENTITIES.issue(USER), IDENTITIES.issue(USER, 3600)]

segments = st.one_of(
    st.sampled_from(["", ".", "..", "a//b", "~x"]),
    st.text(max_size=5).map(lambda text: quote(text, safe="")),
)
encoded = st.text(max_size=5).map(lambda text: quote(text, safe="-_.~"))
queries = st.lists(st.tuples(encoded, encoded), max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
header_names = st.text(string.ascii_letters, min_size=1, max_size=4).map("X-Test-".__add__)
header_values = st.text(
    st.one_of(
        st.sampled_from(" \t,"),
        st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["Cc", "Cs"]),
    ),
    max_size=12,
)


@st.composite
def signed_calls(draw: st.DrawFn) -> tuple[Call, AccessKey]:
    """A request with random parts, signed by botocore."""
    key = draw(st.sampled_from(KEYS))
    query = draw(queries)
    target = "/" + "/".join(draw(st.lists(segments, max_size=4))) + ("?" + query if query else "")
    # A target of two slashes would be read as a host by every URL parser, botocore's too.
    assume(not target.startswith("//"))
    request = AWSRequest(
        method=draw(st.sampled_from(["GET", "POST", "PUT"])),
        url=f"http://{HOST}{target}",
        data=draw(st.binary(max_size=40)),
    )
    for name, value in draw(st.lists(st.tuples(header_names, header_values), max_size=4)):
        request.headers.add_header(name, value)
    credentials = Credentials(key.access_key, key.secret_key, key.session_token)
    botocore.auth.SigV4Auth(
        credentials, "sts", draw(st.sampled_from(["eu-central-1", "x"]))
    ).add_auth(request)
    headers = (("Host", HOST), *request.headers.items())
    url = urlsplit(request.url)
    assert f"{url.path}{'?' if url.query else ''}{url.query}" == target
    return Call(request.method, target, headers, request.data), key


def check(call: Call) -> AccessKey:
    """The signer of `call`, by the clock of the tests."""
    return authenticate(call, IDENTITIES, service="sts", clock_skew=300)


def with_header(call: Call, name: str, value: str) -> Call:
    """`call` with `name` replaced, or added."""
    headers = [(key, old) for key, old in call.headers if key.lower() != name.lower()]
    return dataclasses.replace(call, headers=(*headers, (name, value)))


@given(signed_calls())
def test_a_request_signed_by_botocore_is_its_signers(signed: tuple[Call, AccessKey]) -> None:
    """Whatever the method, path, query, headers and body: the key that signed is recognised."""
    call, key = signed
    assert check(call) is key


@given(signed_calls(), st.data())
def test_an_altered_request_is_refused(signed: tuple[Call, AccessKey], data: st.DataObject) -> None:
    """Changing any one signed part makes the signature wrong."""
    call, _ = signed
    signed_names = [name for name, _ in call.headers if name != "Authorization"]
    name = data.draw(st.sampled_from(signed_names))
    altered = data.draw(
        st.sampled_from(
            [
                dataclasses.replace(call, body=call.body + b"x"),
                dataclasses.replace(call, method="DELETE"),
                dataclasses.replace(call, target=call.path + "/other"),
                dataclasses.replace(
                    call, target=f"{call.target}{'&' if '?' in call.target else '?'}x=1"
                ),
                with_header(call, name, (call.header(name) or "") + "0"),
                with_header(call, "X-Amz-Unsigned", "1"),
            ]
        )
    )
    with pytest.raises(AwsError) as refused:
        check(altered)
    assert refused.value.code in {
        "SignatureDoesNotMatch",
        "IncompleteSignature",  # a date that is none
        "InvalidClientTokenId",  # a session token that is not the key's
    }


@given(st.text(), st.text(), st.text(), st.text())
def test_any_header_is_judged_without_a_crash(
    credential: str, names: str, mark: str, date: str
) -> None:
    """Text that is no signature is refused in AWS's terms."""
    headers = (
        ("Authorization", f"{credential}, SignedHeaders={names}, Signature={mark}"),
        ("X-Amz-Date", date),
    )
    for text in (headers[0][1], "AWS4-HMAC-SHA256 Credential=" + headers[0][1]):
        call = with_header(Call("POST", "/", headers, b""), "Authorization", text)
        with pytest.raises(AwsError):
            check(call)
    scope = f"{KEYS[0].access_key}/{credential}/r/sts/aws4_request"
    text = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={mark}"
    with pytest.raises(AwsError):
        check(with_header(Call("POST", "/", headers, b""), "Authorization", text))


def test_the_documented_example_has_the_documented_signature() -> None:
    """The ListUsers example of the AWS General Reference, independent of any SDK."""
    text = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )
    headers = (
        ("Host", "iam.amazonaws.com"),
        ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("X-Amz-Date", "20150830T123600Z"),
        ("Authorization", text),
    )
    call = Call("GET", "/?Action=ListUsers&Version=2010-05-08", headers, b"")
    claim = authorization(call)
    assert claim is not None
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    signed_at = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    assert claim.signature == signature(secret, claim, signed_at, call)


def test_a_date_header_may_carry_the_time() -> None:
    """Without X-Amz-Date the signing time is that of Date, as botocore signs it then."""
    request = AWSRequest(method="GET", url=f"http://{HOST}/", headers={"Date": "now"})
    key = KEYS[0]
    botocore.auth.SigV4Auth(
        Credentials(key.access_key, key.secret_key), "sts", "eu-central-1"
    ).add_auth(request)
    call = Call("GET", "/", (("Host", HOST), *request.headers.items()), b"")
    assert call.header("X-Amz-Date") is None
    assert check(call) is key


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("/sts/", "/rds-db/", "Credential should be scoped to correct service: 'sts'."),
        ("aws4_request", "aws4", "valid terminator: 'aws4_request', not 'aws4'"),
        ("host;", "", "'host' must be a 'SignedHeader'"),
        ("SignedHeaders=", "Signed=", "requires 'SignedHeaders' parameter"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", "Unsupported AWS 'algorithm'"),
        ("/eu-central-1/", "/", "exactly 5 slash-delimited elements"),
    ],
)
def test_a_malformed_claim_is_named(old: str, new: str, says: str) -> None:
    """The refusal says which part of the Authorization header is wrong."""
    request = AWSRequest(method="GET", url=f"http://{HOST}/")
    credentials = Credentials(KEYS[0].access_key, KEYS[0].secret_key)
    botocore.auth.SigV4Auth(credentials, "sts", "eu-central-1").add_auth(request)
    call = Call("GET", "/", (("Host", HOST), *request.headers.items()), b"")
    text = call.header("Authorization") or ""
    assert old in text
    with pytest.raises(AwsError, match=says):
        check(with_header(call, "Authorization", text.replace(old, new)))
