"""The three files of H&M Personalized Fashion Recommendations, in their schema and size."""

import datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data.official.hm_files import ARTICLES, CUSTOMERS, TRANSACTIONS
from ospo_cli._official_size.words import SYLLABLES, Lexicon, hex_ids

__all__ = ["write_hm"]

_ARTICLES, _CUSTOMERS, _TRANSACTIONS = 105_542, 1_371_980, 31_788_324
_FIRST_DAY, _DAYS = datetime.date(2018, 9, 20), 734
_BLOCK = 1_000_000  # purchases in memory at once
_BASKET = 3.5  # articles that a customer buys on one day, on average
_NAMED = {  # attribute: the column of its code, if it has one, and how many values there are
    "product_type_name": ("product_type_no", 131),
    "product_group_name": (None, 19),
    "graphical_appearance_name": ("graphical_appearance_no", 30),
    "colour_group_name": ("colour_group_code", 50),
    "perceived_colour_value_name": ("perceived_colour_value_id", 8),
    "perceived_colour_master_name": ("perceived_colour_master_id", 20),
    "department_name": ("department_no", 250),
    "index_name": ("index_code", 10),
    "index_group_name": ("index_group_no", 5),
    "section_name": ("section_no", 56),
    "garment_group_name": ("garment_group_no", 21),
}
_ORDER = (
    "article_id product_code prod_name product_type_no product_type_name product_group_name graphical_appearance_no "
    "graphical_appearance_name colour_group_code colour_group_name perceived_colour_value_id "
    "perceived_colour_value_name perceived_colour_master_id perceived_colour_master_name department_no "
    "department_name index_code index_name index_group_no index_group_name section_no section_name garment_group_no "
    "garment_group_name detail_desc"
).split()


def write_hm(out: Path, seed: int, scale: float) -> dict[str, int]:
    """Write the three files.

    Args:
        out: An existing directory.
        seed: Seed of all random choices.
        scale: Share of the official numbers of rows.

    Returns:
        Rows of each file.
    """
    rng = np.random.default_rng(seed)
    articles = _articles(max(200, round(_ARTICLES * scale)), rng)
    articles.write_csv(out / ARTICLES[0])
    customers = _customers(max(100, round(_CUSTOMERS * scale)), rng)
    customers.write_csv(out / CUSTOMERS[0])
    transactions = max(1_000, round(_TRANSACTIONS * scale))
    _write_transactions(out / TRANSACTIONS[0], transactions, articles["article_id"], customers["customer_id"], rng)
    return {ARTICLES[0]: articles.height, CUSTOMERS[0]: customers.height, TRANSACTIONS[0]: transactions}


def _articles(n: int, rng: np.random.Generator) -> pl.DataFrame:
    """All 25 columns; one description in ten says that the article is synthetic."""
    lexicon = Lexicon(SYLLABLES["us"], 20_000, rng)
    ids = np.sort(_distinct(840_000_000, n, rng)) + 108_775_000
    product = (ids // 1_000).astype(np.int64)
    plain = lexicon.paragraphs(24, 0.4, n, rng)
    marked = pl.when(pl.Series(rng.random(n) < 0.1)).then(plain + " Synthetic.").otherwise(plain)
    detail = pl.select(marked).to_series()
    columns: dict[str, pl.Series] = {
        "article_id": pl.Series(ids).cast(pl.String).str.zfill(10),
        "product_code": pl.Series(product).cast(pl.String),
        "prod_name": lexicon.texts(rng.integers(1, 4, n), rng).str.to_titlecase(),
        "detail_desc": pl.select(pl.when(pl.Series(rng.random(n) >= 0.004)).then(detail)).to_series(),
    }
    for name, (code, values) in _NAMED.items():
        spelt = lexicon.texts(rng.integers(1, 3, values), rng).str.to_titlecase()
        rows = (values * rng.random(n) ** 2).astype(np.int64)
        columns[name] = spelt.gather(rows)
        if code is not None:
            columns[code] = pl.Series(rows + 1).cast(pl.String)
    return pl.DataFrame({name: columns[name] for name in _ORDER})


def _distinct(high: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    numbers = np.unique(rng.integers(0, high, 2 * n))
    return rng.permutation(numbers)[:n]


def _customers(n: int, rng: np.random.Generator) -> pl.DataFrame:
    active = pl.select(pl.when(pl.Series(rng.random(n) < 0.35)).then(1.0)).to_series()
    return pl.DataFrame(
        {
            "customer_id": hex_ids(n, 64, rng).sort(),
            "FN": active,
            "Active": active,
            "club_member_status": rng.choice(["ACTIVE", "PRE-CREATE", "LEFT CLUB"], n, p=[0.93, 0.068, 0.002]).tolist(),
            "fashion_news_frequency": rng.choice(["NONE", "Regularly", "Monthly"], n, p=[0.648, 0.351, 0.001]).tolist(),
            "age": rng.integers(16, 80, n),
            "postal_code": hex_ids(n, 64, rng),
        }
    )


def _write_transactions(
    path: Path, n: int, articles: pl.Series, customers: pl.Series, rng: np.random.Generator
) -> None:
    """Purchases by day, a few of a customer together; some customers and articles come far more often than others."""
    dates = pl.Series([(_FIRST_DAY + datetime.timedelta(days=day)).isoformat() for day in range(_DAYS)])
    activity = np.cumsum(rng.gamma(0.6, size=len(customers)))
    popularity = rng.permutation(len(articles))
    blocks = -(-n // _BLOCK)
    with path.open("wb") as stream:
        for block in range(blocks):
            rows = min(_BLOCK, n - block * _BLOCK)
            baskets = max(1, round(rows / _BASKET))
            day = ((block + rng.random(baskets)) / blocks * _DAYS).astype(np.int64)
            buyer = np.searchsorted(activity, rng.random(baskets) * activity[-1])
            order = np.lexsort((buyer, day))
            sizes = 1 + rng.multinomial(rows - baskets, np.full(baskets, 1 / baskets))
            basket = np.repeat(order, sizes)
            bought = popularity[(len(articles) * rng.random(rows) ** 2.5).astype(np.int64)]
            frame = pl.DataFrame(
                {
                    "t_dat": dates.gather(day[basket]),
                    "customer_id": customers.gather(buyer[basket]),
                    "article_id": articles.gather(bought),
                    "price": np.rint(rng.gamma(3.0, 10.0, rows) + 2) / 1_000,
                    "sales_channel_id": 2 - (rng.random(rows) < 0.3),
                }
            )
            frame.write_csv(stream, include_header=block == 0)
