"""Retrievers, a metric and simple rewriters for the tests of the embedded sample, independent of ospo_env."""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence

import bm25s
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from envs_data import PreparedData
from envs_data.sample import KINDS, sample_data
from envs_data.sample.fashion_words import LINES

RETRIEVERS = ("bm25", "lsa")
MAX_WORDS = {"shopping": 16, "fashion": 24}
data_of = functools.cache(sample_data)
shop_of = functools.cache(lambda kind: KINDS[kind](0))


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


@functools.cache
def scorer(kind: str, retriever: str) -> Callable[[Sequence[str]], np.ndarray]:
    """From B texts to the scores of all documents, -inf where a text does not match: float64 (B, D)."""
    texts = data_of(kind).documents["text"].to_list()
    if retriever == "bm25":
        index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        index.index([words(text) for text in texts], show_progress=False)
        known = set(itertools.chain(*map(words, texts)))

        def bm25(queries: Sequence[str]) -> np.ndarray:
            tokens = [[word for word in words(query) if word in known] for query in queries]
            scores = np.array([index.get_scores(each) if each else np.zeros(len(texts)) for each in tokens])
            return np.where(scores > 0, scores, -np.inf)

        return bm25
    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\w+")
    svd = TruncatedSVD(128, random_state=0)
    vectors = svd.fit_transform(vectorizer.fit_transform(texts))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def lsa(queries: Sequence[str]) -> np.ndarray:
        weights = vectorizer.transform(queries)
        return np.where(np.diff(weights.indptr)[:, None] > 0, svd.transform(weights) @ vectors.T, -np.inf)

    return lsa


def ndcg(kind: str, rows: Sequence[int], rewrites: Sequence[str], retriever: str) -> float:
    """Mean nDCG@10 of a rewrite for each of the queries, over its pool; the ideal is over all its judgements."""
    discounts, found = 1 / np.log2(np.arange(2, 12)), []
    capped = [" ".join(words(text)[: MAX_WORDS[kind]]) for text in rewrites]
    for row, scores in zip(rows, scorer(kind, retriever)(capped), strict=True):
        gain, pool = judgements(kind)[row], pools(kind)[row]
        best = [document for document in pool[np.lexsort((pool, -scores[pool]))[:10]] if np.isfinite(scores[document])]
        reached = sum(gain.get(document, 0.0) * discounts[place] for place, document in enumerate(best))
        ideal = np.sort([*gain.values()])[::-1][:10]
        found.append(reached / (ideal * discounts[: len(ideal)]).sum())
    return float(np.mean(found))


@functools.cache
def judgements(kind: str) -> list[dict[int, float]]:
    """Gains by document row, for each query."""
    data = data_of(kind)
    gains: dict[str, dict[int, float]] = {query_id: {} for query_id in data.queries["query_id"]}
    for query_id, row, gain in data.qrels.iter_rows():
        gains[query_id][row] = gain
    return list(gains.values())


@functools.cache
def pools(kind: str) -> list[np.ndarray]:
    return [np.array(rows) for rows in data_of(kind).pools["doc_rows"].to_list()]


def rows_of(data: PreparedData, split: str) -> list[int]:
    return [row for row, name in enumerate(data.queries["split"]) if name == split]


@functools.cache
def intents(kind: str) -> np.ndarray:
    """The latent intents as positions in the attributes' tables: int (Q, A)."""
    places = [{phrase: place for place, phrase in enumerate(a.phrases)} for a in shop_of(kind).attributes]
    listed = data_of(kind).queries["intent"].to_list()
    return np.array([[place[phrase] for place, phrase in zip(places, intent, strict=True)] for intent in listed])


@functools.cache
def stated(kind: str) -> np.ndarray:
    """Which attributes of its intent a query words: bool (Q, A)."""
    attributes, queries = shop_of(kind).attributes, data_of(kind).queries["query"]
    found = []
    for query, row in zip(queries, intents(kind), strict=True):
        wordings = [attribute.terms[value].everyday for attribute, value in zip(attributes, row, strict=True)]
        found.append([any(f" {wording} " in f" {query} " for wording in each) for each in wordings])
    return np.array(found)


def phrases(kind: str, values: np.ndarray, kept: np.ndarray) -> list[str]:
    named = zip(shop_of(kind).attributes, values, kept, strict=True)
    return [attribute.terms[value].phrase for attribute, value, keep in named if keep]


def translation(kind: str, row: int) -> list[str]:
    """What the query states, in catalogue words, and no more."""
    return phrases(kind, intents(kind)[row], stated(kind)[row])


def guess(kind: str, row: int) -> list[str]:
    """What the query states, and for the rest the likeliest value: by history, else by similar training intents."""
    known, values, attributes = stated(kind)[row], intents(kind)[row].copy(), shop_of(kind).attributes
    training = intents(kind)[rows_of(data_of(kind), "train")]
    groups = shop_of(kind).groups
    alike = groups[training[:, 0]] == groups[values[0]]
    weights = alike * 10.0 ** (training == values)[:, known].sum(axis=1)
    said = Counter(words(" ".join(data_of(kind).queries["history"][row])))
    for place in np.flatnonzero(~known):
        attribute = attributes[place]
        if said and attribute.name != "fabric":
            signs = [words(LINES.get(phrase, phrase)) for phrase in attribute.phrases]
            values[place] = np.argmax([sum(said[sign] for sign in each) / len(each) for each in signs])
        else:
            values[place] = np.bincount(training[:, place], weights).argmax()
    if said and not known[-1]:
        values[-1] = np.bincount(training[training[:, 0] == values[0]][:, -1]).argmax()
    return phrases(kind, values, np.ones(len(values), dtype=bool))
