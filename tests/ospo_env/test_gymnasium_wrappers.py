"""Gymnasium's own wrappers and vectorisations around every registered environment."""

import functools
import multiprocessing
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as vector_wrappers

from ospo_env import TaskError
from ospo_env.registration import ENVIRONMENTS, SEARCH_ID
from ospo_env.wrappers import GainReward, KeywordActions, VectorObservation

ENV_IDS = [registration.env_id for registration in ENVIRONMENTS]
EXHAUSTIVE = pytest.mark.exhaustive
TEXTS = ["", "red wool", "slim jacket, dark blue", "slide sandal, womens"]
SAME_STEP = AutoresetMode.SAME_STEP


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def episodes(env, texts=TEXTS * 4, seed=0):
    """What a caller sees of one episode a text, with time taken out."""
    env.reset(seed=seed)
    seen = []
    for text in texts:
        seen.append((*env.reset(), *env.step(text)))
        seen[-1][-1].get("episode", {}).pop("t", None)
    return seen


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_the_registry_says_the_same(env_id):
    assert gym.spec(env_id).kwargs["sample"] in {registration.sample for registration in ENVIRONMENTS}
    assert {env_id for env_id in gym.registry if env_id.startswith("OSPO-")} == {*ENV_IDS, SEARCH_ID}


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_recorded_statistics_are_the_rewards(make_env, env_id):
    env = wrappers.RecordEpisodeStatistics(make_env(env_id))
    seen, plain = episodes(env), episodes(make_env(env_id))
    for (*found, info), (*expected, other) in zip(seen, plain, strict=True):
        assert info.pop("episode") == {"r": pytest.approx(found[3], abs=1e-6), "l": 1}
        assert data_equivalence((*found, info), (*expected, other), exact=True)
    assert list(env.length_queue) == [1] * 4 * len(TEXTS)
    assert any(env.return_queue)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_time_limit_of_more_than_one_step_changes_nothing(make_env, env_id):
    limited = wrappers.TimeLimit(make_env(env_id), max_episode_steps=2)
    assert data_equivalence(episodes(limited), episodes(make_env(env_id)), exact=True)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_time_limit_of_one_step_would_truncate(make_env, env_id):
    """The negative control, and why no id is registered with ``max_episode_steps=1``."""
    limited = wrappers.TimeLimit(make_env(env_id), max_episode_steps=1)
    assert all(truncated for *_, truncated, _ in episodes(limited))
    assert not any(truncated for *_, truncated, _ in episodes(make_env(env_id)))


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_rewards_are_transformed_and_normalised(make_env, env_id):
    rewards = [one[3] for one in episodes(make_env(env_id))]
    doubled = wrappers.TransformReward(make_env(env_id), lambda reward: 2 * reward - 1)
    assert [one[3] for one in episodes(doubled)] == [2 * reward - 1 for reward in rewards]
    normalised = wrappers.NormalizeReward(make_env(env_id), gamma=0.0)
    found = [episodes(normalised, seed=seed) for seed in range(8)]
    raw = [episodes(make_env(env_id), seed=seed) for seed in range(8)]
    for seen, plain in zip(found[-1], raw[-1], strict=True):
        assert data_equivalence((*seen[:3], *seen[4:]), (*plain[:3], *plain[4:]), exact=True)
        assert (seen[3] > plain[3]) == (plain[3] > 0), "rewards vary by less than one, so that their unit grows"
    spread = np.std([one[3] for run in raw for one in run])
    assert 0 < spread < 1
    np.testing.assert_allclose(normalised.return_rms.var**0.5, spread, rtol=0.2)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_the_order_of_calls_and_the_checker(make_env, env_id):
    chain = wrappers.OrderEnforcing(wrappers.PassiveEnvChecker(make_env(env_id, disable_env_checker=True).unwrapped))
    with pytest.raises(ResetNeeded):
        chain.step("red")
    assert data_equivalence(episodes(chain), episodes(make_env(env_id)), exact=True)
    with pytest.raises(ResetNeeded):
        chain.step("a second step")


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_texts_are_transformed(make_env, env_id):
    """Wrappers of observation and action take text as they take anything else."""
    space = make_env(env_id).observation_space
    shown = wrappers.TransformObservation(make_env(env_id), str.upper, space)
    told = wrappers.TransformAction(make_env(env_id), str.lower, space)
    plain = make_env(env_id)
    assert shown.reset(seed=0)[0] == plain.reset(seed=0)[0].upper()
    told.reset(seed=0)
    assert told.step("RED WOOL")[1] == plain.step("red wool")[1]


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_statistics_of_the_native_vector_environment(make_env, env_id):
    envs = vector_wrappers.RecordEpisodeStatistics(make_env(env_id, gym.make_vec, num_envs=3))
    envs.reset(seed=0)
    for step in range(3):
        _, rewards, terminations, _, infos = envs.step([f"{text} {step}" for text in TEXTS[1:]])
        assert terminations.all()
        np.testing.assert_allclose(infos["episode"]["r"], rewards)
    assert len(envs.return_queue) == 9
    assert set(envs.length_queue) == {1}


def _make(env_id, **arguments):
    return gym.make(env_id, disable_env_checker=True, **arguments)


def vector_steps(envs, seed=5):
    seen = [envs.reset(seed=seed)]
    return seen + [envs.step(tuple(TEXTS[(step + index) % 4] for index in range(envs.num_envs))) for step in range(3)]


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_vector_environments_equal_single_ones(env_arguments, env_id):
    made = [functools.partial(_make, env_id, **env_arguments[env_id])] * 2
    sync = vector_steps(SyncVectorEnv(made, autoreset_mode=SAME_STEP))
    envs = AsyncVectorEnv(made, shared_memory=False, context="spawn", autoreset_mode=SAME_STEP)
    try:
        found = vector_steps(envs)
    finally:
        envs.close()
    assert data_equivalence(found, sync, exact=True)
    for index in range(2):
        env = _make(env_id, **env_arguments[env_id])
        observation, _ = env.reset(seed=5 + index)
        assert sync[0][0][index] == observation
        for step, (observations, rewards, terminations, truncations, infos) in enumerate(sync[1:]):
            final, reward, terminated, truncated, info = env.step(TEXTS[(step + index) % 4])
            assert (rewards[index], terminations[index], truncations[index]) == (reward, terminated, truncated)
            assert (infos["final_obs"][index], infos["final_info"]["ranking"][index]) == (final, info["ranking"])
            assert observations[index] == env.reset()[0]
    assert not data_equivalence(vector_steps(SyncVectorEnv(made, autoreset_mode=SAME_STEP), seed=6), sync)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_shared_memory_is_refused(env_arguments, env_id):
    with pytest.raises(ValueError, match="shared_memory=False"):
        AsyncVectorEnv([functools.partial(_make, env_id, **env_arguments[env_id])] * 2, context="spawn")


def _refusal(env_id, answers):
    try:
        _make(env_id)
    except TaskError as error:
        answers.put(str(error))


def test_a_forked_process_is_told_what_to_do():
    """Gymnasium forks by default on Linux before Python 3.14; threads of polars do not survive it."""
    _make(ENV_IDS[0])
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python, about threads
        child = context.Process(target=_refusal, args=(ENV_IDS[0], answers))
        child.start()
    child.join(20)
    assert child.exitcode == 0
    assert "pass context='spawn' to AsyncVectorEnv" in answers.get()


def _viewed(env_id, **arguments):
    return KeywordActions(VectorObservation(GainReward(_make(env_id, **arguments))), 8)


@pytest.mark.parametrize("env_id", [ENV_IDS[0], *(pytest.param(name, marks=EXHAUSTIVE) for name in ENV_IDS[1:])])
def test_numeric_views_lie_in_shared_memory(env_arguments, env_id):
    """Arrays have the fixed size that text lacks, so that Gymnasium's default works."""
    made = [functools.partial(_viewed, env_id, **env_arguments[env_id])] * 2
    sync = SyncVectorEnv(made, autoreset_mode=SAME_STEP)
    envs = AsyncVectorEnv(made, context="spawn", autoreset_mode=SAME_STEP)
    actions = np.array([[1, 0, 5], [3, 3, 2]])
    try:
        assert data_equivalence(envs.reset(seed=2), sync.reset(seed=2), exact=True)
        found, expected = envs.step(actions), sync.step(actions)
        assert data_equivalence(found, expected, exact=True)
        assert found[0].shape == (2, *envs.single_observation_space.shape)
        assert not data_equivalence(envs.step(actions[::-1]), sync.step(actions), exact=True)
    finally:
        envs.close()
