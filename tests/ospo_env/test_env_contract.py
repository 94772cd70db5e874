"""Gymnasium's contract, kept without a warning by every registered id."""

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

from ospo_env import RewriteEnv, TaskError
from ospo_env.registration import ENVIRONMENTS
from shop import shop

ENV_IDS = sorted(registration.env_id for registration in ENVIRONMENTS)
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


def warnings_of(env: gym.Env, check) -> list[str]:
    """All that Gymnasium and Python had to say while an environment was checked."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(env)
    return [str(warning.message) for warning in caught]


def test_the_ids_are_registered():
    assert {"OSPO-ESCI-v0", "OSPO-HM-v0", "OSPO-Rewrite-v0"} == set(ENV_IDS)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_check_env_has_nothing_to_say(make_env, env_id):
    with make_env(env_id) as env:
        assert warnings_of(env.unwrapped, check_env) == []


class SharesInfo(RewriteEnv):
    """Breaks the contract: one info object for all calls."""

    _shared: dict = {}  # noqa: RUF012

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=options)[0], self._shared


class OwnSeed(RewriteEnv):
    """Breaks the contract: always the same episode unless told otherwise."""

    def reset(self, *, seed=7, options=None):
        return super().reset(seed=seed, options=options)


def test_check_env_would_have_something_to_say():
    """The negative control: the same check on wrong environments, and on one without a spec."""
    with pytest.raises(AssertionError, match="share an object"):
        warnings_of(SharesInfo(data=shop()), check_env)
    assert any("default seed" in message for message in warnings_of(OwnSeed(data=shop()), check_env))
    assert any("not having a spec" in message for message in warnings_of(RewriteEnv(data=shop()), check_env))


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_the_default_wrappers_have_nothing_to_say(make_env, env_id):
    def run(env):
        for seed in range(3):
            env.reset(seed=seed)
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert type(reward) is float
            assert 0.0 <= reward <= 1.0
            assert (terminated, truncated) == (True, False)
            assert isinstance(env.render(), str)

    with make_env(env_id, render_mode="ansi") as env:
        assert "PassiveEnvChecker" in str(env)
        assert "TimeLimit" not in str(env)
        assert warnings_of(env, run) == []


@pytest.mark.parametrize("env_id", ENV_IDS)
@pytest.mark.parametrize("action", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_actions_earn_a_reward_and_no_crash(make_env, env_id, action):
    with make_env(env_id, render_mode="ansi") as env:
        env.reset(seed=1)
        _, reward, terminated, _, info = env.step(action)
        assert np.isfinite(reward)
        assert 0.0 <= reward <= 1.0
        assert terminated
        words = 3 * 1100 if action == HOSTILE["20 kB"] else 0  # the others are shorter than any cap
        assert info["words_beyond_cap"] == max(0, words - env.unwrapped.task.max_words)
        env.render().encode()
        if action == "" or action.isspace() or "..." in action:
            assert (reward, info["ranking"]) == (0.0, ())


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_rewrite_of_the_right_words_earns_more_than_nothing(make_env, env_id):
    """The negative control of hostile actions: rewards are not all 0."""
    with make_env(env_id) as env:
        task = env.unwrapped.task
        ids, _ = task.prompts("train")
        examples = dict(task.demonstrations())
        query_id = next(query_id for query_id in ids if query_id in examples)
        env.reset(options={"query_id": query_id})
        assert env.step(examples[query_id])[1] > 0.0


@pytest.mark.parametrize("env_id", ENV_IDS)
@pytest.mark.parametrize("action", [None, 3, b"red", ["red"], np.array("red"), float("nan")], ids=repr)
def test_an_action_that_is_no_text_is_a_type_error(make_env, env_id, action):
    with make_env(env_id) as env:
        env.reset(seed=1)
        with pytest.raises(TypeError, match="expected the action to be a str") as error:
            env.step(action)
        assert "\n" not in str(error.value)
        env.step("the episode is still open")


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_an_action_beyond_the_action_space_is_refused(make_env, env_id):
    with make_env(env_id) as env:
        longest = env.action_space.max_length
        env.reset(seed=1)
        with pytest.raises(TaskError, match=r"at most 100,000 characters long.*; got 100,001") as error:
            env.step("x" * (longest + 1))
        assert "\n" not in str(error.value)
        env.step("a\u0301\u0316" * (longest // 3))  # the episode is still open, and the longest actions are quick


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_spec_makes_the_same_environment_again(make_env, env_id):
    with make_env(env_id, split="test", metric="RR") as env:
        spec = gym.envs.registration.EnvSpec.from_json(env.spec.to_json())
        assert pickle.loads(pickle.dumps(gym.spec(env_id))) == gym.spec(env_id)
        json.dumps(gym.spec(env_id).kwargs)
        assert isinstance(gym.spec(env_id).entry_point, str)
        assert isinstance(gym.spec(env_id).vector_entry_point, str)
        assert gym.spec(env_id).max_episode_steps is None
        first = env.reset(seed=3), env.step("red shoe")
        for again in (gym.make(env.spec), gym.make(spec)):
            assert data_equivalence((again.reset(seed=3), again.step("red shoe")), first, exact=True)
            assert not data_equivalence(again.reset(seed=6), first[0])
            again.close()


@pytest.mark.parametrize("argument", [{"metric": None}, {"retriever": "json:dumps"}])
def test_gymnasium_adds_nothing_to_a_wrong_argument(argument):
    """It appends its own words to a ``TypeError``, of an argument or of a retriever's factory."""
    with pytest.raises(TaskError) as error:
        gym.make(ENV_IDS[0], **argument)
    assert "creator" not in str(error.value)
    with pytest.raises(TypeError, match="raised from the environment creator"):
        gym.make(ENV_IDS[0], metrik="RR")


def test_an_id_is_reachable_in_a_fresh_interpreter():
    program = "import gymnasium; print(gymnasium.make('ospo_env:OSPO-ESCI-v0').reset(seed=0)[1]['query_id'])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == gym.make("OSPO-ESCI-v0").reset(seed=0)[1]["query_id"]
    assert done.stderr == ""


def test_order_of_calls_under_gymnasiums_wrapper():
    with gym.make(ENV_IDS[0]) as env, pytest.raises(ResetNeeded, match=r"before calling env\.reset"):
        env.step("red")
