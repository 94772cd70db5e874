"""OSPO in SkyRL: an environment, a generator that writes credit as rewards of tokens, and the estimator that reads it.

A program of one's own joins them, since SkyRL takes environments, generators and estimators from code::

    crediting = Crediting(gym.make("ospo_env:OSPO-ESCI-v0").unwrapped.task, PromptFormat(answer_tags=True))
    register_estimator("ospo")
    skyrl_gym.register(id="ospo", entry_point=text_env(crediting))


    class Experiment(BasePPOExp):
        def get_generator(self, cfg, tokenizer, client):
            return credited_generator(crediting)(cfg.generator, cfg.environment.skyrl_gym, client, tokenizer)

with ``trainer.algorithm.advantage_estimator=ospo`` and a data set of :func:`rows`. Credit travels as
:mod:`ospo_agents.integrations.token_rewards` describes; SkyRL's reward metrics are sums of it. The reward must not be
changed on the way (``use_kl_in_reward`` is refused), and losses that weigh a whole sequence (``gspo``) are refused too.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ospo_agents.errors import AgentError
from ospo_agents.integrations.crediting import Crediting
from ospo_agents.integrations.token_rewards import (
    advantages_of_token_rewards,
    carried_redistribution,
    joined_segments,
    token_rewards,
)
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.protocols import Task

__all__ = ["advantage_estimator", "credited_generator", "register_estimator", "rows", "text_env"]


def rows(task: Task, prompt_format: PromptFormat, split: str = "train", env_class: str = "ospo") -> Iterator[Any]:
    """Rows of SkyRL's data set: ``prompt``, ``env_class`` and ``prompt_id``, to be written as Parquet or JSON Lines."""
    for prompt_id, prompt in zip(*task.prompts(split), strict=True):
        yield {"prompt": prompt_format.messages(prompt), "env_class": env_class, "prompt_id": prompt_id}


def text_env(crediting: Crediting) -> type:
    """A ``skyrl_gym`` environment of one turn: its reward is that of the rewrite in the completion."""
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

    class RewriteTextEnv(BaseTextEnv):  # type: ignore[misc]  # SkyRL ships no types
        """One rewrite of one prompt."""

        def __init__(self, env_config: Any = None, extras: dict[str, Any] | None = None) -> None:
            super().__init__()
            self.prompt_id = _prompt_id(extras)
            self.malformed = False

        def step(self, action: str) -> Any:
            """Reward of the rewrite, which ends the episode."""
            self.malformed = crediting.prompt_format.rewrite(action) is None
            reward = crediting.reward(self.prompt_id, action)
            return BaseTextEnvStepOutput(observations=[], reward=reward, done=True, metadata={})

        def get_metrics(self) -> dict[str, Any]:
            """Whether the completion held no rewrite."""
            return {"malformed": float(self.malformed)}

    return RewriteTextEnv


def credited_generator(crediting: Crediting, base: type | None = None) -> type:
    """A generator whose rewards of training are those of tokens, with credit; one call of the task a batch.

    Args:
        crediting: The task and the choices of credit.
        base: The generator that samples; None for ``SkyRLGymGenerator``.
    """
    from skyrl.train.generators.skyrl_gym_generator import SkyRLGymGenerator

    sampler: Any = base or SkyRLGymGenerator

    class CreditedGenerator(sampler):  # type: ignore[misc]
        """The generator, with credit."""

        async def generate(self, input_batch: Any, *arguments: Any, **named: Any) -> Any:
            """SkyRL's rollouts; those of training have a reward for each token."""
            output = await super().generate(input_batch, *arguments, **named)
            metadata = input_batch.get("batch_metadata")
            if metadata is None or metadata.training_phase == "train":
                write_credit(output, input_batch["env_extras"], self.tokenizer, crediting)
            return output

    return CreditedGenerator


def write_credit(output: Any, extras: Sequence[dict[str, Any]], tokenizer: Any, crediting: Crediting) -> None:
    """Replace the rewards of a generator's output by rewards of tokens, in place.

    Raises:
        AgentError: Trajectories are split into steps, or a row of the data set has no ``prompt_id``.
    """
    if output.get("is_last_step") is not None:
        raise AgentError(
            "expected one sequence a trajectory, but generator.step_wise_trajectories splits it; leave it out"
        )
    completions = crediting.credit(
        tokenizer, [_prompt_id(extra) for extra in extras], output["response_ids"], output["loss_masks"]
    )
    output["rewards"] = [token_rewards(one).tolist() for one in completions]
    output["rollout_metrics"] = {
        **(output.get("rollout_metrics") or {}),
        "ospo/reward": float(np.mean([one.reward for one in completions])),
        "ospo/segments": float(np.mean([len(one.credit) for one in completions])),
        "ospo/joined_segments": float(sum(joined_segments(one) for one in completions)),
    }


def advantage_estimator(redistribution: str = "additive", **settings: Any) -> Callable[..., tuple[Any, Any]]:
    """An estimator in SkyRL's terms, which reads credit from rewards of tokens.

    Args:
        redistribution: Name in :data:`ospo_agents.integrations.token_rewards.CARRIED`.
        **settings: Keyword arguments of the redistribution.

    Raises:
        AgentError: Rewards of tokens do not carry the redistribution, or a name or a setting is unknown.
    """
    redistribute = carried_redistribution(redistribution, settings)

    def estimate(
        token_level_rewards: Any,
        response_mask: Any,
        index: Sequence[Any],
        config: Any = None,
        grpo_norm_by_std: bool = True,
        **_others: Any,  # values, gamma, lambd: of estimators with a value model
    ) -> tuple[Any, Any]:
        """Advantages of tokens, twice, since there are no returns of another kind."""
        if getattr(config, "use_kl_in_reward", False):
            raise AgentError("trainer.algorithm.use_kl_in_reward changes the rewards that tell credit; use use_kl_loss")
        if getattr(config, "policy_loss_type", None) == "gspo":
            raise AgentError("policy_loss_type gspo has one ratio a sequence, which spreads credit evenly; use regular")
        advantages = advantages_of_token_rewards(
            token_level_rewards.detach().cpu().numpy(),
            response_mask.detach().cpu().numpy(),
            list(index),
            redistribute,
            scale_rewards="group" if grpo_norm_by_std else "none",
        )
        tensor = token_level_rewards.new_tensor(advantages)
        return tensor, tensor

    return estimate


def register_estimator(name: str = "ospo", redistribution: str = "additive", **settings: Any) -> None:
    """Register :func:`advantage_estimator` under a name for ``trainer.algorithm.advantage_estimator``."""
    from skyrl.backends.skyrl_train.utils.ppo_utils import register_advantage_estimator

    register_advantage_estimator(name)(advantage_estimator(redistribution, **settings))


def _prompt_id(extras: dict[str, Any] | None) -> str:
    if not extras or "prompt_id" not in extras:
        raise AgentError(f"expected prompt_id in each row of the data set, but got the columns {sorted(extras or ())}")
    return str(extras["prompt_id"])
