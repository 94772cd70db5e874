"""ESCI's official files to a prepared directory: what is read, judged, left out and refused."""

import polars as pl
import pytest

from envs_data import prepare_esci
from official_files import check_error, drop, esci_examples, esci_products, judged_ids, put, put_first, write_esci
from paths import SHARED_DATA


@pytest.fixture(scope="module")
def esci_source(tmp_path_factory):
    return write_esci(tmp_path_factory.mktemp("esci"))


@pytest.fixture(scope="module")
def esci(esci_source, tmp_path_factory):
    return prepare_esci(esci_source, tmp_path_factory.mktemp("out") / "esci", pool_size=40)


def test_esci_keeps_the_official_judgements(esci):
    examples = esci_examples().filter(pl.col("small_version") == 1)
    gains = {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0}
    expected = {
        (str(row["query_id"]), row["product_id"]): gains[row["esci_label"]] for row in examples.iter_rows(named=True)
    }
    assert judged_ids(esci) == expected
    assert esci.manifest["arguments"] == {"locale": "us", "version": "small", "pool_size": 40, "seed": 0}
    assert not esci.synthetic


def test_esci_large_version_has_the_other_queries_too(esci, esci_source, tmp_path):
    large = prepare_esci(esci_source, tmp_path / "large", version="large", pool_size=40)
    assert large.queries.height == 50
    assert esci.queries.height == 45
    assert set(esci.queries["query_id"]) < set(large.queries["query_id"])


def test_esci_text_joins_what_is_known_without_markup(esci):
    texts = dict(zip(esci.documents["doc_id"], esci.documents["text"], strict=True))
    assert texts["B0001"] == "blue lamp model1 by maker\nBrand1\nBlue\nsolid handle1\nA lamp & more"
    assert texts["B0000"] == "red kettle model0 by maker"
    assert esci.documents["title"][0] == esci.documents["text"][0].split("\n")[0]


def test_esci_documents_stand_in_random_order(esci, esci_source, tmp_path):
    ids = esci.documents["doc_id"].to_list()
    other = prepare_esci(esci_source, tmp_path / "other", pool_size=40, seed=1).documents["doc_id"].to_list()
    assert sorted(ids) == sorted(other)
    assert ids != sorted(ids)
    assert ids != other


def test_esci_keeps_the_official_test_queries_and_takes_validation_from_train(esci):
    split = dict(zip(esci.queries["query_id"], esci.queries["split"], strict=True))
    official = dict(esci_examples().select(pl.col("query_id").cast(pl.String), "split").unique().rows())
    assert {query for query in split if split[query] == "test"} == {q for q in split if official[q] == "test"}
    assert sum(name == "validation" for name in split.values()) == 4  # a tenth of 35 training queries, rounded
    assert esci.queries["split"].to_list() == ["train"] * 31 + ["validation"] * 4 + ["test"] * 10


def test_esci_pools_hold_all_judged_documents(esci):
    pools = esci.pools.explode("doc_rows").rename({"doc_rows": "doc_row"})
    assert esci.qrels.join(pools, on=["query_id", "doc_row"], how="anti").is_empty()
    fewer = pools.filter(pl.col("doc_row") != esci.qrels["doc_row"][0])
    assert esci.qrels.join(fewer, on=["query_id", "doc_row"], how="anti").height > 0
    assert esci.pools["doc_rows"].list.len().to_list() == [40] * 45


def test_esci_hard_negatives_share_a_rare_title_word_and_related_ones_the_brand(esci_source, tmp_path):
    """Every title word but "by" and "maker" is rare here (at most 48 of 240 titles), so hard places are all filled."""
    data = prepare_esci(esci_source, tmp_path / "out", pool_size=24)  # 20 negatives: 10 hard, 6 related, 4 random
    counts = data.manifest["counts"]
    assert counts["pool_hard"] == 10 * 45
    assert counts["pool_hard_missing"] == 0
    titles = [set(title.split()) - {"by", "maker"} for title in data.documents["title"]]
    brands = dict(esci_products().select("product_id", "product_brand").rows())
    brand = [brands[doc_id] for doc_id in data.documents["doc_id"]]
    full = dict(data.qrels.filter(pl.col("gain") == 1.0).select("query_id", "doc_row").rows())
    judged = data.qrels.group_by("query_id").agg("doc_row")
    judged_rows = {query: set(rows) for query, rows in judged.rows()}
    related = 0
    for query, pool in data.pools.rows():
        target, negatives = full[query], set(pool) - judged_rows[query]
        assert sum(bool(titles[row] & titles[target]) for row in negatives) >= 10
        if brand[target] is not None:
            assert sum(brand[row] == brand[target] for row in negatives) >= 6
            related += 6
    assert counts["pool_related"] == related
    assert counts["pool_related_missing"] == 6 * 45 - related > 0  # products without brand have no related ones


def test_esci_leaves_out_and_counts(tmp_path):
    examples = esci_examples()
    no_exact = pl.when(pl.col("query_id") == 3, pl.col("esci_label") == "E").then(pl.lit("S"))
    absent = pl.when(pl.col("query_id") == 4, pl.col("esci_label") == "C").then(pl.lit("GONE"))
    gone = pl.when(pl.col("query_id") == 6, pl.col("esci_label") == "E").then(pl.lit("LOST"))
    blank = pl.when(pl.col("query_id") == 7).then(pl.lit("  "))
    again = examples.filter(pl.col("query_id") == 8).with_columns(esci_label=pl.lit("I"))
    examples = pl.concat([examples, again]).with_columns(
        no_exact.otherwise("esci_label").alias("esci_label"),
        absent.otherwise(gone.otherwise("product_id")).alias("product_id"),
        blank.otherwise("query").alias("query"),
    )
    data = prepare_esci(write_esci(tmp_path / "in", examples), tmp_path / "out", pool_size=40)
    counts = data.manifest["counts"]
    assert not {"3", "6", "7"} & set(data.queries["query_id"])
    assert counts["queries_without_exact"] == 2
    assert counts["queries_blank"] == 1
    assert counts["judgements_without_document"] == 2
    assert counts["judgements_repeated"] == 4
    assert counts["judgements_of_queries_left_out"] == 4 + 3 + 4
    assert counts["judgements"] == data.qrels.height == 45 * 4 - 2 - 11
    assert sorted(gain for (query, _), gain in judged_ids(data).items() if query == "8") == [0.0, 0.01, 0.1, 1.0]


def test_esci_reads_one_locale_only(tmp_path):
    examples = pl.concat([esci_examples(), esci_examples(20, locale="es", first_id=1000)])
    products = pl.concat([esci_products(), esci_products(locale="es").with_columns(product_brand=pl.lit("Marca"))])
    source = write_esci(tmp_path / "in", examples, products)
    data = prepare_esci(source, tmp_path / "out", locale="es", pool_size=40)
    assert data.documents.height == 240
    assert data.documents["text"].str.contains("Marca").all()
    assert data.queries.height == 18
    assert data.queries["query_id"].cast(pl.Int64).min() >= 1000


def test_esci_demonstrations_are_noisy_words_of_an_exact_product_of_training_queries(esci):
    demonstrations = esci.demonstrations.join(esci.queries, on="query_id")
    assert set(demonstrations["split"]) == {"train"}
    assert set(demonstrations["query_id"]) == set(esci.queries.filter(split="train")["query_id"])
    assert demonstrations["text"].str.contains(",").mean() > 0.8
    assert demonstrations["text"].str.split(" ").list.len().mean() < 16
    full = dict(esci.qrels.filter(pl.col("gain") == 1.0).select("query_id", "doc_row").rows())
    words = [set(text.lower().replace("\n", " ").split()) for text in esci.documents["text"]]

    def share_from(rows):
        """Mean share of a demonstration's words, without the query's own, that stand in some document."""
        shares = []
        for row, demonstration in zip(rows, demonstrations.rows(named=True), strict=True):
            own = set(demonstration["text"].replace(",", "").split()) - set(demonstration["query"].split())
            shares.append(len(own & words[row]) / max(len(own), 1))
        return sum(shares) / len(shares)

    targets = [full[query] for query in demonstrations["query_id"]]
    assert share_from(targets) > share_from([(row + 1) % 240 for row in targets]) + 0.2
    assert share_from(targets) < 1.0  # some phrases are of another product


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("examples", drop("esci_label"), "missing: esci_label"),
        ("products", drop("product_brand"), "missing: product_brand"),
        ("examples", put_first("esci_label", "X"), "unknown esci_label 'X'"),
        ("examples", put_first("esci_label", None), "unknown esci_label None"),
        ("examples", put_first("split", "tset"), "unknown split 'tset'; did you mean 'test'"),
        ("examples", put("product_locale", "usa"), "unknown locale 'us'; did you mean 'usa'"),
        ("examples", put("small_version", 0), "judgements of locale 'us' with small_version = 1, but there are none"),
        ("examples", put("small_version", "yes"), "cannot read"),
        ("examples", put("esci_label", "S"), "queries with an Exact product"),
        ("examples", put("product_id", "gone"), "queries with an Exact product"),
        ("examples", put("esci_label", 3), "unknown esci_label '3'"),
        ("products", put("product_title", [1]), "cannot read"),
        ("examples", put("query_id", 1), "query '1' has several"),
        ("examples", put_first("query_id", None), "expected a query_id in every row"),
        ("products", put("product_locale", "jp"), "products of locale 'us', but there are none"),
        ("products", put("product_id", "B0001"), "expected each doc_id once; 'B0001' comes more often"),
        ("products", put_first("product_id", None), "expected a doc_id in every row"),
    ],
)
def test_bad_esci_files(table, change, message, tmp_path):
    frames = {"examples": esci_examples(), "products": esci_products()}
    frames[table] = change(frames[table])
    check_error(lambda: prepare_esci(write_esci(tmp_path / "in", **frames), tmp_path / "out"), message, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"locale": "uss"}, "unknown locale 'uss'; did you mean 'us'? Known: us"),
        ({"version": "smal"}, "unknown version 'smal'; did you mean 'small'"),
        ({"pool_size": 1}, "pool size must be a whole number from 2"),
        ({"seed": -1}, "seed must be a whole number from 0"),
    ],
)
def test_bad_esci_arguments(arguments, message, tmp_path):
    check_error(lambda: prepare_esci(write_esci(tmp_path / "in"), tmp_path / "out", **arguments), message, tmp_path)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real data slices are not beside the checkout")
def test_real_esci(tmp_path):
    for locale, documents in (("us", 1381), ("es", 346), ("jp", 371)):
        data = prepare_esci(SHARED_DATA / "esci", tmp_path / locale, locale=locale)
        assert data.documents.height == documents
        assert set(data.queries["split"]) == {"train", "validation", "test"}
        assert data.pools["doc_rows"].list.len().unique().to_list() == [100]
        assert data.manifest["counts"]["pool_hard"] > 0
        assert not data.documents["text"].str.contains("(?i)<br ?/?>|</p>").any()
        assert data.demonstrations["text"].str.len_chars().min() > 0
