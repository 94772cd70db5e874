"""Token counts and their table of words; and indexes on disk, which score as those in memory."""

import itertools
import pickle
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ospo_env.errors import RetrieverError
from ospo_env.retrievers import storage, terms
from ospo_env.retrievers import vocabulary as tables
from ospo_env.retrievers.bm25 import BM25Retriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.lsa import LSARetriever
from ospo_env.retrievers.terms import count_matrix, term_counts
from ospo_env.retrievers.vocabulary import Vocabulary, vocabulary_arrays
from ospo_env.text import tokens
from shop import SETTINGS, documents

DOCUMENTS = documents()
TEXTS = ["red wool coat", "shoe shoe leather", "赤い zzz", "", "Größe ½ niño", "the"]
POOLS = np.tile(np.array([*range(len(DOCUMENTS)), -1], dtype=np.int32), (len(TEXTS), 1))
KINDS = {"bm25": BM25Retriever, "lsa": LSARetriever}

each = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
words = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=6)


class ReadOnce:
    """Documents that may be read so often, in slices."""

    def __init__(self, texts, reads):
        self.texts, self.left = texts, reads * len(texts)

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, rows):
        self.left -= len(self.texts[rows])
        assert self.left >= 0, "read again"
        return self.texts[rows]


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """Every index goes to disk, and is built in several blocks."""
    monkeypatch.setenv("OSPO_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(storage, "_STORED_FROM", 1)
    monkeypatch.setattr(terms, "_BLOCK", 7)
    return tmp_path / "indexes-2"


@given(st.lists(words, unique=True, max_size=40), st.lists(words, max_size=10))
@SETTINGS
def test_the_table_knows_its_words_and_no_others(known, asked):
    ids = {word: number for number, word in enumerate(known)}
    found = tables._Ids(vocabulary_arrays(ids))
    for word in [*known, *asked, *asked]:
        assert found[word] == ids.get(word, -1)


def test_the_memory_of_words_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(tables, "_CACHE_BYTES", 1_000)
    ids = tables._Ids(vocabulary_arrays({word: number for number, word in enumerate("abcdefgh")}))
    for number, word in enumerate("abcdefgh" * 3):
        assert ids[word] == number % 8
        assert 0 < sum(map(sys.getsizeof, ids)) < 1_000
    assert ids["long" * 1_000] == -1
    assert sum(map(sys.getsizeof, ids)) < 1_000


def test_long_unknown_words_take_little_memory():
    """200 words of 100,000 letters, of which a count of words would keep all."""
    ids = tables._Ids(vocabulary_arrays({"a": 0}))
    for number in range(200):
        assert ids[f"{number}" + "x" * 100_000] == -1
    assert 0 < sum(map(sys.getsizeof, ids)) <= tables._CACHE_BYTES < 200 * 100_000


def test_counts_are_those_of_the_tokens():
    counted = term_counts(Corpus.of_texts(DOCUMENTS, "x"))
    listed = [tokens(document) for document in DOCUMENTS]
    ids = {}
    for document in listed:
        for token in document:
            ids.setdefault(token, len(ids))
    assert Vocabulary(counted).tokens() == list(ids)
    word_ids = counted["word_ids"].tolist()
    bounds = counted["word_starts"].tolist()
    spelt = [counted["words"][a:b].tobytes().decode() for a, b in itertools.pairwise(bounds)]
    assert dict(zip(spelt, word_ids, strict=True)) == ids
    for row, document in enumerate(listed):
        cells = slice(*counted["starts"][row : row + 2])
        found = dict(zip(counted["terms"][cells].tolist(), counted["counts"][cells].tolist(), strict=True))
        assert found == Counter(ids[token] for token in document)
        assert list(found) == sorted(found)
    matrix = count_matrix(counted)
    assert matrix.shape == (len(DOCUMENTS), len(ids))
    assert matrix.sum() == sum(map(len, listed))
    occurring, counts = Vocabulary(counted).counts(["red zzz red", "coat"])
    assert sorted(occurring.tolist()) == sorted([ids["red"], ids["coat"]])
    assert sorted(counts.sum(axis=1).tolist()) == [1.0, 2.0]


@each
def test_an_index_on_disk_scores_as_one_in_memory(kind, on_disk, monkeypatch):
    stored = kind(Corpus.of_texts(ReadOnce(DOCUMENTS, 1), "x"))
    assert {path.name for path in on_disk.iterdir() if path.is_dir()} == {
        stored.fingerprint,
        next(path.name for path in on_disk.glob("terms-*")),
    }
    reopened = kind(Corpus.of_texts(ReadOnce(DOCUMENTS, 0), "x"))
    monkeypatch.undo()
    small = kind(Corpus.of_texts(DOCUMENTS, "x"))
    expected = small.score_pools(TEXTS, POOLS)
    assert (expected > -np.inf).any()
    for retriever in (stored, reopened, pickle.loads(pickle.dumps(reopened))):
        assert retriever.fingerprint == small.fingerprint
        np.testing.assert_array_equal(retriever.score_pools(TEXTS, POOLS), expected)
        for text in TEXTS:
            for ours, theirs in zip(retriever.rank_corpus(text, 9), small.rank_corpus(text, 9), strict=True):
                np.testing.assert_array_equal(ours, theirs)


@each
def test_what_is_pickled_of_an_index_on_disk_is_its_place(kind, on_disk):
    small, large = (kind(Corpus.of_texts(DOCUMENTS * times, f"{times}")) for times in (1, 50))
    for retriever in (small, large):
        retriever.rank_corpus("red", 3)  # builds what is built late
    assert len(pickle.dumps(large)) < len(pickle.dumps(small)) + 1_000
    content = pickle.dumps(large)
    for path in on_disk.glob("*/*.npy"):
        path.unlink()
    with pytest.raises(RetrieverError, match="remove that directory"):
        pickle.loads(content)


def test_the_counts_serve_several_retrievers(on_disk):
    documents = ReadOnce(DOCUMENTS, 1)
    BM25Retriever(Corpus.of_texts(documents, "x"))
    BM25Retriever(Corpus.of_texts(documents, "x"), k1=0.9)
    LSARetriever(Corpus.of_texts(documents, "x"))
    assert len(list(on_disk.glob("terms-*"))) == 1
    assert len(list(on_disk.glob("bm25-*"))) == 2


def test_the_corpus_is_ranked_in_parts(monkeypatch):
    whole = BM25Retriever(Corpus.of_texts(DOCUMENTS, "x"))
    expected = [whole.rank_corpus(text, 20) for text in TEXTS]
    monkeypatch.setattr("ospo_env.retrievers.bm25._SCANNED", 9)
    for text, (rows, scores) in zip(TEXTS, expected, strict=True):
        np.testing.assert_array_equal(whole.rank_corpus(text, 20)[0], rows)
        np.testing.assert_array_equal(whole.rank_corpus(text, 20)[1], scores)
