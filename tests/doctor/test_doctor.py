"""The doctor names the right cause first for every fault, in time and without a secret."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
from doctor_catalogue import FAULTS
from doctor_faults_url import GLOBAL
from doctor_fixes import paste
from doctor_support import CANARY, Ward, assert_no_secret, pose, printed
from patience import DEADLINE
from sqlalchemy import make_url
from worlds import drivernames

from sqlalchemy_rds_iam import doctor
from sqlalchemy_rds_iam.doctor import MOST_LOGINS

DOCUMENT = Path(__file__).parents[2] / "docs" / "doctor.md"

UNSURE = {
    *("policy", "throttled", "token-cut", "external-id-missing", "imds-hop-limit"),
    *("imds-silent", "imds-failing", "server-not-rds"),
}
"""The causes that the doctor cannot be certain of."""

NEEDS_DNS = ("cname", "moved")

FEWEST, FEWEST_OF_MYSQL = 160, 25
"""Faults that the list has at the least."""

OF_ANY_FAMILY = (
    # keys and AWS
    *(
        "no credentials",
        "revoked key",
        "sts unreachable",
        "skewed clock",
        "policy for another user",
    ),
    *("policy missing from a role", "throttled", "throttled after the first login"),
    "token truncated by a middle man",
    # the URL
    *("wrong region", "password in the url", "option misspelled", "plugin forgotten", "no user"),
    *("option with a value that is none", "plugin switched off", "several hosts", "plugin twice"),
    *("region unknown", "port in words", "driver not supported"),
    # names, network and certificates
    *("address instead of a name", "cname that is not explained", "network closed"),
    *("tunnel on the other loopback address", "port beside the right one", "swapped port"),
    *("wrong region where the name says none", "wrong host without verification"),
    *("wrong ca", "wrong name", "expired server certificate", "tunnel to another database"),
    *("ca file missing", "bundle that is out of date"),
)
"""Faults that are tried on MySQL as well: a sample of each kind."""


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str, ward: Ward) -> None:
    """The right cause comes first, and its fix, pasted, makes the login work.

    No more is sent anywhere than there should be.
    """
    _assert_found(name, ward)


@pytest.mark.parametrize("name", OF_ANY_FAMILY)
@pytest.mark.parametrize("family", ["mysql"])
def test_fault_of_any_family(name: str, family: str, ward: Ward) -> None:
    """A fault of keys, AWS, the URL or the network is the same whatever the database is."""
    assert make_url(ward.url).get_backend_name() == family
    _assert_found(name, ward)


def _assert_found(name: str, ward: Ward) -> None:
    code, inject, by_hand, _ = FAULTS[name]
    if any(word in name for word in NEEDS_DNS):
        pytest.importorskip("dns", reason="dnspython is not installed")
    inject(ward)
    report = ward.examine()
    assert [cause.code for cause in report.causes][:1] == [code], printed(report)
    assert not report.healthy
    first = report.causes[0]
    assert first.fix or first.commands
    sure = first.certainty == "certain"
    assert sure == (code not in UNSURE) or name in SURENESS
    assert "doctor-failed" not in {finding.code for finding in report.warnings}
    assert len(ward.rds.decisions) <= MOST_LOGINS
    if code.startswith(("tls", "certificate")) and code != "tls-required":
        assert {outcome.check: outcome.status for outcome in report.outcomes}["Login"] == "skipped"
        assert ward.rds.decisions == [], "a token was shown to a server that is not trusted"
    assert_no_secret(report, ward)
    if by_hand is None:
        pasted = paste(ward, first)
        assert pasted
        again = ward.examine()
        assert again.logged_in, f"pasted {pasted}:\n{printed(again)}"
        assert again.healthy, printed(again)


SURENESS = {
    "proxy that asks for a password": "likely",
    "proxy with too many requests": "certain",
    "proxy that wants the password": "likely",
    "proxy that throttles iam": "certain",
    "proxy that throttles connections": "certain",
    "session token cut where sts is silent": "likely",
    "instance whose role ec2 may not assume": "certain",
    "plugin forgotten and no option given": "likely",
    "plugin forgotten and all options": "likely",
}
"""Where a cause is as sure as it is not elsewhere."""


@pytest.mark.parametrize("name", ["wrong case user", "policy for another user", "wrong name"])
@pytest.mark.parametrize("driver", ["asyncpg", "pg8000", "psycopg2"])
def test_fault_with_other_drivers(name: str, driver: str, ward: Ward) -> None:
    """What is found does not depend on the driver."""
    ward.url = ward.rds.url(f"postgresql+{driver}")
    code, inject, *_ = FAULTS[name]
    inject(ward)
    report = ward.examine()
    assert [cause.code for cause in report.causes][:1] == [code], printed(report)


@pytest.mark.parametrize("name", ["wrong ca", "server that leaves tls out of its greeting"])
@pytest.mark.parametrize(
    "drivername", [each for each in drivernames() if "postgresql" not in str(each.values[0])]
)
def test_fault_with_other_drivers_of_mysql(name: str, drivername: str, ward: Ward) -> None:
    """Nor does it with MySQL's, whatever each takes for its words."""
    ward.url = ward.rds.url(drivername)
    code, inject, *_ = FAULTS[name]
    inject(ward)
    report = ward.examine()
    found = [cause.code for cause in report.causes if cause.code != "name-not-endpoint"]
    assert found[:1] == [code], printed(report)
    assert ward.rds.decisions == []


def test_there_are_faults() -> None:
    """The list is as long as was promised, most fixes are pasted, and no two faults are one."""
    families = Counter(each.family for each in FAULTS.values())
    assert families["postgresql"] >= FEWEST
    assert families["mysql"] >= FEWEST_OF_MYSQL
    assert {*OF_ANY_FAMILY} <= {*FAULTS}
    pasted = [name for name, each in FAULTS.items() if each.by_hand is None]
    assert len(pasted) > len(FAULTS) / 2
    assert len({each.inject for each in FAULTS.values()}) == len(FAULTS)


def test_nothing_else_is_named(ward: Ward) -> None:
    """A cause that is certain stands alone: what follows from it is not named beside it."""
    for name in ("revoked key", "wrong case user", "database missing", "no grant"):
        with pytest.MonkeyPatch.context() as patch:
            other = Ward(ward.rds, patch, ward.directory, ward.cleanup, ward.rds.url())
            FAULTS[name].inject(other)
            assert [cause.code for cause in other.examine().causes] == [FAULTS[name].code]


def test_the_token_is_not_to_blame(ward: Ward) -> None:
    """Where the token was accepted and the session refused, both are said."""
    FAULTS["database missing"].inject(ward)
    [login] = [outcome for outcome in ward.examine().outcomes if outcome.check == "Login"]
    assert [finding.status for finding in login.findings] == ["ok", "problem"]


def test_no_logins_in_vain(ward: Ward) -> None:
    """What is certain before the login is tried once, to see, and not again in other ways."""
    for name in ("revoked key", "skewed clock", "global writer moved to another region"):
        if "moved" in name:
            pytest.importorskip("dns", reason="dnspython is not installed")
        with pytest.MonkeyPatch.context() as patch:
            other = Ward(ward.rds, patch, ward.directory, ward.cleanup, ward.rds.url())
            FAULTS[name].inject(other)
            ward.rds.clear()
            other.examine()
        assert len(ward.rds.decisions) == 1


@pytest.mark.parametrize(
    ("name", "side"), [("skewed clock", "behind"), ("clock ahead", "ahead of")]
)
def test_the_clock_is_measured(name: str, side: str, ward: Ward) -> None:
    """How far the clock is off, and to which side, is said; an answer may be on its way a while."""
    FAULTS[name].inject(ward)
    found = re.search(rf"(\d+) s {side}", ward.examine().causes[0].summary)
    assert found is not None
    assert abs(int(found[1]) - 1200) < DEADLINE


def test_possible_causes_follow(ward: Ward) -> None:
    """Where it cannot be known, the rest is named as well, and what has been ruled out."""
    FAULTS["policy missing from a role"].inject(ward)
    report = ward.examine()
    assert [(cause.code, cause.certainty) for cause in report.causes] == [
        ("policy", "likely"),
        ("session-revoked", "possible"),
        ("throttled", "possible"),
        ("rds-internal", "possible"),
    ]
    ruled_out = " ".join(report.causes[0].evidence)
    for word in ("the user", "the keys", "the clock"):
        assert f"ruled out  {word}" in ruled_out


def test_nothing_is_ruled_out_unseen(ward: Ward) -> None:
    """What STS was not there to say is not taken for granted."""
    FAULTS["policy for another user"].inject(ward)
    ward.rds.aws.sts.fail("reset")
    ward.cleanup.callback(ward.rds.aws.sts.recover)
    report = ward.examine()
    assert "keys-unverified" in {cause.code for cause in report.causes}
    ruled_out = " ".join(evidence for cause in report.causes for evidence in cause.evidence)
    assert "ruled out  the keys" not in ruled_out
    assert "ruled out  the clock" not in ruled_out


def test_a_writer_that_is_none_where_every_server_will_do(ward: Ward) -> None:
    """By its name the endpoint is a writer's, and the engine takes what it gets: a warning."""
    FAULTS["server that is read only by its parameter group"].inject(ward)
    host = "app.cluster-c0ffee123456.us-east-1.rds.amazonaws.com"
    pose(ward, host)
    ward.options(rds_iam_host=host)
    report = ward.examine()
    assert report.healthy, printed(report)
    [finding] = report.warnings
    assert finding.code == "server-read-only"
    assert "rds_iam_target_session_attrs=read-write" in finding.commands[0].text


def test_a_role_that_only_reads_is_no_fault(ward: Ward) -> None:
    """What the role wants is said, and who wants it."""
    ward.rds.create_user("careful")
    ward.rds.execute("ALTER ROLE careful SET default_transaction_read_only = on")
    ward.url = ward.rds.url(user="careful", rds_iam_target_session_attrs="read-write")
    report = ward.examine()
    assert report.healthy
    assert "sessions of 'careful' are read-only by default" in printed(report)


def test_no_login_is_repeated(ward: Ward) -> None:
    """The checks show what the server answers, however long the application would try."""
    FAULTS["policy for another user"].inject(ward)
    logins = []
    for retry in ("off", "patient"):
        ward.options(rds_iam_throttle_retry=retry)
        ward.rds.clear()
        assert ward.examine().causes[0].code == "policy"
        logins.append(len(ward.rds.decisions))
    assert logins[0] == logins[1] > 0


def test_options_keep_their_secrets(ward: Ward) -> None:
    """A URL that is shown again, to be copied, is shown without the passwords in its options."""
    FAULTS["policy for another user"].inject(ward)
    ward.secrets |= {CANARY, quote(CANARY, safe=""), "swordfish"}
    storage = f"redis://:{quote(CANARY, safe='')}@127.0.0.1:1/0"
    ward.options(rds_iam_rate_storage=storage, sslpassword="swordfish")
    report = ward.examine()
    assert report.causes[0].code == "policy"
    texts = [each.text for each in report.causes[0].commands]
    [command] = [each for each in texts if each.startswith("rds-iam policy")]
    assert "rds_iam_rate_storage=redis" in command
    assert_no_secret(report, ward)


def test_few_logins(ward: Ward) -> None:
    """However much there is in doubt, no more than a handful of logins is attempted."""
    ward.rds.gateway.refuse_next = 100
    FAULTS["wrong region where the name says none"].inject(ward)
    ward.options("rds_iam_port", rds_iam_host=GLOBAL, rds_iam_region="eu-west-1")
    report = ward.examine()
    assert report.causes[0].code == "policy"
    assert 3 < len(ward.rds.decisions) <= MOST_LOGINS


def test_documented_codes() -> None:
    """Every code that the doctor may name is in its document, and no other."""
    table = DOCUMENT.read_text().partition("## Causes")[2].partition("\n## ")[0]
    documented = {
        code
        for line in table.splitlines()
        if line.startswith("|")
        for code in re.findall(r"`([a-z0-9-]+)`", line)
    }
    files = list(Path(doctor.__file__).parent.rglob("*.py"))
    assert len(files) > 15
    known = {
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {code for code, *_ in FAULTS.values()} <= documented
    # The ends of these are put together.
    assert documented <= known | {"certificate-expired", "certificate-early"}
