"""Blank documents are matched by no text, whichever retriever ranks."""

import gymnasium as gym
import numpy as np
import pytest

from envs_data import prepare_beir
from minilm import DIRECTORY, needs_minilm
from ospo_env.retrievers import make_retriever
from ospo_env.retrievers.corpus import Corpus
from paths import SHARED_CASES

DOCUMENTS = ["red wool coat", "", "blue shoe", " \n", "\u3000", "red shoe", "garden hose"]
BLANK = [1, 3, 4]
DENSE = [pytest.param(f"dense:{DIRECTORY}{settings}", marks=needs_minilm) for settings in ("", "?index=hnsw")]
FUSED = pytest.param(f"fusion:bm25+dense:{DIRECTORY}", marks=needs_minilm)


@pytest.mark.parametrize("spec", ["bm25", "chargram", "lsa", "fusion:bm25+lsa", *DENSE, FUSED])
def test_no_text_matches_them(spec):
    retriever = make_retriever(spec, Corpus.of_texts(DOCUMENTS))
    texts = ["red", "zxqv lamp", "shoe coat", "blue \u3000"]
    pool = np.arange(len(DOCUMENTS), dtype=np.int32)
    scores = retriever.score_pools(texts, np.tile(pool, (len(texts), 1)))
    assert np.isneginf(scores[:, BLANK]).all()
    assert (scores[0, [0, 5]] > -np.inf).all()  # the negative control: others are matched
    for text in texts:
        assert not set(retriever.rank_corpus(text, len(DOCUMENTS))[0]) & set(BLANK)


@needs_minilm
@pytest.mark.skipif(not SHARED_CASES.is_dir(), reason=f"needs {SHARED_CASES}")
@pytest.mark.parametrize("candidates", ["pool", "corpus"])
def test_they_are_not_ranked_before_others(tmp_path, candidates):
    """Six documents with words and three without: the six alone are ranked."""
    prepare_beir(SHARED_CASES / "F7_blank_dense", tmp_path / "data", keep_splits=True)
    env = gym.make(
        "OSPO-Rewrite-v0",
        data=str(tmp_path / "data"),
        split="test",
        retriever=f"dense:{DIRECTORY}",
        candidates=candidates,
    )
    for query_id in ("q0", "q1", "q2"):
        _, info = env.reset(options={"query_id": query_id})
        ranking = env.step(info["query"])[-1]["ranking"]
        assert sorted(ranking) == ["d0", "d1", "d2", "d3", "d4", "d5"]
