"""Credit of episodes in turns: Owen values by their definition, over every order of phrases that keeps turns whole."""

import itertools

import numpy as np
import pytest

from ospo_agents import assign_credit
from ospo_agents.assignment import default_segmenter
from ospo_agents.credit import make_solution
from ospo_agents.protocols import CappedTask, TurnTask
from ospo_agents.segments import SEGMENTERS, phrases, phrases_in_turns, turns, unions
from ospo_env import RetrievalTask, SearchTask, TaskError
from ospo_env.turns.actions import episode_text, turn_spans
from shop import shop

PRICE = 0.0625
EPISODES = [
    "red, coat\nblack wool shoe, linen\nqzxv\n",
    "shoe, wool, red\n\nblue shoe",
    "coat\nbag, red",
    "!!!\nred dress, wool\n",
]
IDS = ["q00", "q01", "q00", "q04"]


@pytest.fixture(scope="module")
def task():
    return SearchTask(RetrievalTask(shop()), max_turns=3, price=PRICE)


def replayed(task, query_id, text, spans, kept):
    """Reward of the episode that is left of a set of segments, whose phrases are joined by hand."""
    searches = []
    for first, end in turn_spans(text):
        own = [n for n, (start, _) in enumerate(spans) if first <= start < end and n in kept]
        if own:
            searches.append(" ".join(text[slice(*spans[n])].strip() for n in own))
    return float(task.rewards([query_id], [episode_text(searches)])[0])


def mean_marginals(task, query_id, text, spans, orders):
    """Mean gain of each segment when it joins, over orders."""
    worth = {}
    credit = np.zeros(len(spans))
    for order in orders:
        kept = frozenset()
        for player in order:
            for one in (kept, kept | {player}):
                worth.setdefault(one, replayed(task, query_id, text, spans, one))
            credit[player] += worth[kept | {player}] - worth[kept]
            kept |= {player}
    return credit / len(orders)


def orders_of_turns(blocks):
    """Every order of players in which each union stands together."""
    return [
        sum(parts, ())
        for order in itertools.permutations(blocks)
        for parts in itertools.product(*(list(itertools.permutations(block)) for block in order))
    ]


@pytest.mark.parametrize("number", range(len(EPISODES)))
def test_owen_and_shapley_by_definition(task, number):
    query_id, text = IDS[number], EPISODES[number]
    (owen,) = assign_credit(task, [query_id], [text])
    assert owen.solution == "owen"
    assert owen.spans == phrases_in_turns(text)
    players = range(len(owen.spans))
    assert [[owen.text[: owen.spans[n][0]].count("\n") for n in block] for block in owen.unions] == [
        [turn] * len(block) for turn, block in enumerate(owen.unions)
    ]
    expected = mean_marginals(task, query_id, text, owen.spans, orders_of_turns(owen.unions))
    np.testing.assert_allclose(owen.credit, expected, atol=1e-12)
    (shapley,) = assign_credit(task, [query_id], [text], solution="shapley")
    expected = mean_marginals(task, query_id, text, owen.spans, list(itertools.permutations(players)))
    np.testing.assert_allclose(shapley.credit, expected, atol=1e-12)
    reward = float(task.rewards([query_id], [text])[0])
    assert owen.worth == shapley.worth == reward, "bit for bit"
    np.testing.assert_allclose([owen.credit.sum(), shapley.credit.sum()], reward, atol=1e-12)


def test_turns_matter():
    """The negative control: other unions, or none, give other credit."""
    task = SearchTask(RetrievalTask(shop()), price=PRICE)
    spans = phrases_in_turns(EPISODES[0])
    owen, shapley = (assign_credit(task, IDS[:1], EPISODES[:1], solution=name)[0] for name in ("owen", "shapley"))
    assert np.abs(owen.credit - shapley.credit).max() > 0.01
    wrong = mean_marginals(task, IDS[0], EPISODES[0], spans, orders_of_turns([[0], [1, 2, 3], [4]]))
    assert np.abs(owen.credit - wrong).max() > 0.01
    alone, same = (assign_credit(task, ["q00"], ["red, coat, wool"], solution=s)[0] for s in ("owen", "shapley"))
    np.testing.assert_allclose(alone.credit, same.credit, atol=1e-12)


def test_a_search_that_finds_nothing_costs_its_price(task):
    (credited,) = assign_credit(task, ["q00"], ["red coat\nqzxv\n"])
    assert credited.credit[1] == pytest.approx(-PRICE, abs=1e-12)
    assert credited.credit[0] == pytest.approx(task.rewards(["q00"], ["red coat"])[0], abs=1e-12)
    (nothing,) = assign_credit(task, ["q00"], [""])
    assert (nothing.worth, nothing.credit.tolist()) == (0.0, [])
    (no_text,) = assign_credit(task, ["q00"], [None])
    assert no_text.worth == 0.0


def test_a_batch_gives_what_its_members_give_alone(task):
    together = assign_credit(task, IDS, EPISODES)
    for query_id, text, credited in zip(IDS, EPISODES, together, strict=True):
        np.testing.assert_array_equal(assign_credit(task, [query_id], [text])[0].credit, credited.credit)


def test_long_episodes_are_credited_by_an_estimate(task):
    text = ", ".join(["red wool coat", "black shoe"] * 12) + "\nblue bag, linen\n" + ", ".join(["red"] * 9)
    (credited,) = assign_credit(SearchTask(RetrievalTask(shop(), max_words=64)), ["q00"], [text])
    assert (credited.solution, credited.players) == ("sampled_owen", 35)
    assert credited.credit.sum() == pytest.approx(credited.worth, abs=1e-9)
    (exact,) = assign_credit(task, ["q00"], [EPISODES[0]], solution=make_solution("sampled_owen", budget=65_536))
    np.testing.assert_allclose(exact.credit, assign_credit(task, ["q00"], [EPISODES[0]])[0].credit, atol=1e-12)


def test_episodes_are_cut_into_phrases_in_turns(task):
    assert isinstance(task, TurnTask)
    assert isinstance(task, CappedTask)
    assert not isinstance(task.retrieval, TurnTask)
    assert default_segmenter("owen", in_turns=True) == default_segmenter(in_turns=True) == "phrases-in-turns"
    text = "red shoes, for rain\n\n \nboots, wool"
    assert turns(text) == turn_spans(text)
    assert [text[a:b] for a, b in phrases_in_turns(text)] == [
        "red shoes,",
        " for rain\n",
        "\n",
        " \n",
        "boots,",
        " wool",
    ]
    assert unions(phrases_in_turns(text), turns(text)) == [[0, 1], [2], [3], [4, 5]]
    assert phrases_in_turns("red shoes, for rain") == phrases("red shoes, for rain")
    for name in ("phrases", "words"):
        with pytest.raises(TaskError, match="cut with 'phrases-in-turns'"):
            assign_credit(task, ["q00"], ["red coat\nshoe"], segmenter=SEGMENTERS[name])
    with pytest.raises(Exception, match="does not; leave calls out"):
        assign_credit(task, ["q00"], ["red coat\nshoe"], calls=4)
