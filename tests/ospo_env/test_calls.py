"""A bound on calls of a retriever: what is sent, what is exact, what is estimated and counted."""

import numpy as np
import pytest
from test_rerank import make_model

from minilm import DIRECTORY, needs_minilm
from ospo_env import RewriteEnv, TaskError
from shop import EachWordOnce, Wrapped, all_coalitions, shop, task

TEXT = "red wool, linen coat, blue, shoe, leather bag"
SPANS = [(0, 9), (9, 21), (21, 27), (27, 33), (33, 45)]
EVERY = all_coalitions(5)
IDS = shop().queries["query_id"].to_list()
APPEND = {"compose": "append", "query_weight": 2}
MODES = [{}, {"repeats": "once"}, APPEND, APPEND | {"repeats": "once"}]
each_mode = pytest.mark.parametrize("mode", MODES)


def open_task(name="bm25", **settings):
    """A task whose retriever denies that it is linear, and the retriever, which counts."""
    retriever = Wrapped(task(name).retriever, linear=False)
    return task(retriever, **settings), retriever


def worths(made, calls=None, seed=0, text=TEXT, spans=SPANS, coalitions=EVERY, prompt_id="q00"):
    return made.coalition_values([prompt_id], [text], [spans], [coalitions], calls, [seed])[0]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    pytest.importorskip("sentence_transformers", reason="needs the extra ospo[dense]")
    return f"rerank:{make_model(tmp_path_factory.mktemp('cross-encoder'))}?device=cpu"


@each_mode
@pytest.mark.parametrize("calls", [6, 7, 11, 20, 30])
def test_no_more_texts_are_sent_than_allowed(calls, mode):
    made, retriever = open_task(**mode)
    values = worths(made, calls)
    (batch,) = retriever.batches
    raw = {made.sent(["q00"], [""])[0]} if "compose" in mode else set()
    assert len(set(batch) - raw) == calls
    singles = [TEXT[start:end] for start, end in SPANS]
    assert set(made.sent(["q00"] * 6, [*singles, TEXT])) <= set(batch)
    assert values[-1] == made.rewards(["q00"], [TEXT])[0]
    assert len(retriever.batches) == 1  # the reward was there


@each_mode
@pytest.mark.parametrize("name", ["bm25", "lsa", "fusion:bm25+lsa"])
@pytest.mark.parametrize("candidates", ["pool", "corpus"])
def test_exact_at_the_end(name, candidates, mode):
    made = task(Wrapped(task(name).retriever, linear=False), candidates=candidates, **mode)
    exact = worths(made)
    for calls in (31, 32, 1000):
        fresh = task(Wrapped(task(name).retriever, linear=False), candidates=candidates, **mode)
        assert worths(fresh, calls).tobytes() == exact.tobytes()
        assert fresh.counters == {**made.counters, "estimated": 0}
    assert made.counters["distinct"] == 31 + ("compose" in mode)
    few = worths(made, 8)
    assert made.counters["estimated"] == 32 - 8 - 1
    assert few[0] == exact[0]
    assert few[-1] == exact[-1]
    assert all(few[row] == exact[row] for row in (1, 2, 4, 8, 16))
    assert ((few >= 0) & (few <= 1)).all()


@each_mode
@pytest.mark.parametrize("name", ["bm25", "lsa", "chargram"])
def test_linear_retrievers_need_no_bound(name, mode):
    made = task(name, **mode)
    assert made.linear
    assert worths(made, 1).tobytes() == worths(task(name, **mode)).tobytes()
    assert made.counters["estimated"] == 0
    assert not task(name, candidates="corpus").linear
    assert not open_task(name)[0].linear


@pytest.mark.parametrize("mode", [{}, APPEND])
@pytest.mark.parametrize("name", ["bm25", "lsa", "chargram"])
def test_sums_are_estimated_exactly(name, mode):
    """A retriever that adds up its segments' scores without saying so, as search servers do, loses nothing."""
    exact = worths(task(name, **mode))
    assert exact.std() > 0.05
    estimated = worths(open_task(name, **mode)[0], 8)
    np.testing.assert_allclose(estimated, exact, atol=1e-12)


def test_what_does_not_add_up_is_not_estimated_exactly():
    text, spans = "red red, wool wool red, coat red coat, red", [(0, 9), (9, 24), (24, 39), (39, 42)]
    made = task(EachWordOnce(task("bm25").retriever, linear=False))
    exact = worths(made, None, 0, text, spans, all_coalitions(4))
    estimated = [worths(made, 6, seed, text, spans, all_coalitions(4)) for seed in range(20)]
    assert max(np.abs(values - exact).max() for values in estimated) > 0.01


def test_the_seed_decides_what_is_sent():
    def sent(seed):
        made, retriever = open_task()
        return worths(made, 9, seed).tobytes(), sorted(retriever.batches[0])

    assert sent(3) == sent(3)
    assert len({tuple(sent(seed)[1]) for seed in range(10)}) > 1


def test_without_seeds_prompt_and_text_decide():
    def sent(prompt_id, text):
        made, retriever = open_task()
        made.coalition_values([prompt_id], [text], [SPANS], [EVERY], 9)
        return sorted(retriever.batches[0])

    assert sent("q00", TEXT) == sent("q00", TEXT)
    assert len({tuple(sent(prompt_id, TEXT)) for prompt_id in IDS}) > 1


@each_mode
@pytest.mark.parametrize("name", ["lsa", "fusion:bm25+lsa"])
def test_batch_and_cache_change_nothing(name, mode):
    ids, texts = ["q00", "q05", "q00"], [TEXT, TEXT, TEXT.upper()]
    batch, retriever = open_task(name, **mode)
    together = batch.coalition_values(ids, texts, [SPANS] * 3, [EVERY] * 3, [8, 12, 31], [1, 2, 3])
    assert len(retriever.batches) == 1
    for number, calls in enumerate((8, 12, 31)):
        alone = worths(open_task(name, **mode)[0], calls, number + 1, texts[number], prompt_id=ids[number])
        assert alone.tobytes() == together[number].tobytes()
    warm, _ = open_task(name, **mode)
    worths(warm)  # all texts are in the cache, and yet as many are estimated
    assert worths(warm, 8, 1).tobytes() == together[0].tobytes()
    assert warm.counters["estimated"] == 23


def test_null_players_count_as_no_segments():
    made = task(Wrapped(task("lsa").retriever, linear=False), max_words=3)  # up to "linen"
    values = worths(made, 3)
    exact = worths(task("lsa", max_words=3))
    np.testing.assert_array_equal(values, exact)  # three texts of two players
    with pytest.raises(TaskError, match=r"at least 3 calls for the 2 segments of text 0 that count.*got 2"):
        worths(made, 2)


@pytest.mark.parametrize("calls", [0, -1, 5, True, 2.5, "many"])
def test_too_few_calls(calls):
    with pytest.raises(TaskError, match="calls"):
        worths(open_task()[0], calls)


def test_wrong_lengths_and_seeds():
    made, _ = open_task()
    with pytest.raises(TaskError, match="one number of calls and one seed a text"):
        made.coalition_values(["q00"], [TEXT], [SPANS], [EVERY], [8, 8], [0])
    with pytest.raises(TaskError, match="seed of text 0"):
        worths(made, 8, -1)


def test_only_what_was_asked_for_is_answered():
    made, retriever = open_task("lsa")
    some = EVERY[[7, 25, 31, 7, 0]]
    np.testing.assert_array_equal(worths(made, 6, coalitions=some), worths(made)[[7, 25, 31, 7, 0]])
    assert len(retriever.batches[0]) == 3
    assert worths(made, 6, coalitions=EVERY[:0]).shape == (0,)
    assert worths(made, 1, text="", spans=[], coalitions=np.ones((2, 0), dtype=bool)).tolist() == [0, 0]


def test_segments_without_known_tokens_send_the_raw_query():
    model = Wrapped(task("lsa").retriever, linear=False)
    model.has_known_tokens = lambda texts: np.array(["zzz" not in text for text in texts])
    made = task(model, **APPEND)
    text, spans = "red, zzz, wool, coat", [(0, 5), (5, 10), (10, 16), (16, 20)]
    values = worths(made, 6, text=text, spans=spans, coalitions=all_coalitions(4))
    (batch,) = model.batches
    raw = made.sent(["q00"], [""])[0]
    assert len(set(batch) - {raw}) == 6
    assert values[2] == values[0] == made.rewards(["q00"], [""])[0]


def test_one_environment():
    made, _ = open_task("lsa")
    env = RewriteEnv(data=shop(), retriever=Wrapped(task("lsa").retriever, linear=False))
    env.reset(seed=0, options={"query_id": "q00"})
    assert env.coalition_values(TEXT, SPANS, EVERY, calls=8, seed=4).tobytes() == worths(made, 8, 4).tobytes()


def test_a_cross_encoder(cross_encoder):
    made = task(cross_encoder)
    exact = worths(made)
    assert worths(made, 31).tobytes() == exact.tobytes()
    errors = [np.abs(worths(made, calls) - exact).max() for calls in (6, 12, 24)]
    assert made.counters["estimated"] == 25 + 19 + 7
    assert errors[2] < max(errors) <= 1


@needs_minilm
def test_a_sentence_encoder_is_estimated_better_than_by_chance():
    made = task(f"dense:{DIRECTORY}")
    exact = worths(made)
    assert exact.std() > 0.05
    errors = {calls: np.mean([np.abs(worths(made, calls, seed) - exact) for seed in range(5)]) for calls in (8, 16, 31)}
    assert errors[31] == 0
    assert errors[16] < errors[8] < np.abs(exact - exact.mean()).mean() / 2
