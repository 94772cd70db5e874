"""The baseline: the procedure of the published release, in plain steps and on this project's retrievers.

A coalition at a time: its text is encoded, the whole corpus is ranked and cut at 1,000, documents outside the candidate
pool are dropped, and nDCG is computed in Python over what is left. Nothing is batched, shared or remembered.
"""

import math
from collections.abc import Mapping, Sequence

from ospo_env.retrievers import Retriever

__all__ = ["DEPTH", "reference_worth"]

DEPTH = 1000


def reference_worth(
    retriever: Retriever,
    text: str,
    gains: Mapping[int, float],
    judged: Sequence[float],
    cutoff: int,
    depth: int = DEPTH,
) -> float:
    """The metric nDCG of one coalition's text.

    Args:
        retriever: Ranks the corpus.
        text: The text of the coalition.
        gains: The gain of each document row of the candidate pool, 0 where it has none.
        judged: Gains of all judged documents of the query.
        cutoff: Ranks that count.
        depth: Documents that the whole corpus is cut to first.

    Returns:
        In [0, 1].
    """
    if not text.strip():
        return 0.0
    rows, _ = retriever.rank_corpus(text, depth)
    ranked = [gains[row] for row in rows.tolist() if row in gains]
    ideal = _discounted(sorted(judged, reverse=True)[:cutoff])
    return _discounted(ranked[:cutoff]) / ideal if ideal else 0.0


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
