"""The clauses on scores and rankings."""

import itertools
from collections.abc import Sequence

import numpy as np

from ospo_env.conformance.messages import clause, quoted
from ospo_env.conformance.retriever.case import Case, first_difference
from ospo_env.retrievers.corpus import Corpus

__all__ = [
    "check_batch",
    "check_blank",
    "check_blank_documents",
    "check_corpus",
    "check_order",
    "check_padding",
    "check_protocol",
    "check_rank_texts",
    "check_scores",
    "check_ties",
    "check_twins",
    "check_unknown",
]

_BLANK_TEXTS = ("", " ", "\n\t", "\u3000")
_SOME_DOCUMENTS = 50


@clause("protocol")
def check_protocol(case: Case, rng: np.random.Generator) -> str | None:
    """``name`` and ``fingerprint`` are strings, not empty, and ``linear`` is a bool."""
    for member, kind in (("name", str), ("fingerprint", str), ("linear", bool)):
        value = getattr(case.retriever, member)
        if not isinstance(value, kind) or value == "":
            return f"expected {member} as {kind.__name__}, not empty; got {value!r}"
    return None


@clause("scores")
def check_scores(case: Case, rng: np.random.Generator) -> str | None:
    """``score_pools`` gives float64 (B, P), finite or -inf, and (0, P) for no texts."""
    for texts in (case.texts, ()):
        pools = np.tile(np.arange(2, dtype=np.int32), (len(texts), 1))
        scores = case.retriever.score_pools(texts, pools)
        if not isinstance(scores, np.ndarray) or scores.dtype != np.float64 or scores.shape != pools.shape:
            what = f"{scores.dtype} {scores.shape}" if isinstance(scores, np.ndarray) else type(scores).__name__
            return f"expected float64 {pools.shape} for {len(texts)} texts; got {what}"
        wrong = np.argwhere(np.isnan(scores) | (scores == np.inf))
        if len(wrong):
            row, column = wrong[0]
            return f"expected a finite score or -inf; got {scores[row, column]} for {quoted(texts[row])}"
    return None


@clause("padding")
def check_padding(case: Case, rng: np.random.Generator) -> str | None:
    """The row -1 scores -inf, and changes no score beside it."""
    for text, pool in itertools.product(case.texts, ([1, 0], [1], [])):
        padded = np.array([pool + [-1] * (3 - len(pool))], dtype=np.int32)
        scores = case.retriever.score_pools([text], padded.copy())[0]
        alone = case.retriever.score_pools([text], np.array([pool], dtype=np.int32))[0]
        expected = np.concatenate([alone, np.full(3 - len(pool), -np.inf)])
        if first_difference(scores, expected, case.tolerance) is not None:
            return f"{quoted(text)} scores {scores.tolist()} on the pool {padded[0].tolist()}, {alone} on {pool}"
    return None


@clause("batch")
def check_batch(case: Case, rng: np.random.Generator) -> str | None:
    """A text scores in a batch as it does alone."""
    alone = np.concatenate([case.scores(text) for text in case.texts])
    return case.difference(case.scores(*case.texts), alone, "in a batch", "alone")


@clause("order")
def check_order(case: Case, rng: np.random.Generator) -> str | None:
    """The order of texts and of a pool's documents, and repeated texts, change nothing; the pools are only read.

    Nor do the other documents of a pool, unless the retriever says with ``depends_on_pool = True`` that they do.
    """
    expected = case.scores(*case.texts)
    rows = rng.permutation(np.repeat(np.arange(len(case.texts)), 2))
    documents = expected.shape[1]
    size = documents if getattr(case.retriever, "depends_on_pool", False) else max(2, documents // 2)
    kinds = [rng.permutation(documents)[:size] for _ in range(3)]
    pools = np.stack(kinds)[rng.integers(len(kinds), size=len(rows))].astype(np.int32)
    passed = pools.copy()
    scores = case.retriever.score_pools([case.texts[row] for row in rows], passed)
    if not np.array_equal(passed, pools):
        return "score_pools writes into the pools that it is given"
    earlier = expected[rows[:, None], pools]
    place = first_difference(scores, earlier, case.tolerance)
    if place is None:
        return None
    text = quoted(case.texts[rows[place[0]]])
    return f"{text} scores {scores[place]} on document {pools[place]} in another order, {earlier[place]} before"


@clause("blank")
def check_blank(case: Case, rng: np.random.Generator) -> str | None:
    """A text without characters, or with white space only, matches nothing."""
    return _unexpected_match(case, _BLANK_TEXTS)


@clause("blank_documents")
def check_blank_documents(case: Case, rng: np.random.Generator) -> str | None:
    """A document without characters, or with white space only, is matched by no text."""
    retriever, documents = case.retriever, case.documents
    if case.factory is not None:
        documents = (*documents[:_SOME_DOCUMENTS], *_BLANK_TEXTS)
        retriever = case.factory(Corpus.of_texts(documents))
    rows = [row for row, document in enumerate(documents) if not document.strip()]
    if not rows:
        return None
    scores = retriever.score_pools(case.texts, np.tile(np.array(rows, dtype=np.int32), (len(case.texts), 1)))
    matched = np.argwhere(scores > -np.inf)
    if len(matched):
        row, column = matched[0]
        return f"{quoted(case.texts[row])} scores {scores[row, column]} on the blank document {rows[column]}"
    for text in case.texts:
        ranked = np.intersect1d(retriever.rank_corpus(text, len(documents))[0], rows)
        if len(ranked):
            return f"rank_corpus of {quoted(text)} finds the blank document {ranked[0]}"
    return None


@clause("unknown")
def check_unknown(case: Case, rng: np.random.Generator) -> str | None:
    """A text in which nothing is known matches nothing."""
    return _unexpected_match(case, case.unknown)


def _unexpected_match(case: Case, texts: Sequence[str]) -> str | None:
    """A counter-example to the claim that some texts match nothing."""
    for text in texts:
        row = case.scores(text)[0]
        if (row > -np.inf).any():
            column = int(np.argmax(row))
            return f"expected {text!r} to match nothing; it scores {row[column]} on document {column}"
        rows = case.retriever.rank_corpus(text, 3)[0]
        if len(rows):
            return f"expected rank_corpus({text!r}, 3) to find nothing; got the rows {rows.tolist()}"
    return None


@clause("twins")
def check_twins(case: Case, rng: np.random.Generator) -> str | None:
    """Equal documents have equal scores, so that they tie."""
    scores = case.scores(*case.texts)
    first: dict[str, int] = {}
    for column, document in enumerate(case.documents[: scores.shape[1]]):
        twin = first.setdefault(document, column)
        unequal = np.flatnonzero(scores[:, column] != scores[:, twin])
        if len(unequal):
            row = unequal[0]
            return (
                f"{quoted(case.texts[row])} scores {scores[row, twin]} and {scores[row, column]} on the equal "
                f"documents {twin} and {column}"
            )
    return None


@clause("ties")
def check_ties(case: Case, rng: np.random.Generator) -> str | None:
    """``rank_corpus`` is in the order of (-score, row), and its best k are the first k of all."""
    for text in case.texts:
        rows, scores = case.retriever.rank_corpus(text, len(case.documents))
        keys = list(zip((-scores).tolist(), rows.tolist(), strict=True))
        wrong = next((place for place, (one, two) in enumerate(itertools.pairwise(keys)) if one >= two), None)
        if wrong is not None:
            (score, row), (next_score, next_row) = keys[wrong : wrong + 2]
            return (
                f"rank_corpus of {quoted(text)} puts document {row} of score {-score} before document {next_row} of "
                f"score {-next_score}"
            )
        first = case.retriever.rank_corpus(text, 3)[0]
        if not np.array_equal(first, rows[:3]):
            return (
                f"rank_corpus of {quoted(text)} finds {first.tolist()} first with k = 3, {rows[:3].tolist()} with more"
            )
    return None


@clause("corpus")
def check_corpus(case: Case, rng: np.random.Generator) -> str | None:
    """``rank_corpus`` gives the best k by the scores of ``score_pools``, or as many as match."""
    everything = np.arange(len(case.documents), dtype=np.int32)[None]
    for text, k in itertools.product(case.texts, (1, 3, len(case.documents) + 1)):
        pooled = case.retriever.score_pools([text], everything)[0]
        best = np.sort(pooled[pooled > -np.inf])[::-1][:k]
        rows, scores = case.retriever.rank_corpus(text, k)
        call = f"rank_corpus of {quoted(text)} with k = {k}"
        if len(rows) != len(best) or len(scores) != len(best) or rows.dtype != np.int32:
            return f"expected {len(best)} int32 rows and as many scores from {call}; got {rows!r} and {scores!r}"
        if first_difference(scores, pooled[rows], case.tolerance) is not None:
            return f"{call} scores the documents {rows.tolist()} {scores.tolist()}; score_pools {pooled[rows].tolist()}"
        if first_difference(np.sort(scores)[::-1], best, case.tolerance) is not None:
            return f"the best scores from {call} are {scores.tolist()}; those from score_pools {best.tolist()}"
    return None


@clause("rank_texts")
def check_rank_texts(case: Case, rng: np.random.Generator) -> str | None:
    """``rank_texts``, if it exists, gives each text the ranking of ``rank_corpus``."""
    rank_texts = getattr(case.retriever, "rank_texts", None)
    if rank_texts is None:
        return None
    texts = [*case.texts, " ", case.texts[0]]
    several = list(rank_texts(texts, 3))
    if len(several) != len(texts):
        return f"expected a ranking for each of {len(texts)} texts; got {len(several)}"
    for text, together in zip(texts, several, strict=True):
        alone = case.retriever.rank_corpus(text, 3)
        if not (np.array_equal(together[0], alone[0]) and np.array_equal(together[1], alone[1])):
            return f"{quoted(text)} is ranked {together} among other texts, {alone} by rank_corpus"
    return None
