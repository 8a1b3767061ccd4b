"""An error about credentials names the file, the line, the variable or the program behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.credentials
import botocore.utils
import pytest
from aiohttp import web
from causes_catalogue import MISTAKES
from malformed_support import CANARY, printed
from providers_support import Site
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam.testing import RdsEmulator

_SECONDS_REMAINING = botocore.credentials.RefreshableCredentials._seconds_remaining
Open = Callable[..., Database]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_told(open_database: Open, site: Site, log: Any, mistake: str) -> None:
    """What is wrong is told with its place and its cause, and without a secret."""
    site.setattr(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    # Its own way to look at the clock, which cannot compare what has no time zone.
    holder = botocore.credentials.RefreshableCredentials
    site.setattr(holder, "_seconds_remaining", _SECONDS_REMAINING)
    make, told, cause, retryable = MISTAKES[mistake]
    database = open_database(options=make(site), poolclass=NullPool)
    error: Any = database.raises(CredentialsError)
    for part in told:
        assert part.replace("{}", str(site.directory)) in str(error)
    assert error.retryable is retryable
    if cause is not None:
        assert cause in {type(each).__name__ for each in _chain(error)}
    assert not [each for each in printed(error) if CANARY in each]
    assert not [line for line in log.lines if CANARY in line]


@pytest.mark.parametrize("service", ["container", "imds"])
def test_answers_that_are_cut_off(
    open_database: Open, site: Site, rds: RdsEmulator, log: Any, service: str
) -> None:
    """An answer that cannot be parsed has keys in it; none is shown, in botocore's log neither."""
    site.setattr(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    asked = getattr(rds.aws, service)
    site.setattr(asked, "role", site.principal)
    if service == "container":
        site.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", site.aws.container_url)
    half = web.Response(text=f'"SecretAccessKey": "{CANARY}')
    site.setattr(asked, "answer", lambda _call: half)
    error = open_database(poolclass=NullPool).raises(CredentialsError)
    assert not [each for each in printed(error) if CANARY in each]
    lines = [line for line in log.lines if not line.startswith("urllib3")]
    assert lines
    assert not [line for line in lines if CANARY in line]


def _chain(error: BaseException | None) -> list[BaseException]:
    return [] if error is None else [error, *_chain(error.__cause__)]
