"""Rewards made of rewards: means over retrievers and contrasts, against plain loops over the tasks that they are of."""

import numpy as np
import pytest

from ospo_agents import Task, assign_credit
from ospo_agents.protocols import BoundedTask, CappedTask, LexicalTask, MeasuredTask
from ospo_env import ContrastTask, MeanTask, RetrievalTask, SearchTask, TaskError
from ospo_env.reward_tasks import RewardTask
from shop import shop

MODES = [{}, {"compose": "append", "query_weight": 2, "repeats": "once"}]
TEXTS = ["red wool, coat", "", "blue linen dress, red, cotton bag", "coat", "zzz", "leather, black shoe please"]


def plain(retriever="bm25", **modes):
    return RetrievalTask(shop(), retriever, max_words=4, **modes)


def batch(task):
    ids = task.prompts("train")[0]
    return [ids[number % len(ids)] for number in range(len(TEXTS))], TEXTS


def games(ids, texts, rng):
    """Segments of single characters would glue words, so texts are cut at their spaces."""
    spans, coalitions = [], []
    for text in texts:
        ends = [place for place, letter in enumerate(text) if letter == " "] + ([len(text)] if text else [])
        spans.append(list(zip([0, *ends[:-1]], ends, strict=True)) if text else [])
        coalitions.append(rng.random((5, len(ends))) < 0.5)
    return spans, coalitions


def means(**modes):
    tasks = [plain(name, **modes) for name in ("bm25", "lsa?dimensions=8", "chargram")]
    return MeanTask(tasks), tasks


@pytest.mark.parametrize("modes", MODES)
def test_a_mean_is_the_mean_in_rewards_worths_and_credit(modes):
    mean, tasks = means(**modes)
    ids, texts = batch(mean)
    spans, coalitions = games(ids, texts, np.random.default_rng(0))
    rewards = np.array([task.rewards(ids, texts) for task in tasks])
    np.testing.assert_allclose(mean.rewards(ids, texts), rewards.mean(axis=0), rtol=1e-14)
    assert len(set(map(tuple, rewards))) == 3, "the retrievers differ"
    values = [task.coalition_values(ids, texts, spans, coalitions) for task in tasks]
    for b, worths in enumerate(mean.coalition_values(ids, texts, spans, coalitions)):
        np.testing.assert_allclose(worths, np.mean([of_task[b] for of_task in values], axis=0), rtol=1e-14)
    credits = [assign_credit(task, ids, texts, segmenter="words", solution="shapley") for task in (mean, *tasks)]
    for of_mean, *others in zip(*credits, strict=True):
        np.testing.assert_allclose(of_mean.credit, np.mean([one.credit for one in others], axis=0), atol=1e-14)
    assert mean.linear is True
    assert MeanTask([plain(), plain("fusion:bm25+lsa%3Fdimensions=8")]).linear is False


@pytest.mark.parametrize("modes", MODES)
@pytest.mark.parametrize("contrast", [1, 3, 5])
def test_a_contrast_is_the_difference_to_other_training_queries(contrast, modes):
    task = plain(**modes)
    contrasting = ContrastTask(task, contrast, seed=3)
    ids, texts = batch(task)
    train = task.prompts("train")[0]
    for prompt_id, text, reward in zip(ids, texts, contrasting.rewards(ids, texts).tolist(), strict=True):
        others = contrasting.others(prompt_id)
        assert len(set(others)) == contrast
        assert set(others) <= set(train) - {prompt_id}
        own = task.rewards([prompt_id], [text])[0]
        elsewhere = [task.rewards([other], [text])[0] for other in others]
        assert reward == pytest.approx((1 + own - sum(elsewhere) / contrast) / 2, abs=1e-14)
    assert contrasting.metric_values(ids, texts).tolist() == task.rewards(ids, texts).tolist()
    spans, coalitions = games(ids, texts, np.random.default_rng(1))
    for b, worths in enumerate(contrasting.coalition_values(ids, texts, spans, coalitions)):
        others = contrasting.others(ids[b])
        one = [task.coalition_values([key], [texts[b]], [spans[b]], [coalitions[b]])[0] for key in (ids[b], *others)]
        np.testing.assert_allclose(worths, (1 + one[0] - np.mean(one[1:], axis=0)) / 2, rtol=1e-14)


@pytest.mark.parametrize("modes", MODES)
def test_the_worth_of_the_whole_text_is_the_reward_bit_for_bit(modes):
    for task in (means(**modes)[0], ContrastTask(means(**modes)[0], 3)):
        ids, texts = batch(task)
        credited = assign_credit(task, ids, texts, segmenter="phrases")
        assert [one.worth for one in credited] == task.rewards(ids, texts).tolist()
        alone = [task.rewards([key], [text])[0] for key, text in zip(ids, texts, strict=True)]
        assert alone == task.rewards(ids, texts).tolist()


def test_what_fits_every_query_earns_a_half_and_what_fits_one_earns_more():
    """With the rewards of a table: a word that is good everywhere, one good here, one bad here alone."""

    class Table:
        linear, counters = True, {}

        def prompts(self, split):
            return ["a", "b", "c"], ["A", "B", "C"]

        def rewards(self, prompt_ids, texts):
            good = {("a", "here"), *((key, "everywhere") for key in "abc"), ("b", "there"), ("c", "there")}
            return np.array([float(pair in good) for pair in zip(prompt_ids, texts, strict=True)])

    task = ContrastTask(Table(), 2)
    assert task.rewards(["a"] * 4, ["everywhere", "here", "there", ""]).tolist() == [0.5, 1.0, 0.0, 0.5]


def test_others_are_seeded_and_the_same_in_every_batch():
    task = plain()
    train = task.prompts("train")[0]
    drawn = {seed: [ContrastTask(task, 2, seed).others(key) for key in train] for seed in (0, 1)}
    assert drawn[0] == [ContrastTask(task, 2, 0).others(key) for key in reversed(train)][::-1]
    assert drawn[0] != drawn[1]
    test = task.prompts("test")[0]
    assert set(ContrastTask(task, 5).others(test[0])) <= set(train)


def test_they_are_tasks_as_learners_read_them():
    contrasting: RewardTask = ContrastTask(means()[0], 2)
    for task in (means()[0], contrasting, plain()):
        assert all(isinstance(task, kind) for kind in (Task, BoundedTask, CappedTask, LexicalTask))
        assert isinstance(task, MeasuredTask) == (task is contrasting), "the reward of the others is the metric"
        assert task.count_words(["red zzz", ""]).tolist() == [[2, 1], [0, 0]]
        assert task.prompts("validation") == plain().prompts("validation")
        assert task.demonstrations() == plain().demonstrations()
        assert list(task.texts()) == list(plain().texts())
        assert task.rewards([], []).shape == (0,)
        assert task.coalition_values([], [], [], []) == []
        assert task.scored([], []).shape == (0,)
    asked = contrasting.counters["asked"]
    contrasting.rewards(*batch(contrasting))
    assert contrasting.counters["asked"] == asked + 3 * 3 * len(TEXTS)


def test_what_counts_for_any_of_the_queries_counts():
    """With repeats once, copies of a query's own words do not fill the cap."""
    task = RetrievalTask(shop(), max_words=2, compose="append", repeats="once")
    contrasting, ids, text = ContrastTask(task, 5), task.prompts("train")[0], "coat dress bag linen"
    scored = {key: int(task.scored([key], [text])[0]) for key in ids}
    assert len(set(scored.values())) > 1
    for key in ids:
        compared = [key, *contrasting.others(key)]
        assert contrasting.scored([key], [text]).tolist() == [max(scored[other] for other in compared)]


def test_calls_bound_what_retrievers_that_are_no_sums_score():
    fused = plain("fusion:bm25+lsa%3Fdimensions=8", compose="append")
    text = "red, blue, wool, coat"
    ids = fused.prompts("train")[0][:1]
    for task, factor in ((MeanTask([plain(compose="append"), fused]), 1), (ContrastTask(fused, 2), 3)):
        exact = assign_credit(task, ids, [text], solution="shapley")[0]
        before = fused.counters["distinct"]
        (one,) = assign_credit(task, ids, [text], solution="shapley", calls=5, seeds=[1])
        assert one.calls == 5
        assert one.worth == exact.worth
        assert fused.counters["distinct"] - before <= factor * (5 + 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MeanTask([]), "expected at least one task"),
        (lambda: MeanTask([plain(), SearchTask(plain())]), "tasks of one step for a mean.*; SearchTask is in turns"),
        (lambda: ContrastTask(SearchTask(plain()), 2), "tasks of one step for a contrast; SearchTask is in turns"),
        (lambda: ContrastTask(plain(), 0), "expected contrast as a whole number of at least 1; got 0"),
        (lambda: ContrastTask(plain(), True), "expected contrast as a whole number of at least 1; got True"),
        (lambda: ContrastTask(plain(), 6), "expected contrast below the number of training queries, 6; got 6"),
        (lambda: ContrastTask(plain(), 1, seed=-1), "expected seed as a whole number of at least 0; got -1"),
    ],
)
def test_what_cannot_be_is_one_line(make, message):
    with pytest.raises(TaskError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_mean_needs_the_same_prompts():
    other = plain()
    other.prompts = lambda split: (["q"], ["other"])
    with pytest.raises(TaskError, match="same prompts for a mean of rewards; those of train differ"):
        MeanTask([plain(), other])
