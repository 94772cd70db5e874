"""verl's agent loop of one turn, with a reward for each token; verl imports it by name in its workers."""

from typing import Any

import torch
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

from ospo_agents.errors import AgentError
from ospo_agents.integrations.verl import TOKEN_REWARDS

__all__ = ["CreditedAgentLoop", "CreditedOutput"]


class CreditedOutput(AgentLoopOutput):  # type: ignore[misc]  # verl ships no types
    """Output of an agent loop, whose scores are the rewards of tokens that the reward manager wrote."""

    def as_dict(self) -> dict[str, Any]:
        """Verl's fields of a rollout."""
        output: dict[str, Any] = super().as_dict()
        rewards = output["extra_fields"].get("reward_extra_info", {}).pop(TOKEN_REWARDS, None)
        if rewards is None:
            raise AgentError(
                "expected rewards of tokens, but the reward manager wrote none; "
                "reward.reward_manager.name must name a class of ospo_agents.integrations.verl.reward_manager"
            )
        output["rm_scores"] = torch.tensor(rewards, dtype=torch.float32)
        return output


class CreditedAgentLoop(SingleTurnAgentLoop):  # type: ignore[misc]
    """One turn of a conversation."""

    async def run(self, *arguments: Any, **named: Any) -> CreditedOutput:
        """Verl's rollout."""
        output: CreditedOutput = CreditedOutput.model_construct(**dict(await super().run(*arguments, **named)))
        return output
