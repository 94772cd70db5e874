"""A directory in the layout of BEIR to a prepared one: splits, grades, blank documents, and what is refused."""

import pytest

from envs_data import DataError, load_prepared, prepare_beir
from ospo_cli import prepare
from own_files import write_beir


@pytest.mark.parametrize(
    ("files", "keep", "sizes"),
    [
        (("test",), False, {"train": 24, "validation": 3, "test": 3}),
        (("test",), True, {"test": 30}),
        (("train", "test"), False, {"train": 13, "validation": 2, "test": 15}),
        (("train", "test"), True, {"train": 15, "test": 15}),
        (("train", "dev", "test"), False, {"train": 10, "validation": 10, "test": 10}),
        (("dev", "test"), False, {"train": 24, "validation": 3, "test": 3}),
    ],
)
def test_splits_of_the_layout_of_beir(files, keep, sizes, tmp_path):
    source = write_beir(tmp_path / "in", files)
    data = prepare_beir(source, tmp_path / "out", keep_splits=keep, pool_size=20)
    assert dict(data.queries["split"].value_counts().iter_rows()) == sizes
    counts = data.manifest["counts"]
    assert counts["queries_without_judgement"] == 1
    assert data.qrels.height == 90
    assert data.manifest["dataset"] == "beir"
    if "train" in files:
        official = {str(100 + i) for i in range(30) if (100 + i) % len(files) == len(files) - 1}
        assert set(data.queries.filter(split="test")["query_id"]) == official
    assert data.demonstrations.is_empty() == ("train" not in sizes)


def test_grades_of_the_layout_of_beir(tmp_path):
    source = write_beir(tmp_path / "in", score=2)
    assert set(prepare_beir(source, tmp_path / "one").qrels["gain"]) == {0.0, 1.0}
    qrels = source / "qrels" / "test.tsv"
    qrels.write_text(qrels.read_text().replace("\t0\n", "\t1\n"))
    assert set(prepare_beir(source, tmp_path / "one").qrels["gain"]) == {1.0}
    assert set(prepare_beir(source, tmp_path / "two", full_gain=2.0).qrels["gain"]) == {0.5, 1.0}


def test_blank_documents_of_the_layout_of_beir_are_kept_and_counted(tmp_path, capsys):
    source = write_beir(tmp_path / "in")
    with (source / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "empty", "title": "", "text": ""}\n')
    prepare.main(["beir", "--source", str(source), "--out", str(tmp_path / "out")])
    assert "Blank: 1 documents have neither title nor text" in capsys.readouterr().out
    assert load_prepared(tmp_path / "out").documents.height == 91


def test_directories_that_are_not_of_that_layout(tmp_path):
    with pytest.raises(DataError, match="nowhere, but it does not exist"):
        prepare_beir(tmp_path / "nowhere", tmp_path / "out")
    source = write_beir(tmp_path / "in")
    (source / "qrels" / "test.tsv").rename(source / "qrels" / "other.tsv")
    with pytest.raises(DataError, match=r"named train\.tsv, dev\.tsv, test\.tsv; there are none"):
        prepare_beir(source, tmp_path / "out")
    (source / "corpus.jsonl").unlink()
    with pytest.raises(DataError, match=r"expected the file corpus\.jsonl in"):
        prepare_beir(source, tmp_path / "out")
