"""Retrievers that each break one clause of the contract and keep all others, to test the conformance kit with."""

import os

import numpy as np

from ospo_env.retrievers.base import best_rows
from ospo_env.retrievers.bm25 import BM25Retriever
from ospo_env.text import tokens


def column(flags):
    """bool (B, 1)."""
    return np.array(flags, dtype=bool)[:, None]


class Right:
    """BM25, with a hook for what is to go wrong."""

    name = "right"
    linear = False

    def __init__(self, corpus):
        self.inner = BM25Retriever(corpus)
        self.documents = len(corpus)
        self.fingerprint = f"right-{self.inner.fingerprint}"

    def spoil(self, scores, texts, pools):
        return scores

    def score_pools(self, texts, pools):
        return self.spoil(self.inner.score_pools(texts, pools), texts, pools)

    def rank_corpus(self, text, k):
        scores = self.score_pools([text], np.arange(self.documents, dtype=np.int32)[None])[0]
        rows = best_rows(scores, k)
        return rows, scores[rows]

    def cuts_cleanly(self, text, offsets):
        return self.inner.cuts_cleanly(text, offsets)


class RightAndLinear(Right):
    linear = True


class Protocol(Right):
    linear = 0


class Scores(Right):
    def spoil(self, scores, texts, pools):
        return scores.astype(np.float32)


class Padding(RightAndLinear):
    def spoil(self, scores, texts, pools):
        return np.where(pools < 0, 0.0, scores)


class Batch(Right):
    def spoil(self, scores, texts, pools):
        return scores + (len(texts) > 1)


class Order(Right):
    """A text that came before scores more the second time."""

    def spoil(self, scores, texts, pools):
        return scores + column([text in texts[:place] for place, text in enumerate(texts)])


class Writes(RightAndLinear):
    def spoil(self, scores, texts, pools):
        pools.sort()
        return scores


class Blank(RightAndLinear):
    def spoil(self, scores, texts, pools):
        return np.where(column([not text.strip() for text in texts]) & (pools >= 0), 0.0, scores)


class BlankDocuments(Right):
    """A text that matches something matches everything, as the cosine of an empty document's vector would have it."""

    def __init__(self, corpus):
        super().__init__(corpus)
        self.blank = np.array([not document.strip() for document in corpus.texts])

    def spoil(self, scores, texts, pools):
        matching = column([len(self.inner.rank_corpus(text, 1)[0]) > 0 for text in texts])
        return np.where(matching & (pools >= 0) & self.blank[pools], 0.5, scores)


class Unknown(Right):
    """A text that matches nothing keeps the order of rows."""

    def __init__(self, corpus):
        super().__init__(corpus)
        self.filled = np.array([bool(document.strip()) for document in corpus.texts])

    def spoil(self, scores, texts, pools):
        lost = column([bool(text.strip()) and not len(self.inner.rank_corpus(text, 1)[0]) for text in texts])
        return np.where(lost & (pools >= 0) & self.filled[pools], 0.0, scores)


class Twins(Right):
    def spoil(self, scores, texts, pools):
        return scores + pools


class Ties(RightAndLinear):
    def rank_corpus(self, text, k):
        rows, scores = super().rank_corpus(text, self.documents)
        order = np.lexsort((-rows, -scores))[:k]
        return rows[order], scores[order]


class Corpus(RightAndLinear):
    def rank_corpus(self, text, k):
        rows, scores = super().rank_corpus(text, k)
        return rows, scores + 1


class RankTexts(RightAndLinear):
    """Ranks several texts as one."""

    def rank_texts(self, texts, k):
        return [self.rank_corpus(" ".join(texts), k) for _ in texts]


class Linear(RightAndLinear):
    """A repeated word counts once."""

    def score_pools(self, texts, pools):
        return super().score_pools([" ".join(dict.fromkeys(tokens(text))) for text in texts], pools)


class Cuts(RightAndLinear):
    def cuts_cleanly(self, text, offsets):
        return True


class Pickles(RightAndLinear):
    factor = 1

    def __setstate__(self, state):
        self.__dict__.update(state, factor=2)

    def spoil(self, scores, texts, pools):
        return scores * self.factor


class Processes(Right):
    def spoil(self, scores, texts, pools):
        return scores + hash("some text") % 1009


class Threads(Right):
    """Sums that are split among threads otherwise."""

    def spoil(self, scores, texts, pools):
        return scores + int(os.environ.get("OMP_NUM_THREADS", 0))


class Fingerprint(RightAndLinear):
    def __init__(self, corpus):
        super().__init__(corpus)
        self.fingerprint = "right"


class KnowsNothing(RightAndLinear):
    def has_known_tokens(self, texts):
        return np.zeros(len(texts), dtype=bool)


class KnowsEverything(RightAndLinear):
    def has_known_tokens(self, texts):
        return np.ones(len(texts), dtype=bool)


class KnowsHalf(RightAndLinear):
    def has_known_tokens(self, texts):
        return [0.5] * len(texts)


class Raises(RightAndLinear):
    def rank_corpus(self, text, k):
        raise OSError("no such\n index")


WRONG = {
    Protocol: "protocol",
    Scores: "scores",
    Padding: "padding",
    Batch: "batch",
    Order: "order",
    Writes: "order",
    Blank: "blank",
    BlankDocuments: "blank_documents",
    Unknown: "unknown",
    KnowsNothing: "known_tokens",
    KnowsEverything: "known_tokens",
    KnowsHalf: "known_tokens",
    Twins: "twins",
    Ties: "ties",
    Corpus: "corpus",
    RankTexts: "rank_texts",
    Linear: "linear",
    Cuts: "cuts",
    Pickles: "pickles",
    Processes: "processes",
    Threads: "processes",
    Fingerprint: "fingerprint",
}
"""The clause that each breaks."""
