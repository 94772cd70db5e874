"""Official files to prepared directories: what is read, judged, left out and said."""

import os
import subprocess
import sys

import polars as pl
import prepare
import pytest
from conftest import ROOT, SHARED_DATA
from official_files import (
    esci_examples,
    esci_products,
    hm_articles,
    hm_transactions,
    write_esci,
    write_hm,
)

from envs_data import DataError, load_prepared, prepare_esci, prepare_hm

real_data = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real data slices are not beside the checkout")


@pytest.fixture(scope="module")
def esci_source(tmp_path_factory):
    return write_esci(tmp_path_factory.mktemp("esci"))


@pytest.fixture(scope="module")
def hm_source(tmp_path_factory):
    return write_hm(tmp_path_factory.mktemp("hm"))


@pytest.fixture(scope="module")
def esci(esci_source, tmp_path_factory):
    return prepare_esci(esci_source, tmp_path_factory.mktemp("out") / "esci", pool_size=40)


@pytest.fixture(scope="module")
def hm(hm_source, tmp_path_factory):
    return prepare_hm(hm_source, tmp_path_factory.mktemp("out") / "hm", pool_size=40)


def judged_ids(data):
    """(query_id, doc_id) -> gain."""
    ids = data.documents["doc_id"].gather(data.qrels["doc_row"])
    return {
        (query, doc): gain for query, doc, gain in zip(data.qrels["query_id"], ids, data.qrels["gain"], strict=True)
    }


def folder_bytes(path):
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


# ------------------------------------------------------------------------------------------- ESCI


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


# -------------------------------------------------------------------------------------------- H&M


def test_hm_ids_are_padded_on_both_sides(hm):
    assert hm.documents["doc_id"].str.len_chars().unique().to_list() == [10]
    assert hm.documents["doc_id"].min() == "0100000000"
    assert hm.manifest["counts"]["purchases_unusable"] == 0


def test_hm_text_joins_the_attributes(hm):
    texts = dict(zip(hm.documents["doc_id"], hm.documents["text"], strict=True))
    assert texts["0100000001"].split("\n") == [
        *("Item 1", "Vest top", "Blue", "Stripe", "Knitwear", "Ladieswear", "Section 1", "Department 1"),
        *('Short text, "quoted",', "number 1"),
    ]
    assert "Unknown" not in "".join(texts.values())


def test_hm_queries_against_a_plain_reading(hm):
    """Histories, needs and judgements, recomputed customer by customer."""
    kinds = dict(hm.documents.select("doc_id", pl.col("text").str.split("\n").list.get(1)).rows())
    unknown = set(hm_articles().filter(product_type_name="Unknown")["article_id"].str.zfill(10))
    needs = {"Dress": "dress", "Vest top": "vest top", "Leggings/Tights": "leggings tights"}
    judged = {}
    for query, doc in judged_ids(hm):
        judged.setdefault(query, set()).add(doc)
    queries = {row["query_id"]: row for row in hm.queries.iter_rows(named=True)}
    phrases = {
        row["article_id"].zfill(10): ", ".join(
            row[name] for name in ("prod_name", "colour_group_name", "product_type_name") if row[name] != "Unknown"
        ).lower()
        for row in hm_articles().iter_rows(named=True)
    }
    left_out = {"one date": 0, "nothing new": 0}
    for (customer,), bought in hm_transactions().group_by("customer_id"):
        last = bought["t_dat"].max()
        earlier = bought.filter(pl.col("t_dat") < last)
        new = set(bought.filter(t_dat=last)["article_id"]) - set(earlier["article_id"]) - unknown
        if earlier.is_empty():
            left_out["one date"] += 1
        elif not new:
            left_out["nothing new"] += 1
        if earlier.is_empty() or not new:
            assert customer not in queries
            continue
        row = queries[customer]
        assert row["query"] in {needs[kinds[doc]] for doc in judged[customer]}
        assert judged[customer] == {doc for doc in new if needs[kinds[doc]] == row["query"]}
        dates = dict(earlier.group_by("article_id").agg(pl.col("t_dat").max()).rows())
        latest = sorted(dates.values())[-10:]
        assert len(row["history"]) == len(latest) >= 1
        possible = [{phrases[doc] for doc, date in dates.items() if date == day} for day in latest]
        assert all(phrase in any_of for phrase, any_of in zip(row["history"], possible, strict=True))  # oldest first
    counts = hm.manifest["counts"]
    assert counts["customers_without_earlier_purchase"] == left_out["one date"] > 0
    assert counts["customers_without_new_need"] == left_out["nothing new"] > 0
    assert counts["customers"] == 60 == hm.queries.height + sum(left_out.values())


def test_hm_history_is_capped_and_strictly_earlier(tmp_path):
    days = [(f"2020-01-{day:02d}", f"{100000000 + 4 * day:010d}") for day in range(1, 16)]
    rows = [*days, ("2020-01-15", "0100000001"), ("2020-01-15", "0100000005"), ("2020-01-15", "0100000004")]
    transactions = pl.DataFrame(
        {"t_dat": [row[0] for row in rows], "customer_id": ["c"] * len(rows), "article_id": [row[1] for row in rows]}
    )
    data = prepare_hm(write_hm(tmp_path / "in", transactions=transactions), tmp_path / "out", pool_size=10)
    query = data.queries.row(0, named=True)
    items = [phrase.split(",")[0] for phrase in query["history"]]
    assert items == [f"item {4 * day % 90}" for day in range(5, 15)]
    judged = {doc for _, doc in judged_ids(data)}
    if query["query"] == "vest top":  # rows 1 and 5; row 4 is a dress bought before
        assert judged == {"0100000001", "0100000005"}
    else:
        assert judged == {"0100000060"}


def test_hm_splits_are_by_customer(hm):
    assert hm.queries["query_id"].n_unique() == hm.queries.height
    sizes = dict(hm.queries.group_by("split").len().rows())
    tenth = round(hm.queries.height / 10)
    assert sizes == {"train": hm.queries.height - 2 * tenth, "validation": tenth, "test": tenth}


def test_hm_hard_negatives_have_the_type_and_related_ones_the_garment_group(hm_source, tmp_path):
    data = prepare_hm(hm_source, tmp_path / "out", pool_size=21)
    articles = {row["article_id"].zfill(10): row for row in hm_articles().iter_rows(named=True)}
    rows = [articles[doc_id] for doc_id in data.documents["doc_id"]]
    for query, pool in data.pools.rows():
        judged = set(data.qrels.filter(query_id=query)["doc_row"])
        hard, related, _ = (round(share * (21 - len(judged)) + 1e-9) for share in (0.5, 0.3, 0.2))
        negatives = [rows[row] for row in pool if row not in judged]
        for column, least in (("product_type_name", hard), ("garment_group_name", related)):
            shared = {rows[row][column] for row in judged} - {"Unknown"}
            assert not shared or sum(row[column] in shared for row in negatives) >= least - 1


def test_hm_demonstrations_are_noisy_attributes_of_training_targets(hm):
    demonstrations = hm.demonstrations.join(hm.queries, on="query_id")
    assert set(demonstrations["split"]) == {"train"}
    assert demonstrations.height == 2 * hm.queries.filter(split="train").height
    assert all(row["text"].split(", ")[0] == row["query"] for row in demonstrations.iter_rows(named=True))
    colours = dict(hm_articles().select(pl.col("article_id").str.zfill(10), "colour_group_name").rows())
    single = hm.qrels.group_by("query_id").agg(pl.col("doc_row")).filter(pl.col("doc_row").list.len() == 1)
    target = {query: colours[hm.documents["doc_id"][rows[0]]].lower() for query, rows in single.rows()}
    named = [row for row in demonstrations.iter_rows(named=True) if row["query_id"] in target]
    right = sum(target[row["query_id"]] in row["text"] for row in named) / len(named)
    assert 0.4 < right < 0.95  # most name the target's colour, not all


def test_hm_max_queries_draws_customers(hm, hm_source, tmp_path):
    few = prepare_hm(hm_source, tmp_path / "few", pool_size=40, max_queries=10)
    other = prepare_hm(hm_source, tmp_path / "other", pool_size=40, max_queries=10, seed=1)
    assert 0 < few.queries.height <= 10
    assert few.manifest["counts"]["customers_not_drawn"] > 0
    assert set(few.queries["query_id"]) < set(hm.queries["query_id"])
    assert set(few.queries["query_id"]) != set(other.queries["query_id"])
    every = prepare_hm(hm_source, tmp_path / "every", pool_size=40, max_queries=None)
    assert every.queries.equals(hm.queries)


def test_hm_gzip_and_customers_file(hm, tmp_path):
    source = write_hm(tmp_path / "in", compress=True)
    (source / "customers.csv.gz").write_bytes(b"anything")
    data = prepare_hm(source, tmp_path / "out", pool_size=40)
    assert set(data.manifest["sources"]) == {"articles.csv.gz", "transactions_train.csv.gz", "customers.csv.gz"}
    assert data.manifest["files"] == hm.manifest["files"]


def test_hm_unusable_purchases_are_counted(hm_source, tmp_path):
    transactions = hm_transactions()
    unknown = transactions.head(7).with_columns(article_id=pl.lit("0999999999"), t_dat=pl.lit("2021-01-01"))
    source = write_hm(tmp_path / "in", transactions=pl.concat([transactions, unknown]))
    data = prepare_hm(source, tmp_path / "out", pool_size=40)
    assert data.manifest["counts"]["purchases_unusable"] == 7
    assert data.manifest["files"] == prepare_hm(hm_source, tmp_path / "plain", pool_size=40).manifest["files"]


# ------------------------------------------------------------------------------------------- both


@pytest.mark.parametrize("dataset", ["esci", "hm"])
def test_same_files_and_seed_give_the_same_bytes_whatever_the_threads(dataset, esci_source, hm_source, tmp_path):
    source = {"esci": esci_source, "hm": hm_source}[dataset]
    for threads in ("1", "3"):
        subprocess.run(
            [sys.executable, "scripts/prepare.py", dataset, "--source", source, "--out", tmp_path / threads],
            check=True,
            capture_output=True,
            cwd=ROOT,
            env={**os.environ, "POLARS_MAX_THREADS": threads},
        )
    assert folder_bytes(tmp_path / "1") == folder_bytes(tmp_path / "3")
    prepare.main([dataset, "--source", str(source), "--out", str(tmp_path / "other"), "--seed", "1"])
    first, other = folder_bytes(tmp_path / "1"), folder_bytes(tmp_path / "other")
    assert all(first[name] != other[name] for name in first)


def test_row_order_of_the_source_does_not_matter(esci, esci_source, tmp_path):
    shuffled = write_esci(
        tmp_path / "in",
        esci_examples().sample(fraction=1, shuffle=True, seed=1),
        esci_products().sample(fraction=1, shuffle=True, seed=2),
    )
    data = prepare_esci(shuffled, tmp_path / "out", pool_size=40)
    assert data.manifest["files"] == esci.manifest["files"]
    assert data.manifest["sources"] != esci.manifest["sources"]


def test_the_program_says_what_it_wrote(esci_source, tmp_path, capsys):
    prepare.main(["esci", "--source", str(esci_source), "--out", str(tmp_path / "out"), "--pool-size", "300"])
    printed = capsys.readouterr().out
    assert "documents       240" in printed
    assert "queries         45: 31 train, 4 validation, 10 test" in printed
    assert "2,700 places stayed empty" in printed  # 45 pools of 240 instead of 300
    assert "Left out" not in printed
    assert load_prepared(tmp_path / "out").queries.height == 45


def drop(column):
    return lambda frame: frame.drop(column)


def put(column, value):
    return lambda frame: frame.with_columns(pl.lit(value).alias(column))


def put_first(column, value):
    first = pl.int_range(pl.len()) == 0
    return lambda frame: frame.with_columns(pl.when(first).then(pl.lit(value)).otherwise(column).alias(column))


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
    ("table", "change", "message"),
    [
        ("articles", drop("garment_group_name"), "missing: garment_group_name"),
        ("transactions", drop("t_dat"), "missing: t_dat"),
        ("articles", put("article_id", "7"), "expected each doc_id once; '0000000007' comes more often"),
        ("articles", lambda frame: frame.clear(), "expected articles, but there are none"),
        ("articles", put("product_type_name", "Unknown"), "an article new to them, but there are none"),
        ("transactions", put("t_dat", "2020-01-01"), "on two dates or more, but there are none"),
        ("transactions", put_first("t_dat", "22.09.2020"), "cannot read"),
        ("transactions", put("article_id", "12"), "on two dates or more, but there are none"),
    ],
)
def test_bad_hm_files(table, change, message, tmp_path):
    frames = {"articles": hm_articles(), "transactions": hm_transactions()}
    frames[table] = change(frames[table])
    check_error(lambda: prepare_hm(write_hm(tmp_path / "in", **frames), tmp_path / "out"), message, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe not a table", b"PAR1", b"a,b\n1,2\n"])
@pytest.mark.parametrize("dataset", ["esci", "hm"])
def test_files_of_another_kind(dataset, content, tmp_path):
    if dataset == "esci":
        (write_esci(tmp_path / "in") / "shopping_queries_dataset_products.parquet").write_bytes(content)
        check_error(lambda: prepare_esci(tmp_path / "in", tmp_path / "out"), "products.parquet", tmp_path)
    else:
        (write_hm(tmp_path / "in") / "transactions_train.csv").write_bytes(content)
        check_error(lambda: prepare_hm(tmp_path / "in", tmp_path / "out"), "transactions_train.csv", tmp_path)


def test_a_cut_gzip_file(tmp_path):
    cut = write_hm(tmp_path / "in", compress=True) / "transactions_train.csv.gz"
    cut.write_bytes(cut.read_bytes()[:2000])
    check_error(lambda: prepare_hm(tmp_path / "in", tmp_path / "out"), "transactions_train.csv.gz", tmp_path)


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


@pytest.mark.parametrize("arguments", [{"max_queries": 0}, {"max_queries": -3}, {"pool_size": 10_001}, {"seed": 2**63}])
def test_bad_hm_arguments(arguments, tmp_path):
    message = "must be a whole number from"
    check_error(lambda: prepare_hm(write_hm(tmp_path / "in"), tmp_path / "out", **arguments), message, tmp_path)


def check_error(call, message, tmp_path):
    """One line that says so, and nothing written."""
    with pytest.raises(DataError) as caught:
        call()
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_missing_directories_and_files(tmp_path):
    with pytest.raises(DataError, match="nowhere, but it does not exist"):
        prepare_esci(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected the file articles\.csv or articles\.csv\.gz in"):
        prepare_hm(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file, but it is a file"):
        prepare_hm(tmp_path / "file", tmp_path / "out")


# -------------------------------------------------------------------------------------- real files


@real_data
def test_real_esci(tmp_path):
    for locale, documents in (("us", 1381), ("es", 346), ("jp", 371)):
        data = prepare_esci(SHARED_DATA / "esci", tmp_path / locale, locale=locale)
        assert data.documents.height == documents
        assert set(data.queries["split"]) == {"train", "validation", "test"}
        assert data.pools["doc_rows"].list.len().unique().to_list() == [100]
        assert data.manifest["counts"]["pool_hard"] > 0
        assert not data.documents["text"].str.contains("(?i)<br ?/?>|</p>").any()
        assert data.demonstrations["text"].str.len_chars().min() > 0


@real_data
def test_real_hm(tmp_path):
    data = prepare_hm(SHARED_DATA / "hm", tmp_path / "hm")
    assert data.documents.height == 105_542
    assert data.queries.height > 3000
    assert data.queries["history"].list.len().is_between(1, 10).all()
    counts = data.manifest["counts"]
    negatives = counts["pool_hard"] + counts["pool_related"] + counts["pool_random"]
    assert abs(counts["pool_hard"] / negatives - 0.5) < 0.02
    assert abs(counts["pool_related"] / negatives - 0.3) < 0.02
