"""Files in the official schemas, and what is measured on them, at a thousandth of the size."""

import json

import polars as pl
import pytest

from envs_data import DataError, prepare_esci, prepare_hm
from envs_data.files import file_sha256
from ospo_cli import make_official_size
from ospo_cli._benchmark import real_size
from paths import SHARED_DATA

SCALE = "0.001"


def make(kind, out, *more):
    make_official_size.main(["--kind", kind, "--out", str(out), "--scale", SCALE, *more])
    return out


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    out = tmp_path_factory.mktemp("official")
    return {kind: make(kind, out / kind) for kind in ("esci", "hm")}


def lazily(path):
    return pl.scan_csv(path, infer_schema=False) if ".csv" in path.name else pl.scan_parquet(path)


@pytest.mark.parametrize("kind", ["esci", "hm"])
def test_files_of_the_official_schemas_and_sizes(files, kind):
    mark = json.loads((files[kind] / "SYNTHETIC.json").read_text())
    assert mark["synthetic"] is True
    official = {
        "shopping_queries_dataset_products.parquet": 1_814_924,
        "shopping_queries_dataset_examples.parquet": 2_621_288,
        "articles.csv": 105_542,
        "customers.csv": 1_371_980,
        "transactions_train.csv": 31_788_324,
    }
    for name, rows in mark["rows"].items():
        assert lazily(files[kind] / name).select(pl.len()).collect().item() == rows
        assert rows == pytest.approx(official[name] / 1000, rel=0.02, abs=100)
    assert "Nothing here was collected" in (files[kind] / "README.md").read_text()


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real data slices are not beside the checkout")
@pytest.mark.parametrize("kind", ["esci", "hm"])
def test_columns_are_those_of_the_real_files(files, kind):
    real = sorted((SHARED_DATA / kind).iterdir())
    assert len(real) == 2
    for path in real:
        ours = lazily(files[kind] / path.name.removesuffix(".gz")).collect_schema()
        assert ours == lazily(path).collect_schema()


@pytest.mark.parametrize("kind", ["esci", "hm"])
def test_the_same_seed_writes_the_same_bytes(files, kind, tmp_path):
    again, other = make(kind, tmp_path / "again"), make(kind, tmp_path / "other", "--seed", "1")
    names = sorted(path.name for path in files[kind].iterdir())
    assert sorted(path.name for path in again.iterdir()) == names
    same = [file_sha256(files[kind] / name) == file_sha256(again / name) for name in names]
    assert all(same)
    assert not any(file_sha256(files[kind] / name) == file_sha256(other / name) for name in names)


def test_what_is_prepared_of_them_says_that_it_is_synthetic(files, tmp_path):
    esci = prepare_esci(files["esci"], tmp_path / "esci", version="large")
    hm = prepare_hm(files["hm"], tmp_path / "hm")
    for data in (esci, hm):
        assert data.synthetic
        assert data.queries.height >= 90
        assert set(data.queries["split"]) == {"train", "validation", "test"}
        assert data.manifest["counts"]["pool_hard"] > data.queries.height
    assert 0.002 < esci.documents["title"].str.contains("synthetic").mean() < 0.03


def test_one_locale_holds_all(tmp_path):
    out = make("esci", tmp_path / "one", "--single-locale")
    for name in ("products", "examples"):
        table = pl.read_parquet(out / f"shopping_queries_dataset_{name}.parquet")
        assert table["product_locale"].unique().to_list() == ["us"]
    assert prepare_esci(out, tmp_path / "data").documents.height > 1_700


@pytest.mark.parametrize(
    ("more", "match"),
    [(["--scale", "0"], "--scale"), (["--scale", "1.5"], "--scale"), (["--seed", "-1"], "--seed")],
)
def test_wrong_arguments(tmp_path, more, match):
    with pytest.raises(DataError, match=match):
        make_official_size.main(["--kind", "hm", "--out", str(tmp_path / "out"), *more])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(DataError, match="not an empty directory"):
        make("hm", tmp_path / "full")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_measuring(tmp_path):
    said = []
    rows = real_size.measure(tmp_path / "measured", scale=float(SCALE), kinds=["hm"], say=said.append)
    assert len(said) == 6
    assert len({row.work for row in rows}) == len(rows)
    for row in rows:
        assert row.measured > 0 or row.work == "hm: indexes on disk"  # so few documents are not kept there
        assert row.met
    targets = {row.target for row in rows if row.most is not None}
    assert targets == {"<= 180 s", "<= 6 GiB", "<= 10 s", "<= 4 GiB", "<= 20 ms"}
    assert {row.target for row in rows if row.most is None} == {"(reported)"}


def test_a_part_that_fails_is_named(tmp_path):
    with pytest.raises(RuntimeError, match=r"make-official-size .* with exit code 2: error: expected --scale"):
        real_size.measure(tmp_path / "measured", scale=2.0, kinds=["hm"], say=lambda line: None)


def test_a_part_that_cannot_open_the_data_is_named(tmp_path):
    with pytest.raises(RuntimeError, match=r"open_and_step.py .* failed with exit code 1"):
        real_size._timed([str(real_size.OPEN_AND_STEP), "OSPO-ESCI-v0", str(tmp_path / "none"), "bm25"], {})
