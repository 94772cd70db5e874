"""Phrases of the catalogue, templates, and what an action of numbers means as text."""

import itertools

import gymnasium as gym
import numpy as np
import pytest

from ospo_env import RewriteEnv, TaskError
from ospo_env.prompts import Query
from ospo_env.registration import ENVIRONMENTS
from ospo_env.wrappers import KeywordActions, TemplateActions
from ospo_env.wrappers.choices import KeywordChoice, TemplateChoice
from ospo_env.wrappers.phrases import catalogue_phrases, check_template, fill_template, phrase_templates
from shop import shop

ENV_IDS = [registration.env_id for registration in ENVIRONMENTS]
QUERY = Query("q1", "test", "warm shoe", ("red bag", "linen hat"), ())


def base(**arguments):
    return RewriteEnv(data=shop(), **arguments)


def test_phrases_of_the_catalogue_are_the_training_sides():
    task = base().task
    found = catalogue_phrases(task, 1000)
    counted = {}
    for _, text in task.demonstrations():
        counted[text] = counted.get(text, 0) + 1
    assert list(found) == sorted(counted, key=lambda phrase: (-counted[phrase], phrase))
    assert catalogue_phrases(task, 3) == found[:3]
    trained = {query_id for query_id, _ in task.demonstrations()}
    assert trained <= set(task.prompts("train")[0])


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_phrases_say_nothing_of_held_out_queries(make_env, env_id):
    """Another test split gives the same phrases."""
    task = make_env(env_id).unwrapped.task
    told = catalogue_phrases(task, 50)

    class Blind:
        data = type("Data", (), {"documents": task.data.documents})

        def demonstrations(self):
            return task.demonstrations()

    assert catalogue_phrases(Blind(), 50) == told
    assert len(set(told)) == 50


def test_without_demonstrations_phrases_are_of_titles():
    task = base().task
    task.demonstrations = list
    titles = task.data.documents["title"].to_list()
    found = catalogue_phrases(task, 5)
    assert found
    assert all(any(phrase in title for title in titles) for phrase in found)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None])
def test_a_wrong_number_of_phrases_is_refused(size):
    with pytest.raises(TaskError, match="whole number of at least 1"):
        catalogue_phrases(base().task, size)


def test_slots_hold_a_phrase_or_none():
    choice = KeywordChoice(["red", "wool", "a, b"], most=3)
    assert choice.space == gym.spaces.MultiDiscrete([4, 4, 4])
    assert choice.write([1, 0, 3], QUERY) == "warm shoe, red, a, b"
    assert choice.write([2, 2, 1], QUERY) == "warm shoe, wool, red"
    assert choice.write([0, 0, 0], QUERY) == "warm shoe"
    texts = {choice.write(slots, QUERY) for slots in itertools.product(range(4), repeat=3)}
    assert len(texts) == 1 + 3 + 6 + 6, "none, one, and all orders of two and three"


def test_switches_beyond_the_most_are_left_out_and_counted():
    choice = KeywordChoice(["red", "wool", "tall", "new"], most=2, space="multibinary", template="{phrases}")
    assert choice.space == gym.spaces.MultiBinary(4)
    assert choice.write(np.array([0, 1, 1, 1], np.int8), QUERY) == "wool, tall"
    assert choice.left_out(np.array([0, 1, 1, 1], np.int8)) == 1
    assert choice.left_out(np.array([0.0, 1.0, 0.0, 1.0])) == 0
    assert choice.write(np.zeros(4), QUERY) == ""
    env = KeywordActions(base(), 6, most=2, space="multibinary")
    env.reset(seed=0)
    assert env.step(np.ones(6, np.int8))[4]["phrases_left_out"] == 4


def test_templates():
    choice = TemplateChoice(["{query}", "{history}", "{query} {history} new", "{{query}}"])
    texts = [choice.write(action, QUERY) for action in range(4)]
    assert texts == ["warm shoe", "red bag; linen hat", "warm shoe red bag; linen hat new", "{query}"]
    lone = Query("q2", "test", "shoe", (), ())
    assert fill_template("{query}, {history}, new", lone) == "shoe, new"
    assert fill_template("{phrases} | {query}", lone, {"phrases": ""}) == "shoe"
    assert phrase_templates(["x{0}y"])[1].format(query="a") == "a, x{0}y"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{qurey}", "did you mean 'query'"),
        ("{query.split}", "unknown field"),
        ("{0}", "unknown field"),
        ("{query!r}", "without a format"),
        ("{query:>9}", "without a format"),
        ("{query", "cannot read the template"),
        (7, "cannot read the template"),
    ],
)
def test_a_template_that_cannot_be_read_is_refused(template, message):
    with pytest.raises(TaskError, match=message) as error:
        check_template(template, ("query", "history"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"phrases": []}, "at least one"),
        ({"phrases": ["red", "red"]}, "more than once"),
        ({"phrases": "red"}, "as a list of texts"),
        ({"phrases": [1]}, "as a list of texts"),
        ({"phrases": 0}, "at least 1"),
        ({"most": 0}, "most phrases"),
        ({"space": "multi"}, "unknown space of keywords"),
        ({"template": "{words}"}, "unknown field"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(TaskError, match=message):
        KeywordActions(base(), **arguments)


HOSTILE = [None, "red", b"1", 1.5, np.nan, [99, 0, 0], [-1, 0, 0], [0, 0], [[0, 0, 0]], {"a": 1}, [None] * 3, ["a"] * 3]


@pytest.mark.parametrize("action", [*HOSTILE, np.zeros(3), 2, [[1], [2, 3]]], ids=repr)
def test_hostile_keywords_are_an_error_and_the_episode_stays_open(action):
    env = KeywordActions(base(), ["red", "wool"])
    env.reset(seed=0)
    with pytest.raises(TaskError, match="expected an action of MultiDiscrete") as error:
        env.step(action)
    assert "\n" not in str(error.value)
    assert env.step([0, 0, 1])[2]


@pytest.mark.parametrize("action", [*HOSTILE, 3, -1, True + 2, np.float32(1), 2**80, np.array([1])], ids=repr)
def test_hostile_templates_are_an_error_and_the_episode_stays_open(action):
    env = TemplateActions(base(), ["{query}", "red", "wool"])
    env.reset(seed=0)
    with pytest.raises(TaskError, match="expected an action of Discrete"):
        env.step(action)
    assert env.step(np.int64(2))[4]["rewrite"] == "wool"


@pytest.mark.parametrize("action", [[2, 0], [0, 1, 0], [np.nan, 0], "10", [0.5, 0]], ids=repr)
def test_hostile_switches_are_an_error(action):
    env = KeywordActions(base(), ["red", "wool"], space="multibinary")
    env.reset(seed=0)
    with pytest.raises(TaskError, match="expected an action of MultiBinary"):
        env.step(action)
