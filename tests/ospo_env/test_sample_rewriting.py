"""Rewriting matters in the embedded sample: what the raw query, examples, guesses and the oracle reach."""

import dataclasses

import numpy as np
import pytest

from envs_data.sample import KINDS, tables
from sample_measures import (
    RETRIEVERS,
    data_of,
    guess,
    intents,
    ndcg,
    rows_of,
    scorer,
    shop_of,
    stated,
    translation,
)

each_kind = pytest.mark.parametrize("kind", sorted(KINDS))
each_retriever = pytest.mark.parametrize("retriever", RETRIEVERS)


def oracle(kind, rows):
    listed = data_of(kind).queries["intent"].to_list()
    return [", ".join(listed[row]) for row in rows]


def gap(kind, retriever, rows, raw, best):
    return ndcg(kind, rows, best, retriever) - ndcg(kind, rows, raw, retriever)


@each_kind
@each_retriever
def test_the_oracle_beats_the_raw_query_by_far(kind, retriever):
    rows = rows_of(data_of(kind), "test")
    raw = [data_of(kind).queries["query"][row] for row in rows]
    assert gap(kind, retriever, rows, raw, oracle(kind, rows)) >= 0.3
    assert ndcg(kind, rows, oracle(kind, rows), retriever) >= {"bm25": 0.7, "lsa": 0.55}[retriever]
    assert 0.08 <= ndcg(kind, rows, raw, retriever) <= 0.3


@each_kind
@each_retriever
def test_the_gap_is_the_intents_doing(kind, retriever):
    """The negative controls: other queries' intents, and queries that already are in catalogue words."""
    rows = rows_of(data_of(kind), "test")
    raw = [data_of(kind).queries["query"][row] for row in rows]
    others = oracle(kind, rows[1:] + rows[:1])
    assert gap(kind, retriever, rows, raw, others) < 0.0
    assert gap(kind, retriever, rows, [text.replace(",", "") for text in oracle(kind, rows)], oracle(kind, rows)) < 0.3


@each_kind
@each_retriever
def test_there_is_room_above_the_demonstrations(kind, retriever):
    """What can be guessed beats what is shown by far, and stays below what is meant."""
    data = data_of(kind)
    numbers = {query_id: row for row, query_id in enumerate(data.queries["query_id"])}
    shown = data.demonstrations[:600]
    demonstrated = ndcg(kind, [numbers[q] for q in shown["query_id"]], shown["text"].to_list(), retriever)
    rows = rows_of(data, "test")
    guessed = ndcg(kind, rows, [", ".join(guess(kind, row)) for row in rows], retriever)
    translated = ndcg(kind, rows, [", ".join(translation(kind, row)) for row in rows], retriever)
    assert 0.3 <= demonstrated <= 0.5
    assert guessed >= demonstrated + 0.1
    assert guessed >= translated + 0.1
    assert ndcg(kind, rows, oracle(kind, rows), retriever) >= guessed + 0.1


@each_kind
def test_stuffing_does_not_pay(kind):
    """All values of an attribute say nothing of a need, alone or after what the query states."""
    rows = rows_of(data_of(kind), "test")
    plain = ndcg(kind, rows, [", ".join(translation(kind, row)) for row in rows], "bm25")
    for place, attribute in enumerate(shop_of(kind).attributes):
        siblings = [attribute.siblings[value] for value in intents(kind)[rows, place]]
        stuffing = [", ".join(attribute.terms[value].phrase for value in family) for family in siblings]
        assert ndcg(kind, rows, stuffing, "bm25") < 0.15, attribute.name
        if place:
            stuffed = [", ".join([*translation(kind, row), text]) for row, text in zip(rows, stuffing, strict=True)]
            assert ndcg(kind, rows, stuffed, "bm25") <= plain + 0.03, attribute.name


@each_kind
@each_retriever
def test_every_phrase_of_the_intent_earns(kind, retriever):
    rows = rows_of(data_of(kind), "test")
    listed = [data_of(kind).queries["intent"][row].to_list() for row in rows]
    whole = ndcg(kind, rows, oracle(kind, rows), retriever)
    for place, attribute in enumerate(shop_of(kind).attributes):
        without = [", ".join(intent[:place] + intent[place + 1 :]) for intent in listed]
        assert ndcg(kind, rows, without, retriever) <= whole - 0.02, attribute.name
    doubled = [", ".join([*intent, *intent[:1]]) for intent in listed]
    assert ndcg(kind, rows, doubled, retriever) <= whole + 0.02  # the negative control: more words are not more gain


@each_kind
def test_the_unstated_can_be_guessed_but_not_surely(kind):
    rows = rows_of(data_of(kind), "test")
    hidden = ~stated(kind)[rows]
    guessed = [guess(kind, row) for row in rows]
    meant = data_of(kind).queries["intent"].to_list()
    right = np.array([[a == b for a, b in zip(guessed[i], meant[row], strict=True)] for i, row in enumerate(rows)])
    others = np.array([[a == b for a, b in zip(guessed[i - 1], meant[row], strict=True)] for i, row in enumerate(rows)])
    assert 0.5 <= right[hidden].mean() <= 0.85
    assert others[hidden].mean() <= 0.35


def test_a_shop_with_catalogue_queries_has_no_gap(monkeypatch):
    """The negative control of the sample itself: where shoppers speak as the catalogue, nothing is to be rewritten."""
    shop, score = shop_of("shopping"), scorer("shopping", "bm25")
    monkeypatch.setattr(tables, "SPLIT_SIZES", {"train": 40, "validation": 5, "test": 10})

    def tell(values, known, rng):
        return " ".join(
            attribute.terms[value].phrase for attribute, value in zip(shop.attributes, values, strict=True)
        ), []

    found, _ = tables.shop_tables(dataclasses.replace(shop, tell=tell), 0, "literal")
    queries, best = found["queries"]["query"].to_list(), found["queries"]["intent"].list.join(", ").to_list()
    assert np.array_equal(score(queries), score(best))
