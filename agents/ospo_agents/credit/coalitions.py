"""Coalitions as rows of a boolean matrix: how they are made, looked up by content, and checked."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ospo_agents.errors import AgentError, BudgetError
from ospo_agents.protocols import Coalitions

__all__ = [
    "EXACT_BUDGET",
    "Credit",
    "Game",
    "Unions",
    "WorthTable",
    "Worths",
    "all_coalitions",
    "check_budget",
    "check_players",
    "check_worths",
    "evaluate",
    "partition",
    "require_unions",
]

Worths: TypeAlias = NDArray[np.float64]
"""Worth of each coalition: float64 (C,)."""

Credit: TypeAlias = NDArray[np.float64]
"""Credit of each player: float64 (N,)."""

Unions: TypeAlias = Sequence[Sequence[int]]
"""A coalition structure: a partition of ``range(N)``, one sequence of players a union."""

Game: TypeAlias = Callable[[Coalitions], ArrayLike]
"""Worths of coalitions, bool (C, N) to float (C,)."""

EXACT_BUDGET = 65_536
"""Game evaluations that an exact solution may ask unless told otherwise: all coalitions of 16 players."""


def check_players(n: int) -> None:
    """Raise :class:`AgentError` unless a number of players is at least 0."""
    if n < 0:
        raise AgentError(f"expected a number of players of at least 0, but got {n}")


def check_budget(name: str, n: int, evaluations: int, budget: int, instead: str) -> None:
    """Raise :class:`BudgetError` where an exact plan asks more evaluations than its budget."""
    if evaluations > budget:
        shown = f"{evaluations:,}" if evaluations < 10**15 else "over 10^15"  # Python prints no number of any length
        raise BudgetError(
            f"exact {name} credit of {n} segments needs {shown} evaluations, more than the budget of "
            f"{budget:,}; use {instead}, longer segments or a larger budget"
        )


def all_coalitions(n: int) -> Coalitions:
    """All subsets of n players, bool (2^n, n); row k holds player i where bit i of k is set.

    >>> all_coalitions(2).astype(int).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    coalitions = np.zeros((2**n, n), dtype=bool)
    for player in range(n):
        without, joined = coalitions[: 2**player], coalitions[2**player : 2 ** (player + 1)]
        joined[:] = without
        joined[:, player] = True
    return coalitions


def partition(unions: Unions, n: int) -> list[NDArray[np.int64]]:
    """Unions as index arrays, checked to be a partition of ``range(n)``.

    Raises:
        AgentError: One is empty, or they do not hold each player once.
    """
    blocks = [np.asarray(block, dtype=np.int64) for block in unions]
    players = np.sort(np.concatenate(blocks)) if blocks else np.zeros(0, dtype=np.int64)
    if not np.array_equal(players, np.arange(n)) or any(not len(block) for block in blocks):
        raise AgentError(
            f"expected unions that hold each of {n} players once, but got {[block.tolist() for block in blocks]}"
        )
    return blocks


def require_unions(unions: Unions | None) -> Unions:
    """Unions, which an Owen form needs; :class:`AgentError` for None."""
    if unions is None:
        raise AgentError("expected unions (lists of players), but got none; ospo_agents.segments.unions makes them")
    return unions


class WorthTable:
    """Table of worths, looked up by the members of a coalition, whatever the order of rows.

    Attributes:
        n: Number of players.
        distinct: The coalitions without repetition, in an order of their own: bool (D, N).

    Args:
        coalitions: bool (C, N); a row may stand twice.
        worths: float (C,), finite, equal for equal rows.

    Raises:
        AgentError: Shapes do not fit, a worth is not finite, or equal rows have different worths.
    """

    def __init__(self, coalitions: Coalitions, worths: ArrayLike) -> None:
        coalitions, values = check_worths(coalitions, worths)
        self.n = coalitions.shape[1]
        self._keys, first, inverse = np.unique(_keys(coalitions), return_index=True, return_inverse=True)
        self.distinct = coalitions[first]
        self._worths = values[first]
        if not np.array_equal(self._worths[inverse], values):
            raise AgentError("expected one worth for each coalition, but equal coalitions came with different worths")

    def contains(self, coalitions: Coalitions) -> NDArray[np.bool_]:
        """Whether each coalition of bool (..., N) has a worth: bool (...,)."""
        return self._find(coalitions)[1]

    def __call__(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """Worths of bool (..., N), float64 (...,).

        Raises:
            AgentError: A coalition has no worth in the table.
        """
        index, present = self._find(coalitions)
        if not present.all():
            missing = np.flatnonzero(coalitions[~present][0]).tolist()
            raise AgentError(
                f"expected the worth of the coalition {missing} among {len(self._keys)} coalitions, but it is missing; "
                "solve needs every coalition of the plan"
            )
        return self._worths[index]

    def _find(self, coalitions: Coalitions) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        keys = _keys(coalitions.reshape(-1, self.n))
        index = np.minimum(np.searchsorted(self._keys, keys), max(len(self._keys) - 1, 0))
        present = self._keys[index] == keys if len(self._keys) else np.zeros(len(keys), dtype=bool)
        return index.reshape(coalitions.shape[:-1]), present.reshape(coalitions.shape[:-1])


def check_worths(coalitions: Coalitions, worths: ArrayLike) -> tuple[Coalitions, NDArray[np.float64]]:
    """Coalitions bool (C, N) and worths float64 (C,), checked to fit and to be finite."""
    coalitions = np.asarray(coalitions, dtype=bool)
    values = np.asarray(worths, dtype=np.float64)
    if coalitions.ndim != 2 or values.shape != coalitions.shape[:1]:
        raise AgentError(
            f"expected coalitions (C, N) and worths (C,), but got shapes {coalitions.shape} and {values.shape}"
        )
    if not np.isfinite(values).all():
        raise AgentError("expected finite worths, but got nan or infinity")
    return coalitions, values


def evaluate(game: Game, coalitions: Coalitions) -> Worths:
    """Worths of coalitions, float64 (C,); the game is called once, with each distinct coalition once."""
    if not len(coalitions):
        return np.zeros(0)
    keys = _keys(coalitions)
    if (keys[1:] > keys[:-1]).all():
        first = inverse = order = np.arange(len(keys))
    else:
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        order = np.sort(first)  # the plan's own order, so that a game sees it
    worths = np.asarray(game(coalitions[order]), dtype=np.float64)
    if worths.shape != order.shape:
        raise AgentError(f"expected a game that gives {order.shape} worths, but got the shape {worths.shape}")
    spread: Worths = worths[np.searchsorted(order, first)][inverse]
    return spread


def _keys(coalitions: Coalitions) -> NDArray[Any]:
    """One sortable key a row, (C,): a bit field up to 62 players, bytes beyond."""
    n = coalitions.shape[1]
    if n <= 62:
        return coalitions @ (1 << np.arange(n, dtype=np.int64))
    packed = np.ascontiguousarray(np.packbits(coalitions, axis=1))
    return packed.view(f"S{packed.shape[1]}").ravel()
