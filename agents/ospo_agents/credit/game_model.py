"""A Gaussian process over games, and the posterior of linear solutions of a game given some of its worths.

The worth function is modelled as a random function whose Walsh coefficients are independent, with a variance that
depends on their degree alone, so that the covariance of two worths depends on the Hamming distance of the coalitions:

cov(v(S), v(T)) = sum over d of w_d kappa_d(|S xor T|; n),

with w_d the share of degree d and kappa_d(h; n) the Krawtchouk polynomial of degree d divided by its value at 0. A
solution that is linear in the game has a posterior mean in closed form, known as Bayesian quadrature (A. O'Hagan,
"Bayes-Hermite quadrature", 1991; C. E. Rasmussen, Z. Ghahramani, "Bayesian Monte Carlo", 2003).
"""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Posterior",
    "condition",
    "distances",
    "krawtchouk",
    "odd_covariance",
    "shapley_covariance",
    "shapley_profile",
    "shapley_variance",
    "shares",
    "worth_covariance",
]

_CONSTANT, _LINEAR, _SECOND, _DECAY = 3.0, 0.8, 0.3, 0.6
"""Share of degrees 0, 1 and 2, and the ratio of shares of neighbouring degrees from there on."""
_HIGHEST_DEGREE = 15  # the share of those beyond is below 1e-4
_JITTER = 1e-10  # relative to the variance of a worth: keeps a nearly complete table solvable


def shares(n: int) -> dict[int, float]:
    """Share of each degree in the variance of a worth of n players.

    Degree 0 is the unknown mean of the game. The ratio of the other shares was chosen on games of real products, by the
    error of credit; twice or half the ratio costs little.
    """
    higher = {degree: _SECOND * _DECAY ** (degree - 2) for degree in range(2, _HIGHEST_DEGREE + 1)}
    return {degree: share for degree, share in {0: _CONSTANT, 1: _LINEAR, **higher}.items() if degree <= n}


def krawtchouk(n: int, degree: int) -> NDArray[np.float64]:
    """Krawtchouk polynomial at 0, ..., n, divided by its value at 0: float64 (n + 1,) in [-1, 1].

    By the recurrence (n - d) kappa_{d+1}(h) = (n - 2 h) kappa_d(h) - d kappa_{d-1}(h).

    Args:
        n: Number of players.
        degree: Degree, at most n.

    >>> krawtchouk(2, 2)
    array([ 1., -1.,  1.])
    """
    distance = np.arange(n + 1)
    before, value = np.zeros(n + 1), np.ones(n + 1)
    for d in range(degree):
        before, value = value, ((n - 2 * distance) * value - d * before) / (n - d)
    return value


@cache
def worth_covariance(n: int) -> NDArray[np.float64]:
    """Covariance of two worths by the distance 0, ..., n of the coalitions: float64 (n + 1,), not to be written."""
    return _sum(share * krawtchouk(n, degree) for degree, share in shares(n).items())


@cache
def odd_covariance(n: int) -> NDArray[np.float64]:
    """Covariance of half the differences of worths and of the complements' worths, by distance: float64 (n + 1,)."""
    return _sum(share * krawtchouk(n, degree) for degree, share in shares(n).items() if degree % 2)


def distances(coalitions: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Hamming distances of C coalitions of N players, (C, C)."""
    signs = 1.0 - 2.0 * coalitions
    counts: NDArray[np.intp] = np.rint((coalitions.shape[1] - signs @ signs.T) / 2).astype(np.intp)
    return counts


@cache
def shapley_profile(n: int) -> NDArray[np.float64]:
    """Covariance of a player's Shapley value with the worth of a coalition that holds it, by its other players: (n,).

    It is the negative for a coalition that lacks the player. 2 / n * sum over odd d of w_d kappa_{d-1}(others; n - 1).
    """
    odd = [(degree, share) for degree, share in shares(n).items() if degree % 2]
    return _sum(2 / n * share * krawtchouk(n - 1, degree - 1) for degree, share in odd)


def shapley_covariance(coalitions: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Covariance of C worths with the Shapley values of N players, float64 (C, N)."""
    others = coalitions.sum(axis=1)[:, None] - coalitions
    covariance: NDArray[np.float64] = (2.0 * coalitions - 1.0) * shapley_profile(coalitions.shape[1])[others]
    return covariance


def shapley_variance(n: int) -> float:
    """Prior variance of a Shapley value: 4 / n * sum over odd d of w_d / d."""
    return 4 / n * sum(share / degree for degree, share in shares(n).items() if degree % 2)


class Posterior(NamedTuple):
    """Posterior of N quantities that are linear in the game, all but the C values that it is conditioned on.

    Attributes:
        weights: Weight of each value in the mean of each quantity, float64 (C, N).
        precision: Inverse of the covariance of the values, float64 (C, C).
        variance: Posterior variance of each quantity where the process has the scale 1, float64 (N,).
    """

    weights: NDArray[np.float64]
    precision: NDArray[np.float64]
    variance: NDArray[np.float64]

    def __call__(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means and standard deviations, two float64 (N,), given the values (C,).

        The scale of the process is estimated from the values by maximum likelihood.
        """
        variance = (values @ self.precision @ values / len(values)) * self.variance
        return values @ self.weights, np.sqrt(np.maximum(variance, 0.0))


def condition(covariance: NDArray[np.float64], cross: NDArray[np.float64], prior: NDArray[np.float64]) -> Posterior:
    """The posterior of N quantities given C values, whatever these are.

    Args:
        covariance: Covariance of the values, (C, C).
        cross: Covariance of each value with each quantity, (C, N).
        prior: Prior variance of each quantity, (N,).
    """
    covariance = covariance.copy()
    covariance[np.diag_indices(len(covariance))] *= 1 + _JITTER
    both = np.column_stack([cross, np.eye(len(covariance))])
    solved = np.asarray(np.linalg.solve(covariance, both), dtype=np.float64)
    weights = solved[:, : cross.shape[1]]
    explained: NDArray[np.float64] = (cross * weights).sum(axis=0)
    return Posterior(weights, solved[:, cross.shape[1] :], prior - explained)


def _sum(arrays: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Sum of arrays of one shape, read-only since it is kept."""
    total: NDArray[np.float64] = np.sum(list(arrays), axis=0)
    total.flags.writeable = False
    return total
