"""OSPO on TRL: what is TRL's stays TRL's, bit for bit."""

import time
import warnings

import numpy as np
import pytest
import torch
from trl import GRPOConfig

from ospo_agents import AgentError, Task
from ospo_agents.advantages import group_relative
from ospo_agents.compact_rollouts import CompactGRPOTrainer
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.trainer import OSPOConfig, OSPOTrainer
from ospo_agents.training.warm_start import warm_start
from ospo_agents.trl_task import TaskReward, prompt_dataset
from toy_task import ToyTask

SETTINGS = {
    "max_steps": 3,
    "per_device_train_batch_size": 16,
    "num_generations": 4,
    "max_completion_length": 12,
    "learning_rate": 1e-2,
    "beta": 0.0,
    "use_cpu": True,
    "bf16": False,
    "activation_checkpointing": False,
    "save_strategy": "no",
    "report_to": [],
    "disable_tqdm": True,
    "logging_steps": 1,
}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer(ToyTask().texts(), vocab_size=300)


@pytest.fixture(scope="module", autouse=True)
def warm(tokenizer, tmp_path_factory):
    """Weights from which rewards vary."""
    model = tiny_model(tokenizer, hidden_size=32, layers=1, seed=1)
    settings = {name: SETTINGS[name] for name in ("use_cpu", "bf16", "activation_checkpointing", "disable_tqdm")}
    out = tmp_path_factory.mktemp("sft")
    warm_start(model, tokenizer, ToyTask(), PromptFormat(), out=out, epochs=30, batch_size=8, **settings)
    new_model.weights = model.state_dict()


def new_model(tokenizer):
    model = tiny_model(tokenizer, hidden_size=32, layers=1)
    model.load_state_dict(new_model.weights)
    return model


def parameters(model):
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


ARGUMENTS = ("reward_funcs", "train_dataset")
POTENTIAL = {"redistribution": "potential", "solution": "prefix_potential", "loss_type": "dr_grpo"}


class Environment:
    """What has the methods of an environment and not those of a task."""

    def reset(self):
        raise NotImplementedError

    def step(self, action):
        raise NotImplementedError


def brevity(completion_ids, **columns):
    """A reward function beside the task's: short completions."""
    return [-len(ids) / 12 for ids in completion_ids]


def train_ospo(tokenizer, path, redistribute=None, task=None, **settings):
    task = task or ToyTask()
    arguments = {name: settings.pop(name) for name in ARGUMENTS if name in settings}
    trainer = OSPOTrainer(
        model=new_model(tokenizer),
        task=task,
        prompt_format=PromptFormat(),
        args=OSPOConfig(str(path), **{**SETTINGS, **settings}),
        processing_class=tokenizer,
        **arguments,
    )
    if redistribute is not None:
        trainer._redistribute = redistribute
    trainer.train()
    return trainer, task


def train_grpo(tokenizer, path, reward_funcs=(), **settings):
    task = ToyTask()
    trainer = CompactGRPOTrainer(
        model=new_model(tokenizer),
        reward_funcs=[TaskReward(task, PromptFormat(), tokenizer), *reward_funcs],
        args=GRPOConfig(str(path), **{**SETTINGS, **settings}),
        train_dataset=prompt_dataset(task, PromptFormat()),
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer


def flat(rollouts):
    return np.broadcast_to(rollouts.advantages[:, None], rollouts.mask.shape).copy()


def test_toy_task_satisfies_the_protocol():
    assert isinstance(ToyTask(), Task)


LOSSES = [
    {},
    *({"loss_type": name} for name in ("dr_grpo", "grpo", "bnpo", "cispo", "sapo", "luspo")),
    {"num_iterations": 2, "steps_per_generation": 2, "per_device_train_batch_size": 8},
    {"mask_truncated_completions": True, "top_entropy_quantile": 0.5, "scale_rewards": "none"},
]


@pytest.mark.parametrize("settings", LOSSES, ids=lambda settings: "-".join(map(str, settings.values())) or "default")
def test_grpo_advantages_on_every_token_train_to_grpo_parameters(tokenizer, tmp_path, settings):
    grpo = train_grpo(tokenizer, tmp_path, **settings)
    ospo, _ = train_ospo(tokenizer, tmp_path, redistribute=flat, **settings)
    assert not same(parameters(grpo.model), parameters(new_model(tokenizer)))  # they did learn
    assert same(parameters(ospo.model), parameters(grpo.model))


def test_credit_does_change_the_parameters(tokenizer, tmp_path):
    """Negative control of the test above."""
    grpo = train_grpo(tokenizer, tmp_path)
    ospo, _ = train_ospo(tokenizer, tmp_path)
    assert not same(parameters(ospo.model), parameters(grpo.model))


def test_zero_advantages_move_nothing(tokenizer, tmp_path):
    ospo, _ = train_ospo(tokenizer, tmp_path, redistribute=lambda rollouts: np.zeros(rollouts.mask.shape))
    assert same(parameters(ospo.model), parameters(new_model(tokenizer)))


def curve(trainer):
    return [(row["loss"], row["reward"]) for row in trainer.state.log_history if "reward" in row]


def test_same_seed_same_curve(tokenizer, tmp_path):
    first, _ = train_ospo(tokenizer, tmp_path)
    second, _ = train_ospo(tokenizer, tmp_path)
    other, _ = train_ospo(tokenizer, tmp_path, seed=7)
    assert curve(first) == curve(second)
    assert same(parameters(first.model), parameters(second.model))
    assert curve(first) != curve(other)


def test_one_call_through_the_door_a_step(tokenizer, tmp_path):
    trainer, task = train_ospo(tokenizer, tmp_path)
    assert task.calls == SETTINGS["max_steps"]
    logged = [row for row in trainer.state.log_history if "reward" in row]
    assert len(logged) == SETTINGS["max_steps"]
    assert logged[-1]["evaluations/asked"] == task.counters["asked"]
    assert all(row["segments"] > 0 for row in logged)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"segmenter": "phrase"}, "did you mean 'phrases'"),
        ({"solution": "shaply"}, "did you mean 'shapley'"),
        ({"solution": "SHAPLEY"}, "did you mean 'shapley'"),
        ({"redistribution": "aditive"}, "did you mean 'additive'"),
        ({"loss_type": "vespo"}, "vespo weights a whole completion by the sign of its one advantage"),
        ({"off_policy_mask_threshold": 0.5}, "off_policy_mask_threshold leaves out whole completions"),
        ({**POTENTIAL, "solution": "shapley"}, "only with solution prefix_potential, but got shapley"),
        ({**POTENTIAL, "loss_type": "dapo"}, "constant denominator: loss_type dr_grpo, but got dapo"),
        ({**POTENTIAL, "beta": 0.1}, "only without a KL: beta 0, but got 0.1"),
        ({**POTENTIAL, "reward_funcs": brevity}, "only of the task's reward, but got reward_funcs too"),
        ({"task": Environment()}, "expected a task .*, but got an environment; pass env.unwrapped.task"),
        ({"train_dataset": []}, "train_dataset is made of the task's prompts; leave it out"),
        ({"importance_sampling_level": "sequence"}, "one ratio for a whole sequence would spread credit evenly"),
    ],
)
def test_wrong_settings(tokenizer, tmp_path, setting, message):
    with pytest.raises(AgentError, match=message):
        train_ospo(tokenizer, tmp_path, **setting)


def test_settings_of_grpo_are_not_those_of_ospo(tokenizer, tmp_path):
    with pytest.raises(AgentError, match=r"expected args as an OSPOConfig, .*, but got GRPOConfig"):
        OSPOTrainer(new_model(tokenizer), ToyTask(), PromptFormat(), GRPOConfig(str(tmp_path), **SETTINGS), tokenizer)


FURTHER = {"reward_funcs": [brevity], "reward_weights": [1.0, 0.5]}


@pytest.mark.parametrize("scale_rewards", ["group", "batch", "none"])
def test_further_rewards_are_spread_evenly_and_credit_stays_the_tasks(tokenizer, tmp_path, scale_rewards):
    """With one advantage a rollout it is TRL's trainer; what credit adds does not know of the further function."""
    seen = []

    def watch(rollouts):
        seen.append(rollouts)
        return np.zeros(rollouts.mask.shape)

    grpo = train_grpo(tokenizer, tmp_path, scale_rewards=scale_rewards, **FURTHER)
    ospo, _ = train_ospo(tokenizer, tmp_path, redistribute=flat, scale_rewards=scale_rewards, **FURTHER)
    moved, there = parameters(ospo.model), parameters(grpo.model)
    for name, start in parameters(new_model(tokenizer)).items():
        np.testing.assert_allclose(moved[name], there[name], rtol=0, atol=2e-4)
        assert (there[name] - start).abs().max() > 1e-2
    train_ospo(tokenizer, tmp_path, redistribute=watch, max_steps=1, scale_rewards=scale_rewards, **FURTHER)
    (rollouts,) = seen
    centred = group_relative(rollouts.rewards, rollouts.group, scale=False)
    np.testing.assert_allclose(rollouts.advantages, rollouts.per_reward * centred, rtol=0, atol=1e-12)
    assert np.ptp(rollouts.rewards) > 0


@pytest.mark.parametrize(("name", "settings"), [("entropy_weights", {"beta": 0}), ("grpo_lambda", {"decay": 0})])
def test_rivals_train_to_grpo_parameters_where_they_reduce_to_it(tokenizer, tmp_path, name, settings):
    grpo = train_grpo(tokenizer, tmp_path)
    reduced, _ = train_ospo(tokenizer, tmp_path, redistribution=name, redistribution_settings=settings)
    assert same(parameters(reduced.model), parameters(grpo.model))
    other, _ = train_ospo(tokenizer, tmp_path, redistribution=name)
    assert not same(parameters(other.model), parameters(grpo.model))


def test_token_statistics_are_the_policys(tokenizer, tmp_path, monkeypatch):
    seen = []

    def watch(rollouts):
        seen.append(rollouts)
        return flat(rollouts)

    trainer, _ = train_ospo(
        tokenizer, tmp_path, redistribute=watch, redistribution="entropy_weights", max_steps=1, loss_type="bnpo"
    )
    (rollouts,) = seen
    logged = trainer.state.log_history[0]["entropy"]  # TRL's own mean over tokens
    np.testing.assert_allclose(rollouts.entropy[rollouts.mask].mean(), logged, rtol=1e-5)
    assert rollouts.entropy[rollouts.mask].std() > 0.1
    assert (rollouts.entropy[~rollouts.mask] == 0).all()
    assert ((rollouts.tokens >= 0) == rollouts.mask).all()
    ends = rollouts.tokens[np.arange(len(rollouts.mask)), rollouts.mask.sum(axis=1) - 1]
    finished = rollouts.mask.sum(axis=1) < rollouts.mask.shape[1]
    assert finished.any()
    assert (ends[finished] == tokenizer.eos_token_id).all()
    seen.clear()
    train_ospo(tokenizer, tmp_path, redistribute=watch, max_steps=1)
    assert seen[0].entropy is None  # no pass that nothing reads


def test_owen_trains_on_words_in_phrases_and_says_where_it_is_shapley(tokenizer, tmp_path):
    """A solution with unions logs how often they make no difference; a step of nothing else is told, once."""
    words, _ = train_ospo(tokenizer, tmp_path, solution="owen", max_steps=2)
    shares = [row["owen_equals_shapley"] for row in words.state.log_history if "reward" in row]
    assert len(shares) == 2
    assert min(shares) < 1
    with pytest.warns(UserWarning, match="owen with the segmenter sentences: .* equals Shapley") as told:
        train_ospo(tokenizer, tmp_path, solution="owen", segmenter="sentences", max_steps=2)
    assert len([one for one in told if "equals Shapley" in str(one.message)]) == 1
    plain, _ = train_ospo(tokenizer, tmp_path, max_steps=1)  # the negative control
    assert not any("owen_equals_shapley" in row for row in plain.state.log_history)


def test_rewrites_of_one_segment_are_logged_and_told_once(tokenizer, tmp_path):
    """Tell once that credit has nothing to divide where most rewrites of several words are one segment."""
    with pytest.warns(UserWarning, match="in one segment, which credit cannot tell apart; segmenter words") as told:
        whole, _ = train_ospo(tokenizer, tmp_path, segmenter="sentences", max_steps=12)
    assert len([one for one in told if "in one segment" in str(one.message)]) == 1
    assert np.mean([row["one_segment"] for row in whole.state.log_history if "reward" in row]) > 0.5
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*in one segment")
        words, _ = train_ospo(tokenizer, tmp_path, segmenter="words", max_steps=12)  # the negative control
    assert all(row["one_segment"] == 0 for row in words.state.log_history if "reward" in row)


def test_separators_get_the_group_advantage(tokenizer, tmp_path):
    seen = []

    def watch(rollouts):
        seen.append(rollouts)
        return flat(rollouts)

    train_ospo(tokenizer, tmp_path, redistribute=watch)
    without = sum((rollouts.segment >= 0).sum() for rollouts in seen)
    seen.clear()
    train_ospo(tokenizer, tmp_path, redistribute=watch, credit_separators=True)
    assert 0 < without < sum((rollouts.segment >= 0).sum() for rollouts in seen)


STAGES = ("generation", "scoring", "credit", "update")


def seconds(trainer):
    """The time of each stage of each step, and of the step."""
    rows = [row for row in trainer.state.log_history if "reward" in row or "step_time" in row]
    return [({stage: row[f"time/{stage}"] for stage in STAGES}, row["step_time"]) for row in rows]


class Slow(ToyTask):
    def rewards(self, prompt_ids, texts):
        time.sleep(0.1)
        return super().rewards(prompt_ids, texts)

    def coalition_values(self, *arguments):
        time.sleep(0.2)
        return super().coalition_values(*arguments)


def test_stages_share_the_time_of_a_step(tokenizer, tmp_path):
    quick, slow = (train_ospo(tokenizer, tmp_path, task=task)[0] for task in (ToyTask(), Slow()))
    for stages, whole in (*seconds(quick), *seconds(slow)):
        assert all(spent > 0 for spent in stages.values())
        np.testing.assert_allclose(sum(stages.values()), whole, atol=5e-3)
    for (stages, _), (waited, _) in zip(seconds(quick), seconds(slow), strict=True):
        assert stages["scoring"] < 0.1 < 0.3 <= waited["scoring"] < 0.6  # and the wait is counted nowhere else


def test_steps_that_reuse_rollouts_spend_nothing_on_them(tokenizer, tmp_path):
    settings = {"max_steps": 4, "num_iterations": 2, "eval_strategy": "no"}
    trainer, _ = train_ospo(tokenizer, tmp_path, **settings)
    fresh, reused, *_ = (stages for stages, _ in seconds(trainer))
    assert fresh["generation"] > 0
    assert reused["generation"] == reused["scoring"] == reused["credit"] == 0.0 < reused["update"]
