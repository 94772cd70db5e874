"""Modes on real shoppers' queries and products: what appending saves, and sums that are exact there too."""

import numpy as np
import pytest

from envs_data import load_prepared, prepare_esci
from ospo_agents.segments import phrases
from ospo_env import RetrievalTask, make_reference_policy
from paths import SHARED_DATA
from shop import Wrapped, all_coalitions

pytestmark = pytest.mark.skipif(not (SHARED_DATA / "esci").is_dir(), reason=f"needs {SHARED_DATA / 'esci'}")
MODES = [
    {"compose": "append", "query_weight": 6},
    {"compose": "append", "query_weight": 3, "repeats": "once"},
    {"repeats": "once"},
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("esci") / "data"
    prepare_esci(SHARED_DATA / "esci", out, locale="us")
    return load_prepared(out)


@pytest.mark.parametrize("candidates", ["pool", "corpus"])
def test_noise_costs_less_behind_the_query(data, candidates):
    """Words of a random document ruin a ranking in the query's place, hurt behind it, and little behind six of it."""

    def mean(policy, **mode):
        made = RetrievalTask(data, candidates=candidates, **mode)
        ids, prompts = made.prompts("test")
        return made.rewards(ids, make_reference_policy(policy, made)(ids, prompts)).mean()

    raw = mean("query")
    assert mean("query", compose="append") == mean("query", compose="append", query_weight=6) == raw > 0.6
    replaced, once, six = (
        mean("random", **mode) for mode in ({}, {"compose": "append"}, {"compose": "append", "query_weight": 6})
    )
    assert replaced < 0.1
    assert replaced + 0.2 < once < six - 0.05
    assert raw - 0.1 < six <= raw
    assert mean("oracle", compose="append") > raw + 0.05


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("name", ["bm25", "lsa", "chargram"])
def test_sums_are_the_scores_of_the_texts(data, name, mode):
    """Titles of products as rewrites, which repeat words in all cases and hold all kinds of signs."""
    linear = RetrievalTask(data, name, **mode)
    by_text = RetrievalTask(data, Wrapped(linear.retriever, linear=False), **mode)
    ids = linear.prompts("test")[0][:40]
    titles = [title for title in data.documents["title"] if len(phrases(title)) <= 8]
    texts = [f"{titles[row]}, {titles[row + 1]}"[:90] for row in range(40)]
    spans = [phrases(text)[:8] for text in texts]
    texts = [text[: tiles[-1][1]] for text, tiles in zip(texts, spans, strict=True)]
    coalitions = [all_coalitions(len(tiles)) for tiles in spans]
    found = linear.coalition_values(ids, texts, spans, coalitions)
    expected = by_text.coalition_values(ids, texts, spans, coalitions)
    assert np.concatenate(found).tobytes() == np.concatenate(expected).tobytes()
    assert linear.counters["distinct"] < by_text.counters["distinct"] / 4  # most went the way of sums
