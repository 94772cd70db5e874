"""The environment: one step an episode, what it shows and draws, and clear words for bad input."""

import functools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from ospo_env import RewriteEnv, TaskError
from ospo_env.rendering import RankedDocument, render_episode
from shop import shop


@pytest.fixture
def env():
    made = RewriteEnv(data=shop(), max_words=4, render_mode="ansi")
    yield made
    made.close()


# Episodes


def test_an_episode(env):
    prompt, info = env.reset(seed=0)
    assert prompt in env.observation_space
    assert set(info) == {"query_id", "query", "synthetic"}
    ids, prompts = env.task.prompts("train")
    assert prompts[ids.index(info["query_id"])] == prompt
    assert info["query"] == env.task.query(info["query_id"]).query
    assert info["synthetic"] is True
    action = "red wool dress, red linen bag"
    final, reward, terminated, truncated, step_info = env.step(action)
    assert final == prompt
    assert (terminated, truncated) == (True, False)
    assert type(reward) is float
    assert reward == env.task.rewards([info["query_id"]], [action])[0]
    assert set(step_info) == {"query_id", "query", "synthetic", "ranking", "metrics", "words_beyond_cap"}
    assert step_info["query_id"] == info["query_id"]
    assert step_info["words_beyond_cap"] == 2
    assert step_info["ranking"] == env.task.rankings([info["query_id"]], [action])[0]
    assert step_info["metrics"]["nDCG@10"] == reward
    assert all(type(value) is float for value in step_info["metrics"].values())
    assert reward != env.task.rewards([info["query_id"]], ["blue"])[0]


@pytest.mark.parametrize("metric", ["nDCG@3", "RR", "AP", "R@5"])
def test_the_reward_is_the_metric_asked_for(metric):
    env = RewriteEnv(data=shop(), metric=metric)
    env.reset(options={"query_id": "q01"})
    _, reward, *_, info = env.step("red shoe")
    assert reward == env.task.rewards(["q01"], ["red shoe"])[0] == info["metrics"][metric] > 0


def test_info_is_fresh(env):
    _, info = env.reset(seed=0)
    info["query"] = "spoilt"
    *_, step_info = env.step("red")
    assert step_info["query"] != "spoilt"
    metrics = dict(step_info["metrics"])
    step_info["metrics"].clear()
    env.reset(seed=0)
    assert env.step("red")[-1]["metrics"] == metrics


def test_queries_are_drawn_from_the_split_by_the_seed_alone(env):
    ids, _ = env.task.prompts("train")

    def drawn(seed):
        env.reset(seed=seed)
        return [env.reset()[1]["query_id"] for _ in range(100)]

    first = drawn(5)
    env.action_space.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global generator must not matter
    assert drawn(5) == first
    assert drawn(6) != first
    assert set(first) == set(ids)


def test_a_pinned_query_draws_nothing(env):
    env.reset(seed=5)
    expected = [env.reset()[1]["query_id"] for _ in range(5)]
    env.reset(seed=5)
    found = []
    for _ in range(5):
        assert env.reset(options={"query_id": "q04"})[1]["query_id"] == "q04"
        found.append(env.reset()[1]["query_id"])
    assert found == expected
    assert env.reset(seed=5, options={})[1] == env.reset(seed=5, options={"query_id": None})[1]


def test_coalition_values_of_the_current_prompt(env):
    env.reset(options={"query_id": "q01"})
    text, spans = "red shoe wool", [(0, 4), (4, 9), (9, 13)]
    coalitions = np.array([[True, True, True], [False, False, False], [True, False, True], [True, True, False]])
    worths = env.coalition_values(text, spans, coalitions)
    texts = [text, "", "red wool", "red shoe "]
    np.testing.assert_array_equal(worths, env.task.rewards(["q01"] * 4, texts))
    assert len(set(worths.tolist())) > 2
    assert env.step(text)[1] == worths[0]
    np.testing.assert_array_equal(env.coalition_values(text, spans, coalitions), worths)  # after the step too
    env.reset(options={"query_id": "q04"})
    assert env.coalition_values(text, spans, coalitions)[0] != worths[0]


# Bad input


def test_order_of_calls(env):
    for call in (lambda: env.step("red"), env.render, lambda: env.coalition_values("", [], np.zeros((1, 0), bool))):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
            call()
    env.reset(seed=0)
    env.step("red")
    with pytest.raises(ResetNeeded, match="the episode ended"):
        env.step("red")
    env.reset()
    env.step("red")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query_idd": "q01"}, "unknown reset option 'query_idd'; did you mean 'query_id'"),
        ({"query_id": "q001"}, "unknown prompt id 'q001'.*did you mean 'q01'"),
        ({"query_id": "q03"}, "is of split 'test', this environment draws from 'train'; make it with split='test'"),
        ({"query_id": 3}, "expected query_id to be a str, got int 3"),
        ({"query_id": ["q01"]}, "expected query_id to be a str, got list"),
    ],
)
def test_a_wrong_option_changes_nothing(env, options, message):
    _, info = env.reset(seed=0)
    with pytest.raises(TaskError, match=message) as error:
        env.reset(seed=9, options=options)
    assert "\n" not in str(error.value)
    assert env.step("red")[-1]["query_id"] == info["query_id"]
    following = env.reset()[1]
    env.reset(seed=0)
    assert env.reset()[1] == following


class Says:
    """An object that describes itself in its own way."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text or str(1 / 0)


NESTED = [0] * 9
for _ in range(8):
    NESTED = [NESTED] * 9


@pytest.mark.parametrize(
    "given",
    [np.zeros((40, 40)), NESTED, Says("a\nb\x1b\ud83d" * 10_000), Says(""), b"red" * 10_000, range(3)],
    ids=["array", "nested", "long", "broken", "bytes", "range"],
)
def test_whatever_comes_is_named_on_one_short_line(env, given):
    env.reset(seed=0)
    for call, kind in (
        (lambda: env.step(given), TypeError),
        (lambda: env.reset(options={"query_id": given}), TaskError),
    ):
        with pytest.raises(kind, match=f"to be a str.* got {type(given).__name__} ") as error:
            call()
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"retriver": "bm25"}, "unknown argument of an environment 'retriver'; did you mean 'retriever'"),
        ({"Max_Words": 3}, "unknown argument of an environment 'Max_Words'; did you mean 'max_words'"),
        ({"split": "tset"}, "unknown split 'tset'; did you mean 'test'"),
        ({"retriever": "bm52"}, "unknown retriever 'bm52'; did you mean 'bm25'"),
        ({"metric": "ndcg@10"}, "unknown metric 'ndcg@10'; did you mean 'nDCG@10'"),
        ({"metric": "NDCG@10"}, "unknown metric 'NDCG@10'; did you mean 'nDCG@10'"),
        ({"metric": None}, "expected a metric's name such as 'nDCG@10'; got NoneType"),
        ({"retriever": "BM25"}, "unknown retriever 'BM25'; did you mean 'bm25'"),
        ({"retriever": "json:dumps"}, "cannot make a retriever with 'json:dumps'"),
        ({"max_words": 0}, "expected max_words"),
        ({"render_mode": "rgb_array"}, "unknown render mode 'rgb_array'"),
        ({"sample": "shoping"}, "unknown sample 'shoping'; did you mean 'shopping'"),
        ({"data": None}, "got neither"),
        ({"data": 7}, "expected data to be a prepared directory or PreparedData, got int"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments, message):
    with pytest.raises(TaskError, match=message) as error:
        RewriteEnv(**{"data": shop(), **arguments})
    assert "\n" not in str(error.value)


def test_a_misspelt_argument_is_refused():
    with pytest.raises(TypeError, match="metrik"):
        RewriteEnv(data=shop(), metrik="RR")
    for make in (gym.make, functools.partial(gym.make_vec, num_envs=2)):
        with pytest.raises(TaskError, match="unknown argument of an environment 'retriver'; did you mean 'retriever'"):
            make("OSPO-ESCI-v0", retriver="bm25")


# Rendering


def test_render(env):
    env.reset(options={"query_id": "q00"})
    assert env.render() == "prompt   coat please | red wool bag; linen dress"
    _, reward, *_, info = env.step("red coat, and two beyond it")
    lines = env.render().splitlines()
    assert lines[1] == "rewrite  red coat, and two beyond it  (2 words beyond the cap)"
    assert lines[2] == f"nDCG@10  {reward:.4f}  ({len(info['ranking'])} documents ranked)"
    assert len(lines) == 3 + min(10, len(info["ranking"]))
    marks = {line.split("[")[1].rstrip("]"): line[4] for line in lines[3:]}
    gains = dict(shop().qrels.filter(query_id="q00").select("doc_row", "gain").iter_rows())
    rows = {doc_id: row for row, doc_id in enumerate(shop().documents["doc_id"])}
    expected = {doc_id: " +*"[(gains.get(rows[doc_id], 0) > 0) + (gains.get(rows[doc_id], 0) >= 1)] for doc_id in marks}
    assert marks == expected
    assert set(marks.values()) == {"*", "+"}
    assert list(marks) == list(info["ranking"][:10])


def test_render_is_one_line_a_thing_and_printable():
    text = render_episode("a\nb", "c\x0b\ud83d", [RankedDocument("d\n1", "t" * 500, 0.1)], ranked=1, metric="RR")
    assert len(text.splitlines()) == 4
    assert max(map(len, text.splitlines())) < 100
    text.encode()


def test_render_obeys_no_command_of_the_data():
    text = render_episode("a\x1b[2J\u202eb", "c\x9b1m\x07", [RankedDocument("d\x00", "t\x1b]0;x\x07", 0.0)], ranked=1)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert not "a\x1b[2J".isprintable()  # what the check above would find


def test_render_of_the_corpus():
    """Documents outside the query's pool have titles too."""
    env = RewriteEnv(data=shop(), candidates="corpus", render_mode="ansi")
    env.reset(options={"query_id": "q00"})
    *_, info = env.step("blue linen")
    lines = env.render().splitlines()[3:]
    titles = dict(shop().documents.frame.select("doc_id", "title").iter_rows())
    assert [line[6:] for line in lines] == [f"{titles[doc_id].strip()} [{doc_id}]" for doc_id in info["ranking"][:10]]
    pool = shop().pools.filter(query_id="q00")["doc_rows"].item()
    assert not set(info["ranking"][:10]) <= set(shop().documents["doc_id"].gather(pool))


def test_no_render_mode_renders_nothing():
    env = RewriteEnv(data=shop())
    env.reset(seed=0)
    assert env.render() is None


def test_render_describes_documents_beyond_the_pool():
    made = RewriteEnv(data=shop(), candidates="corpus", render_mode="ansi")
    made.reset(options={"query_id": "q00"})
    info = made.step("red blue black linen wool")[-1]
    (row,) = (row for query_id, row in shop().pools.iter_rows() if query_id == "q00")
    pooled = set(shop().documents["doc_id"].gather(row))
    shown = info["ranking"][:10]
    assert not set(shown) <= pooled, "the case is one of documents that the pool lacks"
    assert all(doc_id in made.render() for doc_id in shown)
