"""Environments by id, and the data sets that each reads."""

from typing import NamedTuple

import gymnasium

__all__ = ["ENVIRONMENTS", "SEARCH_ID", "Registration", "register_environments"]


class Registration(NamedTuple):
    """One id.

    Attributes:
        env_id: The name in Gymnasium's registry; its version goes up with any change of pool, labels, prompt, metric or
            tie rule.
        max_words: Cap on the words of a rewrite.
        sample: The embedded sample it reads when no data is given; ``None`` for an id that needs data.
        datasets: The data sets it reads, as manifests name them; ``None`` for all.
    """

    env_id: str
    max_words: int
    sample: str | None = None
    datasets: tuple[str, ...] | None = None


ENVIRONMENTS = (
    Registration("OSPO-ESCI-v0", 16, sample="shopping", datasets=("esci", "sample-shopping")),
    Registration("OSPO-HM-v0", 24, sample="fashion", datasets=("hm", "sample-fashion")),
    Registration("OSPO-Rewrite-v0", 16),
)

"""The environments of one step an episode."""

SEARCH_ID = "OSPO-Search-v0"
"""The environment in turns; it reads the data sets of all others, and the embedded shop without one."""


def register_environments() -> None:
    """Put all ids into Gymnasium's registry, with string entry points and JSON-able arguments.

    ``max_episode_steps`` stays unset: an episode ends by itself, after one step or its last turn, and a limit would
    report it as truncated too.
    """
    for registration in ENVIRONMENTS:
        gymnasium.register(
            id=registration.env_id,
            entry_point="ospo_env.env:RewriteEnv",
            vector_entry_point="ospo_env.vector:RewriteVectorEnv",
            kwargs={"sample": registration.sample, "max_words": registration.max_words},
        )
    gymnasium.register(
        id=SEARCH_ID,
        entry_point="ospo_env.turns.env:SearchEnv",
        vector_entry_point="ospo_env.turns.vector:SearchVectorEnv",
        kwargs={"sample": "shopping"},
    )
