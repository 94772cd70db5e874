"""Example rewrites that can be predicted from the query: words to add to it, by counting; often none.

Both kinds hold corrections of the query's words (:mod:`envs_data.assembly.spelling`), then words that the *other*
training queries associate with it (:mod:`envs_data.assembly.associations`). So nothing in them was read off the query's
own documents, which the query does not tell.

Associations are the first ones, up to 12 words in all. They are a function of the query, which a policy can learn
whole; which of them are right is left to its rewards.

Expansions are those that are right for the query, up to 8 words in all: their share of the query's gains is above their
share of the corpus's documents, and not below their share of the query's own judged documents.

Where there is no such word the text is empty, which is the right answer too. At most a third are empty: where more are,
some are left out at random. Of expansions at least a quarter are: where fewer are, those whose best word has the
smallest share of the query's gains become empty.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from envs_data.assembly.associations import Associations, plain_stem
from envs_data.assembly.spelling import correction, known_letters
from envs_data.assembly.words import words
from envs_data.errors import DataError

__all__ = ["expansions"]

_CANDIDATES = 24  # associated words that are looked at
_MOST_WORDS = {"expansions": 8, "associations": 12}
_LEAST_EMPTY, _MOST_EMPTY = 1 / 4, 1 / 3
_BLOCK = 50_000  # documents whose words are in memory at once
_ROUNDING = 1e-9


def expansions(
    documents: pl.DataFrame, queries: pl.DataFrame, judgements: pl.DataFrame, kind: str, rng: np.random.Generator
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Write the words to add to each training query, and leave out surplus empty texts.

    Args:
        documents: Documents by row: ``text``.
        queries: ``number`` (ascending), ``query_id``, ``query``, ``split``.
        judgements: Documents that may be ranked for a query: ``number``, ``doc_row``, ``gain``.
        kind: ``"expansions"`` or ``"associations"``.
        rng: Source of the choice of those that are left out.

    Returns:
        Columns ``query_id`` and ``text``, in the order of the queries; numbers of empty, corrected and left-out ones.

    Raises:
        DataError: All texts would be empty.
    """
    training = queries.filter(pl.col("split") == "train").with_row_index("place")
    judged = judgements.join(training.select("number", "place"), on="number")
    query_words: list[list[str]] = training.select(words(pl.col("query"))).to_series().to_list()
    frequency = _frequency(documents["text"])
    corrections = _corrections(query_words, dict(frequency.iter_rows()))
    associated = _associated(documents["text"], judged, query_words, frequency, right_only=kind == "expansions")
    texts, strengths = [], []
    for corrected, shares in zip(corrections, associated, strict=True):
        by_stem: dict[str, str] = {}
        for word in [*corrected, *shares]:
            by_stem.setdefault(plain_stem(word), word)
        texts.append(" ".join(list(by_stem.values())[: _MOST_WORDS[kind]]))
        strengths.append(np.inf if corrected else max(shares.values(), default=0.0))
    if kind == "expansions":
        texts = _emptied(texts, np.array(strengths))
    kept = _kept(texts, rng)
    if texts and not kept:
        raise DataError(
            f"expected training queries whose words other training queries share, so that {kind} can be predicted; "
            "there are none: choose the demonstrations phrases (--demonstrations phrases)"
        )
    chosen = pl.DataFrame({"query_id": training["query_id"], "text": pl.Series(texts, dtype=pl.String)})[kept]
    return chosen, {
        "demonstrations_empty": int((chosen["text"] == "").sum()),
        "demonstrations_corrected": sum(bool(corrections[place]) for place in kept),
        "demonstrations_empty_left_out": len(texts) - len(kept),
    }


def _frequency(texts: pl.Series) -> pl.DataFrame:
    """Words of the documents in alphabetic order, and how many documents hold each: ``word``, ``documents``."""
    counts = pl.DataFrame(schema={"word": pl.String, "documents": pl.Int64})
    for start in range(0, len(texts), _BLOCK):
        block = _pairs(texts.slice(start, _BLOCK)).group_by("word").agg(documents=pl.len().cast(pl.Int64))
        counts = pl.concat([counts, block]).group_by("word").agg(pl.col("documents").sum())
    return counts.sort("word")


def _pairs(texts: pl.Series) -> pl.DataFrame:
    """Columns ``row`` and ``word``, each word of a text once."""
    table = pl.DataFrame({"text": texts}).select(
        row=pl.int_range(pl.len(), dtype=pl.Int64), word=words(pl.col("text")).list.unique()
    )
    return table.explode("word").drop_nulls()


def _corrections(queries: Sequence[Sequence[str]], frequency: dict[str, int]) -> list[list[str]]:
    """Corrections of each query's words, none twice."""
    letters = known_letters(frequency)
    of_word = {word: correction(word, frequency, letters) for word in {word for query in queries for word in query}}
    of_query = [dict.fromkeys(new for word in query if (new := of_word[word]) is not None) for query in queries]
    return [list(corrected) for corrected in of_query]


def _associated(
    texts: pl.Series,
    judged: pl.DataFrame,
    queries: Sequence[Sequence[str]],
    frequency: pl.DataFrame,
    *,
    right_only: bool,
) -> list[dict[str, float]]:
    """Words that other queries associate with each query, best first, with P(w|q), 0 for one that is not right for it.

    Args:
        texts: Texts of the documents.
        judged: Documents that may be ranked for each query: ``place``, ``doc_row``, ``gain``.
        queries: Words of each query, length Q.
        frequency: Documents that hold each word.
        right_only: Whether words that are not right are left out.
    """
    rows = judged["doc_row"].unique().sort()
    vocabulary = frequency["word"].to_list()
    numbered = frequency.select("word", term=pl.int_range(pl.len(), dtype=pl.Int64))
    pairs = _pairs(texts.gather(rows)).join(numbered, on="word")
    holds = _matrix(pairs["row"].to_numpy(), pairs["term"].to_numpy(), (len(rows), len(vocabulary)))
    cells = judged["place"].to_numpy(), np.searchsorted(rows.to_numpy(), judged["doc_row"].to_numpy())
    shape = (len(queries), len(rows))
    wanted = (_shares(judged["gain"].to_numpy(), *cells, shape) @ holds).tocsr()
    seen = (_shares(np.ones(judged.height), *cells, shape) @ holds).tocsr()
    right = wanted.multiply(wanted - seen * (1 - _ROUNDING) > 0).tocsr()
    corpus = (frequency["documents"].to_numpy() + 1) / (len(texts) + 1)
    associations = Associations(vocabulary, wanted, corpus, queries)
    associated = []
    for place in range(len(queries)):
        cells_of = slice(right.indptr[place], right.indptr[place + 1])
        terms, shares = right.indices[cells_of], right.data[cells_of]
        above = shares > corpus[terms]
        own = dict(zip((vocabulary[term] for term in terms[above]), shares[above].tolist(), strict=True))
        others = list(associations.words_of_others(place))[:_CANDIDATES]
        associated.append({word: own.get(word, 0.0) for word in others if word in own or not right_only})
    return associated


def _shares(
    gains: NDArray[np.float64], queries: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]
) -> sparse.csr_matrix:
    """Each query's gains as shares of their sum, float64 (Q, R); every query has a gain above 0."""
    totals = np.bincount(queries, gains, minlength=shape[0])
    return _matrix(queries, columns, shape, gains / totals[queries])


def _matrix(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    shape: tuple[int, int],
    values: NDArray[np.float64] | None = None,
) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(rows)) if values is None else values, (rows, columns)), shape=shape)


def _emptied(texts: Sequence[str], strengths: NDArray[np.float64]) -> list[str]:
    """The texts, of which the weakest become empty until a quarter are; corrections never do."""
    least = int(np.ceil(len(texts) * _LEAST_EMPTY))
    weakest = np.argsort(strengths, kind="stable")[:least]
    dropped = {place for place in weakest.tolist() if np.isfinite(strengths[place])}
    return ["" if place in dropped else text for place, text in enumerate(texts)]


def _kept(texts: Sequence[str], rng: np.random.Generator) -> list[int]:
    """Places of the texts to keep, ascending: all that say something, and of the empty ones at most half as many."""
    empty = [place for place, text in enumerate(texts) if not text]
    most = int((len(texts) - len(empty)) * _MOST_EMPTY / (1 - _MOST_EMPTY))
    drawn = rng.permutation(len(empty))[:most].tolist()
    return sorted({place for place, text in enumerate(texts) if text} | {empty[number] for number in drawn})
