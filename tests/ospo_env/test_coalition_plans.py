"""Sums of segment scores and their metrics, against the plain way of computing them, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ospo_env.metrics import parse_metric, ranked_gains
from ospo_env.scoring import coalition_plans as games
from ospo_env.scoring.coalition_plans import Game, added_scores, drop_null_players, plan_game, plan_sums
from ospo_env.scoring.split_words import whole_segments
from plain_worths import metric_of_row, scores_of_coalition
from shop import SETTINGS, all_coalitions

NAMES = ["nDCG@1", "nDCG@3", "nDCG@10", "nDCG@400", "RR", "RR@2", "R@1", "R@5", "AP"]
KINDS = ("positive", "either sign", "all match", "long", "fractions")


def parts_of(kind, rng, segments, pool):
    """Segment scores (N, P) with ties and, but for one kind, -inf; some segments match nothing."""
    low, high = {"positive": (1, 4), "long": (2**40, 2**40 + 3)}.get(kind, (-3, 4))
    parts = rng.integers(low, high, (segments, pool)).astype(float)
    if kind == "fractions":
        parts /= 4  # exact in any order of summation, but no whole numbers
    if kind != "all match":
        parts[rng.random(parts.shape) < 0.4] = -np.inf
    parts[rng.random(segments) < 0.2] = -np.inf
    return parts


def game_of(parts, masks):
    names = [f"segment {n}" for n in range(len(parts))]
    none = np.empty(0, dtype=np.intp)
    return Game(0, [], none, none, names, np.ascontiguousarray(masks.T)), dict(zip(names, parts, strict=True))


def judgements(rng, pool):
    """Columns and gains (1, R) of a pool, the gain of each column, and the gains of all judged documents (1, J)."""
    columns = np.flatnonzero(rng.random(pool) < 0.3)
    gains = rng.choice([0.0, 0.01, 0.1, 1.0, 1.0], len(columns))
    judged = -np.sort(-np.concatenate([gains, rng.choice([0.0, 0.1, 1.0], 3)]))
    return columns[None], gains[None], dict(zip(columns.tolist(), gains.tolist(), strict=True)), judged[None]


def check(kind, seed, name, segments, pool):
    rng = np.random.default_rng(seed)
    masks = all_coalitions(segments)[rng.random(2**segments) < 0.7]
    parts = parts_of(kind, rng, segments, pool)
    columns, gains, gain_of_column, judged = judgements(rng, pool)
    metric = parse_metric(name)
    sums = plan_sums(*game_of(parts, masks))
    chunks = added_scores([sums])
    worths = np.concatenate([np.empty(0), *(metric(chunk, columns, gains, judged, sums.floor) for chunk in chunks)])
    expected = [metric_of_row(name, scores_of_coalition(parts, kept), gain_of_column, judged[0]) for kept in masks]
    assert worths.tobytes() == np.array(expected, dtype=np.float64).tobytes()
    return sums


@SETTINGS
@given(
    st.sampled_from(KINDS),
    st.integers(0, 2**32),
    st.sampled_from(NAMES),
    st.integers(1, 6),
    st.sampled_from([1, 2, 7, 30]),
)
def test_worths_are_those_of_the_plain_way(kind, seed, name, segments, pool):
    check(kind, seed, name, segments, pool)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pool", [254, 255, 256, 600])
def test_pools_of_any_size(kind, pool):
    for name in ("nDCG@10", "AP"):
        check(kind, pool, name, 3, pool)


def test_every_way_of_summing_is_taken():
    taken = {kind: check(kind, 5, "nDCG@10", 5, 30) for kind in KINDS}
    types = {kind: (sums.summands.dtype.name, sums.floor, sums.matched is None) for kind, sums in taken.items()}
    assert types == {
        "positive": ("float32", 0.0, True),
        "either sign": ("float32", -np.inf, False),
        "all match": ("float32", -np.inf, True),
        "long": ("float64", 0.0, True),
        "fractions": ("float64", -np.inf, False),
    }


def test_float32_only_where_every_sum_fits():
    fits = np.array([[2.0**23, 1.0], [-(2.0**23), 5.0]])
    masks = all_coalitions(2)
    assert plan_sums(*game_of(fits, masks)).summands.dtype == np.float32
    assert plan_sums(*game_of(fits + np.eye(2, 1), masks)).summands.dtype == np.float64
    assert np.float32(2**24 + 1) == np.float32(2**24)  # negative control: one more, and a sum would be lost


def test_a_plan_that_narrows_too_much_is_caught(monkeypatch):
    """The negative control of the comparison with the plain way."""
    monkeypatch.setattr(games, "_EXACT_FLOAT32", np.inf)
    with pytest.raises(AssertionError):
        check("long", 5, "nDCG@10", 5, 30)


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_and_neighbours_change_nothing(monkeypatch, kind):
    rng = np.random.default_rng(3)
    masks = all_coalitions(6)
    several = [plan_sums(*game_of(parts_of(kind, rng, 6, 20), masks)) for _ in range(3)]
    alone = [chunk.copy() for sums in several for chunk in added_scores([sums])]
    monkeypatch.setattr(games, "_CHUNK_BYTES", 20 * 48 * several[0].summands.itemsize)
    together = [chunk.copy() for chunk in added_scores(several)]
    assert len(together) > len(several)
    np.testing.assert_array_equal(np.concatenate(together), np.concatenate(alone))


def test_one_pool_and_many_are_measured_alike():
    rng = np.random.default_rng(8)
    scores = rng.integers(0, 5, (50, 40)).astype(float)
    scores[rng.random(scores.shape) < 0.3] = -np.inf
    columns, gains, *_ = judgements(rng, 40)
    one = ranked_gains(scores, columns, gains, 40)
    many = ranked_gains(scores, np.repeat(columns, 50, axis=0), np.repeat(gains, 50, axis=0), 40)
    np.testing.assert_array_equal(one, many)
    np.testing.assert_array_equal(ranked_gains(np.asfortranarray(scores), columns, gains, 40), one)
    assert one.any()


def test_a_plan_sorts_coalitions():
    text = "red,wool coat"
    spans = np.array([(0, 4), (4, 4), (4, 9), (9, 13)])  # the second one is a null player
    coalitions = np.array([[1, 1, 1, 1], [0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 1, 1], [1, 1, 0, 0]], dtype=bool)
    spans, coalitions = drop_null_players(spans, coalitions)
    assert spans.tolist() == [[0, 4], [4, 9], [9, 13]]
    game = plan_game(0, text, spans, coalitions, whole_segments(text, spans))
    assert (game.texts, game.places.tolist(), game.text_of.tolist()) == ([text], [0, 3], [0, 0])
    assert (game.segments, game.members.tolist(), game.times) == (["red,"], [[True, False, True, True, True]], None)
    game = plan_game(0, text, spans, coalitions)
    assert game.texts == [text, "red,"]
    assert (game.places.tolist(), game.text_of.tolist()) == ([0, 3, 2, 4], [0, 0, 1, 1])
    assert game.segments == []


def test_the_query_in_front_is_in_every_coalition():
    text, spans = "red,wool", np.array([(0, 4), (4, 8)])
    coalitions = np.array([[1, 1], [0, 0], [0, 1]], dtype=bool)
    game = plan_game(0, text, spans, coalitions, whole_segments(text, spans), ("coat", 3))
    assert (game.texts, game.places.tolist()) == ([text], [0])
    assert (game.segments, game.times.tolist()) == (["wool", "coat"], [1.0, 3.0])
    assert game.members.tolist() == [[True, False, True], [True, True, True]]
    game = plan_game(0, text, spans, coalitions, front=("coat", 3))
    assert game.texts == [text, "", "wool"]
    assert (game.places.tolist(), game.text_of.tolist(), game.segments) == ([0, 1, 2], [0, 1, 2], [])


@pytest.mark.parametrize("linear", [True, False])
def test_a_text_without_segments(linear):
    """It is worth 0, or what the query in front is."""
    spans, coalitions = np.empty((0, 2), dtype=np.int64), np.zeros((2, 0), dtype=bool)
    split = whole_segments("", spans) if linear else None
    game = plan_game(0, "", spans, coalitions, split)
    assert (game.texts, game.segments) == ([], [])
    game = plan_game(0, "", spans, coalitions, split, ("coat", 1))
    assert (game.texts, game.places.tolist(), game.segments) == ([""], [0, 1], [])
