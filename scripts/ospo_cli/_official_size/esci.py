"""The two files of the Shopping Queries Dataset, in its schema and its counts of arXiv 2206.06588."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data.official.esci_files import EXAMPLES, PRODUCTS
from ospo_cli._official_size.words import SYLLABLES, Lexicon

__all__ = ["write_esci"]


class _Locale(NamedTuple):
    """Official counts of a locale; queries and judgements by version, small and others."""

    products: int
    small: tuple[int, int]
    others: tuple[int, int]


_LOCALES = {
    "us": _Locale(1_215_892, (29_844, 601_354), (67_501, 1_217_471)),
    "es": _Locale(259_973, (8_049, 218_774), (7_131, 137_636)),
    "jp": _Locale(339_059, (10_407, 297_883), (7_720, 148_170)),
}
_LABELS = {"E": 0.652, "S": 0.219, "C": 0.029, "I": 0.1}
_WORDS = 300_000
_BLOCK = 100_000  # products in memory at once
_SYNTHETIC_SHARE = 0.01  # of the titles say that they are


def write_esci(out: Path, seed: int, scale: float, single_locale: bool) -> dict[str, int]:
    """Write both files.

    Args:
        out: An existing directory.
        seed: Seed of all random choices.
        scale: Share of the official numbers of products and queries.
        single_locale: Whether all products and queries are of the locale ``us``.

    Returns:
        Rows of each file.
    """
    examples: list[pl.DataFrame] = []
    parts: list[Path] = []
    written = 0
    for number, (locale, official) in enumerate(_LOCALES.items()):
        rng = np.random.default_rng([seed, number])
        name = "us" if single_locale else locale
        lexicon = Lexicon(SYLLABLES[name], max(1_000, round(_WORDS * min(1.0, 4 * scale))), rng)
        products = max(100, round(official.products * scale))
        titles = []
        for start in range(0, products, _BLOCK):
            block = _products(locale, name, start, min(_BLOCK, products - start), lexicon, rng)
            titles.append(block["product_title"])
            parts.append(out / f".{PRODUCTS}.{len(parts)}")
            block.write_parquet(parts[-1])
        examples.append(_examples(locale, name, official, scale, pl.concat(titles), rng))
        written += products
    pl.scan_parquet(parts, glob=False).sink_parquet(out / PRODUCTS)
    for part in parts:
        part.unlink()
    table = pl.concat(examples).with_columns(
        example_id=pl.int_range(pl.len(), dtype=pl.Int64), query_id=pl.struct("query_id", "locale_of").rank("dense")
    )
    table = table.with_columns(pl.col("query_id").cast(pl.Int64) - 1)
    columns = ["example_id", "query", "query_id", "product_id", "product_locale", "esci_label"]
    table.select(*columns, "small_version", "large_version", "split").write_parquet(out / EXAMPLES)
    return {PRODUCTS: written, EXAMPLES: table.height}


def _product_ids(locale: str, rows: NDArray[np.int64]) -> pl.Series:
    """Ids of ten characters, different for each row and locale, in another order than the rows."""
    scattered = (rows * 7_919_381) % 10_000_019  # a bijection below the prime
    return (pl.Series(scattered).cast(pl.String).str.zfill(8)).rename("id").str.replace("^", f"S{locale[0].upper()}")


def _products(locale: str, name: str, first: int, n: int, lexicon: Lexicon, rng: np.random.Generator) -> pl.DataFrame:
    """Products ``first`` to ``first + n``, with lengths and missing values as in a sample of the real file."""
    title = lexicon.titles(17.6, 0.5, n, rng)
    models = pl.Series(rng.integers(0, 36**5, n)).cast(pl.String)
    title = pl.select(
        pl.when(pl.Series(rng.random(n) < _SYNTHETIC_SHARE))
        .then(title + " synthetic")
        .when(pl.Series(rng.random(n) < 0.4))  # the long tail of a real vocabulary
        .then(title + " KX" + models)
        .otherwise(title)
    ).to_series()
    description = "<p>" + lexicon.paragraphs(150, 0.9, n, rng).str.replace_all(". ", ".<br>", literal=True) + "</p>"
    brand = lexicon.words.gather((len(lexicon.words) * rng.random(n) ** 3).astype(np.int64)).str.to_titlecase()
    colour = lexicon.words.gather(rng.integers(0, 400, n)).str.to_titlecase()
    return pl.DataFrame(
        {
            "product_id": _product_ids(locale, np.arange(first, first + n)),
            "product_title": title,
            "product_description": _gaps(description, 0.466, rng),
            "product_bullet_point": _gaps(lexicon.paragraphs(130, 0.8, n, rng), 0.104, rng),
            "product_brand": _gaps(brand, 0.044, rng),
            "product_color": _gaps(colour, 0.285, rng),
            "product_locale": [name] * n,
        }
    )


def _gaps(column: pl.Series, share: float, rng: np.random.Generator) -> pl.Series:
    return pl.select(pl.when(pl.Series(rng.random(len(column)) >= share)).then(column)).to_series()


def _examples(
    locale: str, name: str, official: _Locale, scale: float, titles: pl.Series, rng: np.random.Generator
) -> pl.DataFrame:
    """Judgements by query; a query is made of words of the title of its first product, which is Exact."""
    sizes, small = [], []
    for is_small, (queries, judgements) in ((1, official.small), (0, official.others)):
        n = max(10, round(queries * scale))
        least = 5
        rest = max(0, round(judgements * scale) - least * n)
        sizes.append(least + rng.multinomial(rest, np.full(n, 1 / n)))
        small.append(np.full(n, is_small))
    size, in_small = np.concatenate(sizes), np.concatenate(small)
    query = np.repeat(np.arange(len(size)), size)
    place = np.arange(len(query)) - np.repeat(np.cumsum(size) - size, size)
    products = len(titles)
    step = rng.integers(1, max(2, products // (int(size.max()) + 1)), len(size))
    row = (rng.integers(0, products, len(size))[query] + place * step[query]) % products  # no product twice
    label = rng.choice(list(_LABELS), len(query), p=list(_LABELS.values()))
    label[place == 0] = "E"
    words = titles.gather(row[place == 0]).str.to_lowercase().str.split(" ")
    start, length = rng.integers(0, 8, len(size)), rng.integers(2, 6, len(size))
    phrases = pl.DataFrame({"words": words, "start": start, "length": length}).select(
        pl.col("words").list.slice(pl.min_horizontal("start", pl.col("words").list.len() - 2), pl.col("length"))
    )
    is_test = rng.random(len(size)) < 0.24
    return pl.DataFrame(
        {
            "query": phrases["words"].list.join(" ").gather(query),
            "query_id": query,
            "locale_of": [locale] * len(query),
            "product_id": _product_ids(locale, row),
            "product_locale": [name] * len(query),
            "esci_label": pl.Series(label.tolist(), dtype=pl.String),
            "small_version": in_small[query],
            "large_version": np.ones(len(query), dtype=np.int64),
            "split": pl.Series(np.where(is_test, "test", "train")[query].tolist(), dtype=pl.String),
        }
    )
