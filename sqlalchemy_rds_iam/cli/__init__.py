"""The ``rds-iam`` command. Its commands are in ``app``, which needs the extra ``cli``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command, or say in one sentence what is not installed."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ModuleNotFoundError:
        sys.exit('the rds-iam command needs its extra: pip install "sqlalchemy-rds-iam[cli]"')
    from sqlalchemy_rds_iam.cli.app import run  # only now: it is made of the two above

    run()
