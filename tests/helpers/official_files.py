"""Small files in the official names and schemas, invented from first to last, and ways to spoil them."""

import datetime
import gzip
import io

import numpy as np
import polars as pl
import pytest

from envs_data import DataError

COLOURS = ("red", "blue", "green", "black", "white")
THINGS = ("kettle", "lamp", "tent", "violin", "saddle", "drill", "blanket", "whistle")
ARTICLE_TYPES = ("Dress", "Vest top", "Leggings/Tights", "Unknown")


def esci_products(n=240, locale="us"):
    """Eight kinds of thing, each of 30 products, and 12 brands; a part of the texts is missing or has markup."""
    return pl.DataFrame(
        {
            "product_id": [f"B{i:04d}" for i in range(n)],
            "product_title": [f"{COLOURS[i % 5]} {THINGS[i % 8]} model{i % 60} by maker" for i in range(n)],
            "product_description": [f"<p>A {THINGS[i % 8]} &amp; more</p>" if i % 3 else None for i in range(n)],
            "product_bullet_point": [f"solid<br>handle{i % 7}" if i % 2 else None for i in range(n)],
            "product_brand": [f"Brand{i % 12}" if i % 6 else None for i in range(n)],
            "product_color": [COLOURS[i % 5].title() if i % 4 else None for i in range(n)],
            "product_locale": [locale] * n,
        }
    )


def esci_examples(n_queries=50, n_products=240, locale="us", first_id=0):
    """Four judgements a query, E, S, C and I; every fifth query is of the official test split."""
    rows = [
        {
            "example_id": first_id + 4 * q + k,
            "query": f"{COLOURS[q % 5]} {THINGS[q % 8]} for number {q}",
            "query_id": first_id + q,
            "product_id": f"B{(q * 7 + 31 * k) % n_products:04d}",
            "product_locale": locale,
            "esci_label": "ESCI"[k],
            "small_version": int(q % 10 != 9),
            "large_version": 1,
            "split": "test" if q % 5 == 0 else "train",
        }
        for q in range(n_queries)
        for k in range(4)
    ]
    return pl.DataFrame(rows)


def write_esci(directory, examples=None, products=None):
    directory.mkdir(parents=True, exist_ok=True)
    examples = esci_examples() if examples is None else examples
    products = esci_products() if products is None else products
    examples.write_parquet(directory / "shopping_queries_dataset_examples.parquet")
    products.write_parquet(directory / "shopping_queries_dataset_products.parquet")
    return directory


def hm_articles(n=200):
    """Articles with ids short of a leading zero, as a reader that takes them for numbers would write them."""
    return pl.DataFrame(
        {
            "article_id": [str(100000000 + i) for i in range(n)],
            "product_code": [str(100000 + i) for i in range(n)],
            "prod_name": [f"Item {i % 90}" for i in range(n)],
            "product_type_name": [ARTICLE_TYPES[i % 4] for i in range(n)],
            "graphical_appearance_name": [("Solid", "Stripe")[i % 2] for i in range(n)],
            "colour_group_name": [COLOURS[i % 5].title() for i in range(n)],
            "garment_group_name": [("Jersey Basic", "Knitwear", "Unknown")[i % 3] for i in range(n)],
            "index_group_name": ["Ladieswear"] * n,
            "section_name": [f"Section {i % 6}" for i in range(n)],
            "department_name": [f"Department {i % 9}" for i in range(n)],
            "detail_desc": [f'Short text, "quoted", number {i}' if i % 10 else None for i in range(n)],
        }
    )


def hm_transactions(n_customers=60, n_articles=200, seed=0):
    """Each customer buys on one to five dates, a few articles a time, some of them again."""
    rng = np.random.default_rng(seed)
    rows = []
    for c in range(n_customers):
        dates = sorted(rng.choice(300, 1 + c % 5, replace=False).tolist())
        for day in dates:
            for article in rng.integers(0, n_articles if c % 3 else 8, rng.integers(1, 7)).tolist():
                date = (datetime.date(2019, 9, 20) + datetime.timedelta(days=day)).isoformat()
                rows.append((date, f"customer{c:03d}", f"{100000000 + article:010d}", "0.05", "2"))
    return pl.DataFrame(
        rows, schema=["t_dat", "customer_id", "article_id", "price", "sales_channel_id"], orient="row"
    ).sort("t_dat", maintain_order=True)


def write_hm(directory, articles=None, transactions=None, compress=False):
    directory.mkdir(parents=True, exist_ok=True)
    articles = hm_articles() if articles is None else articles
    transactions = hm_transactions() if transactions is None else transactions
    for name, frame in (("articles.csv", articles), ("transactions_train.csv", transactions)):
        text = io.BytesIO()
        frame.write_csv(text)
        if compress:
            (directory / f"{name}.gz").write_bytes(gzip.compress(text.getvalue(), mtime=0))
        else:
            (directory / name).write_bytes(text.getvalue())
    return directory


def table(data, name):
    """A table of a data set in memory."""
    return data.documents.frame if name == "documents" else getattr(data, name)


def judged_ids(data):
    """(query_id, doc_id) -> gain."""
    ids = data.documents["doc_id"].gather(data.qrels["doc_row"])
    return {
        (query, doc): gain for query, doc, gain in zip(data.qrels["query_id"], ids, data.qrels["gain"], strict=True)
    }


def drop(column):
    return lambda frame: frame.drop(column)


def put(column, value):
    return lambda frame: frame.with_columns(pl.lit(value).alias(column))


def put_first(column, value):
    first = pl.int_range(pl.len()) == 0
    return lambda frame: frame.with_columns(pl.when(first).then(pl.lit(value)).otherwise(column).alias(column))


def check_error(call, message, tmp_path):
    """One line that says so, and nothing written."""
    with pytest.raises(DataError) as caught:
        call()
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
