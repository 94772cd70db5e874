"""The coalitions of a text that are called where not all of them may be."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

__all__ = ["choose_coalitions"]


def choose_coalitions(
    coalitions: NDArray[np.bool_], texts: Sequence[object], free: Sequence[object], calls: int, seed: int
) -> list[int]:
    """Choose single players, the grand coalition and others whose distinct texts are no more than the calls.

    The others are drawn without replacement by the Shapley kernel, 1 / (s (N - s) comb(N, s)) for size s, each followed
    by its complement if that is among the coalitions.

    Args:
        coalitions: Distinct coalitions, bool (C, N), all single players and the grand coalition among them. The empty
            one is never chosen.
        texts: The text of each, or what stands for it; two coalitions may have one text.
        free: Texts that do not count as calls.
        calls: Distinct texts at most, at least N + 1.
        seed: Seed of the draw.

    Returns:
        Rows of coalitions with distinct texts, ascending; the first of several single players of one text stands for
        them.
    """
    players = coalitions.shape[1]
    sizes = coalitions.sum(axis=1)
    first = np.flatnonzero((sizes == 1) | (sizes == players))
    others = np.flatnonzero((sizes > 1) & (sizes < players))
    weights = -np.log(sizes[others] * (players - sizes[others]))
    weights -= gammaln(players + 1) - gammaln(sizes[others] + 1) - gammaln(players - sizes[others] + 1)
    # exponential waiting times at these rates end in the order of draws without replacement
    waits = np.log(np.random.default_rng(seed).exponential(size=len(others))) - weights
    row_of = {row.tobytes(): number for number, row in enumerate(coalitions)}
    chosen: dict[object, int] = {}
    for number in first.tolist():
        chosen.setdefault(texts[number], number)
    for text in free:
        chosen.pop(text, None)
    unlike = set(chosen) | set(free)
    for number in others[np.argsort(waits)].tolist():
        if len(chosen) >= calls:
            break
        for row in (number, row_of.get((~coalitions[number]).tobytes())):
            if row is not None and texts[row] not in unlike and len(chosen) < calls:
                chosen[texts[row]] = row
                unlike.add(texts[row])
    return sorted(chosen.values())
