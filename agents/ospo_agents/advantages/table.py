"""Redistributions by name, with settings of their own, and the published choices."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ospo_agents.advantages.shares import prop, rank
from ospo_agents.advantages.state_baseline import potential
from ospo_agents.advantages.sums import additive, return_to_go, signed
from ospo_agents.errors import unknown
from ospo_agents.rivals import entropy_weights, grpo_lambda, oar, scar, tempo
from ospo_agents.rollouts import CreditedRollouts

__all__ = ["PAPER", "READ_ENTROPY", "REDISTRIBUTIONS", "Redistribution", "make_redistribution"]


Redistribution: TypeAlias = Callable[[CreditedRollouts], NDArray[np.float64]]
"""Advantages of tokens, float64 (B, T)."""


REDISTRIBUTIONS: Mapping[str, Callable[..., NDArray[np.float64]]] = MappingProxyType(
    {
        "additive": additive,
        "signed": signed,
        "prop": prop,
        "rank": rank,
        "return_to_go": return_to_go,
        "potential": potential,
        "oar": oar,
        "scar": scar,
        "entropy_weights": entropy_weights,
        "tempo": tempo,
        "grpo_lambda": grpo_lambda,
    }
)
"""Redistributions by name: each lays credit on tokens, but the last three, which do not read it."""

READ_ENTROPY = frozenset({"entropy_weights"})
"""Redistributions that need ``CreditedRollouts.entropy``: one more pass of the policy over its rollouts."""

_PUBLISHED = {"solution": "contiguous", "redistribution": "prop", "redistribution_settings": {"scaling": "minmax"}}
PAPER: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "esci": {"segmenter": "phrases", "solution_settings": {"width": 32, "budget": 64}, **_PUBLISHED},
        "hm": {"segmenter": "sentences", "solution_settings": {"width": 8, "budget": 96}, **_PUBLISHED},
    }
)
"""The published choices of segments, credit and redistribution (arXiv 2601.08403), by data set; G = 8 in both."""


def make_redistribution(name: str, **settings: Any) -> Redistribution:
    """A redistribution by name, with settings of its own.

    Args:
        name: A name in :data:`REDISTRIBUTIONS`.
        **settings: Keyword arguments of that function.

    Raises:
        AgentError: The name or a setting is unknown, or a setting is out of range.
    """
    if name not in REDISTRIBUTIONS:
        raise unknown("redistribution", name, REDISTRIBUTIONS)
    function = REDISTRIBUTIONS[name]
    names = list(inspect.signature(function).parameters)[1:]
    for setting in settings:
        if setting not in names:
            raise unknown(f"{name} setting", setting, names)
    redistribution = partial(function, **settings)
    none, nobody = np.zeros(0), np.zeros((0, 0))
    whole, false = nobody.astype(np.int64), nobody.astype(np.bool_)
    # No rollouts: a setting out of range is reported before training starts.
    redistribution(
        CreditedRollouts(
            none,
            none,
            nobody,
            whole,
            false,
            none.astype(np.int64),
            separator=false,
            phrase=whole,
            tokens=whole,
            entropy=nobody,
        )
    )
    return redistribution
