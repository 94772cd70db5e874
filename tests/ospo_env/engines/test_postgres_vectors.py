"""``postgres:TABLE?vector=COLUMN`` on a real PostgreSQL with pgvector, that of the package ``pgserver``."""

import os

import numpy as np
import pytest

from minilm import DIRECTORY, needs_minilm
from ospo_env import Corpus, TaskError, make_retriever
from ospo_env.conformance import check_retriever
from ospo_env.retrievers.registry import resolve_retriever
from postgres_cluster import Unusable, cluster, pgserver_binaries

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
pytestmark = needs_minilm
DSN = "OSPO_TEST_VECTOR_DSN"
TEXTS = ["red wool coat", "", "blue leather bag", "linen dress", "!!!", "red wool coat"]
CORPUS = Corpus([f"sku-{row}" for row in range(len(TEXTS))], TEXTS)
SPEC = f"postgres:{{}}?dsn_env={DSN}&vector=embedding&model={DIRECTORY}&device=cpu&cache=false"


@pytest.fixture(scope="module", autouse=True)
def _server():
    binaries = pgserver_binaries()
    if binaries is None:
        pytest.skip("pgserver, a PostgreSQL with pgvector, is not installed")
    try:
        with cluster(binaries) as (dsn, _):
            os.environ[DSN] = dsn
            execute("create extension vector")
            load("docs", CORPUS)
            yield
            del os.environ[DSN]
    except Unusable as error:
        pytest.skip(str(error))


def execute(statement, parameters=()):
    with psycopg.connect(os.environ[DSN], autocommit=True) as connection:
        cursor = connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else None


def vectors(corpus):
    """Vectors of the documents by the retriever ``dense``; none of blank ones."""
    encoder = make_retriever(f"dense:{DIRECTORY}?device=cpu", corpus)
    return [
        vector.tolist() if is_known else None
        for vector, is_known in zip(
            encoder.encode(corpus.texts), encoder.has_known_tokens(corpus.texts).tolist(), strict=True
        )
    ]


def load(table, corpus):
    execute(f"create table {table} (doc_id text primary key, embedding vector(384))")
    for doc_id, vector in zip(corpus.doc_ids, vectors(corpus), strict=True):
        execute(f"insert into {table} values (%s, %s::vector)", [doc_id, vector and str(vector)])


def joined(corpus):
    """A factory for the conformance kit."""
    table = f"kit_{corpus.digest[:12]}"
    if execute("select to_regclass(%s)::text", [table]) == [(None,)]:
        load(table, corpus)
    return resolve_retriever(SPEC.format(table))(corpus)


@pytest.mark.exhaustive
def test_the_contract():
    check_retriever(joined, tolerance=1e-6, texts=["red coat", "blue bag, linen", "x" * 300])


def test_scores_are_those_of_the_same_vectors_elsewhere():
    dense = make_retriever(f"dense:{DIRECTORY}?device=cpu", CORPUS)
    pool = np.array([[3, 0, 1, -1, 2, 5]], np.int32).repeat(3, 0)
    texts = ["red coat", "handbag", " "]
    expected = dense.score_pools(texts, pool)
    scores = make_retriever(SPEC.format("docs"), CORPUS).score_pools(texts, pool)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    inner = make_retriever(SPEC.format("docs") + "&distance=inner", CORPUS)
    np.testing.assert_allclose(inner.score_pools(texts, pool), expected, atol=1e-6)  # of unit vectors
    far = make_retriever(SPEC.format("docs") + "&distance=l2", CORPUS).score_pools(texts, pool)
    np.testing.assert_allclose(far, -np.sqrt(np.maximum(2 - 2 * expected, 0)), atol=1e-3)
    np.testing.assert_array_equal(inner.rank_corpus("red coat", 3)[0], dense.rank_corpus("red coat", 3)[0])


def test_vectors_of_another_length():
    execute("create table short as select doc_id, '[1,2]'::vector as embedding from docs")
    with pytest.raises(TaskError, match=r"cannot search the table short: .*different vector dimensions 2 and 384"):
        make_retriever(SPEC.format("short"), CORPUS)
    with pytest.raises(TaskError, match="one of cosine, inner, l2; got 'hamming'"):
        make_retriever(SPEC.format("docs") + "&distance=hamming", CORPUS)
