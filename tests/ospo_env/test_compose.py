"""The query in front of the rewrite: worths against texts written by hand, and what stays exact."""

import functools
import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import given
from hypothesis import strategies as st
from test_rerank import make_model

import wrong_retrievers
from minilm import DIRECTORY, needs_minilm
from ospo_agents import assign_credit
from ospo_agents.credit import make_solution
from ospo_env import RetrieverError, RewriteEnv, TaskError, make_reference_policy, make_retriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.wrappers import GainReward, KeywordActions, TemplateActions
from shop import SETTINGS, Wrapped, all_coalitions, cut_texts, documents, shop, task
from vectors import trajectory

IDS = shop().queries["query_id"].to_list()
QUERY = "coat please"  # of q00
TEXT, SPANS = "red,linen wool coat", [(0, 4), (4, 9), (9, 19)]
KEPT = ["", "red,", "linen", "red,linen", " wool coat", "red,  wool coat", "linen wool coat", TEXT]
LINEAR = ("bm25", "lsa", "chargram")
DENSE = pytest.param(f"dense:{DIRECTORY}", marks=needs_minilm, id="dense")
MODES = [
    {"compose": "append"},
    {"compose": "append", "query_weight": 3},
    {"compose": "append", "query_weight": 3, "repeats": "once"},
    {"compose": "append", "repeats": "once"},
    {"repeats": "once"},
]
RETRIEVERS = {name: task(name).retriever for name in LINEAR}
PAIRS = {
    (name, number): (task(RETRIEVERS[name], **mode), task(Wrapped(RETRIEVERS[name], linear=False), **mode))
    for name in LINEAR
    for number, mode in enumerate(MODES)
}
each_weight = pytest.mark.parametrize("weight", [1, 3])


@functools.cache
def replacing(retriever):
    """The task of a retriever in the default mode, opened once."""
    return task(retriever)


def worths(made, text=TEXT, spans=SPANS, prompt_id="q00", coalitions=None):
    coalitions = all_coalitions(len(spans)) if coalitions is None else coalitions
    return made.coalition_values([prompt_id], [text], [spans], [coalitions])[0]


def by_hand(retriever, weight, **settings):
    """Worths of the coalitions of TEXT as rewards of whole texts that replace the query."""
    texts = [" ".join([*[QUERY] * weight, kept]) for kept in KEPT[1:]]
    return task(retriever, max_words=100, **settings).rewards(["q00"] * 8, [QUERY, *texts])


@each_weight
@pytest.mark.parametrize("candidates", ["pool", "corpus"])
@pytest.mark.parametrize("retriever", [*LINEAR, "fusion:bm25+lsa", DENSE])
def test_worths_are_those_of_texts_written_by_hand(retriever, candidates, weight):
    expected = by_hand(retriever, weight, candidates=candidates)
    made = task(retriever, candidates=candidates, compose="append", query_weight=weight)
    assert worths(made).tobytes() == expected.tobytes()
    assert made.rewards(["q00"] * 8, KEPT).tobytes() == expected.tobytes()
    assert made.sent(["q00"], [TEXT]) == [" ".join([*[QUERY] * weight, TEXT])]
    assert len(set(expected.tolist())) > 3


@pytest.mark.parametrize("retriever", LINEAR)
def test_the_weight_of_the_query_matters(retriever):
    """The negative control of the test above: another number of copies gives other worths."""
    made = task(retriever, compose="append", query_weight=3)
    assert not np.array_equal(worths(made), by_hand(retriever, 1))
    assert not np.array_equal(worths(made), by_hand(retriever, 2))


def test_a_cross_encoder_reads_the_query_too(tmp_path):
    pytest.importorskip("sentence_transformers", reason="needs the extra ospo[dense]")
    retriever = make_retriever(f"rerank:{make_model(tmp_path)}?device=cpu", Corpus.of_texts(documents(), "digest"))
    made = task(retriever, compose="append")
    assert worths(made).tobytes() == by_hand(retriever, 1).tobytes()


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@SETTINGS
@given(cut=cut_texts(), prompt_id=st.sampled_from(IDS))
def test_sums_are_the_scores_of_the_texts(pair, cut, prompt_id):
    text, spans = cut
    linear, by_text = PAIRS[pair]
    assert worths(linear, text, spans, prompt_id).tobytes() == worths(by_text, text, spans, prompt_id).tobytes()


BY_TEXT = [by_text for (name, _), (_, by_text) in PAIRS.items() if name == "bm25"]  # the way is the same for all


@pytest.mark.parametrize("made", [*(linear for linear, _ in PAIRS.values()), *BY_TEXT], ids=lambda made: made.compose)
@SETTINGS
@given(cut=cut_texts(), prompt_id=st.sampled_from(IDS))
def test_the_ends_of_the_game(made, cut, prompt_id):
    text, spans = cut
    both = np.array([[False] * len(spans), [True] * len(spans)], dtype=bool)
    empty, grand = worths(made, text, spans, prompt_id, both)
    raw = replacing(made.retriever)
    assert empty == (raw.rewards([prompt_id], [raw.query(prompt_id).query])[0] if made.compose == "append" else 0.0)
    assert grand.tobytes() == made.rewards([prompt_id], [text])[0].tobytes()


@each_weight
@pytest.mark.parametrize("retriever", [*LINEAR, "fusion:bm25+lsa", DENSE])
@pytest.mark.parametrize("text", ["", " \n", "\u3000"])
def test_a_blank_rewrite_earns_what_the_raw_query_earns(retriever, weight, text):
    raw = task(retriever)
    expected = raw.outcomes(["q00"], [raw.query("q00").query])
    made = task(retriever, compose="append", query_weight=weight)
    assert made.outcomes(["q00"], [text]) == expected
    assert expected[0].reward > 0
    assert made.sent(["q00"], [text]) == [QUERY]


@pytest.mark.parametrize("retriever", LINEAR)
@pytest.mark.parametrize("text", ["zzz qqq", "...!?", "🎉", "\ud83d", "x" * 20_000])
def test_a_rewrite_without_a_known_token_earns_what_the_raw_query_earns(retriever, text):
    made = task(retriever, compose="append", query_weight=2)
    assert made.outcomes(["q00"], [text])[0].reward == made.outcomes(["q00"], [""])[0].reward > 0
    assert made.rankings(["q00"], [text]) == made.rankings(["q00"], [""])


class Lengths(Wrapped):
    """Neither linear nor blind to unknown tokens: one more token of any kind turns the ranking round."""

    def __init__(self):
        super().__init__(RETRIEVERS["bm25"], linear=False)

    def score_pools(self, texts, pools):
        turn = np.array([[(-1.0) ** len(text.split())] for text in texts])
        scores = super().score_pools(texts, pools)
        return np.where(scores > -np.inf, scores * turn, scores)


class TellsLengths(Lengths):
    def has_known_tokens(self, texts):
        return np.array(["zzz" not in text for text in texts], dtype=bool)


def test_what_a_retriever_does_not_know_is_not_sent():
    """Also as a coalition, and told by the retriever alone; without a word from it, only blank texts are left out."""
    made, other = (task(retriever, compose="append") for retriever in (TellsLengths(), Lengths()))
    assert made.sent(["q00"] * 3, ["zzz", "red", " "]) == [QUERY, f"{QUERY} red", QUERY]
    assert other.sent(["q00"] * 3, ["zzz", "red", " "]) == [f"{QUERY} zzz", f"{QUERY} red", QUERY]
    spans = [(0, 3), (3, 7)]
    found = worths(made, "red zzz", spans)
    np.testing.assert_array_equal(found, [made.rewards(["q00"], [kept])[0] for kept in ("", "red", "", "red zzz")])
    assert found[0] == found[2]
    assert worths(other, "red zzz", spans)[2] != found[2]  # negative control


@needs_minilm
def test_an_encoder_tells_what_it_does_not_know():
    made = task(f"dense:{DIRECTORY}", compose="append")
    assert made.sent(["q00"] * 2, ["\U000e0001", "red"]) == [QUERY, f"{QUERY} red"]
    fused = task(f"fusion:bm25+dense%3A{DIRECTORY}", compose="append")
    assert fused.sent(["q00"] * 2, ["\U000e0001", "red"]) == [QUERY, f"{QUERY} red"]


def test_known_tokens_of_lexical_retrievers():
    for name in LINEAR:
        assert RETRIEVERS[name].has_known_tokens(["red zzz", "qqq", ""]).tolist() == [True, False, False]
    assert task("fusion:bm25+lsa").retriever.has_known_tokens(["red zzz", "qqq"]).tolist() == [True, False]


class TellsNonsense(Lengths):
    def has_known_tokens(self, texts):
        return [0.5] * len(texts)


def test_a_retriever_that_tells_nonsense_is_a_failure():
    with pytest.raises(RetrieverError, match=r"expected bools of shape \(1,\) from has_known_tokens; got float64"):
        task(TellsNonsense(), compose="append").rewards(["q00"], ["red"])


@pytest.mark.parametrize("retriever", LINEAR)
def test_coalitions_behind_a_query_cost_their_segments_and_the_query(retriever):
    counting = Wrapped(RETRIEVERS[retriever])
    made = task(counting, compose="append", query_weight=5)
    worths(made)
    (batch,) = counting.batches
    assert sorted(batch) == sorted([f"{f'{QUERY} ' * 5}{TEXT}", QUERY, "red,", "linen", " wool coat"])


@pytest.mark.parametrize("retriever", LINEAR)
@pytest.mark.parametrize("linear", [True, False])
def test_the_cap_is_on_the_rewrite(retriever, linear):
    """The query of two words is whole under a cap of one, and what lies beyond the cap is a null player."""
    made = task(Wrapped(RETRIEVERS[retriever], linear=linear), compose="append", max_words=1)
    assert made.sent(["q00"], ["red linen coat"]) == [f"{QUERY} red"]
    assert made.words_beyond_cap(["q00"] * 2, ["red linen coat", ""]) == [2, 0]
    spans = [(0, 3), (3, 9), (9, 14)]
    found = worths(made, "red linen coat", spans)
    np.testing.assert_array_equal(found, np.tile(made.rewards(["q00"] * 2, ["", "red"]), 4))
    assert found[0] != found[1]


def test_a_rewrite_that_repeats_the_query_has_no_larger_cap():
    made = task(compose="append", max_words=1)
    assert made.sent(["q00"], [f"{QUERY} red"]) == [f"{QUERY} coat"]
    assert made.words_beyond_cap(["q00"], [f"{QUERY} red"]) == [2]


@pytest.mark.parametrize("solution", ["shapley", "owen", "myerson", "prefix_potential", "sampled_shapley"])
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_efficient_credit_sums_to_the_gain_over_the_raw_query(mode, solution):
    made = task(**mode)
    texts = ["red wool coat, linen", "blue shoe, red coat", "black leather, red coat coat", "zzz"]
    raw = task().rewards(["q00"], [QUERY])[0]
    assert raw > 0
    for credited in assign_credit(made, ["q00"] * 4, texts, segmenter="words", solution=make_solution(solution)):
        gain = credited.worth - (raw if mode.get("compose") == "append" else 0.0)
        assert abs(credited.credit.sum() - gain) < 1e-12
        # negative control: it is not what replacing, or appending, would make it
        assert abs(credited.credit.sum() - (credited.worth - raw if gain == credited.worth else credited.worth)) > 0.1


@pytest.mark.parametrize("solution", ["contiguous", "leave_one_out"])
def test_credit_that_is_not_efficient_does_not(solution):
    text = "black wool shoe, red coat, linen"
    (credited,) = assign_credit(task(compose="append"), ["q00"], [text], segmenter="words", solution=solution)
    assert abs(credited.credit.sum() - (credited.worth - task().rewards(["q00"], [QUERY])[0])) > 0.01


def test_the_environment_passes_it_on():
    arguments = {"compose": "append", "query_weight": 3, "repeats": "once"}
    env = gym.make("OSPO-ESCI-v0", **arguments)
    assert json.loads(env.spec.to_json())["kwargs"].items() >= arguments.items()
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    plain = gym.make("OSPO-ESCI-v0", max_words=100)
    for seed in range(5):
        prompt, info = env.reset(seed=seed)
        assert plain.reset(seed=seed) == (prompt, info) == again.reset(seed=seed)  # an observation is what it was
        query = " ".join(dict.fromkeys(info["query"].split()))
        steps = [
            env.step("slide sandal"),
            again.step("slide sandal"),
            plain.step(f"{query} {query} {query} slide sandal"),
        ]
        assert steps[0] == steps[1] == steps[2]
    made = env.unwrapped.task
    assert (made.compose, made.query_weight, made.repeats) == ("append", 3, "once")


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_vector_equals_single_environments(mode):
    vector = gym.make_vec("OSPO-HM-v0", num_envs=4, vectorization_mode="vector_entry_point", **mode)
    single = gym.make_vec(
        "OSPO-HM-v0",
        num_envs=4,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP},
        **mode,
    )
    assert data_equivalence(trajectory(vector, 5), trajectory(single, 5), exact=True)


def test_defaults_are_what_they_were():
    for made in (task(), task(compose="replace", query_weight=1, repeats="count")):
        assert (made.compose, made.query_weight, made.repeats) == ("replace", 1, "count")
        assert made.sent(["q00"], ["red red coat"]) == ["red red coat"]
        assert made.raw_rewrites(["q00"]) == [QUERY]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"compose": "apend"}, "unknown compose 'apend'; did you mean 'append'"),
        ({"compose": None}, "unknown compose"),
        ({"repeats": "twice"}, "unknown repeats 'twice'"),
        ({"query_weight": 3}, "query_weight 3 .* compose='replace' sends no query; use compose='append'"),
        ({"compose": "append", "query_weight": 0}, "query_weight as an integer in 1 .. 100; got 0"),
        ({"compose": "append", "query_weight": 101}, "query_weight as an integer"),
        ({"compose": "append", "query_weight": True}, "query_weight as an integer"),
        ({"compose": "append", "query_weight": 1.5}, "query_weight as an integer"),
    ],
)
def test_wrong_modes(arguments, message):
    with pytest.raises(TaskError, match=message) as error:
        RewriteEnv(data=shop(), **arguments)
    assert "\n" not in str(error.value)


def write(name, made, *prompt_ids):
    return make_reference_policy(name, made)(prompt_ids, [""] * len(prompt_ids))


@each_weight
def test_reference_policies_behind_the_query(weight):
    made, plain = task(compose="append", query_weight=weight), task()
    raw = plain.rewards(IDS, write("query", plain, *IDS))
    assert write("query", made, *IDS) == [""] * len(IDS)
    np.testing.assert_array_equal(made.rewards(IDS, write("query", made, *IDS)), raw)
    oracle = made.rewards(IDS, write("oracle", made, *IDS))
    assert (oracle >= raw).all()
    assert oracle.mean() > raw.mean() + 0.1
    assert write("random", made, *IDS) == write("random", plain, *IDS)
    for text, replacing, query_id in zip(
        write("prf", made, *IDS), write("prf", task(max_words=99), *IDS), IDS, strict=True
    ):
        query = plain.query(query_id).query.split()
        words = [word for word in replacing.split() if word not in query]
        assert text.split() == words[: len(query) * weight]  # half of the words are the query's
    assert write("prf", task(compose="append", max_words=2, query_weight=9), "q00") == ["blue cotton"]


def test_the_oracle_adds_nothing_where_nothing_helps():
    """In front of a query that is right as it is, it leaves the rewrite empty."""
    made = task(compose="append", query_weight=100, metric="RR@1")
    raw = made.rewards(IDS, [""] * len(IDS))
    best = write("oracle", made, *IDS)
    assert [text for text, worth in zip(best, raw, strict=True) if worth == 1.0] == [""] * int(raw.sum())
    assert raw.sum() > 0


def test_prf_sends_the_query_once_where_words_count_once():
    assert write("prf", task(repeats="once", max_words=6), "q00") == [f"{QUERY} blue cotton leather wool"]
    assert write("prf", task(max_words=6), "q00") == [f"{QUERY} {QUERY} blue cotton"]


def test_gains_and_choices_behind_the_query():
    env = GainReward(gym.make("OSPO-ESCI-v0", compose="append", query_weight=2))
    env.reset(seed=3)
    assert env.step("")[1] == 0.0
    keywords = KeywordActions(gym.make("OSPO-ESCI-v0", compose="append"), ["red", "wool"], most=2)
    _, info = keywords.reset(seed=3)
    assert keywords.step(np.array([1, 2]))[4]["rewrite"] == "red, wool"
    templates = TemplateActions(gym.make("OSPO-ESCI-v0", compose="append"), 2)
    assert templates.choice.templates[0] == ""
    templates.reset(seed=3)
    assert templates.step(0)[1] == GainReward(gym.make("OSPO-ESCI-v0"))._task.rewards(
        [info["query_id"]], [info["query"]]
    )
    assert "{query}" not in "".join(templates.choice.templates)
    for made in (keywords, templates):
        assert gym.make(made.spec).action_space == made.action_space
    replacing = KeywordActions(gym.make("OSPO-ESCI-v0"), ["red", "wool"], most=2)
    _, info = replacing.reset(seed=3)
    assert replacing.step(np.array([1, 2]))[4]["rewrite"] == f"{info['query']}, red, wool"


def test_a_retriever_that_is_linear_by_pieces_stays_exact():
    made = make_retriever(wrong_retrievers.RightAndLinear, Corpus.of_texts(documents(), "digest"))
    for mode in MODES:
        linear, by_text = task(made, **mode), task(Wrapped(made, linear=False), **mode)
        assert worths(linear).tobytes() == worths(by_text).tobytes()
