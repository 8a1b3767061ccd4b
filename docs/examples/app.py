"""An application that has its settings from the environment, by pydantic-settings."""

from typing import Self

from pydantic import PositiveInt, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import create_engine, make_url, text


class Database(BaseSettings):
    """DATABASE_URL and DATABASE_POOL_SIZE, from the environment or a file .env beside it."""

    # A refused URL may have a password in it, which is for no log.
    model_config = SettingsConfigDict(
        env_prefix="DATABASE_", env_file=".env", extra="ignore", hide_input_in_errors=True
    )

    url: str
    pool_size: PositiveInt = 5

    @model_validator(mode="after")
    def logs_in_by_iam(self) -> Self:
        """Refuse a URL without the plugin, which would log in without a password."""
        if "rds_iam" not in make_url(self.url).query.get("plugin", ()):
            raise ValueError("DATABASE_URL: expected ?plugin=rds_iam in it")
        return self


database = Database()
engine = create_engine(database.url, pool_size=database.pool_size, pool_pre_ping=True)

if __name__ == "__main__":
    with engine.connect() as connection:
        print(connection.scalar(text("SELECT current_user")))
    engine.dispose()
