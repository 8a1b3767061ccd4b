# /// script
# requires-python = ">=3.11"
# dependencies = ["llama-index-core", "llama-index-vector-stores-postgres"]
#
# [tool.program]
# title = "LlamaIndex"
# url = "https://docs.llamaindex.ai"
# group = "Machine learning"
# packages = ["llama-index-core", "llama-index-vector-stores-postgres"]
# drivers = ["postgresql+psycopg2", "postgresql+asyncpg"]
# extensions = ["vector"]
# write = '''
# The URL where a database is named, with keywords of the engine beside it. A vector store has two
# engines, a sync and an async one:
#
# ```python
# PGVectorStore.from_params(
#     connection_string="postgresql+psycopg2://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam",
#     async_connection_string="postgresql+asyncpg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam",
#     create_engine_kwargs={"pool_pre_ping": True},
# )
# SQLDatabase.from_uri(
#     "postgresql+psycopg2://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam",
#     engine_args={"pool_pre_ping": True},
# )
# ```
#
# A user with `rds_superuser` has to `CREATE EXTENSION vector` once.
# '''
# ///
"""Documents found in a vector store, sync and async, and a question that SQL answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from job import run, url
from llama_index.core import Document, SQLDatabase, StorageContext, VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.query_engine import NLSQLTableQueryEngine
from llama_index.vector_stores.postgres import PGVectorStore
from sqlalchemy import create_engine, text

SYNC, ASYNC = url("postgresql+psycopg2"), url("postgresql+asyncpg")
EMBEDDING = MockEmbedding(8)


class Canned(CustomLLM):
    """A model that always writes the same SQL."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(self, prompt: str, **_: Any) -> CompletionResponse:
        assert "orders" in prompt
        return CompletionResponse(text="SELECT sum(amount) FROM orders")

    def stream_complete(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = create_engine(SYNC)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id int PRIMARY KEY, amount int)"))
        connection.execute(text("INSERT INTO orders VALUES (1, 30), (2, 40)"))
    engine.dispose()

    database = SQLDatabase.from_uri(SYNC, engine_args={"pool_pre_ping": True})
    question = NLSQLTableQueryEngine(
        database,
        llm=Canned(),
        tables=["orders"],
        synthesize_response=False,
        embed_model=EMBEDDING,
    )
    store = PGVectorStore.from_params(
        connection_string=SYNC,
        async_connection_string=ASYNC,
        table_name="notes",
        embed_dim=8,
        create_engine_kwargs={"pool_pre_ping": True},
    )
    index = VectorStoreIndex.from_documents(
        [Document(text="Ada")],
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=EMBEDDING,
    )
    retriever = index.as_retriever(similarity_top_k=1)
    with asyncio.Runner() as loop:

        def work() -> None:
            assert question.query("What is the sum of all orders?").metadata["result"] == [(70,)]
            index.insert(Document(text="Ada"))
            [found] = retriever.retrieve("Ada")
            assert found.text == "Ada"
            [found] = loop.run(retriever.aretrieve("Ada"))
            assert found.text == "Ada"

        yield work


if __name__ == "__main__":
    run(program)
