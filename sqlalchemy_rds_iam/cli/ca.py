"""``rds-iam ca``: whom connections trust, and Amazon's own CA bundle."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._endpoints.hostname import HostName
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam._tls.authorities import EMULATOR, Authority
from sqlalchemy_rds_iam._tools.ca_download import download
from sqlalchemy_rds_iam._tools.ca_inventory import Inventory, inventory
from sqlalchemy_rds_iam.cli import values
from sqlalchemy_rds_iam.cli.common import (
    EXAMPLE,
    AsJson,
    Options,
    Url,
    optional_url,
    options_of,
    parsed,
    told,
)
from sqlalchemy_rds_iam.cli.output import FAILED, MISUSED, document, fail, note, out, rows
from sqlalchemy_rds_iam.errors import ConfigError

_ANY = HostName("", "other")
_SHOWN = 6

EPILOG = f"""
The bundle that is found, what is in it, and whether it is good for an endpoint:
$ rds-iam ca
$ rds-iam ca \\
    {EXAMPLE}

Amazon's own, fetched to where every engine looks for it:
$ rds-iam ca --download
$ rds-iam ca --download --partition aws-us-gov
"""


class _Looked(NamedTuple):
    """What there is to show."""

    found: trust.FoundCa
    content: Inventory
    host: HostName
    missing: list[str]
    now: float


def ca(
    url: Url = None,
    *,
    options: Options = None,
    fetch: Annotated[
        bool, typer.Option("--download", help="Fetch Amazon's bundle first, over verified HTTPS.")
    ] = False,
    mirror: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Fetch it from this https:// URL.")
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option(
            parser=values.partition,
            metavar="NAME",
            help="aws, aws-cn or aws-us-gov; by default that of the URL, else aws.",
            show_default=False,
            autocompletion=values.partitions,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            parser=values.seconds, metavar="SECONDS", help="How long to wait for the download."
        ),
    ] = 30,
    as_json: AsJson = False,
) -> None:
    """Show which certificate authorities connections trust: the file, why that one, what is in it.

    Amazon RDS has authorities of its own, which no operating system brings. The file is looked for
    as an engine does. Shown are the regions it is good for, what has expired, and the regions that
    botocore knows of and the file does not.

    With --download Amazon's bundle is fetched to the user's cache directory, if it is whole, and
    all of it authorities of Amazon RDS. Nothing else of this package ever downloads one.

    Exits with 0; with 1 if there is no file, none that is good for the URL's region, or the
    download failed; with 2 if called wrongly.
    """
    with told():
        url = optional_url(url)
        access = parsed(url, options_of(url, options)) if url else None
        host = access.host if access else _ANY
        if mirror and not fetch:
            fail("--url says where to fetch from, and goes with --download", MISUSED)
        wanted = partition or host.partition or "aws"
        if fetch:
            kept = download(wanted, url=mirror, timeout=timeout)
            note(f"kept as {kept}")
        if access is None and wanted != "aws":
            host = HostName("", "other", None, wanted)
        looked = _look(access, host)
        if fetch and Path(looked.found.path) != kept:
            note(f"it is not the one that counts: {looked.found.rule} comes first")
    if as_json:
        document(_as_data(looked))
    else:
        out(_as_text(looked))
    if problem := _problem_of(looked):
        note(problem)
        raise typer.Exit(FAILED)


def _look(access: Access | None, host: HostName) -> _Looked:
    try:
        found = _found(access, host)
        content = inventory(Path(found.path).read_text("utf-8", "replace"))
    except ConfigError as error:
        fail(str(error))  # it is the machine that lacks something, not the command line
    except ValueError as error:
        fail(f"{found.path}: {error}")
    now = time.time()
    there = content.regions(now)
    return _Looked(found, content, host, _missing(there) if there else [], now)


def _found(access: Access | None, host: HostName) -> trust.FoundCa:
    """The file that counts; for connections that verify nothing, the one that would."""
    if access is None:
        return trust.locate_ca({}, host, places=POSTGRESQL.ca_places)
    named = {access.config.named("ca"): access.config.ca}
    places = access.family.ca_places
    return access.target().ca or trust.locate_ca(named, host, places=places)


def _missing(there: list[str]) -> list[str]:
    """The regions that botocore knows in the partitions of those that are there."""
    from sqlalchemy_rds_iam._aws.sessions import botocore_session

    session = botocore_session(None)
    known = [
        set(session.get_available_regions("rds", each))
        for each in session.get_available_partitions()
    ]
    return sorted(set().union(*(part for part in known if part & set(there))) - set(there))


def _problem_of(looked: _Looked) -> str | None:
    """What keeps the file from being of use, if anything does."""
    _, content, host, _, now = looked
    amazon = [each for each in content.authorities if each.is_amazon]
    if len(content.expired(now)) == len(content.authorities):
        return "nothing in the file is good today: rds-iam ca --download"
    if host.region and not host.is_proxy and amazon and host.region not in content.regions(now):
        return (
            f"there is no authority for {host.region} in it that is good today: "
            "rds-iam ca --download"
        )
    return None


def _as_data(looked: _Looked) -> dict[str, Any]:
    found, content, host, missing, now = looked
    return {
        "file": found.path,
        "rule": found.rule,
        "passed_over": list(found.passed),
        "usable": _problem_of(looked) is None,
        "region": host.region,
        "regions": content.regions(now),
        "missing_regions": missing,
        "others": content.others,
        "authorities": [
            {**each._asdict(), "ends": _day(each.ends), "expired": each.ends <= now}
            for each in content.authorities
        ],
    }


def _as_text(looked: _Looked) -> str:
    found, content, host, missing, now = looked
    expired = content.expired(now)
    amazon = sum(each.is_amazon for each in content.authorities)
    regions = content.regions(now)
    lines = [
        ("file", found.path),
        ("found by", found.rule),
        *(("passed over", f"{each}, as others can change it") for each in found.passed),
        (
            "authorities",
            f"{len(content.authorities)}, {amazon} of them of Amazon RDS, {len(expired)} expired",
        ),
    ]
    if content.others:
        lines.append(("beside them", f"{content.others} other things, such as server certificates"))
    if regions:
        lines.append(("regions", f"{len(regions)}: {', '.join(regions)}"))
    if missing:
        lines.append(("missing", f"{len(missing)} that botocore knows: {', '.join(missing)}"))
    shown = [each for each in content.authorities if host.region and each.region == host.region]
    lines += [(host.region or "", _line(each)) for each in shown]
    if not amazon:
        lines += [
            ("emulator" if each.name.startswith(EMULATOR) else "", _line(each))
            for each in content.authorities[:_SHOWN]
        ]
    lines += [("expired", _line(each)) for each in expired[:_SHOWN]]
    if len(expired) > _SHOWN:
        lines.append(("", f"and {len(expired) - _SHOWN} more; --json has all of them"))
    return rows(lines, 14)


def _line(authority: Authority) -> str:
    return f"{authority.name}, until {_day(authority.ends)}"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
