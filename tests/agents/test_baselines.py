"""The learners behind one command: the baselines are TRL's, and OSPO differs from GRPO in credit only."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import trl

from chat_models import ON_CPU
from ospo_agents import AgentError
from ospo_agents.compact_rollouts import CompactGRPOTrainer, CompactRLOOTrainer
from ospo_agents.policies.language_model import LanguageModelPolicy, load_policy, save_policy
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.trainer import OSPOTrainer
from ospo_agents.training import TrainingSettings
from ospo_agents.training.learners import LEARNERS
from ospo_agents.training.preferences import sample_preferences
from ospo_agents.training.settings import LOSS_TYPES
from ospo_agents.training.trainers import make_trainer
from ospo_agents.training.trl_parts import Start
from ospo_agents.training.warm_start import warm_start
from toy_task import ToyTask


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """The directory of a policy whose rewards vary."""
    tokenizer = tiny_tokenizer(ToyTask().texts(), vocab_size=300)
    model = tiny_model(tokenizer, hidden_size=32, layers=1, seed=1)
    out = tmp_path_factory.mktemp("sft")
    warm_start(model, tokenizer, ToyTask(), PromptFormat(), out=out, epochs=60, batch_size=8, **ON_CPU)
    save_policy(out / "warm", model, tokenizer, PromptFormat())
    return out / "warm"


def settings_of(**values):
    small = {"batch_size": 16, "group_size": 4, "max_completion_length": 12, "steps": 2, "learning_rate": 1e-2}
    settings = TrainingSettings(**{**small, **values})
    settings.check()
    return settings


def trainer_of(tmp_path, warm, **values):
    settings, task = settings_of(**values), ToyTask()
    start = Start(task, *load_policy(warm))
    if settings.algo == "dpo":
        start = start._replace(preferences=preferences_of(task, start[1:4], groups=settings.steps * 4))
    return make_trainer(settings, start, tmp_path / "scratch")


def preferences_of(task, policy, **settings):
    arguments = {"groups": 24, "group_size": 4, "groups_at_once": 4, "max_new_tokens": 12, **settings}
    return [
        group for batch in sample_preferences(policy[0], policy[1], task, policy[2], **arguments) for group in batch
    ]


def flat(rollouts):
    return np.where(rollouts.mask, rollouts.advantages[:, None], 0.0)


def trained(trainer):
    trainer.train()
    return {name: tensor.detach().clone() for name, tensor in trainer.model.named_parameters()}


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


TRAINERS = {
    "ospo": OSPOTrainer,
    "grpo": CompactGRPOTrainer,
    "rloo": CompactRLOOTrainer,
    "dpo": trl.DPOTrainer,
    "sft": trl.SFTTrainer,
}


@pytest.mark.parametrize("algo", LEARNERS)
def test_trainers_are_as_named(tmp_path, warm, algo):
    trainer = trainer_of(tmp_path, warm, algo=algo)
    assert type(trainer) is TRAINERS[algo]
    before = {name: tensor.clone() for name, tensor in trainer.model.named_parameters()}
    after = trained(trainer)
    assert trainer.state.global_step == 2
    assert not same(before, after)
    assert all(torch.isfinite(tensor).all() for tensor in after.values())


def test_ospo_and_grpo_have_the_same_settings(tmp_path, warm):
    ospo, grpo = (
        {field.name: getattr(trainer.args, field.name) for field in dataclasses.fields(trainer.args)}
        for trainer in (trainer_of(tmp_path, warm, algo=algo) for algo in ("ospo", "grpo"))
    )
    credit = {"segmenter", "solution", "solution_settings", "redistribution", "redistribution_settings"}
    assert set(ospo) - set(grpo) == credit | {"credit_separators", "calls"}
    differing = {name for name, value in grpo.items() if ospo[name] != value}
    assert differing <= {"_n_gpu", "distributed_state", "accelerator_config", "deepspeed_plugin"}, differing


@pytest.mark.parametrize("loss_type", sorted(set(LOSS_TYPES) - {"luspo", "vespo"}))
def test_every_loss_takes_advantages_of_tokens(tmp_path, warm, loss_type):
    """Each of the other losses trains on credit; flat, it trains to GRPO's parameters, on rollouts used again too."""
    settings = {"loss_type": loss_type, "num_iterations": 2}
    grpo = trained(trainer_of(tmp_path, warm, algo="grpo", **settings))
    canary = trainer_of(tmp_path, warm, algo="ospo", **settings)
    canary._redistribute = flat
    assert same(trained(canary), grpo)
    trainer = trainer_of(tmp_path, warm, algo="ospo", **settings)
    ospo = trained(trainer)
    assert not same(ospo, grpo)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))


def test_vllm_is_passed_on(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    settings = settings_of(vllm="server", algo="rloo")
    fields = settings.learner.fields(settings.as_json())
    assert (fields["use_vllm"], fields["vllm_mode"]) == (True, "server")
    assert "use_vllm" not in settings.learner.fields(settings_of(algo="rloo").as_json())
    assert set(fields) <= {field.name for field in dataclasses.fields(trl.RLOOConfig)}


def test_luspo_knows_no_tokens(tmp_path, warm):
    """Its one ratio for a completion would lay the mean advantage on all tokens, so OSPO refuses it."""
    with pytest.raises(AgentError, match="credit would be lost"):
        settings_of(algo="ospo", loss_type="luspo")
    trainer = trainer_of(tmp_path, warm, algo="grpo", loss_type="luspo", num_iterations=2)
    assert trainer.args.importance_sampling_level == "sequence"
    start = {name: tensor.detach().clone() for name, tensor in trainer.model.named_parameters()}
    assert not same(trained(trainer), start)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss_type": "vespo"}, "loss_type vespo weights a whole completion by the sign of its one advantage"),
        ({"trl": {"off_policy_mask_threshold": 0.1}}, "off_policy_mask_threshold leaves out whole completions"),
        ({"redistribution": "potential"}, "only with solution prefix_potential, but got sampled_shapley"),
        ({"redistribution": "potential", "solution": "prefix_potential", "loss_type": "grpo"}, "constant denominator"),
        ({"redistribution": "potential", "solution": "prefix_potential", "kl": 0.1}, "only without a KL: kl 0"),
    ],
)
def test_settings_that_undo_credit_are_refused_before_the_work(settings, message):
    with pytest.raises(AgentError, match=message):
        settings_of(algo="ospo", **settings)
    settings_of(algo="ospo", redistribution="potential", solution="prefix_potential")
    settings_of(algo="grpo", loss_type="vespo")


def test_kl_holds_a_policy_back(tmp_path, warm):
    """Its reference is the warm start, read from disk."""
    start = {name: tensor.detach().clone() for name, tensor in load_policy(warm)[0].named_parameters()}
    moved = {}
    for kl in (0.0, 10.0):
        after = trained(trainer_of(tmp_path, warm, algo="grpo", kl=kl, steps=12, num_iterations=3, learning_rate=5e-3))
        moved[kl] = sum(float((after[name] - start[name]).square().sum()) for name in start)
    assert 0 < moved[10.0] < moved[0.0]


def mean_reward(trainer, warm):
    policy = LanguageModelPolicy(trainer.model, *load_policy(warm)[1:], max_new_tokens=12, temperature=1.0)
    ids, prompts = ToyTask().prompts("train")
    return ToyTask().rewards(ids * 8, policy(ids * 8, prompts * 8)).mean()


@pytest.mark.parametrize("algo", ["ospo", "grpo", "rloo"])
def test_learners_earn_more_than_the_warm_start(tmp_path, warm, algo):
    trainer = trainer_of(tmp_path, warm, algo=algo, steps=40, learning_rate=5e-3)
    before = mean_reward(trainer, warm)
    trainer.train()
    assert mean_reward(trainer, warm) > before + 0.05


def test_dpo_learns_what_is_preferred(tmp_path, warm):
    trainer = trainer_of(tmp_path, warm, algo="dpo", steps=20, learning_rate=1e-3)
    trainer.train()
    margins = [row["rewards/margins"] for row in trainer.state.log_history if "loss" in row]
    assert margins[0] == 0.0  # the reference is the policy it starts from
    assert np.mean(margins[-5:]) > np.mean(margins[:5]) + 0.1


def test_sft_goes_on_learning_the_demonstrations(tmp_path, warm):
    trainer = trainer_of(tmp_path, warm, algo="sft", steps=20)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
