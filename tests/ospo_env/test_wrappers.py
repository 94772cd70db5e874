"""Numeric views: their spaces, what an action means as text, and that they keep the contract of what they wrap."""

import json
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env as gymnasium_check
from gymnasium.utils.env_checker import data_equivalence
from stable_baselines3.common.env_checker import check_env

from ospo_env import RetrieverError, RewriteEnv, TaskError
from ospo_env.registration import ENVIRONMENTS
from ospo_env.retrievers.base import is_encoder
from ospo_env.text import tokens
from ospo_env.wrappers import GainReward, KeywordActions, TemplateActions, VectorObservation, open_encoder
from ospo_env.wrappers.phrases import catalogue_phrases
from shop import shop

ENV_IDS = [registration.env_id for registration in ENVIRONMENTS]
ACTIONS = {
    "slots": KeywordActions,
    "switches": lambda env: KeywordActions(env, 20, space="multibinary"),
    "templates": lambda env: TemplateActions(env, 20),
}


def base(**arguments):
    return RewriteEnv(data=shop(), **arguments)


def all_warnings(check, env):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(env)
    return [str(warning.message) for warning in caught]


def viewed(env, kind, order):
    """Both orders of wrappers, and the reward beneath."""
    env = GainReward(env)
    return VectorObservation(ACTIONS[kind](env)) if order == "observed last" else ACTIONS[kind](VectorObservation(env))


@pytest.mark.parametrize("order", ["observed last", "observed first"])
@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("env_id", ENV_IDS)
def test_check_env_of_stable_baselines_has_nothing_to_say(make_env, env_id, kind, order):
    assert all_warnings(check_env, viewed(make_env(env_id), kind, order)) == []


@pytest.mark.parametrize(
    "env",
    [lambda: base(), lambda: VectorObservation(base()), lambda: KeywordActions(base())],
    ids=["text", "action is text", "observation is text"],
)
def test_check_env_would_have_something_to_say(env):
    """The negative control: text in one of the two places."""
    with pytest.raises((AssertionError, TypeError, ValueError, AttributeError)):
        assert all_warnings(check_env, env()) == []


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_view_keeps_gymnasiums_contract(make_env, env_id, kind):
    """It notes that the environment is wrapped, and nothing else."""
    said = all_warnings(gymnasium_check, viewed(make_env(env_id), kind, "observed last"))
    assert [message for message in said if "is different from the unwrapped version" not in message] == []


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_spec_makes_the_same_view_again(make_env, env_id, kind):
    env = viewed(make_env(env_id), kind, "observed last")
    json.loads(env.spec.to_json())
    copies = [gym.make(env.spec), gym.make(EnvSpec.from_json(env.spec.to_json())), pickle.loads(pickle.dumps(env))]
    env.action_space.seed(1)
    action = env.action_space.sample()
    first = env.reset(seed=4), env.step(action)
    for copy in copies:
        assert copy.action_space == env.action_space
        assert copy.observation_space == env.observation_space
        assert data_equivalence((copy.reset(seed=4), copy.step(action)), first, exact=True)
        assert not data_equivalence(copy.reset(seed=5), first[0])


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("env_id", ENV_IDS)
def test_an_action_is_worth_its_text(make_env, env_id, kind):
    env, plain = ACTIONS[kind](make_env(env_id)), make_env(env_id)
    env.action_space.seed(3)
    texts = set()
    for seed in range(8):
        env.reset(seed=seed)
        plain.reset(seed=seed)
        prompt, reward, terminated, truncated, info = env.step(env.action_space.sample())
        expected = plain.step(info["rewrite"])
        more = {"rewrite", "phrases_left_out"} if "phrases_left_out" in info else {"rewrite"}
        assert (prompt, reward, terminated, truncated) == expected[:4]
        assert {name: value for name, value in info.items() if name not in more} == expected[4]
        texts.add(info["rewrite"])
    assert len(texts) == 8


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_vectors_are_of_unit_length_and_within_true_bounds(make_env, env_id):
    env = VectorObservation(make_env(env_id))
    task = env.unwrapped.task
    space = env.observation_space
    assert (space.low.min(), space.high.max(), space.dtype, space.shape) == (-1, 1, np.float32, (128,))
    seen = [env.reset(seed=seed)[0] for seed in range(20)]
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1.0, rtol=1e-6)
    assert len({vector.tobytes() for vector in seen}) > 10
    encoder = open_encoder("lsa", task)
    prompts = task.prompts("train")[1][:30]
    together = encoder.encode(prompts)
    assert np.array_equal(together, np.concatenate([encoder.encode([prompt]) for prompt in prompts]))
    assert not encoder.encode(["qzxvw zzyzx", ""]).any(), "texts that match nothing are zero"
    assert is_encoder(encoder)
    assert all(vector in space for vector in together)


def test_vectors_of_one_direction_are_where_lsa_ranks():
    """Scores of a text are its vector's products with document vectors, times one positive factor."""
    encoder = open_encoder("lsa", base().task)
    texts = base().task.data.documents.texts
    rows = [row for row in range(20) if tokens(texts[row])]  # the others are matched by nothing
    pool = np.array([rows], dtype=np.int32)
    documents = encoder._vectors["documents"][rows].astype(float)
    for text in ("red shoe", "wool coat linen"):
        scores, products = encoder.score_pools([text], pool)[0], documents @ encoder.encode([text])[0].astype(float)
        factor = scores @ products / (products @ products)
        assert factor > 0
        np.testing.assert_allclose(scores, factor * products, atol=1e-5 * np.abs(scores).max())


def test_an_observation_is_the_callers_own():
    env = VectorObservation(base())
    first, _ = env.reset(options={"query_id": env.unwrapped.task.prompts("train")[0][0]})
    kept = first.copy()
    first[:] = 7
    final = env.step("red")[0]
    assert np.array_equal(final, kept)


class Letters:
    """An encoder of one's own."""

    dimensions = 2
    fingerprint = "letters-1"

    def __init__(self, scale=1.0, shape=2):
        self.scale, self.shape = scale, shape

    def encode(self, texts):
        return np.array([[len(text) % 2 * self.scale] * self.shape for text in texts], dtype=np.float32)


def test_an_encoder_of_ones_own():
    env = VectorObservation(base(), Letters())
    prompt = base().reset(seed=1)[0]
    assert env.reset(seed=1)[0].tolist() == [len(prompt) % 2] * 2


@pytest.mark.parametrize("wrong", [Letters(scale=3.0), Letters(scale=np.nan), Letters(shape=3)])
def test_an_encoder_that_breaks_its_bounds_is_an_error(wrong):
    with pytest.raises(RetrieverError, match=r"numbers in \[-1, 1\] of shape \(1, 2\)"):
        VectorObservation(base(), wrong).observation("odd")


def test_an_encoder_that_fails_is_an_error():
    class Failing(Letters):
        def encode(self, texts):
            raise OSError("gone")

    with pytest.raises(RetrieverError, match="OSError: gone"):
        VectorObservation(base(), Failing()).reset()


def test_what_cannot_be_viewed_is_refused():
    with pytest.raises(TaskError, match="'bm25' has no vectors of texts; use 'lsa'"):
        VectorObservation(base(), "bm25")
    with pytest.raises(TaskError, match="expected an environment of this package"):
        KeywordActions(gym.make("CartPole-v1"))
    for wrap in (KeywordActions, TemplateActions, VectorObservation, GainReward):
        with pytest.raises(TaskError, match="of one step an episode, such as OSPO-ESCI-v0; SearchEnv is in turns"):
            wrap(gym.make("OSPO-Search-v0"))
    for wrap in (KeywordActions, TemplateActions):
        with pytest.raises(TaskError, match=r"whose action is text; got .* wrapped already"):
            wrap(KeywordActions(base()))
    with pytest.raises(TaskError, match="whose observation is text"):
        VectorObservation(VectorObservation(base()))


def test_order_of_calls():
    env = TemplateActions(base(), ["{query}"])
    with pytest.raises(ResetNeeded):
        env.step(0)
    env.reset()
    env.step(0)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(0)


def test_a_gain_is_over_the_raw_query():
    env, plain = GainReward(base()), base()
    for seed in range(6):
        env.reset(seed=seed)
        _, info = plain.reset(seed=seed)
        raw = plain.step(info["query"])[1]
        plain.reset(options={"query_id": info["query_id"]})
        reward = plain.step("red wool")[1]
        assert env.step("red wool")[1] == reward - raw
        assert env.reset(options={"query_id": info["query_id"]})
        assert env.step(info["query"])[1] == 0.0


def test_stable_baselines_makes_environments_by_id():
    """It asks for a picture first, and goes on without one."""
    from stable_baselines3.common.env_util import make_vec_env

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Gymnasium, about the picture
        envs = make_vec_env(
            ENV_IDS[0], n_envs=2, seed=0, wrapper_class=lambda env: TemplateActions(VectorObservation(env), 8)
        )
    assert envs.reset().shape == (2, 128)
    _, rewards, dones, infos = envs.step(np.array([0, 3]))
    assert dones.all()
    assert (rewards >= 0).all()
    assert [
        info["rewrite"].endswith(", " + catalogue_phrases(envs.envs[0].unwrapped.task, 3)[2]) for info in infos
    ] == [
        False,
        True,
    ]
