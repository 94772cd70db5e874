"""A small shop for tests: 61 documents, 12 queries with ragged pools and graded judgements. Everything is fixed."""

import functools
import itertools
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from envs_data import PreparedData, load_prepared, write_prepared

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
