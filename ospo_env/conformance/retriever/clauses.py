"""The clauses of the contract: each looks for a counter-example and tells it, or gives ``None``."""

import itertools
import pickle
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ospo_env.conformance.messages import spoken
from ospo_env.conformance.retriever.case import Case, first_difference, pool_scores
from ospo_env.conformance.retriever.elsewhere import seen_elsewhere
from ospo_env.retrievers.registry import corpus_digest
from ospo_env.scoring.coalitions import coalition_text
from ospo_env.text import token_spans

__all__ = ["CLAUSES", "Clause"]

Clause: TypeAlias = Callable[[Case, np.random.Generator], str | None]
"""Of a case and a generator for pools and cuts: a counter-example in words, or ``None``."""

_BLANK_TEXTS = ("", " ", "\n\t", "\u3000")
_MOST_CUTS = 4  # of one text


def protocol(case: Case, rng: np.random.Generator) -> str | None:
    """``name`` and ``fingerprint`` are strings, not empty, and ``linear`` is a bool."""
    for member, kind in (("name", str), ("fingerprint", str), ("linear", bool)):
        value = getattr(case.retriever, member)
        if not isinstance(value, kind) or value == "":
            return f"expected {member} as {kind.__name__}, not empty; got {value!r}"
    return None


def scores(case: Case, rng: np.random.Generator) -> str | None:
    """``score_pools`` gives float64 (B, P), finite or -inf, and (0, P) for no texts."""
    for texts in (case.texts, ()):
        pools = np.tile(np.arange(2, dtype=np.int32), (len(texts), 1))
        found = case.retriever.score_pools(texts, pools)
        if not isinstance(found, np.ndarray) or found.dtype != np.float64 or found.shape != pools.shape:
            what = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
            return f"expected float64 {pools.shape} for {len(texts)} texts; got {what}"
        wrong = np.argwhere(np.isnan(found) | (found == np.inf))
        if len(wrong):
            row, column = wrong[0]
            return f"expected a finite score or -inf; got {found[row, column]} for {spoken(texts[row])}"
    return None


def padding(case: Case, rng: np.random.Generator) -> str | None:
    """The row -1 scores -inf, and changes no score beside it."""
    for text, pool in itertools.product(case.texts, ([1, 0], [1], [])):
        padded = np.array([pool + [-1] * (3 - len(pool))], dtype=np.int32)
        found = case.retriever.score_pools([text], padded.copy())[0]
        alone = case.retriever.score_pools([text], np.array([pool], dtype=np.int32))[0]
        expected = np.concatenate([alone, np.full(3 - len(pool), -np.inf)])
        if first_difference(found, expected, case.tolerance) is not None:
            return f"{spoken(text)} scores {found.tolist()} on the pool {padded[0].tolist()}, {alone} on {pool}"
    return None


def batch(case: Case, rng: np.random.Generator) -> str | None:
    """A text scores in a batch as it does alone."""
    alone = np.concatenate([case.scores(text) for text in case.texts])
    return case.difference(case.scores(*case.texts), alone, "in a batch", "alone")


def order(case: Case, rng: np.random.Generator) -> str | None:
    """The order of texts and of a pool's documents, and repeated texts, change nothing; the pools are only read.

    Nor do the other documents of a pool, unless the retriever says with ``depends_on_pool = True`` that they do.
    """
    expected = case.scores(*case.texts)
    rows = rng.permutation(np.repeat(np.arange(len(case.texts)), 2))
    documents = expected.shape[1]
    size = documents if getattr(case.retriever, "depends_on_pool", False) else max(2, documents // 2)
    kinds = [rng.permutation(documents)[:size] for _ in range(3)]
    pools = np.stack(kinds)[rng.integers(len(kinds), size=len(rows))].astype(np.int32)
    given = pools.copy()
    found = case.retriever.score_pools([case.texts[row] for row in rows], given)
    if not np.array_equal(given, pools):
        return "score_pools writes into the pools that it is given"
    wanted = expected[rows[:, None], pools]
    place = first_difference(found, wanted, case.tolerance)
    if place is None:
        return None
    text = spoken(case.texts[rows[place[0]]])
    return f"{text} scores {found[place]} on document {pools[place]} in another order, {wanted[place]} before"


def blank(case: Case, rng: np.random.Generator) -> str | None:
    """A text without characters, or with white space only, matches nothing."""
    return _matching(case, _BLANK_TEXTS)


def unknown(case: Case, rng: np.random.Generator) -> str | None:
    """A text in which nothing is known matches nothing."""
    return _matching(case, case.unknown)


def _matching(case: Case, texts: Sequence[str]) -> str | None:
    for text in texts:
        row = case.scores(text)[0]
        if (row > -np.inf).any():
            column = int(np.argmax(row))
            return f"expected {text!r} to match nothing; it scores {row[column]} on document {column}"
        rows = case.retriever.rank_corpus(text, 3)[0]
        if len(rows):
            return f"expected rank_corpus({text!r}, 3) to find nothing; got the rows {rows.tolist()}"
    return None


def twins(case: Case, rng: np.random.Generator) -> str | None:
    """Equal documents have equal scores, so that they tie."""
    found = case.scores(*case.texts)
    first: dict[str, int] = {}
    for column, document in enumerate(case.documents[: found.shape[1]]):
        twin = first.setdefault(document, column)
        unequal = np.flatnonzero(found[:, column] != found[:, twin])
        if len(unequal):
            row = unequal[0]
            return (
                f"{spoken(case.texts[row])} scores {found[row, twin]} and {found[row, column]} on the equal documents "
                f"{twin} and {column}"
            )
    return None


def ties(case: Case, rng: np.random.Generator) -> str | None:
    """``rank_corpus`` is in the order of (-score, row), and its best k are the first k of all."""
    for text in case.texts:
        rows, found = case.retriever.rank_corpus(text, len(case.documents))
        keys = list(zip((-found).tolist(), rows.tolist(), strict=True))
        wrong = next((place for place, (one, two) in enumerate(itertools.pairwise(keys)) if one >= two), None)
        if wrong is not None:
            (score, row), (next_score, next_row) = keys[wrong : wrong + 2]
            return (
                f"rank_corpus of {spoken(text)} puts document {row} of score {-score} before document {next_row} of "
                f"score {-next_score}"
            )
        first = case.retriever.rank_corpus(text, 3)[0]
        if not np.array_equal(first, rows[:3]):
            return (
                f"rank_corpus of {spoken(text)} finds {first.tolist()} first with k = 3, {rows[:3].tolist()} with more"
            )
    return None


def corpus(case: Case, rng: np.random.Generator) -> str | None:
    """``rank_corpus`` gives the best k by the scores of ``score_pools``, or as many as match."""
    everything = np.arange(len(case.documents), dtype=np.int32)[None]
    for text, k in itertools.product(case.texts, (1, 3, len(case.documents) + 1)):
        scored = case.retriever.score_pools([text], everything)[0]
        best = np.sort(scored[scored > -np.inf])[::-1][:k]
        rows, found = case.retriever.rank_corpus(text, k)
        asked = f"rank_corpus of {spoken(text)} with k = {k}"
        if len(rows) != len(best) or len(found) != len(best) or rows.dtype != np.int32:
            return f"expected {len(best)} int32 rows and as many scores from {asked}; got {rows!r} and {found!r}"
        if first_difference(found, scored[rows], case.tolerance) is not None:
            return f"{asked} scores the documents {rows.tolist()} {found.tolist()}; score_pools {scored[rows].tolist()}"
        if first_difference(np.sort(found)[::-1], best, case.tolerance) is not None:
            return f"the best scores from {asked} are {found.tolist()}; those from score_pools {best.tolist()}"
    return None


def linear(case: Case, rng: np.random.Generator) -> str | None:
    """A retriever that claims to add up does so, to the last bit, over cuts between words that it accepts."""
    return _unequal_sum(case, rng, lambda text: [start for start, _ in token_spans(text)[1:]])


def cuts(case: Case, rng: np.random.Generator) -> str | None:
    """``cuts_cleanly`` gives a bool, and accepts a cut inside a word only if scores add up over it."""
    for text in case.texts:
        clean: object = case.retriever.cuts_cleanly(text, [0])
        if not isinstance(clean, bool | np.bool_):
            return f"expected a bool from cuts_cleanly({spoken(text)}, [0]); got {clean!r}"
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
            kept = coalition_text(text, spans, mask)
            found, expected = case.scores(kept)[0], np.where(mask @ matched, mask @ summands, -np.inf)
            unequal = np.flatnonzero(found != expected)
            if len(unequal):
                column = unequal[0]
                return (
                    f"{spoken(kept)} scores {found[column]} on document {column}, its pieces "
                    f"{[text[start:end] for (start, end), keep in zip(spans, mask, strict=True) if keep]} add up to "
                    f"{expected[column]}"
                )
    return None


def pickles(case: Case, rng: np.random.Generator) -> str | None:
    """Pickling changes nothing."""
    case.retriever.rank_corpus(case.texts[0], 1)  # builds what is built late
    again = pickle.loads(pickle.dumps(case.retriever))
    if again.fingerprint != case.retriever.fingerprint:
        return f"the fingerprint was {case.retriever.fingerprint} and is {again.fingerprint}"
    found = pool_scores(again, case.documents, case.texts)
    return case.difference(found, case.scores(*case.texts), "after pickling", "before")


def processes(case: Case, rng: np.random.Generator) -> str | None:
    """Another process, hash seed or number of threads changes nothing."""
    fingerprint, found = seen_elsewhere(case)
    if fingerprint != case.retriever.fingerprint:
        return f"the fingerprint is {case.retriever.fingerprint} here and {fingerprint} in another process"
    return case.difference(found, case.scores(*case.texts), "in another process", "here")


def fingerprint(case: Case, rng: np.random.Generator) -> str | None:
    """Made again of the same documents it has the same fingerprint, of others or in another order another one."""
    if case.factory is None:
        return None  # nobody else knows what went into it
    made = case.retriever.fingerprint
    if (again := case.factory(case.documents, corpus_digest(case.documents)).fingerprint) != made:
        return f"made again of the same documents it is {again}; it was {made}"
    for other in ((f"{case.documents[0]} changed", *case.documents[1:]), case.documents[::-1]):
        if other != case.documents and case.factory(other, corpus_digest(other)).fingerprint == made:
            return f"it is {made} on other documents, or another order of them, too"
    return None


CLAUSES: dict[str, Clause] = {
    clause.__name__: clause
    for clause in (
        protocol,
        scores,
        padding,
        batch,
        order,
        blank,
        unknown,
        twins,
        ties,
        corpus,
        linear,
        cuts,
        pickles,
        processes,
        fingerprint,
    )
}
"""The clauses by name, in the order in which they are checked."""
