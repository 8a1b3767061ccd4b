# /// script
# requires-python = ">=3.11"
# dependencies = ["apscheduler<4", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "APScheduler"
# url = "https://apscheduler.readthedocs.io/en/3.x/userguide.html"
# group = "Workers"
# packages = ["apscheduler"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL for the job store, with a pool that notices lost connections:
#
# ```python
# url = "postgresql+psycopg://…?plugin=rds_iam"
# store = SQLAlchemyJobStore(url, engine_options={"pool_pre_ping": True})
# ```
# '''
# databases = ["app"]
# minutes = 3
# ///
"""Jobs that a scheduler in the background keeps in the database, and runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from job import run, url, wait_for

ran = threading.Event()


def task() -> None:
    ran.set()


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    store = SQLAlchemyJobStore(url(), engine_options={"pool_pre_ping": True})
    scheduler = BackgroundScheduler(jobstores={"default": store})
    scheduler.start()

    def work() -> None:
        ran.clear()
        scheduler.add_job(task, "interval", days=1, id="daily", replace_existing=True)
        assert [job.id for job in scheduler.get_jobs()] == ["daily"]
        scheduler.add_job(task)  # at once, and gone when it has run
        assert ran.wait(60)
        wait_for(lambda: len(store.get_all_jobs()) == 1, 60)

    try:
        yield work
    finally:
        scheduler.shutdown()


if __name__ == "__main__":
    run(program)
