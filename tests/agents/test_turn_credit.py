"""Credit of episodes in turns: Owen values by their definition, over every order of phrases that keeps turns whole."""

import itertools

import numpy as np
import pytest

from ospo_agents import assign_credit
from ospo_agents.assignment import default_segmenter
from ospo_agents.credit import make_solution
from ospo_agents.errors import BudgetError
from ospo_agents.integrations.crediting import Crediting
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_tokenizer
from ospo_agents.protocols import CappedTask, TurnTask
from ospo_agents.segments import SEGMENTERS, phrases, phrases_in_turns, sentences, turns, unions
from ospo_agents.training.settings import TrainingSettings
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


def test_the_longest_episodes_have_credit_by_default():
    task = SearchTask(RetrievalTask(shop()), max_turns=64)
    text = "red, coat, wool, shoe, blue, linen\n" * 64
    (credited,) = assign_credit(task, ["q00"], [text])
    assert (credited.solution, credited.players) == ("sampled_owen", 384)
    assert len(credited.coalitions) - 2 == 8 * 2 * 383, "eight pairs of orders, beside none and all"
    assert credited.credit.sum() == pytest.approx(credited.worth, abs=1e-9)
    assert np.isfinite(credited.standard_error).all()
    with pytest.raises(BudgetError, match="at least 768 evaluations"):
        assign_credit(task, ["q00"], [text], solution="sampled_owen")


def test_exact_credit_values_as_many_coalitions_as_that_of_a_text_of_one_step():
    task = SearchTask(RetrievalTask(shop()), max_turns=8)
    few, many = assign_credit(task, ["q00"] * 2, ["red, coat, wool, linen\n" * 6, "red, coat, wool, linen\n" * 7])
    assert (few.solution, len(few.coalitions)) == ("owen", 2**6 + 6 * 2**5 * 14)
    assert many.solution == "sampled_owen"
    assert len(many.coalitions) <= 4096


@pytest.mark.parametrize("text", ["red, blue. coat\nshoe, wool. linen", "red, blue. coat, black, linen"])
def test_turns_are_the_unions_whatever_cuts_a_text(task, text):
    by_name, by_function = (
        assign_credit(task, ["q00"], [text], segmenter=cut)[0] for cut in ("phrases-in-turns", phrases_in_turns)
    )
    assert by_function.unions == by_name.unions == unions(phrases_in_turns(text), turns(text))
    np.testing.assert_array_equal(by_function.credit, by_name.credit)
    assert by_name.unions != unions(phrases_in_turns(text), sentences(text)), "the negative control"
    (of_one_step,) = assign_credit(task.retrieval, ["q00"], ["red, blue. coat"], segmenter=phrases)
    assert of_one_step.unions == [[0, 1], [2]]


def test_a_search_that_stands_twice_has_the_same_credit_twice_and_pays_twice(task):
    (credited,) = assign_credit(task, ["q00"], ["red coat\nred coat\n"])
    assert credited.credit[0] == pytest.approx(credited.credit[1], abs=1e-12)
    assert credited.worth == task.rewards(["q00"], ["red coat"])[0] - PRICE
    (other,) = assign_credit(task, ["q00"], ["red coat\nqzxv\n"])
    assert abs(other.credit[0] - other.credit[1]) > 0.1, "the negative control"


def test_adapters_and_training_cut_episodes_into_phrases_in_turns(task):
    tokenizer = tiny_tokenizer(task.texts(), vocab_size=400)
    crediting = Crediting(task, PromptFormat())
    ids = tokenizer("red, coat\nwool", add_special_tokens=False)["input_ids"]
    (completion,) = crediting.credit(tokenizer, ["q00"], [ids])
    assert completion.phrases == ["red", "coat", "wool"]
    assert completion.reward == task.rewards(["q00"], ["red, coat\nwool"])[0]
    settings = TrainingSettings(algo="ospo")
    assert settings.for_task(task).segmenter == "phrases-in-turns"
    assert settings.for_task(task.retrieval).segmenter == "phrases"


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
