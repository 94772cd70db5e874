"""Rankings, metrics and sums of segments as one would write them first: what the engine has to equal, bit for bit."""

import numpy as np


def metric_of_row(name, scores, gain_of_column, judged):
    """A metric of one ranking: scores (P,), a gain a column, and the gains of all judged documents, descending."""
    measure, _, cutoff = name.partition("@")
    cutoff = int(cutoff) if cutoff else None
    order = sorted((c for c in range(len(scores)) if scores[c] > -np.inf), key=lambda c: (-scores[c], c))
    ranked = [gain_of_column.get(column, 0.0) for column in order][:cutoff]
    relevant = sum(gain >= 1 for gain in judged)
    if measure == "nDCG":
        best = discounted(judged[:cutoff])
        return discounted(ranked) / best if best else 0.0
    places = [rank for rank, gain in enumerate(ranked, start=1) if gain >= 1]
    if measure == "RR":
        return 1.0 / places[0] if places else 0.0
    if not relevant:
        return 0.0
    if measure == "R":
        return len(places) / relevant
    precisions = 0.0
    for found, place in enumerate(places, start=1):
        precisions += found / place
    return precisions / relevant


def discounted(gains):
    """DCG, summed in the order of ranks."""
    total = 0.0
    for rank, gain in enumerate(gains, start=1):
        total += gain / np.log2(rank + 1)
    return total


def scores_of_coalition(parts, kept):
    """Sums of segment scores (N, P) over the kept ones; -inf where none of them matches."""
    total = np.full(parts.shape[1], -np.inf)
    for part in parts[kept]:
        total = np.where(part == -np.inf, total, np.where(total == -np.inf, part, total + part))
    return total
