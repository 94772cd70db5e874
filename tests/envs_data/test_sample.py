"""The embedded sample's tables and vocabulary."""

import re

import numpy as np
import polars as pl
import pytest

from envs_data import SPLITS
from envs_data.sample import KINDS, tables
from envs_data.sample.shop import EXACT
from ospo_agents.segments import STOP_WORDS
from ospo_agents.segments import phrases as segments_of
from sample_measures import MAX_WORDS, data_of, intents, judgements, pools, rows_of, shop_of, stated, words

FULL_RANGE = {"shopping": (3, 10), "fashion": (1, 8)}

each_kind = pytest.mark.parametrize("kind", sorted(KINDS))


# --- layout --------------------------------------------------------------------------------------------------


@each_kind
def test_sizes_names_and_splits(kind):
    data = data_of(kind)
    assert data.manifest["dataset"] == f"sample-{kind}"
    assert data.synthetic
    assert data.documents.height == 3000
    assert {split: len(rows_of(data, split)) for split in SPLITS} == tables.SPLIT_SIZES
    assert (data.queries["intent"].list.len() == 6).all()
    lengths = data.queries["history"].list.len()
    assert lengths.is_between(3, 8).all() if kind == "fashion" else (lengths == 0).all()
    assert all(set(history) <= set(data.documents["title"]) for history in data.queries["history"])


@each_kind
def test_pools_hold_all_that_is_judged_and_three_kinds_of_negatives(kind):
    least, most = FULL_RANGE[kind]
    types = shop_of(kind).values[:, 0]
    for row, (gain, pool) in enumerate(zip(judgements(kind), pools(kind), strict=True)):
        n_full = sum(value == EXACT for value in gain.values())
        assert least <= n_full <= most
        assert set(gain.values()) <= {1.0, 0.1, 0.01, 0.0}
        assert len(pool) == tables.POOL_SIZE
        assert (np.diff(pool) > 0).all()
        assert set(gain) <= set(pool.tolist())
        negatives = np.array([document for document in pool if document not in gain])
        assert (types[negatives] == intents(kind)[row, 0]).mean() >= 0.45


@each_kind
def test_judgements_follow_the_documents(kind):
    """Gains recomputed from the texts: a document of full gain has all that is stated and at most one other value."""
    texts, listed = data_of(kind).documents["text"], data_of(kind).queries["intent"].to_list()
    for row in rows_of(data_of(kind), "test")[:60]:
        for document, gain in judgements(kind)[row].items():
            has = np.array([re.search(rf"\b{phrase}\b", texts[document]) is not None for phrase in listed[row]])
            if gain == EXACT:
                assert has[stated(kind)[row]].all()
                assert (~has).sum() <= 1
            elif gain == 0.0:
                assert has[0]
                assert (~has).sum() >= 3


@each_kind
def test_what_a_query_says_stands_in_one_split(kind):
    queries = data_of(kind).queries
    prompts = queries.select("query", pl.col("history").list.join("; "))
    assert prompts.is_unique().all()
    listed, train = [tuple(intent) for intent in queries["intent"].to_list()], rows_of(data_of(kind), "train")
    test = rows_of(data_of(kind), "test")
    seen = {listed[row] for row in train}
    assert np.mean([listed[row] in seen for row in test]) <= 0.65
    bags = [frozenset(words(" ".join(prompt))) for prompt in prompts.iter_rows()]
    nearest = [max(len(bags[row] & bags[other]) / len(bags[row] | bags[other]) for other in train) for row in test]
    assert np.mean(np.array(nearest) >= 0.8) <= 0.1
    if kind == "shopping":
        said = [tuple(np.where(known, values, -1)) for known, values in zip(stated(kind), intents(kind), strict=True)]
        assert not {said[row] for row in train} & {said[row] for row in test}


@each_kind
def test_demonstrations_are_noisy_and_depend_on_their_query(kind):
    data = data_of(kind)
    meant = dict(data.queries.select("query_id", "intent").iter_rows())
    count = data.demonstrations.group_by("query_id").len()
    assert set(count["query_id"]) == set(data.queries.filter(pl.col("split") == "train")["query_id"])
    assert count["len"].is_between(1, 2).all()
    shown = [(meant[query_id], text.split(", ")) for query_id, text in data.demonstrations.iter_rows()]
    kept = np.mean([phrase in said for intent, said in shown for phrase in intent])
    of_others = np.mean([phrase in shown[place - 1][1] for place, (intent, _) in enumerate(shown) for phrase in intent])
    assert 0.5 <= kept <= 0.65
    assert of_others <= 0.3
    assert np.mean([intent.index(said[0]) == 0 for intent, said in shown if said[0] in intent]) < 0.9
    assert max(len(words(text)) for text in data.demonstrations["text"]) <= 16


# --- vocabulary ----------------------------------------------------------------------------------------------


@each_kind
def test_the_vocabulary_is_closed_and_small(kind):
    data = data_of(kind)
    texts = [*data.queries["query"], *data.demonstrations["text"], *data.queries["history"].explode().drop_nulls()]
    texts += data.queries["intent"].explode().to_list()
    assert len({word for text in texts for word in words(text)}) < 1500
    known = {word for attribute in shop_of(kind).attributes for term in attribute.terms for word in words(term.phrase)}
    assert {word for text in data.demonstrations["text"] for word in words(text)} <= known


@each_kind
def test_intents_are_segments(kind):
    """A phrase of the intent is a segment of the oracle rewrite, which the word cap never cuts."""
    for intent in data_of(kind).queries["intent"].to_list():
        text = ", ".join(intent)
        assert [text[a:b].strip(" ,") for a, b in segments_of(text)] == intent
        assert len(words(text)) <= min(MAX_WORDS.values())
        assert not set(words(text)) & STOP_WORDS


@each_kind
def test_everyday_words_are_not_the_catalogues(kind):
    said, catalogue = set(), set()
    for attribute in shop_of(kind).attributes:
        assert len(set(attribute.phrases)) == len(attribute.phrases)
        for term in attribute.terms:
            assert 1 <= len(term.phrase.split()) <= 3
            everyday = {word for wording in term.everyday for word in words(wording)}
            assert not everyday & set(words(term.phrase)), term
            said |= everyday
            catalogue |= set(words(term.phrase))
    assert len(said & catalogue) <= 0.12 * len(said)
