"""OSPO in verl: a reward manager that writes credit, an agent loop that lays it on tokens, the estimator that reads it.

The entry point ``verl.plugins`` of the installed project registers the estimator ``ospo`` in each process that imports
verl. The reward manager is a class in a file of one's own, which says of what task::

    # rewriting.py
    import gymnasium as gym
    from ospo_agents.integrations.crediting import Crediting
    from ospo_agents.integrations.verl import reward_manager
    from ospo_agents.policies.prompt_format import PromptFormat

    Rewriting = reward_manager(
        lambda: Crediting(gym.make("ospo_env:OSPO-ESCI-v0").unwrapped.task, PromptFormat(answer_tags=True))
    )

with a data set of :func:`rows`, and these settings::

    algorithm.adv_estimator=ospo
    reward.reward_manager.source=importlib
    reward.reward_manager.module.path=rewriting.py
    reward.reward_manager.name=Rewriting
    actor_rollout_ref.rollout.agent.default_agent_loop=ospo
    actor_rollout_ref.rollout.agent.agent_loop_config_path=agent_loop.yaml

where ``agent_loop.yaml`` names ``ospo_agents.integrations.verl_agent_loop.CreditedAgentLoop``
(:data:`AGENT_LOOP_YAML`): verl's own loops keep one score of a completion and drop the rest. Credit travels as
:mod:`ospo_agents.integrations.token_rewards` describes; verl's scores are sums of it, and the reward itself is the
extra information ``reward``. ``use_kl_in_reward`` changes what tells credit and is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

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

__all__ = ["AGENT_LOOP_YAML", "TOKEN_REWARDS", "advantage_estimator", "register_estimator", "reward_manager", "rows"]

TOKEN_REWARDS = "ospo_token_rewards"
"""Key under which the reward manager hands the agent loop a completion's rewards of tokens."""

AGENT_LOOP_YAML = "- name: ospo\n  _target_: ospo_agents.integrations.verl_agent_loop.CreditedAgentLoop\n"
"""Contents of the file that ``agent_loop_config_path`` names."""


def rows(task: Task, prompt_format: PromptFormat, split: str = "train") -> Iterator[Any]:
    """Rows of verl's data set, to be written as Parquet: ``prompt``, and the prompt's id in ``extra_info``."""
    for prompt_id, prompt in zip(*task.prompts(split), strict=True):
        yield {
            "data_source": "ospo",
            "prompt": prompt_format.messages(prompt),
            "reward_model": {"style": "rule", "ground_truth": ""},
            "extra_info": {"prompt_id": prompt_id},
        }


def reward_manager(make_crediting: Callable[[], Crediting]) -> type:
    """A reward manager class of verl's reward loop.

    Args:
        make_crediting: The task and the choices of credit; called once in each of verl's reward workers.
    """
    from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

    class CreditRewardManager(RewardManagerBase):  # type: ignore[misc]  # verl ships no types
        """Reward of a rewrite, and its credit as rewards of tokens."""

        def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_router: Any) -> None:
            super().__init__(config, tokenizer, compute_score)
            self.crediting = make_crediting()

        async def run_single(self, data: Any) -> dict[str, Any]:
            """Score of a completion of one turn, computed beside the event loop."""
            item = data[-1:][0]
            ids, length = item.batch["responses"], item.batch["responses"].shape[-1]
            count = int(item.batch["attention_mask"][-length:].sum())
            prompt_id = _prompt_id(item.non_tensor_batch.get("extra_info"))
            score: dict[str, Any] = await self.loop.run_in_executor(None, self._score, prompt_id, ids[:count].tolist())
            return score

        def _score(self, prompt_id: str, ids: list[int]) -> dict[str, Any]:
            (completion,) = self.crediting.credit(self.tokenizer, [prompt_id], [ids])
            return {
                "reward_score": completion.reward,
                "reward_extra_info": {
                    "reward": completion.reward,
                    "segments": len(completion.credit),
                    "joined_segments": joined_segments(completion),
                    TOKEN_REWARDS: token_rewards(completion).tolist(),
                },
            }

    return CreditRewardManager


def advantage_estimator(redistribution: str = "additive", **settings: Any) -> Callable[..., tuple[Any, Any]]:
    """An estimator in verl's terms, which reads credit from rewards of tokens.

    Args:
        redistribution: Name in :data:`ospo_agents.integrations.token_rewards.CARRIED`.
        **settings: Keyword arguments of the redistribution.

    Raises:
        AgentError: Rewards of tokens do not carry the redistribution, or a name or a setting is unknown.
    """
    redistribute = carried_redistribution(redistribution, settings)

    def estimate(
        token_level_rewards: Any, response_mask: Any, index: Sequence[Any] | None = None, config: Any = None, **_: Any
    ) -> tuple[Any, Any]:
        """Advantages of tokens, twice, since there are no returns of another kind."""
        if index is None:
            raise AgentError("expected the uid of each rollout, but verl passed none; rollout.n must be above 1")
        if getattr(config, "use_kl_in_reward", False):
            raise AgentError("algorithm.use_kl_in_reward changes the rewards that tell credit; use actor.use_kl_loss")
        advantages = advantages_of_token_rewards(
            token_level_rewards.detach().cpu().numpy(),
            response_mask.detach().cpu().numpy(),
            list(index),
            redistribute,
            scale_rewards="group" if getattr(config, "norm_adv_by_std_in_grpo", True) else "none",
        )
        tensor = token_level_rewards.new_tensor(advantages)
        return tensor, tensor

    return estimate


def register_estimator(name: str = "ospo", redistribution: str = "additive", **settings: Any) -> None:
    """Register :func:`advantage_estimator` under a name for ``algorithm.adv_estimator``, in this process."""
    from verl.trainer.ppo.core_algos import register_adv_est

    register_adv_est(name)(advantage_estimator(redistribution, **settings))


def _prompt_id(extra_info: Any) -> str:
    if not isinstance(extra_info, dict) or "prompt_id" not in extra_info:
        raise AgentError(f"expected prompt_id in extra_info of each row of the data set, but got {extra_info!r}")
    return str(extra_info["prompt_id"])
