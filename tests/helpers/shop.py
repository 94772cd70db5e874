"""A small shop for tests: 61 documents, 12 queries with ragged pools and graded judgements. Everything is fixed."""

import functools
import itertools
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from envs_data import PreparedData, load_prepared, write_prepared
from ospo_env.task import RetrievalTask
from ospo_env.text import tokens

SETTINGS = settings(max_examples=80, deadline=None, database=None, derandomize=True)

TYPES = ("coat", "shoe", "dress", "bag")
COLOURS = ("red", "blue", "black")
MATERIALS = ("wool", "leather", "linen", "cotton")
ODD_TEXTS = (
    "",  # an empty document
    "!!! --- ...",
    "赤い靴 レザー",
    "abrigo de lana roja, niño",
    "Größe XL rain-proof ½ price jacket 🎉",
    "red red red wool wool coat",
    "red wool coat",  # twin of another document
    "ﾚｻﾞｰ ｼﾞｬｹｯﾄ",
    "straße STRASSE strasse",
    "naïve café nai\u0308ve cafe\u0301",
    "snake_case 3000mAh x2",
    "the the the",
    "linen",
)


def documents() -> list[str]:
    """Texts of the documents, in row order: shuffled once, so that rows know nothing of content."""
    plain = [f"{c} {m} {t}" for c, m, t in itertools.product(COLOURS, MATERIALS, TYPES)]
    texts = [*plain, *ODD_TEXTS]
    return [texts[row] for row in np.random.default_rng(7).permutation(len(texts))]


def write_shop(out: Path) -> PreparedData:
    """Write the shop as a prepared directory."""
    texts = documents()
    rng = np.random.default_rng(11)
    queries, pools, qrels, demonstrations = [], [], [], []
    wishes = list(itertools.product(COLOURS, TYPES))
    for number, (colour, kind) in enumerate(wishes):
        query_id = f"q{number:02d}"
        split = ("train", "train", "validation", "test")[number % 4]
        history = [f"{colour} wool bag", "linen dress"] if number % 3 == 0 else []
        queries.append((query_id, split, f"{kind} please", history, [colour, kind]))
        words = [set(text.split()) for text in texts]
        full = [row for row, word in enumerate(words) if {colour, kind} <= word]
        half = [row for row, word in enumerate(words) if kind in word and colour not in word]
        others = [row for row in range(len(texts)) if row not in full and row not in half]
        negatives = rng.choice(others, size=12 + number, replace=False).tolist()
        pools.append((query_id, sorted([*full, *half[:6], *negatives])))
        qrels += [(query_id, row, 1.0) for row in full]
        qrels += [(query_id, row, (0.1, 0.01)[row % 2]) for row in half]  # some of them outside the pool
        qrels += [(query_id, row, 0.0) for row in negatives[:3]]
        if split == "train":
            demonstrations.append((query_id, f"{colour} {kind}"))
    row = {"orient": "row"}
    return write_prepared(
        out,
        {
            "documents": pl.DataFrame(
                {"doc_id": [f"d{n}" for n in range(len(texts))], "title": [t[:12] for t in texts], "text": texts}
            ),
            "queries": pl.DataFrame(queries, schema=["query_id", "split", "query", "history", "intent"], **row),
            "pools": pl.DataFrame(pools, schema=["query_id", "doc_rows"], **row),
            "qrels": pl.DataFrame(qrels, schema=["query_id", "doc_row", "gain"], **row),
            "demonstrations": pl.DataFrame(demonstrations, schema=["query_id", "text"], **row),
        },
        dataset="test-shop",
        synthetic=True,
        arguments={},
        sources={},
        counts={"documents": len(texts)},
    )


@functools.cache
def shop() -> PreparedData:
    """The shop in memory."""
    with tempfile.TemporaryDirectory() as directory:
        write_shop(Path(directory) / "shop")
        return load_prepared(Path(directory) / "shop")


def task(retriever="bm25", **arguments) -> RetrievalTask:
    """The shop as a task."""
    return RetrievalTask(shop(), retriever, **arguments)


class Wrapped:
    """A retriever that passes everything on, counts its calls, and can be told to deny or to claim linearity."""

    def __init__(self, inner, linear=None):
        self.inner = inner
        self.name = f"wrapped-{inner.name}"
        self.fingerprint = f"wrapped-{inner.fingerprint}"
        self.linear = inner.linear if linear is None else linear
        self.batches = []

    def score_pools(self, texts, pools):
        self.batches.append(list(texts))
        return self.inner.score_pools(texts, pools)

    def rank_corpus(self, text, k):
        return self.inner.rank_corpus(text, k)

    def cuts_cleanly(self, text, offsets):
        return self.inner.cuts_cleanly(text, offsets)


class EachWordOnce(Wrapped):
    """A repeated word counts once, so that scores do not add up, whatever ``linear`` says."""

    def score_pools(self, texts, pools):
        return super().score_pools([" ".join(dict.fromkeys(tokens(text))) for text in texts], pools)


def all_coalitions(players: int) -> np.ndarray:
    """bool (2^N, N)."""
    return (np.arange(2**players)[:, None] >> np.arange(players) & 1).astype(bool)


WORDS = st.sampled_from(
    [*COLOURS, *TYPES, *MATERIALS, "Größe", "赤い靴", "ﾚｻﾞｰ", "STRASSE", "½", "nai\u0308ve", "zzz", "the"]
)
ANY_TEXT = st.text(alphabet=st.characters(categories=["L", "M", "N", "P", "S", "Z", "C"]), max_size=6)  # surrogates too
GAPS = st.sampled_from([" ", ", ", "", "-", "\n", "\u3000", ". "])
TEXTS = st.lists(st.tuples(st.one_of(WORDS, WORDS, ANY_TEXT), GAPS), max_size=8).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)


@st.composite
def cut_texts(draw):
    """A text and spans that tile it, of at most six segments, cut anywhere."""
    text = draw(TEXTS)
    inner = draw(st.sets(st.integers(1, len(text) - 1), max_size=5)) if len(text) > 1 else set()
    edges = [0, *sorted(inner), len(text)]
    return text, list(itertools.pairwise(edges)) if text else []
