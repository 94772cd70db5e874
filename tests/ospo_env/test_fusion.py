"""Fusion of retrievers: hand-derived sums, ties, texts that match nothing, and how a fusion is named."""

import numpy as np
import pytest

from ospo_env.conformance import check_retriever
from ospo_env.errors import TaskError
from ospo_env.retrievers import make_retriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.fusion import FusionRetriever, min_max, reciprocal_rank
from shop import documents, task

DOCUMENTS = documents()
CORPUS = Corpus.of_texts(DOCUMENTS)
POOL = np.array([[3, 0, 5, 1, -1]], dtype=np.int32)
NOTHING = -np.inf


class Given:
    """A retriever with given scores of documents, whatever the text."""

    linear = False

    def __init__(self, name, scores):
        self.name = self.fingerprint = name
        self.scores = np.array([*scores, NOTHING])  # the last one for the row -1

    def score_pools(self, texts, pools):
        return np.tile(self.scores[pools], (1, 1)) if texts else np.empty(pools.shape)

    def rank_corpus(self, text, k):
        order = np.argsort(-self.scores, kind="stable")[: np.count_nonzero(self.scores > NOTHING)][:k]
        return order.astype(np.int32), self.scores[order]

    def cuts_cleanly(self, text, offsets):
        return False


ONE = Given("one", [4, 8, NOTHING, 4, 9, NOTHING])
TWO = Given("two", [NOTHING, -3, NOTHING, 5, 6, NOTHING])


def test_reciprocal_ranks_add_up():
    fusion = FusionRetriever([ONE, TWO], weights=[1, 0.5])
    expected = [1 / 62 + 0.5 / 61, 1 / 62, NOTHING, 1 / 61 + 0.5 / 62, NOTHING]  # the documents 3, 0, 5, 1 and none
    np.testing.assert_array_equal(fusion.score_pools(["a"], POOL)[0], expected)


def test_scaled_scores_add_up():
    fusion = FusionRetriever([ONE, TWO], method="min_max", weights=[2, 3])
    np.testing.assert_array_equal(fusion.score_pools(["a"], POOL)[0], [0 + 3, 0, NOTHING, 2 + 0, NOTHING])


def test_the_whole_corpus_is_one_pool():
    fusion = FusionRetriever([ONE, TWO])
    everything = fusion.score_pools(["a"], np.arange(6, dtype=np.int32)[None])[0]
    rows, scores = fusion.rank_corpus("a", 9)
    assert rows.tolist() == [4, 1, 3, 0]
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(scores, everything[rows])
    np.testing.assert_array_equal(fusion.rank_corpus("a", 2)[0], [4, 1])


@pytest.mark.parametrize("scaled", [reciprocal_rank, min_max])
def test_rows_of_any_kind(scaled):
    assert scaled(np.empty((0, 3))).shape == (0, 3)
    assert scaled(np.empty((2, 0))).shape == (2, 0)
    np.testing.assert_array_equal(scaled(np.full((1, 2), NOTHING)), [[0, 0]])
    alone = scaled(np.array([[7.0, NOTHING]]))
    assert alone[0, 0] > alone[0, 1] == 0


@pytest.mark.parametrize("spec", ["fusion:bm25+lsa", "fusion:chargram+bm25+lsa?method=min_max&weights=1+2+0.5"])
def test_it_conforms(spec):
    check_retriever(spec)


def test_a_fusion_by_name():
    made = make_retriever("fusion:bm25+lsa?weights=2+1", CORPUS)
    assert made.name == "fusion:bm25+lsa"
    assert made._retrievers[0] is make_retriever("bm25", CORPUS)
    names = ["fusion:bm25+lsa", "fusion:lsa+bm25", "fusion:bm25+lsa?weights=2+1", "fusion:bm25+lsa?method=min_max"]
    assert len({make_retriever(name, CORPUS).fingerprint for name in names}) == 4
    inner = make_retriever("fusion:bm25%3Fk1=0.9+lsa", CORPUS)
    assert inner._retrievers[0].fingerprint == make_retriever("bm25?k1=0.9", CORPUS).fingerprint


def test_a_fusion_in_a_task():
    fused = task("fusion:bm25+chargram")
    assert fused.rewards(["q00"], ["red coat"])[0] > 0
    assert fused.rewards(["q00"], ["..."])[0] == 0


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("fusion", "expected two or more retrievers joined by . after 'fusion:'"),
        ("fusion:bm25", "at least two retrievers to fuse; got 1"),
        ("fusion:bm25+", "unknown retriever ''"),
        ("fusion:bm25+las", "unknown retriever 'las'; did you mean 'lsa'"),
        ("fusion:bm25+lsa?method=sum", "unknown method of fusion 'sum'"),
        ("fusion:bm25+lsa?weights=1", "expected 2 weights above 0"),
        ("fusion:bm25+lsa?weights=1+0", "expected 2 weights above 0"),
        ("fusion:bm25+lsa?weights=1+nan", "expected 2 weights above 0"),
        ("fusion:bm25+lsa?weights=1+much", "numbers joined by .; got '1.much'"),
    ],
)
def test_specifications_that_fuse_nothing(spec, match):
    with pytest.raises(TaskError, match=match) as error:
        make_retriever(spec, CORPUS)
    assert "\n" not in str(error.value)
