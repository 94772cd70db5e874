"""The clauses of an environment's contract."""

from collections.abc import Callable
from typing import TypeAlias

from ospo_env.conformance.environment import episodes, rewards
from ospo_env.conformance.environment.case import EnvCase
from ospo_env.conformance.messages import clause_table

__all__ = ["ENV_CLAUSES", "EnvClause"]

EnvClause: TypeAlias = Callable[[EnvCase], str | None]
"""From a case: a counter-example in words, or ``None``."""

ENV_CLAUSES: dict[str, EnvClause] = clause_table(
    episodes.check_gymnasium,
    rewards.check_reward,
    rewards.check_empty,
    rewards.check_turns,
    rewards.check_batch,
    episodes.check_seeds,
    episodes.check_info,
    rewards.check_bounds,
    rewards.check_hostile,
    episodes.check_types,
    episodes.check_ended,
    episodes.check_options,
    episodes.check_processes,
)
"""The clauses by name, in the order in which they are checked."""
