"""Following CNAME records to an RDS endpoint name, through a real DNS server on loopback."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import SOON

from sqlalchemy_rds_iam import ConfigError, RdsIamError, WaitTimeout
from sqlalchemy_rds_iam._endpoints.cname import (
    HOPS,
    CnameResolver,
    DnsError,
    Record,
    ask_dns,
    follow,
    is_alias,
)

pytest.importorskip("dns", reason="dnspython is not installed")

import dns.name
import dns.resolver
from dns_support import DnsServer, dns_server

ALIAS = "db.example.com"
BLUE = "blue.abc123.eu-central-1.rds.amazonaws.com"
GREEN = "green.abc123.eu-central-1.rds.amazonaws.com"
MACHINE = "ec2-18-1-2-3.eu-central-1.compute.amazonaws.com"
LABELS = [f"{letter}.example.com" for letter in "abcdefghijk"]


@pytest.fixture
def server() -> Iterator[DnsServer]:
    """A DNS server that dnspython asks."""
    with dns_server() as server:
        yield server


@pytest.mark.parametrize("hops", range(1, HOPS + 1))
def test_chain(server: DnsServer, hops: int) -> None:
    """A chain is followed record by record to the RDS name, and what lies beyond is not asked."""
    chain = LABELS[:hops]
    server.point(*chain, BLUE.upper(), MACHINE)
    assert follow(chain[0], lambda name: ask_dns(name, 5)) == Record(BLUE, 60)
    assert server.questions == chain


def test_no_end(server: DnsServer) -> None:
    """Circles, chains without an RDS name and those that are too long say what was found."""
    server.point("a.example.com", "b.example.com", "c.example.com", "b.example.com")
    server.point("d.example.com", MACHINE)
    server.point(*(f"hop{n}.example.com" for n in range(HOPS + 1)), BLUE)
    for alias, found, reason in (
        ("a.example.com", "b.example.com → c.example.com → b.example.com", "circle"),
        ("d.example.com", f"d.example.com → {MACHINE}", "no CNAME record"),
        ("hop0.example.com", "hop7.example.com → hop8.example.com", "within 8 records"),
    ):
        with pytest.raises(RdsIamError, match="Set rds_iam_host") as caught:
            follow(alias, lambda name: ask_dns(name, 5))
        assert found in str(caught.value)
        assert reason in str(caught.value)
        assert not caught.value.retryable
    assert len(server.questions) == 3 + 2 + HOPS
    with pytest.raises(RdsIamError, match=r"'other.example.com': 'other.example.com' does not"):
        follow("other.example.com", lambda name: ask_dns(name, 5))


def test_where_the_records_end() -> None:
    """The error names the alias, where its records end, and the way from the one to the other."""

    def ask(name: str) -> Record | None:
        return {"a.example.com": Record("B.example.com.", 60)}.get(name.lower())

    with pytest.raises(RdsIamError) as caught:
        follow("A.example.com", ask)
    assert str(caught.value) == (
        "the CNAME records of 'a.example.com' lead to no RDS endpoint: 'b.example.com' has no "
        "CNAME record and is no RDS endpoint name (found a.example.com → b.example.com). Set "
        "rds_iam_host to the endpoint's own name"
    )


ends = st.sampled_from([*LABELS, BLUE, GREEN, MACHINE])


@given(st.dictionaries(st.sampled_from(LABELS), st.tuples(ends, st.floats(0, 1000))))
def test_any_zone(zone: dict[str, tuple[str, float]]) -> None:
    """Whatever the records: the first RDS name with the smallest TTL, or an error, in 8 questions.

    The model writes down the whole chain first and looks at it afterwards.
    """
    asked: list[str] = []

    def ask(name: str) -> Record | None:
        asked.append(name)
        return Record(*zone[name]) if name in zone else None

    chain, ttls = [LABELS[0]], [300.0]
    while chain[-1] in zone and len(chain) <= HOPS:
        target, ttl = zone[chain[-1]]
        chain.append(target)
        ttls.append(ttl)
    if chain[-1] in {BLUE, GREEN}:
        assert follow(LABELS[0], ask) == Record(chain[-1], min(ttls))
        assert asked == chain[:-1]
    else:
        with pytest.raises(RdsIamError):
            follow(LABELS[0], ask)
        assert len(asked) == len(set(asked)) <= HOPS


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.text(max_size=70) | st.from_regex(r"[a-z0-9.\\-]{1,300}", fullmatch=True))
def test_garbage(server: DnsServer, name: str) -> None:
    """Whatever stands where a host name belongs is looked up or refused, in one sentence."""
    with pytest.raises(RdsIamError):
        follow(name, lambda name: ask_dns(name, 5))


def test_truncated(server: DnsServer) -> None:
    """An answer too long for a datagram is asked for by TCP."""
    server.point(ALIAS, BLUE)
    server.fault = "truncate"
    assert ask_dns(ALIAS, 5) == Record(f"{BLUE}.", 60)
    assert server.by_tcp == 1


def test_search_list(server: DnsServer) -> None:
    """A short name is completed as drivers complete it, and only it: targets are whole names."""
    dns.resolver.get_default_resolver().search = [dns.name.from_text("svc.cluster.local")]
    server.point("db.svc.cluster.local", "a.example.com", BLUE)
    assert follow("db", lambda name: ask_dns(name, 5)).target == BLUE
    assert server.questions == ["db.svc.cluster.local", "a.example.com"]


@pytest.mark.parametrize(
    ("fault", "kind", "limit"), [("servfail", DnsError, 5.0), ("silence", WaitTimeout, 0.05)]
)
def test_outage(server: DnsServer, fault: str, kind: type[RdsIamError], limit: float) -> None:
    """DNS that fails or is silent is an error by the deadline, and one that time may mend."""
    server.fault = fault
    began = time.monotonic()
    with pytest.raises(kind, match=f"'{ALIAS}'") as caught:
        CnameResolver().look_up(ALIAS, limit, 1.0)
    assert caught.value.retryable
    assert time.monotonic() - began < limit + SOON


def test_what_is_an_alias() -> None:
    """Names outside of Amazon's grammar; an IP address is refused, the rest is not for DNS."""
    for host in (ALIAS, "localhost", "db", MACHINE, "DB.example.com."):
        assert is_alias(host)
    for host in (BLUE, "g.global-abc.global.rds.amazonaws.com", "/tmp", "a,b", None, ("a", "b")):
        assert not is_alias(host)
    for host in ("10.0.0.1", "::1", "[::1]"):
        with pytest.raises(ConfigError, match="no CNAME"):
            is_alias(host)


def test_dnspython_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without dnspython no alias can be followed, and what to install is said."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="pip install 'dnspython>="):
        CnameResolver()


@pytest.mark.parametrize("number", range(8))
def test_documented_examples(ca: str, server: DnsServer, number: int) -> None:
    """Every example of the documentation makes an engine, without asking any server."""
    text = (Path(__file__).parents[2] / "docs" / "cnames-tunnels.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(examples) == 8
    exec(examples[number], {})
    assert server.questions == []
