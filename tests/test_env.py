"""The environment: Gymnasium's contract without a warning, one step an episode, and clear words for bad input."""

import json
import pickle
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from shop import shop, write_shop

import ospo_env.registration
from envs_data import DataError, load_prepared, write_prepared
from ospo_env import RewriteEnv, TaskError
from ospo_env.rendering import RankedDocument, render_episode

ENV_IDS = sorted(env_id for env_id in gym.registry if env_id.startswith("OSPO-"))
HOSTILE = {
    "empty": "",
    "blank": " \t\n ",
    "punctuation": "... !!! ??? --- ,;:",
    "unknown": "qzxv wvvkj zzyzx",
    "20 kB": "warm black jacket, " * 1100,
    "one 20 kB word": "x" * 20_000,
    "emoji": "👟👕 🧥❤️‍🔥",
    "lone surrogates": "red \ud83d shoe \udc00",
    "control": "red\x00shoe\u202e\ufeff",
    "other scripts": "赤い靴 обувь أحذية รองเท้า",
}


@pytest.fixture
def env():
    made = RewriteEnv(data=shop(), max_words=4, render_mode="ansi")
    yield made
    made.close()


def warnings_of(env: gym.Env, check) -> list[str]:
    """All that Gymnasium and Python had to say while an environment was checked."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(env)
    return [str(warning.message) for warning in caught]


# Gymnasium's contract, for every registered id


def test_the_ids_are_registered():
    assert {"OSPO-ESCI-v0", "OSPO-HM-v0"} <= set(ENV_IDS)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_check_env_has_nothing_to_say(env_id):
    with gym.make(env_id) as env:
        assert warnings_of(env.unwrapped, check_env) == []


class SharesInfo(RewriteEnv):
    """Breaks the contract where only a warning tells: one info for all calls, and a seed by default."""

    def __init__(self, **arguments):
        self._shared = {}
        super().__init__(**arguments)

    def reset(self, *, seed=7, options=None):
        return super().reset(seed=seed, options=options)[0], self._shared


def test_check_env_would_have_something_to_say():
    """The negative control: the same check, on a wrong environment and on one without a spec."""
    with pytest.raises(AssertionError):
        warnings_of(SharesInfo(data=shop()), check_env)
    assert any("not having a spec" in message for message in warnings_of(RewriteEnv(data=shop()), check_env))


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_the_default_wrappers_have_nothing_to_say(env_id):
    def run(env):
        for seed in range(3):
            env.reset(seed=seed)
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert type(reward) is float
            assert 0.0 <= reward <= 1.0
            assert (terminated, truncated) == (True, False)
            assert isinstance(env.render(), str)

    with gym.make(env_id, render_mode="ansi") as env:
        assert "PassiveEnvChecker" in str(env)
        assert "TimeLimit" not in str(env)
        assert warnings_of(env, run) == []


@pytest.mark.parametrize("env_id", ENV_IDS)
@pytest.mark.parametrize("action", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_actions_earn_a_reward_and_no_crash(env_id, action):
    with gym.make(env_id, render_mode="ansi") as env:
        env.reset(seed=1)
        _, reward, terminated, _, info = env.step(action)
        assert np.isfinite(reward)
        assert 0.0 <= reward <= 1.0
        assert terminated
        assert info["words_beyond_cap"] >= 0
        env.render().encode()
        if action == "" or action.isspace() or "..." in action:
            assert (reward, info["ranking"]) == (0.0, ())


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_rewrite_of_the_right_words_earns_more_than_nothing(env_id):
    """The negative control of hostile actions: rewards are not all 0."""
    with gym.make(env_id) as env:
        task = env.unwrapped.task
        ids, _ = task.prompts("train")
        examples = dict(task.demonstrations())
        query_id = next(query_id for query_id in ids if query_id in examples)
        env.reset(options={"query_id": query_id})
        assert env.step(examples[query_id])[1] > 0.0


@pytest.mark.parametrize("env_id", ENV_IDS)
@pytest.mark.parametrize("action", [None, 3, b"red", ["red"], np.array("red"), float("nan")], ids=repr)
def test_an_action_that_is_no_text_is_a_type_error(env_id, action):
    with gym.make(env_id) as env:
        env.reset(seed=1)
        with pytest.raises(TypeError, match="expected the action to be a str") as error:
            env.step(action)
        assert "\n" not in str(error.value)
        env.step("the episode is still open")


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_spec_makes_the_same_environment_again(env_id):
    with gym.make(env_id, split="test", metric="RR") as env:
        spec = gym.envs.registration.EnvSpec.from_json(env.spec.to_json())
        assert pickle.loads(pickle.dumps(gym.spec(env_id))) == gym.spec(env_id)
        json.dumps(gym.spec(env_id).kwargs)
        assert isinstance(gym.spec(env_id).entry_point, str)
        assert isinstance(gym.spec(env_id).vector_entry_point, str)
        assert gym.spec(env_id).max_episode_steps is None
        first = env.reset(seed=3), env.step("red shoe")
        for again in (gym.make(env.spec), gym.make(spec)):
            assert data_equivalence((again.reset(seed=3), again.step("red shoe")), first, exact=True)
            assert not data_equivalence(again.reset(seed=4), first[0])
            again.close()


def test_an_id_is_reachable_in_a_fresh_interpreter():
    program = "import gymnasium; print(gymnasium.make('ospo_env:OSPO-ESCI-v0').reset(seed=0)[1]['query_id'])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == gym.make("OSPO-ESCI-v0").reset(seed=0)[1]["query_id"]
    assert done.stderr == ""


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


def test_order_of_calls_under_gymnasiums_wrapper():
    with gym.make(ENV_IDS[0]) as env, pytest.raises(ResetNeeded, match=r"before calling env\.reset"):
        env.step("red")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query_idd": "q01"}, "unknown reset option 'query_idd'; did you mean 'query_id'"),
        ({"query_id": "q0l"}, "unknown prompt id 'q0l'.*did you mean 'q01'"),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "tset"}, "unknown split 'tset'; did you mean 'test'"),
        ({"retriever": "bm52"}, "unknown retriever 'bm52'; did you mean 'bm25'"),
        ({"metric": "ndcg@10"}, "unknown metric 'ndcg@10'; did you mean 'nDCG@10'"),
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


def test_a_split_without_queries_is_refused(tmp_path):
    data = write_shop(tmp_path / "shop")
    tables = {name: getattr(data, name) for name in ("documents", "queries", "pools", "qrels", "demonstrations")}
    kept = tables["queries"]["split"] != "test"
    tables |= {"queries": tables["queries"].filter(kept), "pools": tables["pools"].filter(kept)}
    less = rewritten(tmp_path / "less", tables)
    with pytest.raises(TaskError, match="no queries in split 'test'"):
        RewriteEnv(data=less, split="test")


# Data


def rewritten(out, tables, dataset="own"):
    return write_prepared(out, tables, dataset=dataset, synthetic=True, arguments={}, sources={}, counts={})


def shop_as(out, dataset):
    data = shop()
    names = ("documents", "queries", "pools", "qrels", "demonstrations")
    return rewritten(out, {name: getattr(data, name) for name in names}, dataset)


def test_data_of_another_id_is_refused(tmp_path):
    for dataset in ("hm", "sample-fashion"):
        shop_as(tmp_path / dataset, dataset)
        with pytest.raises(TaskError, match=f"OSPO-ESCI-v0 reads .*; got '{dataset}': use OSPO-HM-v0") as error:
            gym.make("OSPO-ESCI-v0", data=str(tmp_path / dataset))
        assert "\n" not in str(error.value)
    shop_as(tmp_path / "own", "own")
    with pytest.raises(TaskError, match=r"got 'own': make the environment with ospo_env.RewriteEnv\(data=...\)"):
        gym.make("OSPO-HM-v0", data=str(tmp_path / "own"))
    RewriteEnv(data=tmp_path / "own").reset(seed=0)
    with gym.make("OSPO-HM-v0", data=str(tmp_path / "hm")) as env:
        env.reset(seed=0)
        assert json.loads(env.spec.to_json())["kwargs"]["data"] == str(tmp_path / "hm")


def test_a_directory_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        gym.make("OSPO-ESCI-v0", data=str(tmp_path / "missing"))


def test_data_and_retriever_are_shared_and_read_anew_when_written_anew(tmp_path, monkeypatch):
    loads = []

    def counted(path):
        loads.append(path)
        return load_prepared(path)

    monkeypatch.setattr(ospo_env.registration, "load_prepared", counted)
    write_shop(tmp_path / "shop")
    envs = [RewriteEnv(data=str(tmp_path / "shop")) for _ in range(3)]
    assert len(loads) == 1
    assert all(env.task.data is envs[0].task.data for env in envs)
    assert all(env.task.retriever is envs[0].task.retriever for env in envs)
    data = envs[0].task.data
    tables = {name: getattr(data, name) for name in ("documents", "queries", "pools", "qrels", "demonstrations")}
    tables["demonstrations"] = tables["demonstrations"].head(1)
    rewritten(tmp_path / "shop", tables)
    assert len(RewriteEnv(data=str(tmp_path / "shop")).task.demonstrations()) == 1
    assert len(loads) == 2


def test_sharing_changes_no_result(tmp_path):
    """One environment after another, two in turns, and a data set of its own: the same episodes."""
    ospo_env.registration._shared_directory.cache_clear()
    write_shop(tmp_path / "shop")

    def episodes(env, seed):
        env.reset(seed=seed)
        return [(env.reset(), env.step("red shoe wool"), env.reset(), env.step("blue dress")) for _ in range(5)]

    first, second = (RewriteEnv(data=tmp_path / "shop") for _ in range(2))
    one = [episodes(first, 0), episodes(second, 1), episodes(first, 0)]
    ospo_env.registration._shared_directory.cache_clear()
    two = [episodes(RewriteEnv(data=load_prepared(tmp_path / "shop")), seed) for seed in (0, 1, 0)]
    assert data_equivalence(one, two, exact=True)
    assert not data_equivalence(one[0], one[1])


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
    assert set(marks.values()) >= {"*", " "}
    assert list(marks) == list(info["ranking"][:10])


def test_render_is_one_line_a_thing_and_printable():
    text = render_episode("a\nb", "c\x0b\ud83d", [RankedDocument("d\n1", "t" * 500, 0.1)], ranked=1, metric="RR")
    assert len(text.splitlines()) == 4
    assert max(map(len, text.splitlines())) < 100
    text.encode()


def test_no_render_mode_renders_nothing():
    env = RewriteEnv(data=shop())
    env.reset(seed=0)
    assert env.render() is None
