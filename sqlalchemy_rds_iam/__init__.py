"""Password-less PostgreSQL on Amazon RDS for SQLAlchemy.

Add ``?plugin=rds_iam`` to an engine URL, sync or async, and every new connection carries a fresh
IAM token over verified TLS.
"""

from sqlalchemy_rds_iam.errors import ConfigError, CredentialsError, RdsIamError, WaitTimeout

__all__ = ["ConfigError", "CredentialsError", "RdsIamError", "WaitTimeout", "__version__"]

__version__ = "0.1.0"
