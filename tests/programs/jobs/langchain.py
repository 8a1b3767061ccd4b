# /// script
# requires-python = ">=3.11"
# dependencies = ["langchain-postgres", "langchain-community", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "LangChain"
# url = "https://docs.langchain.com"
# group = "Machine learning"
# packages = ["langchain-postgres", "langchain-community"]
# drivers = ["postgresql+psycopg"]
# extensions = ["vector"]
# write = '''
# The URL where a database is named, with keywords of the engine beside it:
#
# ```python
# URL = "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam"
#
# PGEngine.from_connection_string(URL, pool_pre_ping=True)  # for PGVectorStore
# SQLDatabase.from_uri(URL, engine_args={"pool_pre_ping": True})
# SQLChatMessageHistory("session", connection=URL, engine_args={"pool_pre_ping": True})
# ```
#
# A user with `rds_superuser` has to `CREATE EXTENSION vector` once.
# '''
# limits = '''
# `PostgresChatMessageHistory` takes a connection of psycopg, which logs in without the plugin; use
# `SQLChatMessageHistory`, or connect with [a token](api.md#tokens-without-an-engine).
# '''
# ///
"""Texts found in a vector store, a chat that is kept, and a database described to a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from job import run, url
from langchain_community.chat_message_histories import SQLChatMessageHistory
from langchain_community.utilities import SQLDatabase
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_postgres import PGEngine, PGVectorStore

OF_ENGINE = {"pool_pre_ping": True}


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = PGEngine.from_connection_string(url(), **OF_ENGINE)
    engine.init_vectorstore_table("notes", vector_size=8)
    store = PGVectorStore.create_sync(engine, DeterministicFakeEmbedding(size=8), "notes")
    history = SQLChatMessageHistory("ada", connection=url(), engine_args=OF_ENGINE)
    database = SQLDatabase.from_uri(url(), engine_args=OF_ENGINE)

    def work() -> None:
        store.add_texts(["Ada"])
        [found] = store.similarity_search("Ada", k=1)
        assert found.page_content == "Ada"
        before = len(history.messages)
        history.add_user_message("Hello")
        assert len(history.messages) == before + 1
        assert "message_store" in database.get_table_info()
        assert "Hello" in database.run("SELECT message FROM message_store")

    yield work


if __name__ == "__main__":
    run(program)
