"""`rds-iam ca`: what it finds, and what it says about it."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest
import trustme
from ca_server import GOV, GOV_BUNDLE, Server, cached
from ca_support import BUNDLE, blocks, find_ca, regions_named, without
from cli_support import HOST, URL, shown

from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam._tools.ca_download import download
from sqlalchemy_rds_iam._tools.ca_inventory import inventory
from sqlalchemy_rds_iam.testing.server import ca_bundle


def test_inventory() -> None:
    """Every authority of the bundle is read: its region, if any, and whether it has expired."""
    found = inventory(BUNDLE.decode())
    assert len(found.authorities) == len(blocks(BUNDLE)) == 121
    assert found.others == 0
    assert all(each.is_amazon for each in found.authorities)
    now = time.time()
    assert found.regions(now) == sorted(ca_bundle.REGIONS)
    assert len(found.expired(now)) == 28
    named = {region for block in blocks(BUNDLE) for region in regions_named(block)}
    assert {each.region for each in found.authorities} - {None} == named
    # Trials of Amazon's name a region that they do not serve.
    assert all(each.region is None for each in found.authorities if "Preview" in each.name)
    assert found.regions(5e9) == []


def test_inventory_of_something_else() -> None:
    """A private authority, a server certificate, nothing, and what cannot be parsed."""
    own = trustme.CA()
    leaf = own.issue_cert("db").cert_chain_pems[0].bytes().decode()
    found = inventory(own.cert_pem.bytes().decode() + leaf)
    assert [(each.is_amazon, each.region) for each in found.authorities] == [(False, None)]
    assert found.others == 1
    assert inventory("nothing") == ((), 0)
    with pytest.raises(ValueError, match="it cannot be parsed"):
        inventory("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def test_nothing_found(home: Path) -> None:
    """Without a file it says where it looked, and how to have one."""
    found = shown("ca")
    assert (found.code, found.out) == (1, "")
    assert "rds-iam ca --download" in found.err
    assert str(cached(home)) in found.err


def test_download(home: Path, bundle_server: Server) -> None:
    """The bundle is kept where every engine looks, readable by this user only, and then shown."""
    found = shown("ca", "--download", "--url", bundle_server.url)
    assert found.code == 0, found.err
    file = cached(home)
    assert file.read_bytes() == BUNDLE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["global-bundle.pem"]
    assert find_ca({}, parse_host(HOST)) == str(file)
    assert found.err == f"rds-iam ca: kept as {file}\n"
    lines = found.out.splitlines()
    assert lines[0].split() == ["file", str(file)]
    assert lines[1].split(maxsplit=2)[2] == "a well-known place"
    assert "121, 121 of them of Amazon RDS, 28 expired" in found.out
    assert "regions       29: af-south-1, ap-east-1" in found.out
    assert bundle_server.asked[0].startswith("sqlalchemy-rds-iam/")


@pytest.mark.parametrize("drivername", ["mysql+pymysql", "mysql+mysqldb", "mariadb+asyncmy"])
def test_mysql(home: Path, tmp_path: Path, drivername: str) -> None:
    """Of MySQL and MariaDB the file may be named in their words; what libpq reads is no matter."""
    file = tmp_path / "own.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    libpqs = home / ".postgresql" / "root.crt"
    libpqs.parent.mkdir()
    libpqs.write_bytes(file.read_bytes())
    url = URL.replace("postgresql+psycopg", drivername)
    named = json.loads(shown("ca", f"{url}&ssl_ca={file}", "--json").out)
    assert (named["file"], named["rule"]) == (str(file), "ssl_ca")
    assert shown("ca", url).code == 1
    for level in ("require", "verify-ca"):
        own = f"{url}&rds_iam_tls={level}&rds_iam_ca={file}"
        assert json.loads(shown("ca", own, "--json").out)["rule"] == "rds_iam_ca"


def test_of_a_region(home: Path, bundle_server: Server) -> None:
    """With a URL its region's authorities are shown; a region that is not there is a failure."""
    bundle_server.content = without("eu-west-3")
    download("aws", url=bundle_server.url)
    found = shown("ca", URL)
    assert found.code == 0
    assert "eu-west-3" in found.out.partition("missing")[2].splitlines()[0]
    assert found.out.count("eu-central-1  Amazon RDS eu-central-1 Root CA") == 3
    assert "Amazon RDS eu-central-1 Root CA RSA2048 G1, until 2061-05-25" in found.out
    missing = shown("ca", URL.replace("eu-central-1", "eu-west-3"), "--json")
    assert missing.code == 1
    assert "no authority for eu-west-3 in it that is good today" in missing.err
    data = json.loads(missing.out)
    assert (data["usable"], data["region"]) == (False, "eu-west-3")
    assert "eu-west-3" in data["missing_regions"]
    assert len(data["authorities"]) == len(blocks(bundle_server.content))
    assert sum(each["expired"] for each in data["authorities"]) == 27


def test_which_rule(home: Path, bundle_server: Server, tmp_path: Path) -> None:
    """It names what led to the file; and says so when what was fetched is not what counts."""
    own = tmp_path / "own.pem"
    trustme.CA().cert_pem.write_to_path(str(own))
    named = json.loads(shown("ca", URL, "-o", f"rds_iam_ca={own}", "--json").out)
    assert (named["file"], named["rule"]) == (str(own), "rds_iam_ca")
    assert named["usable"]
    said = json.loads(shown("ca", f"{URL}&sslrootcert={own}", "--json").out)
    assert said["rule"] == "sslrootcert"
    root = home / ".postgresql" / "root.crt"
    root.parent.mkdir()
    root.write_bytes(own.read_bytes())
    found = shown("ca", "--download", "--url", bundle_server.url)
    assert found.code == 0
    assert str(root) in found.out
    assert "trustme" in found.out
    assert "it is not the one that counts: a well-known place comes first" in found.err


def test_passed_over(home: Path, bundle_server: Server) -> None:
    """What comes first and does not count is shown, with the reason."""
    download("aws", url=bundle_server.url)
    root = home / ".postgresql" / "root.crt"
    root.parent.mkdir()
    trustme.CA().cert_pem.write_to_path(str(root))
    root.chmod(0o666)
    passed = f"{root} ({root} can be written by others (mode 0666))"
    assert f"passed over   {passed}, as others can change it" in shown("ca", URL).out
    data = json.loads(shown("ca", "--json").out)
    assert (data["file"], data["passed_over"]) == (str(cached(home)), [passed])


def test_proxy(home: Path) -> None:
    """A proxy is certified by public roots, and those are what is shown."""
    found = shown("ca", URL.replace("mydb.abc123", "mydb.proxy-abc123"), "--json")
    assert found.code == 0
    assert "which certify RDS Proxy" in json.loads(found.out)["rule"]


def test_partitions(home: Path, bundle_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """GovCloud and China have bundles of their own, each in a place of its own."""
    download("aws", url=bundle_server.url)
    bundle_server.content = GOV_BUNDLE
    monkeypatch.setitem(trust.BUNDLE_URLS, "aws-us-gov", bundle_server.url)
    host = f"mydb.abc123.{GOV}.rds.amazonaws.com"
    found = shown("ca", f"postgresql://app@{host}/app", "--download")
    assert found.code == 0, found.err
    assert cached(home, "aws-us-gov-bundle.pem").read_bytes() == GOV_BUNDLE
    assert cached(home).read_bytes() == BUNDLE
    assert find_ca({}, parse_host(host)) == str(cached(home, "aws-us-gov-bundle.pem"))
    assert find_ca({}, parse_host(HOST)) == str(cached(home))
    assert GOV in shown("ca", "--partition", "aws-us-gov").out
    unknown = shown("ca", "--download", "--partition", "aws-iso")
    assert unknown.code == 2
    assert "not known where Amazon publishes the bundle of 'aws-iso'" in unknown.err


def test_cannot_be_parsed(home: Path) -> None:
    """A file that is damaged is a failure that names it."""
    cached(home).parent.mkdir(parents=True)
    cached(home).write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    found = shown("ca")
    assert found.code == 1
    assert f"{cached(home)}: it cannot be parsed" in found.err


def test_all_expired(home: Path) -> None:
    """A file of which nothing is good any more is a failure."""
    old = [block for block in blocks(BUNDLE) if b"2019" in block or _ended(block)]
    cached(home).parent.mkdir(parents=True)
    cached(home).write_bytes(b"".join(old))
    found = shown("ca")
    assert found.code == 1
    assert "nothing in the file is good today" in found.err
    assert "and 22 more" in found.out


def _ended(block: bytes) -> bool:
    return bool(inventory(block.decode()).expired(time.time()))


def test_called_wrongly(home: Path) -> None:
    """A mirror without a download, and an option of a URL that is not there."""
    assert shown("ca", "--url", "https://localhost").code == 2
    assert shown("ca", URL, "-o", "nonsense").code == 2
