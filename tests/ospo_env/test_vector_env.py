"""The native vector environment equals N single ones in every number and info, with one retriever call a step."""

import functools
import json
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from ospo_env import RetrieverError, RewriteEnv, RewriteVectorEnv, make_retriever
from ospo_env.registration import ENVIRONMENTS
from ospo_env.retrievers.corpus import Corpus
from shop import shop, write_shop
from vectors import N, actions_of, native, reference, trajectory

ENV_IDS = sorted(registration.env_id for registration in ENVIRONMENTS)


class Counting:
    """A retriever that counts its calls, and fails when told to."""

    def __init__(self):
        documents = shop().documents["text"].to_list()
        self._inner = make_retriever("bm25", Corpus.of_texts(documents))
        self.batches = []
        self.broken = False

    def score_pools(self, texts, pools):
        self.batches.append(len(texts))
        if self.broken:
            raise OSError("the index is gone")
        return self._inner.score_pools(texts, pools)

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.mark.parametrize("seed", [0, 123, [7, 7, 1], [5, 0, 9]])
def test_equal_to_n_single_environments(seed):
    one, other = trajectory(native(), seed), trajectory(reference(), seed)
    assert data_equivalence(one, other, exact=True)
    for (*_, infos), (*_, other_infos) in zip(one, other, strict=True):
        assert list(infos) == list(other_infos), "the keys come in the same order"
    assert any(rewards.any() for _, rewards, *_ in (seen for seen in one if len(seen) == 5))


def test_another_seed_is_another_trajectory():
    """The negative control of the equality above."""
    assert not data_equivalence(trajectory(native(), 0), trajectory(reference(), 1), exact=True)
    assert not data_equivalence(trajectory(native(), [7, 7, 1]), trajectory(reference(), [7, 7, 2]), exact=True)


def test_equal_to_environments_stepped_by_hand():
    envs, singles = native(), [RewriteEnv(data=shop(), max_words=4) for _ in range(N)]
    observations, infos = envs.reset(seed=20)
    expected = [single.reset(seed=20 + index) for index, single in enumerate(singles)]
    for step in range(6):
        assert observations == tuple(observation for observation, _ in expected)
        assert infos["query_id"].tolist() == [info["query_id"] for _, info in expected]
        actions = actions_of(step)
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        finals = [single.step(action) for single, action in zip(singles, actions, strict=True)]
        assert rewards.dtype == np.float64
        assert rewards.tolist() == [reward for _, reward, *_ in finals]
        assert (terminations.dtype, truncations.dtype) == (np.bool_, np.bool_)
        assert (terminations.tolist(), truncations.tolist()) == ([True] * N, [False] * N)
        assert infos["final_obs"].tolist() == [final for final, *_ in finals]
        for index, (*_, info) in enumerate(finals):
            found = {name: infos["final_info"][name][index] for name in info if name != "metrics"}
            metrics = {name: infos["final_info"]["metrics"][name][index] for name in info["metrics"]}
            assert found | {"metrics": metrics} == info
        expected = [single.reset() for single in singles]


def test_what_a_step_returns_is_fresh():
    envs = native()
    envs.reset(seed=0)
    _, rewards, terminations, truncations, infos = envs.step(actions_of(0))
    kept = rewards.copy()
    rewards[:] = -1
    terminations[:] = False
    truncations[:] = True
    infos["final_info"]["query_id"][:] = "spoilt"
    again = native()
    again.reset(seed=0)
    again.step(actions_of(0))
    for one, other in zip(envs.step(actions_of(1)), again.step(actions_of(1)), strict=True):
        assert data_equivalence(one, other, exact=True)
    assert not np.array_equal(kept, rewards)


def test_one_retriever_call_a_step():
    retriever = Counting()
    envs = native(4, retriever=retriever)
    envs.reset(seed=0)
    assert retriever.batches == [], "a reset asks nothing"
    envs.step(("red shoe", "blue dress", "wool coat", "linen bag"))
    assert retriever.batches == [4]
    for step in range(5):
        envs.step([f"red {step} {index}" for index in range(4)])
    assert len(retriever.batches) == 6
    assert max(retriever.batches) == 4


def test_n_single_environments_call_n_times():
    """The negative control: the same counter on Gymnasium's vectorisation."""
    retriever = Counting()
    envs = reference(4, retriever=retriever)
    envs.reset(seed=0)
    envs.step(("red shoe", "blue dress", "wool coat", "linen bag"))
    assert retriever.batches == [1] * 4


def test_a_failing_retriever_is_an_error_and_no_reward():
    retriever = Counting()
    envs = native(retriever=retriever)
    envs.reset(seed=0)
    retriever.broken = True
    with pytest.raises(RetrieverError, match="the index is gone"):
        envs.step(actions_of(0))
    retriever.broken = False
    expected = native()
    expected.reset(seed=0)
    assert data_equivalence(envs.step(actions_of(0)), expected.step(actions_of(0)), exact=True)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_make_vec_makes_the_native_one(make_env, env_id):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        envs = make_env(env_id, gym.make_vec, num_envs=2, split="validation")
    assert caught == []
    assert isinstance(envs, RewriteVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert (envs.num_envs, envs.spec.id) == (2, env_id)
    sync = make_env(
        env_id,
        gym.make_vec,
        num_envs=2,
        split="validation",
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
    )
    again = gym.make_vec(pickle.loads(pickle.dumps(envs.spec)))
    json.loads(envs.spec.to_json())
    first = trajectory(envs, 4, steps=3)
    assert data_equivalence(first, trajectory(sync, 4, steps=3), exact=True)
    assert data_equivalence(first, trajectory(again, 4, steps=3), exact=True)
    for vector in (envs, sync, again):
        assert vector.single_action_space == envs.single_action_space
        assert vector.observation_space == envs.observation_space
        assert vector.reset(seed=0)[0] in vector.observation_space
        assert vector.action_space.sample() in vector.action_space
        vector.close()


def test_sampled_actions_differ_between_environments_and_are_seeded():
    envs = native()
    envs.action_space.seed(1)
    first = envs.action_space.sample()
    assert len(set(first)) == N
    envs.action_space.seed(1)
    assert envs.action_space.sample() == first


def test_gymnasiums_default_autoreset_wastes_half_of_the_steps():
    """Why SAME_STEP: under NEXT_STEP every other step only resets."""
    sync = SyncVectorEnv([functools.partial(RewriteEnv, data=shop())] * 2)
    sync.reset(seed=0)
    ended = [sync.step(("red", "blue"))[2].tolist() for _ in range(4)]
    assert ended == [[True, True], [False, False]] * 2


def test_render_and_generators():
    envs, other = native(render_mode="ansi"), reference(render_mode="ansi")
    for vector in (envs, other):
        vector.reset(seed=3)
        vector.step(actions_of(0))
    assert envs.render() == other.render()
    assert envs.np_random_seed == other.np_random_seed == (3, 4, 5)
    assert [one.bit_generator.state for one in envs.np_random] == [one.bit_generator.state for one in other.np_random]


def test_async_without_shared_memory(tmp_path):
    write_shop(tmp_path / "shop")
    make = functools.partial(RewriteEnv, data=str(tmp_path / "shop"), max_words=4)
    with pytest.raises(ValueError, match="shared_memory=False"):
        AsyncVectorEnv([make] * 2, context="spawn")
    mode = AutoresetMode.SAME_STEP
    envs = AsyncVectorEnv([make] * 2, shared_memory=False, context="spawn", autoreset_mode=mode)
    try:
        found, expected = trajectory(envs, 11, steps=4), trajectory(native(2), 11, steps=4)
    finally:
        envs.close()
    assert data_equivalence(found, expected, exact=True)
    assert not data_equivalence(found, trajectory(native(2), 12, steps=4))
