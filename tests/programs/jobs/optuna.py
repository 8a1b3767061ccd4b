# /// script
# requires-python = ">=3.11"
# dependencies = ["optuna", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "Optuna"
# url = "https://optuna.readthedocs.io/en/stable/tutorial/20_recipes/001_rdb.html"
# group = "Machine learning"
# packages = ["optuna"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL as the study's storage, with a pool that notices lost connections:
#
# ```python
# storage = optuna.storages.RDBStorage(
#     "postgresql+psycopg://…?plugin=rds_iam", engine_kwargs={"pool_pre_ping": True}
# )
# study = optuna.create_study(storage=storage, study_name="study", load_if_exists=True)
# ```
#
# On the command line: `optuna --storage 'postgresql+psycopg://…?plugin=rds_iam' …`.
# '''
# databases = ["app"]
# minutes = 4
# ///
"""A study whose trials are kept in the database, two of them at a time, and its command line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import optuna
from job import command, run, url


def objective(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", -10, 10) ** 2


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    storage = optuna.storages.RDBStorage(url(), engine_kwargs={"pool_pre_ping": True})
    study = optuna.create_study(storage=storage, study_name="study", load_if_exists=True)

    def work() -> None:
        before = len(study.trials)
        study.optimize(objective, n_trials=6, n_jobs=2)
        words = "trials", "--study-name", "study"
        shown = command("optuna", "--storage", url(), *words)
        assert shown.count("COMPLETE") == before + 6

    yield work
    storage.engine.dispose()


if __name__ == "__main__":
    run(program)
