"""All families that the doctor knows how to deal with, and which one a URL is about."""

from __future__ import annotations

from sqlalchemy import URL

from sqlalchemy_rds_iam._databases.known import family_of
from sqlalchemy_rds_iam.doctor.manner import Manner
from sqlalchemy_rds_iam.doctor.mysql.manner import MYSQL
from sqlalchemy_rds_iam.doctor.postgresql.manner import POSTGRESQL
from sqlalchemy_rds_iam.doctor.state import State

MANNERS = {each.family.name: each for each in (POSTGRESQL, MYSQL)}
"""By the family's name."""


def of(state: State) -> Manner:
    """That of the family that the engine's driver belongs to."""
    return MANNERS[state.driver.family.name]


def of_url(url: URL) -> Manner:
    """That of the family that a URL names, where there is no engine."""
    return MANNERS[family_of(url.get_backend_name()).name]
