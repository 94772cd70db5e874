"""Indexes on disk: any flipped bit is refused, arrays that do not fit together too, and opening again stays fast."""

import functools
import os
import time

import numpy as np
import pytest

from envs_data import cache
from minilm import DIRECTORY, needs_minilm
from ospo_env.errors import RetrieverError
from ospo_env.retrievers import bm25 as bm25_module
from ospo_env.retrievers import chargram, lsa, storage, terms
from ospo_env.retrievers.bm25 import BM25Retriever
from ospo_env.retrievers.chargram import CharGramRetriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.dense import DenseRetriever
from ospo_env.retrievers.lsa import LSARetriever
from ospo_env.retrievers.structure import check_array, check_numbers, check_offsets
from ospo_env.retrievers.vectors import VectorIndex
from shop import documents

DOCUMENTS = documents()
POOL = np.arange(len(DOCUMENTS), dtype=np.int32)[None]
FLIPS = 60


def dense(corpus):
    retriever = DenseRetriever(corpus, str(DIRECTORY), device="cpu", index="hnsw")
    retriever._index.best(retriever._vectors[0], 1)  # which opens the index
    return retriever


KINDS = [BM25Retriever, CharGramRetriever, LSARetriever, pytest.param(dense, marks=needs_minilm)]
PREFIXES = {
    BM25Retriever: ["bm25", "terms"],
    CharGramRetriever: ["chargram", "terms"],
    LSARetriever: ["lsa", "terms"],
    dense: ["dense"],
}
each = pytest.mark.parametrize("kind", KINDS, ids=["bm25", "chargram", "lsa", "dense"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _on_disk(folder, monkeypatch):
    """Every index goes to disk, and what was checked is remembered at once."""
    monkeypatch.setenv("OSPO_CACHE_DIR", str(folder))
    monkeypatch.setattr(storage, "_STORED_FROM", 1)
    monkeypatch.setattr(cache, "_SETTLED", 0)


def reopened(kind):
    return kind(Corpus.of_texts(DOCUMENTS, "x"))


def files_of(folder, kind):
    """The files of the indexes that a retriever opens; it has opened them, so that they are remembered as right."""
    reopened(kind)
    time.sleep(0.05)  # beyond a tick of the file system's clock
    reopened(kind)
    return sorted(path for key in PREFIXES[kind] for path in (folder / "indexes-2").glob(f"{key}-*/*"))


def flip(path, bit):
    """Flip a bit in place; the size and the time of modification stay as they were."""
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(bit // 8)
        byte = stream.read(1)[0]
        stream.seek(bit // 8)
        stream.write(bytes([byte ^ (1 << bit % 8)]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@each
def test_a_flipped_bit_is_refused_wherever_it_is(folder, kind):
    files = files_of(folder, kind)
    rng = np.random.default_rng(0)
    assert len(files) >= 4
    for number in range(FLIPS):
        path = files[number % len(files)]
        bit = int(rng.integers(path.stat().st_size * 8))
        flip(path, bit)
        with pytest.raises(RetrieverError, match="is not what was built"):
            reopened(kind)
        flip(path, bit)
    time.sleep(0.05)
    reopened(kind)  # the negative control: every bit is as it was


def test_every_bit_of_the_manifest_counts(folder):
    path = next(path for path in files_of(folder, BM25Retriever) if path.name == "index.json")
    for bit in range(path.stat().st_size * 8):
        flip(path, bit)
        with pytest.raises(RetrieverError, match="is not what was built"):
            reopened(BM25Retriever)
        flip(path, bit)


def test_without_digests_a_flip_gives_other_scores(folder, monkeypatch):
    """The negative control: the flips above are of bits that matter."""
    path = next(path for path in files_of(folder, BM25Retriever) if path.name == "weights.npy")
    bit = (path.stat().st_size - 4 * 20) * 8 + 14
    pools = np.repeat(POOL, len(DOCUMENTS), axis=0)
    expected = reopened(BM25Retriever).score_pools(DOCUMENTS, pools)
    with monkeypatch.context() as patched:
        patched.setattr(storage, "_check_digest", lambda *arguments: None)
        flip(path, bit)
        assert not np.array_equal(reopened(BM25Retriever).score_pools(DOCUMENTS, pools), expected)
    flip(path, bit)
    np.testing.assert_array_equal(reopened(BM25Retriever).score_pools(DOCUMENTS, pools), expected)


@each
def test_bytes_are_read_once(folder, kind, monkeypatch):
    files_of(folder, kind)
    monkeypatch.setattr(storage, "file_sha256", lambda path: pytest.fail(f"read {path} again"))
    reopened(kind)


def test_bytes_are_read_again_when_a_file_was_touched(folder, monkeypatch):
    path = next(path for path in files_of(folder, BM25Retriever) if path.suffix == ".npy")
    path.touch()
    read = []
    monkeypatch.setattr(storage, "file_sha256", lambda path: read.append(path) or "")
    with pytest.raises(RetrieverError, match="does not have the digest"):
        reopened(BM25Retriever)
    assert read


def changed(arrays, **changes):
    """Arrays with one element or whole arrays replaced; ``None`` takes an array out."""
    result = {name: array.copy() for name, array in arrays.items()}
    for name, change in changes.items():
        if change is None:
            del result[name]
        elif isinstance(change, np.ndarray):
            result[name] = change
        else:
            place, value = change
            result[name][place] = value
    return result


@functools.cache
def arrays_of(kind):
    """The arrays of an index in memory, and its check."""
    seen = {}

    def remember_check(key, build, *, check, documents, label):
        seen[label] = check, index_arrays(key, build, check=check, documents=10**9, label=label)
        return seen[label][1]

    index_arrays = storage.index_arrays
    modules = (bm25_module, chargram, lsa, terms)
    try:
        for module in modules:
            module.index_arrays = remember_check
        kind(Corpus.of_texts(DOCUMENTS, "structure"))
    finally:
        for module in modules:
            module.index_arrays = index_arrays
    return seen


DAMAGES = [
    (BM25Retriever, "token counts", {"starts": (3, 10**9)}, "starts to ascend"),
    (BM25Retriever, "token counts", {"starts": (0, 1)}, "starts to ascend from 0"),
    (BM25Retriever, "token counts", {"starts": (-1, 7)}, "starts to ascend"),
    (BM25Retriever, "token counts", {"starts": np.zeros(3, dtype=np.int64)}, "starts as int64 of shape"),
    (BM25Retriever, "token counts", {"terms": (5, 10**6)}, "numbers of terms"),
    (BM25Retriever, "token counts", {"terms": (5, -1)}, "numbers of terms"),
    (BM25Retriever, "token counts", {"counts": (5, 0)}, "numbers of counts"),
    (BM25Retriever, "token counts", {"counts": None}, "an array 'counts'"),
    (BM25Retriever, "token counts", {"word_starts": (2, -5)}, "word_starts to ascend"),
    (BM25Retriever, "token counts", {"word_ids": (0, 1)}, "word_ids as the numbers"),
    (BM25Retriever, "token counts", {"words": np.zeros(9, dtype=np.uint8)}, "word_starts to ascend"),
    (BM25Retriever, "bm25 index", {"weights": (0, 0)}, "numbers of weights"),
    (BM25Retriever, "bm25 index", {"weights": np.ones(3, dtype=np.int32)}, "weights as int32 of shape"),
    (CharGramRetriever, "chargram index", {"grams": (0, 10**6)}, "numbers of grams"),
    (CharGramRetriever, "chargram index", {"grams": (0, -1)}, "numbers of grams"),
    (CharGramRetriever, "chargram index", {"gram_starts": (1, 10**6)}, "gram_starts to ascend"),
    (CharGramRetriever, "chargram index", {"gram_hashes": (0, 2**31 - 1)}, "gram_hashes to ascend"),
    (CharGramRetriever, "chargram index", {"gram_counts": (0, -1)}, "numbers of gram_counts"),
    (CharGramRetriever, "chargram index", {"gram_weights": (0, 0)}, "numbers of gram_weights"),
    (CharGramRetriever, "chargram index", {"weights": (0, 0)}, "numbers of weights"),
    (LSARetriever, "lsa index", {"documents": ((0, 0), np.nan)}, "numbers of documents"),
    (LSARetriever, "lsa index", {"tokens": ((0, 0), np.inf)}, "numbers of tokens"),
    (LSARetriever, "lsa index", {"tokens": np.zeros((2, 2), dtype=np.float32)}, "tokens as float32 of shape"),
]


@pytest.mark.parametrize(("kind", "label", "damage", "match"), DAMAGES)
def test_arrays_that_do_not_fit_together_are_refused(kind, label, damage, match):
    check, arrays = arrays_of(kind)[label]
    check(arrays)
    with pytest.raises(ValueError, match=match):
        check(changed(arrays, **damage))


def test_an_index_that_was_built_wrong_is_refused_when_it_is_opened():
    def build(directory):
        np.save(directory / "starts.npy", np.array([0, 5, 3]))

    def check(arrays):
        check_offsets(arrays, "starts", np.int64, 2, 3)

    storage.stored_arrays("wrong-0a", build, check=check, label="an index")
    with pytest.raises(RetrieverError, match=r"is not what was built .*starts to ascend from 0 to 3"):
        storage.stored_arrays("wrong-0a", build, check=check, label="an index")


def test_another_number_of_vectors_in_a_faiss_index(folder):
    vectors = np.eye(4, dtype=np.float32) * 2**24
    for count in (4, 3):
        stored = {"vectors": vectors[:count], "has_tokens": np.ones(count, dtype=bool)}
        index = VectorIndex(stored, "hnsw", 2.0**24, "one-key")
        if count == 4:
            index.best(vectors[0], 1)
        else:
            with pytest.raises(RetrieverError, match=r"expected vectors of shape \(3, 4\), got \(4, 4\)"):
                index.best(vectors[0], 1)


def test_checks_of_arrays():
    arrays = {"a": np.array([0, 2, 2, 5]), "b": np.array([0.5, np.nan])}
    assert check_array(arrays, "a", np.signedinteger, (4,)) is arrays["a"]
    assert check_offsets(arrays, "a", np.int64, None, 5) is arrays["a"]
    check_numbers(arrays["a"], "a", 0, 6)
    check_numbers(np.empty((0, 3)), "none", 0, 1)
    with pytest.raises(ValueError, match=r"a as int32 of shape \(any,\); got int64 of shape \(4,\)"):
        check_array(arrays, "a", np.int32, (None,))
    with pytest.raises(ValueError, match=r"of shape \(4, any\)"):
        check_array(arrays, "a", np.int64, (4, None))
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        check_numbers(arrays["b"], "b", 0, 1)
