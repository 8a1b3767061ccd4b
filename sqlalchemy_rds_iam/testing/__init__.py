"""An RDS with IAM authentication on loopback, for tests, demos and CI without AWS.

A PostgreSQL, or a MariaDB that stands for MySQL, too.

    from sqlalchemy_rds_iam.testing import RdsEmulator

    with RdsEmulator(users=("app",)) as rds:
        engine = create_engine(rds.url("postgresql+psycopg"))

It needs the extra ``testing`` and a POSIX system.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sqlalchemy_rds_iam._requirements import install, missing

# In one sentence, and before a module of ours fails on it in the middle.
if _absent := missing("aiohttp", "trustme", "scramp"):
    raise ImportError(
        f"sqlalchemy_rds_iam.testing needs {' and '.join(_absent)}: {install(*_absent)}",
        name=_absent[0],
    )

from sqlalchemy_rds_iam.testing.aws.identities import AccessKey, Identities, Principal
from sqlalchemy_rds_iam.testing.aws.secrets_api import (
    DECRYPTION_FAILURE,
    INTERNAL_ERROR,
    KMS_DENIED,
    THROTTLED,
)
from sqlalchemy_rds_iam.testing.aws.service import AwsError
from sqlalchemy_rds_iam.testing.database.gateway import Gateway
from sqlalchemy_rds_iam.testing.database.rotation import CURRENT_FIRST, STEPS
from sqlalchemy_rds_iam.testing.database.secrets import Secret, Secrets
from sqlalchemy_rds_iam.testing.database.traffic import Traffic
from sqlalchemy_rds_iam.testing.database.users import ServerError
from sqlalchemy_rds_iam.testing.database.verifier import Decision, SignedEndpoint, verify
from sqlalchemy_rds_iam.testing.emulator import RdsEmulator
from sqlalchemy_rds_iam.testing.foreground import run_foreground
from sqlalchemy_rds_iam.testing.server.certificates import Certificates

if TYPE_CHECKING:
    from sqlalchemy_rds_iam.testing.cluster.cluster import RdsCluster
    from sqlalchemy_rds_iam.testing.cluster.endpoint import ClusterEndpoint
    from sqlalchemy_rds_iam.testing.cluster.member import ClusterMember
    from sqlalchemy_rds_iam.testing.cluster.names import ClusterNames

__all__ = [
    "CURRENT_FIRST",
    "DECRYPTION_FAILURE",
    "INTERNAL_ERROR",
    "KMS_DENIED",
    "STEPS",
    "THROTTLED",
    "AccessKey",
    "AwsError",
    "Certificates",
    "ClusterEndpoint",
    "ClusterMember",
    "ClusterNames",
    "Decision",
    "Gateway",
    "Identities",
    "Principal",
    "RdsCluster",
    "RdsEmulator",
    "Secret",
    "Secrets",
    "ServerError",
    "SignedEndpoint",
    "Traffic",
    "run_foreground",
    "verify",
]

# Found when asked for: an emulator without a cluster needs none of it.
_LAZY = {
    "ClusterEndpoint": "endpoint",
    "ClusterMember": "member",
    "ClusterNames": "names",
    "RdsCluster": "cluster",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.cluster.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
