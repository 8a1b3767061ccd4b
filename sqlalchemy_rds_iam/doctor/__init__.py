"""Why does it not connect? The walk of a connect, step by step, and the cause that is behind it.

    from sqlalchemy_rds_iam.doctor import examine

    report = examine("postgresql+psycopg://app@mydb….rds.amazonaws.com/app?plugin=rds_iam")
    for cause in report.causes:
        print(cause.certainty, cause.code, cause.summary)

RDS answers a wrong region, a missing grant, a missing policy, an expired session and a wrong clock
in the same words. So everything that can be known from here is looked at, and what cannot be known
is said to be likely or possible. Nothing is changed anywhere; no more than a handful of logins are
attempted (`MOST_LOGINS`); no secret is in the report; every check has a deadline.

``rds-iam doctor URL`` is the same as a command.
"""

from __future__ import annotations

from sqlalchemy_rds_iam.doctor.examination import examine
from sqlalchemy_rds_iam.doctor.findings import Certainty, Finding, Outcome, Report, Status
from sqlalchemy_rds_iam.doctor.state import MOST_LOGINS

__all__ = ["MOST_LOGINS", "Certainty", "Finding", "Outcome", "Report", "Status", "examine"]
