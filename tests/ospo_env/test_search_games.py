"""Coalitions over turns and phrases, against a replay of each coalition in the environment."""

import itertools

import numpy as np
import pytest

from ospo_env import RetrievalTask, SearchEnv, SearchTask, TaskError
from ospo_env.scoring.coalitions import coalition_text
from ospo_env.turns.actions import search_action, turn_spans
from ospo_env.turns.games import settle
from shop import shop

EPISODES = [
    "red coat\nblack wool shoe",
    "qzxv\n\nred, shoe\n",
    "wool coat linen dress red\nred coat",
    "coat\n",
    "\n",
    "",
    "赤い靴 red\n!!! ...\nshoe",
]
WORD_CAP = 4


def make(**arguments):
    return SearchEnv(data=shop(), **{"max_words": WORD_CAP, "max_turns": 3, "price": 0.0625, **arguments})


def word_spans(text):
    """Words with the characters after them, cut at the end of each line."""
    spans = []
    for first, end in turn_spans(text):
        starts = [first, *(at for at in range(first + 1, end) if text[at - 1] == " " and text[at] != "\n")]
        spans += itertools.pairwise([*starts, end])
    return spans


def all_rows(n):
    return np.array(list(itertools.product([False, True], repeat=n)), dtype=bool).reshape(2**n, n)


def replayed(env, query_id, text, spans, row):
    """The worth of a coalition by its definition: an episode that makes the searches that are left of it."""
    env.reset(options={"query_id": query_id})
    total = 0.0
    for first, end in turn_spans(text)[: env.task.max_turns]:
        own = [index for index, (start, _) in enumerate(spans) if first <= start < end]
        words_before = [len(text[first : spans[index][0]].split()) for index in own]
        counted = [n == 0 or words < env.task.retrieval.max_words for n, words in enumerate(words_before)]
        if not any(row[index] for index, counts in zip(own, counted, strict=True) if counts):
            continue
        capped = [(spans[index][0] - first, spans[index][1] - first) for index in own]
        line = text[first:end]
        kept = np.array([bool(row[index]) and counts for index, counts in zip(own, counted, strict=True)])
        search = coalition_text(line, capped, kept).removesuffix("\n")
        total += env.step(search_action(search))[1]
    if not env.unwrapped._conversation.ended:
        total += env.step("answer")[1]
    return total


@pytest.mark.parametrize(
    "arguments", [{}, {"retriever": "chargram"}, {"compose": "append"}, {"repeats": "once"}], ids=str
)
def test_worths_are_rewards_of_replayed_episodes(arguments):
    env = make(**arguments)
    ids = ["q00", "q01", "q04", "q05", "q00", "q01", "q04"]
    spans = [word_spans(text) for text in EPISODES]
    rows = [all_rows(len(one)) for one in spans]
    worths = env.task.coalition_values(ids, EPISODES, spans, rows)
    assert len({round(float(worth), 6) for one in worths for worth in one}) > 10
    for query_id, text, tiles, matrix, values in zip(ids, EPISODES, spans, rows, worths, strict=True):
        for row, value in zip(matrix, values, strict=True):
            assert value == pytest.approx(replayed(env, query_id, text, tiles, row), abs=1e-15), (text, row)
        assert values[-1] == env.task.rewards([query_id], [text])[0], "bit for bit"
        assert values[0] == 0


def test_a_dropped_turn_pays_no_price():
    task = make().task
    text = "red coat\nqzxv\n"
    spans = word_spans(text)
    (worths,) = task.coalition_values(["q00"], [text], [spans], [np.array([[True, True, True], [True, True, False]])])
    assert worths[1] - worths[0] == 0.0625


def test_words_beyond_the_cap_of_their_search_are_null_players():
    task = make().task
    text = "a b c d red coat\nshoe"
    spans = word_spans(text)
    rows = all_rows(len(spans))
    (worths,) = task.coalition_values(["q00"], [text], [spans], [rows])
    for beyond in (4, 5):
        without = rows.copy()
        without[:, beyond] = False
        np.testing.assert_array_equal(task.coalition_values(["q00"], [text], [spans], [without])[0], worths)
    without = rows.copy()
    without[:, 6] = False
    assert (task.coalition_values(["q00"], [text], [spans], [without])[0] != worths).any(), "the next search counts"


class Counting(RetrievalTask):
    """A task that counts calls and the coalitions in them."""

    asked = ()

    def coalition_values(self, prompt_ids, texts, spans, coalitions, **limits):
        self.asked = (*self.asked, sum(map(len, coalitions)))
        return super().coalition_values(prompt_ids, texts, spans, coalitions, **limits)


def test_distinct_parts_of_a_search_are_valued_once_and_a_batch_is_one_call():
    task = SearchTask(Counting(shop()))
    text = "red wool coat\nblue linen shoe\nblack bag"
    spans = word_spans(text)
    rows = all_rows(8)
    task.coalition_values(["q00", "q01"], [text, text], [spans, spans], [rows, rows])
    assert task.retrieval.asked == (2 * (7 + 7 + 3),), "not twice 2^8"


def test_settle_against_python():
    rng = np.random.default_rng(0)
    metrics = np.where(rng.random((4, 50)) < 0.5, rng.random((4, 50)), -np.inf)
    for column, worth in zip(metrics.T, settle(metrics, 0.05), strict=True):
        made = [value for value in column if value > -np.inf]
        assert worth == (max(made) - 0.05 * len(made) if made else 0.0)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, 8), (8, 13)], r"segments of text 0 to lie within turns.*turn 0 at \(0, 9\)"),
        ([(0, 13)], "phrases-in-turns"),
        ([(0, 9), (9, 12)], "do not tile the text"),
    ],
)
def test_segments_that_cross_lines_are_refused(spans, message):
    with pytest.raises(TaskError, match=message):
        make().task.coalition_values(["q00"], ["red coat\nshoe"], [spans], [np.ones((1, len(spans)), bool)])
