"""OSPO as an algorithm of prime-rl, on traces of verifiers (:mod:`ospo_agents.integrations.verifiers`).

prime-rl has no hook for code of others: an algorithm is a class and a config in its own tree. There, with the taskset
of ``ospo_env.integrations.verifiers``::

    # prime_rl/orchestrator/algo/__init__.py, in ALGORITHM_CLASSES
    "ospo": algorithm(Algorithm, lambda: Crediting(task, PromptFormat(answer_tags=True)), load_tokenizer),

beside a config class with ``type: Literal["ospo"]`` in its union. Advantages are those of tokens, whatever the
redistribution; those that read the policy's entropy are refused. Not run with prime-rl itself, which no package index
has: its base class has the hook ``score_group`` and the traces are verifiers' own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ospo_agents.advantages import READ_ENTROPY, make_redistribution
from ospo_agents.errors import AgentError
from ospo_agents.integrations.crediting import Crediting
from ospo_agents.integrations.verifiers import credit_group

__all__ = ["algorithm"]


def algorithm(
    base: type,
    make_crediting: Callable[[], Crediting],
    load_tokenizer: Callable[[], Any],
    *,
    redistribution: str = "additive",
    redistribution_settings: Mapping[str, Any] | None = None,
    scale_rewards: str = "group",
) -> type:
    """A class of prime-rl's ``Algorithm``.

    Args:
        base: ``prime_rl.orchestrator.algo.base.Algorithm``, wherever the version at hand has it.
        make_crediting: The task and the choices of credit; called once, at the first group.
        load_tokenizer: The policy's tokenizer; called once.
        redistribution: Name in :data:`ospo_agents.advantages.REDISTRIBUTIONS`.
        redistribution_settings: Keyword arguments of the redistribution.
        scale_rewards: Name in :data:`ospo_agents.group_advantages.SCALES`.

    Raises:
        AgentError: A name or a setting is unknown, or the redistribution reads the policy's entropy.
    """
    if redistribution in READ_ENTROPY:
        raise AgentError(f"redistribution {redistribution} reads the policy's entropy, which a trace does not hold")
    make_redistribution(redistribution, **(redistribution_settings or {}))
    crediting, tokenizer = lru_cache(make_crediting), lru_cache(load_tokenizer)

    class OSPOAlgorithm(base):  # type: ignore[misc]  # prime-rl's
        """Advantages of tokens by the credit of their segments."""

        async def score_group(self, group: Iterable[Any]) -> None:
            """Assign advantages to the traces of one finalized group."""
            traces = list(_trainable(group))
            if traces:
                credit_group(
                    traces,
                    tokenizer(),
                    crediting(),
                    redistribution=redistribution,
                    redistribution_settings=redistribution_settings,
                    scale_rewards=scale_rewards,
                )

    return OSPOAlgorithm


def _trainable(group: Iterable[Any]) -> Iterator[Any]:
    """Traces without errors that hold sampled tokens; a group has episodes of traces, or the traces themselves."""
    for member in group:
        for trace in getattr(member, "traces", [member]):
            if not trace.has_error and trace.agent.trainable and any(any(node.mask) for node in trace.nodes):
                yield trace
