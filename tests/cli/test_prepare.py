"""What holds for every data set: reproducible bytes, a spoken summary, files missing or of another kind."""

import os
import subprocess
import sys

import pytest

from envs_data import DataError, load_prepared, prepare_esci, prepare_hm
from official_files import check_error, esci_examples, esci_products, write_esci, write_hm
from ospo_cli import prepare
from own_files import write_beir
from paths import ROOT


@pytest.fixture(scope="module")
def esci_source(tmp_path_factory):
    return write_esci(tmp_path_factory.mktemp("esci"))


@pytest.fixture(scope="module")
def hm_source(tmp_path_factory):
    return write_hm(tmp_path_factory.mktemp("hm"))


@pytest.fixture(scope="module")
def beir_source(tmp_path_factory):
    return write_beir(tmp_path_factory.mktemp("beir") / "in")


def folder_bytes(path):
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


@pytest.mark.parametrize("dataset", ["esci", "hm", "beir"])
def test_same_files_and_seed_give_the_same_bytes_whatever_the_threads(
    dataset, esci_source, hm_source, beir_source, tmp_path
):
    source = {"esci": esci_source, "hm": hm_source, "beir": beir_source}[dataset]
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


def test_row_order_of_the_source_does_not_matter(esci_source, tmp_path):
    esci = prepare_esci(esci_source, tmp_path / "plain", pool_size=40)
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


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe not a table", b"PAR1", b"a,b\n1,2\n"])
@pytest.mark.parametrize("dataset", ["esci", "hm"])
def test_files_of_another_kind(dataset, content, tmp_path):
    if dataset == "esci":
        (write_esci(tmp_path / "in") / "shopping_queries_dataset_products.parquet").write_bytes(content)
        check_error(lambda: prepare_esci(tmp_path / "in", tmp_path / "out"), "products.parquet", tmp_path)
    else:
        (write_hm(tmp_path / "in") / "transactions_train.csv").write_bytes(content)
        check_error(lambda: prepare_hm(tmp_path / "in", tmp_path / "out"), "transactions_train.csv", tmp_path)


def test_the_source_is_never_written_over(tmp_path):
    """Not even where it lies in an earlier prepared directory, under the name of one of its files."""
    prepare_esci(write_esci(tmp_path / "in"), tmp_path / "out")
    (tmp_path / "out" / "qrels.parquet").unlink()
    source = write_esci(tmp_path / "out" / "qrels.parquet")
    before = folder_bytes(source)
    for out in (tmp_path / "out", source):
        with pytest.raises(DataError, match="holds the source"):
            prepare.main(["esci", "--source", str(source), "--out", str(out)])
        with pytest.raises(DataError, match="holds the source"):
            prepare_esci(source, out)
    assert folder_bytes(source) == before


def test_a_cut_gzip_file(tmp_path):
    cut = write_hm(tmp_path / "in", compress=True) / "transactions_train.csv.gz"
    cut.write_bytes(cut.read_bytes()[:2000])
    check_error(lambda: prepare_hm(tmp_path / "in", tmp_path / "out"), "transactions_train.csv.gz", tmp_path)


def test_missing_directories_and_files(tmp_path):
    with pytest.raises(DataError, match="nowhere, but it does not exist"):
        prepare_esci(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected the file articles\.csv or articles\.csv\.gz in"):
        prepare_hm(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file, but it is a file"):
        prepare_hm(tmp_path / "file", tmp_path / "out")
