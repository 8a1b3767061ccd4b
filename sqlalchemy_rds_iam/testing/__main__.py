"""``python -m sqlalchemy_rds_iam.testing``: the emulator in the foreground."""

from __future__ import annotations

import argparse
from pathlib import Path

from sqlalchemy_rds_iam.testing.database.engines import NAMES
from sqlalchemy_rds_iam.testing.foreground import DEFAULT_CEILING, run_foreground


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m sqlalchemy_rds_iam.testing",
        description="An RDS PostgreSQL or MySQL with IAM authentication here, without AWS.",
    )
    parser.add_argument("--host", help="endpoint that tokens must be signed for")
    parser.add_argument(
        "--engine", choices=NAMES, default=NAMES[0], help="which database (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, help="port that tokens are signed for")
    parser.add_argument("--region", help="region, when the host name does not say it")
    parser.add_argument("--listen-port", type=int, default=0, help="port to listen on; 0: any")
    parser.add_argument("--user", action="append", dest="users", help="database user; repeatable")
    parser.add_argument(
        "--secret",
        action="append",
        dest="secrets",
        metavar="USER",
        help="database user with a password, kept in a secret of its name; repeatable",
    )
    parser.add_argument(
        "--ceiling",
        type=float,
        default=DEFAULT_CEILING,
        help="authentications per second; 0: no limit (default: %(default)g)",
    )
    parser.add_argument(
        "--server", help="front this postgresql:// or mysql:// URL instead of starting one"
    )
    parser.add_argument("--postgres", help="auto, wheel, or the directory of postgres and initdb")
    parser.add_argument("--mariadb", help="the directory of mariadbd")
    parser.add_argument(
        "--fetch", action="store_true", help="fetch MariaDB by apt-get, where there is none"
    )
    parser.add_argument("--cluster", action="store_true", help="a writer and a standby")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--driver", help="driver that the URL names")
    parser.add_argument("--env-file", type=Path, help="file for the variables, while it runs")
    given = parser.parse_args()
    run_foreground(
        given.host,
        given.port,
        region=given.region,
        users=given.users or ("app",),
        secrets=given.secrets or (),
        ceiling=given.ceiling or None,
        server=given.server,
        postgres=given.postgres,
        mariadb=given.mariadb,
        engine=given.engine,
        fetch=given.fetch,
        cluster=given.cluster,
        listen_port=given.listen_port,
        driver=given.driver,
        variables_file=given.env_file,
        as_json=given.json,
    )


if __name__ == "__main__":
    main()
