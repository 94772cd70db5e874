"""The redistribution that keeps the policy gradient: a baseline that depends on the state alone."""

import numpy as np
from numpy.typing import NDArray

from ospo_agents.rollouts import CreditedRollouts

__all__ = ["potential"]


def potential(rollouts: CreditedRollouts) -> NDArray[np.float64]:
    """A_t = R - Phi(s_t), Phi(s_t) = v(the whole segments before token t) - v(empty), from prefix credit.

    Phi is the running sum of ``prefix_potential`` credit: a function of the state, if whether a segment is whole is
    known from the tokens before t (``CreditedRollouts.whole``). A baseline that depends on the state only leaves the
    expected policy gradient as it is, and with it the optimal policy. That is exact on-policy, with raw returns, a
    constant denominator of the loss and no KL; group means or standard deviations, length normalisation and KL break
    it. With any other credit it is no potential.

    So that nothing breaks it, tokens outside the scored span get R - Phi(s_t) too, not the group advantage: R before
    the span, R less the worth of what was whole after it. Without segments all tokens get R.

    Source: A. Ng, D. Harada, S. Russell, "Policy invariance under reward transformations", 1999; E. Greensmith,
    P. Bartlett, J. Baxter, "Variance reduction techniques for gradient estimates", 2004.

    Args:
        rollouts: Rollouts with ``prefix_potential`` credit.

    Returns:
        float64 (B, T).
    """
    whole = rollouts.whole
    if whole is None:
        before = np.pad(rollouts.segment, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
        whole = np.maximum.accumulate(np.maximum(before, 0), axis=1)
    filled = np.where(np.isnan(rollouts.credit), 0.0, rollouts.credit)
    phi = np.pad(filled.cumsum(axis=1), ((0, 0), (1, 0)))
    advantages = rollouts.rewards[:, None] - np.take_along_axis(phi, whole, axis=1)
    return np.where(rollouts.mask, advantages, 0.0)
