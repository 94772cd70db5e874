"""Credit where the texts that a task scores are bounded."""

import numpy as np
import pytest

from ospo_agents import AgentError, assign_credit
from ospo_agents.assignment import content_seed
from ospo_agents.calls import DEFAULT_CALLS, training_calls
from ospo_agents.credit import shapley_values
from ospo_agents.segments import words
from ospo_agents.training import TrainingSettings
from shop import Wrapped, task
from toy_task import ToyTask

TEXT = "red wool linen coat blue"
LONG = " ".join(f"red{number}" for number in range(20))


class Recorded:
    """A task that remembers how it was called."""

    def __init__(self, inner):
        self.inner = inner
        self.linear = inner.linear
        self.asked = []

    def scored(self, prompt_ids, texts):
        return self.inner.scored(prompt_ids, texts)

    def coalition_values(self, *arguments, **bounds):
        self.asked.append(bounds)
        return self.inner.coalition_values(*arguments, **bounds)


def bounded(name="lsa", **settings):
    return Recorded(task(Wrapped(task(name).retriever, linear=False), **settings))


def test_credit_is_that_of_the_estimated_game():
    made = bounded("fusion:bm25+lsa")
    (credited,) = assign_credit(made, ["q00"], [TEXT], segmenter="words", calls=8)
    seed = content_seed("q00", TEXT)
    assert made.asked == [{"calls": [8], "seeds": [seed]}]
    spans = words(TEXT)

    def game(rows):
        return made.inner.coalition_values(["q00"], [TEXT], [spans], [rows], 8, [seed])[0]

    np.testing.assert_allclose(credited.credit, shapley_values(game, 5), atol=1e-12)
    np.testing.assert_allclose(credited.credit.sum(), credited.worth, atol=1e-12)
    assert credited.worth == made.inner.rewards(["q00"], [TEXT])[0]
    assert credited.calls == 8
    assert np.isnan(credited.standard_error).all()
    (exact,) = assign_credit(made, ["q00"], [TEXT], segmenter="words")
    assert np.abs(exact.credit - credited.credit).max() > 1e-6  # the comparison can fail


@pytest.mark.parametrize("calls", [31, 32, 500])
def test_enough_calls_are_exact(calls):
    (exact,) = assign_credit(bounded(), ["q00"], [TEXT], segmenter="words")
    (credited,) = assign_credit(bounded(), ["q00"], [TEXT], segmenter="words", calls=calls)
    assert credited.credit.tobytes() == exact.credit.tobytes()
    assert credited.calls is None
    assert credited.standard_error is None


def test_a_task_of_sums_is_asked_as_without_calls():
    made = Recorded(task("bm25"))
    (credited,) = assign_credit(made, ["q00"], [TEXT], segmenter="words", calls=1)
    (exact,) = assign_credit(task("bm25"), ["q00"], [TEXT], segmenter="words")
    assert made.asked == [{}]
    assert credited.credit.tobytes() == exact.credit.tobytes()
    assert credited.calls is None


def test_a_text_of_more_segments_than_calls_gets_more():
    made = bounded()
    texts = [TEXT, "red coat", LONG, ""]
    credited = assign_credit(made, ["q00"] * 4, texts, segmenter="words", calls=4, solution="sampled_shapley")
    # 16 of the long text's words count
    assert made.asked[0]["calls"] == [6, 4, 17, 4]
    assert [text.calls for text in credited] == [6, None, 17, None]
    assert len(made.inner.retriever.batches) == 1
    alone = assign_credit(bounded(), ["q00"], [LONG], segmenter="words", calls=4, solution="sampled_shapley")[0]
    assert alone.credit.tobytes() == credited[2].credit.tobytes()


@pytest.mark.parametrize("calls", [0, -1, True, 2.5, "16"])
def test_wrong_numbers(calls):
    with pytest.raises(AgentError, match="expected calls as a whole number of at least 1"):
        assign_credit(bounded(), ["q00"], [TEXT], calls=calls)


def test_a_task_that_takes_no_calls_is_named():
    with pytest.raises(AgentError, match="for calls 16, but ToyTask does not"):
        assign_credit(ToyTask(), ["p0"], ["red coat"], calls=16)
    with pytest.raises(AgentError, match="for calls 16, but ToyTask does not"):
        training_calls(ToyTask(), 16)
    assert assign_credit(ToyTask(), ["p0"], ["red coat"], calls=None)


def test_the_default_of_training():
    expensive = bounded().inner
    assert training_calls(expensive, None) == DEFAULT_CALLS
    assert training_calls(expensive, 0) == 0
    assert training_calls(expensive, 8) == 8
    for cheap in (task("bm25"), ToyTask()):
        assert training_calls(cheap, None) == 0
    assert training_calls(task("bm25", candidates="corpus"), None) == DEFAULT_CALLS
    assert TrainingSettings().for_task(expensive).calls == DEFAULT_CALLS
    assert TrainingSettings(calls=0).for_task(expensive).calls == 0
    assert TrainingSettings(algo="grpo").for_task(expensive).calls is None


def test_runs_from_before_scored_all_texts():
    old = {name: value for name, value in TrainingSettings().as_json().items() if name != "calls"}
    assert TrainingSettings.recorded(old).calls == 0
    assert TrainingSettings.recorded({**old, "calls": 32}).calls == 32
    assert TrainingSettings.recorded({**old, "algo": "grpo"}).calls is None
    assert TrainingSettings.of(old).calls is None  # the negative control: a new run's default


@pytest.mark.parametrize("calls", [-1, 1.5, True, "16"])
def test_settings_are_checked(calls):
    with pytest.raises(AgentError, match="--calls: expected at least 0"):
        TrainingSettings(calls=calls).check(lambda name: f"--{name}")


def test_calls_are_of_ospo():
    with pytest.raises(AgentError, match="calls is of algo ospo"):
        TrainingSettings(algo="grpo", calls=8).check()
