"""The task behind the door: prompts, rewards, coalition values, and what it says to bad input."""

import pickle
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs_data.documents import Documents
from ospo_agents.protocols import Task
from ospo_env.errors import TaskError
from ospo_env.task import DEFAULT_METRICS, RetrievalTask
from shop import SETTINGS, EachWordOnce, Wrapped, all_coalitions, cut_texts, shop, task

NAMES = ("bm25", "lsa")
TASKS = {name: task(name) for name in NAMES}
BY_TEXT = {name: task(Wrapped(TASKS[name].retriever, linear=False)) for name in NAMES}
LYING = task(EachWordOnce(TASKS["bm25"].retriever, linear=True))
LYING_BY_TEXT = task(EachWordOnce(TASKS["bm25"].retriever, linear=False))
IDS = shop().queries["query_id"].to_list()
RED_COATS = ["red coat"] * len(IDS)

each = pytest.mark.parametrize("name", NAMES)


def worths(of, prompt_id, text, spans, coalitions):
    return of.coalition_values([prompt_id], [text], [spans], [coalitions])[0]


@each
def test_the_door(name):
    assert isinstance(TASKS[name], Task)
    assert not isinstance(shop(), Task)


def test_prompts():
    ids, prompts = TASKS["bm25"].prompts("train")
    assert ids == ["q00", "q01", "q04", "q05", "q08", "q09"]
    assert prompts[:2] == ["coat please | red wool bag; linen dress", "shoe please"]
    every = [prompt_id for split in ("train", "validation", "test") for prompt_id in TASKS["bm25"].prompts(split)[0]]
    assert sorted(every) == IDS
    with pytest.raises(TaskError, match="unknown split 'valid'; did you mean 'validation'"):
        TASKS["bm25"].prompts("valid")


def test_demonstrations_and_texts_know_nothing_of_other_splits():
    ids, prompts = TASKS["bm25"].prompts("train")
    demonstrations = TASKS["bm25"].demonstrations()
    assert {prompt_id for prompt_id, _ in demonstrations} <= set(ids)
    texts = list(TASKS["bm25"].texts())
    assert texts == [*prompts, *(text for _, text in demonstrations), *shop().documents["text"]]


def test_query():
    query = TASKS["bm25"].query("q03")
    assert (query.query_id, query.query, query.split) == ("q03", "bag please", "test")
    assert query.history == ("red wool bag", "linen dress")
    assert query.intent == ("red", "bag")


@each
@SETTINGS
@given(cut_texts(), st.sampled_from(IDS))
def test_sums_of_segments_are_the_texts_scores(name, cut, prompt_id):
    text, spans = cut
    coalitions = all_coalitions(len(spans))
    linear = worths(TASKS[name], prompt_id, text, spans, coalitions)
    assert linear.tobytes() == worths(BY_TEXT[name], prompt_id, text, spans, coalitions).tobytes()


def test_a_false_linear_claim_changes_worths():  # negative control of the comparison above
    found = []
    for prompt_id in IDS:
        for text in ("red red blue wool coat", "wool wool bag red coat", "linen linen linen red dress"):
            spans = [(0, text.index(" ")), (text.index(" "), len(text) - 5), (len(text) - 5, len(text))]
            games = [worths(made, prompt_id, text, spans, all_coalitions(3)) for made in (LYING, LYING_BY_TEXT)]
            found.append(np.array_equal(*games))
    assert not all(found)


@pytest.mark.parametrize("made", [*TASKS.values(), *BY_TEXT.values(), LYING], ids=lambda made: made.retriever.name)
@SETTINGS
@given(cut_texts(), st.sampled_from(IDS))
def test_the_ends_of_the_game(made, cut, prompt_id):
    text, spans = cut
    both = np.array([[False] * len(spans), [True] * len(spans)], dtype=bool)
    empty, grand = worths(made, prompt_id, text, spans, both)
    assert empty == 0.0
    assert grand.tobytes() == made.rewards([prompt_id], [text])[0].tobytes()


@each
def test_worths_are_rewards_of_the_coalitions_texts(name):
    text, spans = "red,linen wool coat", [(0, 4), (4, 9), (9, 19)]
    texts = ["", "red,", "linen", "red,linen", " wool coat", "red,  wool coat", "linen wool coat", text]
    for made in (TASKS[name], BY_TEXT[name]):
        found = worths(made, "q00", text, spans, all_coalitions(3))
        np.testing.assert_array_equal(found, made.rewards(["q00"] * 8, texts))
        assert len(set(found.tolist())) > 3


@each
@pytest.mark.parametrize("tasks", [TASKS, BY_TEXT], ids=["linear", "by text"])
def test_segments_beyond_the_cap_are_null_players(name, tasks):
    text = "blue wool red coat red coat"
    spans = [(0, 5), (5, 10), (10, 14), (14, 19), (19, 23), (23, 27)]
    capped = task(tasks[name].retriever, max_words=3)
    coalitions = all_coalitions(6)
    found = worths(capped, "q00", text, spans, coalitions)
    without = coalitions.copy()
    without[:, 3:] = False
    np.testing.assert_array_equal(found, worths(capped, "q00", text, spans, without))
    assert found[-1] == capped.rewards(["q00"], ["blue wool red"])[0] == capped.rewards(["q00"], [text])[0]
    assert not np.array_equal(found, worths(tasks[name], "q00", text, spans, coalitions))  # negative control: no cap
    assert capped.words_beyond_cap(["q00"], [text]) == [3]
    assert tasks[name].words_beyond_cap(["q00"], [text]) == [0]


@each
def test_a_segment_is_cut_by_the_cap(name):
    capped = task(name, max_words=2)
    found = worths(capped, "q00", "red wool coat", [(0, 4), (4, 13)], np.array([[False, True]]))
    np.testing.assert_array_equal(found, capped.rewards(["q00"], ["wool"]))


@each
def test_games_are_batched(name):
    retriever = Wrapped(TASKS[name].retriever)
    made = task(retriever)
    ids = [IDS[row % 5] for row in range(20)]
    texts = [f"{'red' if row % 2 else 'blue'} wool {row % 3} coat" for row in range(20)]
    spans = [[(0, 4), (4, len(text) - 4), (len(text) - 4, len(text))] for text in texts]
    coalitions = [all_coalitions(3)[row % 4 :] for row in range(20)]
    together = made.coalition_values(ids, texts, spans, coalitions)
    assert len(retriever.batches) == 1
    assert made.counters["asked"] == sum(map(len, coalitions))
    assert made.counters["distinct"] == len(retriever.batches[0])
    for row, values in enumerate(together):
        assert values.shape == (len(coalitions[row]),)
        alone = worths(task(name), ids[row], texts[row], spans[row], coalitions[row])
        assert values.tobytes() == alone.tobytes()


@each
@pytest.mark.parametrize(
    "text",
    ["", " \n", "...!?", "zzz qqq", "x" * 20_000, "zz " * 7_000, "🎉🎉", "\ud83d", "\udc00\ud83d", "\x00", "\u0301"],
)
def test_odd_texts_earn_nothing(name, text):
    assert TASKS[name].rewards(["q00"], [text])[0] == 0.0
    assert TASKS[name].rankings(["q00"], [text]) == [()]
    assert all(values[0] == 0.0 for values in TASKS[name].evaluate(["q00"], [text]).values())
    spans = [(0, len(text))] if text else []
    coalitions = all_coalitions(len(spans))
    np.testing.assert_array_equal(worths(TASKS[name], "q00", text, spans, coalitions), np.zeros(len(coalitions)))


@each
@pytest.mark.parametrize("text", ["red \ud83dcoat", "🎉red coat🎉", "RED\x00COAT", "red coat" + "!" * 20_000])
def test_odd_texts_with_words_earn_what_their_words_do(name, text):
    assert TASKS[name].rewards(["q00"], [text])[0] == TASKS[name].rewards(["q00"], ["red coat"])[0] > 0.5
    half = worths(TASKS[name], "q00", text, [(0, 5), (5, len(text))], all_coalitions(2))
    assert half[-1] == TASKS[name].rewards(["q00"], [text])[0]  # spans are those of the text as given


def test_retrievers_read_clean_text():
    retriever = Wrapped(TASKS["bm25"].retriever)
    task(retriever).rewards(["q00"], ["red \ud83d"])
    assert retriever.batches == [["red \ufffd"]]


@each
def test_rankings_and_metrics_agree(name):
    texts = ["red coat", "blue wool", "zzz"] * 4
    rankings = TASKS[name].rankings(IDS, texts)
    values = TASKS[name].evaluate(IDS, texts)
    assert list(values) == list(DEFAULT_METRICS)
    gain = {(q, f"d{row}"): gain for q, row, gain in shop().qrels.iter_rows()}
    for row, (prompt_id, ranking) in enumerate(zip(IDS, rankings, strict=True)):
        pool = {f"d{document}" for document in shop().pools["doc_rows"][row]}
        assert set(ranking) <= pool
        assert len(set(ranking)) == len(ranking)
        first = next((1 / r for r, d in enumerate(ranking, 1) if gain.get((prompt_id, d), 0) >= 1), 0.0)
        assert values["RR"][row] == first
    np.testing.assert_array_equal(values["nDCG@10"], TASKS[name].rewards(IDS, texts))


def test_judgements_outside_the_pool_count():
    pool = set(shop().pools["doc_rows"][0])
    judged = shop().qrels.filter(pl.col("query_id") == "q00")
    inside = [gain for _, row, gain in judged.iter_rows() if row in pool]
    assert sum(inside) < judged["gain"].sum()
    assert TASKS["bm25"].evaluate(["q00"], ["red coat"], ["R@50"])["R@50"][0] == 1.0
    assert TASKS["bm25"].evaluate(["q00"], ["red coat"], ["nDCG@50"])["nDCG@50"][0] < 1.0


def test_evaluate_puts_the_tasks_metric_first():
    made = task("bm25", metric="R@2")
    assert made.metric == "R@2"
    assert list(made.evaluate(["q00"], ["red"])) == ["R@2", *DEFAULT_METRICS]
    assert list(made.evaluate(["q00"], ["red"], ["RR@3", "AP"])) == ["RR@3", "AP"]
    with pytest.raises(TaskError, match="did you mean 'RR'"):
        made.evaluate(["q00"], ["red"], ["MRR"])


def test_a_second_look_is_cached():
    retriever = Wrapped(TASKS["bm25"].retriever)
    made = task(retriever)
    made.rewards(IDS, RED_COATS)
    made.evaluate(IDS, RED_COATS)
    made.rankings(IDS, RED_COATS)
    assert len(retriever.batches) == 1
    assert made.counters == {"asked": 36, "distinct": 36, "cached": 24, "estimated": 0, "stored": 0}


def test_nothing_asked():
    assert TASKS["bm25"].rewards([], []).shape == (0,)
    assert TASKS["bm25"].coalition_values([], [], [], []) == []
    assert TASKS["bm25"].rankings([], []) == []
    assert worths(TASKS["bm25"], "q00", "red", [(0, 3)], np.zeros((0, 1), dtype=bool)).shape == (0,)
    np.testing.assert_array_equal(worths(TASKS["bm25"], "q00", "", [], np.zeros((3, 0), dtype=bool)), np.zeros(3))


def test_tasks_on_equal_documents_share_a_retriever():
    shared = task("bm25").retriever
    assert task("bm25").retriever is shared
    changed = replace(shop(), documents=Documents(shop().documents.frame.with_columns(text=pl.lit("red"))))
    assert RetrievalTask(changed).retriever is not shared


@each
def test_pickles(name):
    again = pickle.loads(pickle.dumps(TASKS[name]))
    np.testing.assert_array_equal(again.rewards(IDS, RED_COATS), TASKS[name].rewards(IDS, RED_COATS))


RED, ONE = ["red"], [np.ones((1, 1), dtype=bool)]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda t: t.rewards(["q0x"], RED), TaskError, "unknown prompt id 'q0x'.*did you mean 'q"),
        (lambda t: t.rewards(["???"], RED), TaskError, "such as 'q00'"),
        (lambda t: t.rewards([3], RED), TaskError, "unknown prompt id 3"),
        (lambda t: t.query("q0x"), TaskError, "did you mean"),
        (lambda t: t.rewards(["q00"], [None]), TypeError, "text 0 to be a string; got NoneType"),
        (lambda t: t.rewards(["q00", "q01"], ["red", 7]), TypeError, "text 1 to be a string; got int"),
        (lambda t: t.rewards(["q00"], [b"red"]), TypeError, "got bytes"),
        (lambda t: t.rewards("q00", "red"), TypeError, "single string 'q00'"),
        (lambda t: t.rewards(["q00"], "red"), TypeError, "single string 'red'"),
        (lambda t: t.rewards(["q00", "q01"], RED), TaskError, "2 ids and 1 texts"),
        (lambda t: t.evaluate(["q00", "q01"], RED), TaskError, "2 ids and 1 texts"),
        (lambda t: t.rankings(["q00"], [1.5]), TypeError, "got float"),
        (lambda t: t.coalition_values(["q00"], RED, [], ONE), TaskError, "1 texts, 0 lists of spans and 1 matrices"),
        (lambda t: t.coalition_values(["q00"], RED, [[(0, 2)]], ONE), TaskError, "of text 0 do not tile"),
        (
            lambda t: t.coalition_values(["q00"], RED, [[(0, 3)]], [np.ones((1, 2), bool)]),
            TaskError,
            "one column a seg",
        ),
        (lambda t: t.coalition_values(["q00"], RED, [[(0, 3)]], [np.ones((1, 1))]), TypeError, "boolean"),
        (lambda t: t.coalition_values(["q00"], [None], [[(0, 3)]], ONE), TypeError, "string"),
    ],
)
def test_bad_calls(call, error, match):
    with pytest.raises(error, match=match) as caught:
        call(TASKS["bm25"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"retriever": "bm26"}, TaskError, "did you mean 'bm25'"),
        ({"metric": "nDGC@10"}, TaskError, "did you mean 'nDCG@10'"),
        ({"max_words": 0}, TaskError, "max_words"),
        ({"max_words": 1.5}, TaskError, "max_words"),
        ({"max_words": True}, TaskError, "max_words"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        task(**arguments)
    with pytest.raises(TypeError, match="PreparedData"):
        RetrievalTask("somewhere")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"pools": shop().pools.with_columns(pl.col("doc_rows").list.reverse())}, "ascending"),
        ({"pools": shop().pools.with_columns(pl.col("doc_rows").list.head(0))}, "'q00' has an empty candidate pool"),
        ({"qrels": pl.concat([shop().qrels, shop().qrels.head(1)])}, "twice"),
    ],
)
def test_data_on_which_the_tie_rule_cannot_rest(changes, match):
    with pytest.raises(TaskError, match=match):
        RetrievalTask(replace(shop(), **changes))
