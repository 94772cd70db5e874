"""Advantages of rollouts within their group, and of tokens by the credit of their segments.

Weights that depend on the whole text (``additive``, ``signed``, ``prop``, ``rank``, ``return_to_go`` and those of other
methods in :mod:`ospo_agents.rivals`) are not potential-based: they deliberately change the optimal policy.
``potential`` keeps the policy gradient.

Tokens outside the scored span have no segment. They get the plain group advantage, in ``signed`` too: the rollout's
reward is all that measures them, and the decision to stop must be learned. ``potential`` alone differs there (see its
docstring). Tokens outside the mask get 0.
"""

from ospo_agents.advantages.group import group_relative
from ospo_agents.advantages.shares import prop, rank
from ospo_agents.advantages.state_baseline import potential
from ospo_agents.advantages.sums import additive, return_to_go, signed
from ospo_agents.advantages.table import PAPER, READ_ENTROPY, REDISTRIBUTIONS, Redistribution, make_redistribution
from ospo_agents.rollouts import CreditedRollouts, pool_twins

__all__ = [
    "PAPER",
    "READ_ENTROPY",
    "REDISTRIBUTIONS",
    "CreditedRollouts",
    "Redistribution",
    "additive",
    "group_relative",
    "make_redistribution",
    "pool_twins",
    "potential",
    "prop",
    "rank",
    "return_to_go",
    "signed",
]
