"""SkyRL's advantages are OSPOTrainer's; SkyRL's own modules where it is installed (``make integrations``)."""

import asyncio
import sys
import typing
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import typing_extensions

from ospo_agents import AgentError
from ospo_agents.advantages import make_redistribution
from ospo_agents.integrations.crediting import Crediting
from ospo_agents.integrations.skyrl import (
    advantage_estimator,
    credited_generator,
    register_estimator,
    rows,
    text_env,
    write_credit,
)
from ospo_agents.integrations.token_rewards import CARRIED
from stored_rollouts import FORMAT, stored_rollouts


@pytest.fixture(scope="module", params=["group", "none"])
def stored(request, tmp_path_factory):
    return request.param, stored_rollouts(tmp_path_factory.mktemp("run"), scale_rewards=request.param)


def crediting(rollouts):
    return Crediting(rollouts.task, FORMAT, solution="shapley")


def generated(rollouts):
    """A generator's output before credit, and the columns of the data set."""
    ids = rollouts.completion_ids
    output = {
        "response_ids": ids,
        "loss_masks": [[1] * len(one) for one in ids],
        "rewards": [0.0] * len(ids),
        "rollout_metrics": {"generate/seconds": 1.0},
    }
    return output, [{"prompt_id": prompt_id} for prompt_id in rollouts.prompt_ids]


def on_the_right(values, width):
    """Rows (B, width) that end where SkyRL's do."""
    aligned = np.zeros((len(values), width), dtype=np.float32)
    for place, row in zip(aligned, values, strict=True):
        place[width - len(row) :] = row
    return aligned


def expected(rollouts, name):
    """OSPOTrainer's advantages, aligned as SkyRL aligns them."""
    advantages = rollouts.advantages(make_redistribution(name))
    return on_the_right([row[mask] for row, mask in zip(advantages, rollouts.mask, strict=True)], advantages.shape[1])


@pytest.mark.parametrize("name", CARRIED)
def test_advantages_are_those_of_the_trainer(stored, name):
    scale, rollouts = stored
    output, extras = generated(rollouts)
    calls = rollouts.task.calls
    write_credit(output, extras, rollouts.tokenizer, crediting(rollouts))
    assert rollouts.task.calls == calls + 1
    width = rollouts.mask.shape[1]
    rewards = torch.from_numpy(on_the_right(output["rewards"], width))
    mask = torch.from_numpy(on_the_right(output["loss_masks"], width))
    uids = [str(number) for number in rollouts.group]
    advantages, returns = advantage_estimator(name)(
        token_level_rewards=rewards,
        response_mask=mask,
        index=uids,
        values=None,
        gamma=1.0,
        lambd=1.0,
        grpo_norm_by_std=scale == "group",
    )
    assert advantages.dtype == torch.float32
    assert torch.equal(advantages, returns)
    np.testing.assert_allclose(advantages.numpy(), expected(rollouts, name), rtol=1e-6, atol=1e-6)
    assert output["rollout_metrics"]["ospo/joined_segments"] == 0
    np.testing.assert_allclose(
        output["rollout_metrics"]["ospo/reward"], np.mean([one.reward for one in rollouts.completions])
    )


def test_what_changes_rewards_or_spreads_credit_is_refused():
    estimate = advantage_estimator()
    arguments = {"token_level_rewards": torch.zeros(2, 3), "response_mask": torch.ones(2, 3), "index": ["a", "a"]}
    estimate(**arguments)
    for config, message in (
        (SimpleNamespace(use_kl_in_reward=True), "use_kl_in_reward changes the rewards that tell credit"),
        (SimpleNamespace(policy_loss_type="gspo"), "policy_loss_type gspo has one ratio a sequence"),
    ):
        with pytest.raises(AgentError, match=message):
            estimate(config=config, **arguments)
    with pytest.raises(AgentError, match="redistribution potential reads what rewards of tokens do not carry"):
        advantage_estimator("potential")


def test_rows_and_steps_that_do_not_fit_are_refused(stored):
    _, rollouts = stored
    output, extras = generated(rollouts)
    with pytest.raises(AgentError, match=r"expected prompt_id in each row .* got the columns \['id'\]"):
        write_credit(output, [{"id": 1} for _ in extras], rollouts.tokenizer, crediting(rollouts))
    with pytest.raises(AgentError, match="step_wise_trajectories splits it"):
        write_credit({**output, "is_last_step": [True]}, extras, rollouts.tokenizer, crediting(rollouts))
    first, *others = rows(rollouts.task, FORMAT)
    query = rollouts.task.queries["p0"]
    assert first == {"prompt": [{"role": "user", "content": query}], "env_class": "ospo", "prompt_id": "p0"}
    assert len(others) == len(rollouts.task.queries) - 1


@pytest.fixture(scope="module")
def skyrl():
    """SkyRL's own modules; it is written for Python 3.12, whose TypedDict pydantic reads."""
    pytest.importorskip("skyrl_gym", reason="skyrl is not installed; make integrations")
    if sys.version_info < (3, 12):
        typing.TypedDict = typing_extensions.TypedDict
    from skyrl.backends.skyrl_train.utils import ppo_utils
    from skyrl.train.config.config import AlgorithmConfig, GeneratorConfig, SkyRLGymConfig
    from skyrl.train.dataset.preprocess import convert_prompts_responses_to_batch_tensors
    from skyrl.train.generators.base import BatchMetadata

    return SimpleNamespace(
        ppo=ppo_utils,
        algorithm=AlgorithmConfig,
        generator=GeneratorConfig,
        gym=SkyRLGymConfig,
        tensors=convert_prompts_responses_to_batch_tensors,
        metadata=BatchMetadata,
    )


class Engine:
    """An inference engine that has written its responses before."""

    model_name = "policy"

    def __init__(self, tokenizer, ids):
        self.tokenizer, self.ids = tokenizer, ids

    async def generate(self, input_batch, model=None):
        texts = self.tokenizer.batch_decode(self.ids, skip_special_tokens=True)
        stops = ["stop" if ids[-1] == self.tokenizer.eos_token_id else "length" for ids in self.ids]
        return {"responses": texts, "response_ids": self.ids, "stop_reasons": stops, "response_logprobs": None}


@pytest.mark.parametrize("phase", ["train", "eval"])
def test_the_generator_and_the_registered_estimator(skyrl, stored, phase):
    """SkyRL's generator, its layout of batches and its call of the estimator, with the engine's responses given."""
    import skyrl_gym

    scale, rollouts = stored
    name = f"ospo-{scale}-{phase}"
    skyrl_gym.register(id=name, entry_point=text_env(crediting(rollouts)))
    register_estimator(name)
    generator = credited_generator(crediting(rollouts))(
        skyrl.generator(batched=True, max_turns=1),
        skyrl.gym(max_env_workers=0),
        Engine(rollouts.tokenizer, rollouts.completion_ids),
        rollouts.tokenizer,
    )
    prompts = dict(zip(*rollouts.task.prompts("train"), strict=True))
    batch = {
        "prompts": [FORMAT.messages(prompts[prompt_id]) for prompt_id in rollouts.prompt_ids],
        "env_classes": [name] * len(rollouts.prompt_ids),
        "env_extras": [{"prompt_id": prompt_id} for prompt_id in rollouts.prompt_ids],
        "sampling_params": None,
        "trajectory_ids": None,
        "batch_metadata": skyrl.metadata(global_step=1, training_phase=phase),
    }
    output = asyncio.run(generator.generate(batch))
    if phase == "eval":
        np.testing.assert_allclose(output["rewards"], [one.reward for one in rollouts.completions])
        return
    *_, mask, rewards, _, _, _, _ = skyrl.tensors(
        0, output["prompt_token_ids"], output["response_ids"], output["rewards"], output["loss_masks"]
    )
    advantages, _ = skyrl.ppo.compute_advantages_and_returns(
        token_level_rewards=rewards,
        response_mask=mask,
        index=[str(number) for number in rollouts.group],
        adv_estimator=name,
        config=skyrl.algorithm(),
        grpo_norm_by_std=scale == "group",
    )
    np.testing.assert_allclose(advantages.numpy(), expected(rollouts, "additive"), rtol=1e-6, atol=1e-6)
