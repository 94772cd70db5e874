"""Advantages and credit on the traces of verifiers: ``MessageNode.advantages``, one for each sampled token.

prime-rl trains on what stands there; ``None`` is a node to which nothing was assigned. verifiers is not imported, since
a trace comes with all that is used.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ospo_agents.batches import CreditedCompletion
from ospo_agents.errors import AgentError
from ospo_agents.group_advantages import group_advantages, token_advantages
from ospo_agents.integrations.crediting import Crediting

__all__ = ["credit_group", "sampled_ids"]


def credit_group(
    traces: Sequence[Any],
    tokenizer: Any,
    crediting: Crediting,
    *,
    redistribution: str = "additive",
    redistribution_settings: Mapping[str, Any] | None = None,
    scale_rewards: str = "group",
) -> list[CreditedCompletion]:
    """Lay advantages on the nodes of one group's traces, in place; the task is called once.

    The last node of a trace that holds sampled tokens is its answer, and gets advantages by credit. Earlier ones get
    the advantage of the rollout.

    Args:
        traces: ``verifiers.v1.Trace`` of one task, whose ``task.data.id`` is the prompt's id.
        tokenizer: The policy's transformers tokenizer.
        crediting: The task and the choices of credit.
        redistribution: Name in :data:`ospo_agents.advantages.REDISTRIBUTIONS`.
        redistribution_settings: Keyword arguments of the redistribution.
        scale_rewards: Name in :data:`ospo_agents.group_advantages.SCALES`.

    Returns:
        The answers with their credit, one for each trace.

    Raises:
        AgentError: A trace has no sampled token, or its reward is another than the task's.
    """
    nodes = [[node for node in trace.nodes if any(node.mask)] for trace in traces]
    for trace, sampled in zip(traces, nodes, strict=True):
        if not sampled:
            raise AgentError(f"expected sampled tokens in trace {trace.id}, but it has none; leave it out of the group")
    completions = crediting.credit(
        tokenizer, [str(trace.task.data.id) for trace in traces], [sampled_ids(sampled[-1]) for sampled in nodes]
    )
    for trace, completion in zip(traces, completions, strict=True):
        if abs(trace.reward - completion.reward) > 1e-6:
            raise AgentError(
                f"expected the task's reward {completion.reward:g} of trace {trace.id}, but it has {trace.reward:g}; "
                "credit is of one reward, of weight 1"
            )
    group = np.zeros(len(traces), dtype=np.int64)
    advantages = token_advantages(
        completions,
        group,
        redistribution=redistribution,
        redistribution_settings=redistribution_settings,
        scale_rewards=scale_rewards,
    )
    rewards = np.array([completion.reward for completion in completions])
    of_rollouts, _ = group_advantages(rewards, group, scale_rewards)
    for sampled, own, row in zip(nodes, of_rollouts.tolist(), advantages, strict=True):
        *earlier, answer = sampled
        for node in earlier:
            node.advantages = [own] * sum(node.mask)
        answer.advantages = row[: sum(answer.mask)].tolist()
    return completions


def sampled_ids(node: Any) -> list[int]:
    """Ids of the tokens of a node that the policy sampled."""
    return [token for token, sampled in zip(node.token_ids, node.mask, strict=True) if sampled]
