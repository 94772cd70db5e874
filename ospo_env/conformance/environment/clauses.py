"""The clauses of an environment's contract."""

from collections.abc import Callable
from typing import TypeAlias

from ospo_env.conformance.environment.case import EnvCase
from ospo_env.conformance.environment.episodes import ended, gymnasium, info, options, processes, seeds, types
from ospo_env.conformance.environment.rewards import batch, bounds, empty, hostile, reward

__all__ = ["ENV_CLAUSES", "EnvClause"]

EnvClause: TypeAlias = Callable[[EnvCase], str | None]
"""Of a case: a counter-example in words, or ``None``."""

ENV_CLAUSES: dict[str, EnvClause] = {
    clause.__name__: clause
    for clause in (
        gymnasium,
        reward,
        empty,
        batch,
        seeds,
        info,
        bounds,
        hostile,
        types,
        ended,
        options,
        processes,
    )
}
"""The clauses by name, in the order in which they are checked."""
