"""The parts of the doctor: reading certificates, speaking to servers, judging, reading the log."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st
from patience import DEADLINE, SOON

from sqlalchemy_rds_iam.doctor import certificate
from sqlalchemy_rds_iam.doctor.findings import (
    Certainty,
    Command,
    Finding,
    Kind,
    Outcome,
    Report,
    Status,
    problem,
    report,
)
from sqlalchemy_rds_iam.doctor.postgresql.wire import PostgresDoor
from sqlalchemy_rds_iam.doctor.schedule import Schedule
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import (
    DeclinedError,
    EarlyError,
    OtherServerError,
    ServerReply,
)
from sqlalchemy_rds_iam.testing.server.ca_bundle import ca_bundle

# Reading certificates.

NAMES = st.lists(
    st.one_of(
        st.from_regex(r"[a-z]{1,20}(\.[a-z]{1,20}){1,4}", fullmatch=True),
        st.ip_addresses().map(str),
    ),
    min_size=1,
    max_size=6,
    unique=True,
)
CA = trustme.CA(organization_name="Amazon Web Services, Inc.", organization_unit_name="Amazon RDS")


def _der(leaf: trustme.LeafCert) -> bytes:
    return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())


@given(NAMES, st.dates(), st.dates())
def test_certificate(names: list[str], begins: datetime, ends: datetime) -> None:
    """Names and validity are those that another library reads, whatever they are."""
    first, last = (datetime(d.year, d.month, d.day, tzinfo=UTC) for d in sorted((begins, ends)))
    try:
        leaf = CA.issue_cert(*names, not_before=first, not_after=last)
    except ValueError:  # before 1950, which X.509 does not know
        return
    der = _der(leaf)
    found, other = certificate.read(der), x509.load_der_x509_certificate(der)
    alt = other.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(found.names) == {str(name.value) for name in alt}
    assert found.begins == other.not_valid_before_utc.timestamp()
    assert found.ends == other.not_valid_after_utc.timestamp()
    assert found.issuer["O"] == "Amazon Web Services, Inc."
    assert found.service == "rds"


def test_certificates_of_authorities() -> None:
    """Those of a bundle like Amazon's are read as well, keys and versions of every kind."""
    others = x509.load_pem_x509_certificates(ca_bundle())
    for other in others:
        found = certificate.read(other.public_bytes(Encoding.DER))
        [name] = other.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert found.subject["CN"] == name.value
        assert found.service == "rds"
        assert found.names == ()


@given(st.data())
def test_damaged_certificates(data: st.DataObject) -> None:
    """What is no certificate is a ValueError, wherever it is damaged."""
    der = bytearray(_der(_LEAF))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(der)))
    for damaged in (bytes(der), bytes(der[:cut])):
        with contextlib.suppress(ValueError):
            certificate.read(damaged)
    with pytest.raises(ValueError, match="no certificate"):
        certificate.read(_der(_LEAF)[: min(cut, len(der) - 1)])


_LEAF = CA.issue_cert("db.example.com", "10.0.0.1")


@given(st.binary(max_size=200))
def test_no_certificate(noise: bytes) -> None:
    """Nor does anything else raise anything else."""
    with pytest.raises(ValueError, match="no certificate"):
        certificate.read(noise)


@pytest.mark.parametrize(
    ("organization", "service"),
    [("Amazon", "proxy"), ("Amazon Web Services, Inc.", None), ("Example", None)],
)
def test_whose_certificate(organization: str, service: str | None) -> None:
    """What issued it says which service it is."""
    issuer = trustme.CA(organization_name=organization, organization_unit_name="x")
    assert certificate.read(_der(issuer.issue_cert("db.example.com"))).service == service


# Speaking to servers.


@contextlib.contextmanager
def _server(said: bytes) -> Iterator[tuple[str, int]]:
    """A server that says the same to every client, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()
        thread.join(DEADLINE)


@given(st.binary(max_size=60))
@example(b"R\0\0\0\x06\0\0")
@example(b"E\0\0\0\x04")
@example(b"R\0\0\0\x08\0\0\0\x0a")
def test_any_answer(said: bytes) -> None:
    """Whatever a server says is an answer or an OSError, and never a crash or a hang."""
    with (
        _server(said) as address,
        contextlib.suppress(OSError),
        PostgresDoor(address, 5) as door,
    ):
        assert isinstance(door.ask("app", "app"), ServerReply)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"N", DeclinedError),
        (b"HTTP/1.1 400 Bad Request\r\n", OtherServerError),
        (b"", ConnectionResetError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", OtherServerError),
        (b"Eno memory\n\0", EarlyError),
    ],
)
def test_no_tls(said: bytes, error: type[Exception]) -> None:
    """What keeps TLS from coming up is told apart."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with _server(said) as address, PostgresDoor(address, 5) as door, pytest.raises(error):
        door.encrypt(context, "db.example.com")


def test_deadline() -> None:
    """All of a conversation has one deadline, however slowly the server speaks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with PostgresDoor(listener.getsockname(), 0.05) as door:
            client, _ = listener.accept()
            with client, pytest.raises(TimeoutError):
                door.ask("app", "app")
        assert time.monotonic() - began < SOON


def test_an_error_before_anybody_is_asked() -> None:
    """A server without a free slot says so at once, in fields that are read."""
    said = b"SFATAL\0C53300\0Msorry, too many clients already\0\0"
    message = b"E" + (len(said) + 4).to_bytes(4, "big") + said
    with _server(message) as address, PostgresDoor(address, 5) as door:
        answer = door.ask("app", "app")
    assert (answer.code, answer.words) == ("53300", "sorry, too many clients already")
    assert not answer.accepted
    assert not answer.asks


# Keeping secrets.


def test_scrubbing() -> None:
    """A secret is hidden in every form that URLs give it, and so is what looks like a token's."""
    state = State("", {}, Schedule(1.0))
    state.hide("aB3/+= x", None)
    for text in ("aB3/+= x", quote("aB3/+= x"), quote_plus("aB3/+= x"), quote("aB3/+= x", "")):
        assert state.scrub(f"it said {text}!") == "it said ***!"
    assert state.scrub("host/?X-Amz-Signature=abc123&y") == "host/?X-Amz-Signature=***&y"
    assert state.scrub("x-amz-security-token=IQo%2F") == "x-amz-security-token=***"


# Judging.

PROBLEMS = st.builds(
    Finding,
    status=st.sampled_from(Status),
    summary=st.just("."),
    code=st.sampled_from("abcdef"),
    certainty=st.sampled_from(Certainty),
    explains=st.lists(st.sampled_from("abcdef"), max_size=2).map(tuple),
    regardless=st.booleans(),
    symptom=st.booleans(),
)


def _report(findings: list[Finding], *, logged_in: bool = False) -> Report:
    return report("x", [Outcome("check", tuple(findings))], logged_in=logged_in)


@given(st.lists(PROBLEMS, max_size=8))
def test_ranking(findings: list[Finding]) -> None:
    """What explains comes before what it explains, and then what is surer; nothing is lost."""
    found = _report(findings)
    problems = [finding for finding in findings if finding.status is Status.PROBLEM]
    assert bool(found.causes) == bool(problems)
    assert not found.healthy
    explained = {code for finding in problems for code in finding.explains}
    ranks = [
        (cause.code in explained, list(Certainty).index(cause.certainty)) for cause in found.causes
    ]
    assert ranks == sorted(ranks)
    if any(not finding.symptom for finding in problems):
        assert not any(cause.symptom for cause in found.causes)
        assert {cause.code for cause in found.causes} == {
            finding.code for finding in problems if not finding.symptom
        }
    assert len({cause.code for cause in found.causes}) == len(found.causes)


@given(st.lists(PROBLEMS, max_size=8))
def test_ranking_after_a_login(findings: list[Finding]) -> None:
    """When the login has worked, only what is wrong regardless of it is still a cause."""
    found = _report(findings, logged_in=True)
    problems = [finding for finding in findings if finding.status is Status.PROBLEM]
    regardless = {finding.code for finding in problems if finding.regardless}
    assert {cause.code for cause in found.causes} <= regardless
    assert bool(found.causes) == bool(regardless)
    assert found.healthy == (not found.causes)
    assert all(finding.status is Status.WARNING for finding in found.warnings)


def test_data() -> None:
    """The data have what machines need, and nothing of how it was judged."""
    data = _report(
        [problem("a", "It is so.", evidence=("seen",), commands=(Command(Kind.SHELL, "run"),))]
    ).as_data()
    [cause] = data["causes"]
    assert cause == {
        "status": "problem",
        "summary": "It is so.",
        "code": "a",
        "certainty": "certain",
        "why": "",
        "evidence": ("seen",),
        "fix": "",
        "commands": ({"kind": "shell", "text": "run"},),
    }
    assert dataclasses.is_dataclass(Report)
