"""A value other than the default for every option: as text, and as what is made of it."""

from __future__ import annotations

from typing import Any

HOST = "db.abc123.us-east-1.rds.amazonaws.com"
VALUES: dict[str, tuple[str, Any]] = {
    "enabled": ("off", False),
    "region": ("eu-west-1", "eu-west-1"),
    "host": (HOST, HOST),
    "port": ("5433", 5433),
    "resolve_cname": ("on", True),
    "profile": ("prod", "prod"),
    "credentials": ("botocore", "botocore"),
    "tls": ("verify-ca", "verify-ca"),
    "ca": ("/etc/ca.pem", "/etc/ca.pem"),
    "refresh": ("lazy", "lazy"),
    "failure_ttl": ("2.5", 2.5),
    "timeout": ("12", 12.0),
    "target_session_attrs": ("read-write", "read-write"),
    "failover_timeout": ("90", 90.0),
    "rate_storage": ("redis://:pw@cache:6379/0", "redis://:pw@cache:6379/0"),
    "connect_rate": ("50", 50),
    "throttle_retry": ("Patient", "patient"),
    "role_arn": ("arn:aws:iam::123456789012:role/app", "arn:aws:iam::123456789012:role/app"),
}
ROLE = "arn:aws-us-gov:iam::123456789012:role/team/app+db"
# Those that go with a role.
ROLE_VALUES: dict[str, tuple[str, Any]] = {
    "role_session_name": ("orders@eu", "orders@eu"),
    "external_id": ("team:42/a", "team:42/a"),
    "role_duration": ("900", 900),
    "sts_endpoint_url": (
        "https://vpce-1.sts.us-east-1.vpce.amazonaws.com",
        "https://vpce-1.sts.us-east-1.vpce.amazonaws.com",
    ),
}
SECRET_VALUES: dict[str, tuple[str, Any]] = {
    "enabled": ("off", False),
    "region": ("eu-west-1", "eu-west-1"),
    "endpoint_url": ("https://vpce-1.example.com", "https://vpce-1.example.com"),
    "version_stage": ("BLUE", "BLUE"),
    "version_id": ("b" * 32, "b" * 32),
    "username_key": ("who", "who"),
    "password_key": ("pw", "pw"),
    "conflict": ("URL", "url"),
    "ttl": ("60", 60.0),
    "neg_ttl": ("0", 0.0),
    "resurrect_ttl": ("1e3", 1000.0),
    "host": ("db.example.com", "db.example.com"),
    "resolve_cname": ("on", True),
    "profile": ("prod", "prod"),
    "credentials": ("botocore", "botocore"),
    "tls": ("verify-ca", "verify-ca"),
    "ca": ("/etc/ca.pem", "/etc/ca.pem"),
    "refresh": ("lazy", "lazy"),
    "timeout": ("12", 12.0),
    "target_session_attrs": ("read-write", "read-write"),
    "failover_timeout": ("90", 90.0),
    "role_arn": ("arn:aws:iam::123456789012:role/app", "arn:aws:iam::123456789012:role/app"),
}
