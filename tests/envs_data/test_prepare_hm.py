"""H&M's official files to a prepared directory: what is read, judged, left out and refused."""

import polars as pl
import pytest

from envs_data import prepare_hm
from official_files import check_error, drop, hm_articles, hm_transactions, judged_ids, put, put_first, write_hm
from paths import SHARED_DATA


@pytest.fixture(scope="module")
def hm_source(tmp_path_factory):
    return write_hm(tmp_path_factory.mktemp("hm"))


@pytest.fixture(scope="module")
def hm(hm_source, tmp_path_factory):
    return prepare_hm(hm_source, tmp_path_factory.mktemp("out") / "hm", pool_size=40)


def test_hm_ids_are_padded_on_both_sides(hm):
    assert hm.documents["doc_id"].str.len_chars().unique().to_list() == [10]
    assert hm.documents["doc_id"].min() == "0100000000"
    assert hm.manifest["counts"]["purchases_unusable"] == 0


def test_hm_text_joins_the_attributes(hm):
    texts = dict(zip(hm.documents["doc_id"], hm.documents["text"], strict=True))
    assert texts["0100000001"].split("\n") == [
        *("Item 1", "Vest top", "Blue", "Stripe", "Knitwear", "Ladieswear", "Section 1", "Department 1"),
        'Short text, "quoted", number 1',
    ]
    assert "Unknown" not in "".join(texts.values())


def test_hm_queries_against_a_plain_reading(hm):
    """Histories, needs and judgements, recomputed customer by customer."""
    kinds = dict(hm.documents.frame.select("doc_id", pl.col("text").str.split("\n").list.get(1)).rows())
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


@pytest.mark.parametrize("table", ["articles", "transactions_train"])
@pytest.mark.parametrize(
    ("quotes", "row", "got"),
    [
        ({2: ",X", 5: "X\n"}, 3, "a line break inside quotes"),  # read as one record without any complaint
        ({2: ",X"}, 3, "an unclosed quote"),
        ({2: "0X", 3: "0X"}, 3, "a quote inside a field"),
    ],
)
def test_stray_quotes_swallow_no_rows(table, quotes, row, got, tmp_path):
    source = write_hm(tmp_path / "in", articles=hm_articles().with_columns(detail_desc=pl.lit("plain")))
    path = source / f"{table}.csv"
    lines = path.read_text().splitlines(keepends=True)
    assert '"' not in "".join(lines)
    for place, where in quotes.items():
        at = lines[place].index(where.replace("X", "")) + len(where.split("X")[0])
        lines[place] = f'{lines[place][:at]}"{lines[place][at:]}'
    path.write_text("".join(lines))
    message = f"{path}, row {row}: expected rows of one line, fields with quotes only around them, got {got}"
    check_error(lambda: prepare_hm(source, tmp_path / "out"), message, tmp_path)


@pytest.mark.parametrize("arguments", [{"max_queries": 0}, {"max_queries": -3}, {"pool_size": 10_001}, {"seed": 2**63}])
def test_bad_hm_arguments(arguments, tmp_path):
    message = "must be a whole number from"
    check_error(lambda: prepare_hm(write_hm(tmp_path / "in"), tmp_path / "out", **arguments), message, tmp_path)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real data slices are not beside the checkout")
def test_real_hm(tmp_path):
    data = prepare_hm(SHARED_DATA / "hm", tmp_path / "hm")
    assert data.documents.height == 105_542
    assert data.queries.height > 3000
    assert data.queries["history"].list.len().is_between(1, 10).all()
    counts = data.manifest["counts"]
    negatives = counts["pool_hard"] + counts["pool_related"] + counts["pool_random"]
    assert abs(counts["pool_hard"] / negatives - 0.5) < 0.02
    assert abs(counts["pool_related"] / negatives - 0.3) < 0.02
