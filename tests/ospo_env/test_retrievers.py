"""Retrievers: scores of pools, the linear claim, whole-corpus ranking and pickling."""

import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import given
from scipy import sparse

from ospo_env.errors import TaskError
from ospo_env.retrievers import make_retriever
from ospo_env.retrievers.base import best_rows, equal_pools, is_retriever, make_fingerprint
from ospo_env.retrievers.bm25 import BM25Retriever
from ospo_env.retrievers.chargram import CharGramRetriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.lsa import LSARetriever
from ospo_env.scoring.coalitions import coalition_text
from ospo_env.text import clean_text, tokens
from paths import ROOT
from shop import SETTINGS, EachWordOnce, all_coalitions, cut_texts, documents

DOCUMENTS = documents()
EVERYTHING = np.arange(len(DOCUMENTS), dtype=np.int32)
RETRIEVERS = {name: make_retriever(name, Corpus.of_texts(DOCUMENTS)) for name in ("bm25", "chargram", "lsa")}
QUERIES = ["red wool coat", "blue", "shoe shoe leather", "赤い", "", "zzz", "...", "Straße 🎉", "the zzz", "café"]

each = pytest.mark.parametrize("retriever", RETRIEVERS.values(), ids=RETRIEVERS)


def whole(retriever, *texts):
    """Scores (B, D) on a pool of all documents."""
    return retriever.score_pools(texts, np.tile(EVERYTHING, (len(texts), 1)))


@each
def test_protocol(retriever):
    assert is_retriever(retriever)
    assert retriever.linear is True
    assert retriever.fingerprint.startswith(retriever.name)


@each
def test_scores_depend_on_text_and_document_alone(retriever):
    rng = np.random.default_rng(0)
    expected = whole(retriever, *QUERIES)
    rows = rng.permutation(np.repeat(np.arange(len(QUERIES)), 3))
    pools = np.full((len(rows), 20), -1, dtype=np.int32)
    for place in range(len(rows)):  # ragged, some of them shared, in any order
        pool = np.random.default_rng(place % 7).choice(EVERYTHING, size=5 + place % 7, replace=False)
        pools[place, : len(pool)] = pool
    scores = retriever.score_pools([QUERIES[row] for row in rows], pools)
    assert scores.dtype == np.float64
    assert scores.shape == pools.shape
    np.testing.assert_array_equal(scores, np.where(pools < 0, -np.inf, expected[rows[:, None], pools]))


@each
def test_no_texts(retriever):
    assert retriever.score_pools([], np.empty((0, 5), dtype=np.int32)).shape == (0, 5)


@each
@pytest.mark.parametrize("text", ["", " ", "...", "zzz", "🎉", "x" * 20_000])
def test_what_is_unknown_matches_nothing(retriever, text):
    assert (whole(retriever, text) == -np.inf).all()
    rows, scores = retriever.rank_corpus(text, 5)
    assert len(rows) == len(scores) == 0


def test_lexical_match_is_a_shared_token():
    scores = whole(RETRIEVERS["bm25"], "red zzz")[0]
    assert [np.isfinite(score) for score in scores] == ["red" in tokens(document) for document in DOCUMENTS]


def test_latent_match_is_a_known_token():
    has_words = [bool(tokens(document)) for document in DOCUMENTS]
    assert 0 < has_words.count(False) < 5
    np.testing.assert_array_equal(np.isfinite(whole(RETRIEVERS["lsa"], "red zzz"))[0], has_words)


@each
@SETTINGS
@given(cut_texts())
def test_linear_claim(retriever, cut):
    text, spans = clean_text(cut[0]), cut[1]
    if not retriever.cuts_cleanly(text, [start for start, _ in spans]):
        return
    parts = whole(retriever, *(text[start:end] for start, end in spans)) if spans else np.empty((0, len(DOCUMENTS)))
    finite = np.where(parts > -np.inf, parts, 0.0)
    coalitions = all_coalitions(len(spans))
    sums = np.where(coalitions @ (parts > -np.inf), coalitions @ finite, -np.inf)
    np.testing.assert_array_equal(whole(retriever, *(coalition_text(text, spans, mask) for mask in coalitions)), sums)


def test_linear_claim_negative_control():
    liar = EachWordOnce(RETRIEVERS["bm25"])
    whole_text, parts = whole(liar, "red red"), whole(liar, "red ", "red")
    assert liar.linear
    assert not np.array_equal(whole_text[0], parts.sum(axis=0))


@each
def test_a_cut_word_is_noticed(retriever):
    assert retriever.cuts_cleanly("red wool", [3, 4, 8])
    assert not retriever.cuts_cleanly("red wool", [5])


@each
@pytest.mark.parametrize("k", [1, 3, 7, 61, 100])
def test_corpus_ranking_is_that_of_exact_scores(retriever, k):
    for text in QUERIES:
        scores = whole(retriever, text)[0]
        order = sorted((row for row in EVERYTHING if scores[row] > -np.inf), key=lambda row: (-scores[row], row))[:k]
        rows, found = retriever.rank_corpus(text, k)
        assert rows.dtype == np.int32
        np.testing.assert_array_equal(rows, order)
        np.testing.assert_array_equal(found, scores[order])


class LastOfTies:
    """A legal index that, among equal products, returns the highest rows first."""

    def __init__(self, vectors):
        self.vectors = vectors
        self.asked = []

    def search(self, queries, k):
        self.asked.append(k)
        products = self.vectors @ queries[0]
        rows = np.lexsort((-np.arange(len(products)), -products))[:k]
        return products[rows][None], rows[None]


def test_candidates_grow_until_they_hold_the_best():
    texts = ["w1 w2"] * 300 + ["w1 w3", "w3 w4", "w4 w2 w5"] * 20  # more ties than candidates
    retriever = LSARetriever(Corpus.of_texts(texts, "x"))
    index = LastOfTies(retriever._vectors["documents"])
    retriever._index = index, np.arange(len(texts))
    pool = np.arange(len(texts), dtype=np.int32)
    for text in ("w1 w2", "w3", "w1 w1 w5"):
        scores = retriever.score_pools([text], pool[None])[0]
        np.testing.assert_array_equal(retriever.rank_corpus(text, 10)[0], best_rows(scores, 10))
    assert max(index.asked) == len(texts) > min(index.asked)


@each
def test_twins_tie(retriever):
    twins = [row for row, document in enumerate(DOCUMENTS) if document == "red wool coat"]
    scores = whole(retriever, "red coat")[0, twins]
    assert len(twins) == 2
    assert scores[0] == scores[1]


@each
def test_pickles_and_reopens(retriever):
    retriever.rank_corpus("red", 3)  # builds what is built late
    again = pickle.loads(pickle.dumps(retriever))
    assert again.fingerprint == retriever.fingerprint
    np.testing.assert_array_equal(whole(again, *QUERIES), whole(retriever, *QUERIES))
    np.testing.assert_array_equal(again.rank_corpus("red", 3)[0], retriever.rank_corpus("red", 3)[0])


def test_hash_seed_and_threads_change_nothing():
    script = (
        "import hashlib; from test_retrievers import *; "
        "[print(r.fingerprint, hashlib.sha256(whole(r, *QUERIES).tobytes()).hexdigest()) for r in RETRIEVERS.values()]"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        env={**environment, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    scores = {name: whole(retriever, *QUERIES) for name, retriever in RETRIEVERS.items()}
    here = [f"{RETRIEVERS[name].fingerprint} {hashlib.sha256(scores[name].tobytes()).hexdigest()}" for name in scores]
    assert printed == here
    assert len(set(here)) == len(RETRIEVERS) > 1


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4), (2.0, 0.0)])
def test_bm25_weights_are_those_of_the_library(k1, b):
    ids = {}
    corpus = [[ids.setdefault(token, len(ids)) for token in tokens(document)] for document in DOCUMENTS]
    library = bm25s.BM25(k1=k1, b=b, method="lucene", dtype="float64")
    library.index((corpus, ids), create_empty_token=False, show_progress=False)
    scores = library.scores
    exact = sparse.csc_matrix((scores["data"], scores["indices"], scores["indptr"]), shape=(len(corpus), len(ids)))
    expected = np.rint(exact.toarray() * 2**16)
    ours = whole(BM25Retriever(Corpus.of_texts(DOCUMENTS, "x"), k1=k1, b=b), *ids).T
    np.testing.assert_array_equal(np.where(ours > -np.inf, ours, 0), expected)


def test_latent_scores_are_cosines_times_one_factor():
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=tokens)
    matrix = vectorizer.fit_transform(DOCUMENTS)
    rank = min(128, min(matrix.shape) - 1)
    # no documents are left out of these few dimensions, hence any solver spans the same space
    projected = TruncatedSVD(rank, algorithm="arpack", random_state=0).fit(matrix)
    basis = projected.components_
    documents_ = matrix @ basis.T
    lengths = np.linalg.norm(documents_, axis=1, keepdims=True)
    documents_ = np.divide(documents_, lengths, out=np.zeros_like(documents_), where=lengths > 1e-9)
    for text in ("red wool coat", "shoe shoe leather", "赤い"):
        query = basis @ (vectorizer.transform([text]).toarray()[0])
        ours = whole(RETRIEVERS["lsa"], text)[0]
        matched = ours > -np.inf
        expected, ours = (documents_ @ query)[matched], ours[matched]
        factor = (expected @ ours) / (expected @ expected)
        assert factor > 0
        np.testing.assert_allclose(ours / factor, expected, atol=2e-3)


def test_chargram_scores_are_cosines_times_one_factor():
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=(3, 5), lowercase=False)
    words = sorted({token for document in DOCUMENTS for token in tokens(document)})
    grams = vectorizer.fit_transform(words)
    counts = np.array([[tokens(document).count(word) for word in words] for document in DOCUMENTS])
    occurs = np.count_nonzero(counts @ grams, axis=0)
    idf = np.log((1 + len(DOCUMENTS)) / (1 + occurs)) + 1
    vectors = (np.where(counts, 1 + np.log(np.maximum(counts, 1)), 0) @ grams) * idf
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    for text in ("red wool coat", "shoe shoe leathr", "赤い", "x"):
        expected = vectors @ (vectorizer.transform([" ".join(tokens(text))]).toarray()[0] * idf)
        ours = whole(RETRIEVERS["chargram"], text)[0]
        np.testing.assert_allclose(np.where(ours > -np.inf, ours, 0) / 2**20, expected, rtol=0.02, atol=1e-3)
        np.testing.assert_array_equal(ours > -np.inf, expected > 0)


@pytest.mark.parametrize(("misspelt", "meant"), [("blakc", "black"), ("leathr", "leather"), ("lininn", "linen")])
def test_a_misspelt_word_is_found_by_its_characters(misspelt, meant):
    assert len(RETRIEVERS["bm25"].rank_corpus(misspelt, 1)[0]) == 0
    found, _ = RETRIEVERS["chargram"].rank_corpus(misspelt, 4)
    assert all(meant in tokens(DOCUMENTS[row]) for row in found)
    assert len(found) == 4


def test_fingerprint_names_kind_settings_corpus_and_version():
    digests = {
        BM25Retriever(Corpus.of_texts(DOCUMENTS, "a")).fingerprint,
        BM25Retriever(Corpus.of_texts(DOCUMENTS, "b")).fingerprint,
        BM25Retriever(Corpus.of_texts(DOCUMENTS, "a"), k1=0.9).fingerprint,
        CharGramRetriever(Corpus.of_texts(DOCUMENTS, "a")).fingerprint,
        CharGramRetriever(Corpus.of_texts(DOCUMENTS, "b")).fingerprint,
        LSARetriever(Corpus.of_texts(DOCUMENTS, "a")).fingerprint,
        LSARetriever(Corpus.of_texts(DOCUMENTS, "a"), dimensions=8).fingerprint,
        make_fingerprint("bm25", 1, {}, "a"),
        make_fingerprint("bm25", 2, {}, "a"),
    }
    assert len(digests) == 9
    assert BM25Retriever(Corpus.of_texts(DOCUMENTS, "a")).fingerprint in digests


@pytest.mark.parametrize("texts", [[""], ["", "..."]])
@pytest.mark.parametrize("kind", [BM25Retriever, CharGramRetriever])
def test_a_corpus_without_words_matches_nothing(kind, texts):
    retriever = kind(Corpus.of_texts(texts, "x"))
    assert (retriever.score_pools(["red"], np.array([[0]], dtype=np.int32)) == -np.inf).all()
    assert len(retriever.rank_corpus("red", 3)[0]) == 0


@pytest.mark.parametrize("texts", [["red wool"], ["red", "red"], ["", ""]])
def test_a_corpus_too_small_for_latent_vectors(texts):
    with pytest.raises(TaskError, match="at least two documents and two different words"):
        LSARetriever(Corpus.of_texts(texts, "x"))


def test_equal_pools_are_gathered_once():
    pools = np.array([[1, 2], [3, 4], [1, 2], [1, -1]], dtype=np.int32)
    assert [(rows, pool.tolist()) for rows, pool in equal_pools(pools)] == [
        ([0, 2], [1, 2]),
        ([1], [3, 4]),
        ([3], [1, -1]),
    ]
