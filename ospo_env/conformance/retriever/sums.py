"""The clauses on retrievers that claim to be linear."""

import itertools
from collections.abc import Callable

import numpy as np

from ospo_env.conformance.messages import clause, quoted
from ospo_env.conformance.retriever.case import Case
from ospo_env.scoring.coalitions import coalition_text
from ospo_env.text import token_spans

__all__ = ["check_cuts", "check_linear"]

_MOST_CUTS = 4  # of one text


@clause("linear")
def check_linear(case: Case, rng: np.random.Generator) -> str | None:
    """A retriever that claims to add up does so, to the last bit, over cuts between words that it accepts."""
    return _unequal_sum(case, rng, lambda text: [start for start, _ in token_spans(text)[1:]])


@clause("cuts")
def check_cuts(case: Case, rng: np.random.Generator) -> str | None:
    """``cuts_cleanly`` gives a bool, and accepts a cut inside a word only if scores add up over it."""
    for text in case.texts:
        clean: object = case.retriever.cuts_cleanly(text, [0])
        if not isinstance(clean, bool | np.bool_):
            return f"expected a bool from cuts_cleanly({quoted(text)}, [0]); got {clean!r}"
    return _unequal_sum(
        case, rng, lambda text: [offset for start, end in token_spans(text) for offset in range(start + 1, end)]
    )


def _unequal_sum(case: Case, rng: np.random.Generator, offsets: Callable[[str], list[int]]) -> str | None:
    """A coalition that does not score the sum of its pieces, though the retriever is linear and accepts the cuts."""
    if not case.retriever.linear:
        return None
    for text in case.texts:
        places = offsets(text)
        chosen = np.sort(rng.permutation(np.array(places, dtype=np.int64))[:_MOST_CUTS])
        spans = list(itertools.pairwise([0, *chosen.tolist(), len(text)]))
        if len(spans) < 2 or not case.retriever.cuts_cleanly(text, [start for start, _ in spans]):
            continue
        pieces = case.scores(*(text[start:end] for start, end in spans))
        matched = pieces > -np.inf
        summands = np.where(matched, pieces, 0.0)
        for number in range(1, 2 ** len(spans)):
            mask = (number >> np.arange(len(spans)) & 1).astype(np.bool_)
            coalition = coalition_text(text, spans, mask)
            scores, expected = case.scores(coalition)[0], np.where(mask @ matched, mask @ summands, -np.inf)
            unequal = np.flatnonzero(scores != expected)
            if len(unequal):
                column = unequal[0]
                return (
                    f"{quoted(coalition)} scores {scores[column]} on document {column}, its pieces "
                    f"{[text[start:end] for (start, end), keep in zip(spans, mask, strict=True) if keep]} add up to "
                    f"{expected[column]}"
                )
    return None
